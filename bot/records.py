"""What a turn writes into our own tables, one function for each kind of record. All of it commits with the turn.

A record may be answered by an event; the turn then goes on with it, still in the same transaction.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from bot import entrances, people, team
from bot.casework import Casework
from bot.desk.rules import Ended
from bot.facts import FactReader
from bot.invite import invite_people
from bot.limits import Act, Exhausted, Limits
from bot.mail.knowledge.redact import redact
from bot.mail.wire.send import message_id, room_for_files
from bot.safe import WAITING, Safe
from bot.scene import Scene
from bot.store import access, cases, conversations, doors, files, housekeeping, mailboxes, promises, questions, secrets
from bot.store import people as people_store
from bot.store.engine import Row
from bot.tell import tell_admins
from bot.vault import Secret
from flows import saved
from flows.words import (
    Account,
    ActFor,
    AdminNeeded,
    AskAccess,
    CaseOpened,
    CloseDoor,
    DataSeen,
    DecideAccess,
    EraseSecret,
    Event,
    ExcludeMember,
    FilesComing,
    FilesFit,
    FilesGone,
    FilesTooLarge,
    FindHoster,
    HosterUnknown,
    Invite,
    InvitePeople,
    Join,
    Judge,
    Judged,
    LeaveAgency,
    LeaveCase,
    LinkOpened,
    LinkRefused,
    MailQueued,
    MailsExhausted,
    MakeLinkCode,
    NoteQuestion,
    NotHelpful,
    OpenCase,
    OpenData,
    OpenDoor,
    OpenLink,
    OpenSignIn,
    PauseMember,
    ProveAddress,
    Record,
    RemindMember,
    RemindTeam,
    RemoveMailbox,
    RetryWaiting,
    SaveMailbox,
    SeeData,
    SeeRoles,
    SeeTeam,
    SendMail,
    ServerFound,
    ServerWeighed,
    SetAgencyServer,
    SetLanguage,
    SetMessages,
    SetRole,
    SwitchMailbox,
    TakeKey,
    TellAdmins,
    TestTeam,
    UseEntranceCode,
    WeighFiles,
    WeighServer,
)

LINK_TIME = timedelta(minutes=30)
# A mailbox that has to wait is tested again after so long, the last time over and over.
RETEST_AFTER = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
MEGABYTE = 1_000_000
MAX_QUESTION = 300  # characters
_NUMBER = re.compile(r"\d{6,}")  # a phone, an account; reply codes and ports are shorter
MAX_TOLD = 20  # addresses in one message to an admin


class Records:
    """Performs records."""

    def __init__(self, safe: Safe, limits: Limits, facts: FactReader, casework: Casework, number: str = "") -> None:
        """`number`: ours on WhatsApp, for invitations."""
        self._casework = casework
        self._number = number
        self._safe = safe
        self._limits = limits
        self._facts = facts
        self._table: dict[type, Callable[[Scene, Any], Event | None]] = {
            Join: self._join,
            AskAccess: self._ask_access,
            DecideAccess: team.decide_access,
            SeeTeam: team.see_team,
            Invite: self._invite,
            RemindMember: team.remind,
            PauseMember: team.pause,
            TakeKey: team.take_key,
            ExcludeMember: self._exclude,
            SetRole: team.set_role,
            TestTeam: team.try_team,
            RemindTeam: team.remind_team,
            InvitePeople: invite_people,
            SeeRoles: team.see_roles,
            ActFor: team.act_for,
            LeaveAgency: team.leave,
            MakeLinkCode: entrances.make_link_code,
            ProveAddress: self._prove_address,
            UseEntranceCode: self._use_code,
            SetLanguage: _set_language,
            SetMessages: _set_messages,
            OpenLink: self._open_link,
            OpenSignIn: self._open_sign_in,
            OpenDoor: self._open_door,
            SeeData: _see_data,
            OpenData: self._open_data,
            CloseDoor: _close_door,
            FindHoster: self._find_hoster,
            Judge: self._judge,
            WeighServer: self._weigh_server,
            SetAgencyServer: _set_agency_server,
            TellAdmins: _tell_admins,
            RetryWaiting: _retry_waiting,
            EraseSecret: _erase_secret,
            SaveMailbox: _save_mailbox,
            SwitchMailbox: _switch_mailbox,
            RemoveMailbox: _remove_mailbox,
            WeighFiles: _weigh_files,
            SendMail: self._send_mail,
            OpenCase: self._open_case,
            LeaveCase: self._leave_case,
            NoteQuestion: _note_question,
            NotHelpful: _not_helpful,
        }

    @property
    def kinds(self) -> frozenset[type]:
        """Every record that can be performed; a test holds that these are all there are."""
        return frozenset(self._table)

    def perform(self, scene: Scene, record: Record) -> Event | None:
        """Write one record; its answer, if it has one."""
        return self._table[type(record)](scene, record)

    def _join(self, scene: Scene, join: Join) -> Event:
        joined = people.join(scene.db, scene.held, join.code, self._limits, scene.now)
        if joined.member_id is not None:
            _audit(scene, "joined", joined.member_id)
        if joined.agency_id is not None and joined.member_id is not None:
            team.joined_by_group(scene, joined.agency_id, joined.member_id)
        return joined.event

    def _ask_access(self, scene: Scene, wanted: AskAccess) -> Event:
        answer = team.ask_access(scene, wanted, self._limits, self._facts)
        row = cases.open_one(scene.db, scene.held.id)
        wish = access.of_case(scene.db, row.number) if row is not None else None
        if wish is not None and wish.agency_id is None:  # support is asked, and not an admin
            self._casework.opened(scene.db, scene.held.id, "access", scene.now)
        return answer

    def _open_case(self, scene: Scene, wanted: OpenCase) -> Event:
        number = conversations.open_case(scene.db, scene.held.id, wanted.reason, scene.now)
        self._casework.opened(scene.db, scene.held.id, wanted.reason, scene.now)
        return CaseOpened(number)

    def _leave_case(self, scene: Scene, _wanted: LeaveCase) -> None:
        if self._casework.happened(scene.db, scene.held.id, Ended("by_member"), scene.now) is None:
            conversations.close_case(scene.db, scene.held.id, scene.now)

    def _prove_address(self, scene: Scene, wanted: ProveAddress) -> Event:
        return entrances.prove_address(scene, wanted, self._limits)

    def _use_code(self, scene: Scene, wanted: UseEntranceCode) -> Event:
        return entrances.use_code(scene, wanted, self._limits)

    def _exclude(self, scene: Scene, wanted: ExcludeMember) -> Event:
        return team.exclude(scene, wanted, self._facts)

    def _invite(self, scene: Scene, wanted: Invite) -> Event:
        return team.invite(scene, wanted, self._number)

    def _open_link(self, scene: Scene, wanted: OpenLink) -> Event:
        return self._opened(scene, wanted.account)

    def _open_sign_in(self, scene: Scene, wanted: OpenSignIn) -> Event:
        return self._opened(scene, wanted.account, "sign_in", wanted.provider)

    def _open_door(self, scene: Scene, _wanted: OpenDoor) -> Event:
        mailbox = scene.standing.facts.mailbox
        if mailbox is None or mailbox.state != "works" or not scene.standing.facts.house.door:
            return LinkRefused()
        return self._opened(scene, mailbox.account, "door")

    def _opened(self, scene: Scene, account: Account, kind: str = "password", provider: str = "") -> Event:
        """A link for one of the `kind`s of pages; within the same bounds for all, and older ones are void."""
        if scene.standing.member_id is None:
            return LinkRefused()
        if isinstance(self._limits.allow("link", str(scene.held.contact_id), connection=scene.db), Exhausted):
            return LinkRefused()
        return _new_link(
            scene, member_id=scene.standing.member_id, account=saved.dump(account), kind=kind, provider=provider
        )

    def _open_data(self, scene: Scene, _wanted: OpenData) -> Event:
        """For whoever asks, member or not: it is about them."""
        if isinstance(self._limits.allow("data", str(scene.held.contact_id), connection=scene.db), Exhausted):
            return LinkRefused()
        return _new_link(scene, member_id=None, account={}, kind="data")

    def _find_hoster(self, scene: Scene, wanted: FindHoster) -> Event:
        account = self._facts.hoster(wanted.address, wanted.words, scene.now.date())
        return ServerFound(account) if account else HosterUnknown()

    def _judge(self, scene: Scene, wanted: Judge) -> Event:
        standing, today = scene.standing, scene.now.date()
        same = not standing.agency_host or self._facts.same_host(
            wanted.account.server.host, today, standing.agency_host
        )
        return Judged(wanted.account, wanted.confirm, "" if same else standing.server_rule)

    def _weigh_server(self, scene: Scene, wanted: WeighServer) -> Event:
        agency_id, today = scene.standing.agency_id, scene.now.date()
        hosts = mailboxes.hosts_of(scene.db, agency_id) if agency_id else []
        same = partial(self._facts.same_host, wanted.server.host, today)
        return ServerWeighed(wanted.server, sum(not same(host) for host in hosts))

    def _send_mail(self, scene: Scene, mail: SendMail) -> Event:
        db, now, mailbox = scene.db, scene.now, scene.standing.facts.mailbox
        if mailbox is None or scene.standing.mailbox_id is None:
            raise LookupError("a mail without a mailbox")
        if (unready := _unready_files(scene, mail.files)) is not None:
            return unready
        box, agency = str(scene.standing.mailbox_id), str(scene.standing.agency_id)
        acts = [Act("mail", (box,)), Act("agency_mail", (agency,)), Act("recipient", (box,), len(mail.recipients))]
        counted = self._limits.allow_all(acts, connection=db)
        if isinstance(counted, Exhausted):
            return MailsExhausted(counted.minutes)
        mail_id = uuid4()
        content = self._seal(scene, mail_id, mail)
        values = {
            "conversation_id": scene.held.id,
            "mailbox_id": scene.standing.mailbox_id,
            "mailbox_version": scene.standing.mailbox_version,
            "message_id": message_id(mail_id.hex, mailbox.account.address),
            "date": now,
            "recipients": list(mail.recipients),
            "content_id": content,
            "at": now,
        }
        mailboxes.add_mail(db, mail_id, values)
        _attach(scene, mail, mail_id)
        promises.add(db, scene.held.id, [promises.Wanted("mail", "SendMail", now, {"mail": str(mail_id)})], now)
        return MailQueued(str(mail_id))

    def _seal(self, scene: Scene, mail_id: UUID, mail: SendMail) -> UUID:
        words = Secret(f"{mail.subject}\n{mail.text}")
        use = {"mail": str(mail_id)}
        return self._safe.put(
            scene.db, words, kind="mail.body", owner=scene.held.contact_id, use=use, now=scene.now, keep=WAITING
        )


def _new_link(scene: Scene, **about: Any) -> LinkOpened:
    """A link; older ones of the conversation are void. `about`: see `mailboxes.open_link`."""
    db, now = scene.db, scene.now
    mailboxes.close_links(db, scene.held.id, now)
    opened = mailboxes.open_link(db, conversation_id=scene.held.id, expires_at=now + LINK_TIME, at=now, **about)
    _audit(scene, "link_opened", opened)
    return LinkOpened(str(opened))


def _see_data(scene: Scene, _wanted: SeeData) -> Event:
    row = people_store.in_short(scene.db, scene.held.contact_id)
    counted = {name: getattr(row, name) for name in (*people_store.MAILS, "sign_ins", "cases", "messages")}
    return DataSeen(
        row.created_at.date(),
        row.called or row.name or "",
        row.agencies or "",
        row.addresses or "",
        row.passwords > 0,
        **counted,
    )


def _weigh_files(scene: Scene, wanted: WeighFiles) -> Event:
    unready = _unready_files(scene, wanted.files)
    return FilesFit() if unready is None or isinstance(unready, FilesComing) else unready


def _unready_files(scene: Scene, file_ids: tuple[str, ...]) -> Event | None:
    """Why a mail cannot leave with its files yet, or with some of them never."""
    known = {str(row.id): row for row in files.some(scene.db, scene.held.id, [UUID(one) for one in file_ids])}
    gone = [one for one in file_ids if one not in known or _is_gone(known[one])]
    if gone:
        return FilesGone(tuple(gone))
    most = room_for_files(scene.standing.mailbox_size)
    if sum(row.size for row in known.values()) > most:
        return FilesTooLarge(most // MEGABYTE)
    return FilesComing() if any(row.state == "coming" for row in known.values()) else None


def _is_gone(row: Row) -> bool:
    """It never came, was kept for too long, or goes with another mail, with which it is erased."""
    return row.state == "lost" or row.mail_id is not None or (row.state == "here" and row.content_id is None)


def _attach(scene: Scene, mail: SendMail, mail_id: UUID) -> None:
    """Its files go with a mail and are kept as long as its words: their own time may be over in a moment."""
    files.attach(scene.db, [UUID(one) for one in mail.files], mail_id)
    for row in files.of_mail(scene.db, mail_id):
        secrets.keep_until(scene.db, row.content_id, scene.now + WAITING)


def _set_language(scene: Scene, wanted: SetLanguage) -> None:
    people_store.touch(scene.db, scene.held.contact_id, language=wanted.language)


def _set_messages(scene: Scene, wish: SetMessages) -> None:
    people_store.touch(scene.db, scene.held.contact_id, stopped_at=None if wish.wanted else scene.now)


def _erase_secret(scene: Scene, gone: EraseSecret) -> None:
    secrets.erase(scene.db, [UUID(gone.secret_id)])


def _save_mailbox(scene: Scene, wanted: SaveMailbox) -> None:
    if scene.standing.member_id is None:
        raise LookupError("a mailbox without a member")
    account, secret_id = wanted.account, UUID(wanted.secret_id)
    values = {
        "address": account.address,
        "user_name": account.user,
        "host": account.server.host,
        "port": account.server.port,
        "security": account.server.security,
        "secret_id": secret_id,
        "state": "waiting" if wanted.cause else "works",
        "cause": wanted.cause,
        "who": wanted.who,
        "since": scene.now,
        "size": wanted.size,
        "transport": account.transport,
    }
    replaced = mailboxes.save(scene.db, scene.standing.member_id, values)
    promises.one_at(scene.db, scene.held.id, promises.RETEST, None, scene.now)
    if wanted.cause:
        _promise_retest(scene, scene.standing.member_id)
    secrets.keep_until(scene.db, secret_id, scene.now + WAITING if wanted.cause else None)
    if replaced:
        secrets.erase(scene.db, [replaced])
    _audit(scene, "mailbox_saved", scene.standing.member_id)


def _promise_retest(scene: Scene, member_id: UUID) -> None:
    """Of this version: a test that is under way for an older one ends without another."""
    row = mailboxes.of_member(scene.db, member_id)
    if row is not None:
        of = {"member": str(member_id), "version": row.version}
        wanted = promises.Wanted("work", promises.RETEST, scene.now + RETEST_AFTER[0], of)
        promises.add(scene.db, scene.held.id, [wanted], scene.now)


def _set_agency_server(scene: Scene, wanted: SetAgencyServer) -> None:
    standing, server = scene.standing, wanted.server
    if standing.agency_id is None or standing.facts.role != "admin":
        return
    host, port, security = (server.host, server.port, server.security) if server else ("", 0, "")
    people_store.set_server(scene.db, standing.agency_id, host, port, security)
    _audit(scene, "agency_server", standing.agency_id)


def _tell_admins(scene: Scene, wanted: TellAdmins) -> None:
    agency_id = scene.standing.agency_id
    if agency_id is None:
        return
    news = wanted.news
    if isinstance(news, AdminNeeded):
        waiting = mailboxes.waiting_addresses(scene.db, agency_id, news.cause)
        news = replace(news, addresses=", ".join(waiting[:MAX_TOLD]) or news.addresses)
    tell_admins(scene.db, agency_id, news, scene.now, besides=scene.held.id)


def _retry_waiting(scene: Scene, wanted: RetryWaiting) -> None:
    if scene.standing.agency_id is not None and scene.standing.facts.role == "admin":
        again = [scene.now + timedelta(minutes=minutes) for minutes in wanted.again]
        promises.hurry(scene.db, scene.standing.agency_id, promises.RETEST, scene.now, again)


def _switch_mailbox(scene: Scene, wish: SwitchMailbox) -> None:
    if scene.standing.mailbox_id is not None:
        state = "works" if wish.on else "off"
        mailboxes.set_state(scene.db, scene.standing.mailbox_id, state, "", "", scene.now)
        _audit(scene, f"mailbox_{'on' if wish.on else 'off'}", scene.standing.mailbox_id)


def _remove_mailbox(scene: Scene, _wanted: RemoveMailbox) -> None:
    if scene.standing.member_id is not None:
        secret_id = mailboxes.remove(scene.db, scene.standing.member_id)
        secrets.erase(scene.db, [secret_id] if secret_id else [])
        _audit(scene, "mailbox_removed", scene.standing.member_id)


def _audit(scene: Scene, action: str, subject: UUID) -> None:
    """Who acts is a member, or nobody's contact."""
    actor = str(scene.standing.member_id or scene.held.contact_id)
    housekeeping.audit_entry(scene.db, scene.now, actor=actor, action=action, subject=str(subject))


def _close_door(scene: Scene, _wanted: CloseDoor) -> None:
    if scene.standing.mailbox_id is not None and doors.revoke(scene.db, scene.standing.mailbox_id, scene.now):
        housekeeping.audit_entry(
            scene.db, scene.now, actor=str(scene.standing.member_id), action="door_closed",
            subject=str(scene.standing.mailbox_id),
        )  # fmt: skip


def _note_question(scene: Scene, asked: NoteQuestion) -> None:
    """In words without addresses and numbers; what must not be kept is not even counted."""
    if asked.words:
        words = _NUMBER.sub("#", redact(asked.words))[:MAX_QUESTION]
        spoken = scene.standing.facts.language
        questions.note(scene.db, scene.held.id, words=words, topic=asked.topic, language=spoken, at=scene.now)


def _not_helpful(scene: Scene, _answer: NotHelpful) -> None:
    questions.not_helpful(scene.db, scene.held.id)
