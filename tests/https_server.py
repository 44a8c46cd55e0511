"""A web server on loopback that speaks https for any number of names, and does what a test tells it to."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Page = Callable[[BaseHTTPRequestHandler], None]


def page(body: bytes | str, kind: str = "text/xml", **headers: str) -> Page:
    """Status 200 with a body."""
    data = body.encode() if isinstance(body, str) else body

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def moved(location: str, status: int = 302) -> Page:
    """A redirect."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class HttpsServer:
    """Serves `pages` ("host/path" without a query -> Page); all else is 404. `asked` holds every "host/path?query".

    `headers` holds those of the last request; `connections` counts them, also those whose handshake failed.
    """

    def __init__(self, context: ssl.SSLContext, pages: dict[str, Page] | None = None) -> None:
        self.pages = dict(pages or {})
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.connections = 0
        self._server = _Server(context, self)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, owner: HttpsServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.owner = owner

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        """In the connection's own thread: the handshake, then the request."""
        self.owner.connections += 1
        with suppress(OSError):
            request.settimeout(20)
            with self.context.wrap_socket(request, server_side=True) as secured:
                _Handler(secured, client_address, self)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        owner = self.server.owner
        place = f"{self.headers['Host']}{self.path}"
        owner.asked.append(place)
        owner.headers = dict(self.headers.items())
        answer = owner.pages.get(place.partition("?")[0])
        if answer is None:
            self.send_error(404)
            return
        answer(self)

    def log_message(self, *_: object) -> None:
        """Tests are silent."""
