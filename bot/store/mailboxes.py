"""Mailboxes, the one-time links through which their secrets come, and the mails that leave from them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Text, bindparam, cast, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store import doors, files
from bot.store.engine import Connection, Row
from bot.store.tables import (
    agency,
    contact,
    conversation,
    door_key,
    link,
    link_token,
    mailbox,
    member,
    membership,
    oauth_app,
    oauth_grant,
    outgoing_mail,
)

MAX_TOKENS_PER_LINK = 10  # a question asked again gives the same link another address
_other, _their = member.alias("other"), agency.alias("their")
_roles = (
    select(func.count())
    .select_from(membership)
    .join(_other, _other.c.id == membership.c.member_id)
    .join(_their, _their.c.id == _other.c.agency_id)
    .where(membership.c.contact_id == bindparam("contact"), _other.c.removed_at.is_(None), _their.c.closed_at.is_(None))
    .scalar_subquery()
)
# The apps of an agency's own: {provider: [client id, tenant]}.
APPS = (
    select(func.json_object_agg(oauth_app.c.provider, func.json_build_array(oauth_app.c.client_id, oauth_app.c.tenant)))
    .where(oauth_app.c.agency_id == agency.c.id, oauth_app.c.secret_id.is_not(None))
    .correlate(agency)
    .scalar_subquery()
)
_STANDING = (
    select(
        member.c.id,
        member.c.name,
        member.c.role,
        agency.c.id.label("agency_id"),
        agency.c.name.label("agency"),
        agency.c.timezone,
        agency.c.host.label("agency_host"),
        agency.c.port.label("agency_port"),
        agency.c.security.label("agency_security"),
        agency.c.server_rule,
        mailbox.c.id.label("mailbox_id"),
        mailbox.c.address,
        mailbox.c.user_name,
        mailbox.c.host,
        mailbox.c.port,
        mailbox.c.security,
        mailbox.c.state,
        mailbox.c.cause,
        mailbox.c.version,
        mailbox.c.size,
        mailbox.c.secret_id,
        mailbox.c.transport,
        oauth_grant.c.provider.label("signed_in"),
        door_key.c.mailbox_id.label("door"),
        door_key.c.used_at.label("door_used_at"),
        door_key.c.refused_at.label("door_refused_at"),
        door_key.c.refusal.label("door_refusal"),
        APPS.label("apps"),
        _roles.label("roles"),
    )
    .join(agency, agency.c.id == member.c.agency_id)
    .join(mailbox, mailbox.c.member_id == member.c.id, isouter=True)
    .join(oauth_grant, oauth_grant.c.secret_id == mailbox.c.secret_id, isouter=True)
    .join(door_key, (door_key.c.mailbox_id == mailbox.c.id) & door_key.c.revoked_at.is_(None), isouter=True)
    .where(member.c.id == bindparam("member"), member.c.removed_at.is_(None), agency.c.closed_at.is_(None))
)


def of_member(db: Connection, member_id: UUID) -> Row | None:
    """The mailbox of a member."""
    return db.execute(select(mailbox).where(mailbox.c.member_id == member_id)).one_or_none()


def standing(db: Connection, member_id: UUID, contact_id: UUID) -> Row | None:
    """A member with agency and mailbox, for the facts of a turn; None when removed or the agency is closed.

    `roles`: for how many members in open agencies the contact may act.
    """
    return db.execute(_STANDING, {"member": member_id, "contact": contact_id}).one_or_none()


def save(db: Connection, member_id: UUID, values: Mapping[str, Any]) -> UUID | None:
    """Save a member's mailbox in a new version; the id of the secret that it replaces, if another one."""
    before = of_member(db, member_id)
    if before is not None and before.address.lower() != values["address"].lower():
        doors.revoke(db, before.id, values["since"])  # it was given to send from the other address
    worked = values["since"] if values["state"] == "works" else None
    values = {**values, "worked_at": worked, "doubt": "", "doubted_at": None}
    row = upsert(mailbox).values(id=uuid4(), member_id=member_id, version=1, **values)
    db.execute(
        row.on_conflict_do_update(
            index_elements=[mailbox.c.member_id], set_={**values, "version": mailbox.c.version + 1}
        )
    )
    replaced = before.secret_id if before else None
    return replaced if replaced != values.get("secret_id") else None


def set_state(db: Connection, mailbox_id: UUID, state: str, cause: str, who: str, at: datetime) -> None:
    """A new verdict on a mailbox."""
    values = {"state": state, "cause": cause, "who": who, "since": at, "version": mailbox.c.version + 1}
    db.execute(update(mailbox).where(mailbox.c.id == mailbox_id).values(values))


def by_id(db: Connection, mailbox_id: UUID) -> Row | None:
    """A mailbox."""
    return db.execute(select(mailbox).where(mailbox.c.id == mailbox_id)).one_or_none()


def settle(
    db: Connection,
    mailbox_id: UUID,
    version: int,
    state: str,
    cause: str,
    who: str,
    at: datetime,
    *,
    of: str = "waiting",
) -> bool:
    """A new verdict on a mailbox that waits, unless it was changed meanwhile; with another cause it waits on.

    `of`: the state that it has now (`works`: it does so no longer).
    """
    mine = (mailbox.c.id == mailbox_id, mailbox.c.version == version, mailbox.c.state == of)
    values: dict[str, Any] = {"state": state, "cause": cause, "who": who}
    if state != of:
        values |= {"since": at, "version": mailbox.c.version + 1, "doubt": "", "doubted_at": None}
    if state == "works":
        values["worked_at"] = at
    return db.execute(update(mailbox).where(*mine).values(values)).rowcount == 1


def worked(db: Connection, mailbox_id: UUID, version: int, at: datetime) -> bool:
    """It was just seen to work; whether it is still that mailbox. What spoke against it is over."""
    mine = (mailbox.c.id == mailbox_id, mailbox.c.version == version, mailbox.c.state == "works")
    seen = {"worked_at": func.greatest(mailbox.c.worked_at, at), "doubt": "", "doubted_at": None}
    return db.execute(update(mailbox).where(*mine).values(seen)).rowcount == 1


def doubt(db: Connection, mailbox_id: UUID, version: int, what: str, at: datetime) -> bool:
    """Something speaks against a mailbox that works, for the first time; whether it is still that mailbox."""
    mine = (mailbox.c.id == mailbox_id, mailbox.c.version == version, mailbox.c.state == "works")
    return db.execute(update(mailbox).where(*mine).values(doubt=what, doubted_at=at)).rowcount == 1


def warned(db: Connection, mailbox_id: UUID, at: datetime, since: datetime) -> bool:
    """Its person is told unasked; False: that was done after `since` already. Of two at once only one may."""
    free = or_(mailbox.c.warned_at.is_(None), mailbox.c.warned_at <= since)
    mine = update(mailbox).where(mailbox.c.id == mailbox_id, free)
    return db.execute(mine.values(warned_at=at)).rowcount == 1


def ends_told(db: Connection, mailbox_id: UUID, before: str, note: str) -> bool:
    """Note what its person is told of the day on which passwords end; False: somebody else has noted more."""
    mine = (mailbox.c.id == mailbox_id, mailbox.c.ends_told == before)
    return db.execute(update(mailbox).where(*mine).values(ends_told=note)).rowcount == 1


def hosts_of(db: Connection, agency_id: UUID) -> list[str]:
    """The servers of all mailboxes of an agency, one for each mailbox."""
    query = select(mailbox.c.host).join(member, member.c.id == mailbox.c.member_id)
    return list(db.execute(query.where(member.c.agency_id == agency_id, member.c.removed_at.is_(None))).scalars())


def working_in(db: Connection, agency_id: UUID) -> list[tuple[UUID, UUID]]:
    """The mailboxes of an agency that work, each with one conversation of whoever acts for its member."""
    query = (
        select(mailbox.c.id, func.min(cast(conversation.c.id, Text)))
        .join(member, member.c.id == mailbox.c.member_id)
        .join(membership, membership.c.member_id == member.c.id)
        .join(conversation, conversation.c.contact_id == membership.c.contact_id)
        .where(member.c.agency_id == agency_id, member.c.removed_at.is_(None), mailbox.c.state == "works")
        .group_by(mailbox.c.id)
        .order_by(mailbox.c.id)
    )
    return [(row[0], UUID(row[1])) for row in db.execute(query)]


def waiting_addresses(db: Connection, agency_id: UUID, cause: str) -> list[str]:
    """The addresses of an agency's mailboxes that wait for this."""
    query = (
        select(mailbox.c.address)
        .join(member, member.c.id == mailbox.c.member_id)
        .where(member.c.agency_id == agency_id, member.c.removed_at.is_(None))
        .where(mailbox.c.state == "waiting", mailbox.c.cause == cause)
        .order_by(mailbox.c.address)
    )
    return list(db.execute(query).scalars())


def remove(db: Connection, member_id: UUID) -> UUID | None:
    """Erase a member's mailbox; the id of its secret, to be erased with it."""
    return db.execute(
        delete(mailbox).where(mailbox.c.member_id == member_id).returning(mailbox.c.secret_id)
    ).scalar_one_or_none()


# --- links ------------------------------------------------------------------------------------------------------------


def open_link(db: Connection, *, conversation_id: UUID, member_id: UUID | None, account: Any, expires_at: datetime,
              at: datetime, kind: str = "password", provider: str = "") -> UUID:  # fmt: skip
    """A new link; it has no address yet. `kind`: what is done behind it, `provider`: where its person signs in.

    A link for somebody's data (`kind` data) is theirs whatever they are a member of: it has no member and no account.
    """
    new = uuid4()
    db.execute(
        insert(link).values(
            id=new,
            conversation_id=conversation_id,
            member_id=member_id,
            account=account,
            kind=kind,
            provider=provider,
            expires_at=expires_at,
            created_at=at,
        )
    )
    return new


def close_links(db: Connection, conversation_id: UUID, at: datetime) -> None:
    """A new link voids the old ones."""
    mine = (link.c.conversation_id == conversation_id, link.c.closed_at.is_(None))
    db.execute(update(link).where(*mine).values(closed_at=at))


def add_token(db: Connection, link_id: UUID, token_hash: str, expires_at: datetime) -> bool:
    """Give a link that is open an(other) address, and its full time again; False when it is closed or gone."""
    opened = update(link).where(link.c.id == link_id, link.c.closed_at.is_(None)).values(expires_at=expires_at)
    if not db.execute(opened).rowcount:
        return False
    mine = link_token.c.link_id == link_id
    count = db.execute(select(func.count()).select_from(link_token).where(mine)).scalar_one()
    if count >= MAX_TOKENS_PER_LINK:
        db.execute(delete(link_token).where(mine))
    db.execute(insert(link_token).values(hash=token_hash, link_id=link_id))
    return True


_LINK = (
    select(
        link,
        contact.c.language,
        contact.c.id.label("contact_id"),
        contact.c.channel,
        contact.c.address.label("contact_address"),
        member.c.name,
        member.c.role,
        member.c.agency_id,
        agency.c.name.label("agency"),
    )
    .join(conversation, conversation.c.id == link.c.conversation_id)
    .join(contact, contact.c.id == conversation.c.contact_id)
    .outerjoin(member, member.c.id == link.c.member_id)
    .outerjoin(agency, agency.c.id == member.c.agency_id)
)


def link_by_token(db: Connection, token_hash: str) -> Row | None:
    """The link behind an address, open or not, with whom it is for."""
    query = _LINK.join(link_token, link_token.c.link_id == link.c.id).where(link_token.c.hash == token_hash)
    return db.execute(query).one_or_none()


def link_by_id(db: Connection, link_id: UUID) -> Row | None:
    """A link, open or not, with whom it is for."""
    return db.execute(_LINK.where(link.c.id == link_id)).one_or_none()


def close_link(db: Connection, link_id: UUID, now: datetime) -> bool:
    """Use a link up; of two that try at once only one succeeds."""
    mine = (link.c.id == link_id, link.c.closed_at.is_(None), link.c.expires_at > now)
    return db.execute(update(link).where(*mine).values(closed_at=now)).rowcount == 1


# --- outgoing mail ----------------------------------------------------------------------------------------------------


def add_mail(db: Connection, mail_id: UUID, values: Mapping[str, Any]) -> None:
    """Keep a mail that is to be sent."""
    db.execute(insert(outgoing_mail).values(id=mail_id, **values))


def mail(db: Connection, mail_id: UUID) -> Row | None:
    """A mail with the mailbox it leaves from, as that is now."""
    query = (
        select(
            outgoing_mail,
            mailbox.c.address,
            mailbox.c.user_name,
            mailbox.c.host,
            mailbox.c.port,
            mailbox.c.security,
            mailbox.c.transport,
            mailbox.c.state.label("mailbox_state"),
            mailbox.c.version,
            mailbox.c.secret_id,
            mailbox.c.member_id,
        )
        .join(mailbox, mailbox.c.id == outgoing_mail.c.mailbox_id)
        .where(outgoing_mail.c.id == mail_id)
    )
    return db.execute(query).one_or_none()


def move_mail(db: Connection, mail_id: UUID, *, to: str, of: Sequence[str], reply: str, at: datetime) -> bool:
    """Move a mail's state, only from one of the named states; whether it moved."""
    mine = (outgoing_mail.c.id == mail_id, outgoing_mail.c.state.in_(list(of)))
    moved = update(outgoing_mail).where(*mine).values(state=to, reply=reply[:500], at=at)
    return db.execute(moved).rowcount == 1


def note_copy(db: Connection, mail_id: UUID, state: str) -> None:
    """What became of a mail's copy in *Sent*."""
    db.execute(update(outgoing_mail).where(outgoing_mail.c.id == mail_id).values(copy=state))


def drop_content(db: Connection, mail_id: UUID) -> list[UUID]:
    """The outcome is known: the ids of the sealed content and of the files' contents, to be erased."""
    content = db.execute(select(outgoing_mail.c.content_id).where(outgoing_mail.c.id == mail_id)).scalar_one_or_none()
    db.execute(update(outgoing_mail).where(outgoing_mail.c.id == mail_id).values(content_id=None))
    return [*([content] if content else []), *files.drop(db, mail_id)]
