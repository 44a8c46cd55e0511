"""What the door and the house say to each other. The door knows SMTP; who may send, and how, the house knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from bot.door.letter import Letter


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of SMTP: code (RFC 5321 4.2), enhanced code (RFC 3463), and one sentence in ASCII.

    `closes`: the connection ends with it.
    """

    code: int
    enhanced: str
    text: str
    closes: bool = False

    @property
    def passed(self) -> bool:
        """Whether it says yes."""
        return self.code < 400  # noqa: PLR2004 - RFC 5321 4.2.1

    def line(self) -> str:
        """As it goes over the wire, without CRLF and short enough (RFC 5321 4.5.3.1.5: 512 octets)."""
        words = "".join(sign if " " <= sign <= "~" else "?" for sign in self.text)
        return f"{self.code} {self.enhanced} {words}"[:500]


@dataclass(frozen=True, slots=True)
class Guest:
    """Who has signed in: for which mailbox, by which key (its hash), and what that mailbox's server lets through.

    `host`, `parallel` and `a_minute` tell how its mails wait for one another; `size`: bytes of the largest one.
    """

    mailbox: str
    agency: str
    address: str
    language: str
    key: str = field(repr=False)
    host: str = ""
    parallel: int = 2
    a_minute: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not let in. `wrong`: the key or the address was wrong; so many seconds until the next try is listened to."""

    reply: Reply
    wrong: bool = False
    seconds: float = 0.0


class House(Protocol):
    """What the door asks of the house. Every function may block; none raises what a guest could cause."""

    def sign_in(self, user: str, key: str, source: str) -> Guest | Refusal:
        """Whose key it is; wrong ones are counted."""

    def may_send(self, guest: Guest) -> Guest | Reply:
        """Whether one more mail may leave now; the guest as things stand."""

    def is_busy(self, guest: Guest, source: str) -> Reply | None:
        """Count one more mail; what to say where there are too many. Asks nobody else, and so does not block."""

    def letter(self, guest: Guest, content: bytes, mail_id: UUID) -> Letter | Reply:
        """The message as it would leave, or what is wrong with it."""

    def recipient(self, guest: Guest, address: str) -> str | Reply:
        """A recipient in normal form, or what is wrong with it."""

    def send(self, guest: Guest, letter: Letter, recipients: tuple[str, ...], mail_id: UUID) -> Reply:
        """Hand the message over, once, whatever happens; what came of it."""

    def says(self, name: str, language: str, values: Mapping[str, str] | None = None) -> str:
        """A sentence by name, in ASCII."""

    def tidy(self) -> Mapping[str, int]:
        """Close what nobody uses; numbers for the log."""
