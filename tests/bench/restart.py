"""Row 6: how long after PostgreSQL went away, for a second, somebody is answered again."""

from __future__ import annotations

import time
from contextlib import suppress

from tests.bench.figures import Row
from tests.bench.load import Line
from tests.bench.site import PEOPLE, Site
from tests.bench.turn import TEXT

AWAY = 1.0  # seconds
LONGEST = 10.0  # seconds
TRIES = 100
BETWEEN_TRIES = 0.1  # seconds; Twilio repeats a webhook that failed (`#rc=3&rp=all`)


def rows(site: Site, rounds: int) -> list[Row]:
    """The row, over so many restarts."""
    site.start_ours("serve")
    times = [_restart(site, person) for person in PEOPLE[:rounds]]
    site.stop("serve")
    return [Row("PostgreSQL away for 1 s, to the next answer", "s", times, (), LONGEST)]


def _restart(site: Site, person: str) -> float:
    """Seconds from the end of PostgreSQL to the answer to a message that is written when it is back."""
    site.provider.forget()
    _deliver(site, person)
    site.provider.arrivals(person, 1)
    site.ours.wait_until_kept()
    site.ours.engine.dispose()
    gone = time.monotonic()
    site.postgres.stop()
    time.sleep(AWAY)
    site.postgres.start()
    _deliver(site, person)
    return site.provider.arrivals(person, 2)[-1] - gone


def _deliver(site: Site, person: str) -> None:
    """Bring one message, as often as it takes. Raises TimeoutError."""
    webhook = site.account.webhook(site.ours.base, person, TEXT)
    for _ in range(TRIES):
        with suppress(OSError), Line(site.ours.base) as line:
            line.ask(webhook)
            return
        time.sleep(BETWEEN_TRIES)
    raise TimeoutError(f"The message was not taken in {TRIES} tries.")
