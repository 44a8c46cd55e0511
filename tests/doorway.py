"""The door in the test's own process: the bot's parts, a scripted mail server behind it, and guests.

`OpenDoor` runs the door in a thread of its own; `Guest` is smtplib with the right key. What the worker does about it,
the test does with `kit.work()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
import threading
from contextlib import ExitStack
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Self

import pytest
import trustme

import bot.proofs
from bot import door_keys
from bot.door.server import Bounds, Door, Times
from bot.door_desk import DoorDesk
from bot.mail.wire.sent_folder import resolve_unknown
from bot.store import doors, tables
from tests.botkit import ADDRESS, ANA, Kit, table_of_providers
from tests.faulty_imap import FaultyIMAP
from tests.faulty_smtp import QUICK, FaultySMTP, client_context, loopback_network, server_context

if TYPE_CHECKING:
    from pathlib import Path

HOST = "door.example.com"
TO = "bia@client.test"
BODY = "See you on Tuesday.\r\n"
MAX_SIZE = 300_000


def certificate(authority: trustme.CA, home: Path, name: str = HOST, **options: Any) -> tuple[Path, Path]:
    """The files of a certificate for the door, written anew."""
    made = authority.issue_cert(name, **options)
    files = home / "door.pem", home / "door.key"
    files[0].write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
    files[1].write_bytes(made.private_key_pem.bytes())
    return files


def key_for(kit: Kit) -> str:
    """A key for the only mailbox there is."""
    clear, hashed = door_keys.make()
    (row,) = kit.rows(tables.mailbox)
    with kit.engine.begin() as db:
        doors.make(db, row.id, hashed, kit.clock.now())
    return clear.reveal()


class OpenDoor:
    """A door in a thread, while it is a context; `port` is free and on 127.0.0.1."""

    def __init__(
        self, kit: Kit, authority: trustme.CA, home: Path, *, times: Times | None = None, bounds: Bounds | None = None,
        max_size: int = MAX_SIZE, name: str = HOST,
    ) -> None:  # fmt: skip
        self.files = certificate(authority, home, name)
        self.desk = DoorDesk(kit.parts.tools)
        self._made = {"times": times, "bounds": bounds, "max_size": max_size}
        self._context = client_context(authority)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self.door: Door
        self.loop: asyncio.AbstractEventLoop
        self.port = 0
        self.guests: list[Guest] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        # First, or the door waits a second for the good-bye of each: what it does then has tests of its own.
        for one in (*self.guests, *self._sockets):
            one.close()
        self.stop()
        self.desk.close()

    def stop(self) -> None:
        """As SIGTERM does; waits for the end."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.door.stop)
        self._thread.join(40)
        assert not self._thread.is_alive()

    def tell(self, what: Any) -> None:
        """Call something in the door's own thread."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (what(), done.set()))
        assert done.wait(20)

    def connected(self) -> ssl.SSLSocket:
        """A connection with TLS whose certificate was checked; the greeting is not read yet."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        try:
            wrapped = self._context.wrap_socket(sock, server_hostname=HOST)
        except BaseException:
            sock.close()
            raise
        self._sockets.append(wrapped)
        return wrapped

    def plain(self) -> socket.socket:
        """A connection without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.door = Door(self.desk, host=HOST, certificate=self.files[0], key=self.files[1], **self._made)
        await self.door.serve("127.0.0.1", 0, self._opened)

    def _opened(self, port: int) -> None:
        self.port = port
        self._ready.set()


class Guest(smtplib.SMTP):
    """A program that sends through the door."""

    def __init__(self, open_door: OpenDoor) -> None:
        self._door = open_door
        super().__init__(HOST, open_door.port, local_hostname="ally.example", timeout=30)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        self._door.guests.append(self)
        return self._door.connected()

    def say(self, line: str | bytes) -> tuple[int, str]:
        """One command as it stands, and its reply."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.heard()

    def heard(self) -> tuple[int, str]:
        """The next reply."""
        code, text = self.getreply()
        return code, text.decode()


def letter(**changes: str) -> EmailMessage:
    """A mail from the mailbox's address."""
    message = EmailMessage()
    message["From"] = changes.pop("From", f"Ana <{ADDRESS}>")
    message["To"] = changes.pop("To", TO)
    message["Subject"] = changes.pop("Subject", "The offer")
    for name, value in changes.items():
        message[name.replace("_", "-")] = value
    message.set_content(BODY)
    return message


def raw(*lines: str, body: str = BODY) -> bytes:
    """A message by its header lines."""
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def told(kit: Kit, who: str = ANA) -> str:
    """What was said to somebody last."""
    return kit.last(who).body


MESSAGE = raw(
    f"From: Ana <{ADDRESS}>", f"To: {TO}", "Message-ID: <1@ally.example>", "Date: Mon, 2 Mar 2026 12:00:00 +0000"
)


@pytest.fixture(scope="module")
def door_authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def door_server_context(door_authority):
    return server_context(door_authority, "localhost")


@pytest.fixture
def no_waits(monkeypatch):
    monkeypatch.setattr(bot.proofs, "SOON", (0.0,))
    monkeypatch.setattr("bot.door_desk.SLOWED", (0.0, 0.0))
    monkeypatch.setitem(resolve_unknown.__kwdefaults__, "waits", (0.0,))


@pytest.fixture
def door_at(database_url, tmp_path, door_authority, door_server_context):
    """Makes a kit with an open door, whose mailbox's server is a scripted one: `door_at(auth=WRONG)`."""
    with ExitStack() as stack:

        def make(timeouts=QUICK, times=None, bounds=None, limits=None, **replies):
            imap = stack.enter_context(FaultyIMAP(door_server_context))
            server = stack.enter_context(FaultySMTP(door_server_context, **replies))
            table = table_of_providers(tmp_path, server.port, imap.port, **({"limits": limits} if limits else {}))
            kit = stack.enter_context(Kit(database_url, tmp_path, providers=table))
            kit.network(loopback_network(client_context(door_authority), server.port, imap.port, timeouts=timeouts))
            kit.server, kit.imap = server, imap
            kit.mailbox(port=server.port)
            kit.key = key_for(kit)
            kit.door = stack.enter_context(OpenDoor(kit, door_authority, tmp_path, times=times, bounds=bounds))
            stack.callback(server.stop)  # for an answer that it never gives the door would wait
            return kit

        yield make


@pytest.fixture
def door_inside(door_at):
    """A kit, and a guest of its door who has signed in."""

    def make(**options):
        kit = door_at(**options)
        return kit, guest(kit)

    return make


def guest(kit, key=None, user=ADDRESS):
    made = Guest(kit.door)
    made.login(user, key or kit.key)
    return made


def handed_in(one, message=MESSAGE, sender=ADDRESS, to=TO):
    """A message as it stands; the reply to it."""
    assert one.mail(sender)[0] == 250
    assert one.rcpt(to)[0] == 250
    code, text = one.data(message)
    return code, text.decode()


def mails(kit):
    return kit.rows(tables.outgoing_mail)


def states(kit):
    return [one.state for one in mails(kit)]
