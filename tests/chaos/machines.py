"""Several machines: their processes vanish and come back together, and every wire of theirs can be cut.

A machine has an address of its own (127.0.0.2 ...). All that its processes reach elsewhere (PostgreSQL, the broker,
Twilio, the mail server), and all that reaches them, goes over a `Cable`, which passes bytes on: it needs no rights of
root. Where nothing passes, neither bytes nor the end of a connection are heard of beyond: a machine without power.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, StreamReader, StreamWriter
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

    from tests.chaos.installation import Child

CHUNK = 65_536
ALL = ("web", "worker", "door")
Place = tuple[str, int] | str  # an address and port, or the path of a socket


class Network:
    """Carries the bytes of all cables, in a thread of its own, while it is a context."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self.cables: list[Cable] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for cable in self.cables:
            cable.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cable(self) -> Cable:
        """One for another machine."""
        self.cables.append(Cable(self._loop))
        return self.cables[-1]


class Cable:
    """All wires of one machine. Its methods may be called from any thread but the network's."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._passable = asyncio.Event()
        self._passable.set()
        self._severed = False
        self._ends: set[StreamWriter] = set()
        self._servers: list[asyncio.Server] = []

    def lay(self, there: Place, address: str = "127.0.0.1", port: int = 0) -> int:
        """A wire that leads to this place, from an address and port; the port."""
        return self._run(self._lay(there, address, port))

    def sever(self) -> None:
        """Break all connections; new ones are refused."""
        self._do(self._sever)

    def hush(self) -> None:
        """Let nothing pass any more, and nobody be told."""
        self._do(self._passable.clear)

    def mend(self, *, forget: bool) -> None:
        """Let all pass again: what was held back, too, as TCP repeats it, or (`forget`) no connection of before."""
        self._do(partial(self._mend, forget=forget))

    def close(self) -> None:
        """Take it away."""
        self._do(self._close)

    # --- in the network's thread ---

    def _do(self, what: Callable[[], object]) -> None:
        async def done() -> None:
            what()

        self._run(done())

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _lay(self, there: Place, address: str, port: int) -> int:
        server = await asyncio.start_server(partial(self._joined, there), address, port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _sever(self) -> None:
        self._severed = True
        self._abort()

    def _mend(self, *, forget: bool) -> None:
        self._severed = False
        if forget:
            self._abort()
        self._passable.set()

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._abort()
        self._passable.set()

    def _abort(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _joined(self, there: Place, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, until either side ends it."""
        self._ends.add(writer)
        try:
            first = await self._held_back(reader, b"")
            if not (self._severed or writer.transport.is_closing()):
                await self._pass_on(first, reader, writer, *await _connected(there))
        except OSError:
            pass
        finally:
            writer.close()
            self._ends.discard(writer)

    async def _pass_on(
        self, first: bytes, reader: StreamReader, writer: StreamWriter, far_reader: StreamReader, far: StreamWriter
    ) -> None:
        self._ends.add(far)
        far.write(first)
        await asyncio.gather(self._carry(reader, far), self._carry(far_reader, writer))
        self._ends.discard(far)

    async def _carry(self, source: StreamReader, target: StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                target.write(data if self._passable.is_set() else await self._held_back(source, data))
                await target.drain()
        await self._passable.wait()  # that a connection ended is not heard of either
        target.close()

    async def _held_back(self, source: StreamReader, data: bytes) -> bytes:
        """All that is said until something passes again; nothing where its sender hung up: it is not repeated then."""
        while not self._passable.is_set():
            more, opened = asyncio.ensure_future(source.read(CHUNK)), asyncio.ensure_future(self._passable.wait())
            await asyncio.wait({more, opened}, return_when=asyncio.FIRST_COMPLETED)
            opened.cancel()
            if not more.done():
                more.cancel()
                await asyncio.wait({more})  # until then nobody else may read there
            elif said := more.result():
                data += said
            else:
                await self._passable.wait()
                return b""
        return data


async def _connected(there: Place) -> tuple[StreamReader, StreamWriter]:
    if isinstance(there, str):
        return await asyncio.open_unix_connection(there)
    return await asyncio.open_connection(*there)


@dataclass(frozen=True, slots=True)
class Absence:
    """Once that a machine was out of reach: since when, and the processes that it had."""

    machine: str
    at: float
    processes: frozenset[int]


@dataclass
class Machine:
    """One host. `settings`: the addresses of all the rest, as they are called there."""

    number: int
    cable: Cable | None = None
    settings: dict[str, str] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    is_away: bool = False
    is_cut: bool = False
    absences: list[Absence] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called."""
        return f"machine-{self.number}"

    @property
    def address(self) -> str:
        """Its own."""
        return f"127.0.0.{self.number + 2}"

    @property
    def is_there(self) -> bool:
        """Whether it runs and is reached."""
        return not (self.is_away or self.is_cut)

    @property
    def processes(self) -> frozenset[int]:
        """Those that it has now."""
        return frozenset(child.process.pid for child in self.children if child.process is not None)

    def vanish(self) -> None:
        """It loses its power: nobody hears a word of it, and its processes are gone."""
        assert self.cable is not None
        self.cable.hush()
        self._note_absence()
        self.is_away = True
        for child in self.children:
            child.kill()

    def drift_away(self, *, silently: bool) -> None:
        """Its wires are cut, its processes live on."""
        assert self.cable is not None
        self._note_absence()
        self.is_cut = True
        if silently:
            self.cable.hush()
        else:
            self.cable.sever()

    def come_back(self, *, forget: bool = True) -> None:
        """All is as before; its processes start anew where it had vanished."""
        if self.cable is not None and not self.is_there:
            self.cable.mend(forget=forget or self.is_away)
        self.is_away = self.is_cut = False

    def _note_absence(self) -> None:
        self.absences.append(Absence(self.name, time.time(), self.processes))


def kinds_at(number: int, machines: int) -> tuple[str, ...]:
    """What runs there: everything on one of two; of three or more each lacks one kind, the next machine another."""
    return ALL if machines < len(ALL) else tuple(kind for kind in ALL if kind != ALL[-1 - number % len(ALL)])


# --- who took over ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakeOver:
    """What a machine held when it went was claimed by another process, after so long."""

    machine: str
    promise: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A line of the journals: this process claimed a promise, or has brought its result."""

    process: int
    promise: int
    attempt: int
    at: float

    @classmethod
    def read(cls, line: str) -> Self:
        """From a line as `inside` writes it."""
        process, promise, attempt, at = line.split()
        return cls(int(process), int(promise), int(attempt), float(at))


def take_overs(absences: Iterable[Absence], claims: Iterable[Claim], ends: Iterable[Claim]) -> list[TakeOver]:
    """What a machine held when it went and another process claimed anew, and how long that took."""
    claimed: dict[int, dict[int, Claim]] = defaultdict(dict)
    for one in claims:
        claimed[one.promise][one.attempt] = one
    ended = {(one.promise, one.attempt): one.at for one in ends}
    return [found for absence in absences for found in _taken(absence, claimed, ended)]


def _taken(
    absence: Absence, claimed: Mapping[int, Mapping[int, Claim]], ended: Mapping[tuple[int, int], float]
) -> Iterator[TakeOver]:
    never = float("inf")
    for promise, by_attempt in claimed.items():
        for attempt, claim in by_attempt.items():
            if claim.process not in absence.processes or claim.at > absence.at:
                continue
            following = by_attempt.get(attempt + 1)
            if following and absence.at < following.at < ended.get((promise, attempt), never):
                yield TakeOver(absence.machine, promise, following.at - absence.at)
