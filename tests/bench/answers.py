"""Rows 2 and 3: how soon an answer leaves, and how soon three of one person do."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.figures import Row, quantile
from tests.bench.load import Line
from tests.bench.site import Side, Site
from tests.bench.turn import TEXT, both_webs

if TYPE_CHECKING:
    from collections.abc import Iterator

GAP = 0.03  # seconds between two people's messages: the machine is at rest again
ANSWER = 0.05  # seconds that the provider takes to answer
BURST = 3
WARM = 20
SLOWEST_ANSWER = 1.5
SLOWEST_THIRD = 1.3


def rows(site: Site, rounds: int, messages: int, bursts: int) -> list[Row]:
    """The figures of both rows: single messages in each round of each side, and bursts in each round."""
    with both_sides(site):
        _singles(site, WARM)
        singles = [_singles(site, messages) for _ in range(rounds)]
        site.stop("floor worker")
        third, first = zip(*(_bursts(site, bursts) for _ in range(rounds)), strict=True)
    ours, floor = zip(*singles, strict=True)
    return [
        *(
            Row(
                f"webhook in to request out, {name}",
                "ms",
                [quantile(one, part) for one in ours],
                [quantile(one, part) for one in floor],
                SLOWEST_ANSWER,
            )
            for name, part in (("p50", 0.50), ("p99", 0.99))
        ),
        Row("third of three messages at once", "ms", third, first, SLOWEST_THIRD),
    ]


@contextmanager
def both_sides(site: Site) -> Iterator[None]:
    """Web and worker of ours and of the floor."""
    with both_webs(site):
        site.start_ours("worker")
        site.start("floor worker", [sys.executable, "-m", "tests.bench.floors.speak"], site.floor.environment)
        yield
        site.stop("worker")


def _singles(site: Site, messages: int) -> tuple[list[float], list[float]]:
    """Milliseconds from each webhook to the request that answers it, of ours and the floor, one at a time in turn."""
    site.provider.forget()
    ours: list[float] = []
    floor: list[float] = []
    with Line(site.ours.base) as our_line, Line(site.floor.base) as its_line:
        for person, another in zip(site.people[:messages], site.people[messages:], strict=False):
            ours.append(1000 * answered(site, site.ours, our_line, person))
            time.sleep(GAP)
            floor.append(1000 * answered(site, site.floor, its_line, another))
            time.sleep(GAP)
    for side in (site.ours, site.floor):
        side.wait_until_kept()
        side.reset()
    return ours, floor


def answered(site: Site, side: Side, line: Line, person: str) -> float:
    """Seconds from this person's webhook to the request that answers it. Raises TimeoutError with what the logs say."""
    webhook = site.account.webhook(side.base, person, TEXT)
    sent = time.monotonic()
    line.send(webhook)
    try:
        arrived = site.provider.arrivals(person, 1)[-1]
    except TimeoutError as late:
        raise TimeoutError(f"{late} The webhook was answered {line.status()}; logs: {site.last_lines()}") from None
    line.status()
    return arrived - sent


def _bursts(site: Site, bursts: int) -> tuple[float, float]:
    """Milliseconds until the third of three messages is answered; and the least that it could take."""
    site.provider.forget()
    site.provider.answer_after = ANSWER
    side, firsts, thirds = site.ours, [], []
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(side.base)) for _ in range(BURST)]
        for number in range(bursts):
            alone, together = site.people[2 * number], site.people[2 * number + 1]
            firsts.append(1000 * answered(site, side, lines[0], alone))
            side.wait_until_kept()
            thirds.append(1000 * _burst(site, side, lines, together))
    site.provider.answer_after = 0.0
    side.reset()
    return median(thirds), median(firsts) + 1000 * ANSWER * (BURST - 1)


def _burst(site: Site, side: Side, lines: list[Line], person: str) -> float:
    """Seconds from the first of some messages sent at once to the last request that answers them."""
    webhooks = [site.account.webhook(side.base, person, TEXT) for _ in lines]
    sent = time.monotonic()
    for line, webhook in zip(lines, webhooks, strict=True):
        line.send(webhook)
    for line in lines:
        line.status()
    side.wait_until_kept()  # answers that wait for the same person may leave as one
    return site.provider.arrivals(person, 1)[-1] - sent
