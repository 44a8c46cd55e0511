"""What the alarms look at, which of them were told, and who has given a sign of life."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import Connection
from bot.store.tables import alarm, dead_letter, in_state, promise, sign_of_life


def alive(db: Connection, who: str, now: datetime) -> None:
    """Somebody works."""
    row = upsert(sign_of_life).values(who=who, at=now)
    db.execute(row.on_conflict_do_update(index_elements=[sign_of_life.c.who], set_={"at": now}))


def last_sign(db: Connection, who: str) -> datetime | None:
    """When somebody last gave a sign of life; None: never."""
    found: datetime | None = db.execute(select(sign_of_life.c.at).where(sign_of_life.c.who == who)).scalar_one_or_none()
    return found


def claim(db: Connection, name: str, now: datetime, every: timedelta) -> bool:
    """Whether this alarm is to be told now, by us: of several processes one gets it, at most once in that time."""
    row = upsert(alarm).values(name=name, told_at=now)
    mine = row.on_conflict_do_update(
        index_elements=[alarm.c.name], set_={"told_at": now}, where=alarm.c.told_at <= now - every
    )
    return db.execute(mine.returning(alarm.c.name)).one_or_none() is not None


def give_back(db: Connection, name: str, told_at: datetime) -> None:
    """It reached nobody: it counts as told at another time, so that it is tried again."""
    db.execute(update(alarm).where(alarm.c.name == name).values(told_at=told_at))


def dead_letters(db: Connection, since: datetime) -> int:
    """How many turns raised since then and wait to be replayed."""
    new = (dead_letter.c.at > since, dead_letter.c.replayed_at.is_(None))
    return int(db.execute(select(func.count()).where(*new)).scalar_one())


def failed(db: Connection, since: datetime) -> dict[str, int]:
    """How many promises that were made since then failed for good, by lane."""
    query = select(promise.c.lane, func.count()).where(in_state(promise, "failed"), promise.c.created_at > since)
    return {row[0]: row[1] for row in db.execute(query.group_by(promise.c.lane))}


def refused_with(db: Connection, codes: Collection[str], since: datetime) -> str:
    """A provider's code with which something that we made or still try since then was refused; empty: none."""
    fresh = or_(in_state(promise, "todo", "doing"), and_(in_state(promise, "failed"), promise.c.created_at > since))
    code = func.split_part(promise.c.outcome, ":", 1)
    found = db.execute(select(code).where(fresh, code.in_(list(codes))).limit(1)).scalar_one_or_none()
    return str(found or "")


def oldest_due(db: Connection, now: datetime) -> dict[str, datetime]:
    """Since when the oldest promise that nobody has claimed is due, by lane; lanes without any are left out."""
    due = (in_state(promise, "todo"), promise.c.due_at <= now)
    query = select(promise.c.lane, func.min(promise.c.due_at)).where(*due)
    return {row[0]: row[1] for row in db.execute(query.group_by(promise.c.lane))}


def size(db: Connection) -> int:
    """Bytes of this database."""
    return int(db.execute(text("select pg_database_size(current_database())")).scalar_one())
