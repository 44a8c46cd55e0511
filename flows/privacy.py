"""What is stored about a person: told in short, given as a file behind a one-time link, and erased."""

from dataclasses import dataclass

from flows.facts import Facts
from flows.fields import MENU
from flows.flow import Flow, Step
from flows.reading import command
from flows.words import (
    Ask,
    Chose,
    Code,
    DataSeen,
    DataTaken,
    Declined,
    Done,
    Effect,
    EraseEverything,
    Event,
    Link,
    LinkOpened,
    LinkRefused,
    OpenData,
    Option,
    Said,
    Say,
    SeeData,
    Text,
    Values,
)

NONE = "-"


@dataclass(frozen=True, slots=True)
class Choosing:
    """We wait for what is to become of what is stored."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The link to the page that gives the file is being opened."""


@dataclass(frozen=True, slots=True)
class AwaitingVisit:
    """We wait for the person to fetch the file on the page behind this link."""

    link_id: str


@dataclass(frozen=True, slots=True)
class ConfirmingErasure:
    """We wait for the yes to erase everything."""


State = Choosing | Opening | AwaitingVisit | ConfirmingErasure | Done


def start(entry: str, _facts: Facts) -> tuple[State, list[Effect]]:
    """What is stored, in short; or (`erase`) whether to erase it."""
    return (ConfirmingErasure(), []) if entry == "erase" else (Choosing(), [SeeData()])


def step(state: State, event: Event, _facts: Facts) -> Step:
    """The file comes from a page of ours, once; only a clear yes erases."""
    match state, event:
        case Choosing(), DataSeen():
            return state, [Say("privacy.known", _in_short(event))]
        case Choosing(), Chose("erase"):
            return ConfirmingErasure(), []
        case Choosing(), Chose("file"):
            return Opening(), [OpenData()]
        case AwaitingVisit(), Chose("new_link"):
            return Opening(), [OpenData()]
        case ((Choosing() | AwaitingVisit()), Chose("menu")):
            return Done(), []
        case Opening(), LinkOpened(link_id):
            return AwaitingVisit(link_id), []
        case Opening(), LinkRefused():
            return Done(), [Say("privacy.too_many_links")]
        case AwaitingVisit(), DataTaken():
            return Done(), [Say("privacy.taken")]
        case ConfirmingErasure(), Chose("erase"):
            return _erased()
        case ConfirmingErasure(), Said(text) if command(text) == "erase":  # the word that led here, said again
            return _erased()
        case ConfirmingErasure(), Chose("keep"):
            return Done(), [Say("privacy.kept")]
    return Declined()


def _erased() -> Step:
    return Done(ask=False), [Say("privacy.erased"), EraseEverything()]


def _in_short(seen: DataSeen) -> Values:
    return {
        "since": seen.since,
        "name": seen.name or NONE,
        "agency": seen.agencies or NONE,
        "address": Code(seen.addresses) if seen.addresses else NONE,
        "locked": Text("privacy.locked") if seen.password else NONE,
        "sign_ins": seen.sign_ins,
        "accepted": seen.accepted,
        "refused": seen.refused,
        "unclear": seen.unclear,
        "waiting": seen.waiting,
        "cases": seen.cases,
        "messages": seen.messages,
    }


def ask(state: State, facts: Facts) -> Ask:
    """What can be done with what is stored: a file of it, its erasure."""
    values: Values = {"days": facts.house.retention_days, "url": facts.house.privacy_url}
    match state:
        case Choosing():
            file, erase = Option("file", "privacy.button.file"), Option("erase", "privacy.yes")
            return Ask("choosing", "privacy.what_now", values, (file, erase, MENU))
        case AwaitingVisit(link_id):
            where: Values = {"link": Link(link_id), "domain": Code(facts.house.domain)}
            return Ask("file", "privacy.page", where, (Option("new_link", "privacy.button.new_link"), MENU))
        case ConfirmingErasure():
            yes, no = Option("erase", "privacy.yes"), Option("keep", "privacy.no")
            return Ask("erasure", "privacy.stored", values, (yes, no))
    return Ask("busy", "mailbox.busy")


FLOW = Flow(
    "privacy",
    (Choosing, Opening, AwaitingVisit, ConfirmingErasure),
    start,
    step,
    ask,
    world=(Opening,),
    back=(Choosing,),
)
