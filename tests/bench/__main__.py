"""`make bench`: measure ours against the floor, print the table, write `var/bench.json`. Status 1: a row does not hold.

`--quick` tries the first three rows with too few rounds for their numbers to mean anything, and never fails for them.
`--large` (`make bench-large`) measures nothing but what very many conversations cost, ten times as many as else.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import answers, door, figures, guide, hanging, many, restart, size, slack, turn, wakes
from tests.bench.figures import Row
from tests.bench.site import ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

LONGEST = 20 * 60  # seconds; then something hangs
LARGE_LONGEST = 60 * 60  # the same: making the rows takes most of it
QUICK = 50  # people who talk


def main() -> int:
    """Measure, print, write."""
    options = _options()
    _end_in_time(LARGE_LONGEST if options.large else LONGEST)
    with Site(people=QUICK) if options.quick or options.large else Site() as site:
        rows = []
        for row in _measured(site, options):
            rows.append(row)
            _say(f"{row.name}: {row.cells()[1]}")
    figures.write(rows, options.file)
    _say(f"\n{_where()}\n\n{figures.table(rows)}")
    return 0 if options.quick or all(row.holds for row in rows) else 1


# What is measured, in this order; each part may be asked for alone.
PARTS: dict[str, Callable[[Site], Iterable[Row]]] = {
    "turn": lambda site: turn.rows(site, rounds=15, turns=250),
    "slack": lambda site: slack.rows(site, rounds=15, turns=250),
    "answers": lambda site: answers.rows(site, rounds=5, messages=150, bursts=8),
    "many": lambda site: many.rows(site, many=100_000, rounds=15, turns=250, answers=100),
    "hanging": lambda site: (*hanging.latency(site, rounds=5), *hanging.memory(site, rounds=2)),
    "door": lambda site: door.rows(site.ours.database_url, site.home, 3, site.ours.environment["SECRET_KEYS"]),
    "wakes": lambda site: wakes.rows(site, rounds=3, seconds=4),
    "restart": lambda site: restart.rows(site, rounds=3),
    "guide": lambda _site: guide.rows(methods=True),
    "size": lambda site: size.rows(site, rounds=3),
}


def _measured(site: Site, options: argparse.Namespace) -> Iterable[Row]:
    if options.quick or options.large:
        return _quick(site) if options.quick else _large(site)
    return chain.from_iterable(PARTS[name](site) for name in options.only)


def _quick(site: Site) -> Iterator[Row]:
    yield from turn.rows(site, rounds=1, turns=QUICK // 2)
    yield from answers.rows(site, rounds=1, messages=10, bursts=1)


def _large(site: Site) -> Iterator[Row]:
    yield from many.rows(site, many=1_000_000, rounds=15, turns=250, answers=100, bound=None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only try whether the first rows can be measured")
    parser.add_argument("--large", action="store_true", help="only what a million conversations cost")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    parser.add_argument("--file", type=Path, default=ROOT / "var" / "bench.json", help="where the rows are written")
    return parser.parse_args()


def _end_in_time(longest: int) -> None:
    """Every way to be ended goes through the context managers, which end our processes."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(f"ended by {signal.Signals(number).name}")

    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, end)
    signal.alarm(longest)


def _where() -> str:
    model = next((line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    load = " ".join(f"{part:.1f}" for part in os.getloadavg())
    python = sys.version.split()[0]
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} x {model}, load {load}, Python {python}"


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
