"""Sealed records. What stands here is of no use without the keys, which are elsewhere."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import WITH_KEY, Connection
from bot.store.tables import file, key_check, mailbox, oauth_grant, outgoing_mail, secret


@dataclass(frozen=True, slots=True)
class Record:
    """One sealed record with what it is bound to."""

    id: UUID
    kind: str
    owner_id: UUID
    bound_to: Mapping[str, Any]
    key_id: str
    nonce: bytes
    box: bytes
    created_at: datetime
    expires_at: datetime | None


def put(db: Connection, record: Record) -> None:
    """Keep a sealed record."""
    values = {name: getattr(record, name) for name in Record.__slots__}
    db.execute(insert(secret).values(values))


def get(db: Connection, secret_id: UUID) -> Record | None:
    """A sealed record; None when it was erased."""
    row = db.execute(select(secret).where(secret.c.id == secret_id)).one_or_none()
    return Record(**row._mapping) if row is not None else None  # noqa: SLF001 - SQLAlchemy's public mapping


def keep_until(db: Connection, secret_id: UUID, until: datetime | None) -> None:
    """Change when a record is erased; None: not by itself."""
    db.execute(update(secret).where(secret.c.id == secret_id).values(expires_at=until))


def reseal(db: Connection, secret_id: UUID, key_id: str, nonce: bytes, box: bytes) -> None:
    """Another box in the same place: what lies there was renewed."""
    db.execute(update(secret).where(secret.c.id == secret_id).values(key_id=key_id, nonce=nonce, box=box))


def of_other_keys(db: Connection, key_id: str, after: UUID | None, most: int, *, wait: bool) -> list[UUID]:
    """Records that another key sealed, in the order of their ids, and locked: nobody changes or erases them meanwhile.

    `wait`: for who holds one at this moment; else it is passed over, and nobody can come to wait for one another.
    """
    query = select(secret.c.id).where(secret.c.key_id != key_id).order_by(secret.c.id).limit(most)
    query = query if after is None else query.where(secret.c.id > after)
    # Not a full lock: whoever stores something that refers to a record need not wait for us.
    return list(db.execute(query.with_for_update(key_share=True, skip_locked=not wait)).scalars())


def following(db: Connection, after: UUID | None, most: int) -> list[Record]:
    """Records in the order of their ids."""
    query = select(secret).order_by(secret.c.id).limit(most)
    rows = db.execute(query if after is None else query.where(secret.c.id > after))
    return [Record(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public mapping


def by_key(db: Connection) -> dict[str, int]:
    """How many records each key sealed."""
    rows = db.execute(select(secret.c.key_id, func.count()).group_by(secret.c.key_id))
    return {row[0]: row[1] for row in rows}


def forget_check(db: Connection, key_id: str) -> None:
    """A process that has this key alone is not let in any more."""
    db.execute(delete(key_check).where(key_check.c.key_id == key_id))


def at_work(db: Connection) -> set[str]:
    """The keys with which processes on this database seal at this moment; see `engine.connect`.

    https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
    """
    query = text(
        "select application_name from pg_stat_activity where application_name like :name "
        "and datname = current_database()"
    )
    return {name.removeprefix(WITH_KEY) for name in db.execute(query, {"name": f"{WITH_KEY}%"}).scalars()}


def erase(db: Connection, secret_ids: Iterable[UUID]) -> None:
    """Erase records; see `_erase`."""
    _erase(db, secret.c.id.in_(list(secret_ids)))


def erase_of(db: Connection, owners: Iterable[UUID]) -> None:
    """Erase all records of these owners; see `_erase`."""
    _erase(db, secret.c.owner_id.in_(list(owners)))


def _erase(db: Connection, *which: ColumnElement[bool]) -> int:
    """Erase records, with the access tokens of those that are grants; how many.

    A grant that its provider takes back when asked stays sealed until that was done (`bot.grants.revoke`): nothing
    signs in with it any more, and whose it was is forgotten at once.
    """
    ids = list(db.execute(select(secret.c.id).where(*which)).scalars())
    if not ids:
        return 0
    mine = oauth_grant.c.secret_id.in_(ids)
    tokens = list(db.execute(select(oauth_grant.c.access_id).where(mine).with_for_update()).scalars())
    gone = update(oauth_grant).where(mine, oauth_grant.c.revocable).values(leaving=True, account="")
    stays = set(db.execute(gone.returning(oauth_grant.c.secret_id)).scalars())
    if stays:
        db.execute(update(mailbox).where(mailbox.c.secret_id.in_(stays)).values(secret_id=None))
        db.execute(update(secret).where(secret.c.id.in_(stays)).values(expires_at=None))
    erased = [one for one in (*ids, *tokens) if one is not None and one not in stays]
    return db.execute(delete(secret).where(secret.c.id.in_(erased))).rowcount


def forget_expired(db: Connection, now: datetime, most: int) -> int:
    """Erase what had its time, at most about so many; how many.

    Never what a mailbox signs in with, or a mail under way still needs.
    The secret of a mailbox that only waits for its server has its time, too.
    """
    used = select(mailbox.c.secret_id).where(mailbox.c.secret_id.is_not(None), mailbox.c.state != "waiting")
    to_be_sent = outgoing_mail.c.state.in_(["todo", "handing"])  # an accepted one waits for its copy only
    under_way = select(outgoing_mail.c.content_id).where(outgoing_mail.c.content_id.is_not(None), to_be_sent)
    going = select(file.c.content_id).join(outgoing_mail, outgoing_mail.c.id == file.c.mail_id)
    with_it = going.where(file.c.content_id.is_not(None), to_be_sent)
    needed = (secret.c.id.not_in(used), secret.c.id.not_in(under_way), secret.c.id.not_in(with_it))
    batch = select(secret.c.id).where(secret.c.expires_at < now, *needed).order_by(secret.c.expires_at).limit(most)
    return _erase(db, secret.c.id.in_(batch))


def checks(db: Connection) -> list[tuple[str, bytes, bytes]]:
    """The rows that tell a right key from a wrong one."""
    return [(row.key_id, row.nonce, row.box) for row in db.execute(select(key_check))]


def add_check(db: Connection, key_id: str, nonce: bytes, box: bytes) -> None:
    """Keep the check of a key that is used for the first time; harmless when another process was faster."""
    db.execute(upsert(key_check).values(key_id=key_id, nonce=nonce, box=box).on_conflict_do_nothing())


def forget_all(db: Connection, now: datetime, but_of: Collection[str] = ()) -> tuple[int, int]:
    """Erase every sealed record and what tells the keys; how many records, and mailboxes that now need a password.

    `but_of`: what these keys sealed stays.
    """
    lost_ones = select(secret.c.id).where(secret.c.key_id.not_in(but_of))
    used = (mailbox.c.secret_id.in_(lost_ones), mailbox.c.state != "off")
    lost = {
        "state": "broken",
        "cause": "",  # no server refused it
        "who": "user",
        "since": now,
        "version": mailbox.c.version + 1,
    }
    mailboxes = db.execute(update(mailbox).where(*used).values(**lost)).rowcount
    records = db.execute(delete(secret).where(secret.c.key_id.not_in(but_of))).rowcount
    db.execute(delete(key_check).where(key_check.c.key_id.not_in(but_of)))
    return records, mailboxes
