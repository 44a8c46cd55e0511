"""What so many active conversations a day need, and where the walls are: the tables of docs/scale.md.

`python -m tests.bench.needs` computes them from what one message was measured to cost (`tests.bench.spent`) and from a
day that is simulated (`tests.bench.arrivals`). Every assumption is an option; prices are examples that whoever reads
this replaces by their own.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from bot.app import WEB_POOL
from tests.bench.arrivals import DAY, Day, Served, busiest, fewest
from tests.bench.spent import FILE, STATUSES, Spent

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 13
MONTH = 30  # days
POOL = 2 * WEB_POOL  # connections that a web process has at most; a worker has one more, which listens
A_PROCESS = 8  # places of the lane *speak* in one worker, by default


def _assumed(value: float, words: str) -> float:
    made: float = field(default=value, metadata={"words": words})
    return made


@dataclass(frozen=True, slots=True)
class Assumed:
    """What was not measured."""

    conversations: int = _assumed(1_000_000, "active conversations a day")
    messages: int = _assumed(5, "messages that a person writes in one, each with one answer")
    provider: float = _assumed(0.2, "seconds that Twilio takes for a request")
    web_wait: float = _assumed(0.1, "seconds that 99 of 100 webhooks may wait for a process, in each hour")
    speak_wait: float = _assumed(1.0, "seconds that 99 of 100 answers may wait for a place, in each hour")
    planned: float = _assumed(0.6, "share of a processor that is planned with, in the busiest minute")
    days: int = _assumed(90, "days for which the transcript is kept (RETENTION_DAYS)")
    week: int = _assumed(7, "days for which promises and the ids of messages are kept")
    sender: float = _assumed(80, "messages a second of one WhatsApp sender, as Twilio says")
    commits: float = _assumed(4317, "commits a second of PostgreSQL, as the bench shows for this disk")
    notified: float = _assumed(880, "the same where each notifies")
    connections: int = _assumed(200, "connections of PostgreSQL")
    message_price: float = _assumed(0.005, "price of a message in or out: an example, see your contract")
    core_price: float = _assumed(20, "price of a processor for a month: an example")
    gigabyte_price: float = _assumed(0.1, "price of a gigabyte for a month: an example")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a day comes to."""

    peak: float  # messages a second in the busiest minute
    web: Served
    speak: Served


def simulated(assumed: Assumed, spent: Spent) -> Needs:
    """One day, always the same one."""
    chance = np.random.default_rng(SEED)
    day = Day(assumed.conversations, assumed.messages)
    written = day.written(chance)
    told = day.told(written)
    when = np.concatenate([written, told])
    taking = np.concatenate([np.full(written.size, spent.turn_cpu), np.full(told.size, spent.callback_cpu)]) / 1000
    order = np.argsort(when)
    services = taking[order] * chance.exponential(1.0, when.size)
    web = fewest(when[order], services, assumed.web_wait)
    speak = fewest(written, chance.exponential(assumed.provider, written.size), assumed.speak_wait)
    return Needs(busiest(written), web, speak)


def needed(assumed: Assumed, spent: Spent, needs: Needs) -> Iterator[tuple[str, str]]:
    """The table of what is needed: name and value."""
    turns = assumed.conversations * assumed.messages
    web, workers = _processes(assumed, spent, needs)
    postgres = _cores(spent.postgres_cpu, assumed, needs)
    kept = _kept(assumed, spent, turns) / 1e9
    wal = spent.wal * turns / 1e9
    cores = web + _cores(spent.worker_cpu, assumed, needs) + postgres
    yield "messages a day, in and out", f"{2 * turns:,}"
    yield "messages in a second, mean and busiest minute", f"{turns / DAY:.0f}, {needs.peak:.0f}"
    yield "requests to web in a second, busiest minute", f"{needs.peak * (1 + len(STATUSES)):,.0f}"
    yield "transactions of one message, its answer and callbacks", f"{spent.commits:.1f}"
    commits = f"{spent.commits * turns / DAY:,.0f}, {spent.commits * needs.peak:,.0f}"
    yield "transactions a second, mean and busiest minute", commits
    yield "web processes: by the simulation, by planned CPU", f"{needs.web.places}, {web}"
    yield "wait for web, p50 and p99 of the day, p99 of the worst hour", _waits(needs.web)
    yield "places of the lane *speak*, by the simulation", f"{needs.speak.places}"
    yield "wait for a place, p50 and p99 of the day, p99 of the worst hour", _waits(needs.speak)
    yield f"workers (of {A_PROCESS} places)", f"{workers}"
    yield "processors for web, workers, PostgreSQL", f"{web}, {_cores(spent.worker_cpu, assumed, needs)}, {postgres}"
    yield "connections to PostgreSQL, at most", f"{_connections(web, workers):,}"
    yield "storage with indexes", f"{kept:,.0f} GB"
    yield "write-ahead log a day", f"{wal:,.0f} GB"
    yield "money a month: messages", f"{2 * turns * MONTH * assumed.message_price:,.0f}"
    price = cores * assumed.core_price + kept * assumed.gigabyte_price
    yield "money a month: processors and storage", f"{price:,.0f}"


def walls(assumed: Assumed, spent: Spent, needs: Needs) -> list[tuple[str, int]]:
    """Where one of each is full in the busiest minute: name, and active conversations a day; the first wall first."""
    web_time = spent.turn_cpu + len(STATUSES) * spent.callback_cpu
    each = assumed.conversations / needs.peak  # conversations a day for each message a second in the busiest minute
    web, workers = _processes(assumed, spent, needs)
    held = _connections(web, workers)
    found = {
        f"one worker of {A_PROCESS} places (LANE_SPEAK)": A_PROCESS / assumed.provider,
        "one WhatsApp sender": assumed.sender,
        "one web process (a second: WEB_PROCESSES)": 1000 / web_time,
        "one worker process's processor": 1000 / spent.worker_cpu,
        "turns that notify (then BROKER_URL)": assumed.notified,
        "commits of one PostgreSQL": assumed.commits / spent.commits,
        f"{assumed.connections} connections (then a pooler or smaller pools)": assumed.connections / held * needs.peak,
    }
    return sorted(((name, int(rate * each)) for name, rate in found.items()), key=lambda wall: wall[1])


def _processes(assumed: Assumed, spent: Spent, needs: Needs) -> tuple[int, int]:
    """Web processes and workers: enough places by the simulation, and no processor fuller than planned."""
    web = _cores(spent.turn_cpu + len(STATUSES) * spent.callback_cpu, assumed, needs)
    workers = max(math.ceil(needs.speak.places / A_PROCESS), _cores(spent.worker_cpu, assumed, needs))
    return max(web, needs.web.places), workers


def _connections(web: int, workers: int) -> int:
    return web * POOL + workers * (POOL + 1)


def _cores(milliseconds: float, assumed: Assumed, needs: Needs) -> int:
    return math.ceil(milliseconds / 1000 * needs.peak / assumed.planned)


def _kept(assumed: Assumed, spent: Spent, turns: int) -> float:
    """Bytes on the disk once everything has been kept for as long as it is."""
    long, short = spent.kept["transcript"], spent.kept["promises"] + spent.kept["heard"]
    return turns * (long * assumed.days + short * assumed.week)


def _waits(served: Served) -> str:
    return ", ".join(f"{1000 * wait:.1f} ms" for wait in (served.p50, served.p99, served.worst))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.needs", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for one in fields(Assumed):
        name = "--" + one.name.replace("_", "-")
        parser.add_argument(name, type=type(one.default), default=one.default, help=one.metadata["words"])
    assumed = Assumed(**vars(parser.parse_args()))
    spent = Spent(**json.loads(FILE.read_text()))
    needs = simulated(assumed, spent)
    _table("assumed", ((one.metadata["words"], f"{getattr(assumed, one.name):,}") for one in fields(Assumed)))
    _table("needed", needed(assumed, spent, needs))
    _table("wall, the first one first", ((name, f"{rate:,}") for name, rate in walls(assumed, spent, needs)))


def _table(title: str, rows: Iterator[tuple[str, str]]) -> None:
    sys.stdout.write(f"| {title} | |\n|---|---|\n")
    sys.stdout.writelines(f"| {name} | {value} |\n" for name, value in rows)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
