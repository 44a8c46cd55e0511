"""The keys with which Ally signs in at our door, to send from a person's mailbox. Of a key only its hash stands here.

A mailbox has one key at most; a new one voids the old one. Removing the mailbox erases it, another address revokes it;
whether mail may leave is the mailbox's state: only one that works lets it through.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import Connection, Row
from bot.store.tables import agency, door_key, mailbox, member

MAX_REFUSAL = 64  # characters


def make(db: Connection, mailbox_id: UUID, key_hash: str, at: datetime) -> None:
    """A new key for a mailbox; the old one is void, and nothing has happened with the new one yet."""
    fresh = {"hash": key_hash, "made_at": at, "used_at": None, "revoked_at": None, "refused_at": None, "refusal": ""}
    row = upsert(door_key).values(mailbox_id=mailbox_id, **fresh)
    db.execute(row.on_conflict_do_update(index_elements=[door_key.c.mailbox_id], set_=fresh))


def revoke(db: Connection, mailbox_id: UUID, at: datetime) -> bool:
    """Take a mailbox's key back; False when it has none."""
    mine = (door_key.c.mailbox_id == mailbox_id, door_key.c.revoked_at.is_(None))
    return db.execute(update(door_key).where(*mine).values(revoked_at=at)).rowcount == 1


def of_mailbox(db: Connection, mailbox_id: UUID) -> Row | None:
    """The key of a mailbox as it is now: not one that was taken back."""
    mine = (door_key.c.mailbox_id == mailbox_id, door_key.c.revoked_at.is_(None))
    return db.execute(select(door_key).where(*mine)).one_or_none()


def used(db: Connection, mailbox_id: UUID, at: datetime) -> None:
    """A mail left through the door with the mailbox's key, or Ally's test signed in with it."""
    seen = func.greatest(door_key.c.used_at, at)
    db.execute(update(door_key).where(door_key.c.mailbox_id == mailbox_id).values(used_at=seen))


def refused(db: Connection, address: str, cause: str, at: datetime) -> None:
    """The door refused somebody who named this address; kept where the address ever had a key, else forgotten.

    `cause`: `wrong_key`, `old_key`, `other_address` (the key is another address's), `other_sender`, `mailbox` (it does
    not work), `limit`; anything else is told as a fault of ours.
    """
    named = select(mailbox.c.id).where(func.lower(mailbox.c.address) == address.lower())
    told = {"refused_at": at, "refusal": cause[:MAX_REFUSAL]}
    db.execute(update(door_key).where(door_key.c.mailbox_id.in_(named)).values(told))


def listed(db: Connection, agency_id: UUID | None = None, address: str = "") -> list[Row]:
    """The keys that are not taken back, with their mailboxes: of all agencies or one, of all addresses or one."""
    query = (
        select(
            agency.c.name.label("agency"),
            member.c.id.label("member_id"),
            member.c.name,
            mailbox.c.id.label("mailbox_id"),
            mailbox.c.address,
            mailbox.c.state,
            door_key.c.made_at,
            door_key.c.used_at,
            door_key.c.refused_at,
            door_key.c.refusal,
        )
        .join(mailbox, mailbox.c.id == door_key.c.mailbox_id)
        .join(member, member.c.id == mailbox.c.member_id)
        .join(agency, agency.c.id == member.c.agency_id)
        .where(door_key.c.revoked_at.is_(None))
        .order_by(agency.c.name, mailbox.c.address)
    )
    if agency_id is not None:
        query = query.where(agency.c.id == agency_id)
    if address:
        query = query.where(func.lower(mailbox.c.address) == address.lower())
    return list(db.execute(query).all())
