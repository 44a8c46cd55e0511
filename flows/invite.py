"""Inviting people where they are: an admin picks them in the workspace, sees who that is, and each gets a message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from flows.facts import Facts
from flows.fields import MENU
from flows.flow import Flow, Step
from flows.words import (
    Ask,
    Chose,
    Declined,
    Done,
    Effect,
    Event,
    FieldErrors,
    Filled,
    Input,
    InvitePeople,
    LookUpPeople,
    Option,
    PeopleFound,
    PeopleUnknown,
    Person,
    Say,
    Start,
    TeamTouched,
    Values,
)

MAX_PICKED = 500  # ids that one window may hold
_ID = re.compile(r"[A-Z][A-Z0-9]{1,30}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Untested:
    """The admin's own e-mail does not work yet; we wait for whether others are invited all the same."""


@dataclass(frozen=True, slots=True)
class Picking:
    """We wait for the people and channels that are picked in the window."""


@dataclass(frozen=True, slots=True)
class Looking:
    """Who was picked is being looked up."""


@dataclass(frozen=True, slots=True)
class Previewing:
    """We wait for the yes to write to these people."""

    people: tuple[Person, ...]
    all: int
    working: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class Inviting:
    """They are being made members; answered within the turn, so that nobody is ever asked here."""


State = Untested | Picking | Looking | Previewing | Inviting | Done


def start(_entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """Picking is for admins in a workspace; elsewhere an invitation is words to be forwarded."""
    if facts.role != "admin":
        return Done(), [Say("team.only_admins")]
    if not facts.workspace:
        return Done(), [Start("team", "invite")]
    works = facts.mailbox is not None and facts.mailbox.state == "works"
    return (Picking() if works else Untested()), []


def step(state: State, event: Event, facts: Facts) -> Step:
    """From who was picked to who is invited."""
    if facts.role != "admin":
        return Done(), [Say("team.only_admins")]
    match state, event:
        case Untested(), Chose("mine"):
            return Done(), [Start("mailbox", "manage" if facts.mailbox else "")]
        case Untested(), Chose("anyway"):
            return Picking(), []
        case Picking(), Filled(values):
            return _picked(values)
        case Picking(), Chose("words"):
            return Done(), [Start("team", "invite")]
        case ((Untested() | Picking() | Previewing()), Chose("menu")):
            return Done(), []
        case Looking(), PeopleFound(people, everybody, working, more):
            if not people:
                return Picking(), [Say("invite.all_work" if working else "invite.nobody_there")]
            return Previewing(people, everybody, working, more), []
        case Looking(), PeopleUnknown(reason):
            return Picking(), [Say(f"invite.unknown.{reason}")]
        case Previewing(people), Chose("yes"):
            return Inviting(), [InvitePeople(people)]
        case Previewing(), Chose("no"):
            return Picking(), []
        case Inviting(), TeamTouched(count):
            return Done(), [Say("invite.done", {"count": count})]
    return Declined()


def _picked(values: Mapping[str, str]) -> Step:
    """Ids come from the window; whatever is none of the workspace's is dropped when they are looked up."""
    users, channels = _ids(values.get("people", "")), _ids(values.get("channels", ""))
    if not users and not channels:
        return Picking(), [FieldErrors((("people", Say("invite.nobody")),))]
    return Looking(), [LookUpPeople(users, channels)]


def _ids(text: str) -> tuple[str, ...]:
    return tuple(one for one in text.split(",")[:MAX_PICKED] if _ID.fullmatch(one))


def ask(state: State, facts: Facts) -> Ask:
    """The question of each state."""
    if isinstance(state, Previewing):
        values: Values = {
            "all": state.all,
            "working": state.working,
            "count": len(state.people),
            "agency": facts.agency,
        }
        name = "invite.preview_more" if state.more else "invite.preview"
        return Ask(
            "preview", name, values, (Option("yes", "invite.button.yes"), Option("no", "invite.button.no"), MENU)
        )
    if isinstance(state, Untested):
        options = (Option("mine", "invite.button.mine"), Option("anyway", "invite.button.anyway"), MENU)
        return Ask("untested", "invite.untested", {}, options)
    if isinstance(state, Picking):
        return Ask("whom", "invite.whom", {}, (Option("words", "invite.button.words"), MENU))
    return Ask("busy", "mailbox.busy")


def inputs(state: State) -> tuple[Input, ...]:
    """People and channels are picked in the window."""
    if not isinstance(state, Picking):
        return ()
    people = Input("people", "input.invite.people", kind="people")
    return people, Input("channels", "input.invite.channels", kind="channels")


FLOW = Flow(
    "invite",
    (Untested, Picking, Looking, Previewing, Inviting),
    start,
    step,
    ask,
    world=(Looking,),
    back=(Picking,),
    inputs=inputs,
)
