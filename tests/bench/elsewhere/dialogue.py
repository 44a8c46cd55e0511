"""The five-step dialogue that is held in each framework: address, server, port, security, "is that right?".

No network and no provider: a message goes in, what is said comes out, and the state is on the disk before the next one.
What a framework has no database for is kept by `Kept`: one row in SQLite, one commit a message, as durable as ours.
"""

from __future__ import annotations

import json
import sqlite3
import time
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

STEPS = (
    ("address", "ana@agency.example", "Which e-mail address is it?"),
    ("host", "mail.agency.example", "What is the server called?"),
    ("port", "465", "Which port does it use?"),
    ("security", "tls", "How is it secured: tls or starttls?"),
    ("sure", "yes", "Is all of that right?"),
)
DONE = "Saved."
PEOPLE, ROUNDS = 100, 5


class Kept:
    """Values by key in one table of a file."""

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("pragma synchronous = full")
        self._db.execute("create table kept (key text primary key, value text not null)")

    def get(self, key: str) -> Any:
        """What is kept, or None."""
        row = self._db.execute("select value from kept where key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key: str, value: Any) -> None:
        """Keep it, on the disk."""
        self._db.execute("insert or replace into kept values (?, ?)", (key, json.dumps(value)))


def messages() -> Iterator[tuple[int, str, str]]:
    """All of a round: who writes, what, and what is to be answered; everybody is at the same step."""
    asked = [question for _, _, question in STEPS]
    for said, answer in zip(["hello", *(answer for _, answer, _ in STEPS)], [*asked, DONE], strict=True):
        for person in range(PEOPLE):
            yield person, said, answer


async def measured(hear: Callable[[int, str], Awaitable[str]]) -> float:
    """Milliseconds a message, the median of the rounds. Raises ValueError for another answer than the dialogue's."""
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for person, said, expected in messages():
            answer = await hear(person, said)
            if answer != expected:
                raise ValueError(f"{said!r} was answered {answer!r}.")
        took.append(1000 * (time.perf_counter() - started) / (PEOPLE * (len(STEPS) + 1)))
    return median(took)
