"""Counts for limits, shared by all processes: a storage of the library `limits` on our PostgreSQL.

The moving window was chosen over the sliding window counter:

* it is exact, so the wait that a person is told is true; the counter only estimates it, and takes the present from
  `time.time()` where it does (`SlidingWindowCounterRateLimiter.get_window_stats`), which tests and playground
  could not move;
* a key costs one row with at most as many moments as the limit allows (200 moments: 1.6 kB);
* a hit is one statement: PostgreSQL locks the row, looks again and counts, or leaves it as it was.

A hit counts while it is younger than the window. Processes wait for one another's rows, and their clocks differ a
little, so a hit may lie ahead of the reader's clock: it counts up to one window ahead. After a clock has jumped back
nobody therefore waits longer than two windows.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NoReturn

from limits.storage import MovingWindowSupport, Storage
from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    LargeBinary,
    String,
    Table,
    bindparam,
    column,
    delete,
    func,
    select,
    true,
    update,
)
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import SQLAlchemyError

from bot.store.engine import Connection
from bot.store.tables import Moment, metadata

# A key names a person or a host: only its hash is kept, and every row's key is 32 bytes long.
limit_hit = Table(
    "limit_hit",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("hits", ARRAY(Moment), nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

# How often each limit said no. Whoever adds one takes a row that nobody holds, or makes one: nobody waits for anybody.
limit_refusal = Table(
    "limit_refusal",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", String(32), nullable=False, index=True),
    Column("refused", BigInteger, nullable=False),
)

_hits = func.unnest(limit_hit.c.hits).table_valued(column("hit", Moment), name="each").render_derived()
_hit = _hits.c.hit
_counts = (_hit > bindparam("since", type_=Moment), _hit < bindparam("until", type_=Moment))
_living = func.array(select(_hit).where(*_counts).correlate(limit_hit).scalar_subquery(), type_=ARRAY(Moment))
_row = insert(limit_hit).values(key=bindparam("key"), hits=bindparam("hits"), expires_at=bindparam("until"))
_ACQUIRE = _row.on_conflict_do_update(
    index_elements=[limit_hit.c.key],
    set_={"hits": _row.excluded.hits + _living, "expires_at": _row.excluded.expires_at},
    where=func.cardinality(_living) <= bindparam("room"),
).returning(limit_hit.c.expires_at)
_WINDOW = (
    select(func.min(_hit), func.count(_hit))
    .select_from(limit_hit.join(_hits, true()))
    .where(limit_hit.c.key == bindparam("key"), *_counts)
)


class PostgresStorage(Storage, MovingWindowSupport):
    """Where `MovingWindowRateLimiter` counts: one connection, whose transaction the caller owns.

    What is counted stands when that transaction commits; until then its rows are locked, and whoever counts the same
    keys waits. `clock` gives the present, with its time zone. Every method raises SQLAlchemyError when PostgreSQL
    does not answer. Cheap to make: one for each transaction.
    """

    STORAGE_SCHEME = None  # made with a connection, never from an address

    def __init__(self, connection: Connection, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._connection = connection
        self._clock = clock

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the library would wrap, if asked to."""
        return SQLAlchemyError

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` hits if at most `limit` then lie within `expiry` seconds; whether they were counted."""
        if amount > limit:
            return False
        now = self._clock()
        values = {**_around(key, now, expiry), "hits": [now] * amount, "room": limit - amount}
        return self._connection.execute(_ACQUIRE, values).one_or_none() is not None

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002 - the library's
        """When the oldest hit that counts was (seconds since 1970; without one: now), and how many count."""
        now = self._clock()
        oldest, hits = self._connection.execute(_WINDOW, _around(key, now, expiry)).one()
        return (oldest or now).timestamp(), hits

    def clear(self, key: str) -> None:
        """Forget all hits of a key."""
        self._connection.execute(delete(limit_hit).where(limit_hit.c.key == _hashed(key)))

    def reset(self) -> int:
        """Forget all hits of all keys; how many keys there were."""
        return self._connection.execute(delete(limit_hit)).rowcount

    def check(self) -> bool:
        """Whether hits can be counted here; raises SQLAlchemyError when PostgreSQL or the table is not there."""
        return self._connection.execute(select(limit_hit.c.key).limit(1)).returns_rows

    def incr(self, key: str, expiry: int, amount: int = 1) -> NoReturn:
        """Raise NotImplementedError: a fixed window lets twice the limit pass around its edge."""
        raise NotImplementedError("limits are counted in a moving window here, not in a fixed one")

    def get(self, key: str) -> NoReturn:
        """Raise NotImplementedError, see `incr`."""
        self.incr(key, 0)

    def get_expiry(self, key: str) -> NoReturn:
        """Raise NotImplementedError, see `incr`."""
        self.incr(key, 0)


def note_refusal(db: Connection, name: str) -> None:
    """A limit has said no."""
    free = select(limit_refusal.c.id).where(limit_refusal.c.name == name).limit(1).with_for_update(skip_locked=True)
    mine = db.execute(free).scalar_one_or_none()
    if mine is None:
        db.execute(plain_insert(limit_refusal).values(name=name, refused=1))
    else:
        more = update(limit_refusal).where(limit_refusal.c.id == mine)
        db.execute(more.values(refused=limit_refusal.c.refused + 1))


def refusals(db: Connection) -> dict[str, int]:
    """How often each limit said no; those that never did are missing."""
    counted = select(limit_refusal.c.name, func.sum(limit_refusal.c.refused)).group_by(limit_refusal.c.name)
    return {name: int(refused) for name, refused in db.execute(counted)}


def _around(key: str, now: datetime, seconds: int) -> dict[str, object]:
    window = timedelta(seconds=seconds)
    return {"key": _hashed(key), "since": now - window, "until": now + window}


def _hashed(key: str) -> bytes:
    return sha256(key.encode()).digest()
