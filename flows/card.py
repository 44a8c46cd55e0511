"""The Ally card: what to type into Ally, field by field, under Ally's own names - and what to do about errors."""

from dataclasses import dataclass

from flows.facts import Facts
from flows.fields import MENU, PERSON
from flows.flow import GO, Flow, Step
from flows.questions import is_asked
from flows.reading import command
from flows.remedies import SERVER_CAUSES
from flows.sign_in import may_give_password
from flows.words import (
    Account,
    Ask,
    Chose,
    Code,
    Declined,
    Done,
    Effect,
    Event,
    OpenCase,
    Option,
    Said,
    Say,
    Start,
    Text,
    Values,
)


@dataclass(frozen=True, slots=True)
class Offering:
    """We wait for whether Ally is to send through us, with a key of its own, or by itself with the password."""

    account: Account


@dataclass(frozen=True, slots=True)
class Showing:
    """The card is shown; we wait for how it went. `without`: we have no password of theirs, and tested nothing."""

    account: Account
    without: bool = False


@dataclass(frozen=True, slots=True)
class Reporting:
    """We wait for the error that Ally shows."""

    account: Account
    without: bool = False


State = Offering | Showing | Reporting | Done


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """The card of the account that the flow is begun with, else of the saved mailbox; `without`: without a password.

    Where the operator opened the door, the way through us is offered first.
    """
    account = facts.about or (facts.mailbox.account if facts.mailbox else None)
    if account is None:
        return Done(), [Say("mailbox.none_yet")]
    if entry == "without":
        return _shown(account, facts, Say("card.nothing_stored"), without=True)
    if not _through_us(facts):
        return _shown(account, facts)
    if facts.mailbox is None or not facts.mailbox.door:
        return Offering(account), []
    if facts.mailbox.account.address.lower() != account.address.lower():
        return Offering(account), [Say("door.void_with_address")]
    return Done(), [Start("door", "has")]


def _through_us(facts: Facts) -> bool:
    """Whether Ally can send through us: from a mailbox that works, or has just been seen to (`about`)."""
    works = facts.about is not None or (facts.mailbox is not None and facts.mailbox.state == "works")
    return bool(facts.house.door) and works


def _shown(account: Account, facts: Facts, *said: Effect, without: bool = False) -> tuple[State, list[Effect]]:
    """What Ally's own form takes."""
    differs: list[Effect] = [Say("card.differs", {"agency": facts.agency})] if facts.differs else []
    return Showing(account, without), [*said, *differs, *_until(account, facts)]


def _signed_in(account: Account, facts: Facts) -> bool:
    """Whether mail leaves from here without a password, which Ally's own form cannot do."""
    saved = facts.mailbox
    return account.transport != "smtp" or bool(saved and saved.signed_in and saved.account.address == account.address)


def _until(account: Account, facts: Facts) -> list[Effect]:
    """Until when a password does in Ally, where the person signed in here."""
    provider = facts.provider
    if provider is None or provider.until is None or not _signed_in(account, facts) or not _fits(account, facts):
        return []
    return [Say("card.until", {"provider": provider.name, "until": provider.until})]


def _fits(account: Account, facts: Facts) -> bool:
    """Whether Ally's form, which knows passwords only, can be used for this account at all."""
    return may_give_password(account, facts) or (facts.provider is None and account.transport == "smtp")


def step(state: State, event: Event, facts: Facts) -> Step:
    """Done, or an error: explained in the light of what we know about the same data."""
    match state, event:
        case ((Offering() | Showing()), Chose("door")):
            return Done(), [Start("door")]
        case Offering(account), Chose("own") if _fits_in_ally(account, facts):
            return _shown(account, facts)
        case ((Offering() | Showing()), Chose("menu")):
            return Done(), []
        case Showing(), Chose("done"):
            return Done(), [Say("card.well_done")]
        case Showing(account, without), Chose("error"):
            return Reporting(account, without), []
        case ((Offering() | Showing() | Reporting()), Chose("person")):
            return state, [OpenCase("stuck")]
        case Reporting(account, without), Said(text) if not command(text) and not is_asked(text, facts):
            return Showing(account, without), _explained(account, facts, without=without)
    return Declined()


def _explained(account: Account, facts: Facts, *, without: bool) -> list[Effect]:
    """The cause, if the text tells it; and that the same data works here, so that the form is what differs."""
    why: list[Effect] = [Say(f"cause.{facts.pasted.cause}" if facts.pasted else "card.unknown_error")]
    if without:
        return why
    rests = facts.mailbox is not None and facts.mailbox.state != "works"
    if rests and facts.mailbox is not None and facts.mailbox.account.address == account.address:
        return [*why, Say("card.rests_here", {"state": Text(f"mailbox.state.{facts.mailbox.state}")})]
    return [*why, _where_to_look(account, facts)]


def _where_to_look(account: Account, facts: Facts) -> Say:
    """The fields of Ally's form that such an error comes from; the password, unless the text says otherwise."""
    cause = facts.pasted.cause if facts.pasted else ""
    if cause in SERVER_CAUSES:
        return Say("card.works_here_server", _values(account, facts))
    if cause == "sender_not_allowed":
        return Say("card.works_here_address", _labels(account))
    return Say("card.works_here")


def ask(state: State, facts: Facts) -> Ask:
    """The card itself, and whether it went well."""
    match state:
        case Reporting():
            return Ask("report", "card.what_does_it_say", {}, (PERSON,))
        case Offering(account):
            return _ask_which_way(account, facts)
        case Showing(account) if not _fits_in_ally(account, facts) and _through_us(facts):
            return _ask_which_way(account, facts)
        case Showing(account) if not _fits_in_ally(account, facts):
            write = Option(f"{GO}compose", "menu.button.write")
            values: Values = {"address": Code(account.address)}
            return Ask("card", "card.not_in_ally", values, (write, MENU, PERSON))
        case Showing(account):
            name = "card.admin" if facts.role == "admin" else "card.member"
            return Ask("card", name, _values(account, facts), _options(state, facts))
    return Ask("card", "mailbox.none_yet")


def _fits_in_ally(account: Account, facts: Facts) -> bool:
    """Whether Ally's own form can send from this account at all."""
    return not _signed_in(account, facts) or _fits(account, facts)


def _ask_which_way(account: Account, facts: Facts) -> Ask:
    values: Values = {"address": Code(account.address), "agency": facts.agency}
    other = Option("own", "card.button.own") if _fits_in_ally(account, facts) else MENU
    name = "card.offer_admin" if facts.role == "admin" else "card.offer"
    return Ask("way", name, values, (Option("door", "card.button.door"), other, PERSON))


def _options(state: Showing, facts: Facts) -> tuple[Option, ...]:
    door = (Option("door", "card.button.door"),) if _through_us(facts) and not state.without else ()
    return Option("done", "card.button.done"), Option("error", "card.button.error"), *door, PERSON


def _labels(account: Account) -> Values:
    labels = ("settings", "integrations", "integrate", "edit_profile", "own_smtp", "smtp_email", "smtp_password")
    named = {name: Text(f"ally.{name}") for name in (*labels, "test_smtp", "save", "host", "port", "ssl")}
    return {**named, "address": Code(account.address)}


def _values(account: Account, facts: Facts) -> Values:
    app = facts.provider is not None and facts.provider.demand == "app_password"
    own = "_of_its_own" if _signed_in(account, facts) else ""
    return {
        **_labels(account),
        "server": Code(account.server.host),
        "number": Code(str(account.server.port)),
        "password": Text(f"card.app_password{own}" if app else f"card.mail_password{own}"),
    }


FLOW = Flow(
    "card",
    (Offering, Showing, Reporting),
    start,
    step,
    ask,
    back=(Offering, Showing),
    subject=lambda state: "" if isinstance(state, Done) else state.account,
    errors=(Reporting,),
)
