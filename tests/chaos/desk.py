"""The desk in the storm: members who wish for a person and write on, and Sam in Slack, who answers in their threads.

What Slack was not answered it repeats three times, as it does in earnest; then it gives up, and so may we.
"""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from bot.playground.slack import SlackStandIn
from tests.chaos.people import number_of
from tests.deskkit import DESK, SAM
from tests.slackkit import TEAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bot.playground.slack import Bubble
    from bot.playground.slack_delivery import Answer
    from tests.chaos.installation import Installation
    from tests.chaos.post import Post

PAUSE = (1.0, 4.0)  # seconds between two lines
MAX_LINES = 60  # of each; a phone keeps only so many messages, but the log of what was shown all
END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Line:
    """What was written at the desk: how often it was read at its other end. `taken`: so it has to be there.

    `number`: the member's, by whom or for whom.
    """

    number: str
    words: str
    taken: bool
    times: int


@dataclass
class Said:
    """A line of Sam's, by the time at which Slack has it."""

    number: str
    words: str
    ts: str
    taken: bool = False


@dataclass
class Member:
    """Who talks with the team. `lines`: what they wrote since their wish was heard."""

    name: str
    number: str
    lines: list[str] = field(default_factory=list)
    is_heard: bool = False


class Desk:
    """A workspace of Slack with the team's channel, while it is a context, and everybody who talks there."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self.slack = SlackStandIn()
        self.names = tuple(names)
        workspace = self.slack.workspace(TEAM, "Sol")
        self._token = workspace.token
        self.slack.user(TEAM, SAM, "sam", real_name="Sam")
        self.slack.channel(TEAM, DESK, "desk", [workspace.bot_user, SAM], private=True)
        self._members = [Member(name, number_of(name)) for name in names]
        self._said: dict[str, Said] = {}
        self._chance = random.Random(f"{seed} desk")
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.failed: BaseException | None = None

    def __enter__(self) -> Self:
        self.slack.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.slack.stop()

    def settings(self) -> Mapping[str, str]:
        """With which the product has its desk here."""
        return {
            "SLACK_BOT_TOKEN": self._token,
            "SLACK_SIGNING_SECRET": self.slack.signing_secret,
            "SLACK_API_URL": f"{self.slack.url}/api",
            "SUPPORT_CONTACT": "",
            "SUPPORT_TEAM": TEAM,
            "SUPPORT_CHANNEL": DESK,
        }

    # --- what they do ---

    def open(self, world: Installation, post: Post) -> None:
        """All wish for a person, and begin to talk."""
        for member in self._members:
            world.settle_in(member.number, member.name)
            post.bring(member.number, "person")
        self._thread = threading.Thread(target=self._run, args=(world, post), name="desk", daemon=True)
        self._thread.start()

    def close(self) -> list[str]:
        """Nobody writes any more, and Slack repeats what it has to; what cannot be, in words."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        end = time.monotonic() + END_SECONDS
        while self.slack.unanswered and time.monotonic() < end:
            self._repeat()
        return [f"the desk: {self.failed!r}"] if self.failed is not None else []

    def _run(self, world: Installation, post: Post) -> None:
        try:
            while not self._over.wait(self._chance.uniform(*PAUSE)):
                for member in self._members:
                    self._write(world, post, member)
                self._answer()
                self._repeat()
        except Exception as error:  # noqa: BLE001 - told by whoever closes the desk
            self.failed = error

    def _write(self, world: Installation, post: Post, member: Member) -> None:
        if not member.is_heard:
            member.is_heard = bool(world.twilio.phone(member.number))  # the turn that opened the case has answered
        elif len(member.lines) < MAX_LINES:
            member.lines.append(f"m{len(member.lines)} of {member.name}.")
            post.bring(member.number, member.lines[-1])

    def _answer(self) -> None:
        for member in self._members:
            root = self._thread_of(member)
            if root is not None:
                words = f"s{len(self._said)} to {member.name}."
                answer = self.slack.say(TEAM, SAM, f"!{words}", channel=DESK, thread_ts=root.ts)
                ts = str(answer.payload["event"]["ts"])
                self._said[ts] = Said(member.number, words, ts, taken=answer.ok)

    def _repeat(self) -> None:
        for answer in self.slack.redeliver():
            self._note(answer)

    def _note(self, answer: Answer) -> None:
        said = self._said.get(str(answer.payload["event"].get("ts")))
        if said is not None and answer.ok:
            said.taken = True

    def _thread_of(self, member: Member) -> Bubble | None:
        """The thread in which something of theirs stands."""
        written = re.compile(rf"m\d+ of {member.name}\.")
        return next((root for root in self._roots() if written.search(self._below(root))), None)

    def _roots(self) -> list[Bubble]:
        return [one for one in self.slack.channel_messages(TEAM, DESK) if not one.mine and not one.thread_ts]

    def _below(self, root: Bubble) -> str:
        inside = self.slack.thread(TEAM, DESK, root.ts)
        return "\n".join(one.text for one in inside if not one.mine and one.ts != root.ts)

    # --- what came of it ---

    def lines(self, world: Installation) -> Iterator[Line]:
        """Each line, and how often it stands where it belongs."""
        threads = "\n".join(self._below(root) for root in self._roots())
        for member in self._members:
            for words in member.lines:
                yield Line(member.number, words, taken=True, times=len(re.findall(rf"\b{re.escape(words)}", threads)))
        for said in self._said.values():
            read = {one.promise for one in world.twilio.shown if one.number == said.number and said.words in one.body}
            yield Line(said.number, said.words, said.taken, len(read))
