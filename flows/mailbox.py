"""The set-up of a member's mailbox: address, server, secret, live test, saved - and what one does with it later."""

from dataclasses import dataclass, replace

from flows.facts import Facts, Mailbox, MailboxState, Provider
from flows.fields import HOSTS, PERSON, PORTS, address, host, port, security_of, under
from flows.flow import Flow, Step
from flows.forms import Answers, Field, Form, Problem
from flows.questions import is_asked
from flows.reading import address as read_address
from flows.reading import command
from flows.remedies import SECRET_CAUSES, SECRET_KINDS, next_steps
from flows.speech import has
from flows.words import (
    Account,
    AddressDoubted,
    AddressRefused,
    AdminNeeded,
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
    FieldErrors,
    Filled,
    FindHoster,
    HosterUnknown,
    Input,
    Judge,
    Judged,
    Link,
    LinkOpened,
    LinkRefused,
    LoginFailed,
    LoginWorked,
    MemberDiffers,
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
    Server,
    ServerFound,
    ServerUnknown,
    SetAgencyServer,
    Start,
    SwitchMailbox,
    TellAdmins,
    TestLogin,
    TestsExhausted,
    Text,
    Values,
)

TRIES_BEFORE_A_PERSON = 3
MAX_USER = 320
# Whom agencies mostly pay for their e-mail; everybody else can be typed.
HOSTERS = ("Google", "Microsoft", "Locaweb", "UOL", "KingHost", "HostGator", "Hostinger", "GoDaddy")


def user(text: str, _facts: Facts) -> str | Problem:
    """The name that signs in, where it is not the address."""
    typed = text.strip()
    return typed if 0 < len(typed) <= MAX_USER and typed.isprintable() else Problem("mailbox.no_user")


FORM = Form(
    "mailbox",
    (
        Field("address", address),
        Field("host", host, HOSTS),
        Field("port", port, PORTS),
        Field("user", user, (Option("unknown", "button.dont_know"), PERSON)),
    ),
)


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
class Suggesting:
    """We wait for whether another address was meant."""

    address: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Hosting:
    """We wait for the name of the company that is paid for the e-mail of this address."""

    address: str


@dataclass(frozen=True, slots=True)
class Confirming:
    """We wait for a yes to go on with this account; each of the `doubts` is asked about, the first one now.

    `server`: it does not visibly belong to the address. `barred`: the provider takes a password only where an
    administrator allowed it. `warn`, `strict`: the agency has another server, and this is its rule for that.
    """

    account: Account
    doubts: tuple[str, ...] = ("server",)


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
class AskingForMail:
    """We wait for whether a certified mail, which has legal force, may be sent as the proof."""

    account: Account
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
    better: Server | None = None


@dataclass(frozen=True, slots=True)
class Managing:
    """We wait for what is to be done with the saved mailbox."""


@dataclass(frozen=True, slots=True)
class ConfirmingRemoval:
    """We wait for the yes to remove the mailbox."""


State = (
    Collecting
    | Suggesting
    | Finding
    | Hosting
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
    """Set-up from the beginning or with an address; or with a saved mailbox: `manage`, `password`, `test`, `remove`."""
    if "@" in entry:
        return Finding(entry), [Discover(entry)]
    if facts.mailbox is None:
        return Collecting({}, "address"), [Say("mailbox.none_yet")] if entry else []
    match entry:
        case "password":
            return AwaitingLink(facts.mailbox.account), [OpenLink(facts.mailbox.account)]
        case "remove":
            return ConfirmingRemoval(), []
        case "test" if facts.mailbox.secret_id:
            tested = _test(facts.mailbox.account, facts.mailbox.secret_id, 0, facts)
            return tested if not isinstance(tested, Declined) else (Managing(), [])
        case "manage" | "test":
            return Managing(), _why_not(facts.mailbox)
    return Collecting({}, "address"), []


def _why_not(saved: Mailbox) -> list[Effect]:
    """Why nothing can be sent from a mailbox, and who can act."""
    known = saved.state in {"waiting", "broken"} and has(f"cause.{saved.cause}")
    return [Say(f"cause.{saved.cause}")] if known else []


def step(state: State, event: Event, facts: Facts) -> Step:
    """The story of a set-up; each group of states has a function of its own."""
    match state:
        case Collecting() | Suggesting() | Hosting():
            return _towards_the_server(state, event, facts)
        case Finding():
            return _found(state, event, facts)
        case Confirming():
            return _confirmed(state, event, facts)
        case AwaitingLink() | AwaitingSecret() | ConfirmingSecret():
            return _towards_the_secret(state, event, facts)
        case AskingForMail() | Testing() | Stuck():
            return _towards_working(state, event, facts)
        case Managing() | ConfirmingRemoval():
            return _with_the_saved_one(state, event, facts)
    return Declined()


def _towards_the_server(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case Collecting(answers, "host"), Chose("unknown"):
            return Hosting(answers["address"]), []
        case Collecting(answers, "user"), Chose("unknown"):
            return state, [Say("mailbox.user_whereabouts", {"host": Code(answers["host"])})]
        case Collecting(), Chose("person"):
            return state, [OpenCase("stuck")]
        case Collecting(answers, asking), Said() | Chose():
            taken = FORM.take(answers, asking, event, facts)
            return taken if isinstance(taken, Declined) else _collected(taken)
        case Collecting(answers, asking), Filled(values):
            filled = FORM.fill(answers, asking, values, facts)
            return (state, [filled]) if isinstance(filled, FieldErrors) else _collected(filled)
        case Suggesting(_, meant), Chose("yes"):
            return Finding(meant), [Discover(meant, sure=True)]
        case Suggesting(typed), Chose("no"):
            return Finding(typed), [Discover(typed, sure=True)]
        case Suggesting(), Said(text) if (another := read_address(text)) is not None:
            return Finding(another), [Discover(another)]
        case Hosting(about), Chose("unknown"):
            return _ask_around(about)
        case Hosting(about), Chose(name):
            return Finding(about), [FindHoster(about, name)]
        case Hosting(about), Said(name) if not command(name) and not is_asked(name, facts):
            return Finding(about), [FindHoster(about, name)]
    return Declined()


def _ask_around(about: str) -> tuple[State, list[Effect]]:
    """Nobody here knows: words to forward to whoever looks after the e-mail."""
    return Collecting({"address": about}, "host"), [Say("mailbox.ask_around", {"address": Code(about)})]


def _collected(answers: Answers) -> Step:
    if "host" not in answers:
        return Finding(answers["address"]), [Discover(answers["address"])]
    if "port" not in answers:
        return Collecting(answers, "port"), []
    number = int(answers["port"])
    signs_in = answers.get("user", answers["address"])
    account = Account(answers["address"], signs_in, Server(answers["host"], number, security_of(number)))
    return Finding(account.address), [Judge(account, confirm=not under(account.server.host, account.address))]


def _found(state: Finding, event: Event, facts: Facts) -> Step:
    match event:
        case ServerFound(account, confirm):
            return _demanded(account, facts, confirm=confirm)
        case Judged(account, confirm, differs):
            return _judged(account, facts, (("server",) if confirm else ()), differs)
        case ServerUnknown(found, later):
            said: list[Effect] = [Say("mailbox.lookup_failed")] if later else []
            return Collecting({"address": found or state.address}, "host"), said
        case HosterUnknown():
            asked, effects = _ask_around(state.address)
            return asked, [Say("mailbox.hoster_unknown"), *effects]
        case AddressDoubted(address_typed, meant):
            return Suggesting(address_typed, meant), []
        case AddressRefused(reason):
            name = f"mailbox.refused.{reason}" if reason else "mailbox.no_address"
            return Collecting({}, "address"), [Say(name, {"address": Code(state.address)} if reason else {})]
    return Declined()


def _demanded(account: Account, facts: Facts, *, confirm: bool) -> Step:
    """What the provider demands comes before anything else: perhaps there is no way at all."""
    provider = facts.provider
    if provider is not None and provider.demand in {"sign_in_only", "impossible"} and not provider.admin_may_allow:
        said = Say(f"hint.{provider.hint}", _hint_values(account, provider))
        return Collecting({}, "address"), [said, *_aged(facts)]
    if not account.user:
        server = account.server
        return Collecting({"address": account.address, "host": server.host, "port": str(server.port)}, "user"), []
    return Finding(account.address), [Judge(account, confirm=confirm)]


def _judged(account: Account, facts: Facts, doubts: tuple[str, ...], differs: str) -> Step:
    if facts.provider is not None and facts.provider.demand == "sign_in_only":
        doubts = (*doubts, "barred")
    doubts = (*doubts, *((differs,) if differs else ()))
    if not doubts:
        return _towards_the_page(account, facts)
    return Confirming(account, doubts), _aged(facts) if "barred" in doubts else []


def _towards_the_page(account: Account, facts: Facts, *before: Effect) -> Step:
    """What this provider wants is said before the person makes a secret, and what else they may have heard of it."""
    provider = facts.provider
    said: list[Effect] = []
    if provider is not None and provider.demand != "sign_in_only" and has(f"hint.{provider.hint}"):
        said = [Say(f"hint.{provider.hint}", _hint_values(account, provider)), *_aged(facts)]
    return AwaitingLink(account), [*before, *said, OpenLink(account)]


def _hint_values(account: Account, provider: Provider) -> Values:
    return {
        "provider": provider.name,
        "address": Code(account.address),
        "checked": provider.checked,
        "until": provider.until or "",
        "url": provider.access_url or Text("hint.in_its_settings"),
    }


def _aged(facts: Facts) -> list[Effect]:
    """What was looked up long ago is told as that."""
    provider = facts.provider
    old = provider is not None and provider.old and provider.demand != "password"
    return [Say("hint.old", {"checked": provider.checked})] if provider is not None and old else []


def _confirmed(state: Confirming, event: Event, facts: Facts) -> Step:
    account, doubt = state.account, state.doubts[0]
    match event:
        case Chose("yes") if doubt != "strict":
            left = state.doubts[1:]
            differs: list[Effect] = [TellAdmins(_differing(account, facts))] if doubt == "warn" else []
            if left:
                return Confirming(account, left), differs
            return _towards_the_page(account, facts, *differs)
        case Chose("no") if doubt == "server":
            return Collecting({"address": account.address}, "host"), []
        case Said(text) if (another := read_address(text)) is not None:
            return Finding(another), [Discover(another)]
        case Chose("address"):
            return Collecting({}, "address"), []
        case Chose("ask_admin") if doubt in {"warn", "strict"}:
            told = TellAdmins(_differing(account, facts, asks=True))
            return Done(), [told, Say("mailbox.admin_asked", {"agency": facts.agency})]
        case Chose("person"):
            return state, [OpenCase("stuck")]
    return Declined()


def _differing(account: Account, facts: Facts, *, asks: bool = False) -> MemberDiffers:
    return MemberDiffers(facts.name, account.address, account.server.host, asks)


def _towards_the_secret(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case AwaitingLink(account, tries), LinkOpened(link_id):
            return AwaitingSecret(account, link_id, tries), []
        case AwaitingLink(), LinkRefused():
            return Done(), [Say("mailbox.too_many_links")]
        case AwaitingSecret(account, mine, tries), SecretStored(secret_id, link_id) if mine == link_id:
            return _test(account, secret_id, tries, facts)
        case ConfirmingSecret(account, mine, old, tries), SecretStored(secret_id, link_id) if mine == link_id:
            return _test(account, secret_id, tries, facts, EraseSecret(old))
        case AwaitingSecret(account, _, tries), SecretTyped(secret_id):
            return _test(account, secret_id, tries, facts, Say("mailbox.typed_here"), EraseAtProvider())
        case AwaitingSecret(account, link_id, tries), SecretSuspected(secret_id):
            return ConfirmingSecret(account, link_id, secret_id, tries), [EraseAtProvider()]
        case ConfirmingSecret(account, link_id, old, tries), SecretSuspected(secret_id):
            return ConfirmingSecret(account, link_id, secret_id, tries), [EraseSecret(old), EraseAtProvider()]
        case ConfirmingSecret(account, _, old, tries), SecretTyped(secret_id):
            return _test(
                account, secret_id, tries, facts, EraseSecret(old), Say("mailbox.typed_here"), EraseAtProvider()
            )
        case ConfirmingSecret(account, _, secret_id, tries), Chose("yes"):
            return _test(account, secret_id, tries, facts, Say("mailbox.typed_here"))
        case ConfirmingSecret(account, link_id, secret_id, tries), Chose("no"):
            return AwaitingSecret(account, link_id, tries), [EraseSecret(secret_id)]
        case AwaitingSecret(account, _, tries), Chose("new_link"):
            return AwaitingLink(account, tries), [OpenLink(account)]
        case ConfirmingSecret(account, _, secret_id, tries), Chose("new_link"):
            return AwaitingLink(account, tries), [EraseSecret(secret_id), OpenLink(account)]
        case (AwaitingSecret() | ConfirmingSecret()) as waiting, Said(text) if (
            another := read_address(text)
        ) is not None:
            kept = [EraseSecret(waiting.secret_id)] if isinstance(waiting, ConfirmingSecret) else []
            return Finding(another), [*kept, Discover(another)]
        case AwaitingSecret(account), Chose("without"):
            return Done(), [Start("card", "without", account)]
        case AwaitingSecret(), Chose("forgotten"):
            return state, [Say("mailbox.forgotten")]
        case AwaitingSecret(), Chose("person"):
            return state, [OpenCase("asked")]
    return Declined()


def _test(account: Account, secret_id: str, tries: int, facts: Facts, *before: Effect) -> Step:
    if facts.provider is not None and facts.provider.certified:
        return AskingForMail(account, secret_id, tries), [*before]
    return _run(TestLogin(account, secret_id, mail=True), tries, *before)


def _run(test: TestLogin, tries: int, *before: Effect) -> Step:
    testing = Say("mailbox.testing", {"address": Code(test.account.address)})
    return Testing(test.account, test.secret_id, tries), [*before, testing, test]


def _towards_working(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case AskingForMail(account, secret_id, tries), Chose("yes" | "no" as answer):
            return _run(TestLogin(account, secret_id, mail=answer == "yes"), tries)
        case Testing(_, secret_id), LoginWorked(account, repaired) as worked:
            said = [*([Say("mailbox.repaired")] if repaired else []), *_proven(worked, facts)]
            works = Say("mailbox.works", {"address": Code(account.address)})
            became = _becomes_the_agencys(account, facts)
            return Done(), [
                SaveMailbox(account, secret_id, size=worked.size),
                works,
                *said,
                *became,
                Start("card", account=account),
            ]
        case Testing() as tested, LoginFailed() as failure:
            return _failed(tested, failure, facts)
        case Testing(account, _, tries), SecretGone():
            return AwaitingLink(account, tries), [Say("mailbox.secret_gone"), OpenLink(account)]
        case Testing(account, secret_id), TestsExhausted(minutes):
            return Stuck(account, secret_id, "rate_limited"), [Say("mailbox.too_many_tests", {"minutes": minutes})]
        case Stuck(account, secret_id), Chose("again"):  # support wants it, whatever the cause was
            return _test(account, secret_id, 0, facts)
        case Stuck(account, secret_id), Chose("new_link"):
            return AwaitingLink(account), [EraseSecret(secret_id), OpenLink(account)]
        case Stuck() as stuck, Chose(wish) if wish in next_steps(stuck.cause, stuck.better):
            return _next(stuck, wish, facts)
    return Declined()


def _proven(worked: LoginWorked, facts: Facts) -> list[Effect]:
    """What is known of the mail to oneself: accepted, arrived, copy - three facts, told apart."""
    if not worked.proof:
        return [Say("proof.none_certified")] if facts.provider is not None and facts.provider.certified else []
    said: list[Effect] = [Say("proof.arrived" if worked.arrived else f"proof.{worked.proof}")]
    return [*said, Say(f"copy.{worked.copy}")] if worked.copy else said


def _becomes_the_agencys(account: Account, facts: Facts) -> list[Effect]:
    """The first admin's server that works is the agency's: nobody has to know what a server is."""
    if facts.role != "admin" or facts.agency_server is not None:
        return []
    return [SetAgencyServer(account.server), Say("integrate.became", {"agency": facts.agency})]


def _next(state: Stuck, wish: str, facts: Facts) -> Step:
    """The one thing that can be done now, with all other answers kept."""
    account, secret_id = state.account, state.secret_id
    match wish:
        case "retry":
            return _test(account, secret_id, 0, facts)
        case "better" if state.better is not None:
            # A secret is sealed for the one server that its person saw: for another one it is given again.
            other = replace(account, server=state.better)
            return AwaitingLink(other), [EraseSecret(secret_id), OpenLink(other)]
        case "forward":
            values: Values = {"address": Code(account.address), "host": Code(account.server.host)}
            return state, [Say(f"forward.{state.cause}", values)]
        case "server":
            return Collecting({"address": account.address}, "host"), [EraseSecret(secret_id)]
        case "address":
            return Collecting({}, "address"), [EraseSecret(secret_id)]
    return state, [OpenCase("stuck")]


def _failed(state: Testing, failure: LoginFailed, facts: Facts) -> Step:
    said = _why(failure, facts)
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
    saved: list[Effect] = []
    if (failure.retry or failure.who == "agency_admin") and spare:
        saved = [SaveMailbox(state.account, state.secret_id, failure.cause, failure.who)]
        said.append(Say("mailbox.i_keep_trying"))
        if failure.who == "agency_admin":
            saved.append(TellAdmins(AdminNeeded(facts.name, state.account.address, failure.cause)))
    return Stuck(state.account, state.secret_id, failure.cause, failure.better), [*saved, *said]


def _why(failure: LoginFailed, facts: Facts) -> list[Effect]:
    """Why it failed, as precisely as it is known; at a provider of app passwords "wrong" means the wrong kind."""
    wants_app = facts.provider is not None and facts.provider.demand == "app_password"
    name = f"cause.{failure.cause}"
    if failure.detail and has(f"detail.{failure.detail}"):
        name = f"detail.{failure.detail}"
    elif failure.cause == "wrong_credentials" and wants_app:
        name = "detail.wrong_app_password"
    better: list[Effect] = []
    if failure.better is not None:
        better = [Say("mailbox.better", {"host": Code(failure.better.host), "port": str(failure.better.port)})]
    return [Say(name), *better]


# What can be switched, from which verdict: what does not work is off already.
SWITCHES: dict[str, MailboxState] = {"on": "off", "off": "works"}


def _with_the_saved_one(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case _, Chose("password" | "on" | "off" | "remove" | "yes") if facts.mailbox is None:
            return Collecting({}, "address"), [Say("mailbox.none_yet")]  # it was removed meanwhile
        case Managing(), Chose("password") if facts.mailbox:
            return AwaitingLink(facts.mailbox.account), [OpenLink(facts.mailbox.account)]
        case Managing(), Chose("retry") if (
            facts.mailbox and facts.mailbox.state == "waiting" and facts.mailbox.secret_id
        ):
            return _test(facts.mailbox.account, facts.mailbox.secret_id, 0, facts)
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
        case Suggesting(_, meant):
            said: Values = {"suggestion": Code(meant)}
            return Ask("suggestion", "mailbox.suggestion", said, _yes_no("button.yes", "mailbox.button.as_typed"))
        case Hosting(about):
            hosters = tuple(Option(name.lower(), words=name) for name in HOSTERS)
            other = Option("unknown", "mailbox.button.nobody_knows")
            return Ask("hoster", "mailbox.who_is_paid", {"address": Code(about)}, (*hosters, other, PERSON))
        case Confirming(account, doubts):
            return _ask_doubt(account, doubts[0], facts)
        case AwaitingSecret(account, link_id):
            return _ask_secret(account, link_id, facts)
        case ConfirmingSecret():
            return Ask(
                "suspected", "mailbox.was_that_it", {}, _yes_no("mailbox.button.was_it", "mailbox.button.was_not")
            )
        case AskingForMail():
            return Ask("proof", "mailbox.may_mail", {}, _yes_no("mailbox.button.may_mail", "mailbox.button.no_mail"))
        case Stuck(_, _, cause, better):
            steps = (
                PERSON if one == "person" else Option(one, f"mailbox.button.{one}") for one in next_steps(cause, better)
            )
            return Ask("stuck", "mailbox.stuck", {}, tuple(steps))
        case Managing():
            return _ask_manage(facts)
        case ConfirmingRemoval():
            return Ask("removal", "mailbox.sure_to_remove", {}, _yes_no("mailbox.button.remove", "mailbox.button.keep"))
    return Ask("busy", "mailbox.busy")


def _ask_doubt(account: Account, doubt: str, facts: Facts) -> Ask:
    values: Values = {
        "address": Code(account.address),
        "host": Code(account.server.host),
        "agency": facts.agency,
        "provider": facts.provider.name if facts.provider else "",
        "checked": facts.provider.checked if facts.provider else "",
    }
    address = Option("address", "mailbox.button.address")
    ask_admin = Option("ask_admin", "mailbox.button.ask_admin")
    options = {
        "server": _yes_no("button.yes", "mailbox.button.other_server"),
        "barred": (Option("yes", "mailbox.button.allowed"), address, PERSON),
        "warn": (address, ask_admin, Option("yes", "mailbox.button.go_on")),
        "strict": (address, ask_admin, PERSON),
    }
    return Ask(doubt, f"mailbox.confirm.{doubt}", values, options[doubt])


def _yes_no(yes: str, no: str) -> tuple[Option, Option]:
    return Option("yes", yes), Option("no", no)


def _ask_secret(account: Account, link_id: str, facts: Facts) -> Ask:
    values: dict[str, Code | Link | str] = {"address": Code(account.address), "link": Link(link_id)}
    kind = SECRET_KINDS.get(facts.provider.hint, "secret") if facts.provider else "secret"
    if facts.provider is not None:
        values["provider"] = facts.provider.name
    values["domain"] = Code(facts.house.domain)
    options = (Option("forgotten", "button.dont_know"), Option("without", "mailbox.button.without"), PERSON)
    return Ask("secret", f"mailbox.{kind}", values, options)


def _ask_manage(facts: Facts) -> Ask:
    if facts.mailbox is None:
        return Ask(
            "manage", "mailbox.none_yet", {}, (Option("change", "menu.button.setup"), Option("menu", "button.menu"))
        )
    again = ["retry"] if facts.mailbox.state == "waiting" and facts.mailbox.secret_id else []
    toggle = [wish for wish, verdict in SWITCHES.items() if verdict == facts.mailbox.state]
    options = [Option(value, f"mailbox.button.{value}") for value in (*again, "password", "change", *toggle, "remove")]
    values: Values = {
        "address": Code(facts.mailbox.account.address),
        "host": Code(facts.mailbox.account.server.host),
        "state": Text(f"mailbox.state.{facts.mailbox.state}"),
    }
    return Ask("manage", "mailbox.manage", values, (*options, Option("menu", "button.menu")))


def reopen(state: State, field: str) -> State | None:
    """The same set-up with one answer to be given again."""
    match state, field:
        case (
            (Collecting() | Suggesting() | Hosting() | Confirming() | AwaitingSecret() | AskingForMail() | Stuck()),
            "address",
        ):
            return Collecting({}, "address")
        case Collecting(answers, _), "host" | "port" if "host" in answers:
            kept = {name: value for name, value in answers.items() if name in {"address", "host"} and name != field}
            return Collecting(kept, field)
        case Hosting(about), "host":
            return Collecting({"address": about}, "host")
        case ((Confirming(account) | AwaitingSecret(account) | Stuck(account)), "host"):
            return Collecting({"address": account.address}, "host")
        case ((Confirming(account) | AwaitingSecret(account) | Stuck(account)), "port"):
            return Collecting({"address": account.address, "host": account.server.host}, "port")
    return None


def inputs(state: State) -> tuple[Input, ...]:
    """A server is asked for as a whole where there is room for more than one field."""
    match state:
        case Collecting(answers, "address"):
            return FORM.inputs(answers, "address")
        case Collecting(answers, "host" | "port"):
            return FORM.inputs(answers, "host", "port")
        case Collecting(answers, "user"):
            return FORM.inputs(answers, "user")
    return ()


def subject(state: State) -> str | Account:
    """The address, or the whole account where it is known, that this state is about; empty when there is none."""
    match state:
        case Collecting(answers, _):
            return answers.get("address", "")
        case Finding(about) | Suggesting(about) | Hosting(about):
            return about
        case (
            Confirming(account)
            | AwaitingLink(account)
            | AwaitingSecret(account)
            | ConfirmingSecret(account)
            | AskingForMail(account)
            | Testing(account)
            | Stuck(account)
        ):
            return account
    return ""


FLOW = Flow(
    "mailbox",
    (
        Collecting,
        Suggesting,
        Finding,
        Hosting,
        Confirming,
        AwaitingLink,
        AwaitingSecret,
        ConfirmingSecret,
        AskingForMail,
        Testing,
        Stuck,
        Managing,
        ConfirmingRemoval,
    ),
    start,
    step,
    ask,
    world=(Finding, AwaitingLink, Testing),
    back=(Collecting, Suggesting, Hosting, Confirming, Managing),
    fields=("port", "host", "address"),  # the narrower first: "the server's address is wrong" is about the server
    reopen=reopen,
    subject=subject,
    nudge=True,
    inputs=inputs,
)
