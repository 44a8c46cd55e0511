"""The queue in the home of those who sit at the desk."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.channels.slack.home import MAX_HEADER
from bot.channels.slack.render import button, plain, sections
from bot.channels.slack.style import SlackStyle
from bot.desk import queue
from bot.desk_menu import OPENING
from bot.handiwork import DeskParts
from bot.store import cases
from bot.store.engine import Connection, Row
from flows.speech import Button, sentence
from flows.words import Language

RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Queue:
    """All open cases, and how long it took lately, as the database has them."""

    rows: list[Row]
    times: queue.Times


def read_queue(db: Connection, now: datetime) -> Queue:
    """The queue as it is now."""
    return Queue(cases.queue(db), queue.Times(*cases.medians(db, now - RECENT)))


def queue_blocks(found: Queue, desk: DeskParts, me: str, language: Language) -> list[dict[str, Any]]:
    """The queue as blocks of a home, in the language of who looks at it. `me`: their user in the workspace."""

    def words(name: str, **values: Any) -> str:
        return sentence(name, language, **{key: str(value) for key, value in values.items()})

    threads = [row.thread for row in found.rows if row.thread]
    url = desk.threads.urls(threads[-1]) if threads else str
    waiting = [_waiting(row, url) for row in found.rows]
    told = queue.paragraphs(waiting, found.times, me, words, desk.zone, lambda where, label: f"<{where}|{label}>")
    blocks: list[dict[str, Any]] = [{"type": "header", "text": plain(words("desk.queue.title"), MAX_HEADER)}]
    for paragraph in told:
        blocks += sections(paragraph)
    blocks.append({"type": "actions", "elements": [button(Button(OPENING, words("desk.button.open")))]})
    return [*blocks, {"type": "divider"}]


def _waiting(row: Row, url: Callable[[str], str]) -> queue.Waiting:
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
        thread=url(row.thread) if row.thread else "",
    )
