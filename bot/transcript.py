"""What the transcript says of a message: no secret, no address of a one-time link, none of the person's own mail."""

from bot import member_files
from bot.channels import Inbound
from flows.speech import Plain, render
from flows.words import Language, Quote, Say, Speak, Value

HIDDEN = "(hidden)"
MAX_LINE = 2_000  # characters of one line


def said(speak: Speak, spoken: Language) -> str:
    """A message of ours."""
    parts = (Say(part.name, {name: _shown(value) for name, value in part.values.items()}) for part in speak.parts)
    message = render(Speak(tuple(parts)), spoken, Plain(), lambda _link: HIDDEN)
    return message.body[:MAX_LINE]


def _shown(value: Value) -> Value:
    return HIDDEN if isinstance(value, Quote) else value


def came(inbound: Inbound, words: str, *, shown: bool) -> str:
    """A message of the person's. `shown`: its files are, too, by their names and with what was written below."""
    if not (shown and inbound.media):
        return words if inbound.kind == "text" else f"({inbound.kind})"
    names = ", ".join(member_files.told(inbound.media))
    kind = "document" if inbound.kind == "text" else inbound.kind
    below = words.strip() if caption(inbound) else ""
    return f"({kind}) {names}" + (f": {below}" if below else "")


def caption(inbound: Inbound) -> str:
    """What was written; a document without a caption has its name there."""
    text = inbound.text.strip()
    return "" if inbound.media and text == inbound.media[0].name else text
