"""One PostgreSQL, two databases with the same people in them, and the processes of ours and of the floor.

PostgreSQL is the embedded one as `serve` runs it: what is committed is on the disk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
from sqlalchemy import text

from bot.app import Parts, join
from bot.channels import Identity, Inbound
from bot.database import migrated
from bot.settings import load
from bot.store import people as people_store
from bot.store import promises
from bot.store.embedded import Embedded
from bot.store.engine import connect, reading
from bot.vault import new_key
from tests import database
from tests.bench.load import Account, SlackApp
from tests.bench.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
PEOPLE = tuple(f"+1555020{number:04d}" for number in range(500))
IN_SLACK = tuple(f"UM{number:04d}" for number in range(500))
START_SECONDS = 60.0
STOP_SECONDS = 25.0
PAUSE = 0.02
AN_AGENCY = 100  # members
_LEFT_BY_A_ROUND = "truncate inbound, message, promise, dead_letter, limit_hit cascade"


class Side:
    """A database with people, the address of its web process, and the environment of its processes."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        self.database_url = url
        self.base = f"http://127.0.0.1:{_free_port()}"
        self.environment = {
            **environment,
            "DATABASE_URL": url,
            "PUBLIC_URL": self.base,
            "PORT": self.base.rpartition(":")[2],
        }
        self.engine = connect(url, pool=2)

    def reset(self) -> None:
        """What a round has left behind goes, so that the next one finds what the first one found."""
        with self.engine.begin() as db:
            db.execute(text(_LEFT_BY_A_ROUND))

    def wait_until_kept(self) -> None:
        """Wait until everything that is due is done."""
        wait_until(lambda: not self._due(), "all promises to be kept")

    def _due(self) -> bool:
        with reading(self.engine) as db:
            return bool(promises.depth(db, datetime.now(UTC)))


class Site:
    """Everything the figures are measured on, while it is a context; with so many of PEOPLE and of IN_SLACK."""

    def __init__(self, people: int = len(PEOPLE)) -> None:
        self.people = PEOPLE[:people]
        self.in_slack = IN_SLACK[:people]
        self._stack = contextlib.ExitStack()
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ally-bench-")))
            self.postgres = stack.enter_context(Embedded(self.home / "postgres"))
            self.provider = stack.enter_context(Provider())
            self.account = Account(f"AC{os.urandom(16).hex()}", os.urandom(16).hex(), "whatsapp:+15550100000")
            self.slack = SlackApp(os.urandom(16).hex())
            self._environment = self._settings()
            self._copies = database.TestDatabase(self.postgres, self._prepare)
            stack.callback(self._stop_all)
            self._stack = stack
            self.ours, self.floor = self.side(), self.side()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def side(self) -> Side:
        """One more database with the same people."""
        made = Side(self._copies.fresh(), self._environment)
        self._stack.callback(made.engine.dispose)
        return made

    def _settings(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(self.home / "data"),
            "SECRET_KEYS": new_key(),
            "TWILIO_ACCOUNT_SID": self.account.sid,
            "TWILIO_AUTH_TOKEN": self.account.token,
            "TWILIO_WHATSAPP_FROM": self.account.sender,
            "TWILIO_API_URL": self.provider.url,
            "SLACK_BOT_TOKEN": "xoxb-bench",
            "SLACK_SIGNING_SECRET": self.slack.secret,
            "SLACK_API_URL": f"{self.provider.url}/api",
            "SUPPORT_CONTACT": "https://wa.me/15550100999",
            "PRIVACY_URL": "https://bench.test/privacy",
            "LOG_FORMAT": "json",
        }

    def _prepare(self, url: str) -> None:
        migrated(url)
        with joined(Side(url, self._environment)) as parts:
            assert parts.slack is not None
            parts.slack.workspaces.find(self.slack.team)
            _furnish(parts, "whatsapp", self.people)
            _furnish(parts, "slack", [self.slack.address(user) for user in self.in_slack])
            for user in self.in_slack:
                parts.slack.screens.noted_dm(self.slack.address(user), f"D{user}")

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> psutil.Process:
        """Start a process of this name; it is stopped by `stop` or, at the latest, with the site."""
        with (self.home / f"{name}.log").open("ab") as log:
            self._started[name] = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return psutil.Process(self._started[name].pid)

    def start_ours(self, *names: str, **settings: str) -> psutil.Process:
        """Start `python -m bot` NAME for each name; returns the last one when the web process answers."""
        return [self.start_of(self.ours, name, **settings) for name in names][-1]

    def start_of(self, side: Side, name: str, label: str = "", **settings: str) -> psutil.Process:
        """Start `python -m bot` NAME on a side; it is stopped by its label, or by NAME where it has none."""
        environment = {**side.environment, **settings}
        process = self.start(label or name, [sys.executable, "-m", "bot", name], environment)
        if name in {"web", "serve"}:
            self.wait_for_web(side.base)
        return process

    def stop(self, *names: str) -> None:
        """Stop processes; one that does not end in time is killed with its children."""
        for name in names:
            process = self._started.pop(name)
            children = _family(process.pid)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _kill(children)
                process.wait()
            _kill(children)

    def _stop_all(self) -> None:
        self.stop(*self._started)

    def wait_for_web(self, base: str) -> None:
        """Wait until a web process answers."""
        wait_until(lambda: _answers(base), f"an answer of {base}; logs: {self.last_lines()}")

    def last_lines(self) -> str:
        """The ends of the logs."""
        return "\n".join(file.read_text()[-2000:] for file in self.home.glob("*.log"))


@contextlib.contextmanager
def joined(side: Side) -> Iterator[Parts]:
    """Our parts, joined in this process."""
    parts = join(load(side.environment), side.database_url)
    try:
        yield parts
    finally:
        parts.close()
        side.engine.dispose()


def _furnish(parts: Parts, channel: str, members: Sequence[str]) -> None:
    """Members of agencies, each of whom has heard the menu; no agency so large that its limit of tests is met."""
    now = parts.clock.now()
    with parts.engine.begin() as db:
        for place, address in enumerate(members):
            if place % AN_AGENCY == 0:
                agency = people_store.add_agency(db, f"Seaside Homes {channel} {place}", "en", "UTC", now)
            people_store.add_contact(
                db, channel=channel, address=address, external_id=None, name="A person", language="en", at=now
            )
            (contact,) = people_store.find_contact(db, address)
            member = people_store.add_member(db, contact.id, agency, "A person", "member", now)
            people_store.act_for(db, contact.id, member, "en")
    for address in members:
        parts.turns.receive(Inbound(f"SM{address[1:]:0>32}", Identity(channel, address), "hello"))
    with parts.engine.begin() as db:
        db.execute(text(_LEFT_BY_A_ROUND))


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time that a process and its children have used."""
    used = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(times.user + times.system for times in used))


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds. Raises TimeoutError."""
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Waited in vain for {what}.")
        time.sleep(PAUSE)


def _answers(base: str) -> bool:
    with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{base}/healthz") as answer:
        return bool(answer.status == 200)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
