"""What one message costs from its webhook to the last word of what became of its answer: processors, commits, bytes.

`python -m tests.bench.spent` measures it and writes `var/spent.json`, of which `tests.bench.needs` makes its table.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psutil
from sqlalchemy import select, text

from bot.store.engine import reading
from bot.store.tables import promise
from tests.bench.load import drive
from tests.bench.site import ROOT, Site, cpu_seconds
from tests.bench.turn import TEXT

if TYPE_CHECKING:
    from tests.bench.site import Side

FILE = ROOT / "var" / "spent.json"
STATUSES = ("sent", "delivered", "read")  # what Twilio tells of an answer that was read
ROUNDS = 8  # of one message of each of the site's people
KEPT = {"message": "transcript", "promise": "promises", "inbound": "heard"}


@dataclass(frozen=True, slots=True)
class Spent:
    """For one message in, its answer and three callbacks. CPU in milliseconds, sizes in bytes.

    `commits`: transactions, those that only read among them; `wal`: what replicas and archives take.
    `kept`: what stays on the disk, with its indexes, in each of KEPT.
    """

    turn_cpu: float
    callback_cpu: float
    worker_cpu: float
    postgres_cpu: float
    commits: float
    wal: float
    kept: dict[str, float]


def measure(site: Site) -> Spent:
    """Whole turns of the site's people, one round after another."""
    side = site.ours
    web, worker = site.start_ours("web"), site.start_ours("worker")
    with reading(side.engine) as db:
        server = psutil.Process(db.execute(text("select pg_backend_pid()")).scalar_one()).parent()
    assert server is not None
    _turns(site, side)
    side.reset()
    processes = (web, worker, server)
    turns = ROUNDS * len(site.people)
    begun, cpu = _counted(side), [cpu_seconds(one) for one in processes]
    for _ in range(ROUNDS):
        _turns(site, side)
    between = cpu_seconds(web)
    _callbacks(site, side)
    ended, spent = _counted(side), [cpu_seconds(one) - was for one, was in zip(processes, cpu, strict=True)]
    site.stop("web", "worker")
    each = {name: (ended[name] - was) / turns for name, was in begun.items()}
    after = cpu[0] + spent[0] - between
    return Spent(
        turn_cpu=1000 * (between - cpu[0]) / turns,
        callback_cpu=1000 * after / turns / len(STATUSES),
        worker_cpu=1000 * spent[1] / turns,
        postgres_cpu=1000 * spent[2] / turns,
        commits=each.pop("commits"),
        wal=each.pop("wal"),
        kept=each,
    )


def _turns(site: Site, side: Side) -> None:
    """A message of each, and its answer."""
    drive(side.base, [site.account.webhook(side.base, person, TEXT) for person in site.people])
    side.wait_until_kept()


def _callbacks(site: Site, side: Side) -> None:
    """What became of all answers, each time a round of each status."""
    with reading(side.engine) as db:
        said = db.execute(select(promise.c.id, promise.c.provider_id).where(promise.c.state == "done")).all()
    for status in STATUSES:
        drive(side.base, [site.account.callback(side.base, row.id, row.provider_id, status) for row in said])


def _counted(side: Side) -> dict[str, float]:
    """What PostgreSQL has counted so far in the side's database."""
    with reading(side.engine) as db:
        db.execute(text("select pg_stat_force_next_flush()"))
        row = db.execute(
            text(
                "select xact_commit as commits, pg_current_wal_lsn() - '0/0'::pg_lsn as wal"
                " from pg_stat_database where datname = current_database()"
            )
        ).one()
        sizes = {name: db.execute(text(_SIZE), {"table": table}).scalar_one() for table, name in KEPT.items()}
    return {"commits": float(row.commits), "wal": float(row.wal)} | {name: float(size) for name, size in sizes.items()}


# Of a table that has no partitions there is no tree.
_SIZE = """
select coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size(cast(:table as regclass)))
from pg_partition_tree(cast(:table as regclass))
"""


def main() -> None:
    """Measure, print, write."""
    with Site() as site:
        spent = measure(site)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(asdict(spent), indent=1) + "\n")
    sys.stdout.write(FILE.read_text())


if __name__ == "__main__":
    main()
