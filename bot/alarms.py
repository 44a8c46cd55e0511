"""Alarms in words, to ALERT_CHANNEL in Slack, else by mail to ALERT_EMAIL: each at most once a day.

Web and worker both look, once a minute, in a thread of their own: of who is silent the other tells. Which alarm
was told stands in the database, so that several processes tell it once. Each has a section in deploy/RUNBOOK.md.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import structlog

from bot.app import Parts
from bot.channels import SendError
from bot.channels.slack.client import DEAD_TOKEN, SlackApi
from bot.channels.whatsapp.codes import fate
from bot.mail.knowledge.provider import Server
from bot.mail.wire import send
from bot.mail.wire.account import Account
from bot.mail.wire.smtp import Network
from bot.settings import Settings
from bot.store import alarms as store
from bot.store import promises
from bot.store.engine import Connection, DatabaseDown, reading
from bot.worker import LIFE

EVERY = timedelta(days=1)  # one alarm is told so often
AGAIN = timedelta(minutes=10)  # after it reached nobody
LOOK = 60.0  # seconds between two looks
SILENT = timedelta(minutes=5)  # a worker gives a sign of life every minute
SLOW = timedelta(minutes=1)  # something to be said that nobody says
OLD = timedelta(minutes=10)  # a promise that nobody claims
MANY_UNSAID = 10  # messages that failed for good in a day: some people block us or have gone
REFUSED = frozenset({"20003", "20005", "63007"})  # Twilio takes neither token, account nor sender, see `codes`
FULL = 0.9
LEAST_FREE, LEAST_SHARE = 1e9, 0.1  # bytes, and of all
ANCHOR = "deploy/RUNBOOK.md#alarm-{}"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that may be wrong. `look`: what is wrong, in one sentence; empty: nothing."""

    name: str
    look: Callable[[Parts, Connection, datetime], str]


class Bell(Protocol):
    """A way to reach the operator."""

    def ring(self, words: str) -> None:
        """Tell it. Raises NobodyError."""


class NobodyError(Exception):
    """An alarm reached nobody."""


# --- what may be wrong ------------------------------------------------------------------------------------------------


def _dead_letters(_parts: Parts, db: Connection, now: datetime) -> str:
    count = store.dead_letters(db, now - EVERY)
    return f"{count} turns raised within a day and wait to be replayed." if count else ""


def _failed(_parts: Parts, db: Connection, now: datetime) -> str:
    by_lane = store.failed(db, now - EVERY)
    unsaid, undone = by_lane.pop("speak", 0), sum(by_lane.values())
    if undone or unsaid > MANY_UNSAID:
        return f"Within a day {undone} tasks and {unsaid} messages failed for good."
    return ""


def _worker(_parts: Parts, db: Connection, now: datetime) -> str:
    last = store.last_sign(db, LIFE)
    if last is not None and now - last > SILENT:
        return f"No worker has given a sign of life since {last:%Y-%m-%d %H:%M} UTC: nothing is sent or tested."
    return ""


def _queue(_parts: Parts, db: Connection, now: datetime) -> str:
    due = min(store.oldest_due(db, now).values(), default=None)
    return f"Something has waited to be done since {due:%Y-%m-%d %H:%M} UTC." if due and now - due > OLD else ""


def _answers(_parts: Parts, db: Connection, now: datetime) -> str:
    due = promises.oldest_due(db, "speak", now)
    late = due is not None and now - due > SLOW
    return f"Answers come late: the oldest has waited since {due:%Y-%m-%d %H:%M} UTC." if late else ""


def _twilio(parts: Parts, db: Connection, now: datetime) -> str:
    code = store.refused_with(db, REFUSED, now - EVERY) if parts.twilio is not None else ""
    return (
        f"Twilio refuses our token, account or sender (code {code}): nobody on WhatsApp gets an answer." if code else ""
    )


def _slack(parts: Parts, db: Connection, now: datetime) -> str:
    one = parts.settings.slack_bot_token  # of many workspaces, one that left us is no alarm
    code = store.refused_with(db, DEAD_TOKEN, now - EVERY) if one else ""
    return f"Slack takes SLACK_BOT_TOKEN no more ({code})." if code else ""


def _disk(parts: Parts, _db: Connection, _now: datetime) -> str:
    if not parts.settings.data_dir.exists():
        return ""
    usage = shutil.disk_usage(parts.settings.data_dir)
    full = usage.free < max(LEAST_FREE, LEAST_SHARE * usage.total)
    return f"Only {usage.free / 1e9:.1f} GB are free where DATA_DIR lies." if full else ""


def _database(parts: Parts, db: Connection, _now: datetime) -> str:
    most, size = parts.settings.database_limit_gb * 1e9, store.size(db)
    return f"The database has {size / 1e9:.1f} of DATABASE_LIMIT_GB." if most and size > FULL * most else ""


def _support(parts: Parts, _db: Connection, _now: datetime) -> str:
    if parts.tools.desk is None:
        return ""
    try:
        closed = parts.tools.desk.staff.look().closed
    except SendError:  # Slack is away: that passes
        return ""
    return f"SUPPORT_CHANNEL cannot be used ({closed}): cases reach nobody." if closed else ""


ALARMS = (
    Alarm("dead-letters", _dead_letters),
    Alarm("failed-promises", _failed),
    Alarm("worker-silent", _worker),
    Alarm("answers-late", _answers),
    Alarm("queue-old", _queue),
    Alarm("twilio-refuses", _twilio),
    Alarm("slack-token", _slack),
    Alarm("disk-full", _disk),
    Alarm("database-full", _database),
    Alarm("support-channel", _support),
)
assert all(fate(code) == "operator" for code in REFUSED)  # noqa: S101 - one table knows what codes mean


# --- how it is told ---------------------------------------------------------------------------------------------------


class SlackBell:
    """A channel in Slack. https://docs.slack.dev/reference/methods/chat.postMessage."""

    def __init__(self, api: SlackApi, team: str, channel: str) -> None:
        self._api, self._team, self._channel = api, team, channel

    def ring(self, words: str) -> None:
        """Post it. Raises NobodyError."""
        try:
            self._api.call(self._team, "chat.postMessage", channel=self._channel, text=words, unfurl_links=False)
        except SendError as failure:
            raise NobodyError(f"ALERT_CHANNEL: {failure.code}") from None


class MailBell:
    """A mail through ALERT_SMTP_URL, by the same way as all mail: encrypted, and behind the guard."""

    def __init__(self, url: str, to: str, network: Network, now: Callable[[], datetime]) -> None:
        """`url`: smtps://user:password@host:465, or smtp:// for STARTTLS at 587; quoted as in any web address."""
        parts = urlsplit(url)
        tls = parts.scheme == "smtps"
        user = unquote(parts.username or "")
        server = Server(parts.hostname or "", parts.port or (465 if tls else 587), "tls" if tls else "starttls")
        self._account = Account(user if "@" in user else to, user, server)
        self._secret = unquote(parts.password or "")
        self._to, self._network, self._now = to, network, now

    def ring(self, words: str) -> None:
        """Hand it over. Raises NobodyError."""
        mail = send.compose(
            sender=self._account.address, name="Ally", to=[self._to], subject="Alarm of the Ally mail assistant",
            text=words, date=self._now(), marker=uuid4().hex,
        )  # fmt: skip
        outcome = send.send(
            self._account, self._secret, mail, [self._to], network=self._network, provider=None,
            on_accepted=lambda _reply: None,
        )  # fmt: skip
        if not isinstance(outcome, send.Accepted):
            raise NobodyError(f"ALERT_EMAIL: {type(outcome).__name__} {getattr(outcome, 'cause', '')}".strip())


def bells(parts: Parts) -> list[Bell]:
    """The ways to the operator, the first that works is taken; none: nobody wished to be told."""
    settings, found = parts.settings, list[Bell]()
    if settings.alert_channel and parts.slack is not None:
        team = "" if settings.slack_bot_token else settings.support_team
        found.append(SlackBell(parts.slack.workspaces.api, team, settings.alert_channel))
    if settings.alert_email:
        found.append(MailBell(settings.alert_smtp_url, settings.alert_email, parts.tools.network, parts.clock.now))
    return found


class Alarms:
    """Looks once a minute until it is stopped."""

    def __init__(self, parts: Parts, ways: list[Bell]) -> None:
        self._parts = parts
        self._bells = ways
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> "Alarms":
        """Begin, where anybody wishes to be told."""
        if self._bells:
            self._thread.start()
        return self

    def stop(self) -> None:
        """Look no more; what is being told is let go."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK):
            self.look()

    def look(self) -> list[str]:
        """Look once, and tell what is wrong; the names of what was told. Raises nothing."""
        return [one.name for one in ALARMS if self._looked(one)]

    def _looked(self, one: Alarm) -> bool:
        now = self._parts.clock.now()
        try:
            with reading(self._parts.engine) as db:
                wrong = one.look(self._parts, db, now)
                if not wrong or not store.claim(db, one.name, now, EVERY):
                    return False
            if self._told(one.name, wrong):
                return True
            with reading(self._parts.engine) as db:
                store.give_back(db, one.name, now - EVERY + AGAIN)
        except DatabaseDown:
            pass  # the log of whoever needs it says so, and the monitoring sees /readyz
        except Exception as error:  # noqa: BLE001 - one bad look must not end the others
            _log.error("an alarm could not be looked at", name=one.name, kind=type(error).__name__)
        return False

    def _told(self, name: str, wrong: str) -> bool:
        words = f"{_house(self._parts.settings)}: {wrong} What to do: {ANCHOR.format(name)}"
        _log.error("alarm", name=name, words=wrong)
        for bell in self._bells:
            try:
                bell.ring(words)
            except NobodyError as nobody:
                _log.error("an alarm reached nobody", name=name, why=str(nobody))
            else:
                return True
        return False


def _house(settings: Settings) -> str:
    return f"Ally mail assistant at {settings.domain}"
