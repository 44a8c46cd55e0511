"""A case's thread in the team's channel as it is now: its root, what was known, what was said, the marks."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from bot.casework import is_unasked
from bot.channels import Later, Refused, SendError
from bot.channels.slack.client import NoWorkspaceError
from bot.channels.slack.files import listed as files_of
from bot.channels.slack.render import sections
from bot.channels.slack.style import SlackStyle
from bot.desk import packet
from bot.desk.rules import Released
from bot.desk_lines import POSTED, bring_up_to_date, in_the_thread, is_unposted, shown_as
from bot.desk_media import brought
from bot.desk_menu import controls, template_button
from bot.desk_offer import Offer
from bot.desk_packet import packet_text
from bot.handiwork import Again, DeskParts, Ended, Outcome, Tools, backoff
from bot.store import case_files, cases, conversations
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.vault import Unopenable
from flows import handoff
from flows.speech import sentence
from flows.words import Language

LINES = 60  # of a transcript that are looked at for one message
MARK = "ally_case"
SOON = 1.0  # seconds until the next message may be posted
CLOSED = 300.0  # seconds until a channel that cannot be used is looked at again
MAX_DOUBLINGS = 6  # of the time until Slack is tried again
# Who posts counts as alive for so long; begun later than half of it, nothing is posted.
POSTING = timedelta(seconds=60)
FILE_SOON = 2.0  # seconds until a file that is on its way is looked for again; who fetched it is faster
LONGEST_WAIT = timedelta(minutes=2)  # of a line for its file, whatever became of the one who fetches it
# What a post is called that brings a file, and while that cannot be seen yet: with the file's id.
FILED, SHARED = "file", "share"
LOOK, MAX_LOOKS = timedelta(seconds=2), 10  # between two looks for it; how many
LOST = frozenset({"size", "type", "gone", "many", "slack"})
CLOCKS = timedelta(seconds=30)  # by which Slack's clock and ours may differ
ROOT = "root"
PACKET = "packet"
# The thread's root was deleted: docs.slack.dev/reference/methods/chat.postMessage, chat.update.
ROOT_GONE = frozenset({"message_not_found", "thread_not_found", "cannot_reply_to_message", "cant_update_message"})
# How far a line of staff's has come, as a reaction below it.
REACTIONS = {
    "held": "hourglass_flowing_sand",
    "leaving": "hourglass_flowing_sand",
    "sent": "outbox_tray",
    "delivered": "white_check_mark",
    "read": "eyes",
    "failed": "x",
    "recalled": "leftwards_arrow_with_hook",
}
_log = structlog.get_logger(__name__)


# --- the thread -------------------------------------------------------------------------------------------------------


def show_case(tools: Tools, promise: Promise) -> Outcome:
    """Bring a case's thread up to date, one message a second: its root, what was said since, and the marks."""
    desk, conversation_id = tools.desk, promise.conversation_id
    if desk is None or conversation_id is None:
        return Ended("dropped")
    try:
        standing = desk.staff.look()
        if standing.closed:
            return Again(CLOSED, f"SUPPORT_CHANNEL: {standing.closed}")
        for row in _to_show(tools, conversation_id):
            if row.owner and not desk.staff.has(row.owner):
                return Again(0.0, "its owner has left", partial(_released, desk, tools.clock.now(), row))
            shown = _shown(tools, desk, row)
            if shown is not None:
                return shown
    except SendError as failure:
        seconds = failure.seconds if isinstance(failure, Later) else None
        _log.warning("a case could not be shown", conversation=str(conversation_id), code=failure.code)
        return Again(backoff(min(promise.attempt, MAX_DOUBLINGS), seconds), str(failure))
    return Ended()


def _to_show(tools: Tools, conversation_id: UUID) -> Iterator[Row]:
    with reading(tools.engine) as db:
        found = [cases.about(db, number) for number in cases.to_show(db, conversation_id)]
    return (row for row in found if row is not None)


def _released(desk: DeskParts, now: datetime, row: Row, db: Connection) -> bool:
    """Who is not of the team any more has no case: it goes back into the queue."""
    if conversations.hold(db, row.conversation_id) is not None:
        now_ = cases.get(db, row.number)
        if now_ is not None and now_.owner == row.owner:
            desk.casework.happened(db, row.conversation_id, Released(), now)
            desk.casework.note(db, row, "desk.left", now)
    return True


@dataclass(frozen=True, slots=True)
class _Post:
    """A message for the channel. `what`: which of its case's; `values`: what is known once it stands there.

    `line`: the line of staff's that it shows, where that was not written in the thread.
    """

    what: str
    text: str
    blocks: list[Any]
    values: dict[str, Any]
    line: int | None = None


def _shown(tools: Tools, desk: DeskParts, row: Row) -> Again | None:
    """The next thing that a thread lacks; None: nothing."""
    if row.posting:
        now = tools.clock.now()
        if row.posting_until > now:
            return Again((row.posting_until - now).total_seconds(), "somebody is posting into it")
        return _looked_for(tools, desk, row)
    offer = _offer(tools, desk, row)
    blocks, text = _root(tools, desk, row, offer)
    root = _Post(ROOT, text, blocks, {"root": hashlib.sha256(repr(blocks).encode()).hexdigest()})
    if not row.thread:
        return _posted(tools, desk, row, root) if row.closed_at is None else None
    if not row.briefed:
        return _briefed(tools, desk, row)
    return _below(tools, desk, row, root, offer)


def _below(tools: Tools, desk: DeskParts, row: Row, root: _Post, offer: Offer | None) -> Again | None:
    """What the thread lacks below its root: words on their way, what was said, the root as it is now, the marks."""
    with reading(tools.engine) as db:
        marks = cases.lines_to_mark(db, row.number)
    talk = _talk_shown(tools, desk, row, marks, offer)
    if isinstance(talk, Again):
        return talk
    if row.root not in {root.values["root"], cases.OVER}:
        return _updated(tools, desk, row, root)
    if marks:
        _mark(tools, desk, row, marks[0])
        return Again(0.0, "more to mark")
    if talk:
        return Again(FILE_SOON, "a file is on its way")
    if row.closed_at is not None and row.root != cases.OVER:
        with tools.engine.begin() as db:
            cases.save(db, row.number, root=cases.OVER)
    return None


def _briefed(tools: Tools, desk: DeskParts, row: Row) -> Again:
    """What was known of the person comes before what was said."""
    with reading(tools.engine) as db:
        told = packet_text(db, row, desk.casework.spoken(db))
    if told:
        return _posted(tools, desk, row, _Post(PACKET, told, sections(told), {"briefed": True}))
    with tools.engine.begin() as db:
        cases.save(db, row.number, briefed=True)
    return Again(0.0, "nothing was known")


def _offer(tools: Tools, desk: DeskParts, row: Row) -> Offer | None:
    with reading(tools.engine) as db:
        return desk.casework.offers.of_row(db, row, tools.clock.now())


def _talk_shown(tools: Tools, desk: DeskParts, row: Row, marks: list[Row], offer: Offer | None) -> Again | bool:
    """The next line or file that a thread lacks; else whether one waits for its file."""
    unposted = next((line for line in marks if is_unposted(line)), None)
    if unposted is not None:
        text, blocks = shown_as(row, unposted, _spoken(tools, desk))
        return _posted(tools, desk, row, _Post(f"{POSTED}{unposted.id}", text, blocks, {}, unposted.id))
    with reading(tools.engine) as db:
        lines = cases.unshown(db, row, LINES)
        files = case_files.with_lines(db, [line.id for line in lines])
        file = case_files.to_post(db, row.number, row.shown_to)
    if file is not None:
        return _file_posted(tools, desk, row, file)
    too_late = tools.clock.now() - LONGEST_WAIT
    if late := [one for one in files if one.state == "coming" and one.at <= too_late]:
        return _given_up(tools, late)
    if ready := list(_ready(lines, files)):
        spoken = _spoken(tools, desk)
        below = template_button(row, spoken) if offer is not None and offer.stands else []
        return _posted(tools, desk, row, _of_lines(row, ready, files, below, spoken))
    return bool(lines)


def _ready(lines: list[Row], files: list[Row]) -> Iterator[Row]:
    """The lines that can be posted together: up to one with files, which follow it, or before one whose files come."""
    for line in lines:
        states = {one.state for one in files if one.message_id == line.id}
        if "coming" in states:
            return
        yield line
        if "here" in states:
            return


def _given_up(tools: Tools, late: list[Row]) -> Again:
    """Whoever was to fetch them has died more than once: what was written after them waits no longer."""
    with tools.engine.begin() as db:
        for one in late:
            case_files.lose(db, one.id, "gone")
    return Again(0.0, "a file did not come in time")


def _lost(file: Row, spoken: Language) -> str:
    """Why a file of the person's does not stand there."""
    why = sentence(f"desk.file.{file.why if file.why in LOST else 'gone'}", spoken)
    return sentence("desk.file.lost", spoken, file=SlackStyle().plain(file.name), why=why)


def _of_lines(row: Row, lines: list[Row], files: list[Row], below: list[Any], spoken: Language) -> _Post:
    """`below`: what goes below a note that offers a template."""

    def told_of(line: Row) -> str:
        lost = [_lost(one, spoken) for one in files if one.message_id == line.id and one.state == "lost"]
        return "\n".join([_readable(line), *lost])

    told = [packet.Line(line.id, line.direction, told_of(line)) for line in lines]
    text, last = packet.merged(told)
    mention = f"<@{row.owner}>\n" if row.owner and any(line.direction == "in" for line in lines) else ""
    offers = any(line.status == cases.OFFERS and line.id <= last for line in lines)
    return _Post(str(last), mention + text, [*sections(mention + text), *(below if offers else [])], {"shown_to": last})


def _readable(line: Row) -> str:
    """Slack's signs are meant in what the desk itself says, nobody's else are; our own bold would be stars."""
    if line.direction == "us":
        return str(line.text)
    return SlackStyle().plain(line.text if line.direction == "in" else line.text.replace("*", ""))


def _claimed(tools: Tools, desk: DeskParts, row: Row, what: str, now: datetime) -> Again | None:
    """Take the channel's next place and the thread, to post this; else why not now."""
    with tools.engine.begin() as db:
        at = cases.may_post(db, desk.channel, now)
        if at > now:
            return Again((at - now).total_seconds(), "one message a second")
        if not cases.begin_post(db, row, what, now + POSTING, now):
            return Again(SOON, "somebody else was faster")
    return None


def _posted(tools: Tools, desk: DeskParts, row: Row, post: _Post) -> Again:
    """Post it: claimed first, so that nobody else does, and that it is looked for should we die."""
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


def _file_posted(tools: Tools, desk: DeskParts, row: Row, file: Row) -> Again:
    """A file follows its line: claimed like any other post. What Slack will never take is told in its place."""
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
) -> Again:  # fmt: skip
    gone = isinstance(failure, Refused) and failure.code in ROOT_GONE
    given_up = not gone and not isinstance(failure, Later) and not isinstance(failure, NoWorkspaceError)
    with tools.engine.begin() as db:
        cases.end_post(db, row.number, f"{FILED}{file.id.hex}", **(cases.NO_THREAD if gone else {}))
        if given_up and conversations.hold(db, row.conversation_id) is not None:
            case_files.lose(db, file.id, "gone" if isinstance(failure, Unopenable) else "slack")
            lost = case_files.get(db, file.id)
            words = _lost(lost, desk.casework.spoken(db))
            cases.note(db, row.number, row.conversation_id, words, tools.clock.now())
    if isinstance(failure, SendError) and not gone and not given_up:
        raise failure
    return Again(0.0, "its thread was deleted" if gone else "Slack does not take a file")


def _in_time(tools: Tools, latest: datetime) -> None:
    if tools.clock.now() > latest:
        raise Later("late", "so much time went by that somebody else may be posting it", SOON)


def _post(tools: Tools, desk: DeskParts, row: Row, post: _Post, latest: datetime) -> str:
    """What it is rides in its metadata, and in the id of its first block: that is told without a right of its own."""
    _in_time(tools, latest)
    first, *others = post.blocks
    answer = desk.api.call(
        desk.team,
        "chat.postMessage",
        channel=desk.channel,
        text=post.text,
        blocks=[{**first, "block_id": _name(row, post.what)}, *others],
        metadata={"event_type": MARK, "event_payload": {"what": _name(row, post.what)}},
        unfurl_links=False,
        unfurl_media=False,
        **({"thread_ts": row.thread} if row.thread else {}),
    )
    return str(answer.get("ts", ""))


def _name(row: Row, what: str) -> str:
    return f"{MARK}-{row.number}-{what}"


def _looked_for(tools: Tools, desk: DeskParts, row: Row) -> Again:
    """Whether what somebody began to post stands there: they died, or never heard."""
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
    match row.posting:
        case name if name == ROOT:
            return {"thread": ts, "root": ""}
        case name if name == PACKET:
            return {"briefed": True}
    return {"shown_to": int(row.posting)}


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


def _updated(tools: Tools, desk: DeskParts, row: Row, root: _Post) -> Again:
    first, *others = root.blocks
    blocks = [{**first, "block_id": _name(row, ROOT)}, *others]
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


def _mark(tools: Tools, desk: DeskParts, row: Row, line: Row) -> None:
    """The mark of a staff member's line."""
    if line.tool and line.state != "held":
        change = partial(desk.api.call, desk.team, "chat.update", channel=desk.channel)
        bring_up_to_date(change, row, line, _spoken(tools, desk))
    before, now = REACTIONS.get(line.shown), REACTIONS[line.state]
    if before and before != now:
        _react(desk, "reactions.remove", line.ts, before)
    if before != now:
        _react(desk, "reactions.add", line.ts, now)
    with tools.engine.begin() as db:
        cases.change_line(db, line.id, shown=line.state)


def _react(desk: DeskParts, method: str, ts: str, name: str) -> None:
    try:
        desk.api.call(desk.team, method, channel=desk.channel, timestamp=ts, name=name)
    except Refused as refusal:  # it stands there already, or its message was deleted
        _log.info("a mark was not set", method=method, code=refusal.code)


def _root(tools: Tools, desk: DeskParts, row: Row, offer: Offer | None) -> tuple[list[Any], str]:
    spoken = _spoken(tools, desk)
    shown = packet.Packet(
        number=row.number,
        name=SlackStyle().plain(row.name or "?"),
        agency=SlackStyle().plain(row.agency or ""),
        role=sentence(f"team.role.{row.role}", spoken) if row.role else "",
        language=row.language,
        channel=row.channel,
        state=row.state,
        owner=f"<@{row.owner}>" if row.owner else "",
        waits_since=row.waits_since,
        snoozed_until=row.snoozed_until,
        where=_place(row, spoken),
        mailbox=_mailbox(row, spoken),
        window_until=row.window_until,
        end=row.end,
        reason=sentence(f"desk.reason.{row.reason}", spoken),
        unasked=is_unasked(row),
        over=offer.words(spoken) if offer is not None else "",
    )

    def words(name: str, **values: Any) -> str:
        return sentence(name, spoken, **{key: str(value) for key, value in values.items()})

    text = packet.root(shown, words, desk.zone)
    return [*sections(text), *controls(row, spoken, offers=offer is not None and offer.stands)], text


def _spoken(tools: Tools, desk: DeskParts) -> Language:
    with reading(tools.engine) as db:
        return desk.casework.spoken(db)


def _place(row: Row, spoken: Language) -> str:
    saved_talk = row.envelope or {}
    state = saved_talk.get("state") or {}
    return handoff.place(str(saved_talk.get("flow") or ""), str(state.get("is") or ""), spoken)


def _mailbox(row: Row, spoken: Language) -> str:
    if not row.address:
        return ""
    why = f" - {sentence(f'home.cause.{row.cause}', spoken)}" if row.cause else ""
    state = sentence(f"team.state.{row.mailbox_state}", spoken)
    return f"{SlackStyle().code(row.address)}, {SlackStyle().code(f'{row.host}:{row.port}')}: {state}{why}"
