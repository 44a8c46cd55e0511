"""The queue in the home of those who sit at the desk."""

from datetime import datetime, timedelta
from typing import Any

from bot.channels.slack.home import MAX_HEADER
from bot.channels.slack.render import plain, sections
from bot.channels.slack.style import SlackStyle
from bot.desk import queue
from bot.handiwork import DeskParts
from bot.store import cases
from bot.store.engine import Connection, Row
from flows.speech import sentence
from flows.words import Language

RECENT = timedelta(days=7)


def queue_blocks(db: Connection, desk: DeskParts, me: str, language: Language, now: datetime) -> list[dict[str, Any]]:
    """All open cases as blocks of a home, in the language of who looks at it. `me`: their user in the workspace."""
    found = [_waiting(desk, row) for row in cases.queue(db)]
    times = queue.Times(*cases.medians(db, now - RECENT))

    def words(name: str, **values: Any) -> str:
        return sentence(name, language, **{key: str(value) for key, value in values.items()})

    told = queue.paragraphs(found, times, me, words, desk.zone, lambda address, label: f"<{address}|{label}>")
    blocks: list[dict[str, Any]] = [{"type": "header", "text": plain(words("desk.queue.title"), MAX_HEADER)}]
    for paragraph in told:
        blocks += sections(paragraph)
    return [*blocks, {"type": "divider"}]


def _waiting(desk: DeskParts, row: Row) -> queue.Waiting:
    style = SlackStyle()
    return queue.Waiting(
        number=row.number,
        name=style.plain(row.name or "?"),
        agency=style.plain(row.agency or ""),
        language=row.language,
        state=row.state,
        owner=row.owner,
        waits_since=row.waits_since,
        staff_at=row.staff_at,
        snoozed_until=row.snoozed_until,
        opened_at=row.opened_at,
        thread=desk.threads.url(row.thread) if row.thread else "",
    )
