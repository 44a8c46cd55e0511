"""Words on their way to the person that were not written in the thread: our own message there shows them.

They can be taken back for the five seconds after they stand there.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog

from bot.channels import Refused
from bot.channels.slack.render import actions, sections
from bot.channels.slack.style import SlackStyle
from bot.desk_menu import DESK
from bot.store import cases, promises
from bot.store.engine import Connection, Row
from flows.speech import Button, sentence
from flows.words import Language

HOLD = timedelta(seconds=5)
NEW = "new-"  # what a line is known by until it stands in the thread
POSTED = "line"  # what a post is called that shows a line, with its id
_log = structlog.get_logger(__name__)


def new_name() -> str:
    """What a line is known by until its message has a name of Slack's."""
    return f"{NEW}{uuid4().hex[:24]}"


def is_unposted(line: Row) -> bool:
    """Whether it is ours to post."""
    return bool(line.ts.startswith(NEW))


def in_the_thread(db: Connection, line_id: int, ts: str, now: datetime) -> None:
    """It can be seen there, as this message: from now on it is held for five seconds."""
    cases.change_line(db, line_id, ts=ts)
    line = cases.line(db, line_id)
    if line is not None and line.promise_id is not None:
        promises.move(db, line.promise_id, now + HOLD)


def bring_up_to_date(change: Callable[..., object], row: Row, line: Row, spoken: Language) -> None:
    """What leaves, or was taken back, has no button any more. `change` changes our message of a name."""
    text, blocks = shown_as(row, line, spoken)
    try:
        change(ts=line.ts, text=text, blocks=blocks)
    except Refused as refusal:  # its message was deleted
        _log.info("a line was not brought up to date", code=refusal.code)


def shown_as(row: Row, line: Row, spoken: Language) -> tuple[str, list[Any]]:
    """What our message says of a line: whose it is, how far it has come, the words; the same in the team's language."""
    state = line.state if line.state in {"held", "failed", "recalled"} else "said"
    said = [sentence(f"desk.line.{state}", spoken, by=f"<@{line.by}>"), SlackStyle().quote(line.text)]
    if line.gloss:
        said += [sentence("desk.line.gloss", spoken), SlackStyle().quote(line.gloss)]
    text = "\n".join(said)
    back = Button(f"{DESK}recall.{line.id}:{row.number}", sentence("desk.tool.recall", spoken))
    return text, [*sections(text), *(actions([back]) if line.state == "held" else [])]
