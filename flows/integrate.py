"""The agency's one mail server, as Ally demands it: an admin sets it, beginning with an address, or changes it.

At Microsoft 365 an administrator prepares it first: approves that people sign in, and switches sending on for them.
"""

from dataclasses import dataclass

from flows.facts import Facts
from flows.fields import HOSTS, MENU, PERSON, PORTS, address, host, port, security_of
from flows.flow import Flow, Step
from flows.forms import Answers, Field, Form
from flows.remedies import SWITCHED_OFF, in_powershell
from flows.sign_in import administered
from flows.words import (
    Account,
    AddressDoubted,
    AddressRefused,
    Ask,
    CheckServer,
    Chose,
    Code,
    Declined,
    Discover,
    Done,
    Effect,
    Event,
    FieldErrors,
    Filled,
    Input,
    OpenCase,
    Option,
    Said,
    Say,
    SeeTeam,
    Server,
    ServerAnswered,
    ServerFound,
    ServerSilent,
    ServerUnknown,
    ServerWeighed,
    SetAgencyServer,
    Start,
    TeamSeen,
    TestsExhausted,
    Text,
    Values,
    WeighServer,
)

FORM = Form("integrate", (Field("address", address), Field("host", host, HOSTS), Field("port", port, PORTS)))


@dataclass(frozen=True, slots=True)
class Managing:
    """We wait for what is to be done with the agency's server."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """The three steps at Microsoft 365 are shown, in their order; we wait for the third, the test of this account."""

    account: Account


@dataclass(frozen=True, slots=True)
class Collecting:
    """We wait for an address of the agency, or for a part of the server that nobody could find."""

    answers: Answers
    asking: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The server of this address is being looked up."""

    address: str


@dataclass(frozen=True, slots=True)
class Checking:
    """The server is being reached, without signing in."""

    address: str
    server: Server


@dataclass(frozen=True, slots=True)
class Silent:
    """The server did not answer as a mail server that proves its name; we wait for what to do."""

    address: str
    server: Server
    better: Server | None = None


@dataclass(frozen=True, slots=True)
class Confirming:
    """We wait for the yes to this server; so many members use another one today."""

    server: Server
    touched: int = 0


State = Managing | Preparing | Collecting | Finding | Checking | Silent | Confirming | Done


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """An admin whose agency has no server yet sets up their own mailbox: when that works, it is the agency's server.

    `steps`: what has to be done at Microsoft 365 before the account that the flow is begun with can be tested.
    """
    if facts.role != "admin":
        return Done(), [Say("integrate.only_admins")]
    if entry == "steps" and facts.about is not None:
        return Preparing(facts.about), [SeeTeam()]
    if facts.agency_server is not None:
        return Managing(), []
    if facts.mailbox is not None and facts.mailbox.state == "works":
        return Checking(facts.mailbox.account.address, facts.mailbox.account.server), [
            CheckServer(facts.mailbox.account.server)
        ]
    return Done(), [Say("integrate.by_your_own"), Start("mailbox")]


def step(state: State, event: Event, facts: Facts) -> Step:
    """From an address to a server that answered, was confirmed, and holds for all."""
    match state, event:
        case Managing(), Chose("change"):
            return Collecting({}, "address"), []
        case Managing(), Chose("none"):
            return Done(), [SetAgencyServer(None), Say("integrate.removed")]
        case Managing(), Chose("menu"):
            return Done(), []
        case Managing(), Chose("steps") if facts.mailbox is not None:
            return Preparing(facts.mailbox.account), [SeeTeam()]
        case Preparing(account), Chose("mine"):
            return Done(), [Start("mailbox", "sign_in.microsoft", account)]
        case Preparing(account), Chose("lines"):
            return state, [*in_powershell(_senders(account, facts))]
        case Preparing(), TeamSeen():
            return state, []
        case ((Preparing() | Collecting() | Silent() | Confirming()), Chose("person")):
            return state, [OpenCase("stuck")]
        case Collecting(answers, "host"), Chose("unknown"):
            return state, [Say("mailbox.ask_around", {"address": Code(answers["address"])})]
        case Collecting(answers, asking), Said() | Chose():
            taken = FORM.take(answers, asking, event, facts)
            return taken if isinstance(taken, Declined) else _collected(taken)
        case Collecting(answers, asking), Filled(values):
            filled = FORM.fill(answers, asking, values, facts)
            return (state, [filled]) if isinstance(filled, FieldErrors) else _collected(filled)
        case Finding() as finding, _:
            return _found(finding, event)
        case Checking() as checking, _:
            return _checked(checking, event)
        case Silent(about, server), Chose("retry"):
            return Checking(about, server), [CheckServer(server)]
        case Silent(about, _, better), Chose("better") if better is not None:
            return Checking(about, better), [CheckServer(better)]
        case Silent(about), Chose("server"):
            return Collecting({"address": about}, "host"), []
        case Confirming(server), Chose("yes"):
            name = "integrate.set_door" if facts.house.door else "integrate.set"
            return Done(), [SetAgencyServer(server), Say(name, _shown(server))]
        case Confirming(), Chose("no"):
            return Done(), [Say("integrate.kept")]
    return Declined()


def _senders(account: Account, facts: Facts) -> tuple[str, ...]:
    """Who is to send: those of the same domain who are registered here, and all whom Microsoft refused for this."""
    domain = account.address.rpartition("@")[2]
    registered = (one for one in facts.team if one.address.endswith(f"@{domain}") or one.cause == SWITCHED_OFF)
    return account.address, *(one.address for one in registered)


def _collected(answers: Answers) -> Step:
    if "host" not in answers:
        return Finding(answers["address"]), [Discover(answers["address"], sure=True)]
    if "port" not in answers:
        return Collecting(answers, "port"), []
    number = int(answers["port"])
    server = Server(answers["host"], number, security_of(number))
    return Checking(answers["address"], server), [CheckServer(server)]


def _found(state: Finding, event: Event) -> Step:
    match event:
        case ServerFound(account) if account.server.host:
            return Checking(account.address, account.server), [CheckServer(account.server)]
        case ServerFound(account):
            return Collecting({}, "address"), [Say("integrate.no_server", {"address": Code(account.address)})]
        case ServerUnknown(found, later):
            said: list[Effect] = [Say("mailbox.lookup_failed")] if later else []
            return Collecting({"address": found or state.address}, "host"), said
        case AddressDoubted(typed):
            return state, [Discover(typed, sure=True)]
        case AddressRefused(reason):
            name = f"mailbox.refused.{reason}" if reason else "mailbox.no_address"
            return Collecting({}, "address"), [Say(name, {"address": Code(state.address)} if reason else {})]
    return Declined()


def _checked(state: Checking, event: Event) -> Step:
    match event:
        case ServerAnswered(server):
            return state, [WeighServer(server)]
        case ServerWeighed(server, touched):
            return Confirming(server, touched), []
        case ServerSilent(cause, detail, better):
            why: list[Effect] = [Say(f"detail.{detail}" if detail else f"cause.{cause}")]
            if better is not None:
                why.append(Say("integrate.better", _shown(better)))
            return Silent(state.address, state.server, better), why
        case TestsExhausted(minutes):
            return Silent(state.address, state.server), [Say("mailbox.too_many_tests", {"minutes": minutes})]
    return Declined()


def _shown(server: Server) -> Values:
    return {"host": Code(server.host), "port": Code(str(server.port))}


def ask(state: State, facts: Facts) -> Ask:
    """The question of each state."""
    match state:
        case Managing() if facts.agency_server is not None:
            values: Values = {"agency": facts.agency, **_shown(facts.agency_server)}
            options = (Option("change", "integrate.button.change"), Option("none", "integrate.button.none"))
            more = (Option("steps", "integrate.button.steps"),) if facts.mailbox and _by_microsoft(facts) else ()
            return Ask("manage", "integrate.manage", values, (*options, *more, MENU))
        case Preparing(account):
            return _ask_steps(account, facts)
        case Managing():
            return Ask("manage", "integrate.none", {}, (Option("change", "integrate.button.change"), MENU))
        case Collecting(answers, asking):
            known = {"address": Code(answers.get("address", "")), "host": Code(answers.get("host", ""))}
            return FORM.ask(asking, known)
        case Silent(_, server, better):
            steps = ("better", "server") if better is not None else ("server", "retry")
            offered = tuple(Option(one, f"mailbox.button.{one}") for one in steps)
            return Ask("silent", "integrate.silent", _shown(server), (*offered, PERSON))
        case Confirming(server, touched):
            name = "integrate.confirm_touching" if touched else "integrate.confirm"
            answers_ = (Option("yes", "integrate.button.yes"), Option("no", "integrate.button.no"), PERSON)
            return Ask("confirm", name, {**_shown(server), "touched": touched, "agency": facts.agency}, answers_)
    return Ask("busy", "mailbox.busy")


def _by_microsoft(facts: Facts) -> bool:
    """Whether the agency's people sign in at Microsoft, and an administrator decides about that."""
    return administered(facts.provider) and facts.provider is not None and facts.provider.sign_in == "microsoft"


def _ask_steps(account: Account, facts: Facts) -> Ask:
    url = facts.provider.consent_url if facts.provider is not None else ""
    shown: Values = {"address": Code(account.address), "url": url or Text("admin.in_entra")}
    options = (Option("mine", "integrate.button.mine"), Option("lines", "integrate.button.lines"), PERSON)
    return Ask("steps", "admin.steps", shown, options)


def reopen(state: State, field: str) -> State | None:
    """The same with one answer to be given again."""
    match state, field:
        case ((Preparing() | Collecting() | Silent() | Confirming()), "address"):
            return Collecting({}, "address")
        case Collecting(answers, _), "host" | "port" if "host" in answers:
            kept = {name: value for name, value in answers.items() if name in {"address", "host"} and name != field}
            return Collecting(kept, field)
        case Silent(about), "host":
            return Collecting({"address": about}, "host")
    return None


def inputs(state: State) -> tuple[Input, ...]:
    """A server is asked for as a whole where there is room for more than one field."""
    match state:
        case Collecting(answers, "address"):
            return FORM.inputs(answers, "address")
        case Collecting(answers, "host" | "port"):
            return FORM.inputs(answers, "host", "port")
    return ()


def subject(state: State) -> str | Account:
    """The address or account that a state is about; empty when there is none."""
    match state:
        case Preparing(account):
            return account
        case Collecting(answers):
            return answers.get("address", "")
        case Finding(about) | Checking(about) | Silent(about):
            return about
    return ""


FLOW = Flow(
    "integrate",
    (Managing, Preparing, Collecting, Finding, Checking, Silent, Confirming),
    start,
    step,
    ask,
    world=(Finding, Checking),
    back=(Managing, Preparing, Collecting, Silent),
    fields=("port", "host", "address"),
    reopen=reopen,
    subject=subject,
    nudge=True,
    inputs=inputs,
)
