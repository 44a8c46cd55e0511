"""Calling something a little later, all from one thread: a test that hangs costs no second thread."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable

import structlog

LAST_CALL = 5.0  # seconds that one may still take when all are stopped
_log = structlog.get_logger(__name__)


class Timers:
    """Calls functions after a time. They must be short: they share one thread."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._stopped = False
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True, name="timers")

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call after so many seconds; the answer cancels it."""
        with self._changed:
            if self._stopped:
                return lambda: None
            if self._thread.ident is None:  # on first use: not every process has something to wait for
                self._thread.start()
            number = next(self._numbers)
            heapq.heappush(self._due, (time.monotonic() + seconds, number, call))
            self._changed.notify()
        return lambda: self._cancel(number)

    def stop(self) -> None:
        """Nothing is called any more, once this has returned; what is being called may end first."""
        with self._changed:
            self._stopped = True
            self._due.clear()
            self._changed.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(LAST_CALL)

    def _cancel(self, number: int) -> None:
        with self._changed:
            if any(waiting == number for _, waiting, _ in self._due):
                self._cancelled.add(number)

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001 - one timer that fails stops no other
                _log.exception("a timer failed")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    _, number, call = heapq.heappop(self._due)
                    if number not in self._cancelled:
                        return call
                    self._cancelled.discard(number)
                else:
                    self._changed.wait(self._due[0][0] - now if self._due else None)
        return None
