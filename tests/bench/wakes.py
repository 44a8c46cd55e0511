"""What a wake-up by PostgreSQL costs: commits a second of what a turn writes, with NOTIFY and without (BROKER_URL).

Measured by pgbench, so that nothing of Python's is in it: the lock that NOTIFY takes shows only when commits come
faster than one process of ours makes them.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from bot.store import embedded
from bot.store.promises import WAKE
from tests.bench.figures import Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.site import Site

CLIENTS = 16
WRITES = """
begin;
with talk as (select id from conversation order by random() limit 1), promised as (
    insert into promise (conversation_id, lane, kind, payload, due_at, created_at)
    select id, 'speak', 'Speak', '{}', now() + interval '1 day', now() from talk returning id
)
insert into message (conversation_id, direction, text, promise_id, at)
select talk.id, 'out', 'What an answer says, of the usual length.', promised.id, now() from talk, promised;
"""
NOTIFY = f"notify {WAKE}, 'speak';\n"


def rows(site: Site, *, rounds: int, seconds: int) -> Iterator[Row]:
    """Rounds of both, one right after the other. Only shown: what it comes to depends on the disk."""
    with_notify, without = site.home / "notify.sql", site.home / "broker.sql"
    with_notify.write_text(f"{WRITES}{NOTIFY}commit;\n")
    without.write_text(f"{WRITES}commit;\n")
    ours, floor = [], []
    for _ in range(rounds):
        floor.append(_commits(site, with_notify, seconds))
        ours.append(_commits(site, without, seconds))
        site.ours.reset()
    yield Row(f"commits by {CLIENTS} clients: broker, NOTIFY", "commits/s", ours, floor)


def _commits(site: Site, script: Path, seconds: int) -> float:
    url = site.ours.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = [embedded.program("pgbench"), "-n", "-M", "prepared", "-j", "1"]
    how = ["-c", str(CLIENTS), "-T", str(seconds), "-f", str(script), url]
    done = subprocess.run([*command, *how], env=dict(os.environ), capture_output=True, text=True, check=True)
    return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])
