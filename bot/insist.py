"""Writing down what nobody else knows."""

import time
from collections.abc import Callable
from typing import TypeVar

from bot.store.engine import DatabaseDown

INSIST = 30.0  # seconds that the answer of somebody else's server waits for our database
_T = TypeVar("_T")


def insist(write: Callable[[], _T], seconds: float = INSIST) -> _T:
    """Write as soon as PostgreSQL answers again. Raises DatabaseDown when it did not for so long."""
    until = time.monotonic() + seconds
    while True:
        try:
            return write()
        except DatabaseDown:
            if time.monotonic() > until:
                raise
            time.sleep(seconds / 100)
