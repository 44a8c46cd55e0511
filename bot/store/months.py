"""The transcript lies in months: partitions of `message`, made ahead of time, and dropped when all in them is too old.

Their names are the truth (all in UTC): `message_2026_11` has that month, `message_until_2026_12` what was written
before there were months, and `message_rest` what no month was made for yet; it is moved when the month is made.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from bot.store.engine import Connection, Engine, reading
from bot.store.storage import STORAGE, options

AHEAD = 2  # months: a worker may be away for so long, and nothing has to be moved
REST = "message_rest"
# Shorter than PostgreSQL's `deadlock_timeout` (a second): of two who wait for one another it is us who gives way.
PATIENCE = "200ms"
_NAME = re.compile(r"message_(until_)?(\d{4})_(\d\d)")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A partition of the transcript: nothing in it was written at `until` or later."""

    name: str
    until: datetime
    older: bool = False  # it begins with the first line there ever was


def partitions(db: Connection) -> frozenset[str]:
    """The names of all tables that are parts of another one, and as such in no list of our tables."""
    query = text("select relname from pg_class where relispartition and relkind = 'r'")
    return frozenset(db.execute(query).scalars())


def no_partition(db: Connection) -> Callable[[str | None, str, object], bool]:
    """Which names Alembic is to compare with our tables: all but those of partitions, which no table of ours has."""
    theirs = partitions(db)
    return lambda name, kind, _parents: kind != "table" or name not in theirs


def parts(db: Connection) -> list[Part]:
    """The partitions of the transcript, but for the rest; the oldest first."""
    found = [_part(name) for name in partitions(db)]
    return sorted((part for part in found if part is not None), key=lambda part: part.until)


def _part(name: str) -> Part | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    begins = datetime(int(match[2]), int(match[3]), 1, tzinfo=UTC)
    return Part(name, begins if match[1] else _after(begins), older=bool(match[1]))


def tend(engine: Engine, now: datetime, before: datetime) -> None:
    """Make the months to come, drop those in which everything was written before a time.

    The transcript is locked for that: if it cannot be had at once nothing is done, and a later call does it.
    """
    with reading(engine) as db:
        if not any(_to_do(parts(db), now, before)):
            return
    try:
        with engine.begin() as db:
            _lock(db)
            missing, past = _to_do(parts(db), now, before)
            for month in missing:
                _make(db, month)
            for part in past:
                db.execute(text(f"drop table {part.name}"))
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        _log.info("the transcript is in use: its months are tended later")
        return
    if past:
        _log.info("months of the transcript are dropped", names=[part.name for part in past])


def _to_do(there: list[Part], now: datetime, before: datetime) -> tuple[list[datetime], list[Part]]:
    """The months that are to be made, and the parts that are to be dropped."""
    months = [_month(now)]
    for _ in range(AHEAD):
        months.append(_after(months[-1]))
    names = {part.name for part in there}
    older = max((part.until for part in there if part.older), default=months[0])
    missing = [month for month in months if _name(month) not in names and month >= older]
    return missing, [part for part in there if part.until <= before]


def _lock(db: Connection) -> None:
    """In the order of a turn: what a new part refers to first."""
    db.execute(text(f"set local lock_timeout = '{PATIENCE}'"))
    db.execute(text("lock table conversation in share row exclusive mode"))
    db.execute(text("lock table message in access exclusive mode"))


def _make(db: Connection, month: datetime) -> None:
    """A new part, with what the rest has of it."""
    name, since, until = _name(month), month.isoformat(), _after(month).isoformat()
    db.execute(text(f"create table {name} (like message including all)"))
    db.execute(text(f"alter table {name} set ({options(STORAGE['message'])})"))
    within = f"at >= '{since}' and at < '{until}'"
    moved = f"with moved as (delete from {REST} where {within} returning *) insert into {name} select * from moved"  # noqa: S608 - dates and names of ours
    db.execute(text(moved))
    db.execute(text(f"alter table message attach partition {name} for values from ('{since}') to ('{until}')"))


def _name(month: datetime) -> str:
    return f"message_{month:%Y_%m}"


def _month(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _after(month: datetime) -> datetime:
    """The month after one."""
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
