"""The whole installation, with all that can be broken: PostgreSQL, two web processes and workers, a door, stand-ins."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self
from unittest.mock import patch
from uuid import UUID

import psycopg
import requests
import yaml
from sqlalchemy import func, select

from bot import commands, door_keys
from bot.app import Parts, join
from bot.database import migrated
from bot.playground import mail
from bot.playground.mail import Sandbox
from bot.playground.stage import door_settings
from bot.playground.twilio import TwilioStandIn
from bot.safe import use_of
from bot.serve import web_command
from bot.settings import load
from bot.store import doors, mailboxes, promises, tables
from bot.store import people as people_store
from bot.store.embedded import Embedded
from bot.store.engine import reading
from bot.vault import Secret, new_key
from flows.speech import sentence
from flows.words import Account, Server
from tests.chaos.gate import Gate
from tests.chaos.inside import CLOCK, JOURNALS, POINTS
from tests.chaos.points import VARIABLE, Kind, Plans

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bot.playground.twilio_api import Message, Person
    from bot.store.engine import Connection

ROOT = Path(__file__).parents[2]
AGENCY = "Seaside Homes"
DOMAIN = "sandbox.test"
PASSWORD = "quiet-harbor-2718"
KEPT = 200  # mails in a folder of the sandbox: the audit wants to see all of them
READY_SECONDS = 60.0
LOOK_SECONDS = 0.05
EARLY = 15.0  # seconds in which a process may still fail to start, because PostgreSQL is away
NO_START = 4  # gunicorn, for the same reason
SKEW = 1.0  # seconds by which a process's clock may be wrong
JUMP_SECONDS = 20.0
UNFINISHED = ("todo", "doing")
WAITING = (
    promises.KEEP_GRANTS,
    promises.LOOK_FOR_ENDS,
    promises.NUDGE,
    promises.RECONCILE,
    promises.RETEST,
    promises.TELL,
    "EraseAtProvider",
)  # kinds that are due only after a while
_PROMISE = re.compile(r"[?&]promise=(\d+)")


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as it reached a phone. `promise`: which one of ours it keeps, by its status callback."""

    number: str
    sid: str
    promise: int
    body: str


class LoggingTwilio(TwilioStandIn):
    """The stand-in, with a log of all that was shown, without end."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Shown] = []
        self._keep = self._account.keep
        patch.object(self._account, "keep", self._keep_and_note).start()

    def forgive(self) -> None:
        """Refuse nothing more."""
        with self._account.changed:
            self._account.faults.clear()

    def _keep_and_note(self, message: Message, person: Person) -> None:
        self._keep(message, person)
        if not message.inbound:
            found = _PROMISE.search(message.callback)
            promise = int(found[1]) if found else 0
            self.shown.append(Shown(message.to.partition(":")[2], message.sid, promise, message.shown))


@dataclass
class Child:
    """One process of the product, in a group of its own. `settings`: those that no other process has."""

    kind: Kind
    name: str
    command: list[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    frozen: bool = False
    freezes: list[tuple[int, float]] = field(default_factory=list)  # process and time
    calm: bool = False
    deaths: int = 0
    complaints: list[str] = field(default_factory=list)

    def kill(self) -> None:
        """End it with all its children, at once."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it stand still."""
        if self.process is not None:
            self.frozen = True
            self._signal(signal.SIGSTOP)
            self.freezes.append((self.process.pid, time.time()))

    def thaw(self) -> None:
        """Let it go on, as if nothing had been."""
        self.frozen = False
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Installation:
    """Runs while it is a context. A process that ends is started again at once, by a thread of its own."""

    def __init__(self, home: Path, seed: int, people: Sequence[str], *, door: bool = False) -> None:
        """`people`: names; each has a mailbox of this name, and one for what they write (`recipient`).

        `door`: whether there is one, with a mailbox for what they send through it (`client`) and `keys` by name.
        """
        self.home = home
        self._chance = random.Random(f"{seed} processes")
        self._plans = Plans(self._chance)
        self.twilio = LoggingTwilio()
        boxes = [box for name in people for box in (address(name), recipient(name), client(name))]
        self.sandbox = Sandbox(home, mailboxes=dict.fromkeys(boxes, PASSWORD))
        self.postgres = Embedded(home / "postgres")
        *ports, door_port = _free_ports(3)
        self.gate = Gate(ports, random.Random(f"{seed} gate"))
        self._ports = ports
        self.door_port = door_port if door else 0
        self.keys: dict[str, str] = {}
        self.children: list[Child] = []
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")
        self._over = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(patch.object(mail, "FOLDER_MESSAGES", KEPT))
            for part in (self.postgres, self.sandbox, self.twilio, self.gate):
                stack.enter_context(part)
            stack.callback(self._kill_all)
            self.twilio.webhook_url = f"{self.gate.url}/whatsapp#rc=3&rp=all"
            migrated(self.postgres.url)
            self.environment = self._settings()
            self.parts: Parts = join(load(self.environment), self.postgres.url)
            stack.callback(self.parts.close)
            self.invitation = self._invitation()
            self.children = self._made()
            self._supervisor.start()
            stack.callback(self._stop_supervisor)
            self.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- people ---

    def settle_in(self, number: str, name: str) -> None:
        """A member with a mailbox that works, who has not written yet."""
        parts, now, mine = self.parts, self.parts.clock.now(), address(name)
        account = Account(mine, mine, Server(self.sandbox.host, self.sandbox.ports["smtps"], "tls"))
        with parts.engine.begin() as db:
            people_store.add_contact(
                db, channel="whatsapp", address=number, external_id=None, name=name, language="en", at=now
            )
            (contact,) = people_store.find_contact(db, number)
            member = people_store.add_member(db, contact.id, self._agency, name, "member", now)
            people_store.act_for(db, contact.id, member, "en")
            secret = parts.safe.put(
                db, Secret(PASSWORD), kind="mailbox.password", owner=contact.id, use=use_of(account), now=now
            )
            values = {
                "address": mine, "user_name": mine, "host": account.server.host, "port": account.server.port,
                "security": "tls", "secret_id": secret, "state": "works", "since": now,
            }  # fmt: skip
            mailboxes.save(db, member, values)
            if self.door_port:
                self.keys[name] = self._key(db, member)

    # --- processes ---

    def of(self, kind: Kind) -> list[Child]:
        """The processes of a kind."""
        return [child for child in self.children if child.kind == kind]

    def calm_down(self) -> None:
        """Kill everything once more; what starts now lives."""
        for child in self.children:
            child.calm = True
            child.kill()
        self.parts.engine.dispose()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until both web processes answer, and somebody listens at the door. Raises TimeoutError."""
        for port in self._ports:
            wait_until(partial(_is_ready, port), READY_SECONDS, f"web to answer\n{self.last_lines()}")
        if self.door_port:
            wait_until(partial(_is_open, self.door_port), READY_SECONDS, f"the door\n{self.last_lines()}")

    def unfinished(self) -> int:
        """How many promises are not kept yet, but for those that wait for their time."""
        kept = tables.promise.c.state.not_in(UNFINISHED) | tables.promise.c.kind.in_(WAITING)
        with reading(self.parts.engine) as db:
            return int(db.execute(select(func.count()).select_from(tables.promise).where(~kept)).scalar_one())

    def unheard(self, sids: Collection[str]) -> int:
        """How many of these messages (by the provider's ids) have not been heard yet."""
        heard = select(func.count()).select_from(tables.inbound).where(tables.inbound.c.message_id.in_(sids))
        with reading(self.parts.engine) as db:
            return len(sids) - int(db.execute(heard).scalar_one())

    @contextlib.contextmanager
    def operator(self) -> Iterator[psycopg.Connection]:
        """A connection that does not belong to the product."""
        url = self.postgres.url.replace("+psycopg", "", 1)
        with psycopg.connect(url, autocommit=True, application_name="chaos") as connection:
            yield connection

    def written(self, journal: str) -> list[str]:
        """The lines that the processes wrote into one of their journals."""
        file = self.home / journal
        return file.read_text().splitlines() if file.exists() else []

    def points_reached(self) -> list[str]:
        """The names of the points at which a process died, in order."""
        return [line.rpartition(" ")[0] for line in self.written(POINTS)]

    def last_lines(self) -> str:
        """The ends of the logs."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in self.home.glob("*.log")
        )

    # --- inside ---

    def _settings(self) -> dict[str, str]:
        ports = self.sandbox.ports
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.postgres.url,
            "DATA_DIR": str(self.home / "data"),
            "PUBLIC_URL": self.gate.url,
            "SECRET_KEYS": new_key(),
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": self.twilio.sender,
            "TWILIO_API_URL": self.twilio.url,
            "SUPPORT_CONTACT": "https://wa.me/15550100999",
            "PRIVACY_URL": f"{self.gate.url}/privacy",
            "SMTP_ALLOW_NETWORKS": "127.0.0.0/8 ::1/128",
            "SMTP_ALLOW_PORTS": f"{ports['smtps']} {ports['submission']}",
            "IMAP_ALLOW_PORTS": str(ports["imaps"]),
            "SSL_CERT_FILE": str(self.sandbox.ca_pem.resolve()),
            "PROVIDERS_EXTRA": str(self._table()),
            "MAILS_PER_HOUR": "30",
            "LOG_FORMAT": "json",
            JOURNALS: str(self.home),
        }

    def _table(self) -> Path:
        smtp, imap = (
            {"host": self.sandbox.host, "port": self.sandbox.ports[name], "security": "tls"}
            for name in ("smtps", "imaps")
        )
        row = {
            "id": "sandbox", "family": "sandbox", "name": "Sandbox Mail", "domains": [DOMAIN], "servers": [smtp],
            "imap": [imap], "sent_copy": "never", "checked": datetime.now(UTC).date(),
        }  # fmt: skip
        file = self.home / "providers.yaml"
        file.write_text(yaml.safe_dump({"providers": [row]}))
        return file

    def _invitation(self) -> str:
        """The message with which anybody joins the agency that is made here."""
        self._agency = UUID(commands.add_agency(self.parts, AGENCY, "en", "UTC", "")["id"])
        code = commands.invite(self.parts, AGENCY, "member", "", commands.MAX_USES)["code"]
        return sentence("invitation.text", "en", code=str(code))

    def _made(self) -> list[Child]:
        settings = [load({**self.environment, "PORT": str(port)}) for port in self._ports]
        webs = [Child("web", f"web-{n}", web_command(one)[2:]) for n, one in enumerate(settings)]
        doors = [Child("door", "door", ["bot", "door"], self._door_settings())] if self.door_port else []
        return [*webs, *(Child("worker", f"worker-{n}", ["bot", "worker"]) for n in range(2)), *doors]

    def _door_settings(self) -> dict[str, str]:
        """For the door alone: were the others told of it, people would be offered its keys in the chat."""
        return door_settings(self.sandbox) | {"DOOR_PORT": str(self.door_port)}

    def _key(self, db: Connection, member: UUID) -> str:
        """With this a member's program signs in at the door."""
        saved = mailboxes.of_member(db, member)
        assert saved is not None
        key, hashed = door_keys.make()
        doors.make(db, saved.id, hashed, self.parts.clock.now())
        return key.reveal()

    def _supervise(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for child in self.children:
                if child.process is None or child.process.poll() is not None:
                    self._start_again(child)

    def _start_again(self, child: Child) -> None:
        if child.process is not None:
            child.deaths += 1
            status, lived = child.process.returncode, time.monotonic() - child.started
            if status not in {-signal.SIGKILL, NO_START} and lived > EARLY:
                child.complaints.append(f"{child.name} ended by itself with {status} after {lived:.0f} s")
        child.frozen, child.started = False, time.monotonic()
        with (self.home / f"{child.name}.log").open("ab") as log:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.inside", *child.command],
                env=self.environment | dict(child.settings) | self._weather(child),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _weather(self, child: Child) -> dict[str, str]:
        if child.calm:
            return {}
        ahead, later = (self._chance.uniform(-SKEW, SKEW) for _ in range(2))
        clock = f"{ahead:.2f} {later:.2f} {self._chance.uniform(1, JUMP_SECONDS):.1f}"
        return {CLOCK: clock, VARIABLE: str(self._plans.next(child.kind, self.points_reached()))}

    def _stop_supervisor(self) -> None:
        self._over.set()
        self._supervisor.join()

    def _kill_all(self) -> None:
        for child in self.children:
            child.kill()
            if child.process is not None:
                child.process.wait()


def address(name: str) -> str:
    """The address that somebody writes from."""
    return f"{name}@{DOMAIN}"


def recipient(name: str) -> str:
    """The address that somebody writes to; nobody else does."""
    return f"to-{name}@{DOMAIN}"


def client(name: str) -> str:
    """The address that somebody's program writes to, through the door; nobody else does."""
    return f"client-{name}@{DOMAIN}"


def wait_until(condition: object, seconds: float, what: str) -> None:
    """Wait until `condition()` holds. Raises TimeoutError."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Waited {seconds} s in vain for {what}")
        time.sleep(LOOK_SECONDS)


def _is_ready(port: int) -> bool:
    with requests.Session() as session, contextlib.suppress(requests.RequestException):
        session.trust_env = False
        return session.get(f"http://127.0.0.1:{port}/readyz", timeout=READY_SECONDS).status_code == 200
    return False


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), READY_SECONDS):
        return True
    return False


def _free_ports(count: int) -> list[int]:
    """Below the ports that the system gives to outgoing connections: ours stay free while web is away."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("All ports that were tried are taken.")
