"""Where Twilio and browsers reach us: passes every connection to one of the web processes, as a load balancer does.

On several machines the doors have one, too: a name with several addresses.
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_SECONDS = 2.0
IDLE_SECONDS = 20.0
CHUNK = 65_536


class Gate:
    """Listens on 127.0.0.1 while it is a context; `url` leads to it."""

    def __init__(self, ports: Sequence[int], chance: random.Random) -> None:
        self._ports = tuple(ports)
        self._chance = chance
        self._lock = threading.Lock()
        self._swallow = 0
        self._server = _Server(("127.0.0.1", 0), self)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="gate")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lead_to(self, ports: Sequence[int]) -> None:
        """From now on those who come are passed on to these."""
        with self._lock:
            self._ports = tuple(ports)

    def swallow_answers(self, times: int) -> None:
        """Break the next connections at the first byte of the answer: the request was served, and nobody learns it."""
        with self._lock:
            self._swallow = times

    def swallows(self) -> bool:
        """Whether an answer that comes now is to be lost."""
        with self._lock:
            lost = self._swallow > 0
            self._swallow -= lost
            return lost

    def connect(self) -> socket.socket | None:
        """A connection to a web process; None when none listens."""
        with self._lock:
            ports = self._chance.sample(self._ports, len(self._ports))
        for port in ports:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS)
        return None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], gate: Gate) -> None:
        self.gate = gate
        super().__init__(address, _Passage)


class _Passage(socketserver.BaseRequestHandler):
    """One connection, passed on until either side closes it."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        behind = self.server.gate.connect()
        if behind is None:
            return
        with behind, contextlib.suppress(OSError), selectors.DefaultSelector() as ready:
            ready.register(self.request, selectors.EVENT_READ, behind)
            ready.register(behind, selectors.EVENT_READ, self.request)
            while self._pass_on(ready, behind):
                pass

    def _pass_on(self, ready: selectors.BaseSelector, behind: socket.socket) -> bool:
        """Pass on what has come; whether there may be more."""
        events = ready.select(IDLE_SECONDS)
        for key, _ in events:
            source, target = key.fileobj, key.data
            assert isinstance(source, socket.socket)
            data = source.recv(CHUNK)
            if not data or (source is behind and self.server.gate.swallows()):
                return False
            target.sendall(data)
        return bool(events)
