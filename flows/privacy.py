"""What is stored about a person, and its erasure."""

from dataclasses import dataclass

from flows.facts import Facts
from flows.flow import Flow, Step
from flows.reading import command
from flows.words import Ask, Chose, Declined, Done, Effect, EraseEverything, Event, Option, Said, Say, Values


@dataclass(frozen=True, slots=True)
class ConfirmingErasure:
    """We wait for the yes to erase everything."""


State = ConfirmingErasure


def start(_entry: str, _facts: Facts) -> tuple[State, list[Effect]]:
    """What is stored is said with the question."""
    return ConfirmingErasure(), []


def step(_state: State, event: Event, _facts: Facts) -> Step:
    """Only a clear yes erases."""
    match event:
        case Chose("erase"):
            return _erased()
        case Said(text) if command(text) == "erase":  # the word that led here, said again
            return _erased()
        case Chose("keep"):
            return Done(), [Say("privacy.kept")]
    return Declined()


def _erased() -> Step:
    return Done(ask=False), [Say("privacy.erased"), EraseEverything()]


def ask(_state: State, facts: Facts) -> Ask:
    """What is stored, for how long, and whether to erase it."""
    values: Values = {"days": facts.house.retention_days, "url": facts.house.privacy_url}
    return Ask("erasure", "privacy.stored", values, (Option("erase", "privacy.yes"), Option("keep", "privacy.no")))


FLOW = Flow("privacy", (ConfirmingErasure,), start, step, ask)
