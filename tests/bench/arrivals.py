"""A day of a busy installation, simulated: when people write, and how long what they write waits for a free place.

Places are web processes (a turn needs one for its CPU) or places of the lane *speak* (an answer needs one for as long
as the provider takes). Whoever comes first is served first; each takes as long as chance says, exponentially. What the
simulation leaves out: that turns of one conversation wait for one another, and that what is answered late is called
back late, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapreplace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Times = NDArray[np.float64]

DAY, HOUR = 86_400, 3_600
# How many of a day's conversations begin in each hour of one time zone: an office's day, assumed.
CURVE = (1, 1, 1, 1, 1, 2, 8, 30, 80, 110, 115, 105, 75, 80, 105, 105, 95, 75, 45, 30, 20, 12, 6, 3)
AT_ONCE = 500_000  # jobs that are turned into Python's numbers at a time


@dataclass(frozen=True, slots=True)
class Day:
    """How people write. `bursts`: so often a day `burst` people more begin within `spread` seconds.

    That is an agency that invites all its people at once, or everybody after an outage. `pause`: seconds from one
    message to the next. `callbacks`: seconds after a message at which it is told what became of its answer.
    """

    conversations: int
    messages: int
    bursts: int = 20
    burst: int = 2_000
    spread: float = 120.0
    pause: float = 40.0
    callbacks: tuple[float, ...] = (1.0, 3.0, 30.0)

    def written(self, chance: np.random.Generator) -> Times:
        """When messages come in, in seconds of the day, in order."""
        shares = np.array(CURVE) / sum(CURVE)
        hours = chance.choice(len(CURVE), self.conversations - self.bursts * self.burst, p=shares)
        calm = (hours + chance.random(hours.size)) * HOUR
        begin = chance.choice(len(CURVE), self.bursts, p=shares) * HOUR + chance.random(self.bursts) * HOUR
        sudden = np.repeat(begin, self.burst) + chance.random(self.bursts * self.burst) * self.spread
        starts = np.concatenate([calm, sudden])
        pauses = chance.exponential(self.pause, (starts.size, self.messages))
        pauses[:, 0] = 0
        return np.sort((starts[:, None] + np.cumsum(pauses, axis=1)).ravel())

    def told(self, written: Times) -> Times:
        """When it is told what became of the answers, not in order."""
        return np.concatenate([written + later for later in self.callbacks])


def waits(arrivals: Times, services: Times, places: int) -> Times:
    """Seconds that each job waits for one of so many places; jobs stand in the order of their arrival."""
    free = [0.0] * places  # a heap: when each place is free again
    waited = np.empty(arrivals.size)
    for start in range(0, arrivals.size, AT_ONCE):
        some = slice(start, start + AT_ONCE)
        waited[some] = _served(free, arrivals[some].tolist(), services[some].tolist())
    return waited


def _served(free: list[float], arrivals: Sequence[float], services: Sequence[float]) -> list[float]:
    waited = []
    for arrival, service in zip(arrivals, services, strict=True):
        begin = max(arrival, free[0])
        heapreplace(free, begin + service)
        waited.append(begin - arrival)
    return waited


def busiest(arrivals: Times, seconds: int = 60) -> float:
    """The most that arrive in a second, on the average of so many seconds."""
    return float(np.bincount((arrivals // seconds).astype(int)).max() / seconds)


@dataclass(frozen=True, slots=True)
class Served:
    """What so many places come to: waits in seconds, of all, and of the worst hour (by its 99 percent)."""

    places: int
    p50: float
    p99: float
    worst: float


def served(arrivals: Times, services: Times, places: int) -> Served:
    """What a number of places comes to."""
    waited = waits(arrivals, services, places)
    edges = np.searchsorted(arrivals, np.arange(0, arrivals[-1] + HOUR, HOUR))
    hours = [waited[begin:end] for begin, end in zip(edges, [*edges[1:], waited.size], strict=True) if end > begin]
    return Served(
        places,
        float(np.quantile(waited, 0.5)),
        float(np.quantile(waited, 0.99)),
        max(float(np.quantile(hour, 0.99)) for hour in hours),
    )


def fewest(arrivals: Times, services: Times, longest: float) -> Served:
    """The fewest places with which 99 of 100 wait at most `longest` seconds, in each hour; found by halving."""
    few, many = 0, 1
    best = served(arrivals, services, many)
    while best.worst > longest:
        few, many = many, 2 * many
        best = served(arrivals, services, many)
    while many - few > 1:
        tried = served(arrivals, services, (few + many) // 2)
        if tried.worst > longest:
            few = tried.places
        else:
            many, best = tried.places, tried
    return best
