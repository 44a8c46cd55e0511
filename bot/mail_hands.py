"""The hand that sends a mail which was written in the chat, never twice, and what is noted and told of it."""

from dataclasses import replace
from functools import partial
from uuid import UUID

from bot.credentials import hand_over
from bot.grants import ELSEWHERE, ElsewhereError, NotNowError, OverError, told_with
from bot.handiwork import (
    LEASES,
    MAX_WORDS,
    Again,
    Ended,
    Outcome,
    Tools,
    backoff,
    written,
)
from bot.insist import insist
from bot.live_tests import stored
from bot.mail.wire import send
from bot.mail.wire.account import BadCredential
from bot.mail.wire.addresses import BadAddress
from bot.proofs import was_sent
from bot.store import mailboxes, promises, secrets
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.vault import LostKey, Unopenable
from flows.words import (
    Event,
    MailAccepted,
    MailRefused,
    MailUnknown,
    MailWaits,
)

MAX_MAIL_TRIES = 8
QUICK_TRIES = 3  # while another process renews a sign-in
CHANGED = ""  # the cause of a refusal that no mail server spoke: the mailbox is not as it was


def send_mail(tools: Tools, promise: Promise) -> Outcome:
    """Send one mail, never twice: once its bytes may have left, only the truth is told."""
    mail_id = UUID(promise.payload["mail"])
    with reading(tools.engine) as db:
        mail = mailboxes.mail(db, mail_id)
    if mail is None:  # the mailbox was removed, and its mails with it
        return Ended("dropped", MailRefused(str(mail_id), CHANGED, "user", retry=False))
    if mail.state == "accepted":
        return _mail_accepted(tools, mail, MailAccepted(str(mail_id), ", ".join(mail.recipients)))
    if mail.state == "handing":  # an earlier try died in the middle
        return _unknown(tools, mail, "the process ended while the mail was handed over")
    if mail.version != mail.mailbox_version or mail.mailbox_state != "works" or mail.secret_id is None:
        return _refused(tools, mail_id, CHANGED, "user", "the mailbox was changed meanwhile")
    return _handed_over(tools, promise, mail)


def _handed_over(tools: Tools, promise: Promise, mail: Row) -> Outcome:
    mail_id = mail.id
    try:
        return _hand_over(tools, promise, mail)
    except _TakenError:
        return Again(LEASES["mail"].total_seconds(), "another process is handing it over")
    except OverError as over:
        event = MailRefused(
            str(mail_id), CHANGED, "user", retry=False, signed_in=over.provider, address=stored(mail).address
        )
        refused = _mail_ended(tools, mail_id, event, to="refused", state="failed", words=str(over))
        return told_with(promise, over, refused)
    except LostKey as lost:
        return _key_lost(tools, mail, lost)
    except Unopenable as gone:
        return _refused(tools, mail_id, CHANGED, "user", str(gone))
    except NotNowError as away:
        return _not_now(tools, promise, mail_id, away)
    except BadAddress as bad:
        return _refused(tools, mail_id, "recipient_rejected", "user", str(bad))
    except send.BadMessage as bad:
        cause = "message_too_large" if bad.part == "file_size" else "content_rejected_spam_policy"
        return _refused(tools, mail_id, cause, "user", str(bad))
    except BadCredential as bad:
        return _refused(tools, mail_id, "content_rejected_spam_policy", "user", str(bad))


def _key_lost(tools: Tools, mail: Row, lost: LostKey) -> Outcome:
    """Nobody can open what the person signs in with: they are asked for it once more, there and then."""
    address, mail_id = stored(mail).address, str(mail.id)
    if lost.kind == "mailbox.password":
        event = MailRefused(mail_id, CHANGED, "user", retry=False, address=address, gone=True)
    elif lost.kind == "mailbox.oauth.microsoft":
        event = MailRefused(mail_id, CHANGED, "user", retry=False, signed_in="microsoft", address=address)
    elif lost.kind == "mailbox.oauth.google":
        event = MailRefused(mail_id, CHANGED, "user", retry=False, signed_in="google", address=address)
    else:  # the words of the mail themselves
        return _refused(tools, mail.id, CHANGED, "user", str(lost))
    refused = _mail_ended(tools, mail.id, event, to="refused", state="failed", words=str(lost))

    def along(db: Connection) -> bool:
        now = tools.clock.now()
        mailboxes.settle(db, mail.mailbox_id, mail.mailbox_version, "broken", "", "user", now, of="works")
        return refused.along(db)

    return replace(refused, along=along)


def _not_now(tools: Tools, promise: Promise, mail_id: UUID, away: NotNowError) -> Outcome:
    """What another process renews is there in a moment: nobody has to hear of that."""
    elsewhere = isinstance(away, ElsewhereError)
    if elsewhere and promise.attempt <= QUICK_TRIES:
        return Again(backoff(promise.attempt), ELSEWHERE)
    words = f"{away}, for long" if elsewhere else str(away)
    return _later(tools, promise, mail_id, "server_temporary_failure", "wait", words)


def _hand_over(tools: Tools, promise: Promise, mail: Row) -> Outcome:
    outcome = hand_over(
        tools,
        stored(mail),
        mail.secret_id,
        written(tools, mail),
        mail.recipients,
        on_accepted=partial(_note_accepted, tools, mail.id),
        on_handing=partial(_note_handing, tools, mail.id),
    )
    match outcome:
        case send.Accepted():
            return _mail_accepted(tools, mail, _accepted(mail, outcome))
        case send.Unknown(raw):
            return _unknown(tools, mail, raw)
        case send.Refused(cause=cause, who=who, raw=raw):
            return _refused(tools, mail.id, cause, who, raw)
        case send.Later(cause=cause, who=who, raw=raw, wait=wait):
            return _later(tools, promise, mail.id, cause, who, raw, wait)


class _TakenError(Exception):
    """Somebody else is handing this mail over, or has: a process that was frozen and came back finds it so."""


def _note_handing(tools: Tools, mail_id: UUID) -> None:
    """Stored before the final dot: from here on nobody hands this mail over again without knowing what became of it."""
    if not _move(tools, mail_id, to="handing", of=("todo",)):
        raise _TakenError


def _note_accepted(tools: Tools, mail_id: UUID, reply: str) -> None:
    """Stored at the final 250, before QUIT: whatever happens afterwards, this mail is never handed over again.

    A database that is away for a moment is waited for: nobody else knows what the server said.
    """
    insist(lambda: _move(tools, mail_id, to="accepted", of=("handing",), reply=reply))


def _accepted(mail: Row, outcome: send.Accepted) -> MailAccepted:
    declined = [one.address for one in outcome.declined]
    taken = [one for one in mail.recipients if one not in declined]
    return MailAccepted(str(mail.id), ", ".join(taken), ", ".join(declined))


def _move(tools: Tools, mail_id: UUID, *, to: str, of: tuple[str, ...], reply: str = "") -> bool:
    with tools.engine.begin() as db:
        return mailboxes.move_mail(db, mail_id, to=to, of=of, reply=reply, at=tools.clock.now())


def _later(tools: Tools, promise: Promise, mail_id: UUID, cause: str, who: str, raw: str, wait: float = 0.0) -> Outcome:
    """Once more after a while, not before `wait` seconds that the server asked for; not for ever."""
    if promise.attempt >= MAX_MAIL_TRIES:
        return _refused(tools, mail_id, cause, who, raw)
    if promise.attempt == 1 or promise.outcome == ELSEWHERE:
        tools.announce(promise, MailWaits(str(mail_id), cause))

    def hold_again(db: Connection) -> bool:
        return mailboxes.move_mail(db, mail_id, to="todo", of=("handing",), reply=raw, at=tools.clock.now())

    return Again(max(backoff(promise.attempt + 4), wait), raw, hold_again)


def _refused(tools: Tools, mail_id: UUID, cause: str, who: str, raw: str) -> Ended:
    event = MailRefused(str(mail_id), cause, who, retry=False)
    return _mail_ended(tools, mail_id, event, to="refused", state="failed", words=raw)


def _unknown(tools: Tools, mail: Row, raw: str) -> Outcome:
    """No answer came: where the mail lies in the sender's own folders it was sent, else the truth is told."""
    if was_sent(tools, mail):
        return _mail_accepted(tools, mail, MailAccepted(str(mail.id), ", ".join(mail.recipients)))
    return _mail_ended(tools, mail.id, MailUnknown(str(mail.id)), to="unknown", state="unknown", words=raw)


def _mail_accepted(tools: Tools, mail: Row, event: Event) -> Ended:
    """The server has it. Its words are kept sealed until its copy is in *Sent*, which is a promise of its own."""

    def note(db: Connection) -> bool:
        now = tools.clock.now()
        mailboxes.move_mail(db, mail.id, to="accepted", of=("todo", "handing"), reply=mail.reply, at=now)
        mailboxes.worked(db, mail.mailbox_id, mail.mailbox_version, now)
        wanted = promises.Wanted("work", promises.FILE_COPY, now, {"mail": str(mail.id)})
        promises.add(db, mail.conversation_id, [wanted], now)
        promises.wake(db, {"work"})
        return True

    return Ended("done", event, along=note)


def _mail_ended(tools: Tools, mail_id: UUID, event: Event, *, to: str, state: str, words: str = "") -> Ended:
    """The outcome is known: it is noted, if the server's word was not yet, and the sealed content is erased."""

    def note(db: Connection) -> bool:
        mailboxes.move_mail(db, mail_id, to=to, of=("todo", "handing"), reply=words, at=tools.clock.now())
        secrets.erase(db, mailboxes.drop_content(db, mail_id))
        return True

    return Ended(state, event, words=words[:MAX_WORDS], along=note)
