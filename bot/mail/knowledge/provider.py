"""What a mail provider is: its servers, its secrets, what it demands from one day to another."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from pydantic import ConfigDict

from bot.mail.knowledge.domains import domain_of

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
BLANK_FIELDS = re.compile(r"\{(domain|account|region)\}")
_STRICT = ConfigDict(extra="forbid")
_BLANKS = re.compile(r"[\s\u00a0]+")


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
    hosts = ((BLANK_FIELDS.sub(lambda field: known.get(field[1], field[0]), s.host), s) for s in servers)
    return tuple(replace(server, host=host) for host, server in hosts if "{" not in host)
