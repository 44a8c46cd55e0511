"""A file from somebody's web server: https only, through the guard at every step, bounded in time and size.

The address of the file comes from what a person typed or from another web server, so that every host on the way may be
one that was made up to reach inside our network (see `guard.py`).
"""

import http.client
import io
import re
import socket
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self, cast
from urllib.parse import urljoin, urlsplit

from bot.mail.wire.guard import Guard, ascii_host
from bot.mail.wire.smtp import Deadline, Network

HTTPS = 443
MAX_BODY = 65_536
MAX_REDIRECTS = 5
_MAX_WIRE = 2 * MAX_BODY  # with headers and the marks of chunks
_MAX_URL = 2_048
_URL = re.compile(r"[!-~]+")
_HEADERS = {"Connection": "close", "Accept-Encoding": "identity", "User-Agent": "ally-mail-assistant"}
_OK = 200
_MOVED = frozenset({301, 302, 303, 307, 308})


class NotFetched(Exception):
    """There is no such file, or none that we take. The text is for staff."""


@dataclass(frozen=True)
class _Place:
    """A host (ASCII) and the path on it, both checked."""

    host: str
    path: str


@dataclass(frozen=True)
class Web:
    """Web servers as we reach them: guard, TLS context, and the one port on which https is spoken."""

    guard: Guard
    context: ssl.SSLContext
    port: int

    @classmethod
    def of(cls, network: Network, port: int = HTTPS) -> Self:
        """The web behind the same guard and with the same trust as the mail servers."""
        return cls(network.guard.only_ports(port), network.context, port)

    def get(self, url: str, deadline: Deadline) -> bytes:
        """The body at `url`, at most 64 KiB, after at most 5 redirects.

        Raises NotFetched, GuardError (a host that is not connected to), or OSError (network, TLS, deadline).
        """
        for _ in range(MAX_REDIRECTS + 1):
            place = self._place(url)
            body, location = self._ask(place, deadline)
            if location is None:
                return body
            url = _joined(url, location)
        raise NotFetched("too many redirects")

    def _place(self, url: str) -> _Place:
        """Raises NotFetched or BadHost for an address that is not plain https on our port."""
        _check(url)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise NotFetched("not an address of the web") from None
        if parts.scheme != "https":
            raise NotFetched("not https")
        if parts.username is not None or parts.password is not None or port not in {None, self.port}:
            raise NotFetched("a user name or a port in the address")
        return _Place(
            ascii_host(parts.hostname or ""), (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        )

    def _ask(self, place: _Place, deadline: Deadline) -> tuple[bytes, str | None]:
        """The body, or where it lies instead."""
        endpoints = self.guard.resolve(place.host)
        with self.guard.connect(endpoints, self.port, deadline.remaining()) as sock:
            sock.settimeout(deadline.remaining())
            with self.context.wrap_socket(sock, server_hostname=place.host) as secured:
                try:
                    return _exchange(secured, place, deadline)
                except http.client.HTTPException as error:
                    raise NotFetched(type(error).__name__) from None


def secure_url(url: str) -> str:
    """An address that a secret may be sent to, as it is: https, or plain http on this very machine.

    Raises ValueError for any other.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
    if not secure or not parts.hostname or parts.username is not None:
        raise ValueError("not https")
    if len(url) > _MAX_URL or not _URL.fullmatch(url):
        raise ValueError("not an address of the web")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check(url: str) -> None:
    """Raise NotFetched for what is no URL; urlsplit and urljoin would drop line breaks in silence."""
    if len(url) > _MAX_URL or not _URL.fullmatch(url):
        raise NotFetched("not an address of the web")


def _joined(url: str, location: str) -> str:
    _check(location)
    try:
        return urljoin(url, location)
    except ValueError:
        raise NotFetched("not an address of the web") from None


def _exchange(sock: ssl.SSLSocket, place: _Place, deadline: Deadline) -> tuple[bytes, str | None]:
    connection = http.client.HTTPConnection(f"[{place.host}]" if ":" in place.host else place.host)
    connection.sock = sock
    sock.settimeout(deadline.remaining())
    connection.request("GET", place.path, headers=_HEADERS)
    with http.client.HTTPResponse(cast("socket.socket", Incoming(sock, deadline)), method="GET") as response:
        response.begin()
        location = response.getheader("Location")
        if response.status in _MOVED and location:
            return b"", location
        if response.status != _OK:
            raise NotFetched(f"status {response.status}")
        if response.getheader("Content-Encoding", "identity").lower() != "identity":
            raise NotFetched("compressed although asked not to be")
        body = response.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise NotFetched("too large")
    return body, None


class Incoming(io.RawIOBase):
    """What a web server sends: http.client's own timeout holds for one read only, this one for the whole.

    Raises NotFetched for an answer of more than 128 KiB.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        """An answer on `sock`, which is to be here by `deadline`."""
        super().__init__()
        self._sock = sock
        self._deadline = deadline
        self._room = _MAX_WIRE

    def makefile(self, _mode: str) -> io.BufferedReader:
        """All that HTTPResponse wants of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next bytes, into `buffer`; how many there were."""
        if self._room <= 0:
            raise NotFetched("too large")
        self._sock.settimeout(self._deadline.remaining())
        count = self._sock.recv_into(buffer)
        self._room -= count
        return count
