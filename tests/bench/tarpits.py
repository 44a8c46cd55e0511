"""Mail servers that take a connection, prove who they are, and then say nothing."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import trustme

from tests.bench.site import wait_until

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = tuple(f"127.0.1.{number}" for number in range(1, 31))  # so many, because each host has its limit of tests
QUEUE = 600


class Tarpits:
    """One on each of HOSTS, all on one port, while it is a context. `authority`: the file of their authority."""

    def __init__(self, home: Path) -> None:
        made = trustme.CA()
        self.authority = home / "authority.pem"
        made.cert_pem.write_to_path(str(self.authority))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.issue_cert(*HOSTS).configure_cert(self._context)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tarpits")
        self._guests: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        wait_until(lambda: self.guests == 0, "the tarpits' connections to end")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def guests(self) -> int:
        """How many connections hang."""
        return len(self._guests)

    def wait_for(self, guests: int) -> None:
        """Wait until so many connections hang. Raises TimeoutError."""
        wait_until(lambda: self.guests == guests, f"{guests} connections to hang")

    def hang_up(self) -> None:
        """Close all connections."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()

    async def _open(self) -> None:
        for host in HOSTS:
            server = await asyncio.start_server(self._sit, host, self.port, ssl=self._context, backlog=QUEUE)
            self.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def _sit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._guests.add(writer)
        with suppress(OSError):
            while await reader.read(4096):
                pass
        self._guests.discard(writer)
        writer.close()

    async def _hang_up(self) -> None:
        for writer in list(self._guests):
            writer.transport.abort()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._hang_up()
