"""The table of mail providers: what is known about an address, a host or an MX record without asking the network.

Facts lie in `providers.yaml` (reviewed) and `ispdb.yaml` (copied, of lower rank); an operator (or the playground) adds
a file of the same form.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, lru_cache
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Any, Literal

import idna
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bot.mail.knowledge import names, tables

Security = Literal["tls", "starttls"]
Demand = Literal["password", "app_password", "oauth_only", "cannot_work"]
Username = Literal["full_address", "local_part", "local_part_dot_domain", "fixed", "same_as_secret", "asked"]
SignIn = Literal["microsoft", "google"]
Hint = Literal[
    "password",
    "app_password",
    "app_password_with_two_step",
    "own_mail_password",
    "authorization_code",
    "switch_access_on",
    "switch_access_on_then_app_password",
    "password_until",
    "oauth_only",
    "api_key",
    "token_on_paid_plan",
    "cannot_work",
]

FACTS_HOLD = timedelta(days=90)  # policies are looked up again each quarter

_TABLE = Path(__file__).with_name("providers.yaml")
_ISPDB = Path(__file__).with_name("ispdb.yaml")
_STRICT = ConfigDict(extra="forbid")
_MAX_BYTES = 1_000_000
_MAX_PORT = 65535
_MAX_DOMAIN = 253  # RFC 1035, 2.3.4
_MAX_ADDRESS = 400
_MAX_NAMED = 6
_BLANKS = re.compile(r"[\s\u00a0]+")
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*\.[a-z][a-z0-9-]{0,62}")
_PLAIN = re.compile(r"[a-z0-9.-]+")
_HOST = re.compile(r"(?:[a-z0-9_-]|\{(?:domain|account|region)\}|\.)+")
_BLANK_FIELDS = re.compile(r"\{(domain|account|region)\}")


class BadTable(ValueError):
    """A provider file that cannot be used; the text is one sentence for the operator: file, row, field, fault."""


@dataclass(frozen=True)
class Server:
    """One way in: a host, a port, and when TLS starts (`tls`: first byte, `starttls`: after STARTTLS).

    In the table a host may hold `{domain}`, `{account}` or `{region}`; what `Providers` hands out never does.
    """

    host: str
    port: int
    security: Security


@dataclass(frozen=True)
class Candidate:
    """A server that may be the right one, and who says so; `provider_id` where a row of a table is behind it."""

    server: Server
    source: Literal["table", "ispdb", "mx", "autoconfig", "srv", "guess"]
    provider_id: str | None = None


@dataclass(frozen=True)
class SecretShape:
    """What a provider's secret looks like: its kind and, where all of them have one form, a pattern."""

    __pydantic_config__ = _STRICT

    kind: Literal["password", "app_password", "token"]
    pattern: re.Pattern[str] | None = None
    grouped: bool = False

    def clean(self, text: str) -> str:
        """The secret in `text`: without the provider's display blanks, or else only without a trailing newline."""
        if self.grouped:
            return _BLANKS.sub("", text)
        return text.rstrip("\r\n")

    def fits(self, text: str) -> bool:
        """Whether `text` has exactly the form that this provider's secrets have; False where no form is known."""
        return self.pattern is not None and self.pattern.fullmatch(self.clean(text)) is not None


@dataclass(frozen=True)
class Period:
    """What a provider demands from one day to another, both included; None = open.

    `admin_may_allow`: what an organisation's administrator may allow again although it is not the rule.
    """

    __pydantic_config__ = _STRICT

    demand: Demand
    since: date | None = None
    until: date | None = None
    admin_may_allow: Demand | None = None

    def holds(self, today: date) -> bool:
        """Whether `today` lies in this period."""
        return (self.since is None or self.since <= today) and (self.until is None or today <= self.until)


@dataclass(frozen=True)
class Limits:
    """How much an ordinary account may send; None = not known. `megabytes`: one message, after encoding."""

    __pydantic_config__ = _STRICT

    messages_a_day: int | None = None
    messages_a_minute: int | None = None
    recipients_a_day: int | None = None
    recipients_a_message: int | None = None
    connections: int | None = None
    megabytes: int | None = None


@dataclass(frozen=True)
class Provider:
    """One row of a table. What `Providers` hands out holds in `policy` the one period of the day asked for.

    The head of `providers.yaml` says what each field means.
    """

    __pydantic_config__ = _STRICT

    id: str
    family: str
    name: str
    domains: tuple[str, ...]
    servers: tuple[Server, ...]
    checked: date
    names: tuple[str, ...] = ()
    mx_suffixes: tuple[str, ...] = ()
    imap: tuple[Server, ...] = ()
    other_hosts: tuple[str, ...] = ()
    own_domain_hosts: tuple[str, ...] = ()
    username: Username = "full_address"
    user_name: str = ""
    imap_username: Username | None = None
    username_own_domain: Username | None = None
    secret_shape: SecretShape = SecretShape("password")
    policy: tuple[Period, ...] = (Period("password"),)
    password_accepted: Literal["accepted", "refused", "without_two_step", "by_period"] = "accepted"  # noqa: S105 - no secret
    hint: Hint = "password"
    sent_copy: Literal["auto", "auto_by_default", "never", "unknown"] = "unknown"
    from_must_match: Literal[
        "own_address", "own_or_alias", "own_or_send_as", "verified_sender", "rewritten", "unknown"
    ] = "unknown"
    certified: bool = False
    sign_in: SignIn | None = None
    limits: Limits = Limits()
    app_password_url: str | None = None
    enable_access_url: str | None = None
    reset_url: str | None = None
    source: Literal["table", "ispdb"] = "table"
    uncertain: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def server(self) -> Server | None:
        """The best server, or None where there is none."""
        return self.servers[0] if self.servers else None

    @property
    def demand(self) -> Demand:
        """What the provider wants on the day asked for."""
        return self.policy[0].demand

    @property
    def until(self) -> date | None:
        """The last day on which `demand` holds, or None where no end is known."""
        return self.policy[0].until

    @property
    def admin_may_allow(self) -> Demand | None:
        """What an administrator may allow on the day asked for beside `demand`, or None."""
        return self.policy[0].admin_may_allow

    def user_for(self, address: str) -> str:
        """The user name that signs in to send for `address`; empty where only the person knows it."""
        foreign = domain_of(address) not in self.domains
        return self._user(self.username_own_domain if foreign and self.username_own_domain else self.username, address)

    def imap_user_for(self, address: str) -> str:
        """The user name that signs in to IMAP for `address`; empty where only the person knows it."""
        return self._user(self.imap_username, address) if self.imap_username else self.user_for(address)

    def _user(self, form: Username, address: str) -> str:
        local, _, domain = address.rpartition("@")
        forms = {"full_address": address, "local_part": local, "local_part_dot_domain": f"{local}.{domain}"}
        return forms.get(form, self.user_name)

    def is_old(self, today: date) -> bool:
        """Whether the row's facts were last looked up more than 90 days before `today`."""
        return self.checked + FACTS_HOLD < today

    def on(self, today: date) -> "Provider":
        """The same provider with the one period that holds on `today`, and the hint that fits it."""
        policy = tuple(period for period in self.policy if period.holds(today))
        over = self.hint == "password_until" and bool(policy) and policy[0].demand == "oauth_only"
        return replace(self, policy=policy, hint="oauth_only" if over else self.hint)

    def at(self, domain: str) -> "Provider":
        """The same provider with its hosts as they are for an address domain; those that need more are left out."""
        return self.filled({"domain": domain} if domain else {})

    def filled(self, known: Mapping[str, str]) -> "Provider":
        """The same provider with the blanks of its hosts filled in; hosts with an unknown blank are left out."""
        if not any("{" in server.host for server in (*self.servers, *self.imap)):
            return self
        return replace(self, servers=_filled(self.servers, known), imap=_filled(self.imap, known))


def _filled(servers: tuple[Server, ...], known: Mapping[str, str]) -> tuple[Server, ...]:
    hosts = ((_BLANK_FIELDS.sub(lambda field: known.get(field[1], field[0]), s.host), s) for s in servers)
    return tuple(replace(server, host=host) for host, server in hosts if "{" not in host)


def _for_own_domain(row: Provider) -> Provider:
    """A provider with the servers first that people's own domains use."""
    mine = row.own_domain_hosts
    servers, imap = (tuple(sorted(all_, key=lambda one: one.host not in mine)) for all_ in (row.servers, row.imap))
    return replace(row, servers=servers, imap=imap) if mine else row


class Providers:
    """All known providers, found by address, host, MX record or name."""

    def __init__(self, rows: tuple[Provider, ...]) -> None:
        """Later rows win over earlier ones, by id, domain and MX suffix; rows of the table over those of the ISPDB."""
        by_id = {row.id: row for row in rows}
        self._rows = dict(sorted(by_id.items(), key=lambda item: item[1].source == "ispdb"))
        ranked = sorted(by_id.values(), key=lambda row: row.source == "table")
        self._by_domain = {domain: row for row in ranked for domain in row.domains}
        self._by_mx = {suffix: row for row in ranked for suffix in row.mx_suffixes}
        # the first row of a host wins: Gmail's servers are Workspace's, too
        self._by_host = {host: at for row in reversed(self._rows.values()) for host, at in _hosts(row)}
        self._by_pattern = [(_pattern(host), row) for row in self._rows.values() for host in _open_hosts(row)]
        self._names = names.Names((name, row.id) for row in self._rows.values() for name in _called(row))

    @classmethod
    def load(cls, extra: Path | None = None) -> "Providers":
        """The shipped tables, widened by the operator's file; raises BadTable with a sentence about what is wrong."""
        return _widened(_read(extra) if extra else ())

    def for_address(self, address: str, today: date) -> Provider | None:
        """The provider of an e-mail address (or bare domain) as of `today`, or None."""
        domain = domain_of(address)
        row = self._for_domain(domain) if domain else None
        return row.on(today).at(domain or "") if row else None

    def _for_domain(self, domain: str) -> Provider | None:
        if row := self._by_domain.get(domain):
            return row
        parents = ("." + parent for parent in _parents(domain))
        return next((self._by_domain[parent] for parent in parents if parent in self._by_domain), None)

    def for_host(self, host: str, today: date) -> Provider | None:
        """The provider to which a mail server belongs as of `today`, or None."""
        name = _ascii(host)
        if row := self._by_host.get(name):
            return row.on(today)
        for pattern, row in self._by_pattern:
            if found := pattern.fullmatch(name):
                return row.on(today).filled(found.groupdict())
        return None

    def for_mx(self, mx_host: str, today: date, domain: str = "") -> Provider | None:
        """The provider behind a domain's best MX host as of `today`, or None; the longest suffix wins.

        `domain` is the address's: some servers are called after it, and without it these are left out. The answer is a
        hint, never a permission: anyone can point an MX record anywhere.
        """
        name = _ascii(mx_host)
        for suffix in (name, *_parents(name)):
            if row := self._by_mx.get(suffix):
                account = name.removesuffix(suffix).rstrip(".")
                known = {"domain": domain, "account": "" if "." in account else account}
                row = row.on(today).filled({field: value for field, value in known.items() if value})
                return _for_own_domain(row)
        return None

    def token_hosts(self, sign_in: SignIn) -> frozenset[str]:
        """The mail servers to which an access token of Microsoft's or Google's may be given: theirs, and nobody's else.

        Names in ASCII and lower case; those of the operator's file are among them where its rows say `sign_in`.
        """
        return frozenset(
            host
            for row in self._rows.values()
            if row.sign_in == sign_in
            for host in (*(server.host for server in (*row.servers, *row.imap)), *row.other_hosts)
            if "{" not in host
        )

    def candidates(self, address: str, today: date) -> tuple[Candidate, ...]:
        """The servers that the tables know for an address or bare domain, best first, without the network."""
        row = self.for_address(address, today)
        return tuple(Candidate(server, row.source, row.id) for server in row.servers) if row else ()

    def same(self, host_a: str, host_b: str, today: date) -> bool:
        """Whether two hosts are one server for an agency: one name, or two names of one provider."""
        if _ascii(host_a) == _ascii(host_b):
            return True
        a, b = self.for_host(host_a, today), self.for_host(host_b, today)
        return a is not None and b is not None and a.id == b.id

    def by_name(self, text: str, today: date) -> tuple[Provider, ...]:
        """The providers that a person speaks of ("we pay Locaweb"), the surest first, six at most; () where none is."""
        typed = (self.for_address(word, today) for word in text[:_MAX_ADDRESS].split() if "." in word)
        ids = dict.fromkeys([row.id for row in typed if row] + list(self._names.find(text)))
        return tuple(self._rows[id_].on(today) for id_ in list(ids)[:_MAX_NAMED])

    def near(self, domain: str) -> str | None:
        """The well-known domain that `domain` (or an address's) is a slip of, or None; never for a known domain."""
        typed = domain_of(domain)
        return names.near(typed, lambda name: self._for_domain(name) is not None) if typed else None

    def all(self, today: date) -> tuple[Provider, ...]:
        """Every provider as of `today`, in the tables' order, those of the ISPDB last."""
        return tuple(row.on(today) for row in self._rows.values())


def domain_of(text: str) -> str | None:
    """The domain of an address or bare domain as people type it, in ASCII and lower case; None where there is none."""
    bare = text[: _MAX_ADDRESS + 1].strip().strip("<>")
    if len(bare) > _MAX_ADDRESS or _BLANKS.search(bare):
        return None
    domain = _ascii(bare.rpartition("@")[2])
    return domain if _DOMAIN.fullmatch(domain) else None


def _ascii(name: str) -> str:
    """A domain name as it stands in the table: ASCII, lower case, no final dot; unchanged where it is none."""
    bare = name[: 2 * _MAX_DOMAIN].strip().rstrip(".")
    if _PLAIN.fullmatch(bare):  # nearly all are; there is nothing to be changed about them
        return bare
    try:
        return idna.encode(bare, uts46=True).decode("ascii")
    except idna.IDNAError:
        return bare.lower()


def _parents(domain: str) -> Iterator[str]:
    """The domains above this one, the nearest first."""
    while "." in domain:
        domain = domain.partition(".")[2]
        yield domain


def _hosts(row: Provider) -> Iterator[tuple[str, Provider]]:
    """Every name of a row's servers that can be written down, with the row as it is there."""
    for server in row.servers:
        if "{domain}" in server.host:
            yield from ((server.host.replace("{domain}", domain), row.at(domain)) for domain in row.domains)
        elif "{" not in server.host:
            yield server.host, row.at("")
    yield from ((host, row.at("")) for host in row.other_hosts)


def _open_hosts(row: Provider) -> tuple[str, ...]:
    """The row's hosts of which one label is the person's own."""
    return tuple(server.host for server in row.servers if "{account}" in server.host or "{region}" in server.host)


def _pattern(host: str) -> re.Pattern[str]:
    """A host with its open labels as named groups."""
    parts = _BLANK_FIELDS.split(host)  # text, field, text ...
    texts, fields = parts[::2], parts[1::2]
    labels = [f"(?P<{field}>[a-z0-9-]{{1,63}})" for field in fields]
    return re.compile("".join(chain.from_iterable(zip_longest(map(re.escape, texts), labels, fillvalue=""))))


def _called(row: Provider) -> Iterator[str]:
    """What a row is called: its names, and the parts of its title (what stands in brackets explains, and is none)."""
    yield from row.names
    yield from re.split(r"[/,]", re.sub(r"\(.*?\)", "", row.name))
    yield row.id


def _fault(row: Provider) -> str | None:
    """What makes a row unusable although its fields are of the right types: the field, and what is wrong with it."""
    return _fault_of_policy(row) or _fault_of_hosts(row) or _fault_of_domains(row)


def _fault_of_policy(row: Provider) -> str | None:
    policy = row.policy
    if not policy or policy[0].since is not None or policy[-1].until is not None:
        return "policy: the first period must have no since, the last no until"
    for before, after in pairwise(policy):
        if before.until is None or after.since != before.until + timedelta(days=1):
            return "policy: each period must start on the day after the one before"
    if not row.servers and any(period.demand != "cannot_work" for period in policy):
        return "servers: it has no server"
    if "fixed" in {row.username, row.imap_username, row.username_own_domain} and not row.user_name:
        return "user_name: it must be given where the user name is fixed"
    return None


def _fault_of_hosts(row: Provider) -> str | None:
    for field, servers in (("servers", row.servers), ("imap", row.imap)):
        for server in servers:
            if not _HOST.fullmatch(server.host):
                return f"{field}: {server.host!r} is no host name in lower case"
            if not 0 < server.port <= _MAX_PORT:
                return f"{field}: {server.port} is no port"
    return None


def _fault_of_domains(row: Provider) -> str | None:
    for field, domains in (("domains", row.domains), ("mx_suffixes", row.mx_suffixes)):
        for domain in domains:
            if not _DOMAIN.fullmatch(domain.removeprefix(".")):
                return f"{field}: {domain!r} is no domain in lower case"
    return None


_ROWS = TypeAdapter(tuple[Provider, ...])


def _read(path: Path) -> tuple[Provider, ...]:
    """The rows of one file; raises BadTable. What `defaults` says holds for each row that does not say it itself."""
    raw = _parsed(path)
    try:
        rows = _ROWS.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        number, *field = first["loc"]
        where = "".join(f"{part}: " for part in [".".join(str(part) for part in field)] if part)
        raise BadTable(f"{path.name}: provider {_label_of(raw, number)}: {where}{first['msg']}") from None
    for row in rows:
        if fault := _fault(row):
            raise BadTable(f"{path.name}: provider {row.id}: {fault}")
    _look_for_doubles(path, rows)
    return rows


def shipped(provider_id: str) -> dict[str, Any]:
    """A row of the shipped table as it is written there: to be changed, and given as an operator's own."""
    return deepcopy(_written()[provider_id])


@cache
def _shipped() -> tuple[Provider, ...]:
    return _read(_ISPDB) + _read(_TABLE)


@lru_cache(maxsize=2)
def _widened(own: tuple[Provider, ...]) -> Providers:
    """The shipped tables and an operator's rows: looked over at the start, and used right after."""
    return Providers(_shipped() + own)


@cache
def _written() -> dict[str, Any]:
    return {row["id"]: row for row in (*_parsed(_ISPDB), *_parsed(_TABLE))}


def _parsed(path: Path) -> list[Any]:
    try:
        text = path.read_bytes()
        table = tables.read(text[:_MAX_BYTES])
        defaults = table.get("defaults", {})
        return [{**defaults, **row} if isinstance(row, dict) else row for row in table["providers"]]
    except OSError as error:
        raise BadTable(f"{path.name}: cannot be read ({error.strerror})") from None
    except (tables.BadYaml, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise BadTable(f"{path.name}: not a list of providers (see the shipped providers.yaml)") from None


def _label_of(raw: list[Any], number: int | str) -> str:
    """What the operator finds the row by: its id, or else its number, counted from one."""
    row = raw[number] if isinstance(number, int) else None
    id_ = row.get("id") if isinstance(row, dict) else None
    return id_[:40] if isinstance(id_, str) and id_.isprintable() else f"number {int(number) + 1}"


def _look_for_doubles(path: Path, rows: tuple[Provider, ...]) -> None:
    """One file must not say two things about one id, domain or MX suffix."""
    for field, values in (
        ("id", [row.id for row in rows]),
        ("domains", [domain for row in rows for domain in row.domains]),
        ("mx_suffixes", [suffix for row in rows for suffix in row.mx_suffixes]),
    ):
        value, times = max(Counter(values).items(), key=lambda item: item[1], default=("", 0))
        if times > 1:
            owner = [row.id for row in rows if value in (row.id, *row.domains, *row.mx_suffixes)][-1]
            raise BadTable(f"{path.name}: provider {owner}: {field}: {value!r} stands there twice")
