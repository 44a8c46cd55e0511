"""The whole installation, with all that can be broken: PostgreSQL, two web processes and workers, a door, stand-ins.

Or on several machines (`machines`), each with processes of most kinds.
"""

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
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import requests
import yaml
from sqlalchemy import func, make_url, select

from bot import door_keys
from bot.app import Parts, join
from bot.cli import agencies
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
from bot.store.embedded import SOCKET, Embedded
from bot.store.engine import reading
from bot.vault import Secret, new_key
from flows.speech import sentence
from flows.words import Account, Server
from tests.chaos.gate import Gate
from tests.chaos.inside import CLAIMS, CLOCK, HERE, JOURNALS, POINTS, RESULTS
from tests.chaos.machines import Machine, Network, kinds_at
from tests.chaos.office import DOMAIN as OFFICE
from tests.chaos.office import PROVIDER, Office, signs_in
from tests.chaos.points import VARIABLE, Kind, Plans

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bot.playground.twilio_api import Message, Person
    from bot.store.engine import Connection
    from tests.chaos.desk import Desk
    from tests.rabbit import Rabbit

ROOT = Path(__file__).parents[2]
AGENCY = "Seaside Homes"
DOMAIN = "sandbox.test"
PASSWORD = "quiet-harbor-2718"
KEPT = 200  # mails in a folder of the sandbox: the audit wants to see all of them
READY_SECONDS = 60.0
LOOK_SECONDS = 0.05
EARLY = 15.0  # seconds in which a process may still fail to start, because PostgreSQL is away
EARLY_WHERE_CUT = 60.0  # ... on a machine whose wires were cut meanwhile
NO_START = 4  # gunicorn, for the same reason
SKEW = 1.0  # seconds by which a process's clock may be wrong
JUMP_SECONDS = 20.0
UNFINISHED = ("todo", "doing")
WAITING = (
    promises.CASE_TIME,
    promises.CASE_WINDOW,
    promises.FOLLOW_UP,
    promises.KEEP_GRANTS,
    promises.LOOK_AROUND,
    promises.LOOK_FOR_ENDS,
    promises.NUDGE,
    promises.RECONCILE,
    promises.RENEW_TOKENS,
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
    port: int = 0  # where it listens, if it does
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

    def __init__(
        self,
        home: Path,
        seed: int,
        people: Sequence[str],
        *,
        door: bool = False,
        machines: int = 1,
        broker: Rabbit | None = None,
        desk: Desk | None = None,
    ) -> None:
        """`people`: names; each has a mailbox of this name, and one for what they write (`recipient`).

        `door`: whether there is one, with a mailbox for what they send through it (`client`) and `keys` by name.
        `machines`: on how many all of it runs. `broker`: tells the wake-ups, in place of PostgreSQL. `desk`: where
        people talk with a team.
        """
        self.home = home
        self._chance = random.Random(f"{seed} processes")
        self._plans = Plans(self._chance)
        self.twilio = LoggingTwilio()
        boxes = [box for name in people for box in (address(name), recipient(name), client(name))]
        self.gate = Gate([], random.Random(f"{seed} gate"))
        signing_in = tuple(address(name) for name in people if signs_in(name))
        self.office = Office(signing_in, f"{self.gate.url}/oauth/microsoft/callback")
        passwords = {box: PASSWORD for box in boxes if box not in signing_in}
        self.sandbox = self.office.sandbox = Sandbox(home, mailboxes=passwords, tokens=self.office.identity)
        self.postgres = Embedded(home / "postgres")
        self.doorway = Gate([], random.Random(f"{seed} doorway"))
        self.door_port = self.doorway.port if door else 0
        self.broker, self.desk = broker, desk
        self.network = Network()
        self.machines = [Machine(number) for number in range(machines)]
        self.keys: dict[str, str] = {}
        self.children: list[Child] = []
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")
        self._over = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(patch.object(mail, "FOLDER_MESSAGES", KEPT))
            for part in (self.postgres, self.sandbox, self.twilio, self.gate, self.doorway, self.network, self.office):
                stack.enter_context(part)
            for more in (self.broker, self.desk):
                if more is not None:
                    stack.enter_context(more)
            if self.desk is not None:
                self.desk.slack.events_url = f"{self.gate.url}/slack/events"
            stack.callback(self._kill_all)
            self.twilio.webhook_url = f"{self.gate.url}/whatsapp#rc=3&rp=all"
            migrated(self.postgres.url)
            self.environment = self._settings()
            self.parts: Parts = join(load(self.environment), self.postgres.url)
            stack.callback(self.parts.close)
            self.invitation = self._invitation()
            self._make_children()
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
        account = self._account(name)
        with parts.engine.begin() as db:
            people_store.add_contact(
                db, channel="whatsapp", address=number, external_id=None, name=name, language="en", at=now
            )
            (contact,) = people_store.find_contact(db, number)
            member = people_store.add_member(db, contact.id, self._agency, name, "member", now)
            people_store.act_for(db, contact.id, member, "en")
            values = {
                "address": mine, "user_name": mine, "host": account.server.host, "port": account.server.port,
                "security": account.server.security, "secret_id": self._secret(db, name, contact.id),
                "state": "works", "since": now,
            }  # fmt: skip
            mailboxes.save(db, member, values)
            if self.door_port:
                self.keys[name] = self._key(db, member)

    def _account(self, name: str) -> Account:
        mine = address(name)
        if signs_in(name):
            return self.office.account(mine)
        return Account(mine, mine, Server(self.sandbox.host, self.sandbox.ports["smtps"], "tls"))

    def _secret(self, db: Connection, name: str, owner: UUID) -> UUID:
        parts, account = self.parts, self._account(name)
        if signs_in(name):
            return self.office.secret(parts, db, owner, account)
        return parts.safe.put(
            db, Secret(PASSWORD), kind="mailbox.password", owner=owner, use=use_of(account), now=parts.clock.now()
        )

    # --- processes ---

    def of(self, kind: Kind) -> list[Child]:
        """The processes of a kind, on machines that run."""
        return [
            child
            for machine in self.machines
            for child in machine.children
            if child.kind == kind and not machine.is_away
        ]

    def calm_down(self) -> None:
        """Kill everything once more; what starts now lives."""
        for child in self.children:
            child.calm = True
            child.kill()
        self.parts.engine.dispose()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until all web processes answer, and somebody listens at each door. Raises TimeoutError."""
        for child in self.of("web"):
            wait_until(partial(_is_ready, child.port), READY_SECONDS, f"{child.name} to answer\n{self.last_lines()}")
        for child in self.of("door"):
            wait_until(partial(_is_open, child.port), READY_SECONDS, f"{child.name}\n{self.last_lines()}")

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

    def at_work(self) -> list[Machine]:
        """The machines on which a promise is performed just now, as the journals tell it."""
        held = {tuple(line.split()[:3]) for line in self.written(CLAIMS)}
        held -= {tuple(line.split()[:3]) for line in self.written(RESULTS)}
        busy = {int(process) for process, *_ in held}
        return [machine for machine in self.machines if busy & machine.processes]

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
            **self.office.settings(),
            **(self.desk.settings() if self.desk is not None else {}),
            **({"BROKER_URL": self.broker.url} if self.broker is not None else {}),
        }

    def _table(self) -> Path:
        smtp, submission, imap = (
            {"host": self.sandbox.host, "port": self.sandbox.ports[name], "security": security}
            for name, security in (("smtps", "tls"), ("submission", "starttls"), ("imaps", "tls"))
        )
        today = datetime.now(UTC).date()
        row = {
            "id": "sandbox", "family": "sandbox", "name": "Sandbox Mail", "domains": [DOMAIN], "servers": [smtp],
            "imap": [imap], "sent_copy": "never", "checked": today,
        }  # fmt: skip
        office = {**PROVIDER, "servers": [submission], "imap": [imap], "checked": today}
        file = self.home / "providers.yaml"
        file.write_text(yaml.safe_dump({"providers": [row, office]}))
        return file

    def _invitation(self) -> str:
        """The message with which anybody joins the agency that is made here."""
        self._agency = UUID(agencies.add_agency(self.parts, AGENCY, "en", "UTC", "")["id"])
        code = agencies.invite(self.parts, AGENCY, "member", "", agencies.MAX_USES)["code"]
        return sentence("invitation.text", "en", code=str(code))

    def _make_children(self) -> None:
        """One machine has two of web and worker, so that there is always somebody left."""
        machines, has_doors = self.machines, bool(self.door_port)
        if len(machines) == 1:
            kinds = ["web", "web", "worker", "worker", "door"]
            machines[0].children = self._made([kind for kind in kinds if has_doors or kind != "door"], {}, "")
        else:
            for machine in machines:
                self._lay_wires(machine)
                kinds = [kind for kind in kinds_at(machine.number, len(machines)) if has_doors or kind != "door"]
                machine.children = self._made(kinds, machine.settings, f"{machine.name}-")
        self.children = [child for machine in machines for child in machine.children]
        self.gate.lead_to(self._ways_to("web"))
        self.doorway.lead_to(self._ways_to("door"))

    def _made(self, kinds: Sequence[str], settings: Mapping[str, str], prefix: str) -> list[Child]:
        made: list[Child] = []
        for number, kind in enumerate(kinds):
            (port,) = _free_ports(1)
            name = f"{prefix}{kind}-{number}"
            if kind == "web":
                command = web_command(load({**self.environment, "PORT": str(port)}))[2:]
                made.append(Child("web", name, command, settings, port))
            elif kind == "door":
                made.append(Child("door", name, ["bot", "door"], {**settings, **self._door_settings(port)}, port))
            else:
                made.append(Child("worker", name, ["bot", "worker"], settings))
        return made

    def _lay_wires(self, machine: Machine) -> None:
        """To all that the machine reaches elsewhere; the mail server has its own name and ports there, too."""
        machine.cable, here = self.network.cable(), machine.address
        lay = machine.cable.lay
        for port in self.sandbox.ports.values():
            lay(("127.0.0.1", port), here, port)
        database = make_url(self.postgres.url)
        socket_path = f"{database.query['host']}/{SOCKET}"
        machine.settings = {
            HERE: here,
            "DATA_DIR": str(self.home / machine.name),
            "DATABASE_URL": str(database.set(query={}, host=here, port=lay(socket_path, here))),
            "TWILIO_API_URL": f"http://127.0.0.1:{lay(_place(self.twilio.url))}",
        }
        if self.desk is not None:
            machine.settings["SLACK_API_URL"] = f"http://127.0.0.1:{lay(_place(self.desk.slack.url))}/api"
        if self.broker is not None:
            url = urlsplit(self.broker.url)
            port = lay(_place(self.broker.url), here)
            machine.settings["BROKER_URL"] = self.broker.url.replace(url.netloc, f"guest:guest@{here}:{port}")

    def _ways_to(self, kind: Kind) -> list[int]:
        """The ports at which processes of a kind are reached: over their machine's cable, if it has one."""
        return [
            machine.cable.lay(("127.0.0.1", child.port)) if machine.cable is not None else child.port
            for machine in self.machines
            for child in machine.children
            if child.kind == kind
        ]

    def _door_settings(self, port: int) -> dict[str, str]:
        """For the door alone: were the others told of it, people would be offered its keys in the chat."""
        return door_settings(self.sandbox) | {"DOOR_PORT": str(port)}

    def _key(self, db: Connection, member: UUID) -> str:
        """With this a member's program signs in at the door."""
        saved = mailboxes.of_member(db, member)
        assert saved is not None
        key, hashed = door_keys.make()
        doors.make(db, saved.id, hashed, self.parts.clock.now())
        return key.reveal()

    def _supervise(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for machine in self.machines:
                for child in machine.children:
                    if not machine.is_away and (child.process is None or child.process.poll() is not None):
                        self._start_again(child, machine)

    def _start_again(self, child: Child, machine: Machine) -> None:
        if child.process is not None:
            child.deaths += 1
            status, lived = child.process.returncode, time.monotonic() - child.started
            if status not in {-signal.SIGKILL, NO_START} and lived > (EARLY_WHERE_CUT if machine.absences else EARLY):
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


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def address(name: str) -> str:
    """The address that somebody writes from."""
    return f"{name}@{OFFICE if signs_in(name) else DOMAIN}"


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
