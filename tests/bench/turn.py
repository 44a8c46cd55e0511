"""Row 1: a whole WhatsApp turn through gunicorn, against nothing but its signature and its statements."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, event, select

from bot.channels import Identity, Inbound
from bot.store.tables import message, promise
from tests.bench.figures import Row
from tests.bench.floors import turn as floor
from tests.bench.load import drive
from tests.bench.site import PEOPLE, Side, Site, cpu_seconds, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

TEXT = "menu"  # answered by a message with buttons, as most are
STORY = (TEXT, "1", "ana@bench.example", "back", "cancel", "3", "hello")  # kinds of turns whose statements are counted
WARM = 400  # turns before the first round: connections are open, statements prepared
MOST_STATEMENTS = 10
LEAST_RATE = 0.80
Sample = dict[str, Any]


def rows(site: Site, rounds: int, turns: int) -> list[Row]:
    """The row's figures; `turns` in each round of each side, each of another conversation of the site's.

    Nobody performs promises here, and a turn that finds one waiting would do more.
    """
    most = max(statements(site))
    with both_webs(site) as (ours, its):
        sides = ((site.ours, ours), (site.floor, its))
        for side, _ in sides:
            drive(side.base, _webhooks(site, side, WARM))
        figures = [[_round(site, side, process, turns) for side, process in sides] for _ in range(rounds)]
    (rate, cpu), (least_rate, least_cpu) = (zip(*one, strict=True) for one in zip(*figures, strict=True))
    return [
        Row("turn through gunicorn", "turns/s", rate, least_rate, LEAST_RATE, at_least=True),
        Row("CPU of a turn", "ms", cpu, least_cpu),
        Row("statements of a turn", "", [most], (), MOST_STATEMENTS),
    ]


def _round(site: Site, side: Side, process: psutil.Process, turns: int) -> tuple[float, float]:
    """Turns per second, and milliseconds of CPU for one."""
    side.reset()
    webhooks = _webhooks(site, side, turns)
    before = cpu_seconds(process)
    seconds = drive(side.base, webhooks)
    return turns / seconds, 1000 * (cpu_seconds(process) - before) / turns


def _webhooks(site: Site, side: Side, count: int) -> list[bytes]:
    return [site.account.webhook(side.base, person, TEXT) for person in site.people[:count]]


@contextmanager
def both_webs(site: Site) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """The web process of ours and of the floor."""
    with beside(site, "tests.bench.floors.turn:app()", _sample(site)) as webs:
        yield webs


@contextmanager
def beside(site: Site, floor_app: str, sample: object) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """The web process of ours and that of a floor, served by gunicorn in the same way; it writes what `sample` says."""
    file = site.home / "sample.json"
    file.write_text(json.dumps(sample))
    ours = site.start_ours("web")
    address = urlsplit(site.floor.base).netloc
    threads = ("--threads", "8")  # the default of WEB_THREADS
    command = ("-m", "gunicorn", "-c", "deploy/gunicorn.py", "-b", address, *threads, floor_app)
    environment = {**site.floor.environment, "FLOOR_SAMPLE": str(file)}
    its = site.start("floor web", [sys.executable, *command], environment)
    site.wait_for_web(site.floor.base)
    yield ours, its
    site.stop("web", "floor web")
    site.ours.reset()
    site.floor.reset()


def _sample(site: Site) -> Sample:
    with joined(site.ours) as parts, listening(parts.engine) as ours:
        parts.turns.receive(_inbound(TEXT))
    sample = written(site.ours)
    with listening(site.floor.engine) as its, site.floor.engine.begin() as db:
        floor.turn(db, sample, _inbound(TEXT).message_id, PEOPLE[0])
    must_be_the_same(site, ours, its)
    return sample


def written(side: Side) -> Sample:
    """What the one turn since the last reset has written, for a floor to write the same."""
    with side.engine.begin() as db:
        payload = db.execute(select(promise.c.payload)).scalar_one()
        lines = {row.direction: row.text for row in db.execute(select(message.c.direction, message.c.text))}
    return {"payload": payload, **lines}


def must_be_the_same(site: Site, ours: list[str], its: list[str]) -> None:
    """A floor runs our statements; what was written meanwhile goes. Raises RuntimeError."""
    if ours != its:
        raise RuntimeError(f"The floor does not run our statements:\n{ours}\n{its}")
    site.ours.reset()
    site.floor.reset()


def statements(site: Site) -> list[int]:
    """How many statements each turn of a short story takes."""
    counts = []
    with joined(site.ours) as parts:
        for text in STORY:
            with listening(parts.engine) as seen:
                parts.turns.receive(_inbound(text))
            counts.append(len(seen))
    site.ours.reset()
    return counts


def _inbound(text: str) -> Inbound:
    return Inbound(f"SM{text.encode().hex():0>32}", Identity("whatsapp", PEOPLE[0]), text)


@contextmanager
def listening(engine: Engine) -> Iterator[list[str]]:
    """The statements that run meanwhile; the names of their parameters are left out."""
    seen: list[str] = []

    def hear(_db: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(re.sub(r"%\(\w+\)s", "?", " ".join(statement.split())))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", hear)
