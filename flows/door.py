"""The key with which Ally sends through us: shown once on a page of ours, typed into Ally, tried, taken back.

Nothing of the key ever stands here; the page shows it, and the chat only hears that it did.
"""

from dataclasses import dataclass
from typing import Literal

from flows import sign_in
from flows.facts import Facts, Mailbox
from flows.flow import Flow, Step
from flows.questions import is_asked
from flows.reading import command, says_done
from flows.remedies import SECRET_CAUSES, SERVER_CAUSES
from flows.speech import has
from flows.words import (
    Ask,
    Chose,
    CloseDoor,
    Code,
    Declined,
    Done,
    DoorKeyShown,
    Effect,
    Event,
    Link,
    LinkOpened,
    LinkRefused,
    OpenCase,
    OpenDoor,
    Option,
    Said,
    Say,
    Start,
    Text,
    Values,
)

PERSON = Option("person", "button.person")
LABELS = ("settings", "integrations", "integrate", "edit_profile", "own_smtp", "smtp_email", "smtp_password",
          "test_smtp", "save", "host", "port", "ssl")  # fmt: skip
# What the door may have refused Ally for, as the texts know it; everything else is told as `other`.
REFUSALS = frozenset({"wrong_key", "old_key", "other_address", "other_sender", "mailbox", "limit"})


@dataclass(frozen=True, slots=True)
class Opening:
    """The link to the page that shows the key is being opened."""


@dataclass(frozen=True, slots=True)
class AwaitingKey:
    """We wait for the person to see the key on the page behind this link, and to type it into Ally."""

    link_id: str


@dataclass(frozen=True, slots=True)
class Trying:
    """We wait for how it went in Ally. `told`: all that is to be typed there, that it is to be tested, or once more."""

    told: Literal["all", "now", "again"] = "all"


@dataclass(frozen=True, slots=True)
class Reporting:
    """We wait for the error that Ally shows."""


@dataclass(frozen=True, slots=True)
class ConfirmingReturn:
    """We wait for the yes to take the key back."""


State = Opening | AwaitingKey | Trying | Reporting | ConfirmingReturn | Done


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """What Ally is to be told where there is a key, else a new one. `new`: in any case; `back`: it is taken back.

    `has`: there is a key, and the mailbox has just been seen to work.
    """
    saved = facts.mailbox
    if saved is not None and saved.door and entry == "back":
        return ConfirmingReturn(), []
    if saved is not None and saved.door and entry == "has":
        return Trying(), []
    if entry == "back":
        return Done(), [Say("door.none_to_return")]
    return _opened(facts, anew=entry == "new")


def _opened(facts: Facts, *, anew: bool) -> tuple[State, list[Effect]]:
    """A new key, or the one that there is, of a mailbox that works."""
    saved = facts.mailbox
    if not facts.house.door:
        return Done(), [Say("door.none")]
    if saved is None:
        return Done(), [Start("mailbox")]
    if saved.state != "works":
        return Done(), [Say("door.only_working"), Start("mailbox", "manage")]
    if saved.door and not anew:
        return Trying(), []
    return Opening(), [*([Say("door.new_voids")] if saved.door else []), OpenDoor()]


def step(state: State, event: Event, facts: Facts) -> Step:
    """From the page to Ally, and what becomes of it there."""
    match state, event:
        case Opening(), LinkOpened(link_id):
            return AwaitingKey(link_id), []
        case Opening(), LinkRefused():
            return Done(), [Say("mailbox.too_many_links")]
        case AwaitingKey(), DoorKeyShown():
            return Trying("now"), []
        case AwaitingKey(), (Chose("typed") | Said()) if _says_typed(event):
            return (Trying("now"), []) if _has_key(facts) else (state, [Say("door.not_yet")])
        case ((AwaitingKey() | Trying()), Chose("new" | "new_link")):
            return _opened(facts, anew=True)
        case Trying(), Chose("done"):
            return Done(), [Say("card.well_done")]
        case Trying(), Chose("error"):
            return Reporting(), []
        case Trying(), Chose("back"):
            return (ConfirmingReturn(), []) if _has_key(facts) else (Done(), [Say("door.none_to_return")])
        case ((AwaitingKey() | Trying() | Reporting()), Chose("person")):
            return state, [OpenCase("stuck")]
        case Reporting(), Said(text) if not command(text) and not is_asked(text, facts):
            return Trying("again"), _explained(facts)
        case ConfirmingReturn(), Chose("yes"):
            return Done(), [CloseDoor(), Say("door.taken_back")]
        case ConfirmingReturn(), Chose("no"):
            return Done(), [Say("door.kept")]
    return Declined()


def _says_typed(event: Chose | Said) -> bool:
    return isinstance(event, Chose) or says_done(event.text)


def _has_key(facts: Facts) -> bool:
    return facts.mailbox is not None and facts.mailbox.door


# --- why Ally shows an error ------------------------------------------------------------------------------------------


def _explained(facts: Facts) -> list[Effect]:
    """What the door saw of Ally says where the fault is; only behind the door does the text itself tell the cause."""
    saved = facts.mailbox
    if saved is None or not saved.door:
        return [Say("door.void_already")]
    if saved.state != "works":
        return [Say("door.rests", {"address": Code(saved.account.address), "why": _why_not(saved)})]
    if saved.knock is None:
        return _nobody_came(facts)
    at: Values = {"day": saved.knock.day, "hour": saved.knock.hour}
    if saved.knock.refusal:
        refusal = saved.knock.refusal if saved.knock.refusal in REFUSALS else "other"
        return [Say(f"door.refused.{refusal}", {**at, **_typed(saved, facts)})]
    return [Say("door.came_in", at), *_of_the_text(facts)]


def _why_not(saved: Mailbox) -> Text:
    name = sign_in.why(saved.cause, saved.signed_in)
    return Text(name if saved.state in {"waiting", "broken"} and has(name) else f"mailbox.state.{saved.state}")


def _nobody_came(facts: Facts) -> list[Effect]:
    """The mailbox works here, and Ally never reached us: so it was sent elsewhere by what stands in its form."""
    saved, name = facts.mailbox, "door.nobody_came"
    if facts.pasted is not None and facts.pasted.cause in SERVER_CAUSES:
        name = "door.not_reached"
    elif facts.pasted is not None and facts.pasted.cause in SECRET_CAUSES:
        name = "door.elsewhere"
    whose = "door.yours" if facts.role == "admin" else "door.your_admins"
    return [Say(name, _typed(saved, facts)), Say(whose, {"integrations": Text("ally.integrations")})]


def _of_the_text(facts: Facts) -> list[Effect]:
    return [Say(f"cause.{facts.pasted.cause}" if facts.pasted else "card.unknown_error")]


def _typed(saved: Mailbox | None, facts: Facts) -> Values:
    """What has to stand in Ally, under its own names."""
    return {
        **{name: Text(f"ally.{name}") for name in LABELS},
        "address": Code(saved.account.address if saved is not None else ""),
        "server": Code(facts.house.door),
        "number": Code(str(facts.house.door_port)),
    }


# --- the questions ----------------------------------------------------------------------------------------------------


def ask(state: State, facts: Facts) -> Ask:
    """The page, then what is to be typed, and how it went."""
    match state:
        case AwaitingKey(link_id):
            values: Values = {"link": Link(link_id), "domain": Code(facts.house.domain)}
            return Ask("key", "door.page", values, (_option("typed"), _option("new"), PERSON))
        case Trying(told):
            return _ask_how_it_went(told, facts)
        case Reporting():
            return Ask("report", "card.what_does_it_say", {}, (PERSON,))
        case ConfirmingReturn():
            address = facts.mailbox.account.address if facts.mailbox is not None else ""
            return Ask("return", "door.sure", {"address": Code(address)}, (_option("yes"), _option("no")))
    return Ask("busy", "mailbox.busy")


def _ask_how_it_went(told: str, facts: Facts) -> Ask:
    """All of it can be seen again at any time; the key itself cannot."""
    name = {"now": "door.now_test", "again": "door.test_again"}.get(told, "door.card_member")
    if told == "all" and facts.role == "admin":
        name = "door.card_admin"
    done, error = Option("done", "card.button.done"), Option("error", "card.button.error")
    more = {"now": (), "again": (_option("new"),)}.get(told, (_option("new"), _option("back")))
    return Ask("tried", name, _typed(facts.mailbox, facts), (done, error, *more, PERSON))


def _option(value: str) -> Option:
    return Option(value, f"door.button.{value}")


FLOW = Flow(
    "door",
    (Opening, AwaitingKey, Trying, Reporting, ConfirmingReturn),
    start,
    step,
    ask,
    world=(Opening,),
    back=(Trying,),
    errors=(Reporting,),
)
