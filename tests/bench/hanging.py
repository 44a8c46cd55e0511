"""Rows 4 and 5: what live tests at mail servers that hang cost the others, and in memory."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import update

from bot.safe import use_of
from bot.store import people, promises
from bot.store.promises import Wanted
from bot.store.tables import in_state, promise
from bot.vault import Secret
from flows import saved
from flows.words import Account, Server, TestLogin
from tests.bench.figures import Row, quantile
from tests.bench.load import paced
from tests.bench.site import PEOPLE, Site, joined, wait_until
from tests.bench.tarpits import HOSTS, Tarpits
from tests.bench.turn import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psutil

    from bot.app import Parts

TESTS = 300
PLACES = 32  # the default of LANE_WORK: so many hang, the others wait
SECONDS = 6.0
A_SECOND = 20  # webhooks
SLOWEST = 1.3
IN_FLIGHT = 500
MOST_MEMORY = 1.5
MEGABYTE = 1_000_000
Pair = tuple[float, float]
LATE = -1  # a ticket that no question has: what becomes of the test is not told


def latency(site: Site, rounds: int) -> list[Row]:
    """Row 4: how long webhooks take while live tests hang, and while none does."""
    with Tarpits(site.home) as tarpits, joined(site.ours) as parts:
        site.start_ours("serve", **_mail(tarpits))
        _webhooks(site, 1.0)
        _slack_events(site, 3.0)  # until each of its people has been heard once
        measured = [_alternate(site, parts, tarpits) for _ in range(rounds)]
        site.stop("serve")
    names = ("webhook", "Slack acknowledgement")
    return [
        Row(f"{name} p95 while {TESTS} live tests hang", "ms", *_columns(measured, place), SLOWEST)
        for place, name in enumerate(names)
    ]


def _columns(measured: Sequence[tuple[Pair, Pair]], place: int) -> tuple[list[float], list[float]]:
    """What was measured while tests hang, and while none does, of one kind of request."""
    return [troubled[place] for _, troubled in measured], [calm[place] for calm, _ in measured]


def memory(site: Site, rounds: int) -> list[Row]:
    """Row 5: the memory that live tests in flight take of a worker, and as many threads with a TLS socket of Python.

    What the process takes at rest is not counted: that is the interpreter and the libraries, on both sides.
    """
    with Tarpits(site.home) as tarpits, joined(site.ours) as parts:
        ours, floor = zip(
            *((_worker(site, parts, tarpits), _threads(site, tarpits)) for _ in range(rounds)), strict=True
        )
    return [Row(f"memory with {IN_FLIGHT} live tests in flight", "MB", ours, floor, MOST_MEMORY)]


def _mail(tarpits: Tarpits) -> dict[str, str]:
    return {
        "SMTP_ALLOW_NETWORKS": "127.0.1.0/24",
        "SMTP_ALLOW_PORTS": str(tarpits.port),
        "SSL_CERT_FILE": str(tarpits.authority),
    }


def _alternate(site: Site, parts: Parts, tarpits: Tarpits) -> tuple[Pair, Pair]:
    """The p95 of webhooks and of Slack's events in milliseconds, without and with live tests that hang."""
    calm = _webhooks(site, SECONDS), _slack_events(site, SECONDS)
    with _live_tests(site, parts, tarpits, TESTS):
        tarpits.wait_for(PLACES)
        troubled = _webhooks(site, SECONDS), _slack_events(site, SECONDS)
    return calm, troubled


def _slack_events(site: Site, seconds: float) -> float:
    count = int(seconds * A_SECOND)
    events = [site.slack.event(site.ours.base, f"U{number % 50:04d}", TEXT) for number in range(count)]
    return 1000 * quantile(paced(site.ours.base, events, 1 / A_SECOND), 0.95)


def _webhooks(site: Site, seconds: float) -> float:
    count = int(seconds * A_SECOND)
    webhooks = [site.account.webhook(site.ours.base, PEOPLE[-1 - number % 150], TEXT) for number in range(count)]
    return 1000 * quantile(paced(site.ours.base, webhooks, 1 / A_SECOND), 0.95)


@contextmanager
def _live_tests(site: Site, parts: Parts, tarpits: Tarpits, count: int) -> Iterator[None]:
    """Live tests of as many people, promised; afterwards all of them are over."""
    now = parts.clock.now()
    with parts.engine.begin() as db:
        for number, person in enumerate(PEOPLE[:count]):
            (contact,) = people.find_contact(db, person)
            host = HOSTS[number % len(HOSTS)]
            account = Account(f"p{number}@bench.example", f"p{number}@bench.example", Server(host, tarpits.port, "tls"))
            secret = parts.safe.put(
                db, Secret("a password"), kind="mailbox.password", owner=contact.id, use=use_of(account), now=now
            )
            effect = saved.dump(TestLogin(account, str(secret)))
            talk = people.conversation_of(db, contact.id)
            assert talk is not None
            promises.add(db, talk, [Wanted("work", "TestLogin", now, {"effect": effect}, LATE)], now)
        promises.wake(db)
    yield
    with parts.engine.begin() as db:
        waiting = update(promise).where(promise.c.lane == "work", in_state(promise, "todo"))
        db.execute(waiting.values(state="dropped"))
    tarpits.hang_up()
    site.ours.wait_until_kept()
    site.ours.reset()


def _worker(site: Site, parts: Parts, tarpits: Tarpits) -> float:
    """The megabytes that a worker takes more than at rest, when it has tested once."""
    process = site.start_ours("worker", **_mail(tarpits), LANE_WORK=str(IN_FLIGHT))
    with _live_tests(site, parts, tarpits, 1):
        tarpits.wait_for(1)
    at_rest = _megabytes(process)
    with _live_tests(site, parts, tarpits, IN_FLIGHT):
        tarpits.wait_for(IN_FLIGHT)
        in_flight = _megabytes(process)
    site.stop("worker")
    return in_flight - at_rest


def _threads(site: Site, tarpits: Tarpits) -> float:
    """The megabytes that the floor takes more with all its threads than with one."""
    words = [sys.executable, "-m", "tests.bench.floors.threads", str(IN_FLIGHT), str(tarpits.port), *HOSTS]
    process = site.start("threads", words, {**site.floor.environment, **_mail(tarpits)})
    tarpits.wait_for(1)
    at_rest = _megabytes(process)
    process.send_signal(signal.SIGUSR1)
    tarpits.wait_for(IN_FLIGHT)
    in_flight = _megabytes(process)
    site.stop("threads")
    wait_until(lambda: tarpits.guests == 0, "the floor's connections to end")
    return in_flight - at_rest


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / MEGABYTE
