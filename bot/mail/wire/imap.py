"""One signed-in IMAP session: on the checked address, verified, bounded in time and size.

imapclient resolves the name anew, and waits for as long and reads as much as a server likes. Here it gets a socket of
the guard's, every wait ends with the deadline, and what a server may say has a largest size. Server texts, which may
echo what was sent, are redacted before they stand in an exception.
"""

import imaplib
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from imapclient import IMAPClient

from bot.mail.knowledge.provider import Server
from bot.mail.knowledge.redact import redact
from bot.mail.wire import xoauth2
from bot.mail.wire.account import Secret, Token
from bot.mail.wire.account import plain as plain_text
from bot.mail.wire.smtp import Deadline, Network, Track, wrapped

MAX_LINE = 65_536
MAX_BYTES = 4 * 1024 * 1024
_CHUNK = 16_384
_REFUSING = 2  # the second challenge of XOAUTH2: the first is the server's turn to ask
_TELLING = 4  # letters of a secret that are not hidden wherever they stand: less would hide half of every text
# NetEase refuses SELECT ("Unsafe Login") to who has not said its name (RFC 2971)
_OUR_NAME = {"name": "Ally mail assistant", "vendor": "Ally"}

Refusal = imaplib.IMAP4.error
Lost = imaplib.IMAP4.abort
# What the libraries raise about answers that are no IMAP
NONSENSE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)

# It writes the dialogue and the names of those who sign in (DEBUG), and server texts that are not ASCII (WARNING).
logging.getLogger("imapclient").setLevel(logging.ERROR)


class TooMuch(Lost):
    """The server said more than we read: 64 KiB in one line, 4 MiB in one session."""


class _Bounded(imaplib.IMAP4):
    """imaplib on a connected socket, by the methods that it calls overridable, with a limit on every wait.

    `deadline` ends the whole, `patience` (seconds) each single wait; both may be set anew between commands.
    """

    def __init__(self, sock: socket.socket, host: str, port: int, deadline: Deadline, patience: float) -> None:
        self.deadline = deadline
        self.patience = patience
        self._connected = sock
        self._unread = bytearray()
        self._room = MAX_BYTES
        super().__init__(host, port)

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:  # noqa: ARG002 - imaplib's
        self.host, self.port, self.sock = host, port, self._connected

    def readline(self) -> bytes:
        while (end := self._unread.find(b"\n") + 1) == 0 and len(self._unread) <= MAX_LINE:
            self._fill()
        if not 0 < end <= MAX_LINE:
            raise TooMuch("a line without end")
        return self._take(end)

    def read(self, size: int) -> bytes:
        if size > len(self._unread) + self._room:
            raise TooMuch("more bytes announced than are read")
        while len(self._unread) < size:
            self._fill()
        return self._take(size)

    def send(self, data: Any) -> None:
        rest = memoryview(bytes(data))
        try:
            limit = self.deadline.within(self.patience)
            while rest:
                self.sock.settimeout(limit.remaining())
                rest = rest[self.sock.send(rest[:_CHUNK]) :]
        except OSError:
            self.sock.close()
            raise

    def shutdown(self) -> None:
        self.sock.close()

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> Any:
        """STARTTLS (RFC 3501 6.2.1): what came before TLS is forgotten, injected bytes included."""
        if ssl_context is None:
            raise ValueError("a TLS context is needed")
        kind, data = self._simple_command("STARTTLS")
        if kind != "OK":
            raise self.error(data[-1])
        self.sock = wrapped(self.sock, self.host, ssl_context, self.deadline.within(self.patience).remaining())
        self._unread.clear()
        self.untagged_responses: dict[str, list[Any]] = {}
        self._get_capabilities()
        return kind, data

    def login(self, user: str, password: str) -> Any:
        """LOGIN with the password as a literal: it may hold any letter, and is in no line that a server echoes."""
        self.literal: Any = password.encode()
        name = self._quote(user).encode()
        kind, data = self._simple_command("LOGIN", name)
        if kind != "OK":
            raise self.error(data[-1])
        self.state = "AUTH"
        return kind, data

    def _fill(self) -> None:
        try:
            self.sock.settimeout(self.deadline.within(self.patience).remaining())
            data = self.sock.recv(_CHUNK)
        except OSError:
            self.sock.close()
            raise
        if not data:
            raise Lost("socket error: EOF")
        self._room -= len(data)
        if self._room < 0:
            raise TooMuch("too many bytes")
        self._unread += data

    def _take(self, size: int) -> bytes:
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data


class Session(IMAPClient):  # type: ignore[misc]
    """imapclient on a socket that is connected already. Folder names are as on the wire, messages go by number."""

    def __init__(self, sock: socket.socket, server: Server, host: str, network: Network, deadline: Deadline) -> None:
        """Reads the greeting and the capabilities; raises Refusal, OSError."""
        self._connected = sock
        self._limits = (deadline, network.timeouts.greeting)
        super().__init__(host, server.port, use_uid=False, ssl=server.security == "tls")
        self.folder_encode = False
        self._imap.debug = 0  # imapclient sets it to 5: every line to its log
        self._imap.patience = network.timeouts.command

    def allow(self, deadline: Deadline, patience: float) -> None:
        """What follows has until `deadline`, each wait at most `patience` seconds."""
        self._imap.deadline, self._imap.patience = deadline, patience

    def oauth2_login(self, user: str, access_token: str) -> None:
        """AUTHENTICATE XOAUTH2. imapclient's own says the token again where a refusal's challenge wants an empty line.

        Raises Refusal with the server's text and what its challenge told.
        """
        told: list[bytes] = []

        def answer(challenge: bytes) -> bytes | None:
            told.append(challenge)
            first = xoauth2.response(user, Token(access_token)).encode()
            return first if len(told) == 1 else b"" if len(told) == _REFUSING else None

        try:
            self._imap.authenticate(xoauth2.MECHANISM, answer)
        except Lost:
            raise
        except Refusal as error:
            raise Refusal(_text(error) + (xoauth2.reason(told[-1]) if len(told) >= _REFUSING else "")) from None

    def leave(self, seconds: float) -> None:
        """LOGOUT and close. Nothing that goes wrong here matters: the result is known before."""
        with suppress(OSError, Refusal, *NONSENSE):
            self.allow(Deadline(seconds), seconds)
            self.logout()
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self._imap.shutdown()

    def _create_IMAP4(self) -> _Bounded:  # noqa: N802 - imapclient's seam
        return _Bounded(self._connected, self.host, self.port, *self._limits)


@contextmanager
def imap_session(
    server: Server, user: str, secret: Secret, network: Network, deadline: Deadline, track: Track | None = None
) -> Iterator[Session]:
    """A session that has signed in inside verified TLS; it ends with the block.

    One AUTHENTICATE or LOGIN at most. Goes through the stages dns, connect, tls or imap_starttls, greeting and
    imap_login, and leaves `track` at imap_select. Raises GuardError, OSError (ssl.SSLError among them), Refusal (the
    server said no) or its kind Lost (it went away, said too much, or spoke no IMAP); so does what is done in the block.
    """
    track = track or Track()
    with _telling(plain_text(secret)):
        session = _open(server, network, deadline, track)
        try:
            track.enter("imap_login")
            _sign_in(session, user, secret)
            _say_our_name(session)
            track.enter("imap_select")
            yield session
        finally:
            session.leave(network.timeouts.leave)


def _open(server: Server, network: Network, deadline: Deadline, track: Track) -> Session:
    times, guard = network.timeouts, network.guard
    guard.check_port(server.port)
    track.enter("dns")
    endpoints = guard.resolve(server.host)
    track.enter("connect")
    sock = guard.connect(endpoints, server.port, deadline.within(times.connect).remaining())
    host = endpoints[0].host
    if server.security == "tls":
        track.enter("tls")
        sock = wrapped(sock, host, network.context, deadline.within(times.tls).remaining())
    track.enter("greeting")
    session = _greeted(sock, server, host, network, deadline)
    if server.security == "starttls":
        track.enter("imap_starttls")
        try:
            session.starttls(network.context)
        except BaseException:
            session.close()
            raise
    return session


def _greeted(sock: socket.socket, server: Server, host: str, network: Network, deadline: Deadline) -> Session:
    try:
        return Session(sock, server, host, network, deadline)
    except BaseException:
        sock.close()
        raise


def _sign_in(session: Session, user: str, secret: Secret) -> None:
    """By the one way that fits: XOAUTH2 for a token; PLAIN (RFC 4616, UTF-8), else LOGIN, for a password."""
    if session.welcome.startswith(b"* PREAUTH"):
        raise Refusal("PREAUTH: signed in as we do not know whom")
    if isinstance(secret, Token):
        if not session.has_capability(f"AUTH={xoauth2.MECHANISM}"):
            raise Refusal(xoauth2.NOT_OFFERED)
        session.oauth2_login(user, secret.value)
        return
    if session.has_capability("AUTH=PLAIN"):
        session.plain_login(user, secret)
    elif not session.has_capability("LOGINDISABLED"):
        session.login(user, secret)
    else:
        raise Refusal("No suitable authentication method found.")


def _say_our_name(session: Session) -> None:
    """ID, where it is offered. Whatever is answered, what comes next decides."""
    if session.has_capability("ID"):
        try:
            session.id_(_OUR_NAME)
        except Lost:
            raise
        except (Refusal, *NONSENSE):
            return


@contextmanager
def _telling(secret: str) -> Iterator[None]:
    """Turns what the libraries raise into what a session raises, without the secret."""
    try:
        yield
    except Refusal as error:
        text = redact(_text(error), _as_written(secret), keep_addresses=True)
        raise (Lost(text) if isinstance(error, Lost) else Refusal(text)) from None
    except ssl.CertificateError:
        raise  # a ValueError as well
    except NONSENSE as error:
        raise Lost(f"no IMAP: {type(error).__name__}") from None


def _as_written(secret: str) -> frozenset[str]:
    """The forms that a secret has in errors of the libraries: text, bytes in Python's writing, without accents."""
    escaped = repr(secret.encode("utf-8", "replace"))[2:-1].replace("\\'", "'")
    stripped = secret.encode("ascii", "ignore").decode()
    replaced = secret.encode("utf-8", "replace").decode("ascii", "replace")
    forms = {secret, escaped, escaped.replace("'", "\\'"), replaced}
    return frozenset(forms | {stripped} if len(stripped) >= _TELLING else forms)


def _text(error: Exception) -> str:
    """What an error of imaplib says; its words may be bytes."""
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(error)
