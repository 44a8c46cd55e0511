"""Short codes with which a member comes in by another entrance; only their hashes are stored."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, or_, select, update

from bot.store.engine import Connection, Row
from bot.store.tables import agency, entrance_code, mailbox, member

MOST = 1_000  # codes that are looked through: more are not open within ten minutes


def add(db: Connection, member_id: UUID, conversation_id: UUID | None, tries: int, expires_at: datetime) -> UUID:
    """A code to be made; older ones for the same use are void. `conversation_id`: the only one that may use it."""
    shown = (entrance_code.c.member_id == member_id, entrance_code.c.conversation_id.is_(None))
    mailed = (entrance_code.c.conversation_id == conversation_id,)
    db.execute(delete(entrance_code).where(*(shown if conversation_id is None else mailed)))
    new = uuid4()
    values = {"member_id": member_id, "conversation_id": conversation_id, "tries_left": tries, "expires_at": expires_at}
    db.execute(insert(entrance_code).values(id=new, **values))
    return new


def set_code(db: Connection, row_id: UUID, code_hash: str, expires_at: datetime) -> None:
    """The code as it is told now, good until then."""
    mine = update(entrance_code).where(entrance_code.c.id == row_id)
    db.execute(mine.values(code_hash=code_hash, expires_at=expires_at))


def get(db: Connection, row_id: UUID) -> Row | None:
    """A code that was not used up."""
    return db.execute(select(entrance_code).where(entrance_code.c.id == row_id)).one_or_none()


def open_ones(db: Connection, conversation_id: UUID, now: datetime) -> list[Row]:
    """The codes that may be used in a conversation now, locked."""
    usable = or_(entrance_code.c.conversation_id == conversation_id, entrance_code.c.conversation_id.is_(None))
    query = select(entrance_code).where(usable, entrance_code.c.expires_at > now, entrance_code.c.tries_left > 0)
    return list(db.execute(query.order_by(entrance_code.c.id).limit(MOST).with_for_update()).all())


def one_try_less(db: Connection, ids: Sequence[UUID]) -> None:
    """A wrong code was typed."""
    mine = update(entrance_code).where(entrance_code.c.id.in_(list(ids)))
    db.execute(mine.values(tries_left=entrance_code.c.tries_left - 1))


def use_up(db: Connection, row_id: UUID) -> None:
    """A code is good once."""
    db.execute(delete(entrance_code).where(entrance_code.c.id == row_id))


def member_by_address(db: Connection, address: str) -> UUID | None:
    """The one member in an open agency whose working mailbox has this address; None if none or several."""
    query = (
        select(member.c.id)
        .join(mailbox, mailbox.c.member_id == member.c.id)
        .join(agency, agency.c.id == member.c.agency_id)
        .where(func.lower(mailbox.c.address) == address.lower(), mailbox.c.state == "works")
        .where(member.c.removed_at.is_(None), agency.c.closed_at.is_(None))
    )
    found = list(db.execute(query).scalars())
    return found[0] if len(found) == 1 else None
