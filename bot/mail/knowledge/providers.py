"""The table of mail providers: what is known about an address or a host without asking the network.

Facts lie in `providers.yaml`; an operator (or the playground) adds a file of the same form.
"""

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

import idna
import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

Security = Literal["tls", "starttls"]
Demand = Literal["password", "app_password", "oauth_only", "cannot_work"]
Hint = Literal[
    "password",
    "app_password",
    "app_password_with_two_step",
    "switch_access_on",
    "password_until",
    "oauth_only",
    "cannot_work",
]

_TABLE = Path(__file__).with_name("providers.yaml")
_STRICT = ConfigDict(extra="forbid")
_MAX_BYTES = 1_000_000
_BLANKS = re.compile(r"[\s\u00a0]+")


class BadTable(ValueError):
    """A provider file that cannot be used; the text is one sentence for the operator."""


@dataclass(frozen=True)
class Server:
    """One way in: a host, a port, and when TLS starts (`tls`: first byte, `starttls`: after STARTTLS)."""

    host: str
    port: int
    security: Security


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
    """What a provider demands from one day to another, both included; None = open."""

    __pydantic_config__ = _STRICT

    demand: Demand
    since: date | None = None
    until: date | None = None

    def holds(self, today: date) -> bool:
        """Whether `today` lies in this period."""
        return (self.since is None or self.since <= today) and (self.until is None or today <= self.until)


@dataclass(frozen=True)
class Provider:
    """One row of the table. What `Providers` hands out holds in `policy` the one period of the day asked for."""

    __pydantic_config__ = _STRICT

    id: str
    family: str
    name: str
    domains: tuple[str, ...]
    servers: tuple[Server, ...]
    checked: date
    username: Literal["full_address", "local_part"] = "full_address"
    secret_shape: SecretShape = SecretShape("password")
    policy: tuple[Period, ...] = (Period("password"),)
    password_accepted: Literal["accepted", "refused", "without_two_step", "by_period"] = "accepted"  # noqa: S105 - no secret
    hint: Hint = "password"
    app_password_url: str | None = None
    enable_access_url: str | None = None
    reset_url: str | None = None
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

    def user_for(self, address: str) -> str:
        """The user name that signs in for `address`."""
        return address.rpartition("@")[0] if self.username == "local_part" else address

    def on(self, today: date) -> "Provider":
        """The same provider with the one period that holds on `today`."""
        return replace(self, policy=tuple(period for period in self.policy if period.holds(today)))


def _fault(row: Provider) -> str | None:
    """What makes a row unusable although its fields are of the right types."""
    policy = row.policy
    if not policy or policy[0].since is not None or policy[-1].until is not None:
        return "the first period of its policy must have no since, the last no until"
    for before, after in pairwise(policy):
        if before.until is None or after.since != before.until + timedelta(days=1):
            return "each period of its policy must start on the day after the one before"
    if not row.servers and any(period.demand != "cannot_work" for period in policy):
        return "it has no server"
    return None


_ROWS = TypeAdapter(tuple[Provider, ...])


class Providers:
    """All known providers, found by address or by host."""

    def __init__(self, rows: tuple[Provider, ...]) -> None:
        """Later rows win over earlier ones, by id and by domain."""
        self._rows = {row.id: row for row in rows}
        self._by_domain = {domain: row for row in self._rows.values() for domain in row.domains}
        # the first row of a host wins: Gmail's servers are Workspace's, too
        self._by_host = {server.host: row for row in reversed(self._rows.values()) for server in row.servers}

    @classmethod
    def load(cls, extra: Path | None = None) -> "Providers":
        """The shipped table, widened by the operator's file; raises BadTable with a sentence about what is wrong."""
        return cls(_read(_TABLE) + (_read(extra) if extra else ()))

    def for_address(self, address: str, today: date) -> Provider | None:
        """The provider of an e-mail address (or bare domain) as of `today`, or None."""
        domain = _ascii(address.rpartition("@")[2])
        row = self._by_domain.get(domain)
        while row is None and "." in domain:
            domain = domain.partition(".")[2]
            row = self._by_domain.get("." + domain)
        return row.on(today) if row else None

    def for_host(self, host: str, today: date) -> Provider | None:
        """The provider to which a mail server belongs as of `today`, or None."""
        row = self._by_host.get(_ascii(host))
        return row.on(today) if row else None

    def all(self, today: date) -> tuple[Provider, ...]:
        """Every provider as of `today`, in the table's order."""
        return tuple(row.on(today) for row in self._rows.values())


def _ascii(name: str) -> str:
    """A domain name as it stands in the table: ASCII, lower case, no final dot; unchanged where it is none."""
    try:
        return idna.encode(name.strip().rstrip("."), uts46=True).decode("ascii")
    except idna.IDNAError:
        return name.strip().lower()


def _read(path: Path) -> tuple[Provider, ...]:
    try:
        text = path.read_bytes()
        rows = _ROWS.validate_python(yaml.safe_load(text[:_MAX_BYTES])["providers"])
    except OSError as error:
        raise BadTable(f"{path.name}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadTable(f"{path.name}: provider {where}: {first['msg']}") from None
    except (yaml.YAMLError, KeyError, TypeError):
        raise BadTable(f"{path.name}: not a list of providers (see the shipped providers.yaml)") from None
    for row in rows:
        if fault := _fault(row):
            raise BadTable(f"{path.name}: provider {row.id}: {fault}")
    return rows
