"""A case's thread in the team's channel as it is now: its root, what was known, what was said, the marks."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from bot import case_view
from bot.case_posts import PACKET, ROOT, Post, file_posted, looked_for, posted, updated
from bot.channels import Later, Refused, SendError
from bot.channels.slack.render import sections
from bot.desk.rules import Released
from bot.desk_lines import POSTED, bring_up_to_date, is_unposted, shown_as
from bot.desk_menu import template_button
from bot.desk_offer import Offer
from bot.desk_packet import packet_text
from bot.handiwork import Again, DeskParts, Ended, Outcome, Tools, backoff
from bot.store import case_files, cases, conversations
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from flows.words import Language

LINES = 60  # of a transcript that are looked at for one message
CLOSED = 300.0  # seconds until a channel that cannot be used is looked at again
MAX_DOUBLINGS = 6  # of the time until Slack is tried again
FILE_SOON = 2.0  # seconds until a file that is on its way is looked for again; who fetched it is faster
LONGEST_WAIT = timedelta(minutes=2)  # of a line for its file, whatever became of the one who fetches it
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
        current = cases.get(db, row.number)
        if current is not None and current.owner == row.owner:
            desk.casework.happened(db, row.conversation_id, Released(), now)
            desk.casework.note(db, row, "desk.left", now)
    return True


def _shown(tools: Tools, desk: DeskParts, row: Row) -> Again | None:
    """The next thing that a thread lacks; None: nothing."""
    if row.posting:
        now = tools.clock.now()
        if row.posting_until > now:
            return Again((row.posting_until - now).total_seconds(), "somebody is posting into it")
        return looked_for(tools, desk, row)
    with reading(tools.engine) as db:
        offer = desk.casework.offers.of_row(db, row, tools.clock.now())
        spoken = desk.casework.spoken(db)
    text, blocks = case_view.root(row, spoken, desk.zone, offer)
    root = Post(ROOT, text, blocks, {"root": hashlib.sha256(repr(blocks).encode()).hexdigest()})
    if not row.thread:
        return posted(tools, desk, row, root) if row.closed_at is None else None
    if not row.briefed:
        return _briefed(tools, desk, row, spoken)
    return _below(tools, desk, row, root, offer, spoken)


def _below(tools: Tools, desk: DeskParts, row: Row, root: Post, offer: Offer | None, spoken: Language) -> Again | None:
    """What the thread lacks below its root: words on their way, what was said, the root as it is now, the marks."""
    with reading(tools.engine) as db:
        marks = cases.lines_to_mark(db, row.number)
    talk = _talk_shown(tools, desk, row, marks, offer, spoken)
    if isinstance(talk, Again):
        return talk
    if row.root not in {root.values["root"], cases.OVER}:
        return updated(tools, desk, row, root)
    if marks:
        _mark(tools, desk, row, marks[0], spoken)
        return Again(0.0, "more to mark")
    if talk:
        return Again(FILE_SOON, "a file is on its way")
    if row.closed_at is not None and row.root != cases.OVER:
        with tools.engine.begin() as db:
            cases.save(db, row.number, root=cases.OVER)
    return None


def _briefed(tools: Tools, desk: DeskParts, row: Row, spoken: Language) -> Again:
    """What was known of the person comes before what was said."""
    with reading(tools.engine) as db:
        told = packet_text(db, row, spoken)
    if told:
        return posted(tools, desk, row, Post(PACKET, told, sections(told), {"briefed": True}))
    with tools.engine.begin() as db:
        cases.save(db, row.number, briefed=True)
    return Again(0.0, "nothing was known")


def _talk_shown(
    tools: Tools, desk: DeskParts, row: Row, marks: list[Row], offer: Offer | None, spoken: Language
) -> Again | bool:
    """The next line or file that a thread lacks; else whether one waits for its file."""
    unposted = next((line for line in marks if is_unposted(line)), None)
    if unposted is not None:
        text, blocks = shown_as(row, unposted, spoken)
        return posted(tools, desk, row, Post(f"{POSTED}{unposted.id}", text, blocks, {}, unposted.id))
    with reading(tools.engine) as db:
        lines = cases.unshown(db, row, LINES)
        files = case_files.with_lines(db, [line.id for line in lines])
        file = case_files.to_post(db, row.number, row.shown_to)
    if file is not None:
        return file_posted(tools, desk, row, file)
    too_late = tools.clock.now() - LONGEST_WAIT
    if late := [one for one in files if one.state == "coming" and one.at <= too_late]:
        return _given_up(tools, late)
    if ready := list(_ready(lines, files)):
        below = template_button(row, spoken) if offer is not None and offer.stands else []
        text, blocks, last = case_view.talk(row, ready, files, below, spoken)
        return posted(tools, desk, row, Post(str(last), text, blocks, {"shown_to": last}))
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


def _mark(tools: Tools, desk: DeskParts, row: Row, line: Row, spoken: Language) -> None:
    """The mark of a staff member's line."""
    if line.tool and line.state != "held":
        change = partial(desk.api.call, desk.team, "chat.update", channel=desk.channel)
        bring_up_to_date(change, row, line, spoken)
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
