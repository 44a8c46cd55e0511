"""What wakes the hands: claims what is due, lane by lane, performs it, and brings the result back as a turn.

Each lane has its own bounded number of threads, so that a mail server that hangs fills its own lane only. Threads are
daemons: the worker stops within `STOP_TIME` whatever they wait for, and what they held is done again when its lease
runs out.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot.agenda import Agenda
from bot.clock import Clock
from bot.dead_letters import bury_result, redacted_trace
from bot.handiwork import HOLD, LEASES, Again, Ended, Hand, Outcome, Tools, backoff
from bot.hands import HANDS
from bot.store import alarms, audit, housekeeping, months, promises, watches
from bot.store.engine import Connection, DatabaseDown, Engine, reading
from bot.store.promises import Promise
from bot.store.wake import Ear
from bot.turns import Turns

LOOK = 1.0  # seconds: a lost wake-up costs no more
GRACE = 5.0  # seconds after PostgreSQL was away in which nobody is taken for dead: who lives says so first
STOP_TIME = 15.0  # seconds for what is under way
MAX_TRIES = 5  # of a hand that raises
HOUSEKEEPING = timedelta(minutes=1)
LIFE = "worker"  # under this name it gives a sign of life with each housekeeping
_log = structlog.get_logger(__name__)


class Hearing(Protocol):
    """What tells a worker that something was promised."""

    def wait(self, seconds: float) -> frozenset[str]:
        """Until something is, at most so long: in which lanes, or nothing where that is not known."""

    def close(self) -> None:
        """Hang up."""


@dataclass
class _Held:
    """A promise that somebody here is at: ours until then, and `last` is the last that it may be."""

    promise: Promise
    until: datetime
    last: datetime


class Worker:
    """Performs promises until it is told to stop."""

    def __init__(
        self,
        tools: Tools,
        turns: Turns,
        lanes: Mapping[str, int],
        retention: timedelta,
        hands: Mapping[str, Hand] = HANDS,
        ear: Callable[[], Hearing] | None = None,
    ) -> None:
        self._tools = tools
        self._turns = turns
        self._engine: Engine = tools.engine
        self._clock: Clock = tools.clock
        self._retention = retention
        self._hands = hands
        self._ear = ear or (lambda: Ear(self._engine))
        self._places = dict(lanes)
        self._free = dict(lanes)
        self._agendas = {lane: Agenda(lane) for lane in lanes}
        self._held: dict[tuple[int, int], _Held] = {}  # by number and attempt
        self._lock = threading.Condition()
        self._stopping = threading.Event()
        self._looked = float("-inf")
        self._down = float("-inf")
        self._swept: datetime | None = None

    def run(self) -> None:
        """Work until `stop`; then let what is under way end, for a bounded time."""
        ear = self._ear()
        told: Collection[str] = ()
        while not self._stopping.is_set():
            try:
                self._look(told)
            except DatabaseDown as down:
                self._down = time.monotonic()
                _log.warning("the database does not answer", kind=type(down).__name__)
            except Exception as error:  # noqa: BLE001 - what is under way must not die of one bad look
                _log.error("a look for promises failed", where=redacted_trace(error))
            told = ear.wait(LOOK)
        ear.close()
        self._wait_for_the_busy()

    def stop(self) -> None:
        """Claim nothing more. May be called from a signal handler."""
        self._stopping.set()

    def _look(self, told: Collection[str]) -> None:
        """Start what is due in the lanes we were told of; untold, and once a second whatever we were told, in all."""
        whole = time.monotonic() - self._looked >= LOOK
        if whole:
            self._renew()
        if self._tools.slack is not None and (whole or not told or "work" in told):
            self._tools.slack.screens.renew_homes()
        self._start(self._places if whole or not told else told)
        if whole:  # behind the start: somebody waits for that
            self._looked = time.monotonic()
            self._take_stock()
            if time.monotonic() - self._down >= GRACE and self._sweep(self._clock.now()):
                self._start(self._places)

    def _renew(self) -> None:
        """What somebody here is at stays ours. It lasts long: most end before there is anything to renew."""
        now = self._clock.now()
        with self._lock:
            old = [one for one in self._held.values() if one.until - now < HOLD * 2 / 3 and now < one.last]
        if old:
            for one in old:
                one.until = min(now + HOLD, one.last)
            with self._engine.begin() as db:
                promises.renew(db, [(one.promise, one.until) for one in old])

    def _start(self, lanes: Collection[str]) -> None:
        for lane, free in dict(self._free).items():
            for promise in self._claim(lane, free if lane in lanes else 0):
                with self._lock:
                    self._free[lane] -= 1
                threading.Thread(target=self._work, args=(promise,), daemon=True, name=lane).start()

    def _take_stock(self) -> None:
        """In lanes that have more to do than places: whose turn it is."""
        for lane, free in dict(self._free).items():
            if free < 1:
                with reading(self._engine) as db:
                    self._agendas[lane].take_stock(db, self._clock.now())

    def _sweep(self, now: datetime) -> int:
        """Tidy up; how many promises were taken back from the dead."""
        with self._engine.begin() as db:
            taken_back = promises.take_back(db, now)
        if taken_back:
            _log.warning("promises taken back from the dead", count=taken_back)
        if self._swept is None or now - self._swept >= HOUSEKEEPING:
            with self._engine.begin() as db:
                alarms.alive(db, LIFE, now)
            with self._engine.begin() as db:
                more = housekeeping.sweep(db, now, self._retention)
            self._swept = None if more else now  # what is left is erased at the next look, a second from now
            months.tend(self._engine, now, now - self._retention)
            with self._engine.begin() as db:
                watches.promise_tests(db, now)
            self._seal_the_record(now)
            if self._tools.desk is not None:
                with self._engine.begin() as db:
                    self._tools.desk.casework.tend(db, now)
        return taken_back

    def _seal_the_record(self, now: datetime) -> None:
        """The digests stand in the log too: whoever can change the database cannot change what was written there."""
        with self._engine.begin() as db:
            for one in audit.seal_days(db, now):
                _log.info("audit sealed", day=one.day.isoformat(), entries=one.entries, digest=one.digest)

    def _claim(self, lane: str, most: int) -> list[Promise]:
        """Claim up to so many promises of a lane."""
        if most < 1 or self._stopping.is_set():
            return []
        now = self._clock.now()
        with reading(self._engine) as db:  # one statement is a transaction by itself
            return self._agendas[lane].claim(db, most, now, now + HOLD)

    def _work(self, promise: Promise) -> None:
        """Perform a promise; then, in the same place, whatever is next in this lane."""
        following: Promise | None = promise
        try:
            while following is not None:
                self._keep(following)
                following = self._next(promise.lane)
        finally:
            with self._lock:
                self._free[promise.lane] += 1
                self._lock.notify_all()

    def _next(self, lane: str) -> Promise | None:
        try:
            return next(iter(self._claim(lane, 1)), None)
        except DatabaseDown:
            return None  # the look once a second finds it

    def _keep(self, promise: Promise) -> None:
        """Perform a promise and write down how it ended; every line of the log meanwhile names it and its talk."""
        ids = {"promise": promise.id, "conversation": str(promise.conversation_id or "")}
        with structlog.contextvars.bound_contextvars(**ids):
            self._kept(promise)

    def _kept(self, promise: Promise) -> None:
        started = time.monotonic()
        with self._holding(promise):
            outcome = self._perform(promise)
            self._insist(lambda: self._finish(promise, outcome), LEASES[promise.lane])
        _log.info(
            "promise",
            kind=promise.kind,
            attempt=promise.attempt,
            outcome=outcome.state if isinstance(outcome, Ended) else "again",
            seconds=round(time.monotonic() - started, 3),
        )

    @contextmanager
    def _holding(self, promise: Promise) -> Iterator[None]:
        claim = (promise.id, promise.attempt)
        last = promise.leased_until - HOLD + LEASES[promise.lane]
        with self._lock:
            self._held[claim] = _Held(promise, promise.leased_until, last)
        try:
            yield
        finally:
            with self._lock:
                del self._held[claim]

    def _perform(self, promise: Promise) -> Outcome:
        try:
            return self._hands[promise.kind](self._tools, promise)
        except Exception as error:  # noqa: BLE001 - a hand that raises is tried again, then a person is told
            where = redacted_trace(error)
            _log.error("hand failed", kind=promise.kind, where=where)
            if promise.attempt < MAX_TRIES or isinstance(error, DatabaseDown) or promise.kind in promises.LASTING:
                return Again(backoff(promise.attempt), where)
            return Ended("failed", words=where)

    def _finish(self, promise: Promise, outcome: Outcome) -> None:
        """End the promise and apply its event in one transaction; a result that comes too late counts for nothing."""
        now = self._clock.now()
        try:
            with self._engine.begin() as db:
                if isinstance(outcome, Again):
                    if promises.put_off(db, promise, now + timedelta(seconds=outcome.seconds), outcome.words):
                        outcome.along(db)
                elif promises.finish(db, promise, outcome.state, outcome.words, outcome.provider_id):
                    self._after(db, promise, outcome)
        except DatabaseDown:
            raise
        except Exception as error:  # noqa: BLE001 - the step raised: the promise ends all the same
            self._bury(promise, outcome, error)

    def _after(self, db: Connection, promise: Promise, outcome: Ended) -> None:
        if not outcome.along(db):
            return
        if outcome.provider_id and promise.lane == "speak":
            housekeeping.said(db, promise.id, outcome.provider_id)
        if outcome.event is not None and promise.conversation_id is not None:
            self._turns.result(db, promise.conversation_id, outcome.event, promise.ticket)
        elif outcome.state == "failed" and promise.lane != "speak":
            bury_result(db, promise, None, outcome.words, self._clock.now())

    def _bury(self, promise: Promise, outcome: Outcome, error: Exception) -> None:
        event = outcome.event if isinstance(outcome, Ended) else None
        where = redacted_trace(error)
        with self._engine.begin() as db:
            if promises.finish(db, promise, "failed", where):
                outcome.along(db)
                bury_result(db, promise, event, where, self._clock.now())

    def _insist(self, write: Callable[[], None], lease: timedelta) -> None:
        """Write as soon as PostgreSQL answers again; when the lease is over anyway, somebody else does it anew."""
        until = time.monotonic() + lease.total_seconds()
        while True:
            try:
                write()
            except DatabaseDown:
                if time.monotonic() > until:
                    return
                time.sleep(LOOK)
            else:
                return

    def _wait_for_the_busy(self) -> None:
        until = time.monotonic() + STOP_TIME
        with self._lock:
            while self._free != self._places and (left := until - time.monotonic()) > 0:
                self._lock.wait(left)
