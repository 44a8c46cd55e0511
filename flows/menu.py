"""The menu: where a conversation rests, and where every flow ends."""

from dataclasses import dataclass

from flows.facts import Facts
from flows.fields import LANGUAGE_OPTIONS, language_of
from flows.flow import Flow, Step
from flows.reading import address, invitation_code, six_digits
from flows.words import (
    Ask,
    Chose,
    Code,
    Declined,
    Done,
    Effect,
    Event,
    Join,
    Joined,
    JoinRefused,
    OpenCase,
    Option,
    RetryWaiting,
    Said,
    Say,
    SetLanguage,
    Start,
    Text,
    UseEntranceCode,
    Values,
)

QUESTION = "menu.choosing"
OFTEN = ("setup", "write", "mailbox", "integrate", "team", "person")
SELDOM = ("card", "roles", "language", "privacy")  # choices that need not be in sight where there is a place for more
AGAIN = (15, 60)  # minutes: what is switched on at Microsoft holds after up to an hour


@dataclass(frozen=True, slots=True)
class Choosing:
    """We wait for what the person wants to do."""


@dataclass(frozen=True, slots=True)
class ChoosingLanguage:
    """We wait for a language."""


State = Choosing | ChoosingLanguage


def start(entry: str, _facts: Facts) -> tuple[State, list[Effect]]:
    """The menu itself, its question for the language, or (`switched_on`) an admin's word that something was changed."""
    if entry == "switched_on":
        first, last = AGAIN
        return Choosing(), [RetryWaiting(AGAIN), Say("menu.retrying", {"first": first, "last": last})]
    return (ChoosingLanguage() if entry == "language" else Choosing()), []


def step(state: State, event: Event, facts: Facts) -> Step:
    """A choice starts a flow, as does an address of somebody who has none yet; a code joins another agency."""
    match state, event:
        case Choosing(), Chose("setup"):
            return state, [Start("mailbox")]
        case Choosing(), Chose("mailbox"):
            return state, [Start("mailbox", "manage")]
        case Choosing(), Chose("integrate"):
            return state, [Start("integrate")]
        case Choosing(), Chose("team"):
            return state, [Start("team")]
        case Choosing(), Chose("roles"):
            return state, [Start("roles")]
        case Choosing(), Chose("card"):
            return state, [Start("card")]
        case Choosing(), Chose("write"):
            return state, [Start("compose")]
        case Choosing(), Chose("language"):
            return ChoosingLanguage(), []
        case Choosing(), Chose("privacy"):
            return state, [Start("privacy")]
        case Choosing(), Chose("person"):
            return state, [OpenCase("asked")]
        case ChoosingLanguage(), Chose() | Said():
            language = language_of(event)
            return (Done(), [SetLanguage(language), Say("menu.language_set")]) if language else Declined()
        case Choosing(), Said(text) if facts.mailbox is None and (typed := address(text)):
            return state, [Start("mailbox", typed)]
        case Choosing(), Said(text) if digits := six_digits(text, alone=True):
            return state, [UseEntranceCode(digits)]
        case Choosing(), Said(text) if code := invitation_code(text):
            return state, [Join(code)]
        case _, Joined(agency):
            return Choosing(), [Say("welcome.joined", {"agency": agency})]
        case _, JoinRefused(reason):
            return Declined(f"welcome.refused.{reason}")
    return Declined()


def ask(state: State, facts: Facts) -> Ask:
    """The choices that make sense today."""
    if isinstance(state, ChoosingLanguage):
        return Ask("language", "menu.which_language", {}, LANGUAGE_OPTIONS)
    admins = ("integrate", "team") if facts.role == "admin" else ()
    if facts.mailbox is None:
        whom: Values = {"agency": facts.agency, **({"name": facts.name} if facts.several else {})}
        name = "menu.without_mailbox_as" if facts.several else "menu.without_mailbox"
        return Ask("choosing", name, whom, _options("setup", *admins))
    usable = facts.mailbox.state == "works"
    name = "menu.with_mailbox_as" if facts.several else "menu.with_mailbox"
    values: Values = {
        **({"name": facts.name, "agency": facts.agency} if facts.several else {}),
        "address": Code(facts.mailbox.account.address),
        "state": Text(f"mailbox.state.{facts.mailbox.state}"),
    }
    return Ask("choosing", name, values, _options(*(("write",) if usable else ()), "mailbox", "card", *admins))


def _options(*first: str) -> tuple[Option, ...]:
    return tuple(Option(value, f"menu.button.{value}") for value in (*first, "roles", "language", "privacy", "person"))


FLOW = Flow("menu", (Choosing, ChoosingLanguage), start, step, ask, back=(Choosing,))
