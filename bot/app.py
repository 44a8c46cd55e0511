"""The only place where the parts are joined. Web, worker, commands and tests all begin here."""

import importlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from ssl import SSLContext
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flask import Flask

from bot.casework import Casework
from bot.channels.slack.channel import Slack
from bot.channels.slack.files import SlackFiles
from bot.channels.slack.render import Frame
from bot.channels.slack.threads import Threads
from bot.channels.whatsapp import Twilio
from bot.channels.whatsapp.account import TwilioAccount
from bot.channels.whatsapp.channel import WhatsApp
from bot.clock import Clock, SharedClock, SystemClock
from bot.data_links import DataLinks
from bot.desk_media import Shelf
from bot.desk_offer import Offers
from bot.desk_open import Opener
from bot.desk_tools import Desk, DeskTools
from bot.door_links import DoorLinks
from bot.facts import FactReader
from bot.handiwork import Channel, DeskParts, SlackParts, Tools
from bot.limits import Limits
from bot.links import LinkBook
from bot.listening import Listener
from bot.mail.knowledge.provider_table import BadTable
from bot.mail.knowledge.providers import Providers
from bot.mail.wire.egress import Egress
from bot.mail.wire.guard import Guard
from bot.mail.wire.smtp import Network, tls_context
from bot.oauth_apps import Apps, sign_in_pages
from bot.pressure import Pressure
from bot.records import Records
from bot.safe import Safe
from bot.screens import Screens
from bot.search import Search
from bot.settings import Settings, SettingsError
from bot.sign_in import SignIns
from bot.staff import Staff
from bot.store import housekeeping, schema
from bot.store.engine import Engine, connect, reading
from bot.store.wake import Ear, tell_by
from bot.templates import Templates
from bot.timers import Timers
from bot.turns import Turns
from bot.vault import BadKey, Vault, new_key
from bot.web import pages
from bot.web.data_page import data_page
from bot.web.door_page import door_page
from bot.web.headers import secure
from bot.web.media import media_pages
from bot.web.proxies import behind
from bot.web.secret_page import secret_page
from bot.web.sign_in import sign_in
from bot.web.slack import slack_pages
from bot.web.slack_install import slack_install
from bot.worker import Hearing, Worker
from bot.workspaces import Workspaces
from flows.facts import House
from flows.speech import sentence
from flows.words import Language

if TYPE_CHECKING:
    from bot.broker import Herald

WEB_POOL = 10
IPV6 = 6


class Contents:
    """The book of Twilio's resources, in our database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, name: str) -> str | None:
        """The sid of a resource, or None."""
        with reading(self._engine) as db:
            return housekeeping.content_sid(db, name)

    def put(self, name: str, sid: str) -> None:
        """Remember a sid."""
        with self._engine.begin() as db:
            housekeeping.keep_content(db, name, sid)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything joined, for one process."""

    settings: Settings
    engine: Engine
    clock: Clock
    vault: Vault
    safe: Safe
    limits: Limits
    turns: Turns
    casework: Casework
    facts: FactReader
    search: Search
    links: LinkBook
    apps: Apps
    sign_ins: SignIns
    tools: Tools
    timers: Timers
    pressure: Pressure
    herald: "Herald | None" = None
    slack: SlackParts | None = None
    templates: Templates | None = None
    twilio: TwilioAccount | None = None

    def close(self) -> None:
        """Nothing is done later any more; let go of the database."""
        self.pressure.stop()
        self.timers.stop()
        self.engine.dispose()
        if self.herald is not None:
            self.herald.close()

    def ear(self) -> Hearing:
        """What wakes a worker of this process."""
        return _broker().Ear(self.settings.broker_url) if self.settings.broker_url else Ear(self.engine)


def join(
    settings: Settings,
    database_url: str,
    *,
    clock: Clock | None = None,
    channels: Mapping[str, Channel] | None = None,
    extra_providers: Path | None = None,
    pool: int = WEB_POOL,
) -> Parts:
    """Join the parts on a database that has our schema.

    Raises SettingsError, WrongSchema or WrongKey, each with one plain sentence for the operator.
    """
    vault = keys(settings)
    engine = connect(database_url, pool=pool, key=vault.newest)
    try:
        providers = known_providers(extra_providers or settings.providers_extra)
        return _join(settings, engine, vault, clock or _clock(settings), dict(channels or {}), providers)
    except BaseException:
        engine.dispose()
        raise


def _clock(settings: Settings) -> Clock:
    """The machine's time; the playground's can be moved."""
    if settings.playground_url and settings.playground_clock is not None:
        return SharedClock(settings.playground_clock)
    return SystemClock()


def _join(
    settings: Settings, engine: Engine, vault: Vault, clock: Clock, joined: dict[str, Channel], providers: Providers
) -> Parts:
    schema.check(engine)
    herald = _herald(settings, engine)
    safe = Safe(vault)
    with engine.begin() as db:
        safe.check(db)
    mails = f"{settings.mails_per_hour} per hour; {settings.mails_per_day} per day"
    limits = Limits(engine, clock, {"mail": {"mailbox": mails}})
    reached = network(settings)
    apps = Apps(safe, settings, reached.context)
    facts = FactReader(house(settings), providers, settings.desk.hours, apps)
    whatsapp = _whatsapp(settings, engine) if settings.real_twilio else None
    templates = twilio = None
    if whatsapp is not None:
        twilio = TwilioAccount(whatsapp.twilio, settings.twilio_account_sid, settings.twilio_sender)
        joined["whatsapp"] = whatsapp
        templates = Templates(whatsapp, Contents(engine), settings.operator_name, settings.template_limit)
    offered = templates if settings.templates == "on" else None
    casework = Casework(settings.desk, settings.support_team, Offers(offered))
    search = Search(lambda text: facts.family(text, clock.now().date()))
    records = Records(safe, limits, facts, casework, settings.twilio_whatsapp_from)
    pressure = Pressure(engine, clock)
    turns = Turns(engine, clock, facts, records, Listener(facts, safe, search), casework, pressure)
    door = (settings.door_host, settings.door_port)
    links = LinkBook(engine, clock, turns, safe, providers, chat_url(settings), apps, door)
    slack = _slack(settings, engine, clock, safe)
    if slack is not None:
        joined["slack"] = slack.channel
    timers = Timers()
    tools = Tools(
        engine=engine,
        clock=clock,
        channels=joined,
        links=links,
        providers=providers,
        safe=safe,
        limits=limits,
        network=reached,
        apps=apps,
        later=timers.later,
        announce=turns.announce,
        receive=turns.receive,
        public_url=settings.url,
        operator=settings.operator_name,
        discovery=settings.discovery == "online",
        glance=facts.at_a_glance,
        slack=slack,
        desk=_desk(settings, slack, casework, clock, turns, facts, providers),
        templates=offered,
    )
    return Parts(
        settings,
        engine,
        clock,
        vault,
        safe,
        limits,
        turns,
        casework,
        facts,
        search,
        links,
        apps,
        SignIns(engine, clock, turns, safe, apps, providers, chat_url(settings)),
        tools,
        timers,
        pressure,
        herald,
        slack,
        templates,
        twilio,
    )


def _herald(settings: Settings, engine: Engine) -> "Herald | None":
    """Who wakes the workers instead of PostgreSQL, where a broker is set. Raises SettingsError."""
    if not settings.broker_url:
        return None
    herald: Herald = _broker().Herald(settings.broker_url)
    tell_by(engine, herald.tell)
    return herald


def _broker() -> ModuleType:
    try:
        return importlib.import_module("bot.broker")
    except ImportError:  # its library is an extra
        raise SettingsError("BROKER_URL: what it needs is missing; install deploy/requirements-broker.lock.") from None


def house(settings: Settings) -> House:
    """What the flows may know of this installation."""
    return House(
        operator=settings.operator_name,
        privacy_url=settings.privacy_url or f"{settings.url}/privacy",
        retention_days=settings.retention_days,
        support_contact=settings.support_contact or "support@sandbox.test",
        domain=settings.domain,
        ports=settings.ports,
        mails_per_hour=settings.mails_per_hour,
        mails_per_day=settings.mails_per_day,
        signup=settings.signup,
        desk=bool(settings.support_channel),
        answer_minutes=settings.support_answer_minutes,
        sign_in_pages=sign_in_pages(settings),
        door=settings.door_host,
        door_port=settings.door_port,
    )


def network(settings: Settings) -> Network:
    """How mail servers are reached: one guard and one TLS context for all."""
    guard = Guard(
        allow_networks=settings.smtp_allow_networks,
        allow_ports=[int(port) for port in (*settings.smtp_allow_ports, *settings.imap_allow_ports)],
        nameserver=settings.nameserver,
    )
    try:
        context = _trusting(settings.ssl_cert_file)
    except OSError:
        raise SettingsError(f"SSL_CERT_FILE: {settings.ssl_cert_file} holds no readable certificate.") from None
    try:
        return Network(guard, context, _own_name(settings), egress=Egress(guard))
    except ValueError:
        raise SettingsError(f"PUBLIC_URL: {settings.domain} is no full host name; mail servers refuse it.") from None


@cache
def _trusting(authorities: Path | None) -> SSLContext:
    """Who is trusted besides those that the system trusts; to read all of them takes longer than all else here."""
    context = tls_context()
    if authorities is not None:
        context.load_verify_locations(cafile=str(authorities))
    return context


def _own_name(settings: Settings) -> str:
    """What we call ourselves to mail servers: our host, or an address in brackets (RFC 5321 §4.1.3)."""
    host = urlsplit(settings.url).hostname or ""
    try:
        return f"[IPv6:{host}]" if ip_address(host).version == IPV6 else f"[{host}]"
    except ValueError:
        return host if "." in host else "[127.0.0.1]"


def known_providers(path: Path | None) -> Providers:
    """Our table of providers, widened by the operator's file. Raises SettingsError."""
    try:
        return Providers.load(path)
    except BadTable as bad:
        raise SettingsError(f"PROVIDERS_EXTRA: {bad}.") from None


def look_over(settings: Settings) -> None:
    """Find what is wrong about settings before a database is needed. Raises SettingsError."""
    if settings.secret_keys or settings.secret_keys_file:
        keys(settings)
    network(settings)
    known_providers(settings.providers_extra)


def keys(settings: Settings) -> Vault:
    """The vault with the operator's keys, or with the one that `serve` made for the playground."""
    try:
        if settings.secret_keys:
            return Vault.from_setting(settings.secret_keys)
        path = settings.secret_keys_file or make_key(settings.data_dir)
        return Vault.from_file(path)
    except BadKey as bad:
        raise SettingsError(str(bad)) from None


def make_key(data_dir: Path) -> Path:
    """The key of an installation without SECRET_KEYS, made once; only our user can read it."""
    path = data_dir / "secret.key"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(new_key())
    except OSError as error:
        raise SettingsError(f"DATA_DIR: nothing can be kept in {data_dir} ({error.strerror}).") from None
    return path


def chat_url(settings: Settings) -> str:
    """The way back to the chat: WhatsApp with our number, or the playground."""
    if settings.playground_url:
        return f"{settings.url}/playground"
    digits = "".join(sign for sign in settings.twilio_whatsapp_from if sign.isdigit())
    return f"https://wa.me/{digits}" if digits else ""


def _whatsapp(settings: Settings, engine: Engine) -> WhatsApp:
    twilio = Twilio(
        settings.twilio_account_sid,
        settings.twilio_auth_token,
        settings.twilio_sender,
        Contents(engine),
        api_url=settings.twilio_api_url,
    )
    return WhatsApp(twilio, f"{settings.url}/whatsapp/status")


def _slack(settings: Settings, engine: Engine, clock: Clock, safe: Safe) -> SlackParts | None:
    if not settings.real_slack:
        return None
    workspaces = Workspaces(
        engine,
        clock,
        safe,
        token=settings.slack_bot_token,
        client=(settings.slack_client_id, settings.slack_client_secret),
        api_url=settings.slack_api_url,
    )
    screens = Screens(engine, clock)
    files = SlackFiles(workspaces.token_of, settings.slack_api_url)
    return SlackParts(workspaces, screens, Slack(workspaces.api, files, screens, _frame))


def _desk(
    settings: Settings, slack: SlackParts | None, casework: Casework, clock: Clock, turns: Turns, facts: FactReader,
    providers: Providers,
) -> DeskParts | None:  # fmt: skip
    if slack is None or not settings.support_channel:
        return None
    zone, api = ZoneInfo(settings.support_timezone), slack.workspaces.api
    team, channel = settings.support_team, settings.support_channel
    where = Desk(team, channel, zone)
    tools = DeskTools(casework, turns, facts, providers, where, clock.now)
    opener = Opener(casework, where, clock.now)
    staff = Staff(api, team, channel, clock.now)
    threads, files = Threads(api, team, channel), slack.channel.files
    return DeskParts(api, team, channel, zone, casework, threads, staff, tools, opener, files)


def _frame(language: Language) -> Frame:
    return Frame(*(sentence(f"slack.{name}", language) for name in ("title", "submit", "close", "written")))


def create_app(parts: Parts) -> Flask:
    """The web application."""
    app = Flask("bot.web")
    settings = parts.settings
    app.config.update(MAX_CONTENT_LENGTH=pages.MAX_BODY, MAX_FORM_PARTS=pages.MAX_PARTS)
    secure(app, https=settings.url.startswith("https://"))
    if settings.proxies:
        behind(app, settings.proxies)
    app.register_blueprint(
        secret_page(
            parts.links,
            sentence=sentence,
            form_key=parts.vault.subkey("forms"),
            operator=settings.operator_name,
            chat_url=chat_url(settings),
            clock=parts.clock.now,
        )
    )
    app.register_blueprint(pages.pages(parts))
    app.register_blueprint(media_pages(Shelf(parts.engine, parts.clock, parts.safe).look))
    app.register_blueprint(sign_in(parts, parts.sign_ins))
    app.register_blueprint(
        door_page(parts, DoorLinks(parts.engine, parts.clock, parts.turns, parts.links), chat_url(settings))
    )
    app.register_blueprint(data_page(parts, DataLinks(parts.engine, parts.clock, parts.turns), chat_url(settings)))
    if parts.slack is not None:
        app.register_blueprint(slack_pages(parts))
    app.register_blueprint(slack_install(parts))
    if settings.playground_url:
        from bot.web.playground import playground  # noqa: PLC0415 - a deployment is copied without the playground

        app.register_blueprint(playground(parts))
    return app


def create_worker(parts: Parts) -> Worker:
    """The worker."""
    lanes = {"speak": parts.settings.lane_speak, "work": parts.settings.lane_work, "mail": parts.settings.lane_mail}
    return Worker(parts.tools, parts.turns, lanes, timedelta(days=parts.settings.retention_days), ear=parts.ear)
