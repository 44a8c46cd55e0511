"""Whether more comes in than can be answered soon: then people are asked for a moment, and nothing is dropped.

A thread of each web process looks every few seconds, so a turn pays nothing for it.
"""

import threading
from datetime import datetime, timedelta

import structlog

from bot.clock import Clock
from bot.store import promises
from bot.store.engine import DatabaseDown, Engine, reading

LATE = timedelta(seconds=15)  # for so long people wait before they wonder
LOOK = 5.0  # seconds between two looks
_log = structlog.get_logger(__name__)


class Pressure:
    """How late answers are, as it was seen last."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._stopping = threading.Event()
        self.late = False

    def watch(self) -> None:
        """Look from now on, in a thread of its own, until `stop`."""
        threading.Thread(target=self._run, name="pressure", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def look(self) -> None:
        """See how long what is to be said has waited. Raises DatabaseDown."""
        now = self._clock.now()
        with reading(self._engine) as db:
            oldest = promises.oldest_due(db, "speak", now)
        self._note(now, oldest)

    def _note(self, now: datetime, oldest: datetime | None) -> None:
        late = oldest is not None and now - oldest > LATE
        if late != self.late:
            _log.warning("answers come late" if late else "answers are in time again", since=str(oldest or ""))
        self.late = late

    def _run(self) -> None:
        while not self._stopping.wait(LOOK):
            try:
                self.look()
            except DatabaseDown:  # whoever has a turn says so
                _log.info("how late answers are is not known: the database does not answer")
