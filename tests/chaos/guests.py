"""Programs that send through the door, whatever happens: what had no final answer is handed in again, byte for byte."""

from __future__ import annotations

import contextlib
import random
import smtplib
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from tests.chaos.installation import Installation, address, client
from tests.chaos.people import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MAILS = 100  # of one mailbox: with those of the chat its folders at the sandbox have room for all (`KEPT`)
WRITES = 0.5  # at how many visits a mail is new
PAUSE = (0.2, 3.0)  # seconds between two visits
WITHOUT_ID = 0.25  # how many mails come without a Message-ID
OTHER_FROM = 0.05  # ... name somebody else as their writer, which is refused
AGAIN = 0.15  # ... are handed in once more though they were answered
IMPATIENT = 0.1  # of how many the answer is hardly waited for
GIVES_UP = 0.1  # how often a mail without an answer is handed in no more
SECONDS = 30.0  # that an answer is waited for
HARDLY = (0.005, 0.1)
END_SECONDS = 60.0  # until each mail has its final answer, in fair weather
OFFER = "Offer"  # what begins so came through the door, and is written once only
WORDS = "between the two of us"  # in the text of each
SILENCE = ""
TAKEN = 250


@dataclass
class HandedIn:
    """One mail. `replies`: one for each time that all of it was said; SILENCE where none came."""

    number: str
    subject: str
    content: bytes = field(default=b"", repr=False)
    replies: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether the last reply was a final one."""
        return bool(self.replies) and self.replies[-1][:1] in {"2", "5"}

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said to it when it was handed in last."""
        return bool(self.replies) and self.replies[-1] == SILENCE


class Program(threading.Thread):
    """Sends what somebody writes in Ally, from their mailbox, by smtplib."""

    def __init__(self, world: Installation, name: str, seed: int) -> None:
        super().__init__(name=f"{name}'s program", daemon=True)
        self.letters: list[HandedIn] = []
        self.waiting: list[HandedIn] = []
        self.failed: BaseException | None = None
        self._world = world
        self._person = name
        self._chance = random.Random(f"{seed} door {name}")
        self._trust = ssl.create_default_context(cafile=world.sandbox.ca_pem)
        self._over = threading.Event()

    def stop(self) -> None:
        """Let it write nothing more; it ends when all that it wrote has a final answer."""
        self._over.set()

    def run(self) -> None:
        """Write and send until told to stop."""
        try:
            while self.waiting or not self._over.is_set():
                if not self._over.is_set():
                    self._write()
                self._visit()
                time.sleep(self._chance.uniform(*PAUSE))
        except Exception as error:  # noqa: BLE001 - told by whoever waits for this thread
            self.failed = error

    def _write(self) -> None:
        if self._chance.random() < WRITES and len(self.letters) < MAX_MAILS:
            subject = f"{OFFER} {self._person}-{len(self.letters)}"
            written = HandedIn(number_of(self._person), subject, self._written(subject))
            self.letters.append(written)
            self.waiting.append(written)

    def _written(self, subject: str) -> bytes:
        other, without_id = self._chance.random() < OTHER_FROM, self._chance.random() < WITHOUT_ID
        own_id = () if without_id else (f"Message-ID: <{subject.lower().replace(' ', '-')}@ally.test>",)
        head = (
            f"From: {client(self._person) if other else address(self._person)}",
            f"To: {client(self._person)}",
            f"Subject: {subject}",
            f"Date: {format_datetime(datetime.now(UTC))}",
            *own_id,
        )
        return "\r\n".join((*head, "", f"This is {WORDS}.", ".", "Kind regards", "")).encode()

    def _visit(self) -> None:
        """One connection: what waits is handed in, until something breaks."""
        with contextlib.suppress(OSError, smtplib.SMTPException), self._inside() as door:
            for letter in list(self.waiting):
                self._hand_in(door, letter)
        self.waiting = [one for one in self.waiting if self._comes_again(one)]

    def _inside(self) -> smtplib.SMTP:
        made = smtplib.SMTP_SSL(
            self._world.sandbox.host,
            self._world.door_port,
            local_hostname="ally.test",
            timeout=SECONDS,
            context=self._trust,
        )
        try:
            made.login(address(self._person), self._world.keys[self._person])
        except BaseException:
            made.close()
            raise
        return made

    def _hand_in(self, door: smtplib.SMTP, letter: HandedIn) -> None:
        """Before all of it was said nothing can have been sent: what is answered till then is not noted."""
        code, words = door.mail(address(self._person))
        if code == TAKEN:
            code, words = door.rcpt(client(self._person))
        if code != TAKEN:
            raise smtplib.SMTPResponseException(code, words)
        if self._chance.random() < IMPATIENT and door.sock is not None:
            door.sock.settimeout(self._chance.uniform(*HARDLY))
        letter.replies.append(SILENCE)
        code, words = door.data(letter.content)
        letter.replies[-1] = f"{code} {words.decode()}"

    def _comes_again(self, letter: HandedIn) -> bool:
        if letter.is_over:
            return self._chance.random() < AGAIN
        return not letter.is_silent or self._chance.random() >= GIVES_UP


class Guests:
    """The programs of those who stay."""

    def __init__(self, world: Installation, seed: int, names: Sequence[str]) -> None:
        self._programs = [Program(world, name, seed) for name in names]

    @property
    def letters(self) -> list[HandedIn]:
        """All that was ever written."""
        return [letter for program in self._programs for letter in program.letters]

    def come(self) -> None:
        """They begin to send."""
        for program in self._programs:
            program.start()

    def leave(self) -> list[str]:
        """All write nothing more and get their answers; who did not, or met something that cannot be."""
        end = time.monotonic() + END_SECONDS
        for program in self._programs:
            program.stop()
        for program in self._programs:
            program.join(max(0.0, end - time.monotonic()))
        late = [f"{one.name} has no final answer to {one.waiting}" for one in self._programs if one.is_alive()]
        return [*late, *(f"{one.name}: {one.failed!r}" for one in self._programs if one.failed is not None)]
