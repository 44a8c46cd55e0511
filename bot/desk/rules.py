"""What becomes of a case: pure, one event at a time. The bot speaks only while nobody owns the conversation.

No case is ever without an owner or a time at which it is looked at again (`due`), and nobody waits in silence for
longer than that.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from bot.desk.hours import Hours

State = Literal["new", "owned", "parked", "snoozed", "closed"]
REMIND_EVERY = timedelta(hours=4)  # of working time, of somebody who still waits
PARKED_AFTER = timedelta(hours=24)  # of the member's silence
CLOSED_AFTER = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it stands.

    `owner`: the staff member (empty: nobody). `member_at`, `staff_at`: when each wrote last; `waits_since`: since when
    the member waits for an answer (None: they do not). `told_at`: when they were told that it takes longer, or the team
    was reminded of them after that.
    """

    state: State
    opened_at: datetime
    owner: str = ""
    waits_since: datetime | None = None
    staff_at: datetime | None = None
    snoozed_until: datetime | None = None
    told_at: datetime | None = None
    end: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """When the team works, and within how much of that time it answers."""

    hours: Hours
    answer: timedelta


# --- what happened --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemberWrote:
    """The member has written."""


@dataclass(frozen=True, slots=True)
class StaffWrote:
    """A staff member has written to the member."""

    by: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A staff member takes the conversation over, from the bot or from another one."""

    by: str


@dataclass(frozen=True, slots=True)
class Released:
    """The owner gives it back to the queue: the member goes on waiting, and the bot may speak."""


@dataclass(frozen=True, slots=True)
class Snoozed:
    """Not before this time."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The case is over, for this reason: handed_back, closed, by_member, silent, erased."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimeCame:
    """A time at which the case was to be looked at."""


Event = MemberWrote | StaffWrote | Taken | Released | Snoozed | Ended | TimeCame

# --- what is to be done -----------------------------------------------------------------------------------------------

# To the member: somebody is there; it takes longer (go on with the bot, or wait); it was closed for their silence.
Told = Literal["taken", "longer", "silent"]


@dataclass(frozen=True, slots=True)
class Step:
    """The case afterwards, what the member is told of it, if anything, and whether the team is reminded of it."""

    case: Case
    tell: Told | None = None
    remind: bool = False


def step(case: Case, event: Event, now: datetime, rules: Rules) -> Step:
    """Apply one event to a case. A closed case stays as it is."""
    if case.state == "closed":
        return Step(case)
    match event:
        case MemberWrote():
            waits = case.waits_since or now
            return Step(replace(case, state="owned" if case.owner else "new", waits_since=waits, snoozed_until=None))
        case StaffWrote(by):
            fresh = case.owner != by
            answered = replace(case, state="owned", owner=by, waits_since=None, staff_at=now, told_at=None)
            return Step(replace(answered, snoozed_until=None), "taken" if fresh else None)
        case Taken(by):
            tell: Told | None = "taken" if case.owner != by else None
            return Step(replace(case, state="owned", owner=by, snoozed_until=None, staff_at=now), tell)
        case Released():
            return Step(replace(case, state="new", owner="", waits_since=case.waits_since or now, told_at=None))
        case Snoozed(until):
            return Step(replace(case, state="snoozed", snoozed_until=until))
        case Ended(reason):
            return Step(replace(case, state="closed", owner="", waits_since=None, end=reason))
    return _time_came(case, now, rules)


def _time_came(case: Case, now: datetime, rules: Rules) -> Step:
    """Ownership lapses before the member reads that it does; whoever is silent for long is parked, then let go."""
    if case.state == "snoozed" and case.snoozed_until is not None and case.snoozed_until <= now:
        case = replace(case, state="owned" if case.owner else "new", snoozed_until=None)
    late = _answer_by(case, rules)
    if late is not None and late <= now:
        tell: Told | None = None if case.told_at else "longer"
        return Step(replace(case, state="new", owner="", told_at=now), tell, remind=True)
    silent = _silent_since(case)
    if silent is not None and silent + CLOSED_AFTER <= now:
        return Step(replace(case, state="closed", owner="", end="silent"), "silent")
    if silent is not None and silent + PARKED_AFTER <= now and case.state == "owned":
        return Step(replace(case, state="parked"))
    return Step(case)


def due(case: Case, rules: Rules) -> datetime | None:
    """When the case has to be looked at again; None only for a closed one."""
    if case.state == "closed":
        return None
    late = _answer_by(case, rules)
    silent = _silent_since(case)
    moments = [
        case.snoozed_until if case.state == "snoozed" else None,
        late,
        silent + PARKED_AFTER if silent is not None and case.state == "owned" else None,
        silent + CLOSED_AFTER if silent is not None else None,
    ]
    return min(one for one in moments if one is not None)


def _answer_by(case: Case, rules: Rules) -> datetime | None:
    """Until when the member's last words have to be answered; None: they do not wait, or the case is put off."""
    if case.waits_since is None or case.state == "snoozed":
        return None
    if case.told_at is not None:
        return rules.hours.after(case.told_at, REMIND_EVERY)
    return rules.hours.after(case.waits_since, rules.answer)


def _silent_since(case: Case) -> datetime | None:
    """Since when the member owes an answer: staff has written (or taken the case), and they have not."""
    return (case.staff_at or case.opened_at) if case.waits_since is None else None


def bot_speaks(case: Case | None) -> bool:
    """Whether the bot may speak: never while a person owns the conversation."""
    return case is None or case.state == "closed" or not case.owner
