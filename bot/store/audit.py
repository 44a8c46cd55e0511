"""The record of who did what when: read, sealed day by day, and checked.

A day gets one digest, over the digest of the day before and every entry of the day in its order. It stands in
`audit_day` and in the log, so whoever changes an old entry has to change every digest since, and those in the logs.
No statement can change them, or erase what is younger than two years (migration 0016); of days that are older the
digests stay, so that the chain has no gap.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store import bounds
from bot.store.engine import Connection, Row
from bot.store.tables import audit, audit_day

LATE = timedelta(hours=1)  # a transaction that was begun yesterday may end today, by a clock that is not quite ours
MOST = 400  # days that are sealed in one go
OVERDUE = timedelta(days=2)  # after its end a day is sealed, unless no worker ran since
DAY = timedelta(days=1)


class Tampered(Exception):
    """The record is not what was sealed; the message says in one plain sentence which day is the first, and how."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day that is sealed: how many entries it has, and the digest over them and all days before."""

    day: date
    entries: int
    digest: str


def since(db: Connection, begin: datetime | None) -> list[Row]:
    """The entries from a moment on (None: all), oldest first."""
    query = select(audit).order_by(audit.c.id)
    return list(db.execute(query if begin is None else query.where(audit.c.at >= begin)).all())


def seal_days(db: Connection, now: datetime) -> list[Day]:
    """Seal the days that are over and not sealed yet, those without entries too; those that we sealed.

    Without an entry there is nothing to seal. Of two processes that do it at once one does it.
    """
    last = _last(db)
    first = last.day + DAY if last is not None else _first(db)
    over = (now.astimezone(UTC) - LATE).date()
    sealed: list[Day] = []
    while first is not None and first < over and len(sealed) < MOST:
        last = _sealed(db, first, last.digest if last is not None else "")
        row = upsert(audit_day).values(day=last.day, entries=last.entries, digest=last.digest, at=now)
        if not db.execute(row.on_conflict_do_nothing()).rowcount:
            break
        sealed.append(last)
        first += DAY
    return sealed


def verify(db: Connection, now: datetime) -> Day | None:
    """Compare every sealed day with what stands there; the last one, or None when none is sealed yet.

    Of days whose entries have had their time only the digest is left. Raises Tampered, also where a day has been over
    for long and has no digest: whether no worker ran since or somebody took it away cannot be known here.
    """
    last: Day | None = None
    whole = (now.astimezone(UTC) - bounds.KEEP_RECORDS).date() + DAY  # the first day that nothing may be missing of
    for row in db.execute(select(audit_day).order_by(audit_day.c.day)):
        last = _checked(db, Day(row.day, row.entries, row.digest), last, whole)
    bare = _first(db, last.day + DAY if last is not None else None)
    if bare is not None and bare + DAY + OVERDUE < now.astimezone(UTC).date():
        raise Tampered(
            f"{bare:%Y-%m-%d}: this day has no digest: either no worker has run since, or it was taken away."
        )
    return last


def _checked(db: Connection, stored: Day, before: Day | None, whole: date) -> Day:
    if before is None:
        first = _first(db)
        if first is not None and first < stored.day:
            raise Tampered(f"{first:%Y-%m-%d}: this day has entries, and it was never sealed.")
    elif stored.day != before.day + DAY:
        raise Tampered(f"{before.day + DAY:%Y-%m-%d}: the digest of this day is gone.")
    if stored.day < whole:
        return stored
    found = _sealed(db, stored.day, before.digest if before is not None else "")
    if found.entries != stored.entries:
        raise Tampered(f"{stored.day:%Y-%m-%d}: {stored.entries} entries were sealed, {found.entries} are there.")
    if found.digest != stored.digest:
        raise Tampered(
            f"{stored.day:%Y-%m-%d}: the entries of this day, or its digest, are not those that were sealed."
        )
    return stored


def _sealed(db: Connection, day: date, before: str) -> Day:
    digest, count = hashlib.sha256(f"{before}\n{day.isoformat()}\n".encode()), 0
    for line in _lines(db, day):
        digest.update(line.encode() + b"\n")
        count += 1
    return Day(day, count, digest.hexdigest())


def _lines(db: Connection, day: date) -> Iterator[str]:
    """The entries of a day in one fixed form."""
    begin = datetime.combine(day, time(), UTC)
    theirs = select(audit).where(audit.c.at >= begin, audit.c.at < begin + DAY).order_by(audit.c.id)
    for row in db.execute(theirs):
        at = row.at.astimezone(UTC).isoformat(timespec="microseconds")
        yield json.dumps([row.id, at, row.actor, row.action, row.subject], ensure_ascii=True)


def _last(db: Connection) -> Day | None:
    row = db.execute(select(audit_day).order_by(audit_day.c.day.desc()).limit(1)).one_or_none()
    return Day(row.day, row.entries, row.digest) if row is not None else None


def _first(db: Connection, begin: date | None = None) -> date | None:
    """The first day from `begin` on that has entries."""
    query = select(func.min(audit.c.at))
    if begin is not None:
        query = query.where(audit.c.at >= datetime.combine(begin, time(), UTC))
    at = db.execute(query).scalar_one()
    return at.astimezone(UTC).date() if at is not None else None
