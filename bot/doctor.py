"""`python -m bot doctor`: looks at one installation from all sides. Each check is one line, with what to do.

To add a check, write a function that answers a Finding, or several (None: there is nothing to look at here) and append
it to `OF_SETTINGS`, if the settings are enough, or to `OF_PARTS`, if it needs the database or a channel. It may raise:
then it could not be looked at, which counts as failed.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import requests

from bot.app import Parts, join, look_over
from bot.backup import key_file
from bot.channels import SendError
from bot.channels.slack.scopes import missing
from bot.channels.whatsapp import sign
from bot.channels.whatsapp.account import SANDBOX, wanted
from bot.database import opened
from bot.doctor_apps import sign_in_apps
from bot.doctor_broker import broker
from bot.doctor_door import door
from bot.doctor_wires import wires
from bot.findings import Finding, State
from bot.safe import WrongKey
from bot.settings import Settings, SettingsError, load
from bot.store import housekeeping, slack
from bot.store import secrets as sealed_records
from bot.store.embedded import EmbeddedFailed
from bot.store.engine import DatabaseDown, reading
from bot.store.schema import WrongSchema
from bot.store.tables import SCHEMA

WAIT = 10.0  # seconds for an answer of PUBLIC_URL
CLOCKS_MAY_DIFFER, CLOCKS_DIFFER_MUCH = 30.0, 300.0  # seconds
LITTLE_SPACE, NO_SPACE = (0.10, 2e9), (0.05, 5e8)  # share of the disk that is free, bytes
PORTS = {465: "handing mail in", 587: "handing mail in", 993: "copies in Sent"}
MOST_WORKSPACES = 50
PENDING = frozenset({"received", "pending"})
OK, FORBIDDEN = 200, 403

_T = TypeVar("_T")


OfSettings = Callable[[Settings], Finding | None]
OfParts = Callable[[Parts], Finding | list[Finding] | None]


def examine(environment: Mapping[str, str]) -> list[Finding]:
    """Every check that applies here. Raises nothing that an operator can mend."""
    try:
        settings = load(environment)
        look_over(settings)
    except SettingsError as wrong:
        return [
            Finding("settings", "failed", str(wrong), "Mend it, then run doctor again: nothing else was looked at.")
        ]
    found = [Finding("settings", "ok", "They are complete and right.")]
    found += [one for check in OF_SETTINGS for one in _tried(check, settings)]
    return [*found, *_of_database(settings)]


def _of_database(settings: Settings) -> list[Finding]:
    """The database, and all that needs it."""
    try:
        with opened(settings) as url:
            parts = join(settings, url, pool=2)
            try:
                return [*_opened(parts), *_of_parts(parts)]
            finally:
                parts.close()
    except (EmbeddedFailed, *DatabaseDown) as down:
        words = str(down) if isinstance(down, EmbeddedFailed) else "The database does not answer."
        wrong = Finding("database", "failed", words, "Is it running, and is DATABASE_URL right?")
    except WrongSchema as old:
        wrong = Finding("schema", "failed", str(old), "Run: python -m bot migrate")
    except WrongKey as key:
        wrong = Finding("keys", "failed", str(key), "RUNBOOK, 'A lost key'.")
    except SettingsError as setting:
        wrong = Finding("settings", "failed", str(setting))
    names = ", ".join(check.__name__.replace("_", " ") for check in OF_PARTS)
    return [wrong, Finding("the rest", "warning", f"Not looked at, because it needs the database: {names}.")]


def _opened(parts: Parts) -> list[Finding]:
    """What was found by joining the parts."""
    where = "at DATABASE_URL" if parts.settings.database_url else f"embedded, in {parts.settings.data_dir}"
    return [
        Finding("database", "ok", f"It answers ({where})."),
        Finding("schema", "ok", f"It has schema {SCHEMA}, as this version needs it."),
        _keys(parts),
    ]


def _keys(parts: Parts) -> Finding:
    """Whether all that is sealed was sealed with keys that are at hand."""
    with reading(parts.engine) as db:
        sealed = sealed_records.by_key(db)
    lost = {key: count for key, count in sealed.items() if key not in parts.vault.held}
    if lost:
        words = ", ".join(f"{count} with {key}" for key, count in sorted(lost.items()))
        return Finding("keys", "failed", f"SECRET_KEYS lacks keys with which something is sealed: {words}.",
                       "Put them behind the newest one; if they are lost for good: RUNBOOK, 'A lost key'.")  # fmt: skip
    older = sum(count for key, count in sealed.items() if key != parts.vault.newest)
    rest = f" {older} records wait for: python -m bot rotate-keys" if older else ""
    return Finding("keys", "ok", f"They open this database; the newest is {parts.vault.newest}.{rest}")


def _of_parts(parts: Parts) -> list[Finding]:
    return [one for check in OF_PARTS for one in _tried(check, parts)]


def _tried(check: Callable[[_T], Finding | list[Finding] | None], what: _T) -> list[Finding]:
    """A check that breaks is a finding, too; its words may hold what is nobody's business."""
    name = check.__name__.replace("_", " ")
    try:
        found = check(what)
    except SendError as failure:
        return [Finding(name, "failed", f"The provider did not answer as hoped: {failure}.")]
    except Exception as error:  # noqa: BLE001 - one bad check must not hide the others
        return [Finding(name, "failed", f"It could not be looked at ({type(error).__name__}).", "Run doctor again.")]
    return found if isinstance(found, list) else [found] if found is not None else []


# --- what the settings are enough for ---------------------------------------------------------------------------------


def accounts(settings: Settings) -> Finding | None:
    """Whether anybody but the playground can reach us."""
    if settings.real:
        return None
    words = "Neither Twilio nor Slack is configured: this is the playground."
    return Finding("accounts", "warning", words, "To run it for real: python -m bot init")


def alerts(settings: Settings) -> Finding | None:
    """Whether anybody hears of what is wrong."""
    if not settings.real:
        return None
    if settings.alert_channel or settings.alert_email:
        return Finding("alerts", "ok", "Alarms are told.")
    return Finding(
        "alerts", "warning", "Nobody is told of alarms.", "Set ALERT_CHANNEL, or ALERT_EMAIL and ALERT_SMTP_URL."
    )


def data_dir(settings: Settings) -> Finding:
    """Our files are nobody else's business."""
    name, place = "data dir", settings.data_dir
    if not place.exists():
        return Finding(name, "ok", f"{place} is made at the first start.")
    found = place.stat()
    if found.st_uid != os.geteuid():
        words = f"{place} belongs to user {found.st_uid}, and this is user {os.geteuid()}."
        return Finding(
            name, "warning" if os.geteuid() == 0 else "failed", words, f"Run as its owner, or: chown {place}"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        return Finding(name, "failed", f"Others can look into {place}.", f"chmod 700 {place}")
    if not os.access(place, os.W_OK):
        return Finding(name, "failed", f"Nothing can be written into {place}.", "Mount it writable.")
    return Finding(name, "ok", f"{place} is ours alone.")


def key_place(settings: Settings) -> Finding:
    """The keys lie neither open nor with the backups, which they are to protect."""
    name, place = "key place", key_file(settings)
    if place is None:
        return Finding(name, "ok", "The keys stand in the environment, in no file of ours.")
    backups = settings.backup_dir
    if backups is not None and place.resolve().is_relative_to(backups.resolve()):
        words = f"{place} lies in BACKUP_DIR: whoever gets a backup has the keys, too."
        return Finding(name, "failed", words, "Move one of the two.")
    if stat.S_IMODE(place.stat().st_mode) & 0o077:
        return Finding(name, "warning", f"Others on this machine can read {place}.", f"chmod 600 {place}")
    return Finding(name, "ok", f"{place} is ours alone, and not with the backups.")


def disk(settings: Settings) -> Finding:
    """Room for the embedded database, its log, and backups."""
    place = next(one for one in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents) if one.exists())
    usage = shutil.disk_usage(place)
    words = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free where DATA_DIR lies."
    steps: tuple[tuple[State, tuple[float, float]], ...] = (("failed", NO_SPACE), ("warning", LITTLE_SPACE))
    for state, (share, room) in steps:
        if usage.free < room or usage.free < share * usage.total:
            return Finding("disk", state, words, "Make room: PostgreSQL stops when none is left.")
    return Finding("disk", "ok", words)


def reachable(settings: Settings) -> Finding | None:
    """Whether PUBLIC_URL leads to us, as far as this machine can tell."""
    if not settings.public_url:
        return None
    try:
        answer = requests.get(f"{settings.url}/healthz", timeout=WAIT, allow_redirects=False)
    except requests.RequestException as error:
        words = f"{settings.url}/healthz does not answer ({_why(error)})."
        return Finding("reachable", "failed", words, "Does web run? DNS, firewall, certificate, proxy: in this order.")
    if (answer.status_code, answer.text) != (OK, "ok\n"):
        words = f"{settings.url}/healthz is answered with {answer.status_code}, not by us."
        return Finding("reachable", "failed", words, "Let the proxy hand every path of this name on to web.")
    return Finding("reachable", "ok", f"{settings.url} leads to us, seen from this machine.")


def _why(error: requests.RequestException) -> str:
    """The kind of a failure: its words hold addresses."""
    return {"SSLError": "its certificate is not valid", "ConnectTimeout": "no connection in time"}.get(
        type(error).__name__, type(error).__name__
    )


def webhook(settings: Settings) -> Finding | None:
    """Whether a request that Twilio signed would be taken, and one that it did not sign refused.

    The request names no message: it is signed rightly, and does nothing.
    """
    if not settings.real_twilio:
        return None
    url, form = f"{settings.url}/whatsapp", {"AccountSid": settings.twilio_account_sid, "Doctor": secrets.token_hex(8)}
    right = sign(url, form, settings.twilio_auth_token)
    try:
        taken = requests.post(url, form, headers={"X-Twilio-Signature": right}, timeout=WAIT, allow_redirects=False)
        forged = requests.post(url, form, headers={"X-Twilio-Signature": "AAAA"}, timeout=WAIT, allow_redirects=False)
    except requests.RequestException as error:
        return Finding("webhook", "failed", f"{url} does not answer ({_why(error)}).", "See PUBLIC_URL.")
    if taken.status_code != OK:
        words = f"A rightly signed request to {url} is answered with {taken.status_code}."
        todo = (
            "Are PUBLIC_URL and TWILIO_AUTH_TOKEN of the web process these very ones, and does the proxy keep the path?"
        )
        return Finding("webhook", "failed", words, todo)
    if forged.status_code != FORBIDDEN:
        words = f"A wrongly signed request to {url} is answered with {forged.status_code}, not refused."
        return Finding("webhook", "failed", words, "Something else than this assistant answers there.")
    return Finding("webhook", "ok", "What Twilio signs is taken, what it does not sign is refused.")


# --- what needs the database or a channel -----------------------------------------------------------------------------


def clock(parts: Parts) -> Finding:
    """Our clock against another one."""
    theirs, whose = _other_clock(parts)
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    words = f"It differs from {whose} by {apart:.0f} s."
    if apart > CLOCKS_MAY_DIFFER:
        state: State = "failed" if apart > CLOCKS_DIFFER_MUCH else "warning"
        return Finding("clock", state, words, "Set it by NTP: links end and windows close by this clock.")
    return Finding("clock", "ok", words)


def _other_clock(parts: Parts) -> tuple[datetime, str]:
    if parts.twilio is not None:
        try:
            told = parts.twilio.state().at
        except SendError:  # the next check says so
            told = None
        if told is not None:
            return told, "Twilio's"
    with reading(parts.engine) as db:
        return housekeeping.database_time(db), "the database's"


def twilio_account(parts: Parts) -> Finding | None:
    """Whether Twilio takes our token, and lets the account work."""
    if parts.twilio is None:
        return None
    try:
        state = parts.twilio.state()
    except SendError as failure:
        todo = "Compare TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN with Twilio's console."
        return Finding("twilio account", "failed", f"Twilio does not take the token: {failure}.", todo)
    if state.status != "active":
        todo = "Twilio's console says why."
        return Finding("twilio account", "failed", f"The account {state.name} is {state.status}.", todo)
    return Finding("twilio account", "ok", f"The account {state.name} is active.")


def twilio_sender(parts: Parts) -> Finding | None:
    """Whether our sender is there and calls us."""
    if parts.twilio is None:
        return None
    name, sender = "twilio sender", parts.twilio.sender
    if sender == SANDBOX:
        todo = "Register a sender of your own; until then set the sandbox's webhook in the console."
        return Finding(name, "warning", "This is Twilio's sandbox: people have to join it first.", todo)
    found = parts.twilio.find()
    if found is None:
        todo = "Compare TWILIO_WHATSAPP_FROM (or TWILIO_MESSAGING_SERVICE_SID) with Twilio's console."
        return Finding(name, "failed", f"The account has no {sender}.", todo)
    if found.online:
        return Finding(name, "failed", f"{sender} is not online: {found.online}.", "Twilio's console says why.")
    if found.hooks != wanted(parts.settings.url, found.hooks):
        return Finding(name, "failed", f"{sender} calls another address.", "Run: python -m bot setup-twilio")
    return Finding(name, "ok", f"{sender} is there and calls us.")


def twilio_templates(parts: Parts) -> Finding | None:
    """Whether the templates that may be sent are approved."""
    if parts.templates is None or parts.settings.templates == "off":
        return None
    name, states = "twilio templates", parts.templates.states()
    unasked = [one for one in states if not one["asked"]]
    if unasked:
        words = f"{len(unasked)} of {len(states)} were not submitted."
        return Finding(name, "failed", words, "Run: python -m bot setup-twilio")
    bad = [f"{one['template']} {one['language']}" for one in states if one["state"] not in {*PENDING, "approved"}]
    if bad:
        words = f"WhatsApp does not approve {', '.join(bad)}."
        return Finding(name, "failed", words, "The reason: python -m bot templates")
    waiting = sum(one["state"] in PENDING for one in states)
    if waiting:
        return Finding(name, "warning", f"WhatsApp still looks at {waiting} of {len(states)}.", "Wait: mostly a day.")
    return Finding(name, "ok", f"All {len(states)} are approved.")


def slack_app(parts: Parts) -> Finding | None:
    """Whether Slack takes our tokens, and the app has its scopes, in every workspace."""
    if parts.slack is None:
        return None
    with reading(parts.engine) as db:
        installed = [row.team_id for row in slack.live_workspaces(db)][:MOST_WORKSPACES]
    teams = [""] if parts.settings.slack_bot_token else installed
    if not teams:
        return Finding("slack app", "ok", "No workspace has added the app yet.")
    for team in teams:
        wrong = _one_workspace(parts, team)
        if wrong is not None:
            return wrong
    return Finding("slack app", "ok", f"The token and all scopes are there, in {len(teams)} workspace(s).")


def _one_workspace(parts: Parts, team: str) -> Finding | None:
    assert parts.slack is not None  # noqa: S101 - looked at by the caller
    again = "Install the app again with deploy/slack-manifest.yaml."
    try:
        name, granted = parts.slack.workspaces.api.granted(team)
    except SendError as failure:
        return Finding(
            "slack app", "failed", f"Slack does not take the token of {team or 'the workspace'}: {failure}.", again
        )
    if lacking := missing(granted):
        return Finding("slack app", "failed", f"In {name} the app lacks {', '.join(lacking)}.", again)
    return None


def support_channel(parts: Parts) -> Finding | None:
    """Whether the desk's channel is private, not shared, and somebody is in it."""
    desk = parts.tools.desk
    if desk is None:
        return None
    standing = desk.staff.look()
    if standing.closed:
        todo = "It must be private, shared with nobody, and the app in it: /invite @ally"
        return Finding("support channel", "failed", f"It cannot be used: {standing.closed}.", todo)
    if not standing.names:
        return Finding("support channel", "warning", "Nobody of your team is in it.", "Invite your support team.")
    return Finding("support channel", "ok", f"It is private, with {len(standing.names)} of your team.")


def mail_ports(parts: Parts) -> Finding | None:
    """Whether our network lets us reach mail servers, behind the guard that all mail goes through."""
    egress = parts.tools.network.egress
    if egress is None:
        return None
    found = {port: egress.blocked(port) for port in PORTS}
    blocked = [f"{port} ({PORTS[port]})" for port, shut in found.items() if shut]
    if blocked:
        todo = "Ask the hoster of this machine to open it, outwards; many block these ports until asked."
        return Finding("mail ports", "failed", f"No known mail server answers at {', '.join(blocked)}.", todo)
    if None in found.values():
        return Finding(
            "mail ports", "warning", "No known mail server is found by our name server.", "Try: check HOST:PORT"
        )
    return Finding("mail ports", "ok", f"Mail servers answer at {', '.join(map(str, found))}.")


OF_SETTINGS: list[OfSettings] = [accounts, alerts, data_dir, key_place, disk, reachable, webhook, wires, broker]
OF_PARTS: list[OfParts] = [
    clock, twilio_account, twilio_sender, twilio_templates, slack_app, support_channel, mail_ports, sign_in_apps,
    door,
]  # fmt: skip


def lines(findings: Sequence[Finding]) -> list[str]:
    """The findings for a person: one line each, what to do below it."""
    shown = []
    for one in findings:
        shown.append(f"{one.state:<8} {one.name}: {one.words}")
        if one.todo and one.state != "ok":
            shown.append(f"{'':<8} -> {one.todo}")
    return shown


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed; what is only warned of may stay."""
    return all(one.state != "failed" for one in findings)
