"""The conversation in a terminal: the same as anywhere else, in plain words. To make a new channel, start from here."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count

from bot.channels import Accepted, Enclosed, Identity, Inbound, Kind, Media, Refused
from flows.speech import Message, Plain

CHANNEL = "terminal"


def read(line: str, who: str, number: int, name: str = "") -> Inbound:
    """One typed line. `[label]` is a tap on the button with that id."""
    tapped = line[1:-1] if line.startswith("[") and line.endswith("]") and ":" in line else None
    return Inbound(f"{who}-{number}", Identity(CHANNEL, who), line, button=tapped, name=name or who)


@dataclass(frozen=True, slots=True)
class File:
    """A file in this process's memory."""

    content: bytes = field(repr=False)
    content_type: str
    name: str


def share(url: str, who: str, number: int, file: File) -> Inbound:
    """One file, shared by somebody; `url` is what `Terminal.files` knows it by."""
    media = Media(url, file.content_type, file.name)
    kind: Kind = "image" if file.content_type.startswith("image/") else "document"
    return Inbound(f"{who}-{number}", Identity(CHANNEL, who), "", kind=kind, name=who, media=(media,))


def render(message: Message) -> str:
    """A message with its choices as numbered lines."""
    choices = [f"  {number} {button.label}" for number, button in enumerate(message.buttons, start=1)]
    return "\n".join([message.body.replace("*", ""), *choices])


class Terminal:
    """Hands messages to whoever shows them."""

    def __init__(self, show: Callable[[Identity, Message], None]) -> None:
        self.style = Plain()
        self.files: dict[str, File] = {}
        self._show = show
        self._numbers = count(1)

    def send(self, to: Identity, message: Message, promise_id: int, ready: Callable[[], None]) -> Accepted:
        """Show a message."""
        ready()
        self._show(to, message)
        return Accepted(f"terminal-{promise_id}-{next(self._numbers)}")

    def find(self, to: Identity, message: Message, since: datetime) -> str | None:  # noqa: ARG002 - as every channel
        """Nothing is listed: a terminal remembers nothing."""
        return None

    def send_file(
        self, to: Identity, message: Message, file: Enclosed, promise_id: int, ready: Callable[[], None]
    ) -> Accepted:
        """Show a message with the name of its file."""
        named = replace(message, body="\n".join(one for one in (message.body, f"[{file.name}]") if one))
        return self.send(to, named, promise_id, ready)

    def find_file(self, to: Identity, message: Message, file: Enclosed, since: datetime) -> str | None:  # noqa: ARG002 - as every channel
        """Nothing is listed."""
        return None

    def typing(self, message_id: str) -> None:
        """A terminal shows no typing."""

    def window(self, to: Identity) -> None:
        """A terminal has no windows."""

    def erase(self, message_id: str) -> None:
        """What was typed in a terminal stays there."""

    def keeps(self, who: Identity) -> list[str]:  # noqa: ARG002 - as every channel
        """Nobody keeps what was typed in a terminal."""
        return []

    def fetch(self, url: str, max_bytes: int) -> File:  # noqa: ARG002 - as every channel
        """A file that somebody at the terminal named. Raises Refused."""
        if url not in self.files:
            raise Refused("404", "there is no such file")
        return self.files[url]

    def missed(self, since: datetime) -> list[Inbound]:  # noqa: ARG002 - as every channel
        """Nothing gets lost on the way from a keyboard."""
        return []
