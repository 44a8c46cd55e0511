"""What a flow is: a name, its states, a start, a step and the question of each state. All pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flows.facts import Facts
from flows.words import Account, Ask, Declined, Effect, Event, Input

GO = "go:"  # an option that leads to another flow: "go:mailbox.password"
State = Any  # a frozen dataclass among the flow's own `states`; `saved` looks names up there and nowhere else
Step = tuple[State, list[Effect]] | Declined


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow, as the conversation sees it.

    `states`: all states that can be saved. `world`: those that wait for something else than the person.
    `back`: those that *back* may return to. `fields`: what the person may call wrong (field, name of the words for it)
    and `reopen` asks it again. `subject`: the mail address or the account that a state is about. `nudge`: left lying,
    it is worth a reminder. `errors`: states that wait for an error text, which everywhere else is explained at once.
    `inputs`: what a state asks for as fields of a window, where the channel has windows.
    """

    name: str
    states: tuple[type, ...]
    start: Callable[[str, Facts], tuple[State, list[Effect]]]
    step: Callable[[State, Event, Facts], Step]
    ask: Callable[[State, Facts], Ask]
    world: tuple[type, ...] = ()
    back: tuple[type, ...] = ()
    fields: tuple[str, ...] = ()
    reopen: Callable[[State, str], State | None] = lambda _state, _field: None
    subject: Callable[[State], str | Account] = lambda _state: ""
    nudge: bool = False
    errors: tuple[type, ...] = ()
    inputs: Callable[[State], tuple[Input, ...]] = lambda _state: ()
