"""Whose mail leaves next: places are bounded in all, for each server, and for each mailbox.

Mailboxes that wait are served in turn, so that one with a hundred mails delays another by one; and a server that hangs
holds only its own places. Lives in one event loop, and is for that loop's thread alone.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

PLACES = 128  # in all: as many threads
PER_HOST = 32
WAITING = 2_000  # mails in all, and of one mailbox
WAITING_OF_ONE = 50
MINUTE = 60.0


class Full(Exception):
    """Too many wait already, or no place came free in time."""


@dataclass(frozen=True, slots=True)
class Line:
    """In whose name one waits: a mailbox, its server, how many at once, how many a minute (0: any)."""

    mailbox: str
    host: str
    parallel: int
    a_minute: int = 0


@dataclass(eq=False, slots=True)
class _Waiter:
    line: Line
    admitted: asyncio.Future[None]
    entered: bool = False


class Turnstile:
    """Lets mails through; see the head of the module."""

    def __init__(
        self, clock: Callable[[], float] | None = None, *, places: int = PLACES, per_host: int = PER_HOST
    ) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._places = places
        self._per_host = per_host
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._inside = 0
        self._hosts: Counter[str] = Counter()
        self._mailboxes: Counter[str] = Counter()
        self._lately: dict[str, deque[float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def inside(self) -> int:
        """How many are let through now."""
        return self._inside

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def place(self, line: Line, patience: float) -> AsyncIterator[None]:
        """A place, waited for at most `patience` seconds. Raises Full."""
        await self._enter(line, patience)
        try:
            yield
        finally:
            self._leave(line)

    async def _enter(self, line: Line, patience: float) -> None:
        mine = self._queues.get(line.mailbox, ())
        if len(mine) >= WAITING_OF_ONE or self.waiting >= WAITING:
            raise Full
        waiter = _Waiter(line, asyncio.get_running_loop().create_future())
        self._queues.setdefault(line.mailbox, deque()).append(waiter)
        self._admit()
        try:
            async with asyncio.timeout(patience):
                await waiter.admitted
        except BaseException as error:
            self._give_up(waiter)
            if isinstance(error, TimeoutError):
                raise Full from None
            raise

    def _give_up(self, waiter: _Waiter) -> None:
        if waiter.entered:
            self._leave(waiter.line)
            return
        queue = self._queues.get(waiter.line.mailbox, deque())
        with suppress(ValueError):  # it was passed over already
            queue.remove(waiter)
        if not queue:
            self._queues.pop(waiter.line.mailbox, None)

    def _leave(self, line: Line) -> None:
        self._inside -= 1
        for counter, key in ((self._hosts, line.host), (self._mailboxes, line.mailbox)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        self._admit()

    def _admit(self) -> None:
        """Let in whoever may, one of each mailbox in turn, until nobody may."""
        soonest: float | None = None
        moved = True
        while moved and self._inside < self._places:
            moved, soonest = False, None
            for mailbox in list(self._queues):
                line = self._queues[mailbox][0].line
                if self._is_full(line):
                    continue
                rest = self._pause(line)
                if rest > 0:
                    soonest = min(soonest or rest, rest)
                    continue
                self._let_in(mailbox)
                moved = True
        self._again(soonest)

    def _is_full(self, line: Line) -> bool:
        mine, theirs = self._mailboxes[line.mailbox], self._hosts[line.host]
        return self._inside >= self._places or theirs >= self._per_host or mine >= line.parallel

    def _let_in(self, mailbox: str) -> None:
        queue = self._queues[mailbox]
        waiter = queue.popleft()
        if queue:
            self._queues.move_to_end(mailbox)
        else:
            del self._queues[mailbox]
        if waiter.admitted.done():  # it gave up a moment ago
            return
        waiter.entered = True
        self._inside += 1
        self._hosts[waiter.line.host] += 1
        self._mailboxes[mailbox] += 1
        if waiter.line.a_minute:
            self._lately.setdefault(mailbox, deque()).append(self._clock())
        waiter.admitted.set_result(None)

    def _pause(self, line: Line) -> float:
        """Seconds until this mailbox's next mail is within what its server takes in a minute."""
        lately = self._lately.get(line.mailbox)
        if not line.a_minute or lately is None:
            return 0.0
        now = self._clock()
        while lately and now - lately[0] >= MINUTE:
            lately.popleft()
        if not lately:
            del self._lately[line.mailbox]
        return MINUTE - (now - lately[0]) if len(lately) >= line.a_minute else 0.0

    def _again(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._admit)
