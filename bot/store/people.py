"""Agencies, members, contacts and invitations: who is who."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import Connection, Row
from bot.store.tables import (
    access_request,
    agency,
    case,
    case_file,
    contact,
    conversation,
    door_key,
    file,
    invitation,
    mailbox,
    member,
    membership,
    message,
    oauth_grant,
    outgoing_mail,
    question,
    secret,
    staff_line,
)

# How mails are told apart to their person: by their states.
MAILS = {"accepted": ("accepted",), "refused": ("refused",), "unclear": ("unknown",), "waiting": ("todo", "handing")}
_TOUCH = update(contact).where(contact.c.id == bindparam("contact"))


def add_agency(db: Connection, name: str, language: str, timezone: str, at: datetime) -> UUID:
    """A new agency."""
    values = {"id": uuid4(), "name": name, "language": language, "timezone": timezone, "created_at": at}
    db.execute(insert(agency).values(values))
    return UUID(str(values["id"]))


def agencies(db: Connection) -> list[Row]:
    """All agencies with the number of their members."""
    members = select(func.count()).where(member.c.agency_id == agency.c.id, member.c.removed_at.is_(None))
    return list(db.execute(select(agency, members.scalar_subquery().label("members")).order_by(agency.c.name)).all())


def agency_by_name(db: Connection, name: str) -> Row | None:
    """The one open agency of this name or id; None when there is none or more than one."""
    known = (agency.c.name == name) | (func.cast(agency.c.id, agency.c.name.type) == name)
    found = db.execute(select(agency).where(known, agency.c.closed_at.is_(None))).all()
    return found[0] if len(found) == 1 else None


def agency_name(db: Connection, agency_id: UUID) -> str:
    """What an agency is called."""
    return str(db.execute(select(agency.c.name).where(agency.c.id == agency_id)).scalar_one())


def timezone_of(db: Connection, agency_id: UUID) -> str:
    """The IANA name of an agency's time zone."""
    return str(db.execute(select(agency.c.timezone).where(agency.c.id == agency_id)).scalar_one())


def invited(db: Connection, agency_id: UUID, now: datetime) -> int:
    """For how many people an agency's invitations are still open."""
    mine = (invitation.c.agency_id == agency_id, invitation.c.expires_at > now)
    left = select(func.coalesce(func.sum(invitation.c.uses_left), 0)).where(*mine)
    return int(db.execute(left).scalar_one())


_waiting = (
    select(func.count())
    .where(outgoing_mail.c.mailbox_id == mailbox.c.id, outgoing_mail.c.state == "todo")
    .correlate(mailbox)
    .scalar_subquery()
)


def members(db: Connection, agency_id: UUID) -> list[Row]:
    """The members of an agency with the verdict on their mailboxes, and how many mails wait there."""
    query = (
        select(
            member,
            mailbox.c.address,
            mailbox.c.state,
            mailbox.c.cause,
            mailbox.c.who,
            mailbox.c.host,
            secret.c.kind.label("secret_kind"),
            door_key.c.mailbox_id.label("door"),
            _waiting.label("mails"),
        )
        .join(mailbox, mailbox.c.member_id == member.c.id, isouter=True)
        .join(secret, secret.c.id == mailbox.c.secret_id, isouter=True)
        .join(door_key, (door_key.c.mailbox_id == mailbox.c.id) & door_key.c.revoked_at.is_(None), isouter=True)
        .where(member.c.agency_id == agency_id, member.c.removed_at.is_(None))
        .order_by(member.c.name)
    )
    return list(db.execute(query).all())


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation as it was used."""

    agency_id: UUID
    agency: str
    role: str
    name: str
    language: str
    expires_at: datetime
    uses_left: int
    uses: int


def invite(db: Connection, *, agency_id: UUID, code_hash: str, role: str, name: str, language: str, uses: int,
           expires_at: datetime, at: datetime) -> None:  # fmt: skip
    """Keep a new invitation; of its code only the hash."""
    db.execute(
        insert(invitation).values(
            id=uuid4(),
            agency_id=agency_id,
            code_hash=code_hash,
            role=role,
            name=name,
            language=language,
            uses_left=uses,
            uses=uses,
            expires_at=expires_at,
            created_at=at,
        )
    )


def invitation_by_hash(db: Connection, code_hash: str) -> Invited | None:
    """The invitation of a code, locked, whether it can still be used or not; None when unknown or the agency closed."""
    query = (
        select(
            invitation.c.agency_id,
            agency.c.name.label("agency"),
            invitation.c.role,
            invitation.c.name,
            invitation.c.language,
            invitation.c.expires_at,
            invitation.c.uses_left,
            invitation.c.uses,
        )
        .join(agency, agency.c.id == invitation.c.agency_id)
        .where(invitation.c.code_hash == code_hash, agency.c.closed_at.is_(None))
        .with_for_update(of=invitation)
    )
    row = db.execute(query).one_or_none()
    return Invited(**row._mapping) if row is not None else None  # noqa: SLF001 - SQLAlchemy's public mapping


def use_invitation(db: Connection, code_hash: str) -> None:
    """One use less."""
    used = update(invitation).where(invitation.c.code_hash == code_hash)
    db.execute(used.values(uses_left=invitation.c.uses_left - 1))


def membership_in(db: Connection, contact_id: UUID, agency_id: UUID) -> UUID | None:
    """The member of this agency that a contact already acts for."""
    return memberships_in(db, [contact_id], agency_id).get(contact_id)


def add_member(db: Connection, contact_id: UUID, agency_id: UUID, name: str, role: str, at: datetime) -> UUID:
    """A new member, acted for by this contact."""
    return add_members(db, agency_id, {contact_id: name}, role, at)[contact_id]


def memberships_in(db: Connection, contact_ids: Collection[UUID], agency_id: UUID) -> dict[UUID, UUID]:
    """The members of this agency that these contacts already act for, by contact."""
    query = (
        select(membership.c.contact_id, member.c.id)
        .join(member, member.c.id == membership.c.member_id)
        .where(membership.c.contact_id.in_(contact_ids), member.c.agency_id == agency_id, member.c.removed_at.is_(None))
    )
    return {row[0]: row[1] for row in db.execute(query)}


def add_members(
    db: Connection, agency_id: UUID, names: Mapping[UUID, str], role: str, at: datetime
) -> dict[UUID, UUID]:
    """A new member of an agency for each of these contacts (with names), acted for by it; the members by contact."""
    new = {contact_id: uuid4() for contact_id in names}
    if new:
        shared = {"agency_id": agency_id, "role": role, "created_at": at}
        db.execute(insert(member), [{"id": new[one], "name": name, **shared} for one, name in names.items()])
        db.execute(insert(membership), [{"contact_id": one, "member_id": mine} for one, mine in new.items()])
    return new


def begin_to_act(db: Connection, contact_ids: Collection[UUID], agency_id: UUID) -> None:
    """Those of these contacts who act for nobody act for their member of this agency from now on."""
    theirs = (membership.c.contact_id == contact.c.id, member.c.id == membership.c.member_id)
    here = (member.c.agency_id == agency_id, member.c.removed_at.is_(None))
    idle = (contact.c.id.in_(contact_ids), contact.c.member_id.is_(None))
    db.execute(update(contact).where(*idle, *theirs, *here).values(member_id=member.c.id))


def roles(db: Connection, contact_id: UUID) -> list[Row]:
    """The members in open agencies for whom a contact may act: id, name, agency."""
    query = (
        select(member.c.id, member.c.name, agency.c.name.label("agency"), _waiting.label("mails"))
        .join(membership, membership.c.member_id == member.c.id)
        .join(agency, agency.c.id == member.c.agency_id)
        .join(mailbox, mailbox.c.member_id == member.c.id, isouter=True)
        .where(membership.c.contact_id == contact_id, member.c.removed_at.is_(None), agency.c.closed_at.is_(None))
        .order_by(agency.c.name, member.c.created_at)
    )
    return list(db.execute(query).all())


def member_of(db: Connection, agency_id: UUID, member_id: UUID) -> Row | None:
    """A member of this agency, locked; None for one who was removed or belongs to another agency."""
    mine = (member.c.id == member_id, member.c.agency_id == agency_id, member.c.removed_at.is_(None))
    return db.execute(select(member).where(*mine).with_for_update()).one_or_none()


def count_admins(db: Connection, agency_id: UUID) -> int:
    """How many admins an agency has; they stay locked, so that two cannot leave at once."""
    mine = (member.c.agency_id == agency_id, member.c.role == "admin", member.c.removed_at.is_(None))
    return len(db.execute(select(member.c.id).where(*mine).order_by(member.c.id).with_for_update()).all())


def role_of(db: Connection, member_id: UUID) -> str:
    """What a member may do."""
    return str(db.execute(select(member.c.role).where(member.c.id == member_id)).scalar_one())


def set_role(db: Connection, member_id: UUID, role: str) -> None:
    """What a member may do."""
    db.execute(update(member).where(member.c.id == member_id).values(role=role))


def exclude(db: Connection, member_id: UUID, at: datetime) -> list[UUID]:
    """End a membership; the conversations of those who acted for it. They act for another one of theirs from now on."""
    theirs = conversations_of(db, member_id)
    acting = list(db.execute(select(contact.c.id).where(contact.c.member_id == member_id)).scalars())
    db.execute(update(member).where(member.c.id == member_id).values(removed_at=at))
    db.execute(delete(membership).where(membership.c.member_id == member_id))
    for contact_id in acting:
        others = roles(db, contact_id)
        touch(db, contact_id, member_id=others[0].id if others else None)
    return theirs


def shut_out(db: Connection, member_id: UUID, besides: UUID) -> list[UUID]:
    """Nobody but this contact acts for a member any more; the conversations of those who did."""
    others = (membership.c.member_id == member_id, membership.c.contact_id != besides)
    query = select(conversation.c.id).join(membership, membership.c.contact_id == conversation.c.contact_id)
    theirs = list(db.execute(query.where(*others)).scalars())
    acting = (contact.c.member_id == member_id, contact.c.id != besides)
    db.execute(update(contact).where(*acting).values(member_id=None))
    db.execute(delete(membership).where(*others))
    return theirs


def left_alone(db: Connection, agency_id: UUID, address: str) -> UUID | None:
    """The member of an agency with this address for whom nobody may act any more.

    Who acts for another agency at present is there still: only a number that was issued again leaves a contact with
    neither a member nor a number.
    """
    there = contact.c.member_id.is_not(None) | contact.c.address.is_not(None)
    may_act = membership.c.contact_id == contact.c.id
    acting = select(contact.c.id).join(membership, may_act).where(membership.c.member_id == member.c.id, there).exists()
    query = (
        select(member.c.id)
        .join(mailbox, mailbox.c.member_id == member.c.id)
        .where(member.c.agency_id == agency_id, func.lower(mailbox.c.address) == address.lower(), ~acting)
        .where(member.c.removed_at.is_(None))
    )
    return db.execute(query).scalars().first()


def let_in(db: Connection, contact_id: UUID, member_id: UUID) -> None:
    """A contact acts for a member from now on, beside others who may."""
    row = upsert(membership).values(contact_id=contact_id, member_id=member_id)
    db.execute(row.on_conflict_do_nothing())
    touch(db, contact_id, member_id=member_id)


def agency_id_of(db: Connection, member_id: UUID) -> UUID:
    """A member's agency."""
    found: UUID = db.execute(select(member.c.agency_id).where(member.c.id == member_id)).scalar_one()
    return found


def agency_of(db: Connection, member_id: UUID) -> str:
    """The name of a member's agency."""
    query = select(agency.c.name).join(member, member.c.agency_id == agency.c.id).where(member.c.id == member_id)
    return str(db.execute(query).scalar_one())


def conversations_of(db: Connection, member_id: UUID) -> list[UUID]:
    """The conversations of those who act for a member."""
    query = select(conversation.c.id).join(membership, membership.c.contact_id == conversation.c.contact_id)
    return list(db.execute(query.where(membership.c.member_id == member_id)).scalars())


def close_agency(db: Connection, agency_id: UUID, at: datetime) -> None:
    """Nobody acts for this agency any more."""
    db.execute(update(agency).where(agency.c.id == agency_id).values(closed_at=at))
    db.execute(delete(invitation).where(invitation.c.agency_id == agency_id))


def admins(db: Connection, agency_id: UUID) -> list[UUID]:
    """The conversations of an agency's admins."""
    query = (
        select(conversation.c.id)
        .join(membership, membership.c.contact_id == conversation.c.contact_id)
        .join(member, member.c.id == membership.c.member_id)
        .where(member.c.agency_id == agency_id, member.c.role == "admin", member.c.removed_at.is_(None))
    )
    return list(db.execute(query).scalars())


def set_language(db: Connection, agency_id: UUID, language: str) -> None:
    """The language of an agency, in which the team of its workspace reads."""
    db.execute(update(agency).where(agency.c.id == agency_id).values(language=language))


def set_server(db: Connection, agency_id: UUID, host: str, port: int, security: str) -> None:
    """The one server of an agency; an empty host means that it has none."""
    db.execute(update(agency).where(agency.c.id == agency_id).values(host=host, port=port, security=security))


def set_rule(db: Connection, agency_id: UUID, rule: str) -> None:
    """What happens when a member has another server than the agency: `warn` or `strict`."""
    db.execute(update(agency).where(agency.c.id == agency_id).values(server_rule=rule))


def member_name(db: Connection, member_id: UUID) -> str:
    """The name under which a member writes; empty when it is not known."""
    name = db.execute(select(member.c.name).where(member.c.id == member_id)).scalar_one_or_none()
    return "" if name in {None, "-"} else str(name)


def act_for(db: Connection, contact_id: UUID, member_id: UUID, language: str) -> None:
    """From now on the contact acts for this member, in this language."""
    values = {"member_id": member_id, "language": language}
    db.execute(update(contact).where(contact.c.id == contact_id).values(values))


def add_contact(db: Connection, *, channel: str, address: str | None, external_id: str | None, name: str,
                language: str, at: datetime) -> None:  # fmt: skip
    """A new contact with its conversation; harmless when another process was faster."""
    new = uuid4()
    row = upsert(contact).values(
        id=new,
        channel=channel,
        address=address,
        external_id=external_id,
        name=name,
        language=language,
        created_at=at,
    )
    if db.execute(row.on_conflict_do_nothing().returning(contact.c.id)).one_or_none() is not None:
        db.execute(insert(conversation).values(id=uuid4(), contact_id=new, envelope={}, updated_at=at))


def add_contacts(db: Connection, channel: str, names: Mapping[str, str], language: str, at: datetime) -> None:
    """Contacts with their conversations for these addresses (with names, at least one), unless they are known."""
    rows = [
        {"id": uuid4(), "channel": channel, "address": address, "name": name, "language": language, "created_at": at}
        for address, name in sorted(names.items())  # of two who add the same, one waits for the other
    ]
    new = db.execute(upsert(contact).on_conflict_do_nothing().returning(contact.c.id), rows).scalars().all()
    if new:
        talks = [{"id": uuid4(), "contact_id": one, "envelope": {}, "updated_at": at} for one in new]
        db.execute(insert(conversation), talks)


def touch(db: Connection, contact_id: UUID, **values: Any) -> None:
    """Change what is known of a contact."""
    db.execute(_TOUCH, {"contact": contact_id, **values})


def conversation_of(db: Connection, contact_id: UUID) -> UUID | None:
    """The conversation of a contact."""
    return db.execute(select(conversation.c.id).where(conversation.c.contact_id == contact_id)).scalar_one_or_none()


def find_contact(db: Connection, known: str) -> list[Row]:
    """Contacts by address, second id or our own id, for the operator's commands."""
    same = (contact.c.address == known) | (contact.c.external_id == known)
    return list(db.execute(select(contact).where(same | (func.cast(contact.c.id, contact.c.address.type) == known))))


def contact_by_id(db: Connection, contact_id: UUID) -> Row:
    """A contact that there is."""
    return db.execute(select(contact).where(contact.c.id == contact_id)).one()


def in_short(db: Connection, contact_id: UUID) -> Row:
    """What is stored about a contact: since when, names and addresses in one line each, the rest counted."""
    members = select(membership.c.member_id).where(membership.c.contact_id == contact_id)
    talk = select(conversation.c.id).where(conversation.c.contact_id == contact_id)
    agencies = select(func.string_agg(agency.c.name, ", ")).join(member, member.c.agency_id == agency.c.id)
    signed_in = select(func.count()).select_from(oauth_grant).join(secret, secret.c.id == oauth_grant.c.secret_id)
    mine = secret.c.owner_id == contact_id
    mails = {
        name: select(func.count()).where(outgoing_mail.c.conversation_id.in_(talk), outgoing_mail.c.state.in_(states))
        for name, states in MAILS.items()
    }
    found = {
        "called": select(func.string_agg(member.c.name.distinct(), ", ")).where(member.c.id.in_(members)),
        "agencies": agencies.where(member.c.id.in_(members)),
        "addresses": select(func.string_agg(mailbox.c.address, ", ")).where(mailbox.c.member_id.in_(members)),
        "passwords": select(func.count()).where(mine, secret.c.kind == "mailbox.password"),
        "sign_ins": signed_in.where(mine, ~oauth_grant.c.leaving),
        "cases": select(func.count()).where(case.c.conversation_id.in_(talk)),
        "messages": select(func.count()).where(message.c.conversation_id.in_(talk), message.c.direction != "us"),
        **mails,
    }
    columns = [query.scalar_subquery().label(name) for name, query in found.items()]
    return db.execute(select(contact.c.created_at, contact.c.name, *columns).where(contact.c.id == contact_id)).one()


def everything_about(db: Connection, contact_id: UUID) -> dict[str, list[Row]]:
    """What else is stored about a contact, table by table; nothing sealed, and no hash of a link."""
    members = select(membership.c.member_id).where(membership.c.contact_id == contact_id)
    talks = select(conversation.c.id).where(conversation.c.contact_id == contact_id)
    boxes = (mailbox.c.address, mailbox.c.user_name, mailbox.c.host, mailbox.c.port, mailbox.c.security,
             mailbox.c.state, mailbox.c.cause, mailbox.c.since, mailbox.c.worked_at, mailbox.c.warned_at)  # fmt: skip
    mails = (outgoing_mail.c.date, outgoing_mail.c.recipients, outgoing_mail.c.message_id, outgoing_mail.c.state,
             outgoing_mail.c.copy)  # fmt: skip
    sealed = (secret.c.kind, secret.c.created_at, secret.c.expires_at)
    queries = {
        "members": select(agency.c.name.label("agency"), member.c.name, member.c.role, member.c.created_at)
        .join(agency, agency.c.id == member.c.agency_id)
        .where(member.c.id.in_(members)),
        "mailboxes": select(*boxes).where(mailbox.c.member_id.in_(members)),
        "door_keys": select(
            door_key.c.made_at, door_key.c.used_at, door_key.c.revoked_at, door_key.c.refused_at, door_key.c.refusal
        )
        .join(mailbox, mailbox.c.id == door_key.c.mailbox_id)
        .where(mailbox.c.member_id.in_(members)),
        "mails": select(*mails).where(outgoing_mail.c.conversation_id.in_(talks)),
        "files": select(file.c.name, file.c.content_type, file.c.state, file.c.at).where(
            file.c.conversation_id.in_(talks)
        ),
        "case_files": select(case_file.c.name, case_file.c.content_type, case_file.c.state, case_file.c.at).where(
            case_file.c.conversation_id.in_(talks)
        ),
        "cases": select(case.c.number, case.c.reason, case.c.opened_at, case.c.closed_at).where(
            case.c.conversation_id.in_(talks)
        ),
        # What they were told stands in the messages; here is also what staff took back, or what never reached them.
        "staff_lines": select(staff_line.c.at, staff_line.c.text, staff_line.c.state)
        .join(case, case.c.number == staff_line.c.case_number)
        .where(case.c.conversation_id.in_(talks))
        .order_by(staff_line.c.id),
        "questions": select(question.c.at, question.c.words, question.c.topic).where(
            question.c.conversation_id.in_(talks)
        ),
        "wishes": select(
            access_request.c.at, access_request.c.agency, access_request.c.address, access_request.c.state
        ).where(access_request.c.conversation_id.in_(talks)),
        "secrets": select(*sealed).where(secret.c.owner_id == contact_id),
        "sign_ins": select(
            oauth_grant.c.provider, oauth_grant.c.account, oauth_grant.c.scopes, oauth_grant.c.refreshed_at
        )
        .join(secret, secret.c.id == oauth_grant.c.secret_id)
        .where(secret.c.owner_id == contact_id, ~oauth_grant.c.leaving),
        "messages": select(message.c.at, message.c.direction, message.c.text)
        .where(message.c.conversation_id.in_(talks), message.c.direction != "us")
        .order_by(message.c.id),
    }
    return {name: list(db.execute(query).all()) for name, query in queries.items()}


def erase(db: Connection, contact_id: UUID) -> list[UUID]:
    """Erase a contact and the members that only this contact acts for; the ids whose secrets have to go too."""
    mine = select(membership.c.member_id).where(membership.c.contact_id == contact_id)
    others = select(membership.c.member_id).where(membership.c.contact_id != contact_id)
    alone = select(member.c.id).where(member.c.id.in_(mine), member.c.id.not_in(others))
    ids = list(db.execute(alone).scalars())
    owners = [contact_id, *ids]
    conversation_id = conversation_of(db, contact_id)
    db.execute(delete(member).where(member.c.id.in_(ids)))
    db.execute(delete(contact).where(contact.c.id == contact_id))
    return [*owners, *([conversation_id] if conversation_id else [])]
