"""Where time comes from. Every decision gets it as a parameter, so that tests and the playground can move it."""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)


class MovableClock:
    """The machine's time, moved by what a test or a play asks for; it may begin at a given moment."""

    def __init__(self, start: datetime | None = None) -> None:
        self._ahead = start - datetime.now(UTC) if start else timedelta()

    def now(self) -> datetime:
        """The present moment, in UTC, moved."""
        return datetime.now(UTC) + self._ahead

    def move(self, by: timedelta) -> None:
        """Let time pass at once."""
        self._ahead += by
