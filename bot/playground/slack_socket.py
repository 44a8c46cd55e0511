"""Socket Mode: the WebSocket server of the stand-in for Slack, in a thread of its own.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Overdue
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

MAX_CONNECTIONS = 10
_PATIENCE = 60.0  # seconds that the thread may take for what takes none
_GOODBYE = 0.5  # seconds for a client to say goodbye as well


@dataclass(slots=True)
class Envelope:
    """One thing on its way through a socket; `acked` holds what came back with the ack."""

    message: dict[str, Any]
    socket: web.WebSocketResponse
    acked: Future[Any] = field(default_factory=Future)


class Sockets:
    """The sockets of one app. All methods may be called from any thread. It listens from the first `address` on.

    `came`: called, in a thread of its own, whenever a client has connected.
    """

    def __init__(self, app_id: str, changed: threading.Condition, came: Callable[[], None]) -> None:
        self._app_id, self._changed, self._came = app_id, changed, came
        self._allowed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Event | None = None
        self._port = 0
        self._tickets: set[str] = set()
        self._open: list[web.WebSocketResponse] = []
        self._turn = 0
        self.arrivals = 0  # how many connections there have been
        self._waiting: dict[str, Envelope] = {}
        self._welcomes: list[threading.Thread] = []

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        with self._changed:
            return len(self._open)

    def allow(self) -> None:
        """Give addresses from now on."""
        self._allowed = True

    def address(self) -> str:
        """A new address, good for one connection. Raises ConnectionError when it has ended."""
        with self._changed:
            if not self._allowed:
                raise ConnectionError("There are no sockets any more.")
            if self._thread is None:
                self._start()
            ticket = secrets.token_urlsafe(18)
            self._tickets.add(ticket)
            return f"ws://127.0.0.1:{self._port}/link/?ticket={ticket}&app_id={self._app_id}"

    def deliver(
        self, kind: str, payload: Mapping[str, Any], told: Mapping[str, Any], *, accepts: bool, within: float
    ) -> tuple[bool, Any]:
        """Send an envelope to one of the sockets and wait for its ack: whether it came, and what came with it."""
        name = secrets.token_hex(16)
        message = {"envelope_id": name, "type": kind, "payload": payload, "accepts_response_payload": accepts}
        with self._changed:
            if self._loop is None or not self._open:
                return False, None
            loop = self._loop
            envelope = Envelope({**message, **told}, self._open[self._turn % len(self._open)])
            self._turn += 1
            self._waiting[name] = envelope
        try:
            asyncio.run_coroutine_threadsafe(_send(envelope.socket, envelope.message), loop).result(within)
            return True, envelope.acked.result(within)
        except (Overdue, ConnectionError):
            return False, None
        finally:
            with self._changed:
                self._waiting.pop(name, None)

    def drop(self, *, warn: bool = False) -> None:
        """Close every connection; `warn`: with the word that the client had better come again."""
        with self._changed:
            loop, sockets = self._loop, list(self._open)
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_close(sockets, warn=warn), loop).result(_PATIENCE)

    def stop(self) -> None:
        """End the thread, and with it every connection."""
        with self._changed:
            self._allowed = False
            self._tickets.clear()
        self.drop()
        with self._changed:
            thread, loop, ended = self._thread, self._loop, self._ended
            welcomes, self._welcomes = self._welcomes, []
        if thread is not None and loop is not None and ended is not None:
            loop.call_soon_threadsafe(ended.set)
            thread.join()
        for welcome in welcomes:
            welcome.join()
        with self._changed:
            self._thread = self._loop = self._ended = None

    # --- inside the thread -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        ready: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="slack-sockets")
        self._thread.start()
        self._port = ready.result(_PATIENCE)

    async def _serve(self, ready: Future[int]) -> None:
        app = web.Application()
        app.router.add_get("/link/", self._link)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GOODBYE)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        ready.set_result(runner.addresses[0][1])
        await self._ended.wait()
        await runner.cleanup()

    async def _link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        with self._changed:
            if ticket not in self._tickets or len(self._open) >= MAX_CONNECTIONS:
                return web.Response(status=403, text="no such link, or too many")
            self._tickets.discard(ticket)
        socket = web.WebSocketResponse(timeout=_GOODBYE)
        await socket.prepare(request)
        hello = self._hello(socket)  # nothing is sent before it: there is no pause between these two lines
        try:
            await _send(socket, hello)
            self._welcome()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._take(message.data)
        finally:
            self._part(socket)
        return socket

    def _hello(self, socket: web.WebSocketResponse) -> dict[str, Any]:
        with self._changed:
            self._open.append(socket)
            count = len(self._open)
        debug = {"host": "applink-stand-in", "build_number": 1, "approximate_connection_time": 18060}
        app = {"app_id": self._app_id}
        return {"type": "hello", "num_connections": count, "debug_info": debug, "connection_info": app}

    def _welcome(self) -> None:
        welcome = threading.Thread(target=self._came, name="slack-redelivery")
        with self._changed:
            self.arrivals += 1
            self._welcomes = [one for one in self._welcomes if one.is_alive()] + [welcome]
            self._changed.notify_all()
            welcome.start()

    def _part(self, socket: web.WebSocketResponse) -> None:
        """A connection has ended: what was on its way through it is not acknowledged."""
        with self._changed:
            self._open.remove(socket)
            for envelope in self._waiting.values():
                if envelope.socket is socket and not envelope.acked.done():
                    envelope.acked.set_exception(ConnectionError("the socket was closed"))
            self._changed.notify_all()

    def _take(self, text: str) -> None:
        """An ack: the envelope's id, and a payload where one is accepted."""
        try:
            said = json.loads(text)
        except ValueError:
            return
        with self._changed:
            envelope = self._waiting.get(str(said.get("envelope_id"))) if isinstance(said, dict) else None
            if envelope is not None and not envelope.acked.done():
                envelope.acked.set_result(said.get("payload") if envelope.message["accepts_response_payload"] else None)


async def _send(socket: web.WebSocketResponse, message: Mapping[str, Any]) -> None:
    await socket.send_str(json.dumps(message))


async def _close(sockets: list[web.WebSocketResponse], *, warn: bool) -> None:
    for socket in sockets:
        if warn:
            word = {"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "applink-stand-in"}}
            await _send(socket, word)
        await socket.close()
