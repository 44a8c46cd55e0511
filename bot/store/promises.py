"""Promises: what is still to be done. The row is the truth; wake-ups are only hints.

`todo` - `doing` (claimed by somebody, until the lease runs out) - `done`, `failed`, `unknown` or `dropped`. Speaking
goes in order: of one conversation only the first unfinished speaking promise can be claimed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, insert, select, text, update

from bot.store.engine import Connection
from bot.store.tables import promise

WAKE = "ally_promises"
NUDGE = "remind"


@dataclass(frozen=True, slots=True)
class Promise:
    """A claimed promise. `attempt` is the claim: who finishes must name the same one."""

    id: int
    conversation_id: UUID | None
    lane: str
    kind: str
    payload: Mapping[str, Any]
    ticket: int
    attempt: int


_CLAIMED = (
    promise.c.id,
    promise.c.conversation_id,
    promise.c.lane,
    promise.c.kind,
    promise.c.payload,
    promise.c.ticket,
    promise.c.attempt,
)


def add(db: Connection, *, conversation_id: UUID | None, lane: str, kind: str, payload: Any, ticket: int,
        due_at: datetime, at: datetime) -> int:  # fmt: skip
    """A new promise; its id."""
    row = insert(promise).values(
        conversation_id=conversation_id,
        lane=lane,
        kind=kind,
        payload=payload,
        ticket=ticket,
        due_at=due_at,
        created_at=at,
    )
    return int(db.execute(row.returning(promise.c.id)).scalar_one())


def due(db: Connection, conversation_id: UUID, now: datetime) -> int:
    """How many promises of a conversation are being done, or should be."""
    open_ = and_(promise.c.conversation_id == conversation_id, promise.c.state.in_(("todo", "doing")))
    return int(db.execute(select(func.count()).select_from(promise).where(open_, promise.c.due_at <= now)).scalar_one())


def nudge_at(db: Connection, conversation_id: UUID, due_at: datetime | None, at: datetime) -> None:
    """The one reminder of a conversation: at this time, or none."""
    mine = (promise.c.conversation_id == conversation_id, promise.c.kind == NUDGE, promise.c.state == "todo")
    if due_at is None:
        db.execute(delete(promise).where(*mine))
        return
    moved = db.execute(update(promise).where(*mine).values(due_at=due_at)).rowcount
    if not moved:
        add(db, conversation_id=conversation_id, lane="work", kind=NUDGE, payload={}, ticket=0, due_at=due_at, at=at)


def wake(db: Connection) -> None:
    """Tell the workers at this transaction's commit; may be lost or doubled without harm."""
    db.execute(text(f"notify {WAKE}"))


def claim(db: Connection, lane: str, most: int, now: datetime, leased_until: datetime) -> list[Promise]:
    """Claim what is due in a lane, oldest first."""
    earlier = promise.alias("earlier")
    first = ~exists().where(
        earlier.c.conversation_id == promise.c.conversation_id,
        earlier.c.lane == "speak",
        earlier.c.id < promise.c.id,
        earlier.c.state.in_(("todo", "doing")),
    )
    due = and_(promise.c.lane == lane, promise.c.state == "todo", promise.c.due_at <= now)
    ready = select(promise.c.id).where(and_(due, first) if lane == "speak" else due)
    # A CTE that locks rows is never run twice; a subquery might be, and would then claim too much.
    chosen = ready.order_by(promise.c.due_at, promise.c.id).limit(most).with_for_update(skip_locked=True).cte("chosen")
    claimed = (
        update(promise)
        .where(promise.c.id == chosen.c.id)
        .values(state="doing", attempt=promise.c.attempt + 1, leased_until=leased_until)
        .returning(*_CLAIMED)
    )
    rows = db.execute(claimed).all()
    return sorted((Promise(**row._mapping) for row in rows), key=lambda one: one.id)  # noqa: SLF001


def finish(db: Connection, mine: Promise, state: str, outcome: str = "", provider_id: str | None = None) -> bool:
    """End a promise that is still ours; False: somebody else owns it now, and our result counts for nothing."""
    values = {"state": state, "outcome": outcome[:2000], "leased_until": None, "provider_id": provider_id}
    # What was said may show a mail of the person's: of that the redacted transcript is enough.
    return _still(db, mine, {**values, "payload": {}} if mine.lane == "speak" else values)


def put_off(db: Connection, mine: Promise, due_at: datetime, outcome: str) -> bool:
    """Try again later."""
    return _still(db, mine, {"state": "todo", "due_at": due_at, "leased_until": None, "outcome": outcome[:2000]})


def _still(db: Connection, mine: Promise, values: Mapping[str, Any]) -> bool:
    ours = (promise.c.id == mine.id, promise.c.attempt == mine.attempt, promise.c.state == "doing")
    return db.execute(update(promise).where(*ours).values(values)).rowcount == 1


def revive(db: Connection, promise_id: int, now: datetime) -> bool:
    """Do a promise again that nobody could keep; False when it is not there any more."""
    failed = (promise.c.id == promise_id, promise.c.state == "failed")
    return db.execute(update(promise).where(*failed).values(state="todo", due_at=now)).rowcount == 1


def take_back(db: Connection, now: datetime) -> int:
    """Promises whose owner died: their lease ran out, they are to be done again. How many."""
    dead = (promise.c.state == "doing", promise.c.leased_until < now)
    return db.execute(update(promise).where(*dead).values(state="todo", due_at=now, leased_until=None)).rowcount


def next_due(db: Connection) -> datetime | None:
    """When the next promise is due."""
    soonest = select(func.min(promise.c.due_at)).where(promise.c.state == "todo")
    found: datetime | None = db.execute(soonest).scalar_one()
    return found


def drop_speech(db: Connection, conversation_id: UUID) -> None:
    """A person took over: what the bot still wanted to say is dropped."""
    mine = (promise.c.conversation_id == conversation_id, promise.c.lane == "speak", promise.c.state == "todo")
    db.execute(update(promise).where(*mine).values(state="dropped"))


def depth(db: Connection, now: datetime) -> list[tuple[str, str, int]]:
    """How many promises are due, by lane and state."""
    open_ = promise.c.state.in_(("todo", "doing"))
    query = select(promise.c.lane, promise.c.state, func.count()).where(open_, promise.c.due_at <= now)
    return [(row[0], row[1], row[2]) for row in db.execute(query.group_by(promise.c.lane, promise.c.state))]


def forget_ended(db: Connection, before: datetime, most: int = 5_000) -> int:
    """Erase promises that ended and are older than a time, in bounded batches."""
    old = select(promise.c.id).where(promise.c.created_at < before, promise.c.state.not_in(("todo", "doing")))
    return db.execute(delete(promise).where(promise.c.id.in_(old.limit(most).scalar_subquery()))).rowcount
