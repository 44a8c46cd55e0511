"""What a turn writes into our own tables, one function for each kind of record. All of it commits with the turn.

A record may be answered by an event; the turn then goes on with it, still in the same transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from bot import people
from bot.facts import Standing
from bot.limits import Exhausted, Limits
from bot.mail.wire.send import message_id
from bot.safe import WAITING, Safe
from bot.store import conversations, mailboxes, promises, secrets
from bot.store import people as people_store
from bot.store.conversations import Held
from bot.store.engine import Connection
from bot.vault import Secret
from flows import saved
from flows.words import (
    CaseOpened,
    EraseSecret,
    Event,
    Join,
    LinkOpened,
    LinkRefused,
    MailQueued,
    MailsExhausted,
    OpenCase,
    OpenLink,
    Record,
    RemoveMailbox,
    SaveMailbox,
    SendMail,
    SetLanguage,
    SetMessages,
    SwitchMailbox,
)

LINK_TIME = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Scene:
    """Whose turn it is, as it stands when a record is written."""

    db: Connection
    held: Held
    standing: Standing
    now: datetime


class Records:
    """Performs records."""

    def __init__(self, safe: Safe, limits: Limits) -> None:
        self._safe = safe
        self._limits = limits
        self._table: dict[type, Callable[[Scene, Any], Event | None]] = {
            Join: self._join,
            SetLanguage: _set_language,
            SetMessages: _set_messages,
            OpenLink: self._open_link,
            EraseSecret: _erase_secret,
            SaveMailbox: _save_mailbox,
            SwitchMailbox: _switch_mailbox,
            RemoveMailbox: _remove_mailbox,
            SendMail: self._send_mail,
            OpenCase: _open_case,
        }

    @property
    def kinds(self) -> frozenset[type]:
        """Every record that can be performed; a test holds that these are all there are."""
        return frozenset(self._table)

    def perform(self, scene: Scene, record: Record) -> Event | None:
        """Write one record; its answer, if it has one."""
        return self._table[type(record)](scene, record)

    def _join(self, scene: Scene, join: Join) -> Event:
        return people.join(scene.db, scene.held.contact_id, scene.held.name, join.code, self._limits, scene.now)

    def _open_link(self, scene: Scene, wanted: OpenLink) -> Event:
        db, held, now = scene.db, scene.held, scene.now
        if scene.standing.member_id is None:
            return LinkRefused()
        if isinstance(self._limits.allow("link", str(held.contact_id), connection=db), Exhausted):
            return LinkRefused()
        mailboxes.close_links(db, held.id, now)
        opened = mailboxes.open_link(
            db,
            conversation_id=held.id,
            member_id=scene.standing.member_id,
            account=saved.dump(wanted.account),
            expires_at=now + LINK_TIME,
            at=now,
        )
        return LinkOpened(str(opened))

    def _send_mail(self, scene: Scene, mail: SendMail) -> Event:
        db, now, mailbox = scene.db, scene.now, scene.standing.facts.mailbox
        if mailbox is None or scene.standing.mailbox_id is None:
            raise LookupError("a mail without a mailbox")
        counted = self._limits.allow("mail", str(scene.standing.mailbox_id), connection=db)
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
        promises.add(db, scene.held.id, [promises.Wanted("mail", "SendMail", now, {"mail": str(mail_id)})], now)
        return MailQueued(str(mail_id))

    def _seal(self, scene: Scene, mail_id: UUID, mail: SendMail) -> UUID:
        words = Secret(f"{mail.subject}\n{mail.text}")
        use = {"mail": str(mail_id)}
        return self._safe.put(
            scene.db, words, kind="mail.body", owner=scene.held.contact_id, use=use, now=scene.now, keep=WAITING
        )


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
    }
    replaced = mailboxes.save(scene.db, scene.standing.member_id, values)
    secrets.keep_until(scene.db, secret_id, scene.now + WAITING if wanted.cause else None)
    if replaced:
        secrets.erase(scene.db, [replaced])


def _switch_mailbox(scene: Scene, wish: SwitchMailbox) -> None:
    if scene.standing.mailbox_id is not None:
        state = "works" if wish.on else "off"
        mailboxes.set_state(scene.db, scene.standing.mailbox_id, state, "", "", scene.now)


def _remove_mailbox(scene: Scene, _wanted: RemoveMailbox) -> None:
    if scene.standing.member_id is not None:
        secret_id = mailboxes.remove(scene.db, scene.standing.member_id)
        secrets.erase(scene.db, [secret_id] if secret_id else [])


def _open_case(scene: Scene, wanted: OpenCase) -> Event:
    return CaseOpened(conversations.open_case(scene.db, scene.held.id, wanted.reason, scene.now))
