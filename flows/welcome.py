"""Who writes without belonging to an agency: an invitation code, a wish for access, or a person."""

from dataclasses import dataclass, field

from flows.facts import Facts
from flows.fields import PERSON, address
from flows.flow import Flow, Step
from flows.forms import Answers, Field, Form, Problem
from flows.questions import has_its_mark
from flows.reading import half_a_code, invitation_code, misread_code, six_digits, written
from flows.remarks import remark
from flows.words import (
    AccessAsked,
    AccessRefused,
    Ask,
    AskAccess,
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
    ProofAsked,
    ProveAddress,
    Said,
    Say,
    Start,
    UseEntranceCode,
)

MAX_NAME = 120  # characters of an agency's name
SHORTEST_NAME = 2
EXAMPLE = Code("ACDE-7FGH-JKMN")  # of an invitation code


def agency_name(text: str, _facts: Facts) -> str | Problem:
    """The name of an agency, on one line, and no question, nor a greeting."""
    name = " ".join(written(text).split())
    talks = has_its_mark(text) or remark(text) in {"greeting", "thanks", "unsure"}
    if talks or not SHORTEST_NAME <= len(name) <= MAX_NAME:
        return Problem("welcome.no_agency_name")
    return name


FORM = Form("welcome", (Field("agency", agency_name, free=True), Field("address", address)))


@dataclass(frozen=True, slots=True)
class AtTheDoor:
    """We wait for how somebody comes in: with an invitation, by asking for access, or to a person."""


@dataclass(frozen=True, slots=True)
class AwaitingCode:
    """We wait for an invitation code."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Somebody without an invitation asks for access; we wait for a part of what has to be known."""

    answers: Answers = field(default_factory=dict)
    asking: str = "agency"


@dataclass(frozen=True, slots=True)
class Moving:
    """Somebody has another phone; we wait for the address of the mailbox that proves who they are."""


@dataclass(frozen=True, slots=True)
class AwaitingProof:
    """A code was mailed to the mailbox, if there is such a one; we wait for it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody was asked whether this person may come in."""


State = AtTheDoor | AwaitingCode | Asking | Moving | AwaitingProof | Waiting


def start(_entry: str, _facts: Facts) -> tuple[State, list[Effect]]:
    """The one question to somebody unknown."""
    return AtTheDoor(), []


def step(state: State, event: Event, facts: Facts) -> Step:
    """A code is good anywhere, six digits where one comes in; whether it is, and who may come in, the bot says."""
    match state, event:
        case _, Said(text) if code := invitation_code(text):
            return state, [Join(code)]
        case ((AtTheDoor() | AwaitingCode() | Waiting()), Said(text)) if code := misread_code(text):
            return state, [Join(code)]  # nobody has it; said like any wrong code, and counted as one
        case ((AtTheDoor() | AwaitingCode() | Waiting()), Said(text)) if half_a_code(text):
            return state, [Say("welcome.part_of_code", {"example": EXAMPLE})]
        case ((AwaitingCode() | AwaitingProof()), Said(text)) if digits := six_digits(text):
            return state, [UseEntranceCode(digits)]
        case AtTheDoor(), Said(text) if digits := six_digits(text, alone=True):
            return state, [UseEntranceCode(digits)]
        case _, Joined(agency):
            entry = "menu" if facts.mailbox else "mailbox"
            return state, [Say("welcome.joined", {"agency": agency}), Start(entry)]
        case AwaitingProof(), JoinRefused("unknown"):
            return Declined("welcome.wrong_digits")
        case _, JoinRefused(reason):
            return Declined(f"welcome.refused.{reason}")
        case _, Chose("person"):
            return state, [OpenCase("asked")]
        case ((AtTheDoor() | Waiting()), Chose("invitation")):
            return AwaitingCode(), []
        case ((AtTheDoor() | AwaitingCode()), Chose("access")) if facts.house.signup == "ask":
            return Asking(), []
        case AwaitingCode(), Chose("moved"):
            return Moving(), []
        case Moving(), Said(text):
            typed = address(text, facts)
            return Declined(typed.name) if isinstance(typed, Problem) else (state, [ProveAddress(typed)])
        case Moving(), ProofAsked(too_many):
            return (Waiting(), [Say("welcome.too_many_proofs")]) if too_many else (AwaitingProof(), [])
        case AwaitingProof(), Chose("again"):
            return Moving(), []
        case Asking(), AccessAsked():
            return Waiting(), [Say("welcome.passed_on")]
        case Asking(), AccessRefused():
            return Waiting(), [Say("welcome.too_many_wishes")]
        case Asking(answers, asking), Said() | Chose():
            return _asked(answers, asking, event, facts)
        case AwaitingCode(), Said():
            return Declined("welcome.no_code")
    return Declined()


def _asked(answers: Answers, asking: str, event: Said | Chose, facts: Facts) -> Step:
    taken = FORM.take(answers, asking, event, facts)
    if isinstance(taken, Declined):
        return taken
    missing = FORM.next(taken)
    if missing is not None:
        return Asking(taken, missing), []
    return Asking(taken, asking), [AskAccess(taken["agency"], taken["address"])]


def ask(state: State, facts: Facts) -> Ask:
    """The question of each state."""
    invitation = Option("invitation", "welcome.button.invitation")
    access = (Option("access", "welcome.button.access"),) if facts.house.signup == "ask" else ()
    match state:
        case AwaitingCode():
            moved = Option("moved", "welcome.button.moved")
            return Ask("code", "welcome.code", {"example": EXAMPLE}, (*access, moved, PERSON))
        case Moving():
            return Ask("moving", "welcome.moving", {}, (PERSON,))
        case AwaitingProof():
            return Ask("proof", "welcome.proof", {}, (Option("again", "welcome.button.again"), PERSON))
        case Asking(_, asking):
            return FORM.ask(asking, {})
        case Waiting():
            return Ask("waiting", "welcome.waiting", {}, (invitation, PERSON))
    return Ask("door", "welcome.door", {}, (invitation, *access, PERSON))


def reopen(state: State, name: str) -> State | None:
    """The same wish with one answer to be given again."""
    match state:
        case Asking(answers, _) if name in answers:
            return Asking({one: value for one, value in answers.items() if one != name}, name)
    return None


FLOW = Flow(
    "welcome",
    (AtTheDoor, AwaitingCode, Asking, Moving, AwaitingProof, Waiting),
    start,
    step,
    ask,
    back=(AtTheDoor, AwaitingCode, Asking, Moving),
    fields=("agency", "address"),
    reopen=reopen,
)
