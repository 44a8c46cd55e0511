"""From a message in words to what Twilio is asked to send: plain text, buttons or a list, within WhatsApp's limits.

Buttons need a Content resource at Twilio, which stays there. So a resource holds only what is the same for everybody:
the labels, their ids and the shape of the text. Each line of words travels as a variable of one request, because a
variable may hold no newline (https://www.twilio.com/docs/api/errors/21656).
Limits: https://www.twilio.com/docs/content/twilio-quick-reply and https://www.twilio.com/docs/content/twiliolist-picker
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.channels.whatsapp.style import WhatsAppStyle
from flows.speech import Button, Message
from flows.words import Language

MAX_BODY = 1600
MAX_BODY_WITH_BUTTONS = 1024
MAX_BUTTONS, MAX_TITLE = 3, 20  # quick-reply, inside the 24 hours and without approval
MAX_ITEMS, MAX_ITEM = 10, 24  # list-picker
MAX_ID = 200
MAX_LINES = 30  # of words; more shapes than that are not worth a resource each: numbered text does it
_OPEN_LIST: Mapping[Language, str] = {"en": "Choose", "pt": "Escolher", "es": "Elegir"}
# An id of somebody or something: such choices are not the same for everybody, and go out as numbered text.
_PERSONAL = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_BLANKS = re.compile(r"\t| {4,}")


@dataclass(frozen=True, slots=True)
class ContentSpec:
    """A Content resource: nothing personal is in it, and its name is a hash of all that is."""

    name: str
    language: Language
    types: Mapping[str, Mapping[str, object]]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is to be sent. `body` is what the person reads in either form, and is enough by itself.

    `content` and `variables` make buttons of the choices, where they fit. `cut`: the words were too many for one
    message and their end is lost - the caller logs it.
    """

    body: str = field(repr=False)
    content: ContentSpec | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    cut: bool = False


def render(message: Message) -> Outgoing:
    """One message for WhatsApp. Raises ValueError when there is not a word in it: Twilio takes no empty message."""
    lines = _lines(message.body)
    choices = [f"{n} {WhatsAppStyle().plain(_one_line(b.label))}" for n, b in enumerate(message.buttons, start=1)]
    body = "\n".join(_joined(lines, choices))
    if not body:
        raise ValueError("There is nothing to say.")
    if _size(body) > MAX_BODY:
        return Outgoing(_cut(lines, choices), cut=True)
    kind = "" if any(_PERSONAL.search(button.id) for button in message.buttons) else _kind(message.buttons)
    words = [line for line in lines if line]
    if not kind or not words or len(words) > MAX_LINES or _size(body) > MAX_BODY_WITH_BUTTONS:
        return Outgoing(body)
    variables = {str(n): line for n, line in enumerate(words, start=1)}
    return Outgoing(body, _spec(kind, message, _joined(_shape(lines), choices), variables), variables)


def _kind(buttons: Sequence[Button]) -> str:
    """The type of resource whose limits these choices keep; empty for none."""
    labels = [_one_line(button.label) for button in buttons]
    if not _keep(labels, MAX_ITEM) or not _keep([button.id for button in buttons], MAX_ID):
        return ""
    if len(buttons) <= MAX_BUTTONS and _keep(labels, MAX_TITLE):
        return "twilio/quick-reply"
    return "twilio/list-picker" if len(buttons) <= MAX_ITEMS else ""


def _keep(words: Sequence[str], limit: int) -> bool:
    """Whether there are any, each within the limit and unlike the others."""
    return bool(words) and len(set(words)) == len(words) and all(0 < _size(word) <= limit for word in words)


def _spec(kind: str, message: Message, body_lines: Iterable[str], variables: Mapping[str, str]) -> ContentSpec:
    body = "\n".join(body_lines)
    choices = [(button.id, _one_line(button.label)) for button in message.buttons]
    if kind == "twilio/quick-reply":
        shown: dict[str, object] = {
            "actions": [{"type": "QUICK_REPLY", "title": label, "id": id_} for id_, label in choices]
        }
    else:
        shown = {
            "button": _OPEN_LIST[message.language],
            "items": [{"id": id_, "item": label} for id_, label in choices],
        }
    types: dict[str, dict[str, object]] = {kind: {"body": body, **shown}, "twilio/text": {"body": body}}
    fixed = json.dumps([message.language, types], sort_keys=True).encode()
    name = f"ally-{hashlib.sha256(fixed).hexdigest()[:32]}"
    return ContentSpec(name, message.language, types, dict.fromkeys(variables, "…"))


def _shape(lines: Iterable[str]) -> list[str]:
    """The lines with a numbered variable for each that has words."""
    number = 0
    shape = []
    for line in lines:
        number += bool(line)
        shape.append(f"{{{{{number}}}}}" if line else "")
    return shape


def _lines(body: str) -> list[str]:
    """Its lines in one canonical form (no blanks at the ends, at most one empty line): few shapes, few resources."""
    lines: list[str] = []
    for line in body.splitlines():
        tidy = _one_line(line)
        if tidy or (lines and lines[-1]):
            lines.append(tidy)
    return lines[:-1] if lines and not lines[-1] else lines


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", " ".join(text.splitlines())).strip()


def _joined(lines: Sequence[str], choices: Sequence[str]) -> list[str]:
    return [*lines, *([""] if lines and choices else []), *choices]


def _cut(lines: Sequence[str], choices: Sequence[str]) -> str:
    """The words cut at their end, the choices kept whole where they leave any room."""
    tail = "\n".join(("", "", *choices)) if choices else ""
    room = MAX_BODY - _size(tail)
    if room <= MAX_BODY // 2:
        return _shorten("\n".join(_joined(lines, choices)), MAX_BODY)
    return _shorten("\n".join(lines), room) + tail


def _shorten(text: str, limit: int) -> str:
    return text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def _size(text: str) -> int:
    """Its length as the strictest reading has it: most emoji count as two."""
    return len(text.encode("utf-16-le")) // 2
