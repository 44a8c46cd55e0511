"""Wishes for access: who wants to be a member of which agency, and what was decided."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select, update

from bot.store.engine import Connection, Row
from bot.store.tables import access_request, agency, case, contact, conversation, mailbox, member


def agencies_of_domain(db: Connection, domain: str) -> list[UUID]:
    """The open agencies some of whose members write from addresses under this domain."""
    query = (
        select(member.c.agency_id)
        .distinct()
        .join(mailbox, mailbox.c.member_id == member.c.id)
        .join(agency, agency.c.id == member.c.agency_id)
        .where(func.lower(func.split_part(mailbox.c.address, "@", 2)) == domain)
        .where(member.c.removed_at.is_(None), agency.c.closed_at.is_(None))
    )
    return list(db.execute(query).scalars())


def ask(db: Connection, conversation_id: UUID, *, agency_name: str, address: str, agency_id: UUID | None,
        at: datetime) -> UUID:  # fmt: skip
    """A new wish; an open one of the same person is replaced. `agency_id`: whose admins are asked, else support is."""
    mine = (access_request.c.conversation_id == conversation_id, access_request.c.state == "open")
    db.execute(delete(access_request).where(*mine))
    new = uuid4()
    values = {"conversation_id": conversation_id, "agency": agency_name, "address": address, "agency_id": agency_id}
    db.execute(insert(access_request).values(id=new, at=at, **values))
    return new


_WISH = (
    select(
        access_request,
        contact.c.id.label("contact_id"),
        contact.c.name,
        contact.c.language,
    )
    .join(conversation, conversation.c.id == access_request.c.conversation_id)
    .join(contact, contact.c.id == conversation.c.contact_id)
)


def get(db: Connection, request_id: UUID) -> Row | None:
    """A wish with who has it, locked."""
    query = _WISH.where(access_request.c.id == request_id)
    return db.execute(query.with_for_update(of=access_request)).one_or_none()


def of_case(db: Connection, number: int) -> Row | None:
    """The open wish behind an open case, locked."""
    query = _WISH.join(case, case.c.conversation_id == access_request.c.conversation_id).where(
        case.c.number == number, case.c.closed_at.is_(None), access_request.c.state == "open"
    )
    return db.execute(query.with_for_update(of=access_request)).one_or_none()


def decide(db: Connection, request_id: UUID, state: str) -> None:
    """Granted or declined."""
    db.execute(update(access_request).where(access_request.c.id == request_id).values(state=state))
