"""What happens to an installation in bad weather: one disaster after the other, chosen by chance."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING

import psycopg

from tests.chaos.inside import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.installation import Installation

PAUSE = (0.3, 2.0)  # seconds between two disasters
BUSY_SECONDS = 2.0  # until somebody works
MESSAGES = "/Messages"
MAIL_FAULTS = ("greylist", "auth_down", "hang", "dropped")
CALLBACKS: tuple[tuple[str, ...], ...] = (("sent", "delivered"), ("delivered", "sent"), ("sent", "sent"), ())


class Storm(threading.Thread):
    """Disasters until `stop`; `disasters` counts them by name."""

    def __init__(self, world: Installation, seed: int) -> None:
        super().__init__(name="storm", daemon=True)
        self.disasters: dict[str, int] = {}
        self.failed: BaseException | None = None
        self._world = world
        self._chance = random.Random(f"{seed} storm")
        self._over = threading.Event()
        self._thaw_at = 0.0
        self._table: dict[Callable[[], None], int] = {
            self._kill_worker: 2,
            self._kill_web: 2,
            self._kill_door: 2,
            self._freeze_worker: 5,
            self._restart_postgres: 2,
            self._terminate_backends: 3,
            self._too_many_requests: 2,
            self._server_errors: 2,
            self._slow_answers: 2,
            self._lost_answers: 4,
            self._lost_answers_to_webhooks: 4,
            self._mail_server_in_trouble: 2,
            self._other_callbacks: 2,
            self._lose_contents: 2,
        }

    def run(self) -> None:
        """Disasters until told to stop; then fair weather."""
        try:
            while not self._over.wait(self._chance.uniform(*PAUSE)):
                (disaster,) = self._chance.choices(list(self._table), list(self._table.values()))
                name = disaster.__name__.strip("_")
                self.disasters[name] = self.disasters.get(name, 0) + 1
                disaster()
                self._thaw_if_due()
        except Exception as error:  # noqa: BLE001 - told by whoever waits for this thread
            self.failed = error
        finally:
            self._calm()

    def stop(self) -> list[str]:
        """End the storm; returns when it is fair weather, with what could not be done, in words."""
        self._over.set()
        self.join()
        return [f"the storm ended early: {self.failed!r}"] if self.failed is not None else []

    def _calm(self) -> None:
        twilio = self._world.twilio
        twilio.slow(0)
        twilio.drop_after_reading(0)
        twilio.forgive()
        twilio.statuses = CALLBACKS[0]
        self._world.gate.swallow_answers(0)
        self._world.sandbox.refuse(None)

    # --- processes ---

    def _kill_worker(self) -> None:
        self._chance.choice(self._world.of("worker")).kill()

    def _kill_web(self) -> None:
        self._chance.choice(self._world.of("web")).kill()

    def _kill_door(self) -> None:
        self._chance.choice(self._world.of("door")).kill()

    def _freeze_worker(self) -> None:
        """In the middle of its work, longer than any lease: it comes back when others have done that."""
        if not any(child.frozen for child in self._world.children):
            self._wait_for_work()
            self._chance.choice(self._world.of("worker")).freeze()
            self._thaw_at = time.monotonic() + max(LEASES.values()) + self._chance.uniform(1, 3)

    def _wait_for_work(self) -> None:
        lane = self._chance.choice(("speak", "speak", "mail"))
        busy = "select 1 from promise where state = 'doing' and lane = %s limit 1"
        end = time.monotonic() + BUSY_SECONDS
        with contextlib.suppress(psycopg.OperationalError), self._world.operator() as connection:
            while time.monotonic() < end and connection.execute(busy, (lane,)).fetchone() is None:
                time.sleep(0.001)

    def _thaw_if_due(self) -> None:
        if time.monotonic() > self._thaw_at:
            for child in self._world.children:
                if child.frozen:
                    child.thaw()

    # --- the database ---

    def _restart_postgres(self) -> None:
        self._world.postgres.restart()

    def _terminate_backends(self) -> None:
        victims = self._chance.randint(1, 10)
        query = (
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'ally%%' "
            "order by random() limit %s"
        )
        with contextlib.suppress(psycopg.OperationalError), self._world.operator() as connection:
            connection.execute(query, (victims,))

    # --- Twilio ---

    def _too_many_requests(self) -> None:
        self._world.twilio.fail_next(429, 20429, retry_after=self._chance.choice((None, 1)), times=self._few())

    def _server_errors(self) -> None:
        status = self._chance.choice((500, 502, 503))
        self._world.twilio.fail_next(status, 20500, times=self._few())

    def _slow_answers(self) -> None:
        self._world.twilio.slow(self._chance.uniform(0.3, 1.0))
        self._over.wait(self._chance.uniform(1, 3))
        self._world.twilio.slow(0)

    def _lost_answers(self) -> None:
        """Taken, and the connection is closed without a word."""
        self._world.twilio.drop_after_reading(self._few(), path=MESSAGES)

    def _lost_answers_to_webhooks(self) -> None:
        self._world.gate.swallow_answers(self._few())

    def _other_callbacks(self) -> None:
        self._world.twilio.statuses = self._chance.choice(CALLBACKS)

    def _lose_contents(self) -> None:
        """Somebody deletes the resources for buttons at Twilio's console."""
        self._world.twilio.forget_contents()

    # --- mail ---

    def _mail_server_in_trouble(self) -> None:
        self._world.sandbox.refuse(self._chance.choice(MAIL_FAULTS))
        self._over.wait(self._chance.uniform(0.5, 2.5))
        self._world.sandbox.refuse(None)

    def _few(self) -> int:
        return self._chance.randint(1, 5)
