"""People who write mails in the chat, whatever happens: they read what the phone shows last and do the next thing."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import threading
import time
from functools import cache
from string import ascii_lowercase
from typing import TYPE_CHECKING

import requests

from flows.speech import texts
from tests.chaos.installation import PASSWORD, Installation, address, recipient

if TYPE_CHECKING:
    from bot.playground.twilio import Bubble
    from tests.chaos.post import Letter, Post

PATIENCE = 6.0  # seconds without a word, then somebody asks again
MAX_MAILS = 28  # of one mailbox: the limit is MAILS_PER_HOUR
MAX_MAILS_OF_NEWCOMERS = 2
MAX_STEPS_OF_NEWCOMERS = 40
PAGE_SECONDS = 15.0
ALIVE_SECONDS = 30.0
LOOK_SECONDS = 0.2
SMALL_TALK = ("again", "menu", "help", "good morning", "thanks a lot", "english", "privacy")
SUBJECT = "Viewing"  # what begins so is written once only
NOTHING = ""  # nothing to be done but wait


class Person(threading.Thread):
    """One phone. `settled`: has a mailbox and writes till the end; else begins with the invitation and leaves again."""

    def __init__(self, world: Installation, post: Post, name: str, number: str, seed: int, *, settled: bool) -> None:
        super().__init__(name=name, daemon=True)
        self.number = number
        self.failed: BaseException | None = None
        self._world = world
        self._post = post
        self._chance = random.Random(f"{seed} {name}")
        self._settled = settled
        self._over = threading.Event()
        self._seen = 0
        self._mails = 0
        self._steps = 0

    def stop(self) -> None:
        """Let the person put the phone away."""
        self._over.set()

    def run(self) -> None:
        """Write until told to stop, or (newcomers) until all is said."""
        try:
            self._say("hello" if self._settled else self._world.invitation)
            while not self._over.is_set() and not self._is_done():
                self._steps += 1
                self._go_on()
        except Exception as error:  # noqa: BLE001 - told by whoever waits for this thread
            self.failed = error

    def _is_done(self) -> bool:
        return not self._settled and (self._mails > MAX_MAILS_OF_NEWCOMERS or self._steps > MAX_STEPS_OF_NEWCOMERS)

    def _go_on(self) -> None:
        bubble = self._next()
        if bubble is None:
            self._say("again" if self._chance.random() < 0.8 else "menu")
        elif self._chance.random() < 0.06:
            self._burst()
        else:
            self._answer(bubble)

    def _next(self) -> Bubble | None:
        """The newest message that has not been seen yet; None when nothing comes."""
        end = time.monotonic() + PATIENCE
        while not self._over.is_set() and time.monotonic() < end:
            try:
                shown = self._world.twilio.wait_for(self.number, self._has_news, timeout=0.5)
            except TimeoutError:
                continue
            self._seen = shown[-1].number
            return shown[-1]
        return None

    def _has_news(self, shown: list[Bubble]) -> bool:
        return bool(shown) and shown[-1].number > self._seen

    def _burst(self) -> None:
        """Several messages at once; how they arrive is up to chance."""
        for _ in range(self._chance.randint(2, 4)):
            self._say(self._chance.choice(SMALL_TALK))
        self._over.wait(self._chance.uniform(0.5, 2.0))
        self._say("again")

    def _answer(self, bubble: Bubble) -> None:
        offers = {id_.rpartition(":")[2]: id_ for id_, _ in bubble.buttons}
        link = re.search(rf"{re.escape(self._world.gate.url)}/s/\S+", bubble.body)
        if link:
            self._type_password(link[0])
        elif "send" in offers:
            self._mails += 1
            self._tap(offers["send"])
        elif "write" in offers and self._mails < MAX_MAILS:
            self._tap(offers["write"])
        elif "done" in offers:
            self._tap(offers["done"])
        elif "command" in offers:
            self._tap(offers["command"])
        elif words := self._words_for(bubble.body):
            self._say(words)
        elif offers:
            self._over.wait(self._chance.uniform(0.5, 2.0))
            self._tap(offers["setup"]) if "setup" in offers else self._say(self._chance.choice(SMALL_TALK))

    def _words_for(self, body: str) -> str:
        """What the person types, if this is a question."""
        token = f"{self.name}-{self._steps}"
        answers = {
            "compose.to": recipient(self.name),
            "compose.subject": f"{SUBJECT} {token}",
            "compose.text": f"Dear friends,\n\nsee you at the viewing {token}.\n.\nKind regards",
            "mailbox.address": address(self.name),
            "welcome.door": self._world.invitation,
            "welcome.code": self._world.invitation,
        }
        return next((words for name, words in answers.items() if pattern(name).search(body)), NOTHING)

    def _type_password(self, link: str) -> None:
        """Fill in the one-time page, sometimes wrongly; what goes wrong there shows in the chat."""
        password = PASSWORD if self._chance.random() < 0.8 else "wrong-harbor-1"
        try:
            with requests.Session() as browser:
                browser.trust_env = False
                shown = browser.get(link, timeout=PAGE_SECONDS).text
                proof = re.search(r'name="proof" value="([^"]+)"', shown)
                if proof:
                    form = {"proof": proof[1], "secret": password}
                    browser.post(link, data=form, timeout=PAGE_SECONDS, allow_redirects=False)
        except requests.RequestException:
            self._say("link")

    def _tap(self, button: str) -> Letter:
        return self._post.bring(self.number, "(tap)", button)

    def _say(self, words: str) -> Letter:
        return self._post.bring(self.number, words)


class Crowd:
    """Those who stay, and newcomers, of whom there are always so many at once."""

    def __init__(self, world: Installation, post: Post, seed: int, settled: list[str], newcomers: list[str]) -> None:
        self.numbers: list[str] = []
        self._world = world
        self._post = post
        self._seed = seed
        self._settled = settled
        self._newcomers = iter(newcomers)
        self._people: list[Person] = []

    def begin(self) -> None:
        """Those who stay begin to write."""
        for name in self._settled:
            self._world.settle_in(number_of(name), name)
            self._enter(name, settled=True)

    def live(self, seconds: float, at_once: int) -> None:
        """For so many seconds people write; `at_once`: how many newcomers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            there = sum(one.is_alive() for one in self._people) - len(self._settled)
            for name in itertools.islice(self._newcomers, max(at_once - there, 0)):
                self._enter(name, settled=False)
            time.sleep(LOOK_SECONDS)

    def leave(self) -> list[str]:
        """All put their phones away; who met something that cannot be."""
        for person in self._people:
            person.stop()
        for person in self._people:
            person.join()
        return [f"{one.name}: {one.failed!r}" for one in self._people if one.failed is not None]

    def mute(self) -> list[str]:
        """Everybody writes once more in fair weather; who is not answered."""
        before = {number: self._newest(number) for number in self.numbers}
        for number in self.numbers:
            self._post.bring(number, "menu")
        self._post.settle()
        with contextlib.suppress(TimeoutError):
            self._world.twilio.wait_until(lambda: not self._unanswered(before), ALIVE_SECONDS)
        return [f"{number} is not answered any more" for number in self._unanswered(before)]

    def _unanswered(self, before: dict[str, int]) -> list[str]:
        return [number for number, newest in before.items() if self._newest(number) <= newest]

    def _newest(self, number: str) -> int:
        """The number of the last message on a phone: how many there are tells nothing, a phone keeps only so many."""
        shown = self._world.twilio.phone(number)
        return shown[-1].number if shown else 0

    def _enter(self, name: str, *, settled: bool) -> None:
        number = number_of(name)
        person = Person(self._world, self._post, name, number, self._seed, settled=settled)
        self.numbers.append(number)
        self._people.append(person)
        person.start()


def number_of(name: str) -> str:
    """Somebody's number: it ends as the name does."""
    return f"+1555010{int(name.lstrip(ascii_lowercase)):04d}"


@cache
def pattern(name: str) -> re.Pattern[str]:
    """A sentence by its name in the texts, with any values."""
    return re.compile("(.+?)".join(re.escape(piece) for piece in re.split(r"\{\w+\}", texts("en")[name])))
