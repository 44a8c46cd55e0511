"""Rows of the door: mails a second through it and straight to the same Postfix, what it adds, and idle connections.

The same program sends both ways (`tests.bench.floors.smtp`): Postfix's own `smtp-source` can neither encrypt nor sign
in, and so cannot come in at any door. Without Postfix, or not as root, there are no such rows.
"""

from __future__ import annotations

import json
import resource
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.figures import Row
from tests.bench.site import ROOT
from tests.dns_server import DnsServer
from tests.doorhouse import DoorHouse, Person
from tests.doorway import HOST
from tests.mailservers import LOOPBACK, MailServers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psutil

SESSIONS = 8
MAILS = 50  # of each session; a mailbox may send 60 a minute
LEAST = 0.5
MOST_MEMORY = 150.0  # megabytes
IDLE = 1_000
MEGABYTE = 1_000_000


def rows(url: str, home: Path, rounds: int, keys: str) -> list[Row]:
    """All rows, on a database with our schema whose secrets these keys seal; none where Postfix cannot run."""
    if MailServers.missing():
        return []
    addresses = [f"p{number}@agencia.test" for number in range(SESSIONS * (rounds + 1) + rounds + 1)]
    passwords = dict.fromkeys(addresses, "a-password-of-theirs")
    with ExitStack() as stack:
        servers = stack.enter_context(MailServers(passwords))
        names = stack.enter_context(DnsServer({servers.host: [LOOPBACK]}))
        house = stack.enter_context(
            DoorHouse(
                url,
                home,
                host=servers.host,
                port=servers.smtps_port,
                authority=servers.ca_pem,
                names=f"{names.address[0]}:{names.address[1]}",
                SECRET_KEYS=keys,
            )
        )
        people = house.people(passwords)
        process = house.start()
        memory = _idle(house, process)
        direct = [Person(one.address, passwords[one.address]) for one in people]
        return [*_speed(house, process, servers, people, direct, rounds), memory]


def _speed(
    house: DoorHouse, process: psutil.Process, servers: MailServers, people: Sequence[Person],
    direct: Sequence[Person], rounds: int,
) -> list[Row]:  # fmt: skip
    ours: dict[str, list[float]] = {"rate": [], "alone": [], "cpu": []}
    floor: dict[str, list[float]] = {"rate": [], "alone": []}
    through = (house.port, HOST, house.ca)
    straight = (servers.smtps_port, servers.host, servers.ca_pem)
    _sent(*through, people[:SESSIONS], 5)  # both are warm
    _sent(*straight, direct[:SESSIONS], 5)
    for number in range(1, rounds + 1):
        some = slice(SESSIONS * number, SESSIONS * (number + 1))
        spent = _cpu(process)
        ours["rate"].append(_rate(_sent(*through, people[some], MAILS)))
        ours["cpu"].append(1000 * (_cpu(process) - spent) / (SESSIONS * MAILS))
        floor["rate"].append(_rate(_sent(*straight, direct[some], MAILS)))
        one = slice(-number, -number + 1 or None)
        ours["alone"].append(1000 * median(_sent(*through, people[one], MAILS)["took"]))
        floor["alone"].append(1000 * median(_sent(*straight, direct[one], MAILS)["took"]))
    added = [mine - theirs for mine, theirs in zip(ours["alone"], floor["alone"], strict=True)]
    return [
        Row("mails a second through the door", "a second", ours["rate"], floor["rate"], LEAST, at_least=True),
        Row("CPU of the door for one mail", "ms", ours["cpu"], ()),
        Row("what the door adds to one mail, p50", "ms", added, ()),
    ]


def _sent(port: int, host: str, authority: Path, people: Sequence[Person], mails: int) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.bench.floors.smtp", str(port), host, str(authority), str(mails)]
    accounts = "".join(f"{one.address} {one.key}\n" for one in people)
    done = subprocess.run(command, cwd=ROOT, input=accounts, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode or done.stderr:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout)
    return {**found, "mails": mails * len(people)}


def _rate(sent: dict[str, object]) -> float:
    return float(sent["mails"]) / float(sent["seconds"])  # type: ignore[arg-type]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _idle(house: DoorHouse, process: psutil.Process) -> Row:
    """The megabytes that a thousand connections take which say nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4_096), hard), hard))
    context = ssl.create_default_context(cafile=str(house.ca))
    before = process.memory_info().rss
    with ExitStack() as stack:
        for _ in range(IDLE):
            sock = socket.create_connection(("127.0.0.1", house.port), timeout=30)
            guest = stack.enter_context(context.wrap_socket(sock, server_hostname=HOST))
            if not guest.recv(100).startswith(b"220"):
                raise RuntimeError("a connection was turned away")
        taken = (process.memory_info().rss - before) / MEGABYTE
    return Row(f"memory of {IDLE} idle connections at the door", "MB", [taken], (), MOST_MEMORY)
