"""What all channels share: who wrote what, and what became of a message. A channel reads, renders, sends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["text", "voice", "image", "video", "document", "sticker", "contact", "location", "other"]
MAX_TEXT = 10_000  # characters kept of one message; what is longer is cut at the edge
MAX_MEDIA = 10  # files kept of one message


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is on a channel: an address (a phone number, a user), a second id, or both; never neither."""

    channel: str
    address: str | None
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """A file that came with a message, as it was told: nothing of it was fetched or proved yet.

    `url`: where it lies, always https; `content_type`: type/subtype in small letters, without parameters; `name`: what
    the person's phone called it, or one made up of its type ("photo.jpg") when nothing fitting was told.
    """

    url: str = field(repr=False)
    content_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message as it came in; what it means is decided inside the turn.

    `message_id` is the provider's; `button` the id of a tapped choice; `name` what the person calls themselves; `media`
    the files that came with it, at most 10. `fields`: what was filled into a window, whose question `button` names.
    """

    message_id: str
    identity: Identity
    text: str
    button: str | None = None
    kind: Kind = "text"
    name: str = ""
    media: tuple[Media, ...] = ()
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What became of a message that we sent: a later rank never gives way to an earlier one."""

    provider_id: str
    promise_id: int | None
    status: str
    rank: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message, under this id."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A file that goes with a message, for a channel that takes it by its address or by its bytes.

    `url`: a new address of ours, good from now on for a while; `content`: its bytes. Both may raise what a vault does.
    """

    name: str
    content_type: str
    url: Callable[[], str]
    content: Callable[[], bytes]


class SendError(Exception):
    """A message could not be handed to the provider. `code` is the provider's; the text is for the log."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Refused(SendError):
    """The provider will never take this message. `stop`: nor any other to this person (blocked, opted out)."""

    def __init__(self, code: str, text: str, *, stop: bool = False) -> None:
        super().__init__(code, text)
        self.stop = stop


class Later(SendError):
    """Not now: nothing was taken. `seconds` is the provider's own wish, if it said one."""

    def __init__(self, code: str, text: str, seconds: float | None = None) -> None:
        super().__init__(code, text)
        self.seconds = seconds


class Unclear(SendError):
    """The connection broke after the request left: nobody knows whether the provider took it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of ours as the provider lists it."""

    provider_id: str
    body: str
    status: str
    at: datetime
    files: int = 0
