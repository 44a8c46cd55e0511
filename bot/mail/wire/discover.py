"""Finding the mail server of an address: table, DNS, the domain's own files, and only then guesses.

The order is fixed, not the race: what stands higher is waited for, and when it has found something, nothing that stands
lower matters any more. No step signs in anywhere or sends a message. DNS is not signed: it gives hints, never a
permission. A host that is neither in our table nor under the address's own domain is marked to be confirmed by its
person before a password goes there (RFC 6186 section 6).

Outlook's autodiscover is not asked: all that it could tell us is "this is Exchange", and the MX host tells that.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Literal

from bot.mail.knowledge.provider import Provider, Security, Server
from bot.mail.knowledge.providers import Providers
from bot.mail.wire.autoconfig import BadConfig, Offer, read, urls
from bot.mail.wire.fetch import HTTPS, NotFetched, Web
from bot.mail.wire.guard import Endpoint, Guard, GuardError, NoSuchName, ResolverFailed, Service, ascii_host
from bot.mail.wire.smtp import Deadline, Network, Track, methods, open_session

Source = Literal["table", "ispdb", "mx", "autoconfig", "srv", "guess"]

_GUESSED_HOSTS = ("smtp.{domain}", "mail.{domain}", "{domain}")
_MAX_TRIED = 4
_NULL_MX = (".",)
_PASSWORD_METHODS = frozenset({"PLAIN", "LOGIN"})  # the two that `sign_in` speaks
_OAUTH_METHODS = frozenset({"XOAUTH2", "OAUTHBEARER"})
_SOURCES = 5
_SUBMISSIONS = 465


@dataclass(frozen=True)
class Limits:
    """How long finding may take, in seconds, and where it looks.

    `source` is for each of DNS and the domain's files, which run beside one another; `probe` for one guess, `stagger`
    between the starts of two; `total` for all. `web_port` is where https is spoken; `ways` are guessed at every host,
    best first.
    """

    source: float = 6.0
    probe: float = 10.0
    stagger: float = 0.2
    total: float = 20.0
    web_port: int = HTTPS
    ways: tuple[tuple[int, Security], ...] = ((465, "tls"), (587, "starttls"))


_USUAL = Limits()


@dataclass(frozen=True)
class Found:
    """The server of an address, and the user name for it (empty where only its person knows that).

    `provider_id` is the row of the table to which the server belongs, or None. `confirm` = the person has to say yes
    to the host before a secret goes there. `oauth_only` = the server takes no password. `imap` is named only where it
    needs no question of its own.
    """

    server: Server
    user: str
    provider_id: str | None
    source: Source
    confirm: bool
    imap: Server | None = None
    oauth_only: bool = False


@dataclass(frozen=True)
class NothingFound:
    """The domain exists, and nothing that it tells leads to a server; `provider_id` where its mail host is known."""

    domain: str
    provider_id: str | None = None


@dataclass(frozen=True)
class NoSmtp:
    """The provider is known, and has no server that other programs may send through."""

    provider_id: str


@dataclass(frozen=True)
class NoMail:
    """The domain says that it takes no mail (null MX, RFC 7505)."""

    domain: str


@dataclass(frozen=True)
class NoDomain:
    """The domain does not exist."""

    domain: str


@dataclass(frozen=True)
class Unreachable:
    """Our name servers gave no answer: says nothing about the domain, and may go away."""

    domain: str


Outcome = Found | NothingFound | NoSmtp | NoMail | NoDomain | Unreachable

_Look = Callable[[Deadline], Outcome | None]
_Started = Future[Outcome | None]
_Start = Callable[..., _Started]


def discover(address: str, *, providers: Providers, network: Network, today: date, limits: Limits = _USUAL) -> Outcome:
    """The server of `address` (in the form of `normalise`), within `limits.total` seconds.

    Raises BadHost for a domain that is no host name; nothing that a network or a server could cause.
    """
    search = _Search(address, providers, network, today, limits)
    return search.known() or search.run()


class _Stoppable(Deadline):
    """A deadline that can be brought forward: nobody waits for what stands lower once something is found."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        super().__init__(seconds)
        self._stop = stop

    def remaining(self) -> float:
        if self._stop.is_set():
            raise TimeoutError("not wanted any more")
        return super().remaining()


class _Search:
    """One search. Its threads end by their deadlines; they are not waited for."""

    def __init__(self, address: str, providers: Providers, network: Network, today: date, limits: Limits) -> None:
        self._address = address
        self._domain = ascii_host(address.rpartition("@")[2])
        self._providers = providers
        self._network = network
        self._today = today
        self._limits = limits
        self._stop = threading.Event()
        self._deadline = _Stoppable(limits.total, self._stop)
        self._hinted: Provider | None = None  # the domain's provider, where its row alone does not name the server
        self._mx_answered = False
        self._guess_unanswered = False

    @property
    def _guard(self) -> Guard:
        return self._network.guard

    def known(self) -> Outcome | None:
        """What the table says of the domain; nothing is asked of any network."""
        provider = self._providers.for_address(self._address, self._today)
        if provider is None:
            return None
        if provider.server is None:
            return self._without_server(provider)
        return self._found_row(provider, provider.server, provider.source)

    def run(self) -> Outcome:
        """What DNS and the domain's own files say, else what guessing finds."""
        with self._threads() as start:
            try:
                return self._first(self._ask_all(start)) or self._first(self._guess_all(start)) or self._nothing()
            except TimeoutError:  # no time is left for guesses
                return self._nothing()

    @contextmanager
    def _threads(self) -> Iterator[_Start]:
        pool = ThreadPoolExecutor(_SOURCES + len(_GUESSED_HOSTS) * len(self._limits.ways), "discover")
        try:
            yield pool.submit
        finally:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _first(self, looks: Iterable[tuple[_Started, Deadline]]) -> Outcome | None:
        """The outcome of the highest look that has one."""
        return next((outcome for outcome in (_awaited(*look) for look in looks) if outcome is not None), None)

    def _nothing(self) -> Outcome:
        if self._guess_unanswered or not self._mx_answered:
            return Unreachable(self._domain)
        return NothingFound(self._domain, self._hinted.id if self._hinted else None)

    # --- what is asked for, best first

    def _ask_all(self, start: _Start) -> list[tuple[_Started, Deadline]]:
        deadline = self._within(self._limits.source)
        own_host, well_known = urls(self._address)
        looks: tuple[_Look, ...] = (
            self._by_mx,
            lambda ends: self._by_autoconfig(own_host, ends),
            lambda ends: self._by_autoconfig(well_known, ends),
            lambda ends: self._by_srv("_submissions", "tls", ends),
            lambda ends: self._by_srv("_submission", "starttls", ends),
        )
        return [(start(_quietly, look, deadline), deadline) for look in looks]

    def _by_mx(self, deadline: Deadline) -> Outcome | None:
        try:
            hosts = self._guard.exchanges(self._domain)
        except NoSuchName:
            return NoDomain(self._domain)
        self._mx_answered = True
        if hosts == _NULL_MX:
            return NoMail(self._domain)
        for host in hosts:
            if provider := self._providers.for_mx(host, self._today, self._domain):
                return self._by_row(provider, "mx", deadline)
        for parent in (parent for host in hosts for parent in _parents(host)):
            if provider := self._providers.for_address(parent, self._today):
                return self._by_row(provider, "ispdb", deadline)
        return None

    def _by_row(self, provider: Provider, source: Source, deadline: Deadline) -> Outcome | None:
        """The row's server; one that bears the address's own domain only after it has answered for that name.

        Hosters certify such names late or never, and then only the domain's own file tells the real one.
        """
        self._hinted = provider
        for server in provider.servers:
            if not self._is_own(server.host) or self._offers_sign_in(server, deadline) is not None:
                return self._found_row(provider, server, source)
        return self._without_server(provider)

    def _without_server(self, provider: Provider) -> Outcome | None:
        """A known provider whose row leads to no server: there is none, or others have to name it."""
        if provider.demand == "cannot_work":
            return NoSmtp(provider.id)
        self._hinted = provider
        return None

    def _by_autoconfig(self, url: str, deadline: Deadline) -> Outcome | None:
        body = Web.of(self._network, self._limits.web_port).get(url, deadline)
        config = read(body, self._address)
        for offer in config.smtp:
            if self._may_be_used(offer.server, deadline):
                return self._found(offer, "autoconfig", next((way.server for way in config.imap), None))
        return None

    def _by_srv(self, service: str, security: Security, deadline: Deadline) -> Outcome | None:
        for record in self._guard.services(f"{service}._tcp.{self._domain}")[:_MAX_TRIED]:
            server = _offered(record, security)
            if server and self._may_be_used(server, deadline):
                return self._found(Offer(server, "", oauth_only=False), "srv", self._imap_by_srv(deadline))
        return None

    def _imap_by_srv(self, deadline: Deadline) -> Server | None:
        try:
            deadline.remaining()
            records = self._guard.services(f"_imaps._tcp.{self._domain}")
        except (GuardError, OSError):
            return None
        return _offered(records[0], "tls") if records else None

    # --- guesses

    def _guess_all(self, start: _Start) -> list[tuple[_Started, Deadline]]:
        """Every guess has a thread; each starts a moment after the one before, unless that one has been right."""
        names = [_Name(host.format(domain=self._domain), self._guard) for host in _GUESSED_HOSTS]
        guesses = [(name, way) for name in names for way in self._limits.ways]
        deadline = self._within(self._limits.probe)
        return [
            (start(self._guess, name, way, number * self._limits.stagger, deadline), deadline)
            for number, (name, way) in enumerate(guesses)
        ]

    def _guess(self, name: "_Name", way: tuple[int, Security], pause: float, deadline: Deadline) -> Outcome | None:
        if self._stop.wait(pause):
            return None
        try:
            endpoints = name.endpoints()
        except ResolverFailed:
            self._guess_unanswered = True
            return None
        except GuardError:
            return None
        server = Server(name.host, *way)
        oauth_only = self._signs_in(server, endpoints, deadline)
        if oauth_only is None:
            return None
        return self._found(Offer(server, "", oauth_only), "guess", None)

    # --- judging

    def _offers_sign_in(self, server: Server, deadline: Deadline) -> bool | None:
        try:
            return self._signs_in(server, self._guard.resolve(server.host), deadline)
        except GuardError:
            return None

    def _signs_in(self, server: Server, endpoints: tuple[Endpoint, ...], deadline: Deadline) -> bool | None:
        """Whether one may sign in there by OAuth only; None where one may not at all, or its name is not proven.

        A conversation that has begun is brought to its end or its own deadline, also when it is not wanted any more.
        """
        try:
            session = open_session(server, endpoints, self._network, deadline.within(self._limits.probe), Track())
        except (OSError, GuardError):
            return None
        offered = frozenset(methods(session))
        session.leave(self._network.timeouts.leave)
        if offered & _PASSWORD_METHODS:
            return False
        return True if offered & _OAUTH_METHODS else None

    def _may_be_used(self, server: Server, deadline: Deadline) -> bool:
        """Whether port and addresses of a server that somebody named pass the guard."""
        deadline.remaining()
        try:
            self._guard.check_port(server.port)
            self._guard.resolve(server.host)
        except GuardError:
            return False
        return True

    def _found_row(self, provider: Provider, server: Server, source: Source) -> Found:
        return Found(
            server=server,
            user=provider.user_for(self._address),
            provider_id=provider.id,
            source=source,
            confirm=False,
            imap=next(iter(provider.imap), None),
            oauth_only=provider.demand == "oauth_only",
        )

    def _found(self, offer: Offer, source: Source, imap: Server | None) -> Found:
        """What somebody named or we guessed; where it is a server of the table, the table knows better."""
        provider = self._providers.for_host(offer.server.host, self._today)
        listed = provider.imap if provider else ()
        if imap is None or not self._needs_no_question(imap, offer.server):
            imap = next(iter(listed), None)
        return Found(
            server=offer.server,
            user=offer.user or (provider.user_for(self._address) if provider else self._address),
            provider_id=provider.id if provider else None,
            source=source,
            confirm=self._is_foreign(offer.server.host),
            imap=imap,
            oauth_only=offer.oauth_only or (provider is not None and provider.demand == "oauth_only"),
        )

    def _needs_no_question(self, imap: Server, smtp: Server) -> bool:
        """Whether a secret that may go to the one server may go to the other, too."""
        try:
            self._guard.check_port(imap.port)
        except GuardError:
            return False
        return imap.host == smtp.host or not self._is_foreign(imap.host)

    def _is_foreign(self, host: str) -> bool:
        """Whether a host is neither in our table nor under the address's domain."""
        return not self._is_own(host) and self._providers.for_host(host, self._today) is None

    def _is_own(self, host: str) -> bool:
        """Whether a host is the address's domain or lies under it."""
        return host == self._domain or host.endswith(f".{self._domain}")

    def _within(self, seconds: float) -> Deadline:
        return _Stoppable(self._deadline.within(seconds).remaining(), self._stop)


class _Name:
    """A host that is resolved once, however many guesses are made at it."""

    def __init__(self, host: str, guard: Guard) -> None:
        self.host = host
        self._guard = guard
        self._lock = threading.Lock()
        self._answer: tuple[Endpoint, ...] | GuardError | None = None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The judged addresses; raises GuardError, the same each time."""
        with self._lock:
            if self._answer is None:
                self._answer = self._resolve()
        if isinstance(self._answer, GuardError):
            raise self._answer
        return self._answer

    def _resolve(self) -> tuple[Endpoint, ...] | GuardError:
        try:
            return self._guard.resolve(self.host)
        except GuardError as error:
            return error


def _quietly(look: _Look, deadline: Deadline) -> Outcome | None:
    """One look that finds nothing where the network or the other side does not play along."""
    try:
        return look(deadline)
    except (GuardError, OSError, NotFetched, BadConfig):
        return None


def _awaited(future: _Started, deadline: Deadline) -> Outcome | None:
    """What a look has found by its deadline; nothing where it is late."""
    try:
        seconds = deadline.remaining()
    except TimeoutError:
        seconds = 0.0  # it may have been done long ago, while something higher was waited for
    try:
        return future.result(seconds)
    except (TimeoutError, CancelledError):
        return None


def _parents(host: str) -> Iterator[str]:
    """The domains above a host, nearest first; a bare top level is none."""
    labels = host.split(".")
    return (".".join(labels[count:]) for count in range(1, len(labels) - 1))


def _offered(record: Service, security: Security) -> Server | None:
    """The server of an SRV record. Who puts 465 under `_submission` means TLS from the first byte (RFC 8314)."""
    try:
        host = ascii_host(record.host)
    except GuardError:
        return None
    return Server(host, record.port, "tls" if record.port == _SUBMISSIONS else security)
