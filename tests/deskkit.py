"""The desk under test: a member on WhatsApp (the recorder), staff in a private channel of Slack, the bot between them.

Time goes from one due promise to the next one, never second by second.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from bot.app import create_worker, join
from bot.channels import Status
from bot.store import tables
from bot.store.engine import reading
from bot.worker import Worker
from tests.botkit import ANA, CHANNEL, table_of_providers
from tests.slackkit import TEAM, SlackKit

if TYPE_CHECKING:
    from pathlib import Path

    from bot.app import Parts
    from bot.playground.slack import Bubble

DESK = "G0DESK"
SAM, RITA = "U0SAM", "U0RITA"
GREETING = "A person is here for you now"


class DeskKit(SlackKit):
    """A kit with a support team of two."""

    def __init__(self, database_url: str, home: Path, *, providers: Path | None = None, **settings: str) -> None:
        usual = {"SUPPORT_TEAM": TEAM, "SUPPORT_CHANNEL": DESK, "SUPPORT_CONTACT": ""}
        self._home = home
        super().__init__(database_url, home, providers=providers or table_of_providers(home), **usual | settings)
        for user, name in ((SAM, "Sam"), (RITA, "Rita")):
            self.slack.user(TEAM, user, name.lower(), real_name=name)
        self.slack.channel(TEAM, DESK, "desk", [self.workspace.bot_user, SAM, RITA], private=True)

    # --- time ---

    def soon(self, **within: float) -> None:
        """Do all that is due within a time (unless told 10 seconds), each at its own moment; that time is over then."""
        until = self.clock.now() + timedelta(**within or {"seconds": 10})
        self.work()
        while (due := self._next_due()) is not None and due <= until:
            self.clock.time = due
            self.work()
        self.clock.time = until

    def settle(self) -> None:
        """All that is due within the next seconds is done."""
        self.soon(seconds=12)

    def _next_due(self) -> Any:
        with reading(self.engine) as db:
            later = tables.promise.c.state == "todo", tables.promise.c.due_at > self.clock.now()
            return db.execute(select(func.min(tables.promise.c.due_at)).where(*later)).scalar_one()

    def die_later(self) -> None:
        """Time enough for everybody to be sure that whoever was at it is dead."""
        self.clock.move(minutes=4)
        self.worker._sweep(self.clock.now())

    def another(self) -> tuple[Parts, Worker]:
        """A second process: parts and a worker of its own on the same database, with the same clock and channel."""
        parts = join(
            self.settings, self.url, clock=self.clock, channels={CHANNEL: self.channel},
            extra_providers=self._home / "providers.yaml",
        )  # fmt: skip
        made = create_worker(parts)
        return parts, Worker(parts.tools, parts.turns, {"speak": 4, "work": 4, "mail": 4}, made._retention, self.hands)

    # --- the member ---

    def calls(self, who: str = ANA) -> None:
        """A member wishes for a person, and the thread stands."""
        self.join(who)
        self.clock.move(seconds=1)
        self.say("person", who)
        self.soon()

    def asks_for_a_person(self) -> None:
        """Ana wishes for a person in the middle of her set-up."""
        self.calls()

    # --- the team ---

    def roots(self) -> list[Bubble]:
        """The roots of all threads, oldest first."""
        return [one for one in self.slack.channel_messages(TEAM, DESK) if not one.mine and not one.thread_ts]

    def root(self) -> Bubble:
        """The newest root."""
        return self.roots()[-1]

    def thread(self, root: Bubble | None = None) -> list[str]:
        """What the bot wrote below a root."""
        ts = (root or self.root()).ts
        return [one.text for one in self.slack.thread(TEAM, DESK, ts) if not one.mine and one.ts != ts]

    def told(self) -> str:
        """All that the bot wrote into the channel."""
        return "\n".join(one.text for one in self.slack.channel_messages(TEAM, DESK) if not one.mine)

    def writes(self, text: str, who: str = SAM, *, wait: bool = True, **how: Any) -> str:
        """Somebody writes into the newest thread; the name of the message."""
        how = how if "thread_ts" in how else {"thread_ts": self.root().ts, **how}
        answer = self.slack.say(TEAM, who, text, channel=DESK, **how)
        assert answer.ok
        if wait:
            self.soon()
        return str(answer.payload["event"]["ts"])

    def taps(self, what: str, who: str = SAM, *, wait: bool = True, **how: Any) -> None:
        """Somebody taps below a root."""
        assert self.slack.tap(TEAM, who, what, where=DESK, **how).ok
        if wait:
            self.soon()

    def does(self, what: str, who: str = SAM) -> None:
        """Somebody taps, and all that follows is done."""
        self.taps(what, who, wait=False)
        self.settle()

    def opens(self, what: str, who: str = SAM) -> str:
        """Somebody opens a window; what stands in it."""
        self.taps(what, who, wait=False)
        return self.slack.shown(self.slack.wait_for(lambda: self.slack.modal(TEAM, who)))

    def fills(self, values: Any, who: str = SAM) -> dict[str, str]:
        """Somebody fills in the window that they have open and sends it; what is wrong, by field."""
        self.slack.type_in(TEAM, who, values)
        self.slack.submit(TEAM, who)
        return self.slack.field_errors(TEAM, who)

    def marks(self, ts: str) -> list[str]:
        """The marks of a line of staff's."""
        return self.slack.reactions(TEAM, DESK, ts)

    # --- what became of it ---

    def case(self) -> Any:
        """The newest case."""
        return self.rows(tables.case)[-1]

    def lines(self) -> list[Any]:
        """Staff's lines."""
        return self.rows(tables.staff_line)

    def heard(self, who: str = ANA) -> list[str]:
        """All that a member has read, without what the bot says when somebody is there."""
        return [one for one in self.bodies(who) if not one.startswith(GREETING)]

    def status(self, line: Any, status: str, rank: int, error: str = "") -> None:
        """The provider tells how far a line of staff's has come."""
        with self.engine.begin() as db:
            self.parts.casework.went(db, Status("SM1", line.promise_id, status, rank, error), self.clock.now())

    def posts(self) -> list[Any]:
        """Every message that was posted into the channel."""
        return [
            one for one in self.slack.requests if one.method == "chat.postMessage" and one.arguments["channel"] == DESK
        ]

    def without(self, *scopes: str) -> None:
        """The app lacks these rights from now on."""
        self.workspace.scopes = frozenset(self.workspace.scopes) - set(scopes)

    def api(self, call: Any) -> None:
        """From now on the desk's calls of Slack go through `call(real, team, method, **arguments)`."""
        real = self.parts.tools.desk.api

        class Through:
            pages = real.pages

            @staticmethod
            def call(team: str, method: str, **arguments: Any) -> Any:
                return call(real.call, team, method, **arguments)

        desk = replace(self.parts.tools.desk, api=Through())
        self.parts = replace(self.parts, tools=replace(self.parts.tools, desk=desk))
        self.worker = self.new_worker()
