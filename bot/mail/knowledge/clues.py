"""Whose server a text comes from, and at which stage: words of `clues.yaml`, read in an unwrapped text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from pydantic import ConfigDict, TypeAdapter

from bot.mail.knowledge import tables

Stage = Literal[
    "input",
    "dns",
    "connect",
    "tls",
    "greeting",
    "ehlo",
    "starttls",
    "auth",
    "mail_from",
    "rcpt_to",
    "data",
    "post_data",
    "oauth",
    "imap_login",
    "imap_starttls",
    "imap_select",
    "sent_copy",
    "bounce",
]

_STAGES: tuple[Stage, ...] = get_args(Stage)
_STRICT = ConfigDict(extra="forbid")
_ADDRESS = re.compile(r"@([a-z0-9][a-z0-9.-]{1,250})")
_HOST = re.compile(r"(?<![@\w.-])((?:[a-z0-9][a-z0-9-]{0,62}\.){1,8}[a-z]{2,24})\b")
_MOST_NAMES = 200
# What tables call a row that is about a program or about nobody
_NO_FAMILY = frozenset({"unknown", "other", "generic", "cpanel_generic", "exim", "postfix", "dovecot", "python"})


@dataclass(frozen=True)
class _Family:
    __pydantic_config__ = _STRICT

    texts: tuple[str, ...]
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    __pydantic_config__ = _STRICT

    answer: str
    known_as: tuple[str, ...]


@dataclass(frozen=True)
class _Clues:
    __pydantic_config__ = _STRICT

    families: dict[str, _Family]
    words: dict[str, _Word]
    stages: dict[Stage, tuple[str, ...]]
    phrases: tuple[str, ...]


@cache
def _clues() -> _Clues:
    raw = tables.read(Path(__file__).with_name("clues.yaml").read_bytes())
    return TypeAdapter(_Clues).validate_python(raw)


def families() -> frozenset[str]:
    """Every family that a text can be traced to."""
    return frozenset(_clues().families)


def family_named(name: str | None) -> str | None:
    """The family of a provider's name as one of our tables or of our callers writes it; the name itself, if unknown."""
    if not name or name in _NO_FAMILY:
        return None
    bare = name.strip().lower()
    return next((family for family, word in _clues().words.items() if bare in word.known_as), bare)


def family_of(text: str, host: str | None = None) -> str | None:
    """The family whose server an unwrapped text comes from: by host, by its words, by the hosts in it."""
    found = _by_end([host.strip().lower()], "hosts") if host else None
    if found:
        return found
    for family, clues in _clues().families.items():
        if any(word in text for word in clues.texts):
            return family
    return _by_end(_HOST.findall(text)[:_MOST_NAMES], "hosts")


def family_of_addresses(text: str) -> str | None:
    """The family of the first known address in an unwrapped text: perhaps the one whose server spoke, perhaps not."""
    return _by_end(_ADDRESS.findall(text)[:_MOST_NAMES], "addresses")


def _by_end(names: Iterable[str], kind: Literal["hosts", "addresses"]) -> str | None:
    for name in names:
        for family, clues in _clues().families.items():
            ends = clues.hosts if kind == "hosts" else clues.addresses
            if any(name == end or name.endswith(f".{end}") for end in ends):
                return family
    return None


def provider_word(family: str | None) -> str:
    """gmail, microsoft, yahoo, icloud, zoho; `other` for any other known family, `unknown` for none."""
    if family is None:
        return "unknown"
    word = _clues().words.get(family)
    return word.answer if word else "other"


def stage_of(text: str) -> Stage | None:
    """The stage that an unwrapped text names, or None."""
    return next((stage for stage, words in _clues().stages.items() if any(word in text for word in words)), None)


def phrases() -> tuple[str, ...]:
    """Sentences of machines that stand alone in what people paste."""
    return _clues().phrases


def stage_named(name: str | None) -> Stage | None:
    """The stage of that name, or None where there is none."""
    return next((stage for stage in _STAGES if stage == name), None)
