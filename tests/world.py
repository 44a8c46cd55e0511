"""The whole installation as real processes: web, worker, PostgreSQL, Postfix, Dovecot - and people with phones.

Only Twilio and the name server are stand-ins; they run in the process of the tests.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import requests
import yaml
from sqlalchemy import text

from bot.playground.twilio import Bubble, TwilioStandIn
from bot.store import promises
from bot.store.embedded import Embedded
from bot.store.engine import connect, reading
from bot.vault import new_key
from flows.speech import texts
from tests.browser import PATIENCE
from tests.dns_server import DnsServer
from tests.mailservers import LOOPBACK, MailServers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from playwright.sync_api import Browser, Page

    from flows.words import Language

ROOT = Path(__file__).parent.parent
AGENCIES: Mapping[Language, str] = {"en": "Seaside Homes", "pt": "Casa do Açaí", "es": "Inmobiliaria Ñandú"}
DOMAIN_IN_THE_TABLE = "tabela.test"
UNKNOWN_DOMAIN = "padaria.test"  # it exists, and nothing that it tells leads to a server
WAIT_SECONDS = 60.0
STOP_SECONDS = 30.0
COMMAND_SECONDS = 60.0
# Below the ports that the system gives to outgoing connections: ours stays free while web is being restarted.
PORTS = range(20_000, 32_000)

GONE_WITH_US = ("setpriv", "--pdeathsig", "KILL")  # whatever becomes of the tests' process: setpriv(1)

LISTENING = "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen %'"

Name = Literal["web", "worker"]
NAMES: tuple[Name, ...] = ("web", "worker")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the operator hands out: the code, and the message that its wa.me link puts into the person's phone."""

    code: str
    text: str


class Phone:
    """One person's phone. Every message of the bot has to be expected, in order, with `hears`."""

    def __init__(self, world: World, number: str, language: Language) -> None:
        self._world = world
        self._twilio = world.twilio
        self._number = number
        self._language = language
        self._heard: list[Bubble] = []

    def say(self, text: str, times: int = 1) -> None:
        """The person writes; Twilio may deliver it more than once."""
        assert self._twilio.say(self._number, text, times=times) == 200

    def tap(self, value: str) -> None:
        """The person taps the choice with this value on the message heard last."""
        ids = [id_ for id_, _ in self._heard[-1].buttons if id_.endswith(f":{value}")]
        assert len(ids) == 1, f"{value!r} is not offered: {self._heard[-1]}"
        assert self._twilio.say(self._number, button=ids[0]) == 200

    def hears(self, *names: str) -> str:
        """The next message: exactly these sentences (by their names in the texts), then its choices. Its body."""
        number = len(self._heard)
        self._world.wait(lambda: len(self.messages()) > number, f"{names} on {self._number}")
        bubble = self._twilio.phone(self._number)[number]
        self._heard.append(bubble)
        choices = "".join(f"\n{count} {label}" for count, (_, label) in enumerate(bubble.buttons, 1))
        assert says(bubble.body.removesuffix(f"\n{choices}"), names, self._language), f"{names}, not: {bubble.body}"
        return bubble.body

    def link(self) -> str:
        """The address of the one-time page in the message heard last."""
        return str(re.findall(rf"{re.escape(self._world.url)}/s/\S+", self._heard[-1].body)[0])

    def messages(self) -> list[str]:
        """All that the bot said, whether it was expected or not."""
        return [bubble.body for bubble in self._twilio.phone(self._number)]

    def nothing_more(self) -> bool:
        """Whether all that was said was expected."""
        return len(self.messages()) == len(self._heard)


def says(body: str, names: Sequence[str], language: Language) -> bool:
    """Whether a message consists of exactly these sentences, by their names in the texts, with any values."""
    return re.fullmatch("\n\n".join(_pattern(name, language) for name in names), body, re.DOTALL) is not None


def _pattern(name: str, language: Language) -> str:
    return "(.+?)".join(re.escape(piece) for piece in re.split(r"\{\w+\}", texts(language)[name]))


class World:
    """A fresh installation below `home`, on a migrated database of `postgres`; running while it is a context.

    Addresses below `DOMAIN_IN_THE_TABLE` are known to its table of providers, all others are not. What else it is set
    up with is said before it is entered: `more` settings, and more `rows` of the table.
    """

    def __init__(self, home: Path, postgres: Embedded, database_url: str, mail: MailServers) -> None:
        self.home = home
        self.mail = mail
        self._postgres = postgres
        self._database_url = database_url
        self._port = _free_port()
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.twilio = TwilioStandIn(webhook_url=f"{self.url}/whatsapp#rc=3&rp=all")
        self._dns = DnsServer({mail.host: [LOOPBACK], UNKNOWN_DOMAIN: []})
        self._processes: dict[Name, subprocess.Popen[bytes]] = {}
        self._engine = connect(database_url, pool=1)
        self._agencies: set[str] = set()
        self._visits: list[Visit] = []
        self._stack = contextlib.ExitStack()
        self.more: dict[str, str] = {}
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._engine.dispose)
            stack.enter_context(self._dns)
            stack.enter_context(self.twilio)
            stack.callback(self._kill_all)
            self._environment = self._settings() | self.more
            self.start(*NAMES)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- the operator ---

    def command(self, *words: str) -> Any:
        """What `python -m bot ... --json` answers."""
        done = subprocess.run(
            [sys.executable, "-m", "bot", *words, "--json"],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def invitation(self, language: Language, person: str) -> Invitation:
        """An invitation to `AGENCIES[language]`, which is added when it is needed first."""
        agency = AGENCIES[language]
        if agency not in self._agencies:
            self.command("agency", "add", agency, "--language", language)
            self._agencies.add(agency)
        made = self.command("invite", agency, "--name", person)
        link = urlsplit(made["link"])
        assert f"{link.scheme}://{link.netloc}{link.path}" == f"https://wa.me/{self._digits}"
        return Invitation(made["code"], parse_qs(link.query)["text"][0])

    # --- the person ---

    def phone(self, number: str, language: Language) -> Phone:
        """The phone of somebody whose bot speaks this language."""
        return Phone(self, number, language)

    @contextlib.contextmanager
    def browse(self, browser: Browser, language: Language) -> Iterator[Page]:
        """A fresh browser; everything that it is sent is kept for `everything_written`."""
        archive = self.home / f"visit-{len(self._visits)}.har"
        context = browser.new_context(locale=language, record_har_path=archive, record_har_content="embed")
        context.set_default_timeout(PATIENCE)
        try:
            yield context.new_page()
        finally:
            context.close()
            self._visits.append(Visit.of(archive))
            archive.unlink()

    @property
    def submitted(self) -> str:
        """What the browsers sent: the one place where a password may stand in clear."""
        return "\n".join(visit.sent for visit in self._visits)

    # --- the machine ---

    def start(self, *names: Name) -> None:
        """Start processes; returns when web answers and the worker listens."""
        for name in names:
            with (self.home / f"{name}.log").open("ab") as log:
                self._processes[name] = self._launched([sys.executable, "-m", "bot", name], log, {})
        self.wait(lambda: self._listens() and self._is_ready(), "web to answer and the worker to listen")

    def restart(self, how: signal.Signals) -> None:
        """End web and worker, and start them again. SIGKILL strikes at rest: what it interrupts is another test's."""
        if how == signal.SIGKILL:
            self.settle()
        for process in self._processes.values():
            if how == signal.SIGKILL:
                os.killpg(process.pid, how)
            else:
                process.send_signal(how)
        ended = {name: process.wait(STOP_SECONDS) for name, process in self._processes.items()}
        wanted = -how if how == signal.SIGKILL else 0
        assert ended == dict.fromkeys(NAMES, wanted), f"{ended}\n{self.last_lines()}"
        self._processes.clear()
        self.wait(lambda: not self._listens(), "PostgreSQL to see that the worker is gone")
        self.start(*NAMES)

    @contextlib.contextmanager
    def another_worker(self, *through: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """One more worker, killed at the end; `through`: a module that runs it. It listens when the context begins."""
        before = self._listening()
        with (self.home / "worker.log").open("ab") as log:
            module = ["-m", through[0], "bot"] if through else ["-m", "bot"]
            process = self._launched([sys.executable, *module, "worker"], log, settings)
        try:
            self.wait(lambda: self._listening() > before, "another worker to listen")
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
            self.wait(lambda: self._listening() <= before, "PostgreSQL to see that the other worker is gone")

    @contextlib.contextmanager
    def without(self, name: Name) -> Iterator[None]:
        """One of the processes is away for a while; it ends orderly and comes back at the end."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0, self.last_lines()
        try:
            yield
        finally:
            self.start(name)

    def settle(self) -> None:
        """Wait until everything that is due is done."""
        self.wait(lambda: not self._unfinished(), "the promises that are due to be kept")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until it holds. RuntimeError with the logs' ends, at once when a process ended by itself."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            dead = [name for name, process in self._processes.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"Waited in vain for {what}; ended: {dead or 'nobody'}.\n{self.last_lines()}")
            time.sleep(0.02)

    # --- what was written down ---

    @property
    def own_secrets(self) -> tuple[str, ...]:
        """What the operator entrusted to the processes."""
        return self._environment["SECRET_KEYS"], self._environment["TWILIO_AUTH_TOKEN"]

    def dump(self) -> str:
        """The whole database as `pg_dump` writes it, binary columns in hexadecimal."""
        command = [*self._postgres.tool("pg_dump", self._database_url), "--no-sync"]
        return subprocess.run(command, capture_output=True, check=True, timeout=COMMAND_SECONDS).stdout.decode()

    def everything_written(self) -> dict[str, str]:
        """All that anybody could read afterwards, by where it stands: database, files, logs, Twilio, pages."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return {
            "dump": self.dump(),
            **{str(path.relative_to(self.home)): _read(path) for path in files},
            "postgres.log": _read(self._postgres.home / "pg.log"),
            "requests to Twilio": "\n".join(map(_as_text, self.twilio.requests)),
            "records at Twilio": json.dumps(self.twilio.records, ensure_ascii=False),
            "contents at Twilio": json.dumps(self.twilio.contents, ensure_ascii=False),
            "pages": "\n".join(visit.received for visit in self._visits),
        }

    def complaints(self) -> list[str]:
        """Lines of the logs that tell of an error."""
        lines = [line for name in NAMES for line in _read(self.home / f"{name}.log").splitlines()]
        return [line for line in lines if _level(line) not in {"debug", "info", "warning"}]

    def last_lines(self) -> str:
        """The ends of the logs, for whoever has to find out why a test failed."""
        return "\n".join(f"--- {name}\n{_read(self.home / f'{name}.log')[-3000:]}" for name in NAMES)

    # --- inside ---

    @property
    def _digits(self) -> str:
        return self.twilio.sender.partition("+")[2]

    def _settings(self) -> dict[str, str]:
        ports = (self.mail.smtps_port, self.mail.submission_port)
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self._database_url,
            "DATA_DIR": str(self.home / "data"),
            "PORT": str(self._port),
            "PUBLIC_URL": self.url,
            "SECRET_KEYS": new_key(),
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": self.twilio.sender,
            "TWILIO_API_URL": self.twilio.url,
            "SUPPORT_CONTACT": "https://wa.me/15550100999",
            "PRIVACY_URL": f"{self.url}/privacy",
            "SMTP_ALLOW_NETWORKS": "127.0.0.0/8",
            "SMTP_ALLOW_PORTS": " ".join(map(str, ports)),
            "IMAP_ALLOW_PORTS": str(self.mail.imaps_port),
            "DNS_SERVER": f"{LOOPBACK}:{self._dns.address[1]}",
            "SSL_CERT_FILE": str(self.mail.ca_pem),
            "PROVIDERS_EXTRA": str(self._table()),
            "LOG_FORMAT": "json",
        }

    def _table(self) -> Path:
        row = {
            "id": "tabela",
            "family": "tabela",
            "name": "Tabela Mail",
            "domains": [DOMAIN_IN_THE_TABLE],
            "servers": [{"host": self.mail.host, "port": self.mail.smtps_port, "security": "tls"}],
            "imap": [{"host": self.mail.host, "port": self.mail.imaps_port, "security": "tls"}],
            "sent_copy": "never",
            "checked": datetime.now(UTC).date(),
        }
        file = self.home / "providers.yaml"
        file.write_text(yaml.safe_dump({"providers": [row, *self.rows]}))
        return file

    def _unfinished(self) -> bool:
        with reading(self._engine) as db:
            return bool(promises.depth(db, datetime.now(UTC)))

    def _launched(self, command: Sequence[str], log: IO[bytes], settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A process that is gone when ours is."""
        return subprocess.Popen(
            [*GONE_WITH_US, *command],
            env={**self._environment, **settings},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _listens(self) -> bool:
        """Whether a worker waits for wake-ups; from then on it also knows how to stop."""
        return self._listening() > 0

    def _listening(self) -> int:
        with reading(self._engine) as db:
            return int(db.execute(text(LISTENING)).scalar_one())

    def _is_ready(self) -> bool:
        with requests.Session() as session, contextlib.suppress(requests.ConnectionError):
            session.trust_env = False
            return session.get(f"{self.url}/readyz", timeout=WAIT_SECONDS).status_code == 200
        return False

    def _kill_all(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)


@dataclass(frozen=True, slots=True)
class Visit:
    """What a browser sent, and what it was sent: addresses, headers, bodies."""

    sent: str
    received: str

    @classmethod
    def of(cls, archive: Path) -> Visit:
        """Read the browser's own record (HAR 1.2, which keeps both directions of every request)."""
        entries = json.loads(archive.read_text())["log"]["entries"]
        sent = [entry["request"].pop("postData", {}).get("text", "") for entry in entries]
        return cls("\n".join(sent), "\n".join(_received(entry) for entry in entries))


def _received(entry: dict[str, Any]) -> str:
    content = entry["response"]["content"]
    body = content.get("text", "")
    if content.get("encoding") == "base64":
        body = base64.b64decode(body).decode(errors="replace")
    return f"{entry['request']['method']} {entry['request']['url']}\n{json.dumps(entry['response']['headers'])}\n{body}"


def traces(written: Mapping[str, str], secret: str, user: str) -> list[str]:
    """Where a secret can be found, and in which form; upper and lower case are the same here."""
    return [
        f"{form} in {where}"
        for where, text in written.items()
        for form, needle in disguises(secret, user).items()
        if needle.casefold() in text.casefold()
    ]


def disguises(secret: str, user: str) -> dict[str, str]:
    """The forms in which a secret may slip out; inside of other base64 it stands in one of three."""
    raw = secret.encode()
    return {
        "plain": secret,
        "backwards": secret[::-1],
        "JSON": json.dumps(secret)[1:-1],
        "HTML": html.escape(secret),
        "an address": quote(secret, safe=""),
        "a form": quote_plus(secret),
        "hexadecimal": raw.hex(),
        "SHA-256": hashlib.sha256(raw).hexdigest(),
        "AUTH PLAIN": base64.b64encode(f"\0{user}\0{secret}".encode()).decode(),
        **{f"base64 {shift}": _inside_base64(raw, shift) for shift in range(3)},
    }


def _inside_base64(raw: bytes, shift: int) -> str:
    """The signs of base64 that depend on `raw` alone, where `shift` bytes stand before it."""
    first, behind = -(-shift * 8 // 6), (shift + len(raw)) * 8 // 6
    return base64.b64encode(bytes(shift) + raw).decode()[first:behind]


def _as_text(request: Any) -> str:
    head = f"{request.method} {request.path}?{request.query} {request.content_type}"
    return f"{head}\n{request.body.decode(errors='replace')}\n{json.dumps(request.fields, ensure_ascii=False)}"


def _level(line: str) -> str:
    with contextlib.suppress(ValueError):
        return str(json.loads(line)["level"])
    return "unreadable"


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _free_port() -> int:
    for port in random.sample(PORTS, 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise RuntimeError("All ports that were tried are taken.")
