"""`make bench`: measure ours against the floor, print the table, write `var/bench.json`. Status 1: a row does not hold.

`--quick` tries the first three rows with too few rounds for their numbers to mean anything, and never fails for them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import answers, door, figures, guide, hanging, restart, size, turn, wakes
from tests.bench.site import ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.bench.figures import Row

LONGEST = 15 * 60  # seconds; then something hangs
QUICK = 50  # people who talk


def main() -> int:
    """Measure, print, write."""
    options = _options()
    _end_in_time()
    with Site(people=QUICK) if options.quick else Site() as site:
        rows = []
        for row in _quick(site) if options.quick else _full(site):
            rows.append(row)
            _say(f"{row.name}: {row.cells()[1]}")
    figures.write(rows, options.file)
    _say(f"\n{_where()}\n\n{figures.table(rows)}")
    return 0 if options.quick or all(row.holds for row in rows) else 1


def _full(site: Site) -> Iterator[Row]:
    yield from turn.rows(site, rounds=15, turns=250)
    yield from answers.rows(site, rounds=5, messages=150, bursts=8)
    yield from hanging.latency(site, rounds=5)
    yield from hanging.memory(site, rounds=2)
    yield from door.rows(site.ours.database_url, site.home, 3, site.ours.environment["SECRET_KEYS"])
    yield from wakes.rows(site, rounds=3, seconds=4)
    yield from restart.rows(site, rounds=3)
    yield from guide.rows(methods=True)
    yield from size.rows(site, rounds=3)


def _quick(site: Site) -> Iterator[Row]:
    yield from turn.rows(site, rounds=1, turns=QUICK // 2)
    yield from answers.rows(site, rounds=1, messages=10, bursts=1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only try whether the first rows can be measured")
    parser.add_argument("--file", type=Path, default=ROOT / "var" / "bench.json", help="where the rows are written")
    return parser.parse_args()


def _end_in_time() -> None:
    """Every way to be ended goes through the context managers, which end our processes."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(f"ended by {signal.Signals(number).name}")

    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, end)
    signal.alarm(LONGEST)


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
