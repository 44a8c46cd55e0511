"""Twilio and Slack as the bench needs them: takes every request at once and notes when it came.

Not the stand-in of the playground: that one checks and remembers everything, which costs more than what is measured.
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections import defaultdict
from typing import Self
from urllib.parse import parse_qs

PATIENCE = 60.0  # seconds until a message must have come, on a machine that may be busy
SLACK = "/api/"  # where its methods lie
MAX_LINE = 8_192


class Provider:
    """Serves on 127.0.0.1 while it is a context; `url` is the base of its API.

    `answer_after`: seconds that it thinks about every request.
    """

    def __init__(self) -> None:
        self.answer_after = 0.0
        self._arrived: dict[str, list[float]] = defaultdict(list)
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="provider")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, path: str, body: bytes) -> bytes:
        """One request: noted, thought about, answered."""
        at = time.monotonic()
        if path.endswith("/Messages.json"):
            with self._changed:
                self._arrived[parse_qs(body.decode())["To"][0]].append(at)
                self._changed.notify_all()
        time.sleep(self.answer_after)
        if path.startswith(SLACK):
            return json.dumps({"ok": True, "channel": "D0BENCH", "ts": f"{time.monotonic():.6f}"}).encode()
        return json.dumps({"sid": f"SM{time.monotonic_ns():032x}", "status": "queued", "success": True}).encode()

    def arrivals(self, number: str, count: int) -> list[float]:
        """When the messages to this number came (`time.monotonic`), once there are `count`. Raises TimeoutError."""
        mine = self._arrived[f"whatsapp:{number}"]
        with self._changed:
            if not self._changed.wait_for(lambda: len(mine) >= count, PATIENCE):
                raise TimeoutError(f"{len(mine)} of {count} messages came to {number}.")
            return list(mine)

    def forget(self) -> None:
        """Begin anew."""
        with self._changed:
            for mine in self._arrived.values():
                mine.clear()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], provider: Provider) -> None:
        self.provider = provider
        super().__init__(address, _Session)


class _Session(socketserver.StreamRequestHandler):
    """One connection, kept alive."""

    server: _Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while start := self.rfile.readline(MAX_LINE):
            length = 0
            while (line := self.rfile.readline(MAX_LINE)).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            path = start.split()[1].decode()
            answer = self.server.provider.take(path, self.rfile.read(length))
            status = "200 OK" if path.startswith(SLACK) else "201 Created"
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
            self.wfile.write(head.encode() + answer)
