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
    was reminded of them after that. `unasked`: staff opened it, and nobody has had it yet: the member knows nothing of
    it, and talks to the bot.
    """

    state: State
    opened_at: datetime
    owner: str = ""
    waits_since: datetime | None = None
    staff_at: datetime | None = None
    snoozed_until: datetime | None = None
    told_at: datetime | None = None
    end: str = ""
    unasked: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """When the team works, and within how much of that time it answers."""

    hours: Hours
    answer: timedelta


# --- what happened --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenedByStaff:
    """Somebody of the team opened it: nobody waits yet."""


@dataclass(frozen=True, slots=True)
class MemberWrote:
    """The member has written."""


@dataclass(frozen=True, slots=True)
class StaffWrote:
    """What a staff member wrote has left for the member. `since`: when they first wrote after it; None: never."""

    by: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotReached:
    """What staff wrote did not reach the member after all: they wait since then."""

    since: datetime | None


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


Event = OpenedByStaff | MemberWrote | StaffWrote | NotReached | Taken | Released | Snoozed | Ended | TimeCame

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
    if case.state == "closed" or isinstance(event, OpenedByStaff):
        return Step(case)
    match event:
        case MemberWrote():
            bots = case.unasked and not case.owner  # said to the bot, which answers
            waits = None if bots else case.waits_since or now
            return Step(replace(case, state="owned" if case.owner else "new", waits_since=waits, snoozed_until=None))
        case StaffWrote(by, since):
            answered = replace(case, state="owned", owner=case.owner or by, waits_since=since, staff_at=now)
            return Step(replace(answered, told_at=None, snoozed_until=None), None if case.owner else "taken")
        case NotReached(since):
            return Step(replace(case, state="owned" if case.owner else "new", waits_since=since) if since else case)
        case Taken(by):
            taken = replace(case, state="owned", owner=by, snoozed_until=None)
            fresh = taken if case.owner == by else replace(taken, staff_at=now)
            return Step(fresh, None if case.owner else "taken")
        case Released() if not case.owner:
            return Step(case)
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
        tell: Told | None = "longer" if case.owner or not case.told_at else None
        state: State = "snoozed" if case.state == "snoozed" else "new"
        return Step(replace(case, state=state, owner="", told_at=now), tell, remind=True)
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
    """Until when the member has to hear something; None: they do not wait, or know that the case is put off.

    Who takes a case of which they were told that it takes longer says that somebody is there, and has to answer anew.
    """
    if case.waits_since is None:
        return None
    if case.told_at is None:
        return rules.hours.after(case.waits_since, rules.answer)
    if case.staff_at is not None and case.staff_at > case.told_at:
        return rules.hours.after(case.staff_at, rules.answer)
    return None if case.state == "snoozed" else rules.hours.after(case.told_at, REMIND_EVERY)


def _silent_since(case: Case) -> datetime | None:
    """Since when the member owes an answer: staff has written (or taken the case), and they have not."""
    return (case.staff_at or case.opened_at) if case.waits_since is None else None


def bot_speaks(case: Case | None) -> bool:
    """Whether the bot may speak: never while a person owns the conversation."""
    return case is None or case.state == "closed" or not case.owner
