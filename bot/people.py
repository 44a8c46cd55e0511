"""Who is who: the contact behind a message, and how somebody becomes a member."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from bot.channels import Identity
from bot.limits import Exhausted, Limits
from bot.store import conversations, people, slack
from bot.store.conversations import Held
from bot.store.engine import Connection, Row
from bot.tell import tell_admins
from flows.conversation import guess_language
from flows.reading import CODE_ALPHABET, CODE_LENGTH
from flows.words import LANGUAGES, Joined, JoinRefused, NumberReissued

SLACK = "slack"
INVITATION_TIME = timedelta(days=7)
MAX_NAME = 120


def who(db: Connection, identity: Identity, name: str, now: datetime) -> Held:
    """The locked conversation of whoever wrote; made on the first message."""
    found = conversations.hold_by_identity(db, identity.channel, identity.address, identity.external_id)
    mine = _same_person(db, identity, found, now)
    if mine is None:
        people.add_contact(
            db,
            channel=identity.channel,
            address=identity.address,
            external_id=identity.external_id,
            name=name[:MAX_NAME],
            language=_likely_language(db, identity),
            at=now,
        )
        found = conversations.hold_by_identity(db, identity.channel, identity.address, identity.external_id)
        mine = _same_person(db, identity, found, now)
    if mine is None:
        raise LookupError("nobody was made of a new identity")
    return mine


def _likely_language(db: Connection, identity: Identity) -> str:
    """That of the workspace's agency, else that of the number's country."""
    if identity.channel == SLACK:
        row = slack.workspace(db, (identity.address or "").partition(".")[0])
        return str(row.language) if row is not None and row.language else LANGUAGES[0]
    return guess_language(identity.address, identity.external_id)


def told_number(held: Held) -> str:
    """What tells an admin who that is: their number; in Slack the name has to do, ids are for machines."""
    return "Slack" if held.channel == SLACK else held.address or "?"


def _same_person(db: Connection, identity: Identity, found: list[Held], now: datetime) -> Held | None:
    """Whom these identities mean. The second id is the stronger one: numbers are issued again to other people.

    Merging only fills an empty column. A known number with another id is somebody new: the number goes to them, and
    what the former owner had stays with the former owner.
    """
    by_id = next((one for one in found if identity.external_id and one.external_id == identity.external_id), None)
    by_address = next((one for one in found if identity.address and one.address == identity.address), None)
    if by_id is not None:
        if by_address is not None and by_address.contact_id != by_id.contact_id:
            _release_number(db, by_address, now)
        if identity.address and by_id.address != identity.address:
            people.touch(db, by_id.contact_id, address=identity.address)
        return by_id
    if by_address is not None and identity.external_id:
        if by_address.external_id is not None:
            _release_number(db, by_address, now)
            return None
        people.touch(db, by_address.contact_id, external_id=identity.external_id)
    return by_address


def _release_number(db: Connection, former: Held, now: datetime) -> None:
    """Somebody else has the number now. A former owner known by nothing else stays under our own id.

    Numbers are issued again to strangers, so nobody acts for the former owner's member until that is proven, by a code
    mailed to the mailbox or by the admin; and the admins hear of it.
    """
    nowhere = former.external_id or f"former:{former.contact_id}"
    people.touch(db, former.contact_id, address=None, external_id=nowhere, member_id=None)
    if former.member_id is None:
        return
    news = NumberReissued(people.member_name(db, former.member_id) or "?")
    tell_admins(db, people.agency_id_of(db, former.member_id), news, now, besides=former.id)


# --- invitations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new invitation as it is handed out: the code in groups, and until when it can be used."""

    code: str
    expires_at: datetime


def invite(
    db: Connection, agency_id: UUID, *, role: str, name: str, language: str, uses: int, now: datetime
) -> Invitation:
    """Make an invitation. The code is told once; only its hash is stored."""
    code = _new_code()
    expires_at = now + INVITATION_TIME
    people.invite(
        db,
        agency_id=agency_id,
        code_hash=_hash(code),
        role=role,
        name=name,
        language=language,
        uses=uses,
        expires_at=expires_at,
        at=now,
    )
    groups = [code[start : start + 4] for start in range(0, CODE_LENGTH, 4)]
    return Invitation("-".join(groups), expires_at)


def _new_code() -> str:
    """Twelve signs of 24: 55 random bits, five tries an hour. It holds a digit, which tells it from words."""
    while True:
        code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
        if any(sign.isdigit() for sign in code):
            return code


def _hash(code: str) -> str:
    return hashlib.sha256(f"invitation {code}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Joining:
    """What became of a code; the new member, if there is one; and the agency, where the invitation is for many."""

    event: Joined | JoinRefused
    agency_id: UUID | None = None
    member_id: UUID | None = None


def join(db: Connection, held: Held, code: str, limits: Limits, now: datetime) -> Joining:
    """Use an invitation: the contact acts as a member from now on. A try counts before the code is looked at."""
    contact_id = held.contact_id
    if isinstance(limits.allow("code", str(contact_id), connection=db), Exhausted):
        return Joining(JoinRefused("too_many"))
    found = people.invitation_by_hash(db, _hash(code))
    if found is None:
        return Joining(JoinRefused("unknown"))
    useless = "expired" if found.expires_at <= now else "used" if found.uses_left < 1 else ""
    if not belongs(db, held, found.agency_id, claims=found.role == "admin" and not useless):
        return Joining(JoinRefused(useless or "workspace"))
    known = people.membership_in(db, contact_id, found.agency_id)
    if known is not None:
        people.act_for(db, contact_id, known, found.language)
        return Joining(Joined(found.agency))
    if useless:
        return Joining(JoinRefused(useless))
    people.use_invitation(db, _hash(code))
    new = people.add_member(db, contact_id, found.agency_id, found.name or held.name or "-", found.role, now)
    people.act_for(db, contact_id, new, found.language)
    return Joining(Joined(found.agency), found.agency_id if found.uses > 1 else None, new)


def usable_by_admin(invited: people.Invited | None, now: datetime) -> bool:
    """Whether an invitation makes somebody an admin now."""
    return invited is not None and invited.role == "admin" and invited.uses_left > 0 and invited.expires_at > now


def code_hash(code: str) -> str:
    """What is stored of an invitation's code."""
    return _hash(code)


def join_as_admin(db: Connection, held: Held, invited: people.Invited, hashed: str, now: datetime) -> UUID | None:
    """Somebody who holds an admin's invitation (by its hash) acts as an admin from now on; the member.

    Who is an admin of that agency already needs no use of it. None: it is of no use any more.
    """
    known = people.membership_in(db, held.contact_id, invited.agency_id)
    if known is None or people.role_of(db, known) != "admin":
        if not usable_by_admin(invited, now):
            return None
        people.use_invitation(db, hashed)
    if known is None:
        known = people.add_member(
            db, held.contact_id, invited.agency_id, invited.name or held.name or "-", "admin", now
        )
    people.set_role(db, known, "admin")
    people.act_for(db, held.contact_id, known, invited.language)
    return known


def belongs(db: Connection, held: Held, agency_id: UUID, *, claims: bool = False) -> bool:
    """Whether somebody may act for this agency where they write from: a Slack workspace belongs to one agency.

    `claims`: a workspace that is nobody's becomes this agency's.
    """
    if held.channel != SLACK:
        return True
    row = _workspace(db, held)
    if row is None or (row.agency_id is None and not claims):
        return False
    return row.agency_id == agency_id or slack.bind(db, row.team_id, agency_id)


def at_home(db: Connection, held: Held) -> UUID | None:
    """The agency of the workspace from which somebody writes; None elsewhere than in Slack, or where it is nobody's."""
    row = _workspace(db, held) if held.channel == SLACK else None
    return row.agency_id if row is not None else None


def _workspace(db: Connection, held: Held) -> Row | None:
    return slack.workspace(db, (held.address or "").partition(".")[0])


def admit(
    db: Connection, contact_id: UUID, agency_id: UUID, *, name: str, address: str, role: str, now: datetime
) -> str:
    """Make a contact a member whose wish was granted, in the language that they have; the agency's name.

    Where a member has this address and nobody acts for them any more, it is they, by the word of whoever granted it.
    """
    member_id = people.membership_in(db, contact_id, agency_id)
    if member_id is None and (frozen := people.left_alone(db, agency_id, address)) is not None:
        people.shut_out(db, frozen, contact_id)
        people.let_in(db, contact_id, frozen)
        return people.agency_name(db, agency_id)
    if member_id is None:
        member_id = people.add_member(db, contact_id, agency_id, name or "-", role, now)
    people.touch(db, contact_id, member_id=member_id)
    return people.agency_name(db, agency_id)
