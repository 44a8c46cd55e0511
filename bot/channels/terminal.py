"""The conversation in a terminal: the same as anywhere else, in plain words. To make a new channel, start from here."""

from collections.abc import Callable
from datetime import datetime
from itertools import count

from bot.channels import Accepted, Identity, Inbound
from flows.speech import Message, Plain

CHANNEL = "terminal"


def read(line: str, who: str, number: int, name: str = "") -> Inbound:
    """One typed line. `[label]` is a tap on the button with that id."""
    tapped = line[1:-1] if line.startswith("[") and line.endswith("]") and ":" in line else None
    return Inbound(f"{who}-{number}", Identity(CHANNEL, who), line, button=tapped, name=name or who)


def render(message: Message) -> str:
    """A message with its choices as numbered lines."""
    choices = [f"  {number} {button.label}" for number, button in enumerate(message.buttons, start=1)]
    return "\n".join([message.body.replace("*", ""), *choices])


class Terminal:
    """Hands messages to whoever shows them."""

    def __init__(self, show: Callable[[Identity, Message], None]) -> None:
        self.style = Plain()
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

    def typing(self, message_id: str) -> None:
        """A terminal shows no typing."""

    def erase(self, message_id: str) -> None:
        """What was typed in a terminal stays there."""

    def missed(self, since: datetime) -> list[Inbound]:  # noqa: ARG002 - as every channel
        """Nothing gets lost on the way from a keyboard."""
        return []
