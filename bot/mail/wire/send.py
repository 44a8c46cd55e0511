"""Writing one mail and handing it over, with an outcome that is never guessed.

A mail is accepted (the server's final 250), refused, to be tried later, or unknown: the connection was lost between
the final dot and the reply. Only unknown must never be sent again by itself.
"""

import re
import smtplib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from bot.mail.knowledge.explain import Diagnosis, Failure, Stage, Who, explain
from bot.mail.knowledge.redact import redact
from bot.mail.wire.account import Account, check_account
from bot.mail.wire.addresses import normalise
from bot.mail.wire.guard import GuardError
from bot.mail.wire.smtp import PASSED, Deadline, Network, Session, Track, open_session, sign_in

MAX_RECIPIENTS = 5
MAX_NAME = 100
MAX_SUBJECT = 250
MAX_TEXT = 100_000
_FORWARDED = 251
# 7bit: the library then chooses quoted-printable or base64, and no hop needs 8BITMIME
_POLICY = SMTP.clone(cte_type="7bit")
_MARKER = re.compile(r"[A-Za-z0-9-]{8,64}")
_BREAKS_A_HEADER = frozenset({"Cc", "Cs", "Zl", "Zp"})


class BadMessage(ValueError):
    """A mail that is not written down; `part` is name, subject, text, recipients, date or marker."""

    def __init__(self, part: str) -> None:
        """The text names the part only: what stood there is never in it."""
        super().__init__(part)
        self.part = part


@dataclass(frozen=True)
class Declined:
    """One recipient whom the server did not take, and why."""

    address: str
    cause: str
    who: Who
    retry: bool
    raw: str


@dataclass(frozen=True)
class Accepted:
    """The server took the mail for all recipients but the declined ones.

    `reply` is its last word, redacted, but for addresses: some servers tell the new Message-ID there.
    """

    reply: str
    declined: tuple[Declined, ...]


@dataclass(frozen=True)
class Refused:
    """Nothing was sent, and the same try would end the same way."""

    stage: Stage
    cause: str
    who: Who
    raw: str
    blames_secret: bool
    declined: tuple[Declined, ...]


@dataclass(frozen=True)
class Later:
    """Nothing was sent: the final dot never left us, or the server said no to it. Trying again later is safe."""

    stage: Stage
    cause: str
    who: Who
    raw: str
    declined: tuple[Declined, ...]


@dataclass(frozen=True)
class Unknown:
    """The whole mail was handed over and no answer came: sent *or* not. Never to be sent again by itself."""

    raw: str


Outcome = Accepted | Refused | Later | Unknown


class _AllDeclinedError(Exception):
    """The server took none of the recipients."""


def message_id(marker: str, sender: str) -> str:
    """The Message-ID of the mail that carries `marker`, in the sender's domain: the same whenever it is asked for."""
    if not _MARKER.fullmatch(marker):
        raise BadMessage("marker")
    return f"<{marker}@{normalise(sender).rpartition('@')[2]}>"


def compose(
    *, sender: str, name: str, to: Sequence[str], subject: str, text: str, date: datetime, marker: str
) -> EmailMessage:
    """A plain-text mail in UTF-8 from `name` <`sender`> with its own Message-ID and Date.

    `date` is aware; `marker` (8 to 64 letters, digits, hyphens) makes the Message-ID, so that a mail can be found
    again after a crash. Raises BadAddress, BadMessage: nothing with a line break gets near a header.
    """
    if date.tzinfo is None:
        raise BadMessage("date")
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(_header(name, "name", MAX_NAME), addr_spec=normalise(sender))
    message["To"] = [Address(addr_spec=address) for address in check_recipients(to)]
    message["Subject"] = _header(subject, "subject", MAX_SUBJECT)
    message["Date"] = date
    message["Message-ID"] = message_id(marker, sender)
    message.set_content(_body(text))
    return message


def check_recipients(recipients: Sequence[str]) -> tuple[str, ...]:
    """The addresses in normal form, each once; raises BadAddress, or BadMessage when there are none or too many."""
    addresses = tuple(dict.fromkeys(normalise(recipient) for recipient in recipients[: MAX_RECIPIENTS + 1]))
    if not addresses or len(recipients) > MAX_RECIPIENTS:
        raise BadMessage("recipients")
    return addresses


def send(
    account: Account,
    secret: str,
    message: EmailMessage,
    recipients: Sequence[str],
    *,
    network: Network,
    provider: str | None,
    on_accepted: Callable[[str], None],
    on_handing: Callable[[], None] = lambda: None,
) -> Outcome:
    """Hand `message` over for `recipients` on a fresh connection.

    `on_accepted(reply)` is called at the final 250, before anything else is said to the server: what it stores is
    true whatever happens afterwards. `on_handing()` is called when all but the final dot is said: until then nothing
    can have been sent. What either raises passes through. Raises BadAddress, BadMessage or BadCredential before a byte
    is sent, and nothing that a server or a network could cause.
    """
    sender = check_account(account, secret)
    return _Sending(account, secret, network, provider).run(
        sender, check_recipients(recipients), message.as_bytes(policy=_POLICY), on_accepted, on_handing
    )


class _Sending:
    def __init__(self, account: Account, secret: str, network: Network, provider: str | None) -> None:
        self._account = account
        self._secret = secret
        self._network = network
        self._provider = provider
        self._track = Track()
        self._declined: tuple[Declined, ...] = ()

    def run(
        self,
        sender: str,
        recipients: tuple[str, ...],
        content: bytes,
        on_accepted: Callable[[str], None],
        on_handing: Callable[[], None],
    ) -> Outcome:
        try:
            session = self._open()
        except (OSError, GuardError) as error:
            return self._not_sent(error)
        try:
            code, reply = self._hand_over(session, sender, recipients, content, on_handing)
        except _AllDeclinedError:
            return self._all_declined()
        except OSError as error:
            return self._lost(error)
        else:
            return self._judged(code, reply, on_accepted)
        finally:
            session.leave(self._network.timeouts.leave)

    def _open(self) -> Session:
        server, guard = self._account.server, self._network.guard
        guard.check_port(server.port)
        self._track.enter("dns")
        endpoints = guard.resolve(server.host)
        deadline = Deadline(self._network.timeouts.total)
        return open_session(server, endpoints, self._network, deadline, self._track)

    def _hand_over(
        self,
        session: Session,
        sender: str,
        recipients: tuple[str, ...],
        content: bytes,
        on_handing: Callable[[], None],
    ) -> tuple[int, bytes]:
        self._track.enter("auth")
        sign_in(session, self._account.user, self._secret)
        self._track.enter("mail_from")
        size = [f"SIZE={len(content)}"] if session.has_extn("size") else []
        code, reply = session.mail(sender, size)
        if code != PASSED:
            raise smtplib.SMTPResponseException(code, reply)
        self._track.enter("rcpt_to")
        self._declined = tuple(filter(None, (self._offer(session, recipient) for recipient in recipients)))
        if len(self._declined) == len(recipients):
            raise _AllDeclinedError
        self._track.enter("data")
        return session.hand_over(content, self._track, self._network.timeouts, on_handing)

    def _offer(self, session: Session, recipient: str) -> Declined | None:
        code, reply = session.rcpt(recipient)
        if code in {PASSED, _FORWARDED}:
            return None
        failure = Failure.of_reply(code, reply, "rcpt_to", self._provider)
        found = explain(failure)
        return Declined(recipient, found.cause, found.who, found.retry, self._redacted(failure.text))

    def _judged(self, code: int, reply: bytes, on_accepted: Callable[[str], None]) -> Outcome:
        """What the reply to the final dot means."""
        kind = code // 100
        text = redact(f"{code} {reply.decode('utf-8', 'replace')}", (self._secret,), keep_addresses=True)
        if kind == 2:  # noqa: PLR2004 - RFC 5321 4.2.1
            on_accepted(text)
            return Accepted(text, self._declined)
        if kind in {4, 5}:
            return self._not_sent(smtplib.SMTPDataError(code, reply))
        return Unknown(text)

    def _lost(self, error: OSError) -> Outcome:
        if self._track.stage == "post_data":
            return Unknown(self._redacted(f"{type(error).__name__}: {error}"))
        return self._not_sent(error)

    def _not_sent(self, error: Exception) -> Refused | Later:
        failure = Failure.of(error, self._track.stage, self._provider)
        return self._verdict(explain(failure), self._redacted(failure.text))

    def _all_declined(self) -> Refused | Later:
        """As long as one recipient may be taken later, all of it may be tried later."""
        found = next((each for each in self._declined if each.retry), self._declined[0])
        return self._verdict(Diagnosis(found.cause, found.who, found.retry, blames_secret=False), found.raw)

    def _verdict(self, found: Diagnosis, raw: str) -> Refused | Later:
        stage, declined = self._track.stage, self._declined
        if found.retry:
            return Later(stage, found.cause, found.who, raw, declined)
        return Refused(stage, found.cause, found.who, raw, found.blames_secret, declined)

    def _redacted(self, text: str) -> str:
        return redact(text, (self._secret,))


def _header(value: str, part: str, longest: int) -> str:
    """The value of a header. The library decodes encoded words (=?…?=) in it, line breaks inside them included."""
    value = value.strip()
    if (
        len(value) > longest
        or "=?" in value
        or any(unicodedata.category(letter) in _BREAKS_A_HEADER for letter in value)
    ):
        raise BadMessage(part)
    return value


def _body(text: str) -> str:
    if not text.strip() or len(text) > MAX_TEXT or "\0" in text or not _is_encodable(text):
        raise BadMessage("text")
    return text if text.endswith("\n") else text + "\n"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
