"""Hearing the wake-ups of PostgreSQL. They are hints: a connection that broke is made anew and nothing is lost.

Or they go another way (`tell_by`), see `bot.broker`.
"""

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import event

from bot.store.engine import ALIVE, Engine
from bot.store.promises import TOLD, WAKE

RECONNECT = 0.5  # seconds between two tries to reach PostgreSQL


def tell_by(engine: Engine, tell: Callable[[Collection[str]], None]) -> None:
    """From now on wake-ups are told by this and not by PostgreSQL, each when its transaction has ended.

    Before the commit nobody could see what there is to do; a connection comes back to the pool after it. After a
    rollback it is told as well: a look too many.
    """

    def begin(_driver: Any, record: Any) -> None:
        record.info[TOLD] = set()

    def end(_driver: Any, record: Any) -> None:
        if told := record.info.get(TOLD):
            record.info[TOLD] = set()
            tell(told)

    event.listen(engine, "connect", begin)
    event.listen(engine, "checkin", end)


class Ear:
    """One connection that listens. For a single thread."""

    def __init__(self, engine: Engine) -> None:
        url = engine.url.set(drivername="postgresql")
        self._address = make_conninfo(url.render_as_string(hide_password=False), **ALIVE)
        self._line: psycopg.Connection | None = None

    def wait(self, seconds: float) -> frozenset[str]:
        """Until something is promised, at most so long: in which lanes, or nothing where that is not known.

        Who only begins to listen is back at once: what was promised since the last look was told to nobody. Without a
        connection it waits a moment and comes back.
        """
        try:
            if self._line is None:
                self._line = self._connect()
                return frozenset()
            heard = [one.payload.split() for one in self._line.notifies(timeout=seconds, stop_after=1)]
        except psycopg.Error:
            self.close()
            time.sleep(min(seconds, RECONNECT))
            return frozenset()
        return frozenset().union(*heard) if all(heard) else frozenset()

    def _connect(self) -> psycopg.Connection:
        line = psycopg.connect(self._address, autocommit=True, connect_timeout=5, application_name="ally ear")
        line.execute(f"listen {WAKE}")
        return line

    def close(self) -> None:
        """Hang up."""
        with suppress(psycopg.Error):
            if self._line is not None:
                self._line.close()
        self._line = None
