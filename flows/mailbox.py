"""The set-up of a member's mailbox: address, server, secret, live test, saved - and what one does with it later."""

import re
from dataclasses import dataclass

from flows.facts import Facts, MailboxState
from flows.flow import Flow, Step
from flows.forms import Answers, Field, Form, Problem
from flows.reading import address as read_address
from flows.reading import host as read_host
from flows.words import (
    Account,
    AddressRefused,
    Ask,
    Chose,
    Code,
    Declined,
    Discover,
    Done,
    Effect,
    EraseAtProvider,
    EraseSecret,
    Event,
    Link,
    LinkOpened,
    LinkRefused,
    LoginFailed,
    LoginWorked,
    OpenCase,
    OpenLink,
    Option,
    RemoveMailbox,
    Said,
    SaveMailbox,
    Say,
    SecretGone,
    SecretStored,
    SecretSuspected,
    SecretTyped,
    Security,
    Server,
    ServerFound,
    ServerUnknown,
    SwitchMailbox,
    TestLogin,
    TestsExhausted,
    Text,
    Values,
)

TRIES_BEFORE_A_PERSON = 3
PORTS = (Option("465", words="465"), Option("587", words="587"), Option("unknown", "button.dont_know"))
PERSON = Option("person", "button.person")


def address(text: str, _facts: Facts) -> str | Problem:
    """The person's own mail address."""
    return read_address(text) or Problem("mailbox.no_address")


def host(text: str, _facts: Facts) -> str | Problem:
    """The name of a mail server; a port typed behind it is not needed here."""
    if "@" in text:
        return Problem("mailbox.address_instead_of_server")
    return read_host(re.sub(r":\d{1,5}$", "", text.strip())) or Problem("mailbox.no_server")


def port(text: str, facts: Facts) -> str | Problem:
    """One of the ports on which mail is handed in; "unknown" is the first of them (RFC 8314 §3.3)."""
    allowed = [str(number) for number in facts.house.ports]
    typed = text.strip()
    if typed == "unknown":
        return allowed[0]
    values: Values = {"ports": " / ".join(allowed)}
    if not (typed.isascii() and typed.isdecimal()):
        return Problem("mailbox.port_no_number", values)
    return typed if typed in allowed else Problem("mailbox.port_unusual", values)


HOSTS = (Option("unknown", "button.dont_know"), PERSON)
FORM = Form("mailbox", (Field("address", address), Field("host", host, HOSTS), Field("port", port, PORTS)))


@dataclass(frozen=True, slots=True)
class Collecting:
    """We wait for the address, or for a part of the server that nobody could find."""

    answers: Answers
    asking: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The server of this address is being looked up."""

    address: str


@dataclass(frozen=True, slots=True)
class Confirming:
    """We wait for the yes to a server that does not visibly belong to the address."""

    account: Account


@dataclass(frozen=True, slots=True)
class AwaitingLink:
    """A one-time link is being opened. `tries`: secrets refused so far."""

    account: Account
    tries: int = 0


@dataclass(frozen=True, slots=True)
class AwaitingSecret:
    """We wait for the secret, given on the page behind the link."""

    account: Account
    link_id: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class ConfirmingSecret:
    """Something typed in the chat is kept sealed for a few minutes; we wait for the word that it is the secret."""

    account: Account
    link_id: str
    secret_id: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Testing:
    """The live test runs."""

    account: Account
    secret_id: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Stuck:
    """The test failed for a reason that another password would not mend; the secret is kept."""

    account: Account
    secret_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class Managing:
    """We wait for what is to be done with the saved mailbox."""


@dataclass(frozen=True, slots=True)
class ConfirmingRemoval:
    """We wait for the yes to remove the mailbox."""


State = (
    Collecting
    | Finding
    | Confirming
    | AwaitingLink
    | AwaitingSecret
    | ConfirmingSecret
    | Testing
    | Stuck
    | Managing
    | ConfirmingRemoval
    | Done
)


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """Set-up from the beginning, or with a saved mailbox: `manage`, `password`, `remove`."""
    if facts.mailbox is None:
        return Collecting({}, "address"), [Say("mailbox.none_yet")] if entry else []
    match entry:
        case "password":
            return AwaitingLink(facts.mailbox.account), [OpenLink(facts.mailbox.account)]
        case "remove":
            return ConfirmingRemoval(), []
        case "manage":
            return Managing(), []
    return Collecting({}, "address"), []


def step(state: State, event: Event, facts: Facts) -> Step:
    """The story of a set-up; each group of states has a function of its own."""
    match state:
        case Collecting() | Finding() | Confirming():
            return _towards_the_server(state, event, facts)
        case AwaitingLink() | AwaitingSecret() | ConfirmingSecret():
            return _towards_the_secret(state, event)
        case Testing() | Stuck():
            return _towards_working(state, event, facts)
        case Managing() | ConfirmingRemoval():
            return _with_the_saved_one(state, event, facts)
    return Declined()


def _towards_the_server(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case Collecting(answers, "host"), Chose("unknown"):
            return state, [Say("mailbox.ask_around", {"address": Code(answers["address"])})]
        case Collecting(_, "host"), Chose("person"):
            return state, [OpenCase("stuck")]
        case Collecting(answers, asking), Said() | Chose():
            taken = FORM.take(answers, asking, event, facts)
            return taken if isinstance(taken, Declined) else _collected(taken)
        case Finding(), ServerFound(account, confirm):
            return _demands(account, facts, confirm=confirm)
        case Finding(typed), ServerUnknown(found):
            return Collecting({"address": found or typed}, "host"), []
        case Finding(), AddressRefused():
            return Collecting({}, "address"), [Say("mailbox.no_address")]
        case Confirming(account), Chose("yes"):
            return AwaitingLink(account), [OpenLink(account)]
        case Confirming(account), Chose("no"):
            return Collecting({"address": account.address}, "host"), []
    return Declined()


def _collected(answers: Answers) -> Step:
    if "host" not in answers:
        return Finding(answers["address"]), [Discover(answers["address"])]
    if "port" not in answers:
        return Collecting(answers, "port"), []
    number = int(answers["port"])
    # 587 begins in plain and demands STARTTLS, everything else is encrypted from the first byte (RFC 8314 §3.3); the
    # live test corrects a server that does it otherwise.
    security: Security = "starttls" if number == 587 else "tls"  # noqa: PLR2004
    account = Account(answers["address"], answers["address"], Server(answers["host"], number, security))
    if _under(account.server.host, account.address):
        return AwaitingLink(account), [OpenLink(account)]
    return Confirming(account), []


def _under(host_name: str, of_address: str) -> bool:
    domain = of_address.rpartition("@")[2].lower()
    return host_name == domain or host_name.endswith(f".{domain}")


def _demands(account: Account, facts: Facts, *, confirm: bool) -> Step:
    provider = facts.provider
    if provider is not None and provider.demand in {"sign_in_only", "impossible"}:
        values: Values = {"provider": provider.name, "address": Code(account.address), "checked": provider.checked}
        return Collecting({}, "address"), [Say(f"mailbox.demand.{provider.demand}", values)]
    if confirm:
        return Confirming(account), []
    return AwaitingLink(account), [OpenLink(account)]


def _towards_the_secret(state: State, event: Event) -> Step:
    match state, event:
        case AwaitingLink(account, tries), LinkOpened(link_id):
            return AwaitingSecret(account, link_id, tries), []
        case AwaitingLink(), LinkRefused():
            return Done(), [Say("mailbox.too_many_links")]
        case AwaitingSecret(account, mine, tries), SecretStored(secret_id, link_id) if mine == link_id:
            return _test(account, secret_id, tries)
        case ConfirmingSecret(account, mine, old, tries), SecretStored(secret_id, link_id) if mine == link_id:
            return _test(account, secret_id, tries, EraseSecret(old))
        case AwaitingSecret(account, _, tries), SecretTyped(secret_id):
            return _test(account, secret_id, tries, Say("mailbox.typed_here"), EraseAtProvider())
        case AwaitingSecret(account, link_id, tries), SecretSuspected(secret_id):
            return ConfirmingSecret(account, link_id, secret_id, tries), [EraseAtProvider()]
        case ConfirmingSecret(account, link_id, old, tries), SecretSuspected(secret_id):
            return ConfirmingSecret(account, link_id, secret_id, tries), [EraseSecret(old), EraseAtProvider()]
        case ConfirmingSecret(account, _, old, tries), SecretTyped(secret_id):
            return _test(account, secret_id, tries, EraseSecret(old), Say("mailbox.typed_here"), EraseAtProvider())
        case ConfirmingSecret(account, _, secret_id, tries), Chose("yes"):
            return _test(account, secret_id, tries, Say("mailbox.typed_here"))
        case ConfirmingSecret(account, link_id, secret_id, tries), Chose("no"):
            return AwaitingSecret(account, link_id, tries), [EraseSecret(secret_id)]
        case AwaitingSecret(account, _, tries), Chose("new_link"):
            return AwaitingLink(account, tries), [OpenLink(account)]
        case ConfirmingSecret(account, _, secret_id, tries), Chose("new_link"):
            return AwaitingLink(account, tries), [EraseSecret(secret_id), OpenLink(account)]
        case AwaitingSecret(), Chose("forgotten"):
            return state, [Say("mailbox.forgotten")]
        case AwaitingSecret(), Chose("person"):
            return state, [OpenCase("asked")]
    return Declined()


def _test(account: Account, secret_id: str, tries: int, *before: Effect) -> Step:
    effects = [*before, Say("mailbox.testing", {"address": Code(account.address)}), TestLogin(account, secret_id)]
    return Testing(account, secret_id, tries), effects


def _towards_working(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case Testing(_, secret_id), LoginWorked(account, repaired):
            said = [Say("mailbox.repaired")] if repaired else []
            works = Say("mailbox.works", {"address": Code(account.address)})
            return Done(), [SaveMailbox(account, secret_id), *said, works]
        case Testing(account, secret_id, tries), LoginFailed(cause, who, retry):
            return _failed(Testing(account, secret_id, tries), LoginFailed(cause, who, retry), facts)
        case Testing(account, _, tries), SecretGone():
            return AwaitingLink(account, tries), [Say("mailbox.secret_gone"), OpenLink(account)]
        case Testing(account, secret_id), TestsExhausted(minutes):
            return Stuck(account, secret_id, "rate_limited"), [Say("mailbox.too_many_tests", {"minutes": minutes})]
        case Stuck(account, secret_id), Chose("retry"):
            return _test(account, secret_id, 0)
        case Stuck(account, secret_id), Chose("server"):
            return Collecting({"address": account.address}, "host"), [EraseSecret(secret_id)]
        case Stuck(), Chose("person"):
            return state, [OpenCase("stuck")]
    return Declined()


def _failed(state: Testing, failure: LoginFailed, facts: Facts) -> Step:
    said: list[Effect] = [Say(f"cause.{failure.cause}")]
    if failure.cause in SECRET_CAUSES and not failure.retry:
        tries = state.tries + 1
        offer: list[Effect] = [Say("talk.offer_person")] if tries >= TRIES_BEFORE_A_PERSON else []
        return AwaitingLink(state.account, tries), [
            EraseSecret(state.secret_id),
            *said,
            *offer,
            OpenLink(state.account),
        ]
    if failure.cause == "oauth_required_basic_auth_disabled":
        return Done(), [EraseSecret(state.secret_id), *said, Say("talk.offer_person")]
    # A mailbox that works is not given up for another one that has to wait.
    spare = facts.mailbox is None or facts.mailbox.state != "works" or facts.mailbox.account == state.account
    waits = failure.retry or failure.who == "agency_admin"
    saved = [SaveMailbox(state.account, state.secret_id, failure.cause, failure.who)] if waits and spare else []
    return Stuck(state.account, state.secret_id, failure.cause), [*saved, *said]


# Where another secret is the cure. Everything else keeps it: the fault lies elsewhere (DESIGN 6).
SECRET_CAUSES = frozenset({"wrong_credentials", "app_password_required", "less_secure_blocked"})


# What can be switched, from which verdict: what does not work is off already.
SWITCHES: dict[str, MailboxState] = {"on": "off", "off": "works"}


def _with_the_saved_one(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case _, Chose("password" | "on" | "off" | "remove" | "yes") if facts.mailbox is None:
            return Collecting({}, "address"), [Say("mailbox.none_yet")]  # it was removed meanwhile
        case Managing(), Chose("password") if facts.mailbox:
            return AwaitingLink(facts.mailbox.account), [OpenLink(facts.mailbox.account)]
        case Managing(), Chose("change"):
            return Collecting({}, "address"), []
        case Managing(), Chose("on" | "off" as wish) if facts.mailbox and facts.mailbox.state != SWITCHES[wish]:
            return state, [Say("talk.closed")]
        case Managing(), Chose("on" | "off" as wish):
            return Done(), [SwitchMailbox(on=wish == "on"), Say(f"mailbox.switched_{wish}")]
        case Managing(), Chose("remove"):
            return ConfirmingRemoval(), []
        case ConfirmingRemoval(), Chose("yes"):
            return Done(), [RemoveMailbox(), Say("mailbox.removed")]
        case ConfirmingRemoval(), Chose("no"):
            return Done(), [Say("mailbox.kept")]
        case Managing(), Chose("menu"):
            return Done(), []
    return Declined()


def ask(state: State, facts: Facts) -> Ask:
    """The question of each state; a state that waits for the world says so."""
    match state:
        case Collecting(answers, asking):
            return FORM.ask(
                asking, {"address": Code(answers.get("address", "")), "host": Code(answers.get("host", ""))}
            )
        case Confirming(account):
            values = {"address": Code(account.address), "host": Code(account.server.host)}
            return Ask("server", "mailbox.confirm_server", values, _yes_no("button.yes", "mailbox.button.other_server"))
        case AwaitingSecret(account, link_id):
            return _ask_secret(account, link_id, facts)
        case ConfirmingSecret():
            return Ask(
                "suspected", "mailbox.was_that_it", {}, _yes_no("mailbox.button.was_it", "mailbox.button.was_not")
            )
        case Stuck():
            options = tuple(Option(value, f"mailbox.button.{value}") for value in ("retry", "server"))
            return Ask("stuck", "mailbox.stuck", {}, (*options, PERSON))
        case Managing():
            return _ask_manage(facts)
        case ConfirmingRemoval():
            return Ask("removal", "mailbox.sure_to_remove", {}, _yes_no("mailbox.button.remove", "mailbox.button.keep"))
    return Ask("busy", "mailbox.busy")


def _yes_no(yes: str, no: str) -> tuple[Option, Option]:
    return Option("yes", yes), Option("no", no)


def _ask_secret(account: Account, link_id: str, facts: Facts) -> Ask:
    name = "mailbox.secret"
    values: dict[str, Code | Link | str] = {"address": Code(account.address), "link": Link(link_id)}
    if facts.provider is not None and facts.provider.demand == "app_password":
        name, values["provider"] = "mailbox.secret_app", facts.provider.name
    values["domain"] = Code(facts.house.domain)
    options = (Option("new_link", "mailbox.button.new_link"), Option("forgotten", "button.dont_know"), PERSON)
    return Ask("secret", name, values, options)


def _ask_manage(facts: Facts) -> Ask:
    if facts.mailbox is None:
        return Ask(
            "manage", "mailbox.none_yet", {}, (Option("change", "menu.button.setup"), Option("menu", "button.menu"))
        )
    toggle = [wish for wish, verdict in SWITCHES.items() if verdict == facts.mailbox.state]
    options = [Option(value, f"mailbox.button.{value}") for value in ("password", "change", *toggle, "remove")]
    values: Values = {
        "address": Code(facts.mailbox.account.address),
        "host": Code(facts.mailbox.account.server.host),
        "state": Text(f"mailbox.state.{facts.mailbox.state}"),
    }
    return Ask("manage", "mailbox.manage", values, (*options, Option("menu", "button.menu")))


def reopen(state: State, field: str) -> State | None:
    """The same set-up with one answer to be given again."""
    match state, field:
        case ((Collecting() | Confirming() | AwaitingSecret() | Stuck()), "address"):
            return Collecting({}, "address")
        case Collecting(answers, _), "host" | "port" if "host" in answers:
            kept = {name: value for name, value in answers.items() if name in {"address", "host"} and name != field}
            return Collecting(kept, field)
        case ((Confirming(account) | AwaitingSecret(account) | Stuck(account)), "host"):
            return Collecting({"address": account.address}, "host")
        case ((Confirming(account) | AwaitingSecret(account) | Stuck(account)), "port"):
            return Collecting({"address": account.address, "host": account.server.host}, "port")
    return None


def subject(state: State) -> str:
    """The address that this state is about; empty when there is none."""
    match state:
        case Collecting(answers, _):
            return answers.get("address", "")
        case Finding(about):
            return about
        case (
            Confirming(account)
            | AwaitingLink(account)
            | AwaitingSecret(account)
            | ConfirmingSecret(account)
            | Testing(account)
            | Stuck(account)
        ):
            return account.address
    return ""


FLOW = Flow(
    "mailbox",
    (
        Collecting,
        Finding,
        Confirming,
        AwaitingLink,
        AwaitingSecret,
        ConfirmingSecret,
        Testing,
        Stuck,
        Managing,
        ConfirmingRemoval,
    ),
    start,
    step,
    ask,
    world=(Finding, AwaitingLink, Testing),
    back=(Collecting, Confirming, Managing),
    fields=("port", "host", "address"),  # the narrower first: "the server's address is wrong" is about the server
    reopen=reopen,
    subject=subject,
    nudge=True,
)
