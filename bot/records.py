"""What a turn writes into our own tables: the table of records, with the short ones. All of it commits with the turn.

A record may be answered by an event; the turn then goes on with it, still in the same transaction.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from bot import entrances, mail_records, mailbox_records, people, team
from bot.casework import Casework
from bot.desk.rules import Ended
from bot.facts import FactReader
from bot.invite import invite_people
from bot.limits import Exhausted, Limits
from bot.mail.knowledge.redact import redact
from bot.safe import Safe
from bot.scene import Scene
from bot.store import access, cases, conversations, mailboxes, questions, secrets
from bot.store import people as people_store
from flows import saved
from flows.words import (
    AccessRefused,
    Account,
    ActFor,
    AskAccess,
    CaseOpened,
    CloseDoor,
    DataSeen,
    DecideAccess,
    EraseSecret,
    Event,
    ExcludeMember,
    FindHoster,
    HosterUnknown,
    Invite,
    InvitePeople,
    Join,
    JoinRefused,
    Judge,
    LeaveAgency,
    LeaveCase,
    LinkOpened,
    LinkRefused,
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
    SetAgencyServer,
    SetLanguage,
    SetMessages,
    SetRole,
    SwitchMailbox,
    TakeKey,
    TeamRefused,
    TellAdmins,
    TestTeam,
    UseEntranceCode,
    WeighFiles,
    WeighServer,
)

LINK_TIME = timedelta(minutes=30)
MAX_QUESTION = 300  # characters
_NUMBER = re.compile(r"\d{6,}")  # a phone, an account; reply codes and ports are shorter
# Codes that let nobody in, and acts on what is not theirs: https://github.com/OWASP/ASVS, 5.0.0, V16.3
REFUSALS = (JoinRefused, AccessRefused, TeamRefused, LinkRefused)
_log = structlog.get_logger(__name__)


class Records:
    """Performs records."""

    def __init__(self, safe: Safe, limits: Limits, facts: FactReader, casework: Casework, number: str = "") -> None:
        """`number`: ours on WhatsApp, for invitations."""
        self._casework = casework
        self._limits = limits
        self._facts = facts
        self._table: dict[type, Callable[[Scene, Any], Event | None]] = {
            Join: self._join,
            AskAccess: self._ask_access,
            DecideAccess: team.decide_access,
            SeeTeam: team.see_team,
            Invite: partial(team.invite, number=number),
            RemindMember: team.remind,
            PauseMember: team.pause,
            TakeKey: team.take_key,
            ExcludeMember: partial(team.exclude, facts=facts),
            SetRole: team.set_role,
            TestTeam: team.try_team,
            RemindTeam: team.remind_team,
            InvitePeople: invite_people,
            SeeRoles: team.see_roles,
            ActFor: team.act_for,
            LeaveAgency: team.leave,
            MakeLinkCode: entrances.make_link_code,
            ProveAddress: partial(entrances.prove_address, limits=limits),
            UseEntranceCode: partial(entrances.use_code, limits=limits),
            SetLanguage: _set_language,
            SetMessages: _set_messages,
            OpenLink: self._open_link,
            OpenSignIn: self._open_sign_in,
            OpenDoor: self._open_door,
            SeeData: _see_data,
            OpenData: self._open_data,
            CloseDoor: mailbox_records.close_door,
            FindHoster: self._find_hoster,
            Judge: partial(mailbox_records.judge, facts=facts),
            WeighServer: partial(mailbox_records.weigh_server, facts=facts),
            SetAgencyServer: mailbox_records.set_agency_server,
            TellAdmins: mailbox_records.tell_the_admins,
            RetryWaiting: mailbox_records.retry_waiting,
            EraseSecret: _erase_secret,
            SaveMailbox: mailbox_records.save,
            SwitchMailbox: mailbox_records.switch,
            RemoveMailbox: mailbox_records.remove,
            WeighFiles: mail_records.weigh_files,
            SendMail: partial(mail_records.send_mail, safe=safe, limits=limits),
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
        """Write one record; its answer, if it has one. What somebody was refused is in the log, with their talk."""
        answer = self._table[type(record)](scene, record)
        if isinstance(answer, REFUSALS):
            why = getattr(answer, "reason", "")
            _log.info("refused", wish=type(record).__name__, why=why, conversation=str(scene.held.id))
        return answer

    def _join(self, scene: Scene, join: Join) -> Event:
        joined = people.join(scene.db, scene.held, join.code, self._limits, scene.now)
        if joined.member_id is not None:
            scene.audit("joined", joined.member_id)
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


def _new_link(scene: Scene, **about: Any) -> LinkOpened:
    """A link; older ones of the conversation are void. `about`: see `mailboxes.open_link`."""
    db, now = scene.db, scene.now
    mailboxes.close_links(db, scene.held.id, now)
    opened = mailboxes.open_link(db, conversation_id=scene.held.id, expires_at=now + LINK_TIME, at=now, **about)
    scene.audit("link_opened", opened)
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


def _set_language(scene: Scene, wanted: SetLanguage) -> None:
    people_store.touch(scene.db, scene.held.contact_id, language=wanted.language)


def _set_messages(scene: Scene, wish: SetMessages) -> None:
    people_store.touch(scene.db, scene.held.contact_id, stopped_at=None if wish.wanted else scene.now)


def _erase_secret(scene: Scene, gone: EraseSecret) -> None:
    secrets.erase(scene.db, [UUID(gone.secret_id)])


def _note_question(scene: Scene, asked: NoteQuestion) -> None:
    """In words without addresses and numbers; what must not be kept is not even counted."""
    if asked.words:
        words = _NUMBER.sub("#", redact(asked.words))[:MAX_QUESTION]
        spoken = scene.standing.facts.language
        questions.note(scene.db, scene.held.id, words=words, topic=asked.topic, language=spoken, at=scene.now)


def _not_helpful(scene: Scene, _answer: NotHelpful) -> None:
    questions.not_helpful(scene.db, scene.held.id)
