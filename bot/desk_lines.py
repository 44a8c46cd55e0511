"""What the desk itself posts into a case's thread: words on their way to the person, and notes for the team.

A message for the person can be taken back for the five seconds after it stands in the thread.
"""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from bot.channels.slack.render import actions, sections
from bot.channels.slack.style import SlackStyle
from bot.desk_menu import DESK
from bot.handiwork import DeskParts, Tools
from bot.store import cases, promises
from bot.store.engine import Row
from flows.speech import Button, sentence
from flows.words import Language

HOLD = timedelta(seconds=5)
NEW = "new-"  # what a line is known by until it stands in the thread
POSTING = "posting"  # it may stand there already
MARK = "ally_line"


def new_name() -> str:
    """What a line is known by until its message has a name of Slack's."""
    return f"{NEW}{uuid4().hex[:24]}"


def is_unposted(line: Row) -> bool:
    """Whether it is ours to post, and does not surely stand in the thread."""
    return bool(line.ts.startswith(NEW))


def post(tools: Tools, desk: DeskParts, row: Row, line: Row, spoken: Language) -> None:
    """Post a line of ours; if an earlier try may have, look first. From now on it is held for five seconds."""
    ts = _posted(desk, row, line) if line.shown == POSTING else ""
    if not ts:
        with tools.engine.begin() as db:
            cases.change_line(db, line.id, shown=POSTING)
        text, blocks = _message(row, line, spoken)
        mark = {"event_type": MARK, "event_payload": {"line": str(line.id)}}
        answer = desk.api.call(
            desk.team, "chat.postMessage", channel=desk.channel, thread_ts=row.thread, text=text, blocks=blocks,
            metadata=mark, unfurl_links=False, unfurl_media=False,
        )  # fmt: skip
        ts = str(answer.get("ts", ""))
    with tools.engine.begin() as db:
        cases.change_line(db, line.id, ts=ts, shown="note" if line.state == "note" else "")
        if line.promise_id is not None:
            promises.move(db, line.promise_id, tools.clock.now() + HOLD)


def bring_up_to_date(desk: DeskParts, row: Row, line: Row, spoken: Language) -> None:
    """What has left, or was taken back, has no button any more."""
    text, blocks = _message(row, line, spoken)
    desk.api.call(desk.team, "chat.update", channel=desk.channel, ts=line.ts, text=text, blocks=blocks)


def _posted(desk: DeskParts, row: Row, line: Row) -> str:
    found = desk.api.call(
        desk.team, "conversations.replies", channel=desk.channel, ts=row.thread, limit=100, include_all_metadata=True
    )
    listed = ((one, one.get("metadata") or {}) for one in found.get("messages") or [])
    mine = (one for one, told in listed if told.get("event_type") == MARK and _is_of(told, line))
    return str((next(mine, None) or {}).get("ts", ""))


def _is_of(metadata: dict[str, Any], line: Row) -> bool:
    return bool((metadata.get("event_payload") or {}).get("line") == str(line.id))


def _message(row: Row, line: Row, spoken: Language) -> tuple[str, list[Any]]:
    if line.state == "note":
        return line.text, sections(line.text)
    state = line.state if line.state in {"held", "failed", "recalled"} else "said"
    said = [sentence(f"desk.line.{state}", spoken, by=f"<@{line.by}>"), SlackStyle().quote(line.text)]
    if line.gloss:
        said += [sentence("desk.line.gloss", spoken), SlackStyle().quote(line.gloss)]
    text = "\n".join(said)
    back = Button(f"{DESK}recall.{line.id}:{row.number}", sentence("desk.tool.recall", spoken))
    return text, [*sections(text), *(actions([back]) if line.state == "held" else [])]
