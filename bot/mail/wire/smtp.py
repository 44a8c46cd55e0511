"""One conversation with a mail server: on the checked address, verified, bounded in time and size.

smtplib's timeout holds for one socket operation only, and it reads any number of reply lines, so that a server which
drips bytes holds a thread for ever. Here every single operation gets what is left of its own limit and of the whole
conversation's deadline, and a reply has a largest size. smtplib accepts any certificate unless it is given a context:
there is no way to open a session here without one.
"""

import base64
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol

from bot.mail.knowledge.explain import Stage
from bot.mail.knowledge.provider import Server
from bot.mail.wire import xoauth2
from bot.mail.wire.account import Secret, Token
from bot.mail.wire.egress import Egress
from bot.mail.wire.guard import Endpoint, Guard

MAX_LINES = 100
SIZE_DIGITS = 20  # RFC 1870 section 4
MAX_BYTES = 65_536
_CHUNK = 16_384
_COMMAND_LINE = 510  # RFC 5321 4.5.3.1.4, without CRLF
_AUTH_LINE = 12_286  # what RFC 4954 4 makes of it for AUTH, without CRLF: tokens are longer than a command
_FQDN = re.compile(r"(?=.{4,253}$)(?:(?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]")
_LINE_START = re.compile(rb"(?m)^\.")
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 3.1

PASSED = 250
SIGNED_IN = 235
GO_ON = 334
SEND_DATA = 354
_UNKNOWN_MECHANISM = 504
_WEAK_MECHANISM = 534


class ReplyTooLong(smtplib.SMTPException):
    """A reply of more than 100 lines or 64 KiB."""


@dataclass(frozen=True)
class Timeouts:
    """How long each part may take, in seconds (RFC 5321 4.5.3.2 allows minutes; a person waits here).

    `total` bounds everything up to the message's content; `content` is for handing it over, `final` for the answer
    to it, `leave` for the answer to QUIT.
    """

    connect: float = 10.0
    tls: float = 10.0
    greeting: float = 30.0
    command: float = 30.0
    content: float = 180.0
    final: float = 120.0
    leave: float = 2.0
    total: float = 90.0


@dataclass(frozen=True)
class Network:
    """What every conversation needs of us: guard, the one TLS context, the name we say in EHLO, timeouts.

    With `egress` a connection that times out is told apart: their server, or our own way out.
    """

    guard: Guard
    context: ssl.SSLContext
    local_hostname: str
    timeouts: Timeouts = field(default_factory=Timeouts)
    egress: Egress | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what large servers refuse as EHLO name: no dot, underscore, blank."""
        if not (_FQDN.fullmatch(self.local_hostname) or _is_address_literal(self.local_hostname)):
            raise ValueError("local_hostname must be a full host name, or an address in brackets")
        if self.context.verify_mode != ssl.CERT_REQUIRED or not self.context.check_hostname:
            raise ValueError("the TLS context must verify certificates and names")


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """The context that all conversations share (each own one costs 45 ms): verified, TLS 1.2 or newer."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Deadline:
    """A moment on the wall clock's monotonic sister."""

    def __init__(self, seconds: float) -> None:
        """The moment `seconds` from now."""
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; raises TimeoutError when there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def within(self, seconds: float) -> "Deadline":
        """The sooner of this moment and `seconds` from now."""
        return Deadline(min(self.remaining(), seconds))


class Watch(Protocol):
    """Is told of every stage when it ends, and how long it took in seconds."""

    def __call__(self, stage: Stage, seconds: float, *, ok: bool) -> None:
        """Must not raise."""


def unwatched(stage: Stage, seconds: float, *, ok: bool) -> None:
    """Nobody watches."""


class Track:
    """Where a conversation stands, which stages lie behind it, and to which address it went (empty: none yet)."""

    def __init__(self, watch: Watch = unwatched) -> None:
        self.stage: Stage = "input"
        self.passed: tuple[Stage, ...] = ()
        self.address = ""
        self._watch = watch
        self._since = time.monotonic()

    def enter(self, stage: Stage) -> None:
        """The stage before is done; this one begins."""
        self.arrive()
        self.stage = stage

    def arrive(self) -> None:
        """The last stage is done, too."""
        if self.stage not in self.passed:
            self.passed = (*self.passed, self.stage)
            self._ended(ok=True)

    def fail(self) -> None:
        """The stage that we are in is where it ended."""
        self._ended(ok=False)

    def again(self) -> "Track":
        """A new track that stands where the name is resolved, for another try on the same addresses."""
        track = Track(self._watch)
        track.stage, track.passed = "dns", ("input", "dns")
        return track

    def _ended(self, *, ok: bool) -> None:
        now = time.monotonic()
        self._watch(self.stage, now - self._since, ok=ok)
        self._since = now


class Session(smtplib.SMTP):
    """smtplib on a socket that is connected already, with a limit on every wait and every reply.

    `deadline` ends the whole, `patience` (seconds) each single answer; both may be set anew between commands.
    """

    def __init__(self, sock: socket.socket, host: str, port: int, network: Network, deadline: Deadline) -> None:
        """Reads the greeting; raises SMTPConnectError when it is no 220, else OSError."""
        self.deadline = deadline
        self.patience = network.timeouts.greeting
        self._connected = sock
        self._unread = bytearray()
        super().__init__(host, port, local_hostname=network.local_hostname, timeout=self.patience)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - smtplib's seam
        return self._connected

    def send(self, s: str | bytes) -> None:  # type: ignore[override]
        """Hand over all of `s`, within the deadline."""
        data = memoryview(s.encode(self.command_encoding) if isinstance(s, str) else s)
        try:
            limit = self.deadline.within(self.patience)
            while data:
                data = data[self._open_socket(limit).send(data[:_CHUNK]) :]
        except OSError:
            self.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        """One reply as (code, text); code -1 when it has none. Raises OSError, ReplyTooLong."""
        try:
            limit = self.deadline.within(self.patience)
            return self._reply(limit)
        except OSError:
            self.close()
            raise

    def secure(self, context: ssl.SSLContext) -> None:
        """STARTTLS (RFC 3207): demanded, verified; what came before it is forgotten, injected bytes included."""
        self.starttls(context=context)
        self._unread.clear()

    def say(self, *commands: str) -> None:
        """Commands in one go, for servers with PIPELINING (RFC 2920); their replies come in the same order."""
        if any(sign in command for command in commands for sign in "\r\n"):
            raise ValueError("a command has no line break in it")
        self.send("".join(f"{command}\r\n" for command in commands))

    def hand_over(
        self, content: bytes, track: Track, timeouts: Timeouts, before_dot: Callable[[], None]
    ) -> tuple[int, bytes]:
        """The message (every line ended by CRLF) and the final dot, after DATA; the server's last reply.

        `before_dot` is called when only the final dot is left to say: without it no server takes a message. While the
        track's stage is `data`, the final dot has not left us and the message cannot have been taken; from `post_data`
        on it may have been.
        """
        self.deadline, self.patience = Deadline(timeouts.content), timeouts.content
        self.send(_LINE_START.sub(b"..", content))
        before_dot()
        self.send(b".\r\n")
        track.enter("post_data")
        self.deadline, self.patience = Deadline(timeouts.final), timeouts.final
        return self.getreply()

    def leave(self, seconds: float) -> None:
        """QUIT and close. Nothing that goes wrong here matters: the result is known before."""
        with suppress(OSError):
            self.deadline = Deadline(seconds)
            self.docmd("QUIT")
        self.close()

    def _reply(self, limit: Deadline) -> tuple[int, bytes]:
        lines: list[bytes] = []
        room = MAX_BYTES
        while True:
            line = self._line(limit, room)
            room -= len(line)
            lines.append(line[4:].strip())
            if not line[:3].isdigit():
                return -1, b"\n".join(lines)
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(lines)
            if len(lines) == MAX_LINES:
                raise ReplyTooLong("too many lines")

    def _line(self, limit: Deadline, room: int) -> bytes:
        while (end := self._unread.find(b"\n") + 1) == 0:
            if len(self._unread) >= room:
                raise ReplyTooLong("too many bytes")
            data = self._open_socket(limit).recv(4096)
            if not data:
                raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
            self._unread += data
        line = bytes(self._unread[:end])
        del self._unread[:end]
        return line

    def _open_socket(self, limit: Deadline) -> socket.socket:
        """The socket, told how long its next operation may take."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
        self.sock.settimeout(limit.remaining())
        return self.sock


def open_session(
    server: Server, endpoints: tuple[Endpoint, ...], network: Network, deadline: Deadline, track: Track
) -> Session:
    """A session that has said EHLO inside verified TLS, ready for AUTH; never one in plain text.

    Goes through the stages connect, tls or starttls, greeting and ehlo, and raises OSError or GuardError with the
    track standing at the stage that failed.
    """
    times = network.timeouts
    track.enter("connect")
    try:
        sock = network.guard.connect(endpoints, server.port, deadline.within(times.connect).remaining())
    except ConnectionResetError:  # it took the call and hung up before we could look; a refusal is another error
        track.enter("tls" if server.security == "tls" else "greeting")
        raise
    with suppress(OSError):  # gone again already: the next stage tells of it
        track.address = sock.getpeername()[0]
    host = endpoints[0].host
    if server.security == "tls":
        track.enter("tls")
        sock = wrapped(sock, host, network.context, deadline.within(times.tls).remaining())
    track.enter("greeting")
    session = Session(sock, host, server.port, network, deadline)
    try:
        session.patience = times.command
        track.enter("ehlo")
        _ehlo(session)
        if server.security == "starttls":
            track.enter("starttls")
            session.patience = times.tls
            session.secure(network.context)
            session.patience = times.command
            _ehlo(session)
    except BaseException:
        session.close()
        raise
    return session


def methods(session: Session) -> tuple[str, ...]:
    """The SASL mechanisms that the server offers, in capitals and in its order."""
    words = session.esmtp_features.get("auth", "").upper().split()
    return tuple(dict.fromkeys(word for word in words if _MECHANISM.fullmatch(word)))


def sign_in(session: Session, user: str, secret: Secret) -> None:
    """AUTH by the one mechanism that fits: XOAUTH2 for a token; PLAIN (RFC 4616, UTF-8), else LOGIN, for a password.

    One AUTH command; a second one only after the server said that it does not know the first mechanism, because
    accounts and addresses are locked after a few wrong ones. Raises SMTPAuthenticationError with the server's reply
    (and what its challenge told), SMTPNotSupportedError when the secret cannot be given, or OSError.
    """
    offered = methods(session)
    if not offered:
        raise smtplib.SMTPNotSupportedError("AUTH is not offered inside TLS")
    if isinstance(secret, Token):
        _sign_in_by_token(session, user, secret)
        return
    fitting = [method for name, method in (("PLAIN", _plain), ("LOGIN", _login)) if name in offered]
    if not fitting:
        raise smtplib.SMTPNotSupportedError("No suitable authentication method found.")
    for method in fitting:
        code, reply = method(session, user, secret)
        if not _mechanism_unknown(code, reply):
            break
    if code != SIGNED_IN:
        raise smtplib.SMTPAuthenticationError(code, reply)


def _sign_in_by_token(session: Session, user: str, token: Token) -> None:
    """AUTH XOAUTH2. A refusal comes as a challenge first, which is answered by an empty line."""
    if xoauth2.MECHANISM not in methods(session):
        raise smtplib.SMTPNotSupportedError(xoauth2.NOT_OFFERED)
    response = _base64(xoauth2.response(user, token))
    told = ""
    if len(f"AUTH {xoauth2.MECHANISM} {response}") <= _AUTH_LINE:
        code, reply = session.docmd("AUTH", f"{xoauth2.MECHANISM} {response}")
    else:
        code, reply = session.docmd("AUTH", xoauth2.MECHANISM)
        if code == GO_ON:
            code, reply = session.docmd(response)
    if code == GO_ON:
        told = xoauth2.encoded_reason(reply)
        code, reply = session.docmd("")
    if code != SIGNED_IN:
        raise smtplib.SMTPAuthenticationError(code, reply + told.encode())


def _plain(session: Session, user: str, secret: str) -> tuple[int, bytes]:
    response = _base64(f"\0{user}\0{secret}")
    if len("AUTH PLAIN ") + len(response) <= _COMMAND_LINE:
        return session.docmd("AUTH", f"PLAIN {response}")
    code, reply = session.docmd("AUTH", "PLAIN")
    return session.docmd(response) if code == GO_ON else (code, reply)


def _login(session: Session, user: str, secret: str) -> tuple[int, bytes]:
    code, reply = session.docmd("AUTH", "LOGIN")
    for answer in (user, secret):
        if code != GO_ON:
            break
        code, reply = session.docmd(_base64(answer))
    return code, reply


def _mechanism_unknown(code: int, reply: bytes) -> bool:
    return code == _UNKNOWN_MECHANISM or (code == _WEAK_MECHANISM and b"mechanism" in reply.lower())


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _ehlo(session: Session) -> None:
    code, reply = session.ehlo()
    if code != PASSED:
        raise smtplib.SMTPHeloError(code, reply)


def wrapped(sock: socket.socket, host: str, context: ssl.SSLContext, seconds: float) -> ssl.SSLSocket:
    """TLS on a connected socket, within `seconds`. Raises OSError, with the socket closed."""
    sock.settimeout(seconds)
    try:
        sock.getpeername()  # of a connection that was reset already the library makes a socket without TLS
        return context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _is_address_literal(name: str) -> bool:
    try:
        ip_address(name[1:-1].removeprefix("IPv6:"))
    except ValueError:
        return False
    return name.startswith("[") and name.endswith("]")


def stated_size(session: Session) -> int:
    """The largest mail in bytes that the server takes, as it says after EHLO (RFC 1870); 0: no limit is told."""
    stated = session.esmtp_features.get("size", "").strip()
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) <= SIZE_DIGITS else 0
