"""Writing one mail and handing it over, with an outcome that is never guessed.

A mail is accepted (the server's final 250), refused, to be tried later, or unknown: the connection was lost between
the final dot and the reply. Only unknown must never be sent again by itself.
"""

import copy
import re
import smtplib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from bot.mail.knowledge.explain import Diagnosis, Failure, Stage, Who, causes, explain
from bot.mail.knowledge.redact import redact
from bot.mail.wire.account import Account, Secret, Token, check_account, plain
from bot.mail.wire.addresses import normalise
from bot.mail.wire.guard import GuardError
from bot.mail.wire.smtp import (
    PASSED,
    SEND_DATA,
    Deadline,
    Network,
    Session,
    Track,
    open_session,
    sign_in,
    stated_size,
)

MAX_RECIPIENTS = 5
MAX_NAME = 100
MAX_SUBJECT = 250
MAX_TEXT = 100_000
MAX_FILES = 5
MAX_FILE_NAME = 100
_HEAD = 20_000  # bytes left for everything but the files
MAX_FILE_BYTES = 16 * 1024 * 1024  # the most that arrives in a chat
MAX_TOTAL_BYTES = 18 * 1024 * 1024  # of all files: 25 MiB in base64, which is what large providers take
_FORWARDED = 251
# 7bit: the library then chooses quoted-printable or base64, and no hop needs 8BITMIME
_POLICY = SMTP.clone(cte_type="7bit")
_MARKER = re.compile(r"[A-Za-z0-9-]{8,64}")
_BREAKS_A_HEADER = frozenset({"Cc", "Cs", "Zl", "Zp"})
_PATH = frozenset("/\\:")
_TURNS_WRITING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # shows a.exe.pdf for a.fdp.exe
_FILE_TYPE = re.compile(r"(?!multipart/|message/)([a-z]{1,20})/([a-z0-9][a-z0-9!#$&^_.+-]{0,126})", re.ASCII)
_TOO_LARGE = "message_too_large"


class BadMessage(ValueError):
    """A mail that is not written down; `part` says what of it.

    It is name, subject, text, recipients, date, marker, files (too many), file_name, file_type or file_size (of one or
    of all).
    """

    def __init__(self, part: str) -> None:
        """The text names the part only: what stood there is never in it."""
        super().__init__(part)
        self.part = part


@dataclass(frozen=True)
class Attachment:
    """A file as it goes with a mail; `content_type` is type/subtype in small letters, without parameters."""

    name: str
    content_type: str
    content: bytes = field(repr=False)


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
    """Nothing was sent, and the same try would end the same way.

    `blames_secret` = the password is useless; `token_refused` = the access token was refused: once with a fresh one it
    may go.
    """

    stage: Stage
    cause: str
    who: Who
    raw: str
    blames_secret: bool
    declined: tuple[Declined, ...]
    token_refused: bool = False


@dataclass(frozen=True)
class Later:
    """Nothing was sent: the final dot never left us, or the server said no to it. Trying again later is safe.

    `wait`: seconds that the server wants to be left alone; 0: it does not say.
    """

    stage: Stage
    cause: str
    who: Who
    raw: str
    declined: tuple[Declined, ...]
    wait: float = 0.0


@dataclass(frozen=True)
class Unknown:
    """The whole mail was handed over and no answer came: sent *or* not. Never to be sent again by itself."""

    raw: str


Outcome = Accepted | Refused | Later | Unknown


class AllDeclinedError(Exception):
    """The server took none of the recipients."""


class _TooLargeError(Exception):
    """The mail is larger than the server said it takes; nothing of it was said."""


def message_id(marker: str, sender: str) -> str:
    """The Message-ID of the mail that carries `marker`, in the sender's domain: the same whenever it is asked for."""
    if not _MARKER.fullmatch(marker):
        raise BadMessage("marker")
    return f"<{marker}@{normalise(sender).rpartition('@')[2]}>"


def compose(
    *, sender: str, name: str, to: Sequence[str], subject: str, text: str, date: datetime, marker: str,
    attachments: Sequence[Attachment] = (), bcc: Sequence[str] = (),
) -> EmailMessage:  # fmt: skip
    """A plain-text mail in UTF-8 from `name` <`sender`> with its own Message-ID and Date, and with files.

    `date` is aware; `marker` (8 to 64 letters, digits, hyphens) makes the Message-ID, so that a mail can be found
    again after a crash. `bcc`: who gets it unseen by the others; they count as recipients, and who is in `to` as well
    is named there only. The same arguments make the same bytes.
    Raises BadAddress, BadMessage: nothing with a line break gets near a header.
    """
    if date.tzinfo is None:
        raise BadMessage("date")
    seen = check_recipients(to)
    unseen = check_recipients([*seen, *bcc])[len(seen) :]
    check_files(attachments)
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(_header(name, "name", MAX_NAME), addr_spec=normalise(sender))
    message["To"] = [Address(addr_spec=address) for address in seen]
    if unseen:
        message["Bcc"] = [Address(addr_spec=address) for address in unseen]
    message["Subject"] = _header(subject, "subject", MAX_SUBJECT)
    message["Date"] = date
    message["Message-ID"] = message_id(marker, sender)
    _fill(message, _body(text), attachments, marker)
    return message


def for_wire(message: EmailMessage) -> bytes:
    """The mail as it is handed over: every line ended by CRLF, no line with 8 bits, and no word of Bcc."""
    shown = copy.copy(message)  # shares the parts; taking a header away gives the copy a list of its own
    del shown["Bcc"]
    return shown.as_bytes(policy=_POLICY)


def for_sent_copy(message: EmailMessage) -> bytes:
    """The mail for the owner's own Sent folder and for nobody else: with Bcc."""
    return message.as_bytes(policy=_POLICY)


def room_for_files(size: int) -> int:
    """How many bytes of files fit into a mail where the server takes `size` (0: it does not say).

    Base64 makes 77 signs and a line end of 57 bytes; a mail's head and words, and what servers add, take some room.
    """
    return MAX_TOTAL_BYTES if size <= 0 else max(0, min(MAX_TOTAL_BYTES, (size - _HEAD) * 57 // 78))


def encoded_size(message: EmailMessage) -> int:
    """Bytes of the mail as a server's SIZE counts them: with line ends, without doubled dots (RFC 1870 section 5)."""
    return len(for_wire(message))


def check_files(attachments: Sequence[Attachment]) -> None:
    """Whether these files can go with one mail; raises BadMessage with files, file_name, file_type or file_size."""
    if len(attachments) > MAX_FILES:
        raise BadMessage("files")
    for each in attachments:
        name = _header(each.name, "file_name", MAX_FILE_NAME)
        if not name.strip(".") or _PATH & set(name) or _TURNS_WRITING.search(name):
            raise BadMessage("file_name")
        if not _FILE_TYPE.fullmatch(each.content_type):
            raise BadMessage("file_type")
    sizes = [len(each.content) for each in attachments]
    if max(sizes, default=0) > MAX_FILE_BYTES or sum(sizes) > MAX_TOTAL_BYTES:
        raise BadMessage("file_size")


def check_recipients(recipients: Sequence[str], most: int = MAX_RECIPIENTS) -> tuple[str, ...]:
    """The addresses in normal form, each once; raises BadAddress, or BadMessage when there are none or too many."""
    addresses = tuple(dict.fromkeys(normalise(recipient) for recipient in recipients[: most + 1]))
    if not addresses or len(recipients) > most:
        raise BadMessage("recipients")
    return addresses


def send(
    account: Account,
    secret: Secret,
    message: EmailMessage,
    recipients: Sequence[str],
    *,
    network: Network,
    provider: str | None,
    on_accepted: Callable[[str], None],
    on_handing: Callable[[], None] = lambda: None,
) -> Outcome:
    """Hand `message` over for `recipients` (those of Bcc among them) on a fresh connection.

    `on_accepted(reply)` is called at the final 250, before anything else is said to the server: what it stores is
    true whatever happens afterwards. `on_handing()` is called when all but the final dot is said: until then nothing
    can have been sent. What either raises passes through. Raises BadAddress, BadMessage or BadCredential before a byte
    is sent, and nothing that a server or a network could cause.
    """
    sender = check_account(account, secret)
    return Sending(account, secret, network, provider).run(
        sender, check_recipients(recipients), for_wire(message), on_accepted, on_handing
    )


class Sending:
    """One mail on its way to one server. `relay.py` sends on connections that are kept; here each is new."""

    def __init__(self, account: Account, secret: Secret, network: Network, provider: str | None) -> None:
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
        """Send it; see `send`. `sender` and `recipients` in normal form, `content` with CRLF at each line's end."""
        try:
            session = self._open()
        except (OSError, GuardError) as error:
            return self._not_sent(error)
        outcome: Outcome | None = None
        try:
            code, reply = self._hand_over(session, sender, recipients, content, on_handing)
            outcome = self._judged(code, reply, on_accepted)
        except AllDeclinedError:
            outcome = self._all_declined()
        except _TooLargeError as error:
            outcome = self._too_large(str(error))
        except OSError as error:
            outcome = self._lost(error)
        finally:
            self._part(session, outcome)
        return outcome

    def _part(self, session: Session, outcome: Outcome | None) -> None:
        """What becomes of the connection; without an outcome something of ours was raised."""
        del outcome
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
        self._sign_in(session)
        self._address(session, sender, recipients, content)
        return session.hand_over(content, self._track, self._network.timeouts, on_handing)

    def _address(self, session: Session, sender: str, recipients: tuple[str, ...], content: bytes) -> None:
        """MAIL, RCPT and DATA, each when the one before it was answered. Raises what keeps the content here."""
        self._track.enter("mail_from")
        code, reply = session.mail(sender, self._options(session, content))
        if code != PASSED:
            raise smtplib.SMTPResponseException(code, reply)
        self._track.enter("rcpt_to")
        self._offered(recipients, (session.rcpt(recipient) for recipient in recipients))
        if len(self._declined) == len(recipients):
            raise AllDeclinedError
        self._track.enter("data")
        code, reply = session.docmd("DATA")
        if code != SEND_DATA:
            raise smtplib.SMTPDataError(code, reply)

    def _sign_in(self, session: Session) -> None:
        self._track.enter("auth")
        sign_in(session, self._account.user, self._secret)

    def _options(self, session: Session, content: bytes) -> list[str]:
        return _size_option(session, len(content))

    def _offered(self, recipients: Sequence[str], replies: Iterable[tuple[int, bytes]]) -> None:
        """Whom the server did not take, by its replies to each."""
        found = (self._offer(recipient, *reply) for recipient, reply in zip(recipients, replies, strict=True))
        self._declined = tuple(filter(None, found))

    def _offer(self, recipient: str, code: int, reply: bytes) -> Declined | None:
        if code in {PASSED, _FORWARDED}:
            return None
        failure = Failure.of_reply(code, reply, "rcpt_to", self._provider)
        found = explain(failure)
        return Declined(recipient, found.cause, found.who, found.retry, self._redacted(failure.text))

    def _judged(self, code: int, reply: bytes, on_accepted: Callable[[str], None]) -> Outcome:
        """What the reply to the final dot means."""
        kind = code // 100
        text = redact(f"{code} {reply.decode('utf-8', 'replace')}", (plain(self._secret),), keep_addresses=True)
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
        by_token = isinstance(self._secret, Token)
        failure = replace(Failure.of(error, self._track.stage, self._provider), by_token=by_token)
        return self._verdict(explain(failure), self._redacted(failure.text))

    def _all_declined(self) -> Refused | Later:
        """As long as one recipient may be taken later, all of it may be tried later."""
        found = next((each for each in self._declined if each.retry), self._declined[0])
        return self._verdict(Diagnosis(found.cause, found.who, found.retry, blames_secret=False), found.raw)

    def _too_large(self, raw: str) -> Refused | Later:
        """A server that says its limit is not asked to carry more (RFC 1870 section 6.1)."""
        cause = causes()[_TOO_LARGE]
        return self._verdict(Diagnosis(_TOO_LARGE, cause.who, cause.retry, cause.blames_secret), raw)

    def _verdict(self, found: Diagnosis, raw: str) -> Refused | Later:
        stage, declined = self._track.stage, self._declined
        if found.retry:
            return Later(stage, found.cause, found.who, raw, declined)
        refused, by_token = found.blames_secret, isinstance(self._secret, Token)
        return Refused(stage, found.cause, found.who, raw, refused and not by_token, declined, refused and by_token)

    def _redacted(self, text: str) -> str:
        return redact(text, (plain(self._secret),))


def _size_option(session: Session, size: int) -> list[str]:
    """The option of MAIL FROM that tells the size, where the server has SIZE (RFC 1870); raises _TooLargeError."""
    if not session.has_extn("size"):
        return []
    limit = stated_size(session)
    if 0 < limit < size:  # 0, or nothing: no fixed limit
        raise _TooLargeError(f"SIZE {limit} is stated, the mail has {size} bytes")
    return [f"SIZE={size}"]


def _fill(message: EmailMessage, text: str, attachments: Sequence[Attachment], marker: str) -> None:
    """The text, and the files behind it.

    The boundary is made of the marker, so that writing it twice makes the same bytes. `=_` stands in no line of base64
    or quoted-printable (RFC 2046 5.1.1), so no text can hold a boundary.
    """
    if not attachments:
        message.set_content(text)
        return
    message.set_content(text, cte="quoted-printable" if text.isascii() else None)
    for each in attachments:
        main, _, sub = each.content_type.partition("/")
        charset = {"charset": "utf-8"} if main == "text" and _is_utf8(each.content) else {}
        message.add_attachment(
            each.content, maintype=main, subtype=sub, filename=each.name.strip(), params=charset, cte="base64"
        )
    message.set_boundary(f"=_{marker}")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


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
