"""Who writes without belonging to an agency: the invitation code, or a person."""

from dataclasses import dataclass

from flows.facts import Facts
from flows.flow import Flow, Step
from flows.reading import invitation_code
from flows.words import (
    Ask,
    Chose,
    Code,
    Declined,
    Effect,
    Event,
    Join,
    Joined,
    JoinRefused,
    OpenCase,
    Option,
    Said,
    Say,
    Start,
)

PERSON = Option("person", "button.person")


@dataclass(frozen=True, slots=True)
class AwaitingCode:
    """We wait for an invitation code."""


State = AwaitingCode


def start(_entry: str, _facts: Facts) -> tuple[State, list[Effect]]:
    """The one question to somebody unknown."""
    return AwaitingCode(), []


def step(state: State, event: Event, facts: Facts) -> Step:
    """A code is tried; whether it is good, the bot says."""
    match event:
        case Said(text) if code := invitation_code(text):
            return state, [Join(code)]
        case Joined(agency):
            entry = "menu" if facts.mailbox else "mailbox"
            return state, [Say("welcome.joined", {"agency": agency}), Start(entry)]
        case JoinRefused(reason):
            return Declined(f"welcome.refused.{reason}")
        case Chose("person"):
            return state, [OpenCase("asked")]
    return Declined("welcome.no_code")


def ask(_state: State, _facts: Facts) -> Ask:
    """The question for the code."""
    return Ask("code", "welcome.code", {"example": Code("ACDE-7FGH-JKMN")}, (PERSON,))


FLOW = Flow("welcome", (AwaitingCode,), start, step, ask)
