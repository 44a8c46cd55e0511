"""The Sent proof: a mail to oneself as the last stage of the live test, and the copy of every mail in *Sent*.

"Accepted by SMTP" is stored at the final 250, before anything here: a copy that cannot be made sends no mail twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from email.message import EmailMessage
from functools import partial
from uuid import UUID

import structlog

from bot.credentials import credential_of, hand_over, may_look_in, opened
from bot.facts import language
from bot.grants import NotNowError
from bot.handiwork import Again, Ended, Outcome, Tools, backoff, imap_of, provider_of, written
from bot.limits import Exhausted
from bot.live_tests import stored
from bot.mail.wire import send, sent_folder
from bot.mail.wire.account import BadCredential, Token
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.smtp import Network
from bot.store import door_mails, mailboxes, people, promises, secrets
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.vault import Unopenable
from flows.speech import sentence
from flows.words import Account, CopyMissing, LoginFailed, LoginWorked

HANDING = "handing"  # noted at a promise whose mail to oneself may have left
MAX_COPY_TRIES = 6
AT_ONCE = (0.0,)  # where nobody but us files copies there is nothing to wait for
SOON = (0.0, 1.0, 2.0)
DONE = frozenset({"found", "appended"})
_log = structlog.get_logger(__name__)


class TakenError(Exception):
    """Somebody else does this now."""


# --- the mail to oneself ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proving:
    """One mail to oneself: whose, with what, for which promise."""

    tools: Tools
    promise: Promise
    held: Held
    account: Account
    secret_id: UUID
    repaired: bool
    size: int


def prove(of: Proving) -> Outcome:
    """Send a real mail to oneself and look where it went. Raises TakenError when another process owns the promise.

    It alone shows senders that a server refuses after it has read the mail. A process that died while it handed the
    mail over is not followed by a second mail.
    """
    if of.promise.outcome == HANDING:
        return _unknown_told(of, "a mail to oneself may have left")
    message = _to_oneself(of)
    outcome = hand_over(
        of.tools,
        of.account,
        of.secret_id,
        message,
        [of.account.address],
        network=_in_a_chat(of.tools.network),
        on_handing=partial(_note_handing, of.tools, of.promise),
        on_accepted=lambda _reply: None,  # its outcome is the test's
    )
    match outcome:
        case send.Accepted(reply=reply):
            worked = LoginWorked(of.account, of.repaired, "accepted", copy="failed", size=of.size)
            return _after_it_left(of, partial(_accepted, of, send.for_sent_copy(message), reply), worked)
        case send.Unknown(raw):
            return _unknown_told(of, raw)
        case send.Later(raw=raw):
            return Ended(event=LoginWorked(of.account, of.repaired, "later", size=of.size), words=raw)
        case send.Refused(stage=stage, cause=cause, who=who, raw=raw):
            _log.info("live test failed", stage=stage, cause=cause)
            return Ended(event=LoginFailed(cause, who, retry=False), words=f"{stage}: {cause}: {raw}")


def _to_oneself(of: Proving) -> EmailMessage:
    spoken = language(of.held.language)
    with reading(of.tools.engine) as db:
        name = people.member_name(db, of.held.member_id) if of.held.member_id else ""
    return send.compose(
        sender=of.account.address,
        name=name[: send.MAX_NAME],
        to=[of.account.address],
        subject=sentence("proof.subject", spoken),
        text=sentence("proof.text", spoken, operator=of.tools.operator),
        date=of.tools.clock.now(),
        marker=_marker(of.promise),
    )


def _marker(promise: Promise) -> str:
    return f"proof-{promise.id:08d}"


def _in_a_chat(network: Network) -> Network:
    """A person waits here, and the promise has a lease: a server gets less time than RFC 5321 allows."""
    given = network.timeouts
    shorter = {"content": min(given.content, 30.0), "final": min(given.final, 45.0), "total": min(given.total, 45.0)}
    return replace(network, timeouts=replace(given, **shorter))


def _note_handing(tools: Tools, promise: Promise) -> None:
    with tools.engine.begin() as db:
        if not promises.mark(db, promise, HANDING):
            raise TakenError


def _after_it_left(of: Proving, look: Callable[[], Ended], otherwise: LoginWorked) -> Ended:
    """Were the hand to raise from here on, the test would be done again, and with it the mail be sent again."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - whatever an IMAP server makes our libraries raise
        kind = type(error).__name__
        _log.error("looking after a mail to oneself failed", promise=of.promise.id, kind=kind)
        return Ended(event=otherwise, words=kind)


def _unknown_told(of: Proving, raw: str) -> Ended:
    return _after_it_left(of, partial(_unknown, of, raw), LoginWorked(of.account, of.repaired, "unknown", size=of.size))


def _accepted(of: Proving, content: bytes, reply: str) -> Ended:
    id_ = send.message_id(_marker(of.promise), of.account.address)
    if not may_look_in(of.tools, of.account, of.secret_id):  # the server files the copy itself
        return _looked(of, sent_folder.Copy("no_imap"), arrived=False)
    secret = opened(credential_of(of.tools, of.account, of.secret_id))
    copy = _copied(of.tools, of.account, secret, content, id_, reply)
    arrived = copy.state != "no_imap" and sent_folder.arrived(
        imap_of(of.tools, of.account), secret, id_, network=_in_a_chat(of.tools.network), reply=reply, waits=SOON
    )
    return _looked(of, copy, arrived=bool(arrived))


def _looked(of: Proving, copy: sent_folder.Copy, *, arrived: bool) -> Ended:
    worked = LoginWorked(of.account, of.repaired, "accepted", arrived, copy.state, size=of.size)
    return Ended(event=worked, words=f"copy: {copy.state} {copy.cause} {copy.raw}".strip())


def _unknown(of: Proving, raw: str) -> Ended:
    found = may_look_in(of.tools, of.account, of.secret_id) and sent_folder.resolve_unknown(
        imap_of(of.tools, of.account),
        opened(credential_of(of.tools, of.account, of.secret_id)),
        send.message_id(_marker(of.promise), of.account.address),
        network=_in_a_chat(of.tools.network),
        waits=SOON,
    )
    return Ended(
        event=LoginWorked(of.account, of.repaired, "accepted" if found else "unknown", size=of.size), words=raw
    )


# --- the copy of a mail -----------------------------------------------------------------------------------------------


def _copied(
    tools: Tools, account: Account, secret: str | Token, content: bytes, id_: str, reply: str
) -> sent_folder.Copy:
    """What became of a copy, in a mailbox that we may look into."""
    provider = provider_of(tools, account)
    habit = provider.sent_copy if provider else "unknown"
    return sent_folder.prove(
        imap_of(tools, account),
        secret,
        content,
        id_,
        network=_in_a_chat(tools.network),
        server_files=habit.startswith("auto"),
        reply=reply,
        provider=provider.family if provider else None,
        waits=AT_ONCE if habit == "never" else sent_folder.WAITS,
    )


def file_copy(tools: Tools, promise: Promise) -> Outcome:
    """See to it that an accepted mail lies in *Sent*, once; afterwards its sealed words are erased."""
    mail_id = UUID(promise.payload["mail"])
    with reading(tools.engine) as db:
        mail = mailboxes.mail(db, mail_id)
    if mail is None or mail.content_id is None:
        return Ended("dropped")
    if mail.version != mail.mailbox_version or mail.secret_id is None:
        return _copy_ended(tools, mail, sent_folder.Copy("failed"), "the mailbox was changed meanwhile")
    account = stored(mail)
    if not may_look_in(tools, account, mail.secret_id):
        return _copy_ended(tools, mail, sent_folder.Copy("no_imap"), "the server files it", tell=False)
    try:
        content = _as_sent(tools, mail)
        secret = opened(credential_of(tools, account, mail.secret_id))
        copy = _copied(tools, account, secret, content, mail.message_id, mail.reply)
    except NotNowError as away:
        if promise.attempt < MAX_COPY_TRIES:
            return Again(backoff(0, away.seconds), str(away))
        return _copy_ended(tools, mail, sent_folder.Copy("failed"), str(away))
    except (Unopenable, BadAddress, BadCredential, send.BadMessage) as bad:
        return _copy_ended(tools, mail, sent_folder.Copy("failed"), str(bad))
    if copy.state == "failed" and promise.attempt < MAX_COPY_TRIES:
        return Again(backoff(promise.attempt + 3), copy.raw)
    return _copy_ended(tools, mail, copy, f"{copy.state} {copy.cause} {copy.raw}".strip())


def _as_sent(tools: Tools, mail: Row) -> bytes:
    """The mail for its writer's own folder: as it was written here, or as it came in at the door."""
    with reading(tools.engine) as db:
        record = secrets.get(db, mail.content_id)
        if record is not None and record.kind == "door.mail":
            use = {"mail": str(mail.id)}
            return tools.safe.take(db, mail.content_id, kind="door.mail", use=use).reveal().encode("latin-1")
    return send.for_sent_copy(written(tools, mail))


def _spends_news(tools: Tools, mail: Row) -> bool:
    """Whether a mail may be news: of those from the door one a day, as there may be hundreds. It counts; ask last."""
    with reading(tools.engine) as db:
        if not door_mails.is_of_the_door(db, mail.id):
            return True
    return not isinstance(tools.limits.allow("door_news", str(mail.mailbox_id)), Exhausted)


def _copy_ended(tools: Tools, mail: Row, copy: sent_folder.Copy, words: str, *, tell: bool = True) -> Ended:
    def note(db: Connection) -> bool:
        mailboxes.note_copy(db, mail.id, copy.state)
        secrets.erase(db, mailboxes.drop_content(db, mail.id))
        return True

    tell = tell and copy.state not in DONE and _spends_news(tools, mail)
    missing = CopyMissing(str(mail.id), ", ".join(mail.recipients), copy.state)
    return Ended(event=missing if tell else None, words=words, along=note)


def was_sent(tools: Tools, mail: Row) -> bool:
    """Whether a mail of which no answer came lies in its sender's own folders."""
    if mail.version != mail.mailbox_version:
        return False  # it left from another mailbox than the one that is there now
    account = stored(mail)
    try:
        if not may_look_in(tools, account, mail.secret_id):
            return False
        secret = opened(credential_of(tools, account, mail.secret_id))
        found = sent_folder.resolve_unknown(imap_of(tools, account), secret, mail.message_id, network=tools.network)
    except (Unopenable, NotNowError, BadAddress, BadCredential, ValueError):
        return False
    return bool(found)
