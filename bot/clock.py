"""Where time comes from. Every decision gets it as a parameter, so that tests and the playground can move it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
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


class SharedClock:
    """The machine's time, moved for all processes at once: how many seconds it is ahead stands in a file.

    For the playground. It goes forward only: what is promised for tomorrow stands in the database already.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        """The present moment, in UTC, moved."""
        return datetime.now(UTC) + self._ahead()

    def move(self, by: timedelta) -> None:
        """Let time pass at once, in every process. Raises ValueError for a step back, OSError."""
        if by < timedelta():
            raise ValueError("Time goes forward only.")
        ahead = self._ahead() + by
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._file.with_name(f"{self._file.name}.new")
        new.write_text(f"{ahead.total_seconds()}\n", encoding="ascii")
        os.replace(new, self._file)  # noqa: PTH105 - nobody may read half a number

    def _ahead(self) -> timedelta:
        try:
            return timedelta(seconds=float(self._file.read_text(encoding="ascii")))
        except (FileNotFoundError, ValueError, OverflowError):
            return timedelta()
