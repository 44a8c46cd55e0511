"""`python -m bot door` as a process of its own, with people whose mailboxes lie at a real mail server.

with DoorHouse(url, home, server) as house:
    people = house.people(["ana@agencia.test"], {"ana@agencia.test": "her password"})
    house.start()
    house.port, people[0].key

`before(servers, url, home)` makes one with Ana and Bruno before Postfix and Dovecot.
"""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import psutil
import trustme
import yaml
from sqlalchemy import insert, select

from bot import door_keys, hands
from bot.app import Parts, create_worker, join
from bot.safe import use_of
from bot.settings import load
from bot.store import doors, promises, tables
from bot.store.engine import reading
from bot.vault import Secret, new_key
from flows.words import Account, Server
from tests.chaos.inside import JOURNALS
from tests.chaos.points import VARIABLE
from tests.dns_server import DnsServer
from tests.doorway import HOST, certificate, raw
from tests.mailservers import LOOPBACK, MailServers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
OF_ONE_AGENCY = 3
ANA, BRUNO = "ana@agencia.test", "bruno@agencia.test"
PASSWORDS = {ANA: "açaí: chá e {pão}", BRUNO: "bruno-signs-in"}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a mailbox that works, and the key to the door."""

    address: str
    key: str = field(repr=False)


class DoorHouse:
    """See the head of the module. The mail server: its host, port, authority; `names`: a name server's address."""

    def __init__(self, url: str, home: Path, *, host: str, port: int, authority: Path, names: str, **more: str) -> None:
        self.home = home
        self.server = Server(host, port, "tls")
        self.authority = trustme.CA()
        self.ca = home / "door-ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        files = certificate(self.authority, home)
        self.environment = {
            "PATH": os.environ["PATH"], "DATABASE_URL": url, "DATA_DIR": str(home / "data"), "SECRET_KEYS": new_key(),
            "DOOR_HOST": HOST, "DOOR_CERT": str(files[0]), "DOOR_KEY": str(files[1]), "DOOR_PORT": str(_free_port()),
            "SMTP_ALLOW_NETWORKS": "127.0.0.0/8 ::1/128", "SMTP_ALLOW_PORTS": str(port),
            "SSL_CERT_FILE": str(authority),
            "DNS_SERVER": names, "LOG_FORMAT": "json", "DISCOVERY": "tables", **more,
        }  # fmt: skip
        self.parts: Parts = join(load(self.environment), url)
        self.ana: Person
        self.bruno: Person
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.parts.close()

    def people(self, passwords: Mapping[str, str]) -> list[Person]:
        """People with these addresses and passwords, three to an agency."""
        return [self._person(address, password, number) for number, (address, password) in enumerate(passwords.items())]

    def start(self, *, dies: str = "", **more: str) -> psutil.Process:
        """The door as a process; waits until it is open. `dies`: at which named point (`tests.chaos.points`)."""
        chaos = {VARIABLE: f"{dies} 1", JOURNALS: str(self.home)} if dies else {}
        command = ["tests.chaos.inside", "bot", "door"] if dies else ["bot", "door"]
        log = self.home / "door.log"
        log.write_text("")
        with log.open("ab") as written:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env={**self.environment, **chaos, **more},
                stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not (opened := [line for line in log.read_text().splitlines() if "the door is open" in line]):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the door did not open:\n{log.read_text()}")
            time.sleep(0.05)
        self.port = int(opened[0].partition('"port": ')[2].split(",")[0].rstrip("}"))
        return psutil.Process(self.process.pid)

    def kill(self) -> None:
        """As a power cut does."""
        self._end(signal.SIGKILL)

    def has_died(self) -> bool:
        """Whether it was killed by itself; waits for that."""
        assert self.process is not None
        status, self.process = self.process.wait(START_SECONDS), None
        return status == -signal.SIGKILL

    def stop(self) -> int | None:
        """As an operator does; its exit status."""
        return self._end(signal.SIGTERM)

    def log(self) -> str:
        """What it has logged since its last start."""
        return (self.home / "door.log").read_text()

    def _end(self, number: int) -> int | None:
        if self.process is None:
            return None
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.process = None
        return status

    def _person(self, address: str, password: str, number: int) -> Person:
        now, clear_and_hash = datetime.now(UTC), door_keys.make()
        account = Account(address, address, self.server)
        ids = {name: uuid4() for name in ("member", "contact", "mailbox", "conversation")}
        with self.parts.engine.begin() as db:
            if number % OF_ONE_AGENCY == 0:
                self._agency = uuid4()
                agency = {"id": self._agency, "name": f"Agency {self._agency}", "language": "en", "timezone": "UTC"}
                db.execute(insert(tables.agency).values(**agency, created_at=now))
            db.execute(
                insert(tables.member).values(
                    id=ids["member"], agency_id=self._agency, name="Ana", role="member", created_at=now
                )
            )
            contact = {"channel": "terminal", "address": f"+{ids['contact'].int % 10**12}", "language": "en"}
            db.execute(
                insert(tables.contact).values(id=ids["contact"], member_id=ids["member"], created_at=now, **contact)
            )
            db.execute(insert(tables.membership).values(contact_id=ids["contact"], member_id=ids["member"]))
            secret = self.parts.safe.put(
                db, Secret(password), kind="mailbox.password", owner=ids["contact"], use=use_of(account), now=now
            )
            box = {
                "address": address, "user_name": address, "host": self.server.host, "port": self.server.port,
                "security": "tls", "secret_id": secret, "state": "works", "since": now, "version": 1,
            }  # fmt: skip
            db.execute(insert(tables.mailbox).values(id=ids["mailbox"], member_id=ids["member"], **box))
            db.execute(
                insert(tables.conversation).values(
                    id=ids["conversation"], contact_id=ids["contact"], envelope={}, updated_at=now
                )
            )
            doors.make(db, ids["mailbox"], clear_and_hash[1], now)
        return Person(address, clear_and_hash[0].reveal())


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as free:
        return int(free.getsockname()[1])


# --- Ana and Bruno ----------------------------------------------------------------------------------------------------


@contextmanager
def before(servers: MailServers, url: str, home: Path) -> Iterator[DoorHouse]:
    """The door of Ana and Bruno, not open yet; their provider keeps mail at Dovecot, and files no copies by itself."""
    row = {
        "id": "agencia", "family": "agencia", "name": "Agencia", "domains": ["agencia.test"], "sent_copy": "never",
        "servers": [{"host": servers.host, "port": servers.smtps_port, "security": "tls"}],
        "imap": [{"host": servers.host, "port": servers.imaps_port, "security": "tls"}], "checked": date(2026, 11, 1),
    }  # fmt: skip
    table = home / "providers.yaml"
    table.write_text(yaml.safe_dump({"providers": [row]}), encoding="utf-8")
    with DnsServer({servers.host: [LOOPBACK]}) as dns, DoorHouse(
        url, home, host=servers.host, port=servers.smtps_port, authority=servers.ca_pem,
        names=f"{dns.address[0]}:{dns.address[1]}", PROVIDERS_EXTRA=str(table),
        IMAP_ALLOW_PORTS=str(servers.imaps_port),
    ) as made:  # fmt: skip
        made.ana, made.bruno = made.people(PASSWORDS)
        yield made


def client(house: DoorHouse, person: Person) -> smtplib.SMTP_SSL:
    """smtplib, signed in."""
    context = ssl.create_default_context(cafile=str(house.ca))

    class Client(smtplib.SMTP_SSL):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            sock = super(smtplib.SMTP_SSL, self)._get_socket(LOOPBACK, port, timeout)
            return context.wrap_socket(sock, server_hostname=HOST)

    made = Client(HOST, house.port, local_hostname="ally.example", timeout=30, context=context)
    made.login(person.address, person.key)
    return made


def message(subject: str, to: str = BRUNO, sender: str = ANA, number: int = 1) -> bytes:
    """A mail with a Message-ID of its own."""
    fields = (f"From: Ana <{sender}>", f"To: {to}", f"Subject: {subject}", f"Message-ID: <{number}@{subject}>")
    return raw(*fields, "Date: Mon, 2 Mar 2026 12:00:00 +0000")


def states(house: DoorHouse) -> list[str]:
    """What is known of each mail."""
    with reading(house.parts.engine) as db:
        return [row.state for row in db.execute(select(tables.outgoing_mail.c.state))]


def kept(house: DoorHouse, *kinds: str) -> None:
    """Keep the promises of these kinds that are due, as the worker does."""
    worker = create_worker(house.parts)
    clock = house.parts.clock
    with house.parts.engine.begin() as db:
        claimed = [
            one for lane in ("work", "mail")
            for one in promises.claim(db, lane, 50, clock.now(), clock.now() + hands.LEASES[lane])
        ]  # fmt: skip
    for one in claimed:
        if one.kind in kinds:
            worker._keep(one)
