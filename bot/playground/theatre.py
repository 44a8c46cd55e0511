"""A small theatre: the whole assistant in one process, on a database of its own, with the sandbox's mail server.

`make talk` plays in it, and the stories of the tests do. Everything is real but the channel, which is a terminal, and
the clock, which can be moved.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from bot import people
from bot.app import Parts, create_worker, join
from bot.channels import Identity
from bot.channels.terminal import CHANNEL, File, Terminal, read, share
from bot.cli.cases import decide_access, found_agency
from bot.clock import MovableClock
from bot.data_links import DataLinks
from bot.database import migrated
from bot.links import LinkBook
from bot.playground.mail import MAILBOXES, Sandbox
from bot.playground.slack_stage import TEAM, SlackStage
from bot.playground.stage import mail_settings
from bot.settings import Settings, load
from bot.store import cases, conversations, promises, slack
from bot.store import people as people_store
from bot.store.embedded import Embedded
from bot.store.engine import Connection, reading
from bot.vault import Secret
from bot.worker import Worker
from flows.speech import Message, sentence
from flows.words import Language

AGENCY = "Agência Sol"
# Mailboxes at providers whose part the sandbox plays; Gmail shows app passwords in four groups.
PLAYED = {
    "ana@gmail.com": "abcdefghijklmnop",
    "ana@contoso.test": "amber-lantern-1414",
    "ana@postecert.it": "girassol-72",
}
FILES = {
    "jpg": ("image/jpeg", b"\xff\xd8\xff\xe0 a photo \xff\xd9"),
    "pdf": ("application/pdf", b"%PDF-1.4\n% a voucher\n%%EOF\n"),
}
SUPPORT = "Ally"  # the agency of the support team's workspace
SECONDS = timedelta(seconds=10)
HURRIES = 50
SETTLE_TIME = 30.0  # seconds; a sandbox answers within milliseconds
LOOK = 0.01


class Theatre:
    """One installation for playing, at the moment `start`. `home` keeps its database between two plays, if kept."""

    def __init__(
        self,
        home: Path,
        show: Callable[[Identity, Message], None],
        port: int,
        database: str = "",
        start: datetime | None = None,
    ) -> None:
        self._home = home
        self._port = port
        self._database = database
        self._stack = ExitStack()
        self.clock = MovableClock(start)
        self.sandbox = Sandbox(home, mailboxes={**MAILBOXES, **PLAYED})
        self._looked_up = self.clock.now().date()  # when the sandbox's own facts were
        self._played: dict[str, list[str]] = {}
        self.parts: Parts
        self._worker: Worker
        self._thread: threading.Thread
        self._heard = 0
        self._ids: dict[str, str] = {}
        self._terminal = Terminal(show)
        self.slack: SlackStage | None = None

    def __enter__(self) -> Self:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stack.enter_context(self.sandbox)
        if not self._database:
            embedded = self._stack.enter_context(Embedded(self._home))
            migrated(embedded.url)
            self._database = embedded.url
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._stack.__exit__(kind, error, trace)

    def _begin(self) -> None:
        self.parts = join(self._settings(), self._database, clock=self.clock, channels={CHANNEL: self._terminal})
        if self.slack is not None:
            self.slack.serve(self.parts)
        self._worker = create_worker(self.parts)
        self._thread = threading.Thread(target=self._worker.run, name="worker", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        self._worker.stop()
        with self.parts.engine.begin() as db:
            promises.wake(db)  # or it would listen for the rest of its second
        self._thread.join()
        if self.slack is not None:
            self.slack.rest()
        self.parts.close()

    def restart(self) -> None:
        """Everything but the database begins anew: nobody in the talk may notice."""
        self._end()
        self._begin()

    def _settings(self) -> Settings:
        mail = mail_settings(self.sandbox, self._home, self._played, self._looked_up)
        slack = self.slack.settings(self._home, f"http://127.0.0.1:{self._port}") if self.slack is not None else {}
        return load({"DATA_DIR": str(self._home), "PORT": str(self._port), **mail, **slack})

    # --- what the stage is set with ---

    def workspace(self, names: Sequence[str], desk: Sequence[str] = ()) -> None:
        """From now on these people are in a Slack workspace, and so is the bot. `desk`: those of the support team."""
        self.slack = self._stack.enter_context(SlackStage(names, desk, self.clock.now))
        self.restart()

    def desk_speaks(self, language: Language) -> None:
        """The support team's workspace belongs to an agency of this language."""
        now = self.clock.now()
        with self.parts.engine.begin() as db:
            agency_id = people_store.add_agency(db, SUPPORT, language, "America/Sao_Paulo", now)
            slack.keep_workspace(db, TEAM, now, agency_id=agency_id)

    def cast(self, provider: str, domain: str) -> None:
        """From now on the sandbox plays a real provider (an id of the table) for the addresses of a domain."""
        self._played.setdefault(provider, []).append(domain)
        self.restart()

    def agency_server(self, host: str, rule: str) -> None:
        """The demo agency has this one server, and a rule for those who have another one."""
        with self.parts.engine.begin() as db:
            row = people_store.agency_by_name(db, AGENCY)
            if row is None:
                raise LookupError("there is no agency before its first invitation")
            people_store.set_server(db, row.id, host, 465, "tls")
            people_store.set_rule(db, row.id, rule)

    # --- what people do ---

    def reissue(self, who: str) -> None:
        """The number belongs to another account from now on, whose messages carry another id."""
        with self.parts.engine.begin() as db:
            for row in people_store.find_contact(db, who):
                people_store.touch(db, row.id, external_id=f"before.{who.removeprefix('+')}")
        self._ids[who] = f"after.{who.removeprefix('+')}"

    def answer_wish(self, who: str, language: Language, *, found: bool) -> None:
        """Support answers somebody's wish for access: founds the agency that they named, or declines."""
        with reading(self.parts.engine) as db:
            case = next(row.number for row in cases.queue(db) if row.name == who)
        if found:
            found_agency(self.parts, case, language, "America/Sao_Paulo")
        else:
            decide_access(self.parts, case, None, "member")

    def invitation(
        self, language: Language, name: str = "", role: str = "member", uses: int = 1, agency: str = AGENCY
    ) -> str:
        """An invitation to the demo agency (or another one), as the text that a person sends."""
        now = self.clock.now()
        with self.parts.engine.begin() as db:
            row = people_store.agency_by_name(db, agency)
            zone = "America/Sao_Paulo"
            agency_id = row.id if row else people_store.add_agency(db, agency, language, zone, now)
            made = people.invite(db, agency_id, role=role, name=name, language=language, uses=uses, now=now)
        return sentence("invitation.text", language, code=made.code)

    def say(self, who: str, text: str, name: str) -> None:
        """Somebody writes (`[flow.question:value]` taps a button)."""
        self._heard += 1
        inbound = read(text, who, time.time_ns() + self._heard, name)
        self.parts.turns.receive(replace(inbound, identity=replace(inbound.identity, external_id=self._ids.get(who))))

    def tap(self, who: str, button: str, label: str, name: str) -> None:
        """Somebody taps a button; as on every phone its label is what they said."""
        self._heard += 1
        inbound = replace(read(f"[{button}]", who, time.time_ns() + self._heard, name), text=label)
        self.parts.turns.receive(replace(inbound, identity=replace(inbound.identity, external_id=self._ids.get(who))))

    def share(self, who: str, name: str, called: str) -> None:
        """Somebody shares a file; what is in it is made up by its type."""
        self._heard += 1
        content_type, content = _made_of(name)
        url = f"https://files.sandbox.test/{self._heard}"
        file = File(content, content_type, name)
        self._terminal.files[url] = file
        shared = share(url, who, time.time_ns() + self._heard, file)
        self.parts.turns.receive(replace(shared, name=called))

    def fill_in(self, link: str, secret: str) -> bool:
        """Somebody types a secret on the page behind a link; whether the page took it."""
        return self.links.submit(link.rsplit("/", 1)[-1], Secret(secret), "") == "taken"

    def get_data(self, link: str) -> bool:
        """Somebody presses the button on the page that gives what is stored about them; whether it gave it."""
        given = DataLinks(self.parts.engine, self.clock, self.parts.turns)
        return given.take(link.rsplit("/", 1)[-1]) is not None

    @property
    def links(self) -> LinkBook:
        """The one-time links."""
        return self.parts.links

    def pass_time(self, by: timedelta) -> None:
        """Let time pass at once."""
        self.clock.move(by)

    def settle(self, who: str, channel: str = CHANNEL) -> None:
        """Wait until everything that is due for somebody has been done. Raises TimeoutError."""
        until = time.monotonic() + SETTLE_TIME
        with reading(self.parts.engine) as db:
            talk: UUID | None = None
            while self._due(db, talk := talk or conversations.id_by_address(db, channel, who)) or (
                self.slack is not None and self.slack.busy()
            ):
                if time.monotonic() > until:
                    raise TimeoutError(f"something promised to {who} is still not done")
                time.sleep(LOOK)

    def hurry(self, who: str) -> None:
        """Let the seconds pass for which the desk holds something back, until nothing of it is left. Or TimeoutError.

        One message a second stands in a channel, and what staff write is held for five.
        """
        for _ in range(HURRIES):
            self.settle(who)
            with reading(self.parts.engine) as db:
                found = conversations.id_by_address(db, CHANNEL, who)
                due = promises.earliest(db, found) if found is not None else None
            now = self.clock.now()
            if due is None or due > now + SECONDS:
                return
            self.clock.move(max(due - now, timedelta()))
            with self.parts.engine.begin() as db:
                promises.wake(db)
        raise TimeoutError(f"the desk is not done with {who}")

    def _due(self, db: Connection, conversation_id: UUID | None) -> bool:
        earliest = promises.earliest(db, conversation_id) if conversation_id is not None else None
        # Only now the time: a promise that was made while we looked is not in the future.
        return earliest is not None and earliest <= self.clock.now()


def made_up(name: str) -> dict[str, Any]:
    """A file as somebody attaches it in Slack."""
    content_type, content = _made_of(name)
    return {"name": name, "content": content, "mimetype": content_type}


def _made_of(name: str) -> tuple[str, bytes]:
    """The type and the bytes of a file of this name. Raises KeyError for an ending that nobody thought of."""
    return FILES[name.rpartition(".")[2]]
