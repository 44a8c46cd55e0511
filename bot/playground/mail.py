"""The sandbox mail server: real SMTP and IMAP over real TLS, with nothing installed but Python.

Mail to a sandbox mailbox arrives in its INBOX. Mail to any other address is accepted and kept under `OUTSIDE`, so that
people see where it would have gone; nothing ever leaves the machine. As with ordinary mail hosters nobody files a copy
in *Sent* but the mail program itself, over IMAP. All mail lives in memory and is gone when the server stops.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import email
import email.policy
import fcntl
import logging
import re
import ssl
import threading
import uuid
from argparse import Namespace
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self, cast
from weakref import WeakSet

import trustme
from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword
from proxyprotocol.sock import SocketInfo
from pymap.backend.dict import Config, Identity, Login, Session
from pymap.backend.dict.filter import FilterSet
from pymap.backend.dict.mailbox import MailboxData, MailboxSet
from pymap.concurrent import Subsystem
from pymap.exceptions import AuthorizationFailure, InvalidAuth
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials import FetchRequirement
from pysasl import SASLAuth
from pysasl.identity import ClearIdentity

from bot.playground import xoauth2
from bot.playground.identity import SMTP_SEND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from email.message import EmailMessage
    from pathlib import Path

    from aiosmtpd.smtp import Envelope
    from aiosmtpd.smtp import Session as SmtpSession
    from pymap.interfaces.login import IdentityInterface
    from pymap.parsing.commands import Commands
    from pymap.parsing.response.code import AppendUid
    from pymap.selected import SelectedMailbox
    from pysasl.creds.server import ServerCredentials

HOST = "localhost"
OTHER_NAME = "mail.localhost"  # the certificate is for this one, too
STRANGE_NAME = "server17.hosting.test"  # whose certificate a server shows that is one of many in a rack
ADDRESS = "127.0.0.1"
MAILBOXES = {
    "ana@sandbox.test": "quiet-harbor-2718",
    "bruno@sandbox.test": "copper-valley-3141",
    "carla@sandbox.test": "silver-meadow-1618",
}
OUTSIDE = "outside world"
INBOX, SENT = "INBOX", "Sent"

MESSAGE_BYTES = 10 * 1024 * 1024
FOLDER_BYTES = 5 * MESSAGE_BYTES
FOLDER_MESSAGES = 50
RECIPIENTS = 100
SHOWN_CHARACTERS = 10_000
SMTP_IDLE_SECONDS = 60.0
IMAP_SESSION_SECONDS = 30 * 60.0
SWITCH_SECONDS = 15.0
CERTIFICATE_DAYS = 365

# Folders are fixed, and mail comes in by delivery and APPEND only, where it is bounded.
UNBOUNDED_COMMANDS = frozenset(
    (b"CREATE", b"DELETE", b"RENAME", b"SUBSCRIBE", b"UNSUBSCRIBE", b"COPY", b"MOVE", b"UID COPY", b"UID MOVE")
)

_log = logging.getLogger(__name__)

# aiosmtpd writes every line of a mail (DEBUG) and a warning about itself at each sign-in, pymap passwords (DEBUG).
logging.getLogger("mail.log").setLevel(logging.ERROR)
logging.getLogger("pymap").setLevel(logging.WARNING)


@dataclass(frozen=True)
class _Fault:
    stage: str
    reply: str = ""


# What real providers answer, word for word.
FAULTS = {
    "app_password": _Fault(
        "auth",
        "534-5.7.9 Application-specific password required. For more information, go to\r\n"
        "534 5.7.9 https://support.google.com/mail/?p=InvalidSecondFactor - gsmtp",
    ),
    "bad_credentials": _Fault(
        "auth",
        "535-5.7.8 Username and Password not accepted. For more information, go to\r\n"
        "535 5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp",
    ),
    "auth_down": _Fault("auth", "454 4.7.0 Cannot authenticate due to a temporary system problem. Try again later."),
    "auth_off": _Fault(
        "auth",
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
        "Visit https://aka.ms/smtp_auth_disabled for more information.",
    ),
    "too_many_logins": _Fault(
        "auth",
        "454 4.7.0 Too many login attempts, please try again later. For more information, go to "
        "https://support.google.com/mail/answer/7126229",
    ),
    "greylist": _Fault(
        "rcpt",
        "450 4.2.0 <{recipient}>: Recipient address rejected: Greylisted, "
        "see http://postgrey.schweikert.ch/help/{domain}.html",
    ),
    "quota": _Fault(
        "rcpt",
        "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to\r\n"
        "550 5.4.5  https://support.google.com/a/answer/166852 - gsmtp",
    ),
    "mailbox_full": _Fault("rcpt", "552 5.2.2 <{recipient}>: user is over quota"),
    "from_refused": _Fault("data", "553 5.7.1 Sender address rejected: not owned by the authenticated user"),
    "dropped": _Fault("dot"),
    "hang": _Fault("ehlo"),
    "refused": _Fault("listen"),
    "certificate": _Fault("tls"),
}
SMTP_PORTS = ("smtps", "submission")
HABITS = ("none", "files", "files_under_other_ids", "no_folder")  # what servers do with *Sent*
WRONG_PASSWORD = "535 5.7.8 Error: authentication failed: (reason unavailable)"


class SandboxError(RuntimeError):
    """The sandbox mail server cannot run; the text says why in one sentence."""


@dataclass(frozen=True)
class SandboxMail:
    """One mail as the playground page shows it: headers as written by the sender, the text shortened."""

    sender: str
    to: str
    subject: str
    text: str
    date: str
    message_id: str


class Sandbox:
    """A mail server for trying things out, in a thread of its own, reachable from this machine only.

    `host` is the name in its certificate, which `ca_pem` signed; the server listens on 127.0.0.1. Its `ports` are
    known once it runs: `smtps` and `imaps` speak TLS from the first byte, `submission` demands STARTTLS. Sign-in is
    demanded for sending, and the sender has to be the address that signed in.
    """

    host = HOST

    def __init__(
        self,
        home: Path,
        *,
        mailboxes: Mapping[str, str] = MAILBOXES,
        ports: Mapping[str, int] | None = None,
        tokens: xoauth2.Tokens | None = None,
    ) -> None:
        """Prepare a server that keeps its certificate below `home`, in `sandbox/`; nothing starts yet.

        `mailboxes` maps addresses to passwords. `ports` fixes any of the ports; for the others free ones are found.
        `tokens` knows further mailboxes, which behave as Microsoft's: no password, and copies are filed by themselves.
        """
        self.ports: dict[str, int] = {"smtps": 0, "submission": 0, "imaps": 0} | dict(ports or {})
        self._folder = home / "sandbox"
        self._office = _PostOffice({address.lower(): password for address, password in mailboxes.items()}, tokens)
        self._thread: threading.Thread | None = None
        self._listeners: dict[str, tuple[Callable[[], asyncio.Protocol], ssl.SSLContext | None]] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event

    @property
    def ca_pem(self) -> Path:
        """The throw-away authority that signed the certificate, as a PEM file; there once the server has started."""
        return self._folder / "ca.pem"

    @property
    def server_pem(self) -> Path:
        """The certificate for HOST with its key, as a PEM file; there once the server has started."""
        return self._folder / "server.pem"

    @property
    def passwords(self) -> Mapping[str, str]:
        """The made-up passwords by address, to be shown to whoever tries the sandbox."""
        return self._office.passwords

    @property
    def signing_in(self) -> Sequence[str]:
        """The mailboxes that take no password."""
        return self._office.signing_in

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve in a daemon thread; returns when all ports are open. SandboxError when that cannot be."""
        if self._thread:
            raise SandboxError("The sandbox mail server is running already.")
        try:
            tls = _server_tls(self._folder, self._office)
            ready: Future[None] = Future()
            self._thread = threading.Thread(target=self._run, args=(tls, ready), name="sandbox mail", daemon=True)
            self._thread.start()
            ready.result(SWITCH_SECONDS)
        except OSError as error:
            self._thread = None
            raise SandboxError(f"The sandbox mail server cannot start: {error or 'it takes too long'}.") from error

    def stop(self) -> None:
        """Close every connection and forget all mail. A server that does not run stays as it is."""
        if self._thread:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(SWITCH_SECONDS)
            self._thread = None

    def refuse(self, kind: str | None) -> None:
        """From now on answer SMTP as a provider with this fault does (a key of FAULTS); None: work again.

        `hang` greets and then leaves the client waiting; `refused`: nothing listens; `certificate`: it is another
        server's. ValueError for an unknown kind.
        """
        if kind is not None and kind not in FAULTS:
            raise ValueError(f"The sandbox knows these faults: {', '.join(FAULTS)}.")
        fault = FAULTS[kind] if kind else None
        if self._thread:
            asyncio.run_coroutine_threadsafe(self._play(fault), self._loop).result(SWITCH_SECONDS)
        else:
            self._office.fault = fault

    def keep_copies(self, habit: str) -> None:
        """From now on do with copies in *Sent* as other servers do (one of HABITS); ValueError for an unknown one.

        `files`: the server files a copy itself; `files_under_other_ids`: and gives it another Message-ID, as
        Outlook.com does; `no_folder`: there is no *Sent*; `none`: the mail program files it, as with most hosters.
        """
        if habit not in HABITS:
            raise ValueError(f"The sandbox knows these habits: {', '.join(HABITS)}.")
        asyncio.run_coroutine_threadsafe(self._office.settle(habit), self._loop).result(SWITCH_SECONDS)

    def post(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        """Take a mail that came in another way than by SMTP. TimeoutError when that takes too long."""
        taken = self._office.take(sender, recipients, content)
        asyncio.run_coroutine_threadsafe(taken, self._loop).result(SWITCH_SECONDS)

    def mailboxes(self) -> dict[str, dict[str, list[SandboxMail]]]:
        """All mail, oldest first: address (or OUTSIDE) -> folder (INBOX, Sent) -> mails. SandboxError when stopped."""
        if not self._thread:
            raise SandboxError("The sandbox mail server is not running.")
        return asyncio.run_coroutine_threadsafe(self._office.read(), self._loop).result(SWITCH_SECONDS)

    def _run(self, tls: ssl.SSLContext, ready: Future[None]) -> None:
        try:
            asyncio.run(self._serve(tls, ready))
        except OSError as error:
            ready.set_exception(error)

    async def _serve(self, tls: ssl.SSLContext, ready: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await self._office.open()
        connections: WeakSet[asyncio.Transport] = WeakSet()
        smtp, imap = _SmtpHandler(self._office), IMAPServer(_ImapLogin(self._office), self._office.imap)
        self._listeners = {
            "smtps": (lambda: _Smtp(smtp, connections), tls),
            "submission": (lambda: _Smtp(smtp, connections, tls), None),
            "imaps": (lambda: _Imap(imap, connections), tls),
        }
        with contextlib.ExitStack() as stack:
            stack.callback(_hang_up, connections)
            stack.callback(self._close, (*SMTP_PORTS, "imaps"))
            for name in self._listeners:
                await self._open(name)
            await self._play(self._office.fault)
            ready.set_result(None)
            await self._stopping.wait()

    async def _play(self, fault: _Fault | None) -> None:
        """Answer with a fault from now on, where nothing listens for SMTP, if that is the fault."""
        self._office.play(fault)
        if fault and fault.stage == "listen":
            self._close(SMTP_PORTS)
            return
        for name in SMTP_PORTS:
            if name not in self._servers:
                await self._open(name)

    async def _open(self, name: str) -> None:
        protocol, context = self._listeners[name]
        server = await self._loop.create_server(protocol, ADDRESS, self.ports[name], ssl=context)
        self._servers[name] = server
        self.ports[name] = server.sockets[0].getsockname()[1]

    def _close(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._servers:
                self._servers.pop(name).close()


class _PostOffice:
    """Who has a mailbox, what lies in it, and which fault is played. Lives in the server's loop."""

    def __init__(self, passwords: dict[str, str], tokens: xoauth2.Tokens | None = None) -> None:
        self.passwords = passwords
        self.tokens = tokens
        self.signing_in = tokens.addresses if tokens else ()
        self._addresses = frozenset((*passwords, *self.signing_in))
        self.fault: _Fault | None = None
        self.habit = HABITS[0]
        self.answering: asyncio.Event
        self.imap: _ImapConfig
        self._shown: dict[tuple[str, str, int], SandboxMail] = {}

    async def open(self) -> None:
        """Begin with empty mailboxes."""
        self.answering = asyncio.Event()
        self.play(self.fault)
        self.imap = _ImapConfig(self.tokens)
        for address in (*self.passwords, *self.signing_in, OUTSIDE):
            folders = MailboxSet()
            await folders.add_mailbox(SENT)
            self.imap.set_cache[address] = (folders, FilterSet())

    async def settle(self, habit: str) -> None:
        """Do with copies as this habit says; without a *Sent* folder what lay in it is gone."""
        self.habit = habit
        for folders, _ in self.imap.set_cache.values():
            listed = {entry.name for entry in (await folders.list_mailboxes()).list()}
            if habit == "no_folder" and SENT in listed:
                await folders.delete_mailbox(SENT)
            elif habit != "no_folder" and SENT not in listed:
                await folders.add_mailbox(SENT)

    async def take(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        """Deliver a mail, and file the sender's copy if this server does such things."""
        await self.deliver(sender, recipients, content)
        await self._file_copy(sender, content)

    async def _file_copy(self, sender: str, content: bytes) -> None:
        files = self.habit.startswith("files") or (sender.lower() in self.signing_in and self.habit != "no_folder")
        if not files or sender.lower() not in self._addresses:
            return
        if self.habit == "files_under_other_ids":
            new = f"Message-ID: <{uuid.uuid4().hex}@sandbox.test>\r\nX-Microsoft-Original-Message-ID:".encode()
            content = re.sub(rb"(?im)^message-id:", new, content, count=1)
        folder = await self.imap.set_cache[sender.lower()][0].get_mailbox(SENT)
        await folder.append(AppendMessage(content, datetime.now(UTC)))
        await _keep_newest(folder)

    def play(self, fault: _Fault | None) -> None:
        """From now on answer SMTP with this fault, or as it should be."""
        self.fault = fault
        if fault and fault.stage == "ehlo":
            self.answering.clear()
        else:
            self.answering.set()

    def knows(self, address: str, password: str) -> bool:
        """Whether this pair signs in; the case of the address does not count."""
        known = self.passwords.get(address.lower())
        with contextlib.suppress(ValueError):  # text that can be nobody's password (RFC 4013)
            return known is not None and ClearIdentity(address, known).compare_secret(password)
        return False

    def admits(self, said: bytes, scope: str) -> str:
        """Who signs in with a token, by what they said; empty: nobody."""
        return xoauth2.signed_in(said, self.tokens, scope) if self.tokens else ""

    def reply(self, stage: str) -> str | None:
        """What the played fault answers at this stage, or None: go on."""
        return self.fault.reply if self.fault and self.fault.stage == stage else None

    async def deliver(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        """Put a mail into the INBOX of each recipient that is ours, and once into OUTSIDE for all others."""
        ours = {address.lower() for address in recipients} & self._addresses
        others = [address for address in recipients if address.lower() not in ours]
        for mailbox, delivered_to in [*((address, address) for address in sorted(ours)), (OUTSIDE, ", ".join(others))]:
            if delivered_to:
                # RFC 5321, 4.4: the last server names the sender of the envelope.
                trace = f"Return-Path: <{sender}>\r\nDelivered-To: {delivered_to}\r\n".encode(errors="replace")
                folder = await self.imap.set_cache[mailbox][0].get_mailbox(INBOX)
                await folder.append(AppendMessage(trace + content, datetime.now(UTC)), recent=True)
                await _keep_newest(folder)

    async def read(self) -> dict[str, dict[str, list[SandboxMail]]]:
        """All mail by mailbox and folder, oldest first."""
        before, self._shown = self._shown, {}
        found: dict[str, dict[str, list[SandboxMail]]] = {}
        for address, (folders, _) in self.imap.set_cache.items():
            found[address] = {INBOX: [], SENT: []}
            there = {entry.name for entry in (await folders.list_mailboxes()).list()}
            for name, mails in found[address].items():
                if name not in there:
                    continue
                async for message in (await folders.get_mailbox(name)).messages():
                    key = (address, name, message.uid)
                    content = await message.load_content(FetchRequirement.CONTENT)
                    mail = before.get(key) or _summary(bytes(content), "To" if address != OUTSIDE else "Delivered-To")
                    self._shown[key] = mail
                    mails.append(mail)
        return found


class _SmtpHandler:
    """What the SMTP server answers, in aiosmtpd's hooks (aiosmtpd.readthedocs.io, "Handlers")."""

    def __init__(self, office: _PostOffice) -> None:
        self.takes_tokens = office.tokens is not None
        self._office = office

    async def handle_EHLO(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, _server: SMTP, session: SmtpSession, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        await self._office.answering.wait()
        session.host_name = hostname
        return responses

    def authenticate(
        self, _server: SMTP, _session: SmtpSession, _envelope: Envelope, _mechanism: str, given: LoginPassword
    ) -> AuthResult:
        fault = self._office.reply("auth")
        address, password = given.login.decode(errors="replace"), given.password.decode(errors="replace")
        if fault is None and self._office.knows(address, password):
            return AuthResult(success=True, auth_data=address.lower())
        wrong = xoauth2.NO_PASSWORDS if address.lower() in self._office.signing_in else WRONG_PASSWORD
        return AuthResult(success=False, handled=False, message=fault or wrong)

    async def auth_XOAUTH2(self, server: SMTP, args: Sequence[str]) -> AuthResult:  # noqa: N802
        if fault := self._office.reply("auth"):
            return AuthResult(success=False, handled=False, message=fault)
        try:
            said = base64.b64decode(args[1], validate=True) if len(args) > 1 else await server.challenge_auth("")
        except (binascii.Error, ValueError):
            return AuthResult(success=False, handled=False, message="501 5.5.2 Can't decode base64")
        if said is not MISSING and (address := self._office.admits(said, SMTP_SEND)):
            return AuthResult(success=True, auth_data=address)
        if said is MISSING or await server.challenge_auth(xoauth2.challenge(SMTP_SEND)) is MISSING:
            return AuthResult(success=False)  # the client gave up, and has its answer
        return AuthResult(success=False, handled=False, message=xoauth2.WRONG_TOKEN)

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, session: SmtpSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        if address.lower() != session.auth_data:
            return f"553 5.7.1 <{address}>: Sender address rejected: not owned by user {session.auth_data}"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: SmtpSession, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        fault = self._office.reply("rcpt")
        if fault is not None:
            return fault.format(recipient=address, domain=address.rpartition("@")[2])
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return "452 4.5.3 Error: too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, _session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802
        sender, content = envelope.mail_from or "", envelope.original_content or b""
        if refusal := self._office.reply("data"):
            return refusal
        await self._office.take(sender, envelope.rcpt_tos, content)
        if self._office.reply("dot") is not None and server.transport is not None:
            server.transport.close()  # the mail is taken, and nobody is told
        return f"250 2.0.0 Ok: queued as {uuid.uuid4().hex[:11].upper()}"

    async def handle_exception(self, error: Exception) -> str:
        # The kind only: a client that gives up in the handshake comes here too, and texts may quote what was sent.
        _log.info("sandbox mail: %s", type(error).__name__)
        return "451 4.3.0 Error: queue file write error"


class _Remembered(asyncio.BaseProtocol):
    """A protocol whose connections are remembered, so that they can be closed with the server."""

    connections: WeakSet[asyncio.Transport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connections.add(cast("asyncio.Transport", transport))
        super().connection_made(transport)


class _Smtp(_Remembered, SMTP):
    """One SMTP connection: without `tls` it lies inside TLS already, with it STARTTLS is demanded first."""

    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(
        self, handler: _SmtpHandler, connections: WeakSet[asyncio.Transport], tls: ssl.SSLContext | None = None
    ) -> None:
        self.connections = connections
        super().__init__(
            handler,
            authenticator=handler.authenticate,
            auth_exclude_mechanism=() if handler.takes_tokens else (xoauth2.MECHANISM,),
            hostname=HOST,
            ident="ESMTP sandbox",
            data_size_limit=MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            timeout=SMTP_IDLE_SECONDS,
            tls_context=tls,
            require_starttls=tls is not None,
            auth_require_tls=tls is not None,
            loop=asyncio.get_running_loop(),
        )


class _Imap(_Remembered, asyncio.StreamReaderProtocol):
    """One IMAP connection, inside TLS."""

    def __init__(self, server: IMAPServer, connections: WeakSet[asyncio.Transport]) -> None:
        self.connections = connections
        self._server = server
        loop = asyncio.get_running_loop()
        super().__init__(_BoundedReader(loop=loop), self._talk, loop)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # pymap hangs up and raises on a password that is no UTF-8 (ValueError) and on endless nesting (RecursionError).
        with contextlib.suppress(TimeoutError, ValueError, RecursionError):
            async with asyncio.timeout(IMAP_SESSION_SECONDS):
                await self._server(reader, writer, SocketInfo.get(writer, None, unique_id=uuid.uuid4().bytes))


class _BoundedReader(asyncio.StreamReader):
    """Ends the connection of a client that announces more than one mail may have (pymap bounds only some of it)."""

    async def readline(self) -> bytes:
        try:
            return await super().readline()
        except ValueError as error:
            raise EOFError from error

    async def readexactly(self, n: int) -> bytes:
        if n > 2 * MESSAGE_BYTES:
            raise EOFError
        return await super().readexactly(n)


class _ImapConfig(Config):
    """pymap's settings: TLS lies outside, passwords are judged by the post office, mail is bounded."""

    def __init__(self, tokens: xoauth2.Tokens | None) -> None:
        super().__init__(
            Namespace(passlib_cfg=None, proxy_protocol=None),
            demo_data=False,
            demo_user="",
            demo_password="",
            host=ADDRESS,
            port=0,
            tls_enabled=False,
            cpu_subsystem=Subsystem.for_asyncio(),
            max_append_len=MESSAGE_BYTES,
        )
        self._tokens = tokens

    @property
    def tls_auth(self) -> SASLAuth:
        usual = super().tls_auth
        return SASLAuth([*usual.server_mechanisms, xoauth2.ForImap(self._tokens)]) if self._tokens else usual

    @property
    def commands(self) -> Commands:
        commands = super().commands
        for name in UNBOUNDED_COMMANDS:
            commands.deregister(name)
        return commands

    @property
    def login_capability(self) -> Sequence[bytes]:
        return [name for name in super().login_capability if name not in UNBOUNDED_COMMANDS]

    @property
    def greeting(self) -> bytes:
        # pymap asks the DNS for this machine's name here, once a connection and blocking.
        return b"Sandbox ready."


class _ImapLogin(Login):
    """Sign-in by the post office's passwords."""

    def __init__(self, office: _PostOffice) -> None:
        super().__init__(office.imap)
        self._office = office

    async def authenticate(self, credentials: ServerCredentials) -> Identity:
        address = credentials.authcid.lower()
        known = self._office.passwords.get(address)
        with contextlib.suppress(ValueError):
            if isinstance(credentials, xoauth2.Admitted):
                return _ImapIdentity(credentials.authzid, self, None, frozenset())
            if known is not None and credentials.verify(ClearIdentity(credentials.authcid, known)):
                return _ImapIdentity(address, self, None, frozenset())
        raise InvalidAuth("Authentication failed.")

    async def authorize(self, authenticated: IdentityInterface, authzid: str) -> Identity:
        if authzid.lower() != authenticated.name:
            raise AuthorizationFailure
        return _ImapIdentity(authenticated.name, self, None, frozenset())


class _ImapIdentity(Identity):
    @asynccontextmanager
    async def new_session(self) -> AsyncIterator[Session]:
        folders, filters = self.config.set_cache[self.name]
        yield _ImapSession(self.name, self.config, folders, filters)


class _ImapSession(Session):
    """A mailbox with INBOX and a flagged Sent folder (RFC 6154), each of which keeps its newest mails only."""

    async def list_mailboxes(
        self,
        ref_name: str,
        filter_: str,
        subscribed: bool = False,  # noqa: FBT001, FBT002 - pymap calls it so
        selected: SelectedMailbox | None = None,
    ) -> tuple[Iterable[tuple[str, str | None, Sequence[bytes]]], SelectedMailbox | None]:
        listed, updates = await super().list_mailboxes(ref_name, filter_, subscribed, selected)
        flagged = [(name, sep, [*flags, b"Sent"] if name == SENT else flags) for name, sep, flags in listed]
        return flagged, updates

    async def append_messages(
        self, name: str, messages: Sequence[AppendMessage], selected: SelectedMailbox | None = None
    ) -> tuple[AppendUid, SelectedMailbox | None]:
        appended = await super().append_messages(name, messages, selected)
        await _keep_newest(await self.mailbox_set.get_mailbox(name))
        return appended


async def _keep_newest(folder: MailboxData) -> None:
    messages = [message async for message in folder.messages()]
    surplus, room = messages[:-FOLDER_MESSAGES], FOLDER_BYTES
    for message in reversed(messages[-FOLDER_MESSAGES:]):
        room -= (await message.load_content(FetchRequirement.CONTENT)).get_size()
        if room < 0:
            surplus.append(message)
    if surplus:
        await folder.delete([message.uid for message in surplus])


def _hang_up(connections: WeakSet[asyncio.Transport]) -> None:
    for connection in list(connections):
        connection.abort()


def _summary(raw: bytes, recipient_header: str) -> SandboxMail:
    try:
        mail: EmailMessage = email.message_from_bytes(raw, policy=email.policy.default)
        sender, to, subject, date, message_id = (
            str(mail.get(name, ""))[:SHOWN_CHARACTERS]
            for name in ("From", recipient_header, "Subject", "Date", "Message-ID")
        )
        body = mail.get_body(("plain", "html"))
        text = str(body.get_content())[:SHOWN_CHARACTERS] if body else ""
    except Exception:  # noqa: BLE001 - the standard library raises anything at all on hostile mail
        return SandboxMail("", "", "(this mail cannot be read)", "", "", "")
    return SandboxMail(sender, to, subject, text, date, message_id)


def _server_tls(folder: Path, office: _PostOffice) -> ssl.SSLContext:
    """The server's side of TLS, with the certificate kept in `folder` or, where no client would take it, a new one.

    While that fault is played it shows another server's certificate instead.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `run` and `talk` may start at the same moment
        if not _accepted(folder):
            _make_certificate(folder)
        tls, strange = _load(folder), _load(folder, "strange.pem")

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = strange if office.fault and office.fault.stage == "tls" else tls

    tls.sni_callback = choose
    return tls


def _make_certificate(folder: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert(
        HOST, OTHER_NAME, ADDRESS, not_after=datetime.now(UTC) + timedelta(days=CERTIFICATE_DAYS)
    )
    strange = authority.issue_cert(STRANGE_NAME, not_after=datetime.now(UTC) + timedelta(days=CERTIFICATE_DAYS))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, made in (("server.pem", server), ("strange.pem", strange)):
        (folder / name).touch(mode=0o600)
        made.private_key_and_cert_chain_pem.write_to_path(str(folder / name))


def _load(folder: Path, name: str = "server.pem") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / name)
    return context


def _accepted(folder: Path) -> bool:
    """Whether a client that trusts `ca.pem` takes the certificate today: tried by a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        _load(folder, "strange.pem")  # older folders hold none
        trusting = ssl.create_default_context(cafile=folder / "ca.pem")
        client = trusting.wrap_bio(to_client, to_server, server_hostname=OTHER_NAME)
        server = _load(folder).wrap_bio(to_server, to_client, server_side=True)
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        client.do_handshake()
    except OSError:
        return False
    return True
