"""`python -m bot door` as a process of its own, with people whose mailboxes lie at a real mail server.

with DoorHouse(url, home, server) as house:
    people = house.people(["ana@agencia.test"], {"ana@agencia.test": "her password"})
    house.start()
    house.port, people[0].key
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import psutil
import trustme
from sqlalchemy import insert

from bot import door_keys
from bot.app import Parts, join
from bot.safe import use_of
from bot.settings import load
from bot.store import doors, tables
from bot.vault import Secret, new_key
from flows.words import Account, Server
from tests.doorway import HOST, certificate
from tests.mailservers import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
OF_ONE_AGENCY = 3


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

    def start(self, **more: str) -> psutil.Process:
        """The door as a process; waits until it is open."""
        log = self.home / "door.log"
        log.write_text("")
        with log.open("ab") as written:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bot", "door"], cwd=ROOT, env={**self.environment, **more},
                stdin=subprocess.DEVNULL, stdout=written, stderr=written,
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
