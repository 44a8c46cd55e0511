"""A post into a case's thread, or its root: there once, whoever dies over it.

It is claimed before it is posted, and carries a name of ours by which it is looked for where nobody knows whether Slack
took it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from bot.case_view import lost
from bot.channels import Later, Refused, SendError
from bot.channels.slack.client import NoWorkspaceError
from bot.channels.slack.files import listed as files_of
from bot.desk_lines import POSTED, in_the_thread
from bot.desk_media import brought
from bot.handiwork import Again, DeskParts, Tools
from bot.store import case_files, cases, conversations
from bot.store.engine import Row
from bot.vault import Unopenable

MARK = "ally_case"
SOON = 1.0  # seconds until the next message may be posted
# Who posts counts as alive for so long; begun later than half of it, nothing is posted.
POSTING = timedelta(seconds=60)
# What a post is called that brings a file, and while that cannot be seen yet: with the file's id.
FILED, SHARED = "file", "share"
LOOK, MAX_LOOKS = timedelta(seconds=2), 10  # between two looks for it; how many
CLOCKS = timedelta(seconds=30)  # by which Slack's clock and ours may differ
ROOT = "root"
PACKET = "packet"
# The thread's root was deleted: docs.slack.dev/reference/methods/chat.postMessage, chat.update.
ROOT_GONE = frozenset({"message_not_found", "thread_not_found", "cannot_reply_to_message", "cant_update_message"})


@dataclass(frozen=True, slots=True)
class Post:
    """A message for the channel. `what`: which of its case's; `values`: what is known once it stands there.

    `line`: the line of staff's that it shows, where that was not written in the thread.
    """

    what: str
    text: str
    blocks: list[Any]
    values: dict[str, Any]
    line: int | None = None


def posted(tools: Tools, desk: DeskParts, row: Row, post: Post) -> Again:
    """Post it: claimed first, so that nobody else does, and that it is looked for should we die.

    Raises Later, Refused.
    """
    now = tools.clock.now()
    if (not_now := _claimed(tools, desk, row, post.what, now)) is not None:
        return not_now
    try:
        ts = _post(tools, desk, row, post, now + POSTING / 2)
    except (Later, Refused) as failure:  # surely not taken
        gone = isinstance(failure, Refused) and failure.code in ROOT_GONE
        with tools.engine.begin() as db:
            cases.end_post(db, row.number, post.what, **(cases.NO_THREAD if gone else {}))
        if gone:
            return Again(0.0, "its thread was deleted")
        raise
    values = post.values if row.thread else {**post.values, "thread": ts}
    with tools.engine.begin() as db:
        cases.end_post(db, row.number, post.what, **values)
        if post.line is not None:
            in_the_thread(db, post.line, ts, tools.clock.now())
    return Again(SOON, "perhaps there is more to show")


def _claimed(tools: Tools, desk: DeskParts, row: Row, what: str, now: datetime) -> Again | None:
    """Take the channel's next place and the thread, to post this; else why not now."""
    with tools.engine.begin() as db:
        at = cases.may_post(db, desk.channel, now)
        if at > now:
            return Again((at - now).total_seconds(), "one message a second")
        if not cases.begin_post(db, row, what, now + POSTING, now):
            return Again(SOON, "somebody else was faster")
    return None


def _post(tools: Tools, desk: DeskParts, row: Row, post: Post, latest: datetime) -> str:
    """What it is rides in its metadata, and in the id of its first block: that is told without a right of its own."""
    _in_time(tools, latest)
    answer = desk.api.call(
        desk.team,
        "chat.postMessage",
        channel=desk.channel,
        text=post.text,
        blocks=_named(row, post),
        metadata={"event_type": MARK, "event_payload": {"what": _name(row, post.what)}},
        unfurl_links=False,
        unfurl_media=False,
        **({"thread_ts": row.thread} if row.thread else {}),
    )
    return str(answer.get("ts", ""))


def _in_time(tools: Tools, latest: datetime) -> None:
    if tools.clock.now() > latest:
        raise Later("late", "so much time went by that somebody else may be posting it", SOON)


def updated(tools: Tools, desk: DeskParts, row: Row, root: Post) -> Again:
    """Make the root what it is now; where it was deleted, the thread begins anew, or is over with its case.

    Raises Later, Refused.
    """
    blocks = _named(row, root)
    values: Mapping[str, Any] = root.values
    try:
        desk.api.call(desk.team, "chat.update", channel=desk.channel, ts=row.thread, text=root.text, blocks=blocks)
    except Refused as refusal:
        if refusal.code not in ROOT_GONE:
            raise
        values = {"root": cases.OVER} if row.closed_at is not None else cases.NO_THREAD
    with tools.engine.begin() as db:
        cases.save(db, row.number, **values)
    return Again(0.0, "perhaps there is more to show")


def file_posted(tools: Tools, desk: DeskParts, row: Row, file: Row) -> Again:
    """A file follows its line: claimed like any other post. What Slack will never take is told in its place.

    Raises Later, Refused.
    """
    now, what = tools.clock.now(), f"{FILED}{file.id.hex}"
    if (not_now := _claimed(tools, desk, row, what, now)) is not None:
        return not_now
    try:
        seen = brought(tools, desk, row, file, partial(_in_time, tools, now + POSTING / 2))
    except (Later, Refused, Unopenable) as failure:  # surely not taken
        return _file_not_posted(tools, desk, row, file, failure)
    with tools.engine.begin() as db:
        cases.end_post(db, row.number, what)
        if seen:
            case_files.gone(db, file.id)
        else:  # what was written after it waits until it can be seen
            cases.begin_post(db, row, f"{SHARED}1-{file.id.hex}", tools.clock.now() + LOOK, tools.clock.now())
    return Again(SOON, "perhaps there is more to show")


def _file_not_posted(
    tools: Tools, desk: DeskParts, row: Row, file: Row, failure: Later | Refused | Unopenable
) -> Again:
    """What Slack will take later, or by itself, is brought again; of the rest the thread says why it is not there."""
    gone = isinstance(failure, Refused) and failure.code in ROOT_GONE
    given_up = not gone and not isinstance(failure, Later) and not isinstance(failure, NoWorkspaceError)
    with tools.engine.begin() as db:
        cases.end_post(db, row.number, f"{FILED}{file.id.hex}", **(cases.NO_THREAD if gone else {}))
        if given_up and conversations.hold(db, row.conversation_id) is not None:
            case_files.lose(db, file.id, "gone" if isinstance(failure, Unopenable) else "slack")
            words = lost(case_files.get(db, file.id), desk.casework.spoken(db))
            cases.note(db, row.number, row.conversation_id, words, tools.clock.now())
    if isinstance(failure, SendError) and not gone and not given_up:
        raise failure
    return Again(0.0, "its thread was deleted" if gone else "Slack does not take a file")


def looked_for(tools: Tools, desk: DeskParts, row: Row) -> Again:
    """Whether what somebody began to post stands there: they died, or never heard. Raises Later, Refused."""
    oldest = str((row.posting_until - POSTING - CLOCKS).timestamp())
    where = {"channel": desk.channel, "oldest": oldest, "include_all_metadata": True}
    method, of = ("conversations.replies", {"ts": row.thread}) if row.thread else ("conversations.history", {})
    try:
        listed = list(desk.api.pages(desk.team, method, "messages", **where, **of))
    except Refused as refusal:
        if refusal.code not in ROOT_GONE:
            raise
        listed = []
    if row.posting.startswith((FILED, SHARED)):
        return _file_looked_for(tools, row, listed)
    found = next((one for one in listed if _name(row, row.posting) in _names(one)), None)
    values: dict[str, Any] = {}
    own = row.posting.startswith(POSTED)
    if found is not None and not own:
        values = _stands(row, str(found["ts"]))
    with tools.engine.begin() as db:
        cases.end_post(db, row.number, row.posting, **values)
        if found is not None and own:
            in_the_thread(db, int(row.posting.removeprefix(POSTED)), str(found["ts"]), tools.clock.now())
    return Again(0.0, "found again" if found else "it was not taken")


def _stands(row: Row, ts: str) -> dict[str, Any]:
    """What is known of a case once what was being posted is seen to stand there."""
    if row.posting == ROOT:
        return {"thread": ts, "root": ""}
    return {"briefed": True} if row.posting == PACKET else {"shown_to": int(row.posting)}


def _file_looked_for(tools: Tools, row: Row, listed: list[dict[str, Any]]) -> Again:
    """A file is known by Slack's name of it, which we knew before it could be seen.

    One that Slack has said yes to is looked for a few times, and never brought again.
    """
    times = int(row.posting.removeprefix(SHARED).partition("-")[0]) if row.posting.startswith(SHARED) else 0
    now = tools.clock.now()
    with tools.engine.begin() as db:
        file = case_files.get(db, UUID(row.posting[-32:]))
        names = {str(kept.get("id", "")) for one in listed for kept in files_of(one)}
        found = file is not None and bool(file.slack_id) and file.slack_id in names
        if file is not None and times and not found and times < MAX_LOOKS:
            cases.begin_post(db, row, f"{SHARED}{times + 1}-{file.id.hex}", now + LOOK, now)
            return Again(LOOK.total_seconds(), "it cannot be seen yet")
        cases.end_post(db, row.number, row.posting)
        if file is not None and (found or times):
            case_files.gone(db, file.id)
    return Again(0.0, "found again" if found else "it was not taken")


def _names(listed: dict[str, Any]) -> set[str]:
    if not listed.get("bot_id"):
        return set()
    told = (listed.get("metadata") or {}).get("event_payload") or {}
    return {str(told.get("what", "")), *(str(block.get("block_id", "")) for block in listed.get("blocks") or [])}


def _named(row: Row, post: Post) -> list[Any]:
    """Its blocks; the id of the first one tells what it is."""
    first, *others = post.blocks
    return [{**first, "block_id": _name(row, post.what)}, *others]


def _name(row: Row, what: str) -> str:
    return f"{MARK}-{row.number}-{what}"
