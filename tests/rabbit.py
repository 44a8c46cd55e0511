"""A real RabbitMQ for tests: a private one on free loopback ports, gone afterwards; the system's is not touched."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
MAPPER = "epmd"  # Erlang's; left to itself it is started as a daemon and stays
LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0


class Rabbit:
    """A broker that can be ended and come back at the same address."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ports = _free_ports(3)
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """Its address, for BROKER_URL."""
        return f"amqp://guest:guest@{LOOPBACK}:{self._ports[0]}/"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def start(self) -> None:
        """Until it takes connections."""
        port, distribution, mapper = map(str, self._ports)
        nothing = str(self._home / "nothing")
        environment = {
            **os.environ,
            "HOME": str(self._home),  # its cookie
            "RABBITMQ_NODENAME": f"ally{port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self._home / "db"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": distribution,
            "ERL_EPMD_PORT": mapper,
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_CONFIG_FILE": nothing,
            "RABBITMQ_ENABLED_PLUGINS_FILE": nothing,
        }
        for command in ([MAPPER, "-address", LOOPBACK, "-port", mapper], [SERVER]):
            with (self._home / "log").open("ab") as log:
                begun = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            self._processes.append(begun)
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._processes[-1].poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"RabbitMQ did not start: {(self._home / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it without a word, as a machine that loses its power."""
        while self._processes:
            process = self._processes.pop()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self._ports[0]), 1) as line:
                line.sendall(b"AMQP\x00\x00\x09\x01")
                line.settimeout(2)
                return bool(line.recv(1))
        except OSError:
            return False


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture(scope="session")
def rabbit() -> Iterator[Rabbit]:
    """A broker for all tests of a session."""
    if not SERVER.exists():
        reason = "RabbitMQ is not installed: run `make world`."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Rabbit(Path(tempfile.mkdtemp(prefix="ally-rabbit-"))) as running:
        yield running
