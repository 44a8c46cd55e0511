"""The queue as staff see it when they open the app: how many cases wait for whom, and each with who has it. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from bot.desk.packet import Words, clock

Group = Literal["new", "ours", "theirs", "snoozed"]
GROUPS: tuple[Group, ...] = get_args(Group)
MINE = "mine"
LISTED = 20  # cases of one group; a home holds 100 blocks, and nobody reads more


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open case as a line of the queue. `thread`: the address of its thread; empty: it is not there yet."""

    number: int
    name: str
    agency: str
    language: str
    state: str
    owner: str
    waits_since: datetime | None
    staff_at: datetime | None
    snoozed_until: datetime | None
    opened_at: datetime
    thread: str = ""


@dataclass(frozen=True, slots=True)
class Times:
    """How long it took in the last days, in the middle of all cases; None: there were none."""

    answer: timedelta | None
    resolution: timedelta | None


def group(state: str, waits_since: datetime | None) -> Group:
    """Who has to act next: nobody has it, we, the person, or time."""
    if state in {"new", "snoozed"}:
        return "new" if state == "new" else "snoozed"
    return "ours" if waits_since is not None else "theirs"


def paragraphs(
    cases: Sequence[Waiting], times: Times, me: str, words: Words, zone: ZoneInfo, link: Callable[[str, str], str]
) -> Iterator[str]:
    """Counts first, then the cases, group by group, who has waited longest first; my own are there twice.

    `link`: an address with the words that stand for it.
    """
    by_group = {one: [case for case in cases if group(case.state, case.waits_since) == one] for one in GROUPS}
    mine = [case for case in cases if case.owner == me]
    counted = {name: len(found) for name, found in (*by_group.items(), (MINE, mine))}
    took = {"answer": span(times.answer), "resolution": span(times.resolution)}
    yield words("desk.queue.counts", **counted) + "\n" + words("desk.queue.times", **took)
    for name, found in (*by_group.items(), (MINE, mine)):
        if found:
            yield "\n".join(_group(name, found, me, words, zone, link))


def _group(
    name: str, found: Sequence[Waiting], me: str, words: Words, zone: ZoneInfo, link: Callable[[str, str], str]
) -> Iterator[str]:
    yield words(f"desk.queue.group.{name}")
    for case in found[:LISTED]:
        yield " · ".join(part for part in _line(case, me, words, zone, link) if part)
    if len(found) > LISTED:
        yield words("desk.queue.more", more=len(found) - LISTED)


def _line(
    case: Waiting, me: str, words: Words, zone: ZoneInfo, link: Callable[[str, str], str]
) -> tuple[str, str, str, str, str, str]:
    owner = words("desk.queue.you") if case.owner == me else f"<@{case.owner}>" if case.owner else ""
    since = _since(case, words, zone)
    return (
        f"*{case.number}* {case.name}",
        case.agency,
        case.language,
        since,
        owner,
        link(case.thread, words("desk.queue.open")) if case.thread else "",
    )


def _since(case: Waiting, words: Words, zone: ZoneInfo) -> str:
    if case.state == "snoozed" and case.snoozed_until is not None:
        return words("desk.queue.until", until=clock(case.snoozed_until, zone))
    if case.waits_since is not None:
        return words("desk.queue.waits", since=clock(case.waits_since, zone))
    if case.staff_at is None:  # opened by staff, and nobody has had it yet
        return words("desk.queue.opened", since=clock(case.opened_at, zone))
    return words("desk.queue.answered", since=clock(case.staff_at, zone))


def span(time: timedelta | None) -> str:
    """A time as it is read in all three languages: 12 min, 3 h 5 min, 2 d 4 h."""
    if time is None:
        return "-"
    minutes = round(time.total_seconds() / 60)
    hours, days = minutes // 60, minutes // (60 * 24)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
