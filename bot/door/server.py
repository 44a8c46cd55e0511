"""The door itself: who may come in at all, TLS, whose turn it is, and how it closes.

TLS from the first byte (RFC 8314), 1.2 or newer. A renewed certificate is taken from the next connection on. What is
not bounded here is bounded in the protocol; nothing that a guest does costs the others more than its share.
"""

import asyncio
import asyncio.sslproto
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import UUID

import structlog

from bot.door.letter import Letter
from bot.door.protocol import PATIENCE, Protocol
from bot.door.turnstile import PLACES, Line, Turnstile
from bot.door.words import Guest, House, Reply
from bot.limits import source as source_of

QUICK = 8  # threads for what only asks our database
STOP_TIME = 20.0  # seconds for what is under way
GOOD_BYE = 1.0  # seconds for the others' connections to end, as TLS wants it
LOOK = 0.02
TLS_BUFFER = 32 * 1024  # bytes that each connection keeps for what comes in; of asyncio's own 256 kB most is never used
TIDY = 10.0  # seconds between looks at the certificate, and at connections that nobody uses
TELL = 6  # such looks between two lines in the log
BACKLOG = 512
_log = structlog.get_logger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


class BadCertificate(Exception):
    """The certificate and its key cannot be used; one plain sentence."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long a guest may take, in seconds (RFC 5321 4.5.3.2.7 gives a command 5 minutes; strangers get less)."""

    handshake: float = 10.0
    before: float = 30.0
    command: float = 300.0
    data: float = 300.0
    sending: float = 900.0
    session: float = 4 * 3600.0
    believed: float = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections in all and from one source, and how many bytes of mails that are just coming in."""

    connections: int = 2_000
    of_one_source: int = 1_200  # a product that sends for many people comes from few machines
    held: int = 256 * 1024 * 1024


class Door:
    """Serves guests until it is told to stop. All but the house's functions runs in one event loop."""

    def __init__(
        self, house: House, *, host: str, certificate: Path, key: Path, max_size: int, times: Times | None = None,
        bounds: Bounds | None = None,
    ) -> None:  # fmt: skip
        """Raises BadCertificate."""
        self.house = house
        self.host = host
        self.max_size = max_size
        self.times = times or Times()
        self.stopping = False
        self.turned_away = 0
        self._bounds = bounds or Bounds()
        self._files = (certificate, key)
        self._written = _written(*self._files)
        self._context = context(*self._files)
        self._guests: set[Protocol] = set()
        self._sources: Counter[str] = Counter()
        self._connected = 0
        self._held = 0
        self._replies: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[Reply]] = set()
        self._quick = ThreadPoolExecutor(QUICK, "door")
        self._senders = ThreadPoolExecutor(PLACES, "mail")
        self._turnstile: Turnstile | None = None
        self._stop: asyncio.Event | None = None

    # --- from start to end ---

    async def serve(self, bind: str | None, port: int, ready: Callable[[int], None] = lambda _port: None) -> None:
        """Listen at an address (None: at all of them) until `stop`; then let what is under way end, in bounded time.

        `ready` is told the port. Raises OSError when it cannot listen there.
        """
        loop = asyncio.get_running_loop()
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER
        self._stop, self._turnstile = asyncio.Event(), Turnstile()
        listening = await loop.create_server(
            lambda: _Gate(self), bind, port, backlog=BACKLOG, reuse_address=True, start_serving=False
        )
        tidying = loop.create_task(self._tidy())
        try:
            await listening.start_serving()
            ready(listening.sockets[0].getsockname()[1])
            await self._stop.wait()
        finally:
            listening.close()
            tidying.cancel()
            await self._finish()

    def stop(self) -> None:
        """Let nobody in any more, and end; for the loop's own thread, as for a signal handler of the loop."""
        self.stopping = True
        if self._stop is not None:
            self._stop.set()

    def reload(self) -> None:
        """Take the certificate as it is now; a bad one changes nothing."""
        self._written = _written(*self._files)
        try:
            self._context = context(*self._files)
        except BadCertificate as bad:
            _log.error("the door keeps the certificate it has", why=str(bad))
        else:
            _log.info("the door has taken the certificate anew")

    async def _finish(self) -> None:
        self.stopping = True
        for guest in list(self._guests):
            guest.leave()
        await self._until(lambda: not self._under_way and not any(guest.busy for guest in self._guests), STOP_TIME)
        for guest in list(self._guests):
            guest.close()
        await self._until(lambda: not self._connected, GOOD_BYE)
        for guest in list(self._guests):
            guest.abort()
        await self._until(lambda: not self._connected, GOOD_BYE)
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._senders.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    async def _until(over: Callable[[], bool], seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while not over() and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - for seconds, at the end
            await asyncio.sleep(LOOK)

    async def _tidy(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(TIDY)
            if _written(*self._files) != self._written:
                self.reload()
            try:
                told = await self.asked(self.house.tidy)
            except Exception as error:  # noqa: BLE001 - the door stays open whatever the house cannot do just now
                _log.error("tidying up failed", kind=type(error).__name__)
                continue
            looks += 1
            if looks % TELL == 0:
                _log.info("door", **self.numbers(), **told)

    def numbers(self) -> Mapping[str, int]:
        """What goes on, for the log."""
        waits = self._turnstile
        return {
            "connections": len(self._guests),
            "sources": len(self._sources),
            "sending": waits.inside if waits else 0,
            "waiting": waits.waiting if waits else 0,
            "turned_away": self.turned_away,
            "held": self._held,
            **{f"replies_{kind}": count for kind, count in sorted(self._replies.items())},
        }

    # --- guests ---

    async def admit(self, transport: asyncio.Transport) -> None:
        """TLS, and then SMTP; or the end, where there are too many already."""
        peer = transport.get_extra_info("peername")
        source = source_of(peer[0] if peer else None)
        if not self._has_room(source):
            self.turned_away += 1
            transport.abort()
            return
        self._sources[source] += 1
        self._connected += 1
        guest = Protocol(self, source)
        try:
            inside = await asyncio.get_running_loop().start_tls(
                transport,
                guest,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self.times.handshake,
                ssl_shutdown_timeout=GOOD_BYE,
            )
        except (OSError, ssl.SSLError):  # it speaks no TLS, or one that is too old, or nothing at all
            transport.abort()
            guest.abandon()
            return
        except BaseException:
            transport.abort()
            guest.abandon()
            raise
        if inside is None or inside.is_closing() or self.stopping:
            transport.abort()
            guest.abandon()
            return
        guest.connection_made(inside)

    def _has_room(self, source: str) -> bool:
        mine = self._sources.get(source, 0)
        room = self._connected < self._bounds.connections and mine < self._bounds.of_one_source
        return room and not self.stopping

    def came(self, guest: Protocol) -> None:
        """A guest is inside."""
        self._guests.add(guest)

    def went(self, guest: Protocol) -> None:
        """A guest is gone, or never got inside."""
        self._guests.discard(guest)
        self._connected -= 1
        self._sources[guest.source] -= 1
        if self._sources[guest.source] <= 0:
            del self._sources[guest.source]

    def hold(self, size: int) -> bool:
        """Count bytes of a mail that is coming in (negative: no longer); whether there is room for them."""
        self._held += size
        return size < 0 or self._held <= self._bounds.held

    def count(self, reply: Reply) -> None:
        """A mail had this reply."""
        self._replies[f"{reply.code // 100}xx"] += 1

    # --- the house ---

    async def asked(self, what: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
        """Ask the house something short, without stopping the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._quick, lambda: what(*args, **named))

    async def sent(self, line: Line, guest: Guest, letter: Letter, recipients: tuple[str, ...], mail_id: UUID) -> Reply:
        """Hand a message over when it is its mailbox's turn. Raises Full.

        Who hangs up before its turn takes the message along; afterwards it goes its way, and its outcome is kept.
        """
        began = asyncio.Event()
        task = asyncio.create_task(self._carried(began, line, guest, letter, recipients, mail_id))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not began.is_set():
                task.cancel()
            else:
                task.add_done_callback(_seen)
            raise

    async def _carried(
        self, began: asyncio.Event, line: Line, guest: Guest, letter: Letter, recipients: tuple[str, ...], mail_id: UUID
    ) -> Reply:
        assert self._turnstile is not None  # noqa: S101 - made before the first guest
        async with self._turnstile.place(line, PATIENCE):
            began.set()
            sending = asyncio.get_running_loop().run_in_executor(
                self._senders, self.house.send, guest, letter, recipients, mail_id
            )
            return await sending


def _seen(task: "asyncio.Task[Reply]") -> None:
    """Nobody waits for it any more: what it raised is told here."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a mail whose guest is gone failed", kind=type(error).__name__)


class _Gate(asyncio.Protocol):
    """A connection before TLS: nothing is read from it but the handshake."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream
        transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._door.admit(transport))


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What the door's TLS is made of. Raises BadCertificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise BadCertificate(
            f"DOOR_CERT, DOOR_KEY: {certificate} and {key} are no certificate with its key ({error.strerror})."
        ) from None
    return made


def _written(*files: Path) -> tuple[int, ...]:
    """When they were written; 0 for one that is being replaced."""
    times = []
    for file in files:
        try:
            times.append(file.stat().st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)
