"""Hearing the wake-ups of PostgreSQL. They are hints: a connection that broke is made anew and nothing is lost."""

import time
from contextlib import suppress

import psycopg

from bot.store.engine import Engine
from bot.store.promises import WAKE

RECONNECT = 0.5  # seconds between two tries to reach PostgreSQL


class Ear:
    """One connection that listens. For a single thread."""

    def __init__(self, engine: Engine) -> None:
        url = engine.url.set(drivername="postgresql")
        self._address = url.render_as_string(hide_password=False)
        self._line: psycopg.Connection | None = None

    def wait(self, seconds: float) -> frozenset[str]:
        """Until something is promised, at most so long: in which lanes, or nothing where that is not known.

        Without a connection it waits a moment and comes back.
        """
        try:
            line = self._line or self._connect()
            heard = [one.payload.split() for one in line.notifies(timeout=seconds, stop_after=1)]
        except psycopg.Error:
            self.close()
            time.sleep(min(seconds, RECONNECT))
            return frozenset()
        return frozenset().union(*heard) if all(heard) else frozenset()

    def _connect(self) -> psycopg.Connection:
        self._line = psycopg.connect(self._address, autocommit=True, connect_timeout=5, application_name="ally ear")
        self._line.execute(f"listen {WAKE}")
        return self._line

    def close(self) -> None:
        """Hang up."""
        with suppress(psycopg.Error):
            if self._line is not None:
                self._line.close()
        self._line = None
