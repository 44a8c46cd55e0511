"""What staff see of a case: the root message, which is its state, and the lines of the talk below it. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

MOST = 3_000  # characters of one message in the thread
MARKS = {"in": "→", "out": "←", "bot": "(←)"}  # the person, the bot, and what the bot kept to itself

Words = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Packet:
    """A case as the root message shows it. All words are ready to be shown; empty: there is none."""

    number: int
    name: str
    agency: str
    role: str
    language: str
    channel: str
    state: str
    owner: str
    waits_since: datetime | None
    snoozed_until: datetime | None
    where: str
    mailbox: str
    window_until: datetime | None
    end: str = ""
    reason: str = ""
    unasked: bool = False  # staff opened it, and nobody has had it yet
    over: str = ""  # the 24 hours are over: what can be done now


def root(packet: Packet, words: Words, zone: ZoneInfo) -> str:
    """The root message, in the team's language. `words`: a sentence of the texts by name."""
    return "\n".join(line for line in _lines(packet, words, zone) if line)


def _lines(packet: Packet, words: Words, zone: ZoneInfo) -> Iterator[str]:
    who = " · ".join(
        part for part in (packet.name, packet.agency, packet.role, packet.language, packet.channel) if part
    )
    yield words("desk.root.who", number=packet.number, who=who, reason=packet.reason)
    yield _state(packet, words, zone)
    if packet.where and packet.state != "closed":  # the talk goes on, and nobody draws this anew
        yield words("desk.root.where", where=packet.where)
    if packet.mailbox:
        yield words("desk.root.mailbox", mailbox=packet.mailbox)
    if packet.over:
        yield words("desk.root.window_over", over=packet.over)
    elif packet.window_until is not None and packet.state != "closed":
        yield words("desk.root.window", until=clock(packet.window_until, zone))


def _state(packet: Packet, words: Words, zone: ZoneInfo) -> str:
    if packet.state == "closed":
        return words("desk.root.closed", end=words(f"desk.end.{packet.end or 'closed'}"))
    has = words("desk.root.owned", owner=packet.owner) if packet.owner else words("desk.root.free")
    if packet.state == "snoozed" and packet.snoozed_until is not None:
        return words("desk.root.snoozed", until=clock(packet.snoozed_until, zone), has=has)
    if packet.state == "parked":
        return words("desk.root.parked", has=has)
    if packet.unasked:
        return words("desk.root.unasked", has=has)
    if packet.waits_since is not None:
        return words("desk.root.waits", since=clock(packet.waits_since, zone), has=has)
    return words("desk.root.answered", has=has)


def where(envelope: Mapping[str, Any] | None) -> str:
    """Where in the talk somebody is, of the saved state: the flow, its state, and what it asks."""
    saved = envelope or {}
    state = saved.get("state") or {}
    parts = (saved.get("flow"), state.get("is"), state.get("asking"))
    return ".".join(str(part) for part in parts if part)


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """Day and time as the team reads them."""
    return f"{moment.astimezone(zone):%d.%m. %H:%M}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a transcript."""

    id: int
    direction: str
    text: str


def merged(lines: Sequence[Line], most: int = MOST) -> tuple[str, int]:
    """As many lines as fit into one message, in order, and the id of the last one. The first is cut if it must be."""
    said: list[str] = []
    last, size = 0, 0
    for line in lines:
        written = f"{MARKS.get(line.direction, '·')} {line.text}"
        written = written if len(written) <= most else f"{written[: most - 1]}…"
        size += len(written) + 1
        if said and size > most:
            break
        said.append(written)
        last = line.id
    return "\n".join(said), last
