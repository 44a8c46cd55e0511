"""Plain data <-> JSON: saved conversations, and the effects and events that wait in the database.

A value is `{"is": its class, field: ...}`; classes are looked up in closed lists, never by import. A saved envelope
carries the version of its shape; `UPGRADES` lifts older ones, one version at a time, and `tests/saved/` holds every
shape that ever shipped.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date
from functools import cache
from typing import Any, get_args

from flows import words
from flows.conversation import FLOWS, Asked, Envelope
from flows.flow import State
from flows.words import Effect, Event

VERSION = 4
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: lambda raw: raw,  # states got new fields, which all have a default
    2: lambda raw: {**raw, "topic": ""},
    3: lambda raw: raw,  # accounts and states got new fields, which all have a default
}
MAX_BYTES = 32 * 1024
_JSON = json.JSONEncoder(ensure_ascii=False)
_PLAIN = frozenset({type(None), str, int, bool})

_VALUES = (
    words.Code,
    words.Text,
    words.Quote,
    words.Link,
    words.Option,
    words.Input,
    words.Person,
    words.Server,
    words.Account,
    words.Done,
)


_WORDS = {one.__name__: one for one in (*_VALUES, *get_args(Effect), *get_args(Event))}


class Unreadable(Exception):
    """A saved state does not fit any more; the conversation starts its flow again with an apology."""


def dump(value: Any) -> Any:
    """JSON-ready form of an effect, an event, a state or anything inside one."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple or kind is list:
        return [dump(below) for below in value]
    if names := _field_names(kind):
        return {"is": kind.__name__, **{name: dump(getattr(value, name)) for name in names}}
    if is_dataclass(value):
        return {"is": kind.__name__}
    if isinstance(value, Mapping):
        return {"map": {name: dump(below) for name, below in value.items()}}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    raise TypeError(f"{kind.__name__} is no plain data")


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()


def load(raw: Any, known: Mapping[str, type] = _WORDS) -> Any:
    """The value that `dump` wrote; `known` are the classes that may stand in it. Raises Unreadable."""
    if type(raw) in _PLAIN:
        return raw
    match raw:
        case {"is": str(name), **given}:
            return _make(name, {str(one): below for one, below in given.items()}, known)
        case {"map": dict(inside)}:
            return {name: load(below, known) for name, below in inside.items()}
        case {"day": str(day)}:
            return _day(day)
        case list():
            return tuple(load(below, known) for below in raw)
    raise Unreadable("an object without a kind")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unreadable("a day that is none") from None


def _make(name: str, given: Mapping[str, Any], known: Mapping[str, type]) -> Any:
    if name not in known:
        raise Unreadable(f"nothing is called {name}")
    try:
        return known[name](**{one: load(below, known) for one, below in given.items()})
    except TypeError:
        raise Unreadable(f"{name} has other fields today") from None


def dump_envelope(envelope: Envelope) -> dict[str, Any]:
    """The saved form of a conversation, in at most 32 KB: of a longer one the oldest ways back are forgotten.

    Raises ValueError when even that does not help; no honest conversation is that long.
    """
    trail = envelope.trail
    raw = _dumped(envelope)
    while (size := _size(raw)) > MAX_BYTES and trail:
        trail = trail[1:]
        raw = _dumped(replace(envelope, trail=trail))
    if size > MAX_BYTES:
        raise ValueError("the conversation's state is larger than 32 KB")
    return raw


def _size(raw: dict[str, Any]) -> int:
    return len(_JSON.encode(raw).encode())


def _dumped(envelope: Envelope) -> dict[str, Any]:
    return {
        "version": VERSION,
        "flow": envelope.flow,
        "state": dump(envelope.state),
        "trail": [[name, dump(state)] for name, state in envelope.trail],
        "asked": dump(envelope.asked),
        "ticket": envelope.ticket,
        "misses": envelope.misses,
        "doubt": envelope.doubt,
        "greeted": envelope.greeted,
        "silent": envelope.silent,
        "topic": envelope.topic,
    }


def load_envelope(raw: Mapping[str, Any]) -> Envelope:
    """A saved conversation, lifted to today's shape. Raises Unreadable."""
    try:
        today = _upgrade(dict(raw))
        return Envelope(
            flow=_flow_name(today["flow"]),
            state=_load_state(today["flow"], today["state"]),
            trail=tuple((name, _load_state(name, state)) for name, state in today["trail"]),
            asked=_load_asked(today["asked"]),
            ticket=int(today["ticket"]),
            misses=int(today["misses"]),
            doubt=str(today["doubt"]),
            greeted=bool(today["greeted"]),
            silent=bool(today["silent"]),
            topic=str(today["topic"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"the saved conversation does not fit: {type(error).__name__}") from None


def _upgrade(raw: dict[str, Any]) -> dict[str, Any]:
    version = raw.pop("version")
    while version != VERSION:
        raw = UPGRADES[version](raw)
        version += 1
    return raw


def _flow_name(name: str) -> str:
    if name and name not in FLOWS:
        raise Unreadable(f"no flow is called {name}")
    return name


def _load_state(flow: str, raw: Any) -> State:
    return load(raw, _states(flow))


@cache
def _states(flow: str) -> Mapping[str, type]:
    return {one.__name__: one for one in (*FLOWS[flow].states, *_VALUES)} if flow else {"Done": words.Done}


def _load_asked(raw: Any) -> Asked | None:
    asked = load(raw, {"Asked": Asked})
    return asked if isinstance(asked, Asked) else None


def was_silent(raw: Mapping[str, Any]) -> bool:
    """Whether an unreadable conversation had asked for no messages: that wish survives."""
    return raw.get("silent") is True
