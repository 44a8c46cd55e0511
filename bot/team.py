"""What an agency's admin does with its members, and how somebody unknown becomes one; all written with a turn."""

from datetime import datetime, timedelta
from urllib.parse import quote
from uuid import UUID

from bot import people
from bot.calendar import may_write, next_day_hour
from bot.facts import FactReader
from bot.limits import Exhausted, Limits
from bot.scene import Scene
from bot.store import access, conversations, doors, mailboxes, promises, secrets
from bot.store import people as people_store
from bot.store.engine import Connection, Row
from bot.tell import tell, tell_admins
from flows.speech import sentence
from flows.words import (
    AccessAsked,
    AccessDecided,
    AccessDeclined,
    AccessGranted,
    AccessRefused,
    AccessWanted,
    ActFor,
    AskAccess,
    DecideAccess,
    Event,
    Excluded,
    ExcludeMember,
    InvitationMade,
    Invite,
    Language,
    LeaveAgency,
    MemberJoined,
    MemberLeft,
    PauseMember,
    Reminded,
    RemindMember,
    RemindTeam,
    SeeRoles,
    SeeTeam,
    SetRole,
    TakeKey,
    TeamChanged,
    TeamRefused,
    TeamSeen,
    TeamTouched,
    TestTeam,
)

TESTS_APART = timedelta(seconds=2)
GONE, LAST_ADMIN, UNREACHABLE = TeamRefused("gone"), TeamRefused("last_admin"), TeamRefused("unreachable")


def forward_text(number: str, code: str, language: Language) -> tuple[str, str]:
    """An invitation's wa.me link, empty without a number of ours, and the words to be forwarded with it."""
    text = sentence("invitation.text", language, code=code)
    digits = "".join(sign for sign in number if sign.isdigit())
    link = f"https://wa.me/{digits}?text={quote(text)}" if digits else ""
    return link, sentence("invitation.forward", language, link=link) if link else text


# --- becoming a member ------------------------------------------------------------------------------------------------


def ask_access(scene: Scene, wanted: AskAccess, limits: Limits, facts: FactReader) -> Event:
    """Pass a wish on: to the admins of the one agency that has this domain, else to support.

    A provider's own domain (gmail.com) is nobody's. In Slack it is the agency of the workspace, whatever the domain,
    because no other can let them in there. What the asker reads is the same in all cases.
    """
    db, held, now = scene.db, scene.held, scene.now
    if isinstance(limits.allow("access", str(held.contact_id), connection=db), Exhausted):
        return AccessRefused()
    in_slack = held.channel == people.SLACK
    agency_id = people.at_home(db, held) if in_slack else _agency_of(db, wanted.address, facts, now)
    asked = agency_id if agency_id and people_store.admins(db, agency_id) else None
    request = access.ask(db, held.id, agency_name=wanted.agency, address=wanted.address, agency_id=asked, at=now)
    if asked is not None:
        tell_admins(
            db, asked, AccessWanted(str(request), held.name or "?", people.told_number(held), wanted.address), now
        )
    else:
        conversations.open_case(db, held.id, "access", now)
    return AccessAsked()


def _agency_of(db: Connection, address: str, facts: FactReader, now: datetime) -> UUID | None:
    if facts.provider(address, "", now) is not None:
        return None
    found = access.agencies_of_domain(db, address.rpartition("@")[2].lower())
    return found[0] if len(found) == 1 else None


def decide_access(scene: Scene, wanted: DecideAccess) -> Event:
    """An admin's word on a wish that was put to their agency; the first one counts."""
    request = _request(scene, wanted.request_id)
    if request is None:
        return AccessDecided("?", granted=False, already=True)
    if request.state != "open":
        return AccessDecided(request.name, granted=False, already=True)
    decided(scene.db, request, scene.standing.agency_id if wanted.granted else None, "member", scene.now)
    scene.audit("access_granted" if wanted.granted else "access_declined", request.id)
    return AccessDecided(request.name, granted=wanted.granted)


def _request(scene: Scene, request_id: str) -> Row | None:
    """A wish that was put to the agency of whoever acts, and to no other."""
    row = access.get(scene.db, _uuid(request_id))
    return row if row is not None and scene.by_admin and row.agency_id == scene.standing.agency_id else None


def decided(db: Connection, request: Row, agency_id: UUID | None, role: str, now: datetime) -> None:
    """Let somebody in as a member of an agency, or (None) do not; they are told, and their case is closed."""
    access.decide(db, request.id, "granted" if agency_id else "declined")
    conversations.close_case(db, request.conversation_id, now, "granted" if agency_id else "declined")
    if agency_id is None:
        tell(db, request.conversation_id, AccessDeclined(), now)
        return
    held = conversations.hold(db, request.conversation_id)
    if held is not None and role == "admin":
        people.belongs(db, held, agency_id, claims=True)  # a workspace that is nobody's becomes this agency's
    name = people.admit(
        db, request.contact_id, agency_id, name=request.name, address=request.address, role=role, now=now
    )
    tell(db, request.conversation_id, AccessGranted(name), now)


def elsewhere(db: Connection, request: Row, agency_id: UUID | None) -> bool:
    """Whether whoever asks writes from a Slack workspace of another agency than this one (None: a new one)."""
    held = conversations.hold(db, request.conversation_id)
    home = people.at_home(db, held) if held is not None else None
    return home is not None and home != agency_id


def joined_by_group(scene: Scene, agency_id: UUID, member_id: UUID) -> None:
    """Tell the admins who came in with an invitation that is for many."""
    news = MemberJoined(str(member_id), scene.held.name or "?", people.told_number(scene.held))
    tell_admins(scene.db, agency_id, news, scene.now, besides=scene.held.id)


# --- the members ------------------------------------------------------------------------------------------------------


def see_team(_scene: Scene, _wanted: SeeTeam) -> Event:
    """The facts hold the members from now on; see FactReader."""
    return TeamSeen()


def invite(scene: Scene, wanted: Invite, number: str) -> Event:
    """An invitation to the admin's own agency. `number`: ours on WhatsApp."""
    agency_id = scene.standing.agency_id
    if agency_id is None or not scene.by_admin:
        return GONE
    made = people.invite(
        scene.db, agency_id, role=wanted.role, name="", language=wanted.language, uses=wanted.uses, now=scene.now
    )
    scene.audit("invited", agency_id)
    days = (made.expires_at - scene.now) // timedelta(days=1)
    return InvitationMade(forward_text(number, made.code, wanted.language)[1], wanted.uses, days)


def remind(scene: Scene, wanted: RemindMember) -> Event:
    """Ask a member, in their own conversation and by day, to connect their e-mail."""
    row = _member(scene, wanted.member_id)
    if row is None:
        return GONE
    due = next_day_hour(scene.now, scene.standing.timezone)
    reached = False
    for conversation_id in people_store.conversations_of(scene.db, row.id):
        held = conversations.look(scene.db, conversation_id)
        if held is not None and may_write(held.window_until, due):
            tell(scene.db, conversation_id, Reminded(scene.standing.facts.agency), scene.now, due)
            reached = True
    return TeamChanged() if reached else UNREACHABLE


def remind_team(scene: Scene, _wanted: RemindTeam) -> Event:
    """Remind everybody whose e-mail is not connected or does not work, but the admin who asks; how many hear of it."""
    agency_id = scene.standing.agency_id
    if agency_id is None or not scene.by_admin:
        return GONE
    rows = people_store.members(scene.db, agency_id)
    missing = [row for row in rows if row.state in {None, "broken"} and row.id != scene.standing.member_id]
    reached = sum(isinstance(remind(scene, RemindMember(str(row.id))), TeamChanged) for row in missing)
    return TeamTouched(reached)


def try_team(scene: Scene, _wanted: TestTeam) -> Event:
    """Test what waits at once, and what works one after the other: no mail server is to see us as a flood."""
    agency_id = scene.standing.agency_id
    if agency_id is None or not scene.by_admin:
        return GONE
    waiting = promises.hurry(scene.db, agency_id, promises.RETEST, scene.now)
    working = mailboxes.working_in(scene.db, agency_id)
    for nth, (mailbox_id, conversation_id) in enumerate(working):
        due = scene.now + nth * TESTS_APART
        promises.watch(scene.db, conversation_id, mailbox_id, due, scene.now)
    promises.wake(scene.db, {"work"})
    scene.audit("tested_team", agency_id)
    return TeamTouched(waiting + len(working))


def pause(scene: Scene, wanted: PauseMember) -> Event:
    """Nothing leaves from a member's address, or it may again; the secret stays."""
    row = _member(scene, wanted.member_id)
    box = mailboxes.of_member(scene.db, row.id) if row is not None else None
    if box is None or box.state != ("works" if wanted.off else "off"):
        return GONE
    mailboxes.set_state(scene.db, box.id, "off" if wanted.off else "works", "", "", scene.now)
    scene.audit("paused" if wanted.off else "resumed", box.member_id)
    return TeamChanged()


def take_key(scene: Scene, wanted: TakeKey) -> Event:
    """Ally sends nothing through us from a member's address any more; the mailbox stays as it is."""
    row = _member(scene, wanted.member_id)
    box = mailboxes.of_member(scene.db, row.id) if row is not None else None
    if box is None or not doors.revoke(scene.db, box.id, scene.now):
        return GONE
    scene.audit("took_key", box.member_id)
    return TeamChanged()


def exclude(scene: Scene, wanted: ExcludeMember, facts: FactReader) -> Event:
    """End a membership at once: secret erased, links and waiting mails void; the person is told."""
    row = _member(scene, wanted.member_id)
    if row is None:
        return GONE
    if row.role == "admin" and people_store.count_admins(scene.db, row.agency_id) == 1:
        return LAST_ADMIN
    box = mailboxes.of_member(scene.db, row.id)
    provider = facts.provider(box.address, box.host, scene.now) if box is not None else None
    url = provider.app_password_url if provider is not None else ""
    end_membership(scene.db, row.id, scene.now, scene.standing.facts.agency, besides=scene.held.id, url=url)
    scene.audit("excluded", row.id)
    return TeamChanged()


def end_membership(
    db: Connection, member_id: UUID, now: datetime, agency: str, *, besides: UUID | None = None, url: str = ""
) -> None:
    """What ends with a membership. `besides`: the conversation that needs no news of it; `url`: see Excluded."""
    secret_id = mailboxes.remove(db, member_id)
    secrets.erase(db, [secret_id] if secret_id else [])
    for conversation_id in people_store.exclude(db, member_id, now):
        mailboxes.close_links(db, conversation_id, now)
        if conversation_id != besides:
            tell(db, conversation_id, Excluded(agency, url), now)


def see_roles(_scene: Scene, _wanted: SeeRoles) -> Event:
    """The facts hold the memberships from now on; see FactReader."""
    return TeamSeen()


def act_for(scene: Scene, wanted: ActFor) -> Event:
    """Act for another membership of one's own, and of nobody else's."""
    mine = {one.id for one in people_store.roles(scene.db, scene.held.contact_id)}
    if _uuid(wanted.member_id) not in mine:
        return GONE
    people_store.touch(scene.db, scene.held.contact_id, member_id=_uuid(wanted.member_id))
    return TeamChanged()


def leave(scene: Scene, _wanted: LeaveAgency) -> Event:
    """End one's own membership; the admins are told. The last admin stays, and so does who is none any more."""
    standing = scene.standing
    if standing.member_id is None or standing.agency_id is None:
        return GONE
    if scene.by_admin and people_store.count_admins(scene.db, standing.agency_id) == 1:
        return LAST_ADMIN
    end_membership(scene.db, standing.member_id, scene.now, standing.facts.agency, besides=scene.held.id)
    tell_admins(scene.db, standing.agency_id, MemberLeft(standing.facts.name), scene.now)
    scene.audit("left", standing.member_id)
    return TeamChanged()


def set_role(scene: Scene, wanted: SetRole) -> Event:
    """Make a member an admin, or an admin a member; the last admin stays one."""
    row = _member(scene, wanted.member_id)
    if row is None:
        return GONE
    if row.role == "admin" and wanted.role != "admin" and people_store.count_admins(scene.db, row.agency_id) == 1:
        return LAST_ADMIN
    people_store.set_role(scene.db, row.id, wanted.role)
    scene.audit(f"role_{wanted.role}", row.id)
    return TeamChanged()


def _member(scene: Scene, member_id: str) -> Row | None:
    """A member of the agency of whoever acts, if that is an admin; of no other agency ever."""
    agency_id = scene.standing.agency_id
    if agency_id is None or not scene.by_admin:
        return None
    return people_store.member_of(scene.db, agency_id, _uuid(member_id))


def _uuid(text: str) -> UUID:
    """An id as it came back from a button; what is none is nobody's."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
