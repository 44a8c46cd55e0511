"""The Ally card: what to type into Ally, field by field, under Ally's own names - and what to do about errors."""

from dataclasses import dataclass

from flows.facts import Facts
from flows.flow import GO, Flow, Step
from flows.questions import is_asked
from flows.reading import command
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
    Text,
    Values,
)

PERSON = Option("person", "button.person")


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


State = Showing | Reporting | Done


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """The card of the account that the flow is begun with, else of the saved mailbox; `without`: without a password."""
    account = facts.about or (facts.mailbox.account if facts.mailbox else None)
    if account is None:
        return Done(), [Say("mailbox.none_yet")]
    said: list[Effect] = [Say("card.nothing_stored")] if entry == "without" else []
    differs: list[Effect] = [Say("card.differs", {"agency": facts.agency})] if facts.differs else []
    return Showing(account, entry == "without"), [*said, *differs, *_until(account, facts)]


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
        case Showing(), Chose("menu"):
            return Done(), []
        case Showing(), Chose("done"):
            return Done(), [Say("card.well_done")]
        case Showing(account, without), Chose("error"):
            return Reporting(account, without), []
        case ((Showing() | Reporting()), Chose("person")):
            return state, [OpenCase("stuck")]
        case Reporting(account, without), Said(text) if not command(text) and not is_asked(text, facts):
            return Showing(account, without), _explained(facts, without=without)
    return Declined()


def _explained(facts: Facts, *, without: bool) -> list[Effect]:
    """The cause, if the text tells it; and that the same data works here, so that the form is what differs."""
    why: list[Effect] = [Say(f"cause.{facts.pasted.cause}" if facts.pasted else "card.unknown_error")]
    return why if without else [*why, Say("card.works_here")]


def ask(state: State, facts: Facts) -> Ask:
    """The card itself, and whether it went well."""
    match state:
        case Reporting():
            return Ask("report", "card.what_does_it_say", {}, (PERSON,))
        case Showing(account) if _signed_in(account, facts) and not _fits(account, facts):
            write = Option(f"{GO}compose", "menu.button.write")
            values: Values = {"address": Code(account.address)}
            return Ask("card", "card.not_in_ally", values, (write, Option("menu", "button.menu"), PERSON))
        case Showing(account):
            name = "card.admin" if facts.role == "admin" else "card.member"
            return Ask("card", name, _values(account, facts), _options())
    return Ask("card", "mailbox.none_yet")


def _options() -> tuple[Option, ...]:
    return Option("done", "card.button.done"), Option("error", "card.button.error"), PERSON


def _values(account: Account, facts: Facts) -> Values:
    app = facts.provider is not None and facts.provider.demand == "app_password"
    own = "_of_its_own" if _signed_in(account, facts) else ""
    labels = ("settings", "integrations", "integrate", "edit_profile", "own_smtp", "smtp_email", "smtp_password")
    return {
        **{name: Text(f"ally.{name}") for name in (*labels, "test_smtp", "save", "host", "port", "ssl")},
        "address": Code(account.address),
        "server": Code(account.server.host),
        "number": Code(str(account.server.port)),
        "password": Text(f"card.app_password{own}" if app else f"card.mail_password{own}"),
    }


FLOW = Flow(
    "card",
    (Showing, Reporting),
    start,
    step,
    ask,
    back=(Showing,),
    subject=lambda state: "" if isinstance(state, Done) else state.account,
    errors=(Reporting,),
)
