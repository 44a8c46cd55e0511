"""Promises: what is still to be done. The row is the truth; wake-ups are only hints.

`todo` - `doing` (claimed by somebody, until the lease runs out) - `done`, `failed`, `unknown` or `dropped`. Speaking
goes in order: of one conversation only the first unfinished speaking promise can be claimed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    FromClause,
    Integer,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import Connection, Row
from bot.store.tables import contact, conversation, in_state, member, membership, promise

WAKE = "ally_promises"
TOLD = "ally told"  # in the info of a connection whose wake-ups are told by something else, see `store.wake.tell_by`
LANES = ("speak", "work", "mail")
NUDGE = "remind"
RECONCILE = "reconcile"
RETEST = "retest"
TELL = "tell"
FILE_COPY = "file_copy"
FETCH_FILE = "fetch_file"
FETCH_CASE_FILE = "fetch_case_file"  # what a person and staff send one another
MAIL_CODE = "mail_code"
DOOR_MAIL = "door_mail"  # what became of a mail of the door whose process died, or whose server did not answer
SHOW_CASE = "show_case"  # the thread of a case as it is now
CASE_TIME = "case_time"  # when a case is to be looked at again
CASE_WINDOW = "case_window"  # when the team is told that somebody's 24 hours are nearly over
SAY_LINE = "say_line"  # what staff wrote to somebody
DESK_USE = "desk_use"  # what staff have filled in, once they are known to be staff
DESK_TEST = "desk_test"  # a live test that staff wants: its result is for the team
WATCH = "watch"  # whether a mailbox that worked still does
WARN = "warn"  # to somebody who did not write: by their channel, by a template, or when they write
ADMIN_WARNING = "admin_warning"  # to an agency's admins: all mailboxes that wait for the same
TEMPLATE = "template"  # said in the words that WhatsApp approved
LOOK_AROUND = "look_around"  # who has left the workspaces
FOLLOW_UP = "follow_up"  # whether somebody who was invited has connected
RENEW_TOKENS = "renew_tokens"  # of Slack's workspaces, where nobody needs one
ERASE_LEFT = "erase_left"  # at the providers: messages of people who are erased here
REVOKE = "revoke"  # at a provider: what people granted there and we gave up
KEEP_GRANTS = "keep_grants"  # fresh: what nobody uses for long would end
LOOK_FOR_ENDS = "look_for_ends"  # whose passwords end soon
PASSWORD_ENDS = "password_ends"  # noqa: S105 - told to one person, by day
SHOW_HOME = "show_home"  # what somebody has open in Slack, as it is now
ERASE_AT_PROVIDER = "EraseAtProvider"  # the name of the talk's own effect
SPEAK = "Speak"  # the same
LASTING = frozenset({SHOW_CASE, CASE_TIME})  # never given up: somebody waits


@dataclass(frozen=True, slots=True)
class Hearer:
    """Whom something is said to, as it was at the claim: all that saying needs, without asking once more."""

    contact_id: UUID
    owner: str
    channel: str
    address: str | None
    external_id: str | None
    language: str


@dataclass(frozen=True, slots=True)
class Promise:
    """A claimed promise, ours until the lease is over. `attempt` is the claim: who finishes must name the same one.

    `to`: of the lane *speak*.
    """

    id: int
    conversation_id: UUID | None
    lane: str
    kind: str
    payload: Mapping[str, Any]
    ticket: int
    attempt: int
    leased_until: datetime
    outcome: str
    to: Hearer | None = None


_CLAIMED = (  # in the order of `Promise`
    promise.c.id,
    promise.c.conversation_id,
    promise.c.lane,
    promise.c.kind,
    promise.c.payload,
    promise.c.ticket,
    promise.c.attempt,
    promise.c.leased_until,
    promise.c.outcome,
)
_HEARER = (  # in the order of `Hearer`
    contact.c.id,
    conversation.c.owner,
    contact.c.channel,
    contact.c.address,
    contact.c.external_id,
    contact.c.language,
)


# Statements of every turn and every look are made once: making one costs as much as running it.
_ADD = insert(promise).returning(promise.c.id)
_ADD_MANY = insert(promise).returning(promise.c.id, sort_by_parameter_order=True)
_MINE = update(promise).where(
    promise.c.id == bindparam("mine"), promise.c.attempt == bindparam("my_attempt"), in_state(promise, "doing")
)
_EARLIEST = select(func.min(promise.c.due_at)).where(
    promise.c.conversation_id == bindparam("of"), in_state(promise, "todo", "doing")
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A promise that is to be made."""

    lane: str
    kind: str
    due_at: datetime
    payload: Mapping[str, Any] = field(default_factory=dict)
    ticket: int = 0


def add(db: Connection, conversation_id: UUID, wanted: Sequence[Wanted], at: datetime) -> list[int]:
    """Make promises for a conversation, in this order; their ids."""
    if not wanted:
        return []
    rows = [_row(one, conversation_id, at) for one in wanted]
    if len(rows) == 1:  # nearly always; the way of many costs twice as much
        return [int(db.execute(_ADD, rows[0]).scalar_one())]
    return [int(number) for number in db.execute(_ADD_MANY, rows).scalars()]


def add_each(db: Connection, wanted: Sequence[tuple[UUID, Wanted]], at: datetime) -> None:
    """Make promises for many conversations at once."""
    if wanted:
        db.execute(insert(promise), [_row(one, conversation_id, at) for conversation_id, one in wanted])


def drop_waiting(db: Connection, conversation_ids: Collection[UUID], kind: str) -> None:
    """Take back what waits in these conversations and is of this kind."""
    theirs = (promise.c.conversation_id.in_(conversation_ids), promise.c.kind == kind, in_state(promise, "todo"))
    db.execute(delete(promise).where(*theirs))


def _row(one: Wanted, conversation_id: UUID, at: datetime) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id,
        "lane": one.lane,
        "kind": one.kind,
        "payload": one.payload,
        "ticket": one.ticket,
        "due_at": one.due_at,
        "created_at": at,
    }


def once(db: Connection, lane: str, kind: str, due_at: datetime, at: datetime) -> None:
    """A promise that belongs to no conversation, unless it stands there already."""
    row = upsert(promise).values(lane=lane, kind=kind, payload={}, due_at=due_at, created_at=at)
    db.execute(
        row.on_conflict_do_nothing(
            index_elements=[promise.c.kind],
            index_where=text("conversation_id is null and state in ('todo', 'doing')"),
        )
    )


def waiting_speech(db: Connection, conversation_id: UUID) -> tuple[int, Any] | None:
    """The last message that a conversation waits to say, if nobody has begun to and one before it is put off.

    Its id and payload. What is about to be said at once is none of these.
    """
    mine = (promise.c.conversation_id == conversation_id, promise.c.lane == "speak", in_state(promise, "todo", "doing"))
    columns = (promise.c.id, promise.c.kind, promise.c.state, promise.c.attempt, promise.c.payload)
    rows = db.execute(select(*columns).where(*mine).order_by(promise.c.id)).all()
    if not rows or not any(row.state == "todo" and row.attempt for row in rows[:-1]):
        return None
    last = rows[-1]
    return (last.id, last.payload) if (last.state, last.attempt, last.kind) == ("todo", 0, "Speak") else None


def say_instead(db: Connection, promise_id: int, payload: Any) -> bool:
    """Give a waiting message other words; False: somebody has begun to say it meanwhile."""
    mine = (promise.c.id == promise_id, in_state(promise, "todo"), promise.c.attempt == 0)
    return db.execute(update(promise).where(*mine).values(payload=payload)).rowcount == 1


def earliest(db: Connection, conversation_id: UUID) -> datetime | None:
    """When the first promise of a conversation that is not kept yet was or will be due; None: all are kept."""
    return db.execute(_EARLIEST, {"of": conversation_id}).scalar_one_or_none()


def one_at(
    db: Connection,
    conversation_id: UUID,
    kind: str,
    due_at: datetime | None,
    at: datetime,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """The one promise of its kind that a conversation may have waiting: at this time, or none."""
    mine = (promise.c.conversation_id == conversation_id, promise.c.kind == kind, in_state(promise, "todo"))
    if due_at is None:
        drop_waiting(db, [conversation_id], kind)
        return
    moved = db.execute(update(promise).where(*mine).values(due_at=due_at, payload=payload or {})).rowcount
    if not moved:
        add(db, conversation_id, [Wanted("work", kind, due_at, payload or {})], at)


def watch(
    db: Connection, conversation_id: UUID, mailbox_id: UUID, due_at: datetime, at: datetime, *, swept: bool = False
) -> None:
    """Promise to look whether a mailbox still works; one promise at most, moved where it would come later.

    `swept`: nobody asked for it, it stands in the row of those that come one after the other.
    """
    payload = {"mailbox": str(mailbox_id), "swept": swept}
    values = {"conversation_id": conversation_id, "lane": "work", "kind": WATCH, "payload": payload}
    row = upsert(promise).values(**values, due_at=due_at, created_at=at)
    db.execute(
        row.on_conflict_do_update(
            index_elements=[text("(payload ->> 'mailbox')")],
            index_where=text("kind = 'watch' and state in ('todo', 'doing')"),
            set_={"due_at": row.excluded.due_at},
            where=and_(in_state(promise, "todo"), promise.c.due_at > row.excluded.due_at),
        )
    )


def they_write(db: Connection, conversation_id: UUID, at: datetime) -> None:
    """What waited for somebody to write is due now: they do."""
    mine = (promise.c.conversation_id == conversation_id, in_state(promise, "todo"))
    values = {
        "due_at": func.least(promise.c.due_at, at),
        "payload": promise.c.payload.op("||")(cast({"wrote": True}, JSONB)),
    }
    db.execute(update(promise).where(*mine, held_back(promise)).values(values))


def drop_warnings(db: Connection, conversation_id: UUID, mailbox_id: UUID) -> None:
    """Somebody has just heard what is the matter with their mailbox: it is not said once more."""
    about = (promise.c.kind == WARN, promise.c.payload["mailbox"].astext == str(mailbox_id))
    mine = (promise.c.conversation_id == conversation_id, in_state(promise, "todo"))
    db.execute(update(promise).where(*mine, *about).values(state="dropped", payload={}))


def held_back(promises: FromClause) -> ColumnElement[bool]:
    """Whether news wait for somebody to write: they were tried in vain, or are to be said unasked, by day."""
    warned = promises.c.kind == literal_column(f"'{WARN}'")
    told = or_(*(promises.c.kind == literal_column(f"'{kind}'") for kind in (TELL, PASSWORD_ENDS)))
    return or_(warned, and_(told, promises.c.attempt > literal_column("0")))


def move(db: Connection, promise_id: int, due_at: datetime) -> None:
    """Make a promise that still waits due at another time."""
    mine = update(promise).where(promise.c.id == promise_id, in_state(promise, "todo"))
    db.execute(mine.values(due_at=due_at))


def cancel(db: Connection, promise_id: int) -> None:
    """Take back a promise that nobody has begun to keep: there is nothing to do any more."""
    db.execute(delete(promise).where(promise.c.id == promise_id, in_state(promise, "todo")))


def last_outcome(db: Connection, conversation_id: UUID, kinds: Collection[str]) -> Row | None:
    """The last promise of these kinds of which something is known: its kind, outcome and when it was made."""
    mine = (promise.c.conversation_id == conversation_id, promise.c.kind.in_(kinds), promise.c.outcome != "")
    columns = select(promise.c.kind, promise.c.outcome, promise.c.created_at)
    return db.execute(columns.where(*mine).order_by(promise.c.id.desc()).limit(1)).one_or_none()


def note(db: Connection, promise_id: int, **facts: Any) -> None:
    """Add to what a promise is about."""
    mine = update(promise).where(promise.c.id == promise_id)
    db.execute(mine.values(payload=promise.c.payload.op("||")(cast(facts, JSONB))))


def hurry(db: Connection, agency_id: UUID, kind: str, at: datetime, again: Sequence[datetime] = ()) -> int:
    """Make due at once what waits for a later time in the conversations of an agency's members; how many.

    `again`: times at which it is done once more, noted in what the promise is about.
    """
    theirs = (
        select(conversation.c.id)
        .join(membership, membership.c.contact_id == conversation.c.contact_id)
        .join(member, member.c.id == membership.c.member_id)
        .where(member.c.agency_id == agency_id)
    )
    waiting = (promise.c.kind == kind, in_state(promise, "todo"), promise.c.conversation_id.in_(theirs))
    noted = cast({"again": [one.isoformat() for one in again]}, JSONB)
    values = {"due_at": at, "payload": promise.c.payload.op("||")(noted)}
    return db.execute(update(promise).where(*waiting).values(values)).rowcount


def wake(db: Connection, lanes: Collection[str] = ()) -> None:
    """Tell the workers at this transaction's commit in which lanes to look (untold: in all).

    May be lost or doubled without harm.
    """
    told: set[str] | None = db.info.get(TOLD)
    if told is not None:
        told |= {*(lanes or LANES)}
        return
    db.execute(_notifying(" ".join(sorted(lanes))))


@cache
def _notifying(lanes: str) -> Executable:
    return text(f"notify {WAKE}, '{lanes}'")


def claim(
    db: Connection, lane: str, most: int, now: datetime, leased_until: datetime, of: Sequence[int] | None = None
) -> list[Promise]:
    """Claim what is due in a lane, oldest first; with `of`, only these, as far as nobody else has claimed them."""
    when = {"of_lane": lane, "most": most, "now": now, "until": leased_until}
    rows = db.execute(_claiming(lane, listed=of is not None), when | ({} if of is None else {"of": list(of)})).all()
    return sorted((_claimed(row) for row in rows), key=lambda one: one.id)


def _claimed(row: Row) -> Promise:
    mine, to = row[: len(_CLAIMED)], row[len(_CLAIMED) :]
    return Promise(*mine, *([Hearer(*to)] if to else []))


def in_turn(db: Connection, lane: str, now: datetime, most: int) -> list[int]:
    """What is due in a lane, as it is fair between agencies: the oldest of each, then the second oldest of each ...

    Who belongs to no agency counts as one together, and so does what belongs to nobody.
    """
    return list(db.execute(_in_turn(lane), {"of_lane": lane, "now": now, "most": most}).scalars())


def oldest_due(db: Connection, lane: str, now: datetime) -> datetime | None:
    """Since when what could be claimed next in a lane is due; None: nothing is."""
    query = select(promise.c.due_at).where(_ready(lane)).order_by(promise.c.due_at).limit(1)
    return db.execute(query, {"of_lane": lane, "now": now}).scalar_one_or_none()


def speech_waits(db: Connection, conversation_id: UUID) -> bool:
    """Whether anything is still to be said in a conversation."""
    mine = (promise.c.conversation_id == conversation_id, promise.c.lane == "speak", in_state(promise, "todo", "doing"))
    return bool(db.execute(select(exists().where(*mine))).scalar_one())


def _ready(lane: str) -> ColumnElement[bool]:
    """Which promises of `:of_lane` may be claimed at `:now`."""
    due = and_(promise.c.lane == bindparam("of_lane"), in_state(promise, "todo"), promise.c.due_at <= bindparam("now"))
    earlier = promise.alias("earlier")
    first = ~exists().where(
        earlier.c.conversation_id == promise.c.conversation_id,
        earlier.c.lane == "speak",
        earlier.c.id < promise.c.id,
        in_state(earlier, "todo", "doing"),
    )
    return and_(due, first) if lane == "speak" else due


@cache
def _in_turn(lane: str) -> Executable:
    whose = (promise.c.conversation_id.is_(None), member.c.agency_id)
    place = func.row_number().over(partition_by=whose, order_by=(promise.c.due_at, promise.c.id))
    ready = (
        select(promise.c.id, promise.c.due_at, place.label("place"))
        .select_from(promise)
        .join(conversation, conversation.c.id == promise.c.conversation_id, isouter=True)
        .join(contact, contact.c.id == conversation.c.contact_id, isouter=True)
        .join(member, member.c.id == contact.c.member_id, isouter=True)
        .where(_ready(lane))
        .subquery()
    )
    fair = select(ready.c.id).order_by(ready.c.place, ready.c.due_at, ready.c.id)
    return fair.limit(bindparam("most", type_=Integer))


@cache
def _claiming(lane: str, *, listed: bool = False) -> Executable:
    ready = select(promise.c.id).where(_ready(lane))
    if listed:
        ready = ready.where(promise.c.id == any_(bindparam("of", type_=ARRAY(BigInteger))))
    # A CTE that locks rows is never run twice; a subquery might be, and would then claim too much.
    oldest = ready.order_by(promise.c.due_at, promise.c.id).limit(bindparam("most", type_=Integer))
    chosen = oldest.with_for_update(skip_locked=True).cte("chosen")
    claimed = (
        update(promise)
        .where(promise.c.id == chosen.c.id)
        .values(state="doing", attempt=promise.c.attempt + 1, leased_until=bindparam("until"))
    )
    if lane != "speak":
        return claimed.returning(*_CLAIMED)
    whose = (conversation.c.id == promise.c.conversation_id, contact.c.id == conversation.c.contact_id)
    return claimed.where(*whose).returning(*_CLAIMED, *_HEARER)


def finish(db: Connection, mine: Promise, state: str, outcome: str = "", provider_id: str | None = None) -> bool:
    """End a promise that is still ours; False: somebody else owns it now, and our result counts for nothing."""
    values = {"state": state, "outcome": outcome[:2000], "leased_until": None, "provider_id": provider_id}
    # What was said may show a mail of the person's: of that the redacted transcript is enough.
    return _still(db, mine, {**values, "payload": {}} if mine.lane == "speak" else values)


def put_off(db: Connection, mine: Promise, due_at: datetime, outcome: str) -> bool:
    """Try again later."""
    return _still(db, mine, {"state": "todo", "due_at": due_at, "leased_until": None, "outcome": outcome[:2000]})


def mark(db: Connection, mine: Promise, outcome: str) -> bool:
    """Note how far a promise that is still ours has come; False: somebody else owns it now."""
    return _still(db, mine, {"outcome": outcome})


def _still(db: Connection, mine: Promise, values: Mapping[str, Any]) -> bool:
    return db.execute(_MINE, {"mine": mine.id, "my_attempt": mine.attempt, **values}).rowcount == 1


def revive(db: Connection, promise_id: int, now: datetime) -> bool:
    """Do a promise again that nobody could keep; False when it is not there any more."""
    failed = (promise.c.id == promise_id, in_state(promise, "failed"), promise.c.kind != WATCH)  # it is promised anew
    return db.execute(update(promise).where(*failed).values(state="todo", due_at=now)).rowcount == 1


def renew(db: Connection, held: Sequence[tuple[Promise, datetime]]) -> None:
    """Whoever is still at these keeps them until then, as far as they are still theirs."""
    rows = [{"mine": one.id, "my_attempt": one.attempt, "leased_until": until} for one, until in held]
    db.execute(_MINE.values(leased_until=bindparam("leased_until")), rows)


def leased_until(db: Connection, mine: Promise) -> datetime | None:
    """Until when a promise is ours as it stands now; None: somebody else owns it, or has done it."""
    claim = (promise.c.id == mine.id, promise.c.attempt == mine.attempt, in_state(promise, "doing"))
    return db.execute(select(promise.c.leased_until).where(*claim)).scalar_one_or_none()


def take_back(db: Connection, now: datetime) -> int:
    """Promises whose owner died: their lease ran out, they are to be done again. How many."""
    dead = (in_state(promise, "doing"), promise.c.leased_until < now)
    return db.execute(update(promise).where(*dead).values(state="todo", due_at=now, leased_until=None)).rowcount


def drop_speech(db: Connection, conversation_id: UUID) -> list[int]:
    """A person took over: what the bot still wanted to say is dropped, or theirs would wait behind it.

    The ids of what surely was not said.
    """
    mine = (promise.c.conversation_id == conversation_id, promise.c.kind == SPEAK, in_state(promise, "todo"))
    dropped = update(promise).where(*mine).values(state="dropped", payload={})
    rows = db.execute(dropped.returning(promise.c.id, promise.c.attempt)).all()
    return [int(row.id) for row in rows if not row.attempt]


def depth(db: Connection, now: datetime) -> list[tuple[str, str, int]]:
    """How many promises are due, by lane and state."""
    open_ = in_state(promise, "todo", "doing")
    query = select(promise.c.lane, promise.c.state, func.count()).where(open_, promise.c.due_at <= now)
    return [(row[0], row[1], row[2]) for row in db.execute(query.group_by(promise.c.lane, promise.c.state))]
