"""The address guard: every connection to a mail server goes through it, and nothing resolves a name a second time.

A form that tests mail servers is used as a port scanner unless it judges every address (see docs/security.md). A
name is resolved once, all its addresses are judged, and the connection goes to one of those very addresses, so that
a second DNS answer (rebinding) changes nothing.
"""

import errno
import os
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import chain, zip_longest
from typing import Any, Self

import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
import idna

MAIL_PORTS = frozenset({143, 465, 587, 993})

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_TYPED = 1024
_MAX_NAME = 253
_MAX_ENDPOINTS = 8
_MAX_RECORDS = 8
_LOOPBACK = ("127.0.0.1", "::1")

# What `is_global` lets through or may let through. IPv6: only 2000::/3 is handed out as global unicast (IANA's
# registry), so that multicast, NAT64, site-local, IPv4-compatible and all future ranges fail with one rule.
_GLOBAL_UNICAST = ip_network("2000::/3")
_NEVER: tuple[_Network, ...] = (
    ip_network("2001::/23"),  # IETF protocol assignments, Teredo among them
    ip_network("2002::/16"),  # 6to4: carries an IPv4 address
    ip_network("3fff::/20"),  # documentation (RFC 9637)
    ip_network("192.0.0.0/24"),  # IETF protocol assignments; a cloud's metadata service is in it
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("168.63.129.16/32"),  # the metadata service of a large cloud, on a public address
)


class GuardError(Exception):
    """A host or port that is not connected to. The text is for staff, not for the person who typed it."""


class BadHost(GuardError):
    """Not a host name at all."""


class HostNotFound(GuardError):
    """The name does not exist or has no address."""


class NoSuchName(HostNotFound):
    """The name does not exist, and so nothing below it does (NXDOMAIN, RFC 8020)."""


class ResolverFailed(GuardError):
    """Our name servers gave no answer: says nothing about the host."""


class AddressRefused(GuardError):
    """The host lies in a network that we do not connect to."""


class PortRefused(GuardError):
    """The port is none of mail, or not a port."""


@dataclass(frozen=True)
class Endpoint:
    """One judged address, and the name (ASCII) that its certificate must prove."""

    host: str
    address: str

    @property
    def family(self) -> socket.AddressFamily:
        """The address family."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


@dataclass(frozen=True)
class Service:
    """One SRV record (RFC 2782): a host, not judged yet, and the port on which it offers the service."""

    priority: int
    weight: int
    port: int
    host: str


class Guard:
    """Decides which hosts and ports may be connected to, and connects.

    `allow_networks` (CIDR) opens networks that are otherwise refused, `allow_ports` adds ports. `nameserver`
    (address, port) replaces the system's name servers. `lifetime` bounds one resolution, `stagger` is the time
    that a connection attempt has before the next address is tried beside it; both in seconds.
    """

    def __init__(
        self,
        *,
        allow_networks: Iterable[str] = (),
        allow_ports: Iterable[int] = (),
        nameserver: tuple[str, int] | None = None,
        lifetime: float = 5.0,
        stagger: float = 0.3,
    ) -> None:
        """Raise ValueError for a network that is none."""
        self._networks: tuple[_Network, ...] = tuple(ip_network(network) for network in allow_networks)
        self._ports = MAIL_PORTS | frozenset(allow_ports)
        self._nameserver = nameserver
        self._lifetime = lifetime
        self._stagger = stagger

    def check_port(self, port: int) -> None:
        """Raise PortRefused unless mail is spoken there."""
        if port not in self._ports:
            raise PortRefused(f"port {port} is not used here")

    def resolve(self, host: str) -> tuple[Endpoint, ...]:
        """The addresses of a host (name or IP literal), every one judged.

        Raises BadHost, HostNotFound, ResolverFailed, or AddressRefused if even one address is not allowed.
        """
        name = ascii_host(host)
        addresses = self._addresses(name)
        for address in addresses:
            self._judge(address)
        return tuple(Endpoint(name, str(_unwrapped(address))) for address in addresses[:_MAX_ENDPOINTS])

    def exchanges(self, domain: str) -> tuple[str, ...]:
        """The hosts of best preference that take a domain's mail (MX), in alphabetical order; () where it has none.

        `(".",)` is the null MX of RFC 7505: the domain takes no mail. The hosts are hints and not judged. Raises
        BadHost, NoSuchName, ResolverFailed.
        """
        found = sorted((data.preference, _name(data.exchange)) for data in self._records(domain, "MX"))
        hosts = [(preference, host) for preference, host in found if host != "."]
        if found and not hosts:
            return (".",)
        return tuple(host for preference, host in hosts if preference == hosts[0][0])[:_MAX_RECORDS]

    def services(self, name: str) -> tuple[Service, ...]:
        """The SRV records of a name such as `_submissions._tcp.agency.example`, the best first; () = not offered.

        By priority, then the heaviest: RFC 2782 spreads clients by chance, but who sets an account up twice should
        find the same. The target "." (RFC 6186, "not offered") is left out. Raises BadHost, NoSuchName,
        ResolverFailed.
        """
        found = (
            Service(data.priority, data.weight, data.port, _name(data.target)) for data in self._records(name, "SRV")
        )
        ordered = sorted(found, key=lambda service: (service.priority, -service.weight, service.host, service.port))
        return tuple(service for service in ordered if service.host != ".")[:_MAX_RECORDS]

    def only_ports(self, *ports: int) -> Self:
        """The same guard for a protocol that is not mail: these ports and no other."""
        other = copy(self)
        other._ports = frozenset(ports)  # noqa: SLF001 - a copy of our own
        return other

    def connect(self, endpoints: tuple[Endpoint, ...], port: int, timeout: float) -> socket.socket:
        """A connected TCP socket to the first address that answers within `timeout` seconds.

        Families alternate, IPv6 first, each attempt starting `stagger` after the one before (RFC 8305). Raises
        PortRefused, or OSError: the most telling one of all attempts.
        """
        self.check_port(port)
        for endpoint in endpoints:
            self._judge(ip_address(endpoint.address))
        with _Race(_alternating(endpoints), port, time.monotonic() + timeout, self._stagger) as race:
            return race.run()

    def _addresses(self, name: str) -> list[_Address]:
        literal = _literal(name)
        if literal is not None:
            return [literal]
        if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: never asked of a name server
            return [ip_address(address) for address in _LOOPBACK]
        return [ip_address(address) for address in self._ask(name)]

    def _ask(self, name: str) -> list[str]:
        with _telling_dns(name):
            answers = self._resolver().resolve_name(name, lifetime=self._lifetime, search=False)
            return list(answers.addresses())

    def _records(self, name: str, kind: str) -> list[Any]:
        """The data of a name's records of one kind; [] where the name exists without any."""
        name = ascii_host(name)
        with _telling_dns(name):
            answer = self._resolver().resolve(
                name, kind, lifetime=self._lifetime, search=False, raise_on_no_answer=False
            )
            return list(answer.rrset or ())

    def _resolver(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=self._nameserver is None)
        if self._nameserver is not None:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(*self._nameserver)]
        return resolver

    def _judge(self, address: _Address) -> None:
        """Raise AddressRefused unless the address is public or in a network that the operator opened."""
        address = _unwrapped(address)
        if not any(address in network for network in self._networks) and not _is_public(address):
            raise AddressRefused(f"{address} is not a public address")


@contextmanager
def _telling_dns(name: str) -> Iterator[None]:
    """Turns what dnspython raises about a name into what this module raises."""
    try:
        yield
    except dns.resolver.NXDOMAIN as error:
        raise NoSuchName(f"{type(error).__name__} for {name}") from None
    except dns.resolver.NoAnswer as error:
        raise HostNotFound(f"{type(error).__name__} for {name}") from None
    except dns.exception.DNSException as error:
        raise ResolverFailed(f"{type(error).__name__} for {name}") from None


def _name(name: dns.name.Name) -> str:
    """A name from a DNS answer, as text in lower case; the root is "."."""
    return name.to_text(omit_final_dot=True).lower()


def ascii_host(host: str) -> str:
    """A typed host in the form for DNS, TLS and comparison: ASCII, lower case, without final dot or brackets.

    IDNA 2008 with the mapping of UTS 46. Raises BadHost.
    """
    text = host.strip()
    if not text or len(text) > _MAX_TYPED:
        raise BadHost("empty or too long")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        return _ipv6(text)
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise BadHost("not a name that DNS can hold") from None
    name = name.removesuffix(".")
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise BadHost("not a host name")
    if name.rpartition(".")[2].isdigit() and _literal(name) is None:
        raise BadHost("neither a name nor an address")
    return name


def _ipv6(text: str) -> str:
    literal = _literal(text)
    if literal is None or "%" in text:
        raise BadHost("not an address")
    return str(literal)


def _literal(text: str) -> _Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address inside ::ffff:0:0/96, which the system would connect to."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _is_public(address: _Address) -> bool:
    if address.version == 6 and address not in _GLOBAL_UNICAST:  # noqa: PLR2004 - IPv6
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NEVER)


def _alternating(endpoints: tuple[Endpoint, ...]) -> Iterable[Endpoint]:
    six = [endpoint for endpoint in endpoints if endpoint.family == socket.AF_INET6]
    four = [endpoint for endpoint in endpoints if endpoint.family == socket.AF_INET]
    return (endpoint for endpoint in chain.from_iterable(zip_longest(six, four)) if endpoint is not None)


class _Race:
    """Connection attempts that start one after another until the first is won; the others are closed."""

    def __init__(self, endpoints: Iterable[Endpoint], port: int, ends: float, stagger: float) -> None:
        self._waiting = deque(endpoints)
        self._port = port
        self._ends = ends
        self._stagger = stagger
        self._next = 0.0
        self._errors: list[OSError] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            self._drop(key.data)
        self._selector.close()

    def run(self) -> socket.socket:
        while self._waiting or self._selector.get_map():
            now = time.monotonic()
            if now >= self._ends:
                self._errors.append(TimeoutError("timed out"))
                break
            if self._waiting and (now >= self._next or not self._selector.get_map()):
                self._start(self._waiting.popleft(), now)
            elif winner := self._wait(now):
                return winner
        raise min(self._errors, key=_telling)

    def _start(self, endpoint: Endpoint, now: float) -> None:
        self._next = now + self._stagger
        try:
            sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
        except OSError as error:
            self._errors.append(error)
            return
        sock.settimeout(0)
        code = sock.connect_ex((endpoint.address, self._port))
        self._selector.register(sock, selectors.EVENT_WRITE, sock)
        if code not in {0, errno.EINPROGRESS}:
            self._lost(sock, code)

    def _wait(self, now: float) -> socket.socket | None:
        until = min(self._ends, self._next) if self._waiting else self._ends
        for key, _ in self._selector.select(max(until - now, 0.0)):
            sock: socket.socket = key.data
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                self._selector.unregister(sock)
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            self._lost(sock, code)
        return None

    def _lost(self, sock: socket.socket, code: int) -> None:
        self._errors.append(OSError(code, os.strerror(code)))
        self._drop(sock)
        self._next = 0.0

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()


def _telling(error: OSError) -> int:
    """A server that hung up says more than a refusal, that more than silence, and all more than a family we lack."""
    kinds = (ConnectionResetError, ConnectionRefusedError, TimeoutError)
    return next((rank for rank, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))
