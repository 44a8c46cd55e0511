"""The bot without its processes: parts on a fresh database, a clock that tests move, a channel that remembers.

`Kit.work` performs what is due in the test's own thread, so that nothing happens between two lines of a test.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Self

import pytest
import yaml
from sqlalchemy import event as sql_event
from sqlalchemy import select

from bot import people
from bot.app import Parts, create_worker, join
from bot.channels import Accepted, Enclosed, Identity, Inbound, Refused
from bot.handiwork import HOLD
from bot.hands import HANDS
from bot.safe import use_of
from bot.settings import load
from bot.store import conversations, mailboxes, promises, tables
from bot.store import people as people_store
from bot.store.engine import Engine, connect, reading
from bot.vault import Secret
from bot.worker import Worker
from flows import saved
from flows.conversation import Envelope
from flows.speech import Message, Plain
from flows.words import Account, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy import Table

    from bot.handiwork import Hand
    from bot.mail.wire.smtp import Network
    from bot.store.conversations import Held
    from bot.store.promises import Promise

MONDAY = datetime(2026, 3, 2, 15, tzinfo=UTC)  # noon in São Paulo
CHANNEL = "terminal"
ANA, BIA = "+5511999990001", "+34600000002"
ADDRESS = "ana@agency.test"
PASSWORD = "girafa-azul"
PATIENCE = 20.0  # seconds that a test waits for another thread
DOMAIN = "agency.test"  # its server is localhost, in the kit's table of providers


class StandingClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime = MONDAY) -> None:
        self.time = at

    def now(self) -> datetime:
        """The present moment."""
        return self.time

    def move(self, **by: float) -> None:
        """Let time pass: hours=20."""
        self.time += timedelta(**by)


@dataclass(frozen=True, slots=True)
class Spoken:
    """One message that left."""

    to: Identity
    message: Message
    promise_id: int
    file: str = ""
    content: bytes = field(default=b"", repr=False)
    url: str = ""

    @property
    def body(self) -> str:
        """Its words."""
        return self.message.body

    def button(self, value: str) -> str:
        """The id of the choice with this value."""
        return next(one.id for one in self.message.buttons if one.id.endswith(f":{value}"))


@dataclass
class Recorder:
    """A channel that remembers. `failures` are raised by the next sends, `swallows`: sent, and then the failure."""

    style: Plain = field(default_factory=Plain)
    sent: list[Spoken] = field(default_factory=list)
    failures: deque[Exception] = field(default_factory=deque)
    swallows: bool = False
    erased: list[str] = field(default_factory=list)
    erase_failures: deque[Exception] = field(default_factory=deque)
    typed: list[str] = field(default_factory=list)
    looked_for: list[str] = field(default_factory=list)
    listed: list[Inbound] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    broken: deque[Exception] = field(default_factory=deque)

    def fetch(self, url: str, max_bytes: int) -> Any:
        """What somebody shared at an address, or a failure as the test wishes."""
        self.fetched.append(url)
        if self.broken:
            raise self.broken.popleft()
        if url not in self.files:
            raise Refused("404", "there is no such file")
        if len(self.files[url].content) > max_bytes:
            raise Refused("413", "the file is too large")
        return self.files[url]

    def send_file(
        self, to: Identity, message: Message, file: Enclosed, promise_id: int, ready: Callable[[], None]
    ) -> Accepted:
        """Remember a message with a file, or fail as the test wishes."""
        url = file.url()
        ready()
        if self.failures and not self.swallows:
            raise self.failures.popleft()
        self.sent.append(Spoken(to, message, promise_id, file.name, file.content(), url))
        if self.failures:
            raise self.failures.popleft()
        return Accepted(self.id_of(len(self.sent)))

    def find_file(self, to: Identity, message: Message, file: Enclosed, since: datetime) -> str | None:
        """The newest message with these words and some file, as Twilio lists it."""
        self.looked_for.append(file.name)
        same = [n for n, one in enumerate(self.sent, start=1) if (one.to, one.body) == (to, message.body) and one.file]
        return self.id_of(same[-1]) if same else None

    def send(self, to: Identity, message: Message, promise_id: int, ready: Callable[[], None]) -> Accepted:
        """Remember a message, or fail as the test wishes."""
        ready()
        if self.failures and not self.swallows:
            raise self.failures.popleft()
        self.sent.append(Spoken(to, message, promise_id))
        if self.failures:
            raise self.failures.popleft()
        return Accepted(self.id_of(len(self.sent)))

    @staticmethod
    def id_of(number: int) -> str:
        """The provider's id of the message that was sent as the so-manieth."""
        return f"SM{number:032d}"

    def find(self, to: Identity, message: Message, since: datetime) -> str | None:
        """The newest message with the same first line, as a provider lists it."""
        self.looked_for.append(message.body)
        same = [
            number
            for number, one in enumerate(self.sent, start=1)
            if one.to == to and one.body.partition("/s/")[0] == message.body.partition("/s/")[0]
        ]
        return self.id_of(same[-1]) if same else None

    def typing(self, message_id: str) -> None:
        """Remember."""
        self.typed.append(message_id)

    def window(self, to: Identity) -> None:
        """None is open."""

    def erase(self, message_id: str) -> None:
        """Remember, or fail as the test wishes."""
        if self.erase_failures:
            raise self.erase_failures.popleft()
        self.erased.append(message_id)

    def keeps(self, who: Identity) -> list[str]:
        """What the test says that the provider keeps."""
        if self.failures:
            raise self.failures.popleft()
        return list(self.kept)

    def missed(self, since: datetime) -> list[Inbound]:
        """What the test says that the provider lists."""
        if self.failures:
            raise self.failures.popleft()
        return list(self.listed)


class Kit:
    """All parts of the bot, and people who write to it."""

    def __init__(self, database_url: str, home: Path, *, providers: Path | None = None, **settings: str) -> None:
        self.url = database_url
        self.clock = StandingClock()
        self.channel = Recorder()
        self.settings = load({"DATA_DIR": str(home), "DISCOVERY": "tables", **settings})
        self.parts: Parts = join(
            self.settings,
            database_url,
            clock=self.clock,
            channels={CHANNEL: self.channel},
            extra_providers=providers,
        )
        self.hands: dict[str, Hand] = dict(HANDS)
        self.worker = self.new_worker()
        self._numbers = count(1)
        self._agency: UUID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.parts.close()

    @property
    def engine(self) -> Engine:
        """The way to the test's database."""
        return self.parts.engine

    def network(self, network: Network) -> None:
        """From now on mail servers are reached in this way."""
        self.parts = replace(self.parts, tools=replace(self.parts.tools, network=network))
        self.worker = self.new_worker()

    def new_worker(self, **lanes: int) -> Worker:
        """A worker with this kit's hands, on this kit's tools."""
        sizes = {"speak": 4, "work": 4, "mail": 4, **lanes}
        made = create_worker(self.parts)
        return Worker(self.parts.tools, self.parts.turns, sizes, made._retention, self.hands, self.parts.ear)

    # --- people ---

    @property
    def agency(self) -> UUID:
        """The agency of this kit, made on first use."""
        if self._agency is None:
            with self.engine.begin() as db:
                self._agency = people_store.add_agency(db, "Agência Sol", "en", "America/Sao_Paulo", self.clock.now())
        return self._agency

    def invite(
        self,
        *,
        language: str = "en",
        uses: int = 1,
        agency: UUID | None = None,
        name: str = "",
        role: Literal["member", "admin"] = "member",
    ) -> str:
        """The code of a new invitation."""
        with self.engine.begin() as db:
            return people.invite(
                db, agency or self.agency, role=role, name=name, language=language, uses=uses, now=self.clock.now()
            ).code

    def inbound(self, text: str, who: str = ANA, **more: Any) -> Inbound:
        """A message as a channel reads it."""
        usual = {"message_id": f"in-{next(self._numbers)}", "identity": Identity(CHANNEL, who), "name": "Ana"}
        return Inbound(**{**usual, "text": text, **more})

    def say(self, text: str, who: str = ANA, **more: Any) -> bool:
        """Somebody writes; whether it was new."""
        return self.parts.turns.receive(self.inbound(text, who, **more))

    def tap(self, value: str, who: str = ANA) -> bool:
        """Somebody taps a choice of the last message."""
        return self.say("(tap)", who, button=self.last(who).button(value))

    def join(self, who: str = ANA, language: str = "en", **invited: Any) -> Held:
        """Somebody becomes a member and is asked for the address."""
        self.say(f"My invitation code is {self.invite(language=language, **invited)}", who)
        self.work()
        return self.held(who)

    def awaiting(self, who: str = ANA) -> str:
        """A member who is asked for the secret; the token of the link."""
        self.join(who)
        self.say(ADDRESS, who)
        self.work()
        return self.token(who)

    def token(self, who: str = ANA) -> str:
        """The token of the link in the last message."""
        return self.last(who).body.split("/s/")[1].split()[0]

    def mailbox(self, who: str = ANA, *, port: int = 465, state: str = "works", password: str = PASSWORD) -> UUID:
        """A member with a saved mailbox on localhost, in the menu; the secret's id."""
        self.join(who)
        self.say("menu", who)
        self.work()
        held = self.held(who)
        account = Account(ADDRESS, ADDRESS, Server("localhost", port, "tls"))
        with self.engine.begin() as db:
            secret_id = self.parts.safe.put(
                db, Secret(password), kind="mailbox.password", owner=held.contact_id, use=use_of(account),
                now=self.clock.now(),
            )  # fmt: skip
            values = {
                "address": ADDRESS, "user_name": ADDRESS, "host": "localhost", "port": port, "security": "tls",
                "secret_id": secret_id, "state": state, "since": self.clock.now(),
            }  # fmt: skip
            mailboxes.save(db, held.member_id, values)
        self.say("menu", who)
        self.work()
        return secret_id

    def write_mail(self, who: str = ANA, to: str = "bia@client.test", text: str = "See you on Tuesday.") -> None:
        """The owner of a mailbox writes a mail and lets it go; nothing is performed yet."""
        self.tap("write", who)
        for words in (to, "The offer", text):
            self.say(words, who)
            self.work()
        self.tap("send", who)

    # --- what became of it ---

    def held(self, who: str = ANA) -> Held:
        """The conversation of an address."""
        with reading(self.engine) as db:
            row = people_store.find_contact(db, who)[0]
            found = conversations.look(db, people_store.conversation_of(db, row.id))
        assert found is not None
        return found

    def envelope(self, who: str = ANA) -> Envelope:
        """The saved state of a conversation."""
        return saved.load_envelope(self.held(who).envelope)

    def bodies(self, who: str = ANA) -> list[str]:
        """All that was said to somebody."""
        return [one.body for one in self.channel.sent if one.to.address == who]

    def last(self, who: str = ANA) -> Spoken:
        """What was said to somebody last."""
        return next(one for one in reversed(self.channel.sent) if one.to.address == who)

    def transcript(self, who: str = ANA) -> list[str]:
        """The redacted lines of a conversation."""
        with reading(self.engine) as db:
            return [row.text for row in conversations.transcript(db, self.held(who).id, last=500)]

    def rows(self, table: Table) -> list[Any]:
        """All rows of a table."""
        with reading(self.engine) as db:
            return list(db.execute(select(table).order_by(*table.primary_key.columns)).all())

    def promised(self, kind: str, *states: str) -> list[Any]:
        """The promises of a kind, those in one of these states, else those that are to be kept."""
        return [row for row in self.rows(tables.promise) if row.kind == kind and row.state in (states or ("todo",))]

    def dump(self) -> str:
        """Everything that stands in the database, for looking for what must not stand there."""
        return "\n".join(str(row) for table in tables.metadata.sorted_tables for row in self.rows(table))

    # --- the worker, in this thread ---

    def claim(self, lane: str) -> list[Promise]:
        """Claim what is due in a lane, as a worker does."""
        with self.engine.begin() as db:
            return promises.claim(db, lane, 10, self.clock.now(), self.clock.now() + HOLD)

    def work(self, *, rounds: int = 50) -> int:
        """Perform all that is due now, and what follows from it; how many promises were performed."""
        performed = 0
        for _ in range(rounds):
            claimed = [promise for lane in self._lanes_due() for promise in self.claim(lane)]
            if not claimed:
                return performed
            for promise in claimed:
                self.worker._keep(promise)
                performed += 1
        raise AssertionError("there is no end of promises")

    def _lanes_due(self) -> list[str]:
        """Where something is due: to claim in vain costs ten times as much as to look, and most of the time is vain."""
        waiting = tables.promise.c.state == "todo", tables.promise.c.due_at <= self.clock.now()
        with reading(self.engine) as db:
            found = set(db.execute(select(tables.promise.c.lane).where(*waiting).distinct()).scalars())
        return [lane for lane in ("speak", "work", "mail") if lane in found]


@pytest.fixture
def kit(database_url: str, tmp_path: Path) -> Iterator[Kit]:
    """The bot on a fresh database."""
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


def table_of_providers(home: Path, port: int = 465, imap: int | None = None, **more: Any) -> Path:
    """A table in which `DOMAIN` has its servers on localhost, and nobody but us files copies in *Sent*."""
    row = {
        "id": "testers", "family": "testers", "name": "Testers", "domains": [DOMAIN], "checked": MONDAY.date(),
        "servers": [{"host": "localhost", "port": port, "security": "tls"}], "sent_copy": "never",
        "imap": [{"host": "localhost", "port": imap, "security": "tls"}] if imap else [], **more,
    }  # fmt: skip
    path = home / "providers.yaml"
    path.write_text(yaml.safe_dump({"providers": [row]}), encoding="utf-8")
    return path


def eventually(condition: Callable[[], bool], what: str = "it", within: float = PATIENCE) -> None:
    """Wait until a condition holds; fail after a while."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come about within {within} s")
        time.sleep(0.01)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile."""
    seen: list[str] = []

    def note(_db: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(" ".join(statement.split()))

    sql_event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sql_event.remove(engine, "before_cursor_execute", note)


def run_sql(url: str, statement: str, values: Mapping[str, Any] | None = None) -> None:
    """One statement from outside, as an operator or an attacker writes it."""
    engine = connect(url, pool=1)
    try:
        with engine.begin() as db:
            db.exec_driver_sql(statement, values)
    finally:
        engine.dispose()
