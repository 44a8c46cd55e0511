"""What is still to be erased at the providers of people who are erased here: opaque ids of messages, nothing else."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import Connection, Row
from bot.store.tables import provider_erasure as table


def add(db: Connection, channel: str, message_ids: Collection[str], at: datetime) -> None:
    """Have messages erased from a moment on; harmless when said twice."""
    rows = [{"channel": channel, "message_id": one, "due_at": at} for one in message_ids]
    if rows:
        db.execute(upsert(table).on_conflict_do_nothing(), rows)


def due(db: Connection, now: datetime, most: int) -> list[Row]:
    """What is to be erased now, in the order in which it fell due."""
    return list(db.execute(select(table).where(table.c.due_at <= now).order_by(table.c.due_at).limit(most)).all())


def any_due(db: Connection, now: datetime) -> bool:
    """Whether there is anything to be erased now."""
    return bool(db.execute(select(exists().where(table.c.due_at <= now))).scalar_one())


def later(db: Connection, one: Row, at: datetime) -> None:
    """It could not be erased now."""
    db.execute(update(table).where(*_same(one)).values(tries=table.c.tries + 1, due_at=at))


def drop(db: Connection, one: Row) -> None:
    """It is gone there, or never will be."""
    db.execute(delete(table).where(*_same(one)))


def _same(one: Row) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.channel == one.channel, table.c.message_id == one.message_id
