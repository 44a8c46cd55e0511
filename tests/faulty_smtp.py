"""A mail server on loopback that does what a test tells it to: the right thing, unless told otherwise.

Each moment of a session has a reply: a string, one of CLOSE, RESET, SILENT, or a callable that gets the Conversation.
`commands`, `messages`, `sign_ins` and `connections` tell what came in.
"""

import base64
import datetime as dt
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any, Self

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.mail.wire.guard import Guard
from bot.mail.wire.smtp import Network, Timeouts, tls_context

Reply = str | Callable[["Conversation"], None]


class _Over(Exception):
    """The conversation ends here."""


class Conversation:
    """One connection, seen from the server."""

    def __init__(self, sock: socket.socket, server: "FaultySMTP") -> None:
        self.sock = sock
        self.server = server
        self._unread = b""

    def say(self, text: str | bytes) -> None:
        """Send lines; CRLF is added."""
        self.sock.sendall((text.encode() if isinstance(text, str) else text) + b"\r\n")

    def hear(self) -> bytes:
        """One line, without its line end."""
        return self.until(b"\r\n")[:-2]

    def until(self, end: bytes) -> bytes:
        """All bytes up to and with `end`."""
        while end not in self._unread:
            data = self.sock.recv(65_536)
            if not data:
                raise _Over
            self._unread += data
        head, _, self._unread = self._unread.partition(end)
        return head + end

    def drip(self, data: bytes, every: float) -> None:
        """Send the same bytes again and again until the client is gone."""
        while not self.server.stopping.wait(every):
            self.sock.sendall(data)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """TLS from here on."""
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self._unread = b""


def CLOSE(_: Conversation) -> None:  # noqa: N802 - reads as a word of the script
    """Close at once."""
    raise _Over


def SILENT(conversation: Conversation) -> None:  # noqa: N802 - the same
    """Say nothing until the client goes, or the server is stopped."""
    conversation.sock.settimeout(None)
    with suppress(OSError):
        while conversation.sock.recv(65_536):
            pass
    raise _Over


def RESET(conversation: Conversation) -> None:  # noqa: N802 - the same
    """Close with a TCP reset."""
    conversation.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise _Over


class FaultySMTP:
    """The server, as a context manager; `port` is free and on 127.0.0.1.

    `security`: "tls", "starttls", or "plain" (STARTTLS not offered). Replies by moment: greeting, ehlo (the lines that
    EHLO answers, `ehlo_tls` those inside TLS after STARTTLS), starttls, auth (one reply or one a mechanism), challenge
    (XOAUTH2's, before the reply: a line without 334), mail_from, rcpt_to (one reply or one an address), data, end,
    rset, quit. `pipelining` is offered or not. `after_challenge` holds what a client says to a challenge.
    """

    def __init__(
        self, context: ssl.SSLContext | None = None, security: str = "tls", address: str = "127.0.0.1", *,
        pipelining: bool = False, **replies: Any,
    ) -> None:  # fmt: skip
        self._context = context
        self._pipelining = pipelining
        self._security = security
        self._replies = replies
        self.stopping = threading.Event()
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.sign_ins: list[tuple[str, str]] = []
        self.after_challenge: list[str] = []
        self.connections = 0
        self._listener = socket.create_server((address, 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[Conversation] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Hang up on everybody; said twice it does no harm."""
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)
        self._listener.close()
        for conversation in self._sockets:
            with suppress(OSError):
                conversation.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    @property
    def auths(self) -> list[str]:
        """The AUTH commands that came in."""
        return [command for command in self.commands if command.upper().startswith("AUTH")]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            conversation = Conversation(sock, self)
            self._sockets.append(conversation)
            thread = threading.Thread(target=self._serve, args=(conversation,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, conversation: Conversation) -> None:
        try:
            conversation.sock.settimeout(20)
            self._session(conversation)
        except (_Over, OSError):
            pass
        finally:
            conversation.sock.close()

    def _session(self, conversation: Conversation) -> None:
        secure = self._security == "tls"
        if secure:
            assert self._context is not None
            conversation.start_tls(self._context)
        self._answer(conversation, "greeting", "220 mail.example.test ESMTP")
        while True:
            line = conversation.hear().decode("latin-1")
            self.commands.append(line)
            word = line.partition(" ")[0].upper()
            if word == "EHLO":
                self._answer(conversation, "ehlo_tls" if secure else "ehlo", self._offer(secure=secure))
            elif word == "STARTTLS":
                self._answer(conversation, "starttls", "220 go on")
                assert self._context is not None
                conversation.start_tls(self._context)
                secure = True
            elif word == "AUTH":
                self._auth(conversation, line)
            elif word == "DATA":
                self._data(conversation)
            elif word == "QUIT":
                self._answer(conversation, "quit", "221 bye")
                return
            else:
                self._envelope(conversation, word, line)

    def _offer(self, *, secure: bool) -> str:
        lines = ["mail.example.test", f"SIZE {STATED}", "8BITMIME"]
        if self._pipelining:
            lines.append("PIPELINING")
        if secure:
            lines.append("AUTH PLAIN LOGIN")
        elif self._security == "starttls":
            lines.append("STARTTLS")
        return "\r\n".join([f"250-{line}" for line in lines] + ["250 HELP"])

    def _answer(self, conversation: Conversation, moment: str, usual: str, key: str | None = None) -> str:
        reply = self._replies.get(moment, usual)
        if isinstance(reply, Mapping):
            reply = reply.get(key, usual)
        if not isinstance(reply, str):
            reply(conversation)
            return ""
        conversation.say(reply)
        return reply

    def _auth(self, conversation: Conversation, line: str) -> None:
        _, mechanism, *response = line.split(" ")
        if mechanism == "LOGIN":
            given = [self._prompt(conversation, "VXNlcm5hbWU6"), self._prompt(conversation, "UGFzc3dvcmQ6")]
        else:
            blob = response[0] if response else self._prompt(conversation, "")
            given = said(blob)
        self.sign_ins.append((given[0], given[1]))
        if "challenge" in self._replies and mechanism == "XOAUTH2":
            conversation.say(f"334 {self._replies['challenge']}")
            self.after_challenge.append(conversation.hear().decode("latin-1"))
        self._answer(conversation, "auth", "235 2.7.0 Accepted", mechanism)

    def _prompt(self, conversation: Conversation, challenge: str) -> str:
        conversation.say(f"334 {challenge}")
        answer = conversation.hear().decode("ascii")
        return answer if challenge == "" else base64.b64decode(answer).decode()

    def _data(self, conversation: Conversation) -> None:
        if not self._answer(conversation, "data", "354 go on").startswith("354"):
            return
        self.messages.append(conversation.until(b"\r\n.\r\n")[:-3])
        self._answer(conversation, "end", "250 2.0.0 Ok: queued as 4XyZ")

    def _envelope(self, conversation: Conversation, word: str, line: str) -> None:
        moment = {"MAIL": "mail_from", "RCPT": "rcpt_to", "RSET": "rset"}.get(word)
        if moment is None:
            conversation.say("500 5.5.2 what?")
            return
        address = line.partition("<")[2].partition(">")[0]
        self._answer(conversation, moment, "250 2.1.0 Ok", address)


def said(blob: str | bytes) -> tuple[str, str]:
    """User and secret in what PLAIN or XOAUTH2 says; AssertionError for any other form of the latter."""
    text = base64.b64decode(blob, validate=True).decode()
    if not text.startswith("user="):
        return text.split("\0")[1], text.split("\0")[2]
    user, bearer, *end = text.split("\1")
    assert bearer.startswith("auth=Bearer ")
    assert end == ["", ""]
    return user.removeprefix("user="), bearer.removeprefix("auth=Bearer ")


@contextmanager
def hanging(address: str, port: int = 0) -> Iterator[int]:
    """A port at which connections are never made: its queue is full, and what asks for one gets no answer."""
    with socket.socket() as full, ExitStack() as waiting:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((address, port))
        full.listen(0)
        with suppress(TimeoutError):
            while True:
                sock = waiting.enter_context(socket.socket())
                sock.settimeout(0.2)
                sock.connect(full.getsockname())
        yield full.getsockname()[1]


def server_context(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """A server's TLS context with a certificate for `names` (options as for trustme's issue_cert)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def self_signed_context(name: str, folder: Any) -> ssl.SSLContext:
    """A server's TLS context with a certificate that it signed itself; its files are put into `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "self-signed.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@cache
def client_context(authority: trustme.CA | None = None) -> ssl.SSLContext:
    """The product's own client context, which also trusts the test's authority; made once, it reads all others too."""
    context = tls_context()
    if authority is not None:
        authority.configure_trust(context)
    return context


STATED = 10_000_000  # bytes: the largest mail, as EHLO says
QUICK = Timeouts(connect=5, tls=5, greeting=5, command=5, content=5, final=5, leave=2, total=20)
IMPATIENT = Timeouts(connect=5, tls=0.8, greeting=0.8, command=0.8, content=0.8, final=0.8, leave=0.3, total=20)


def loopback_network(context: ssl.SSLContext, *ports: int, timeouts: Timeouts = QUICK, **options: Any) -> Network:
    """A network that may reach the given ports on loopback, with short timeouts."""
    guard = Guard(allow_networks=("127.0.0.0/8", "::1/128"), allow_ports=ports, **options)
    return Network(guard, context, "assistant.example", timeouts)
