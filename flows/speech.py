"""From what is to be said to words: names in the texts become sentences in one language, in one channel's style."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Protocol

from flows import guide
from flows.words import LANGUAGES, Code, Language, Link, Option, Quote, Say, Speak, Text, Value

MAX_QUOTE = 400  # characters of the person's own words shown back: a message with buttons holds 1,024 in all
MAX_QUOTED_LINES = 12
MAX_CODE = 200  # characters; what is longer is cut in its middle, so that a host's end, which says whose it is, stays


class Style(Protocol):
    """How a channel writes what is not its own: every value passes through one of these."""

    def plain(self, text: str) -> str:
        """Words of a person or the world, with the channel's own marks made harmless."""

    def code(self, text: str) -> str:
        """Text to be read letter by letter."""

    def kept(self, text: str) -> str:
        """Words of somebody of ours, whose marks (bold, italic, struck) are meant."""

    def quote(self, text: str) -> str:
        """The person's own words, on lines of their own."""

    @property
    def place(self) -> str:
        """Where the texts hold sentences that are said otherwise on this channel; empty where none are."""


@dataclass(frozen=True, slots=True)
class Button:
    """A choice as the person sees it. `id` is `<flow>.<question>:<value>`."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of a window: its name, its label, what is filled in already; see `words.Input`."""

    name: str
    label: str
    value: str = ""
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready for a channel: body, choices, and its language.

    `question` names what it asks (`<flow>.<question>`); `entries`: the same as fields, for a channel with windows.
    """

    body: str
    buttons: tuple[Button, ...]
    language: Language
    question: str = ""
    entries: tuple[Entry, ...] = ()


@cache
def texts(language: Language) -> Mapping[str, str]:
    """Every sentence of a language, by dotted name (`mailbox.address`)."""
    raw = tomllib.loads(resources.files("flows.texts").joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    labels = tomllib.loads(resources.files("flows.texts").joinpath("ally_labels.toml").read_text(encoding="utf-8"))
    return {
        **dict(_flatten(raw, "")),
        **guide.texts(language),
        **{f"ally.{name}": words[language] for name, words in labels.items()},
    }


def _flatten(tree: Mapping[str, object], prefix: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, below in tree.items():
        if isinstance(below, Mapping):
            pairs += _flatten(below, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, str(below).strip()))
    return pairs


def sentence(name: str, language: Language, **values: str) -> str:
    """A sentence by name with ready values, for pages and logs."""
    return texts(language)[name].format(**values)


def has(name: str) -> bool:
    """Whether the texts know this name (the tests hold that all languages know the same)."""
    return name in texts(LANGUAGES[0])


def label(option: Option, language: Language) -> str:
    """The words on a button."""
    return option.words or texts(language)[option.label]


def render(speak: Speak, language: Language, style: Style, url: Callable[[Link], str]) -> Message:
    """One message in words. `url` gives the address of a one-time link, and is called once for each link."""
    body = "\n\n".join(_say(say, language, style, url) for say in speak.parts)
    buttons = tuple(Button(f"{speak.question}:{one.value}", label(one, language)) for one in speak.options)
    entries = tuple(Entry(one.name, texts(language)[one.label], one.value, one.kind) for one in speak.inputs)
    return Message(body, buttons, language, speak.question, entries)


def _say(say: Say, language: Language, style: Style, url: Callable[[Link], str]) -> str:
    known = texts(language)
    template = known.get(f"{style.place}.{say.name}") or known[say.name]
    return template.format(**{name: _value(value, language, style, url) for name, value in say.values.items()})


def _value(value: Value, language: Language, style: Style, url: Callable[[Link], str]) -> str:
    match value:
        case Code(text):
            return style.code(text if len(text) <= MAX_CODE else f"{text[: MAX_CODE // 2]}…{text[1 - MAX_CODE // 2 :]}")
        case Quote(text):
            return style.quote(shortened(text, MAX_QUOTE))
        case Text(name):
            return texts(language)[name]
        case Link():
            return url(value)
        case date():
            return _day(value, language)
        case int():
            return str(value)
        case _:
            return style.plain(value)


def shortened(text: str, most: int) -> str:
    """The beginning of a text, at most so many characters and not too many lines, with "…" where it was cut."""
    begin = "\n".join(text[:most].split("\n")[:MAX_QUOTED_LINES])
    return text if begin == text else begin.rstrip() + "…"


def _day(day: date, language: Language) -> str:
    if language == "en":
        return f"{day.day} {texts(language)[f'month.{day.month}']} {day.year}"
    return f"{day.day} de {texts(language)[f'month.{day.month}']} de {day.year}"


class Plain:
    """The style of a transcript or a terminal: nothing is escaped."""

    place = ""

    def plain(self, text: str) -> str:
        """Words as they are."""
        return text

    def code(self, text: str) -> str:
        """Text as it is."""
        return text

    def kept(self, text: str) -> str:
        """Text as it is."""
        return text

    def quote(self, text: str) -> str:
        """The person's words behind a bar."""
        return re.sub(r"^", "> ", text, flags=re.MULTILINE)
