"""The way from a phone to the bot, as Twilio goes it with `#rc=3&rp=all`: tried four times, sometimes told twice."""

from __future__ import annotations

import contextlib
import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import requests

from bot.playground.twilio_api import new_sid

if TYPE_CHECKING:
    from bot.playground.twilio import TwilioStandIn

TRIES = 4
PAUSE = (0.1, 1.2)  # seconds between two tries
AGAIN = (0.0, 3.0)  # seconds after which a message that was taken comes once more
CARRIERS = 24
DOUBLE, PARALLEL = 0.15, 0.1  # how many messages come once more, or twice at once
LIMIT = 60.0  # seconds for all that is under way at the end


@dataclass
class Letter:
    """One message of a person. `taken`: we answered 2xx at least once."""

    sid: str
    number: str
    body: str
    button: str | None = None
    taken: bool = False


class Post:
    """Brings messages, while it is a context; `letters` are all that were ever written."""

    def __init__(self, twilio: TwilioStandIn, seed: int) -> None:
        self.letters: list[Letter] = []
        self._twilio = twilio
        self._chance = random.Random(f"{seed} post")
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._carriers = ThreadPoolExecutor(CARRIERS, "twilio")
        self._under_way: set[Future[None]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._carriers.shutdown(cancel_futures=True)

    def bring(self, number: str, body: str, button: str | None = None) -> Letter:
        """Somebody writes, or taps a button; comes back at once."""
        letter = Letter(new_sid("SM"), number, body, button)
        with self._lock:
            self.letters.append(letter)
            parallel = self._chance.random() < PARALLEL
            for _ in range(1 + parallel):
                future = self._carriers.submit(self._carry, letter, random.Random(self._chance.random()))
                self._under_way.add(future)
                future.add_done_callback(self._under_way.discard)
        return letter

    def settle(self) -> None:
        """Wait for all that is under way. Raises whatever went wrong in here."""
        done, late = wait(set(self._under_way), LIMIT)
        for one in done:
            one.result()
        if late:
            raise TimeoutError("Messages of people are still under way.")

    def _carry(self, letter: Letter, chance: random.Random) -> None:
        for _ in range(TRIES):
            if self._deliver(letter):
                break
            self._closing.wait(chance.uniform(*PAUSE))
        if letter.taken and chance.random() < DOUBLE:
            self._closing.wait(chance.uniform(*AGAIN))
            self._deliver(letter)

    def _deliver(self, letter: Letter) -> bool:
        with contextlib.suppress(requests.RequestException):
            status = self._twilio.say(letter.number, letter.body, button=letter.button, sid=letter.sid)
            if status // 100 == 2:
                letter.taken = True
                return True
        return False
