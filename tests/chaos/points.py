"""The named points at which a process dies: before and after each commit of the main story, and what the door hears.

A point is named by the function below which that happens, as the file's stem and the function's name. The process that
is started with `VARIABLE` dies at its n-th commit there (`tests.chaos.inside`).
"""

from __future__ import annotations

import os
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

VARIABLE = "CHAOS_POINT"
Kind = Literal["web", "worker", "door"]
When = Literal["before", "after"]

# By kind of process: the functions that commit (two of the door's only hear something), and the highest n at which it
# dies there.
POINTS: Mapping[Kind, Mapping[str, int]] = {
    "web": {
        "turns._received": 6,  # one message, one turn
        "pages.whatsapp_status": 6,  # what became of a message of ours
        "pages.few_looks": 1,  # the one-time page, looked at
        "links.submit": 1,  # the one-time page, filled in
    },
    "worker": {
        "worker._sweep": 6,  # promises of the dead
        "worker._claim": 12,
        "worker._finish": 6,
        "app.put": 1,  # the resource for buttons at Twilio
        "handiwork.armed": 2,  # the address of a one-time link
        "hands.try_login": 1,  # the live test is counted
        "hands._note_handing": 2,  # before the final dot
        "proofs._note_handing": 1,  # the same of the mail to oneself
        "hands._note_accepted": 2,  # after the final reply
    },
    "door": {
        "door_desk.sign_in": 2,  # somebody has the right key
        "door_desk.letter": 2,  # all of a mail has come in: no commit, it is read
        "door_desk._note_handing": 3,  # before its last byte leaves
        "smtp.hand_over": 3,  # that byte has left: no commit, its server's answer is heard
        "door_desk._note_accepted": 3,  # the server took it; after this our own reply is said
        "door_desk._kept_refused": 1,  # the server refused it
        "door_desk._unknown_now": 1,  # the server said nothing
    },
}


@dataclass(frozen=True, slots=True)
class Point:
    """One of them: `when`, the function that commits, and at which of its commits."""

    when: When
    function: str
    number: int

    def __str__(self) -> str:
        return f"{self.when} {self.function} {self.number}"

    @classmethod
    def of_environment(cls) -> Self | None:
        """The point at which this process has to die, if any."""
        words = os.environ.get(VARIABLE, "").split()
        return cls("after" if words[0] == "after" else "before", words[1], int(words[2])) if words else None


class Plans:
    """Which process dies where: in an order by chance, first those at which none has died yet."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._queues = {kind: self._shuffled(kind) for kind in POINTS}

    def next(self, kind: Kind, reached: Collection[str]) -> Point:
        """The point for a process that starts now; `reached`: the names of those at which one has died."""
        queue = self._queues[kind]
        when, function = min(queue, key=lambda point: " ".join(point) in reached)  # the first of the best
        queue.remove((when, function))
        queue.append((when, function))
        return Point(when, function, self._chance.randint(1, POINTS[kind][function]))

    def _shuffled(self, kind: Kind) -> deque[tuple[When, str]]:
        whens: tuple[When, ...] = ("before", "after")
        every = [(when, function) for function in POINTS[kind] for when in whens]
        self._chance.shuffle(every)
        return deque(every)


def all_names() -> set[str]:
    """Every point, whatever its number."""
    return {
        f"{when} {function}" for functions in POINTS.values() for function in functions for when in ("before", "after")
    }
