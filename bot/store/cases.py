"""Cases: who takes care of a conversation, what stands in its thread, and what staff wrote to the person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, func, insert, literal, or_, select, update
from sqlalchemy import case as case_when
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import Connection, Row
from bot.store.promises import CASE_TIME, SAY_LINE
from bot.store.tables import (
    access_request,
    agency,
    case,
    contact,
    conversation,
    in_state,
    mailbox,
    member,
    message,
    promise,
    slack_pace,
    slack_workspace,
    staff_line,
    staff_part,
)

# A later one never gives way to an earlier one.
ORDER = ("held", "leaving", "sent", "delivered", "read", "failed", "recalled")
OVER = "over"  # the root of a closed case whose thread is as it will stay
NO_THREAD: Mapping[str, Any] = {"thread": "", "root": "", "briefed": False}  # it was deleted: another one is begun
SAID = ("sent", "delivered", "read")
STAFF = "staff"  # why a case was opened that the person did not wish for
TEMPLATE = "template"  # the tool of a line whose words WhatsApp approved beforehand
OUT_OF_WINDOW = ("window", "63016")  # why a line was not said: the 24 hours are over, by our clock or the provider's
TOLD_AGAIN = "window over"  # the same, once the team read that the person has written
OFFERS = "offers"  # of a note: it goes with a button that sends a template
POST_EVERY = timedelta(seconds=1)  # docs.slack.dev/apis/web-api/rate-limits: one message a second in a channel


def open_one(db: Connection, conversation_id: UUID) -> Row | None:
    """The open case of a conversation, locked."""
    mine = (case.c.conversation_id == conversation_id, case.c.closed_at.is_(None))
    return db.execute(select(case).where(*mine).with_for_update()).one_or_none()


def by_thread(db: Connection, thread: str) -> Row | None:
    """The case of a thread, open or not; None also for what is in no thread at all."""
    if not thread:
        return None
    return db.execute(select(case).where(case.c.thread == thread).order_by(case.c.number.desc()).limit(1)).one_or_none()


def get(db: Connection, number: int) -> Row | None:
    """A case."""
    return db.execute(select(case).where(case.c.number == number)).one_or_none()


def to_show(db: Connection, conversation_id: UUID) -> list[int]:
    """The cases of a conversation whose threads may not be up to date, oldest first: the open one, and closed ones."""
    unmarked = exists().where(staff_line.c.case_number == case.c.number, staff_line.c.shown != staff_line.c.state)
    closed = and_(case.c.thread != "", or_(case.c.root != OVER, unmarked))
    query = select(case.c.number).where(
        case.c.conversation_id == conversation_id, or_(case.c.closed_at.is_(None), closed)
    )
    return list(db.execute(query.order_by(case.c.number)).scalars())


def untended(db: Connection) -> list[UUID]:
    """The conversations with an open case and no time at which it is looked at again."""
    ticking = exists().where(
        promise.c.conversation_id == case.c.conversation_id,
        promise.c.kind == CASE_TIME,
        in_state(promise, "todo", "doing"),
    )
    query = select(case.c.conversation_id).where(case.c.closed_at.is_(None), ~ticking)
    return list(db.execute(query.order_by(case.c.conversation_id)).scalars())


def window_of(db: Connection, conversation_id: UUID) -> datetime | None:
    """Until when the person of a conversation may be written to freely; None: for ever."""
    query = select(contact.c.window_until).join(conversation, conversation.c.contact_id == contact.c.id)
    return db.execute(query.where(conversation.c.id == conversation_id)).scalar_one_or_none()


def waits(db: Connection, number: int) -> datetime | None:
    """Since when the person of a case waits: what they first wrote after the last words of staff's that they got."""
    said = select(func.max(staff_line.c.at)).where(staff_line.c.case_number == number, staff_line.c.state.in_(SAID))
    row = db.execute(select(case.c.conversation_id, case.c.opened_at).where(case.c.number == number)).one()
    last = db.execute(said).scalar_one()
    if last is None:
        found: datetime = row.opened_at
        return found
    theirs = (message.c.conversation_id == row.conversation_id, message.c.direction == "in", message.c.at > last)
    return db.execute(select(func.min(message.c.at)).where(*theirs)).scalar_one_or_none()


def wrote_since(db: Connection, conversation_id: UUID, at: datetime) -> bool:
    """Whether the person of a conversation has written after a moment."""
    theirs = (message.c.conversation_id == conversation_id, message.c.direction == "in", message.c.at > at)
    return db.execute(select(message.c.id).where(*theirs).limit(1)).one_or_none() is not None


def knows(db: Connection, of: Row) -> bool:
    """Whether the person knows of a case: they wished for it, or were told something by the way of staff's words."""
    if of.reason != STAFF:
        return True
    told = exists().where(
        promise.c.conversation_id == of.conversation_id,
        promise.c.kind == SAY_LINE,
        promise.c.state == "done",
        promise.c.created_at >= of.opened_at,
    )
    return bool(db.execute(select(or_(told, literal(of.answered_at is not None)))).scalar_one())


def team_language(db: Connection, team: str) -> str:
    """The language of the support team: that of its workspace's agency, if it has one."""
    query = select(agency.c.language).join(slack_workspace, slack_workspace.c.agency_id == agency.c.id)
    return str(db.execute(query.where(slack_workspace.c.team_id == team)).scalar_one_or_none() or "")


def ended_before(db: Connection, of: Row) -> datetime | None:
    """When the last case of this conversation before that one was over; None: it is the first."""
    found: datetime | None = db.execute(_earlier(of, func.max(case.c.closed_at))).scalar_one()
    return found


def shown_before(db: Connection, of: Row) -> int:
    """The last line of the transcript that stands in the thread of an earlier case of this conversation; 0: none."""
    return int(db.execute(_earlier(of, func.coalesce(func.max(case.c.shown_to), 0))).scalar_one())


def _earlier(of: Row, what: ColumnElement[Any]) -> Select[Any]:
    return select(what).where(case.c.conversation_id == of.conversation_id, case.c.number < of.number)


def save(db: Connection, number: int, **values: Any) -> None:
    """What is known of a case from now on."""
    db.execute(update(case).where(case.c.number == number).values(values))


def own(db: Connection, conversation_id: UUID, owner: str) -> None:
    """Who speaks in a conversation: `bot` or `person`."""
    db.execute(update(conversation).where(conversation.c.id == conversation_id).values(owner=owner))


def about(db: Connection, number: int) -> Row | None:
    """A case with the person, their agency and their mailbox, for those who take care of it."""
    wish = (
        select(access_request.c.id)
        .where(access_request.c.conversation_id == case.c.conversation_id, access_request.c.state == "open")
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            case, contact.c.name, contact.c.language, contact.c.channel, contact.c.window_until, contact.c.stopped_at,
            contact.c.gone_at, agency.c.name.label("agency"), member.c.role, mailbox.c.address, mailbox.c.host,
            mailbox.c.port, mailbox.c.state.label("mailbox_state"), mailbox.c.cause, conversation.c.envelope,
            wish.label("wish"),
        )
        .join(conversation, conversation.c.id == case.c.conversation_id)
        .join(contact, contact.c.id == conversation.c.contact_id)
        .join(member, member.c.id == contact.c.member_id, isouter=True)
        .join(agency, agency.c.id == member.c.agency_id, isouter=True)
        .join(mailbox, mailbox.c.member_id == member.c.id, isouter=True)
        .where(case.c.number == number)
    )  # fmt: skip
    return db.execute(query).one_or_none()


def queue(db: Connection) -> list[Row]:
    """All open cases with whom they are about and what they wish for, who has waited longest first."""
    wish = (access_request.c.conversation_id == case.c.conversation_id) & (access_request.c.state == "open")
    query = (
        select(
            case, contact.c.name, contact.c.language, contact.c.channel, agency.c.name.label("agency"),
            access_request.c.agency.label("wants_into"), access_request.c.address.label("wants_with"),
        )
        .join(conversation, conversation.c.id == case.c.conversation_id)
        .join(contact, contact.c.id == conversation.c.contact_id)
        .join(member, member.c.id == contact.c.member_id, isouter=True)
        .join(agency, agency.c.id == member.c.agency_id, isouter=True)
        .join(access_request, wish, isouter=True)
        .where(case.c.closed_at.is_(None))
        .order_by(func.coalesce(case.c.waits_since, case.c.opened_at), case.c.number)
    )  # fmt: skip
    return list(db.execute(query).all())


def waiting(db: Connection) -> dict[str, int]:
    """How many open cases wait for whom: nobody has them, for us, for the person, or for a time."""
    mine = case_when(
        (case.c.state.in_(["new", "snoozed"]), case.c.state),
        (case.c.waits_since.is_not(None), "waiting_for_us"),
        else_="waiting_for_member",
    ).label("mine")
    found = db.execute(select(mine, func.count()).where(case.c.closed_at.is_(None)).group_by(mine))
    return dict.fromkeys(("new", "waiting_for_us", "waiting_for_member", "snoozed"), 0) | {
        row[0]: row[1] for row in found
    }


# --- how long it took -------------------------------------------------------------------------------------------------

_RESOLUTION = func.extract("epoch", case.c.closed_at - case.c.opened_at)
_RESOLVED = case.c.end.in_(["handed_back", "closed"])  # by a person of ours; not who left, or fell silent


def medians(db: Connection, since: datetime) -> tuple[timedelta | None, timedelta | None]:
    """Half of the cases were answered within the first time (of working hours), and resolved within the second one.

    Counted are those that were answered, or resolved, since then.
    """
    answered = func.percentile_cont(0.5).within_group(case.c.answer_seconds).filter(case.c.answered_at >= since)
    resolved = func.percentile_cont(0.5).within_group(_RESOLUTION).filter(case.c.closed_at >= since, _RESOLVED)
    recent = or_(case.c.answered_at >= since, case.c.closed_at >= since)
    found = db.execute(select(answered, resolved).where(recent)).one()
    answer, resolution = (None if one is None else timedelta(seconds=float(one)) for one in found)
    return answer, resolution


@dataclass(frozen=True, slots=True)
class Counted:
    """How many cases took up to each of some numbers of seconds, all of them, and how long they took together."""

    within: tuple[int, ...]
    all: int
    seconds: float


def answer_times(db: Connection, bounds: Sequence[int]) -> Counted:
    """How soon all cases that are known were answered, in seconds of working hours."""
    return _counted(db, case.c.answer_seconds, case.c.answer_seconds.is_not(None), bounds)


def resolution_times(db: Connection, bounds: Sequence[int]) -> Counted:
    """How soon all cases that are known were resolved."""
    return _counted(db, _RESOLUTION, case.c.closed_at.is_not(None) & _RESOLVED, bounds)


def _counted(db: Connection, seconds: ColumnElement[Any], which: ColumnElement[bool], bounds: Sequence[int]) -> Counted:
    within = [func.count().filter(seconds <= one) for one in bounds]
    query = select(func.count(), func.coalesce(func.sum(seconds), 0), *within).where(which)
    number, together, *found = db.execute(query).one()
    return Counted(tuple(found), number, float(together))


# --- what stands in the thread ----------------------------------------------------------------------------------------


def unshown(db: Connection, of: Row, most: int) -> list[Row]:
    """The lines of a transcript that are not in a case's thread yet, in order; none of staff's own.

    And none of after its end, but what was noted for this very thread. Whoever writes a line holds its conversation: a
    lower id never comes later than a higher one.
    """
    talk = message.c.by == "" if of.closed_at is None else and_(message.c.by == "", message.c.at <= of.closed_at)
    told = and_(message.c.direction == "us", message.c.by == str(of.number))
    mine = (message.c.conversation_id == of.conversation_id, message.c.id > of.shown_to, or_(talk, told))
    return list(db.execute(select(message).where(*mine).order_by(message.c.id).limit(most)).all())


def note(db: Connection, number: int, conversation_id: UUID, text: str, at: datetime, *, offers: bool = False) -> None:
    """A line for the team, in the thread of a case, even one that is over. `offers`: with a button for a template."""
    values = {
        "conversation_id": conversation_id, "direction": "us", "text": text, "by": str(number), "at": at,
        "status": OFFERS if offers else "",
    }  # fmt: skip
    db.execute(insert(message).values(values))
    db.execute(update(case).where(case.c.number == number, case.c.root == OVER).values(root=""))


def last_line_before(db: Connection, conversation_id: UUID, lines: int) -> int:
    """The id below which so many last lines of a transcript begin: what a thread is opened with."""
    ids = select(message.c.id).where(message.c.conversation_id == conversation_id).order_by(message.c.id.desc())
    found = list(db.execute(ids.offset(lines).limit(1)).scalars())
    return int(found[0]) if found else 0


def may_post(db: Connection, channel: str, now: datetime) -> datetime:
    """When the next message may be posted into a channel; if that is now, the place is taken."""
    row = upsert(slack_pace).values(channel=channel, next_at=now + POST_EVERY)
    taken = row.on_conflict_do_update(
        index_elements=[slack_pace.c.channel], set_={"next_at": now + POST_EVERY}, where=slack_pace.c.next_at <= now
    ).returning(slack_pace.c.channel)
    if db.execute(taken).one_or_none() is not None:
        return now
    found: datetime = db.execute(select(slack_pace.c.next_at).where(slack_pace.c.channel == channel)).scalar_one()
    return found


def begin_post(db: Connection, seen: Row, what: str, until: datetime, now: datetime) -> bool:
    """Claim a thread, to post something into it until then; False: it is not as it was seen, or somebody else posts."""
    as_seen = (case.c.number == seen.number, case.c.thread == seen.thread, case.c.shown_to == seen.shown_to)
    free = (case.c.posting == seen.posting, or_(case.c.posting == "", case.c.posting_until <= now))
    claimed = update(case).where(*as_seen, *free).values(posting=what, posting_until=until)
    return db.execute(claimed).rowcount == 1


def end_post(db: Connection, number: int, what: str, **values: Any) -> None:
    """It stands there now (or was surely not taken): what is known of the case from now on, if it is still ours."""
    mine = (case.c.number == number, case.c.posting == what)
    db.execute(update(case).where(*mine).values(posting="", posting_until=None, **values))


# --- what staff writes ------------------------------------------------------------------------------------------------


def add_line(db: Connection, number: int, *, ts: str, by: str, text: str, at: datetime, **more: str) -> int | None:
    """What somebody wrote to the person; None where that line is known already. `more`: state, tool, gloss."""
    row = upsert(staff_line).values(case_number=number, ts=ts, by=by, text=text, at=at, **more)
    return db.execute(row.on_conflict_do_nothing().returning(staff_line.c.id)).scalar_one_or_none()


def line(db: Connection, line_id: int) -> Row | None:
    """One line of staff's, locked."""
    return db.execute(select(staff_line).where(staff_line.c.id == line_id).with_for_update()).one_or_none()


def line_by_ts(db: Connection, number: int, ts: str) -> Row | None:
    """The line that was written as this message of the thread, locked."""
    mine = (staff_line.c.case_number == number, staff_line.c.ts == ts)
    return db.execute(select(staff_line).where(*mine).with_for_update()).one_or_none()


def last_template(db: Connection, number: int) -> datetime | None:
    """When the last template of a case was wanted that reached the person, or is on its way; None: none."""
    living = (staff_line.c.tool == TEMPLATE, staff_line.c.state.not_in(["failed", "recalled"]))
    mine = select(func.max(staff_line.c.at)).where(staff_line.c.case_number == number, *living)
    last: datetime | None = db.execute(mine).scalar_one()
    return last


def unsaid_by_window(db: Connection, number: int) -> list[Row]:
    """The lines of a case that were not said because the 24 hours were over, oldest first; none told of since."""
    mine = (staff_line.c.case_number == number, staff_line.c.state == "failed", staff_line.c.tool != TEMPLATE)
    query = select(staff_line).where(*mine, staff_line.c.why.in_(OUT_OF_WINDOW)).order_by(staff_line.c.id)
    return list(db.execute(query).all())


def line_by_promise(db: Connection, promise_id: int) -> Row | None:
    """The line that a promise says, or one message of, locked."""
    return db.execute(select(staff_line).where(_said_by(promise_id)).with_for_update()).one_or_none()


def change_line(db: Connection, line_id: int, **values: Any) -> None:
    """What is known of a line from now on."""
    db.execute(update(staff_line).where(staff_line.c.id == line_id).values(values))


def line_of(db: Connection, promise_id: int) -> UUID | None:
    """The conversation of the line that a promise says, or a part of; None: it says none."""
    query = select(case.c.conversation_id).join(staff_line, staff_line.c.case_number == case.c.number)
    return db.execute(query.where(_said_by(promise_id))).scalar_one_or_none()


def line_went(db: Connection, promise_id: int, state: str, why: str = "") -> Row | None:
    """How far a line has come, never backwards: as it was before; None where it had come as far already.

    One of several messages has come as far as the last of them, and failed when one of them did.
    """
    row = line_by_promise(db, promise_id)
    if row is None:
        return None
    state = _together(db, row.id, promise_id, state)
    if row.state not in ORDER or ORDER.index(state) <= ORDER.index(row.state):
        return None
    change_line(db, row.id, state=state, why=why)
    return row


def _said_by(promise_id: int) -> ColumnElement[bool]:
    parts = select(staff_part.c.line_id).where(staff_part.c.promise_id == promise_id)
    return or_(staff_line.c.promise_id == promise_id, staff_line.c.id.in_(parts))


def _together(db: Connection, line_id: int, promise_id: int, state: str) -> str:
    """How far all messages of a line have come, now that one of them has come so far."""
    rows = db.execute(select(staff_part.c.promise_id, staff_part.c.fate).where(staff_part.c.line_id == line_id)).all()
    fates = {row.promise_id: row.fate for row in rows}
    if promise_id not in fates:
        return state
    if ORDER.index(state) > ORDER.index(fates[promise_id]):
        fates[promise_id] = state
        db.execute(update(staff_part).where(staff_part.c.promise_id == promise_id).values(fate=state))
    return "failed" if "failed" in fates.values() else min(fates.values(), key=ORDER.index)


def lines_to_mark(db: Connection, number: int) -> list[Row]:
    """The lines whose mark in the thread is not the one they should have."""
    mine = (staff_line.c.case_number == number, staff_line.c.shown != staff_line.c.state)
    return list(db.execute(select(staff_line).where(*mine).order_by(staff_line.c.id)).all())


def noted(db: Connection, promise_id: int) -> str:
    """The words of a line as they left, or are leaving."""
    return str(db.execute(select(message.c.text).where(message.c.promise_id == promise_id).limit(1)).scalar_one())


def note_said(db: Connection, conversation_id: UUID, text: str, promise_id: int, by: str, at: datetime) -> None:
    """A line of staff's in the transcript, once: there its callbacks find it."""
    if db.execute(select(message.c.id).where(message.c.promise_id == promise_id).limit(1)).one_or_none() is not None:
        return
    values: Mapping[str, Any] = {
        "conversation_id": conversation_id, "direction": "out", "text": text, "promise_id": promise_id, "by": by,
        "at": at,
    }  # fmt: skip
    db.execute(insert(message).values(values))
