"""The settings, from the environment. A wrong one stops the start with one plain sentence that names it.

`deploy/env.example` explains each; a test holds that it names exactly the fields below.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bot.desk.hours import read_hours
from bot.desk.rules import Rules
from bot.store.engine import driver_url

MAX_PORT = 65535
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_GOOGLES = ".apps.googleusercontent.com"


class SettingsError(Exception):
    """A setting is wrong; the message is one plain sentence that names it."""


class Settings(BaseModel):
    """What the operator decides. Nothing here changes while the program runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: str = Field(default="", repr=False)
    data_dir: Path = Path("var")
    backup_dir: Path | None = None
    public_url: str = ""
    secret_keys: str = Field(default="", repr=False)
    secret_keys_file: Path | None = None
    twilio_account_sid: str = Field(default="", pattern=r"^(AC[0-9a-f]{32})?$")
    twilio_auth_token: str = Field(default="", repr=False)
    twilio_whatsapp_from: str = Field(default="", pattern=r"^((whatsapp:)?\+[0-9]{6,15})?$")
    twilio_messaging_service_sid: str = Field(default="", pattern=r"^(MG[0-9a-f]{32})?$")
    twilio_api_url: str = ""
    slack_bot_token: str = Field(default="", repr=False)
    slack_client_id: str = Field(default="", pattern=r"^([0-9]+\.[0-9]+)?$")
    slack_client_secret: str = Field(default="", repr=False)
    slack_signing_secret: str = Field(default="", repr=False)
    slack_app_token: str = Field(default="", pattern=r"^(xapp-[A-Za-z0-9_-]+)?$", repr=False)
    slack_api_url: str = ""
    microsoft_client_id: str = Field(default="", max_length=200)
    microsoft_client_secret: str = Field(default="", repr=False)
    microsoft_authority: str = ""
    google_client_id: str = Field(default="", max_length=200)
    google_client_secret: str = Field(default="", repr=False)
    google_authority: str = ""
    google_verified: Literal["yes", "no"] = "no"
    graph_url: str = ""
    templates: Literal["on", "off"] = "off"
    template_limit: int = Field(default=100, ge=0, le=100_000)
    support_contact: str = ""
    support_team: str = Field(default="", pattern=r"^(T[A-Z0-9]{1,30})?$")
    support_channel: str = Field(default="", pattern=r"^([CG][A-Z0-9]{1,30})?$")
    support_hours: str = ""
    support_timezone: str = "America/Sao_Paulo"
    support_answer_minutes: int = Field(default=30, ge=1, le=1440)
    operator_name: str = Field(default="Ally", min_length=1, max_length=60)
    privacy_url: str = ""
    alert_channel: str = Field(default="", pattern=r"^([CG][A-Z0-9]{1,30})?$")
    alert_email: str = ""
    alert_smtp_url: str = Field(default="", repr=False)
    database_limit_gb: float = Field(default=0, ge=0, le=1_000_000)
    smtp_allow_networks: tuple[str, ...] = ()
    smtp_allow_ports: tuple[str, ...] = ()
    imap_allow_ports: tuple[str, ...] = ()
    dns_server: str = ""
    discovery: Literal["online", "tables"] = "online"
    signup: Literal["ask", "closed"] = "ask"
    providers_extra: Path | None = None
    log_format: Literal["text", "json"] = "text"
    retention_days: int = Field(default=90, ge=1, le=3650)
    broker_url: str = Field(default="", repr=False)
    door_host: str = ""
    door_cert: Path | None = None
    door_key: Path | None = None
    door_port: int = Field(default=465, ge=1, le=MAX_PORT)
    metrics_token: str = Field(default="", repr=False)
    bind: str = "127.0.0.1"
    trusted_proxies: tuple[str, ...] = ()
    port: int = Field(default=8000, ge=1, le=MAX_PORT)
    web_threads: int = Field(default=8, ge=1, le=200)
    mails_per_hour: int = Field(default=20, ge=1, le=200)
    mails_per_day: int = Field(default=100, ge=1, le=200)
    lane_speak: int = Field(default=8, ge=1, le=200)
    lane_work: int = Field(default=32, ge=1, le=2000)
    lane_mail: int = Field(default=8, ge=1, le=500)
    ssl_cert_file: Path | None = None
    playground_url: str = ""
    playground_clock: Path | None = None
    playground_door: Literal["yes", "no"] = "no"

    @field_validator("smtp_allow_networks", "smtp_allow_ports", "imap_allow_ports", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(word for word in value.replace(",", " ").split() if word) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        return driver_url(value) if value else ""

    @field_validator(
        "public_url", "privacy_url", "twilio_api_url", "slack_api_url", "playground_url", "microsoft_authority",
        "google_authority", "graph_url",
    )  # fmt: skip
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        beyond = parts.query or parts.fragment or parts.username is not None
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0 or beyond):
            raise ValueError("it must be a web address such as https://bot.example.com")
        return value.rstrip("/")

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, value: str) -> str:
        wrong = "it must be an address such as amqp://user:password@host:5672/, odd signs in the password as %23"
        try:
            parts = urlsplit(value)
            host, _port = parts.hostname, parts.port  # an unescaped sign of a password makes it part of the port
        except ValueError:  # without its words: the password may be in them
            raise ValueError(wrong) from None
        if value and (parts.scheme not in {"amqp", "amqps"} or not host):
            raise ValueError(wrong)
        return value

    @field_validator("microsoft_authority", "google_authority", "graph_url")
    @classmethod
    def _safe_way(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("it must begin with https://; plain http is for this machine only")
        return value

    @field_validator("slack_bot_token")
    @classmethod
    def _lasting_token(cls, value: str) -> str:
        if value.startswith("xoxe."):
            raise ValueError("it ends after twelve hours: make the app anew with token_rotation_enabled: false")
        if value and not re.fullmatch(r"xoxb-[A-Za-z0-9_-]+", value):
            raise ValueError("it must be a bot token, which begins with xoxb-")
        return value

    @field_validator("alert_email")
    @classmethod
    def _one_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+", value):
            raise ValueError("it must be one address such as it@example.com")
        return value

    @field_validator("alert_smtp_url")
    @classmethod
    def _mail_server(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            whole = all((parts.hostname, parts.username, parts.password, parts.port != 0))
        except ValueError:  # of a port that is no number; its words hold the password
            whole = False
        if value and not (whole and parts.scheme in {"smtps", "smtp"}):
            raise ValueError("it must be like smtps://user:password@mail.example.com:465")
        return value

    @field_validator("dns_server")
    @classmethod
    def _name_server(cls, value: str) -> str:
        if value:
            _address_and_port(value)
        return value

    @field_validator("smtp_allow_networks")
    @classmethod
    def _real_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            ipaddress.ip_network(word)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _own_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(ipaddress.ip_network(word).prefixlen == 0 for word in value):
            raise ValueError("it must be the addresses of your own proxies; of everybody's, anybody could write any")
        return value

    @field_validator("smtp_allow_ports", "imap_allow_ports")
    @classmethod
    def _real_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(word.isdecimal() and word.isascii() and 0 < int(word) <= MAX_PORT for word in value):
            raise ValueError("it must be port numbers, with blanks between them")
        return value

    @field_validator("door_host")
    @classmethod
    def _host_name(cls, value: str) -> str:
        name = value.lower().removesuffix(".")
        if value and not (_HOST.fullmatch(name) and not name.rpartition(".")[2].isdecimal()):
            raise ValueError("it must be a host's name such as mail.example.com, without a port")
        return name

    @field_validator("support_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError("it must be a time zone such as America/Sao_Paulo")
        return value

    @field_validator("support_hours")
    @classmethod
    def _readable_hours(cls, value: str) -> str:
        read_hours(value, "UTC")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if bool(self.support_channel) != bool(self.support_team):
            missing = "SUPPORT_TEAM" if self.support_channel else "SUPPORT_CHANNEL"
            raise ValueError(f"{missing}: the desk needs the workspace and the channel in it")
        if self.support_channel and not self.real_slack:
            raise ValueError("SUPPORT_CHANNEL: it is a channel of Slack, which is not configured")
        self._check_alerts()
        if self.real_twilio:
            self._check_real_twilio()
        if self.real_slack:
            self._check_real_slack()
        self._check_sign_in("MICROSOFT", self.microsoft_client_id, self.microsoft_client_secret)
        self._check_sign_in("GOOGLE", self.google_client_id, self.google_client_secret)
        self._check_real_microsoft()
        self._check_real_google()
        self._check_door()
        if self.bind not in LOOPBACK and (self.playground_url or not self.real):
            raise ValueError("BIND: without an account this is the playground, which listens on 127.0.0.1 only")
        if self.playground_url:
            self._check_playground()
        return self

    def _check_playground(self) -> None:
        """Whoever opens it is anybody it shows: its stand-ins are on this machine, and nothing real is beside them."""
        beside = (self.real_twilio and not self.twilio_api_url) or (self.real_slack and not self.slack_api_url)
        if beside or urlsplit(self.playground_url).hostname not in LOOPBACK:
            raise ValueError("PLAYGROUND_URL: `serve` sets it for the playground, which is never beside a real account")

    def _check_alerts(self) -> None:
        if self.alert_channel and not self.real_slack:
            raise ValueError("ALERT_CHANNEL: it is a channel of Slack, which is not configured")
        if self.alert_channel and self.slack_client_id and not self.support_team:
            raise ValueError("ALERT_CHANNEL: with many workspaces SUPPORT_TEAM says in which one it is")
        if bool(self.alert_email) != bool(self.alert_smtp_url):
            missing = "ALERT_SMTP_URL" if self.alert_email else "ALERT_EMAIL"
            raise ValueError(f"{missing}: alarms by mail need an address and a server")

    def _check_real_twilio(self) -> None:
        needed = {
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token,
            "TWILIO_WHATSAPP_FROM (or TWILIO_MESSAGING_SERVICE_SID)": self.twilio_sender,
        }
        self._check_account("Twilio", needed, "TWILIO_API_URL", self.twilio_api_url)

    def _check_real_slack(self) -> None:
        if self.slack_bot_token and self.slack_client_id:
            raise ValueError("SLACK_BOT_TOKEN: it is for one workspace, SLACK_CLIENT_ID for many; set one of the two")
        if self.slack_client_id and self.slack_app_token:
            raise ValueError("SLACK_APP_TOKEN: Socket Mode is for one workspace; many are served over HTTP")
        needed = {
            "SLACK_BOT_TOKEN (or SLACK_CLIENT_ID)": self.slack_bot_token or self.slack_client_id,
            "SLACK_CLIENT_SECRET": self.slack_client_secret or not self.slack_client_id,
            "SLACK_SIGNING_SECRET (or SLACK_APP_TOKEN)": self.slack_signing_secret or self.slack_app_token,
        }
        self._check_account("Slack", needed, "SLACK_API_URL", self.slack_api_url)

    def _check_sign_in(self, name: str, client_id: str, client_secret: str) -> None:
        """What signing in at a provider needs. Raises ValueError with one sentence."""
        if bool(client_id) != bool(client_secret):
            there, missing = ("ID", "SECRET") if client_id else ("SECRET", "ID")
            raise ValueError(
                f"{name}_CLIENT_{missing}: it is needed beside {name}_CLIENT_{there}; set both, or neither"
            )
        here = urlsplit(self.url)
        if client_id and here.scheme != "https" and here.hostname not in LOOPBACK:
            raise ValueError("PUBLIC_URL: it must begin with https://, because people come back to it from signing in")

    def _check_real_microsoft(self) -> None:
        if not self.microsoft_client_id or self.microsoft_authority:
            return
        if not _GUID.fullmatch(self.microsoft_client_id):
            raise ValueError("MICROSOFT_CLIENT_ID: it must be the app's Application (client) ID, as Microsoft shows it")
        if _GUID.fullmatch(self.microsoft_client_secret):
            raise ValueError("MICROSOFT_CLIENT_SECRET: that is the secret's id; what is needed is its value")

    def _check_real_google(self) -> None:
        if self.google_verified == "yes" and not self.google_client_id:
            raise ValueError("GOOGLE_VERIFIED: it says that the app of GOOGLE_CLIENT_ID is verified; set that, too")
        if self.google_client_id and not self.google_authority and not self.google_client_id.endswith(_GOOGLES):
            raise ValueError(f"GOOGLE_CLIENT_ID: it must end with {_GOOGLES}")

    def _check_door(self) -> None:
        """What the door needs, all or nothing of it. Raises ValueError with one sentence."""
        given = {"DOOR_HOST": self.door_host, "DOOR_CERT": self.door_cert, "DOOR_KEY": self.door_key}
        missing = [name for name, value in given.items() if not value]
        if len(missing) not in {0, len(given)}:
            raise ValueError(f"{missing[0]}: the door needs DOOR_HOST, DOOR_CERT and DOOR_KEY; set all three, or none")

    def _check_account(self, whose: str, needed: Mapping[str, object], api_name: str, api_url: str) -> None:
        """What any real account needs. Raises ValueError with one sentence."""
        common = {
            "PUBLIC_URL": self.public_url,
            "SECRET_KEYS (or SECRET_KEYS_FILE)": self.secret_keys or self.secret_keys_file,
            "SUPPORT_CONTACT (or SUPPORT_CHANNEL)": self.support_contact or self.support_channel,
            "PRIVACY_URL": self.privacy_url,
        }
        missing = [name for name, value in {**needed, **common}.items() if not value]
        if missing:
            raise ValueError(f"{missing[0]}: it is needed with a {whose} account")
        if api_url and urlsplit(api_url).hostname not in LOOPBACK:
            raise ValueError(f"{api_name}: it is for tests and the playground, on this machine only")
        if not api_url and not self.public_url.startswith("https://"):
            raise ValueError("PUBLIC_URL: it must begin with https://, because passwords are typed there")

    @property
    def real_twilio(self) -> bool:
        """Whether a Twilio account is configured."""
        return bool(self.twilio_account_sid)

    @property
    def real_slack(self) -> bool:
        """Whether Slack is configured: a token of one workspace, or an app that many can install."""
        any_of_many = self.slack_client_id or self.slack_client_secret
        return bool(self.slack_bot_token or any_of_many or self.slack_signing_secret or self.slack_app_token)

    @property
    def real(self) -> bool:
        """Whether any account is configured; without one this is the playground."""
        return self.real_twilio or self.real_slack

    @property
    def desk(self) -> Rules:
        """When and how soon the support team answers."""
        hours = read_hours(self.support_hours, self.support_timezone)
        return Rules(hours, timedelta(minutes=self.support_answer_minutes))

    @property
    def needed_database_url(self) -> str:
        """The database of a process that cannot own an embedded one. Raises SettingsError without."""
        if not self.database_url:
            raise SettingsError("DATABASE_URL: it is needed here; or let one command do all: python -m bot serve")
        return self.database_url

    @property
    def twilio_sender(self) -> str:
        """From whom messages come: a WhatsApp number or a messaging service."""
        return self.twilio_messaging_service_sid or self.twilio_whatsapp_from

    @property
    def url(self) -> str:
        """Where people reach us."""
        return self.public_url or f"http://{self.listen}"

    @property
    def listen(self) -> str:
        """Where the web server listens, as address and port."""
        return f"[{self.bind}]:{self.port}" if ":" in self.bind else f"{self.bind}:{self.port}"

    @property
    def door_bind(self) -> str | None:
        """Where the door listens: at all addresses (None), but at 127.0.0.1 in the playground."""
        return "127.0.0.1" if self.playground_url or not self.real else None

    @property
    def domain(self) -> str:
        """The name that every link of ours begins with."""
        return urlsplit(self.url).netloc

    @cached_property
    def proxies(self) -> tuple[Network, ...]:
        """The reverse proxies of ours, which are believed where a request came from."""
        return tuple(ipaddress.ip_network(word) for word in self.trusted_proxies)

    @property
    def nameserver(self) -> tuple[str, int] | None:
        """The name server to ask instead of the system's, as address and port."""
        return _address_and_port(self.dns_server) if self.dns_server else None

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports at which mail may be handed in."""
        return (465, 587, *(int(word) for word in self.smtp_allow_ports if int(word) not in {465, 587}))


def load(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment; empty values count as unset. Raises SettingsError."""
    known = {name.lower(): value.strip() for name, value in environment.items() if value.strip()}
    given: dict[str, Any] = {name: known[name] for name in Settings.model_fields if name in known}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _address_and_port(text: str) -> tuple[str, int]:
    """A name server as it is written: 192.0.2.1, 192.0.2.1:5353 or 2001:db8::1. Raises ValueError."""
    address, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "53")
    try:
        ipaddress.ip_address(address)
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number <= MAX_PORT:
        raise ValueError("it must be an address such as 192.0.2.1 or 192.0.2.1:53")
    return address, number


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    why = first["msg"].removeprefix("Value error, ")
    where = ".".join(str(part) for part in first["loc"]).upper()
    return f"{where}: {why}." if where else f"{why}."


def timezone(name: str) -> zoneinfo.ZoneInfo:
    """A time zone by its name. Raises SettingsError for an unknown one."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise SettingsError(f"There is no time zone called {name}; it is like America/Sao_Paulo.") from None
