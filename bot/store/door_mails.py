"""Mails that came in at the door: noted before their last byte leaves, so that none leaves twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, insert, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store import promises
from bot.store.engine import Connection, Row
from bot.store.promises import Wanted
from bot.store.tables import door_mail, outgoing_mail


@dataclass(frozen=True, slots=True)
class Once:
    """By what a mail is known again: its mailbox, its digest, and whether it came with a Message-ID of its own."""

    mailbox_id: UUID
    digest: str
    own_id: bool


def hurried(db: Connection) -> None:
    """What this transaction writes may be lost where PostgreSQL dies at once: counts, which nobody's mail hangs on."""
    db.execute(text("set local synchronous_commit = off"))


def known(db: Connection, once: Once, since: datetime, since_without_id: datetime) -> Row | None:
    """The same mail as it was handed in before, with its state; a Message-ID tells it for longer than bytes alone."""
    lately = or_(
        and_(door_mail.c.own_id, door_mail.c.at > since), and_(~door_mail.c.own_id, door_mail.c.at > since_without_id)
    )
    columns = (outgoing_mail.c.id, outgoing_mail.c.state, outgoing_mail.c.at, door_mail.c.promise_id)
    query = (
        select(*columns)
        .join(outgoing_mail, outgoing_mail.c.id == door_mail.c.mail_id)
        .where(door_mail.c.mailbox_id == once.mailbox_id, door_mail.c.digest == once.digest, lately)
    )
    return db.execute(query).one_or_none()


def begin(
    db: Connection, mail_id: UUID, values: Mapping[str, Any], once: Once, since: datetime, look_at: datetime
) -> int | None:
    """Note that a mail's last byte is about to leave; the id of the promise that looks after it.

    None: the same mail is known since `since`, and this one must not leave.
    """
    now: datetime = values["at"]
    same = (door_mail.c.mailbox_id == once.mailbox_id, door_mail.c.digest == once.digest)
    db.execute(delete(door_mail).where(*same, door_mail.c.at <= since))
    db.execute(insert(outgoing_mail).values(id=mail_id, state="handing", **values))
    wanted = Wanted("mail", promises.DOOR_MAIL, look_at, {"mail": str(mail_id)})
    (promise_id,) = promises.add(db, values["conversation_id"], [wanted], now)
    row = upsert(door_mail).values(
        mail_id=mail_id, mailbox_id=once.mailbox_id, digest=once.digest, own_id=once.own_id, promise_id=promise_id,
        at=now,
    )  # fmt: skip
    once_only = row.on_conflict_do_nothing(index_elements=[door_mail.c.mailbox_id, door_mail.c.digest])
    noted = db.execute(once_only.returning(door_mail.c.mail_id)).one_or_none()
    return promise_id if noted is not None else None


def refused(db: Connection, mail_id: UUID) -> None:
    """It did not leave: handed in again it is a new mail."""
    db.execute(delete(door_mail).where(door_mail.c.mail_id == mail_id))


def is_of_the_door(db: Connection, mail_id: UUID) -> bool:
    """Whether a mail came in there, lately."""
    return db.execute(select(door_mail.c.mail_id).where(door_mail.c.mail_id == mail_id)).first() is not None


def forget_old(db: Connection, before: datetime, most: int = 5_000) -> int:
    """Forget what is not known again any more, in bounded batches."""
    old = select(door_mail.c.mail_id).where(door_mail.c.at < before).limit(most)
    return db.execute(delete(door_mail).where(door_mail.c.mail_id.in_(old))).rowcount


def counted(db: Connection) -> list[tuple[str, int]]:
    """How many mails of the last day stand in which state."""
    query = select(outgoing_mail.c.state, func.count()).join(door_mail, door_mail.c.mail_id == outgoing_mail.c.id)
    return [(row[0], row[1]) for row in db.execute(query.group_by(outgoing_mail.c.state))]
