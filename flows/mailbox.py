"""The set-up of a member's mailbox: address, server, secret, live test, saved - and what one does with it later."""

from dataclasses import replace

from flows.facts import Facts, Mailbox, MailboxState, Provider
from flows.fields import HOSTS, MENU, PERSON, PORTS, address, host, port, security_of, under
from flows.flow import Flow, Step
from flows.forms import Answers, Field, Form, Problem
from flows.mailbox_states import (
    AskingForMail,
    AwaitingLink,
    AwaitingSecret,
    Collecting,
    Confirming,
    ConfirmingRemoval,
    ConfirmingSecret,
    Finding,
    Hosting,
    Managing,
    Signed,
    State,
    Stuck,
    Suggesting,
    Testing,
)
from flows.questions import is_asked
from flows.reading import address as read_address
from flows.reading import command, says_done
from flows.remedies import SECRET_CAUSES, SECRET_KINDS, SWITCHED_OFF, next_steps_of, to_forward
from flows.sign_in import (
    BRANDS,
    TRIES_BEFORE_A_PERSON,
    AwaitingSignIn,
    AwaitingSignInLink,
    Signing,
    SignInStuck,
    administered,
    ask_sign_in,
    begin,
    brand,
    button,
    may_give_password,
    removed,
    signing_in,
    takes_password,
    why,
)
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
    SignedIn,
    Start,
    SwitchMailbox,
    TellAdmins,
    TestLogin,
    TestsExhausted,
    Text,
    Values,
)

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


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """Set-up from the beginning or with an address; or with a saved mailbox: `manage`, `password`, `test`, `remove`.

    `sign_in`, `sign_in.<provider>`: a new sign-in for the account at hand, else for the saved one.
    """
    if "@" in entry:
        return Finding(entry), [Discover(entry)]
    wanted, _, named = entry.partition(".")
    if wanted == "sign_in" and facts.about is not None:
        return _signing_in_anew(facts.about, named, facts)
    if facts.mailbox is None:
        return Collecting({}, "address"), [Say("mailbox.none_yet")] if entry else []
    match wanted:
        case "sign_in":
            return _signing_in_anew(facts.mailbox.account, named, facts)
        case "password" if facts.mailbox.signed_in:
            return begin(facts.mailbox.account, facts.mailbox.signed_in)
        case "password":
            return AwaitingLink(facts.mailbox.account), [OpenLink(facts.mailbox.account)]
        case "remove":
            return ConfirmingRemoval(), []
        case "test" if facts.mailbox.secret_id:
            tested = _test_saved(facts.mailbox, facts)
            return tested if not isinstance(tested, Declined) else (Managing(), [])
        case "manage" | "test":
            return Managing(), _why_not(facts.mailbox)
    return Collecting({}, "address"), []


def _signing_in_anew(account: Account, named: str, facts: Facts) -> tuple[State, list[Effect]]:
    """At the provider that is named, else where they signed in or could; the saved mailbox stays as it is meanwhile."""
    saved = facts.mailbox.signed_in if facts.mailbox is not None else ""
    offered = facts.provider.sign_in if facts.provider is not None else ""
    provider = next((one for one in BRANDS if one == named), saved or offered)
    return begin(account, provider) if provider else (AwaitingLink(account), [OpenLink(account)])


def _why_not(saved: Mailbox) -> list[Effect]:
    """Why nothing can be sent from a mailbox, and who can act."""
    name = why(saved.cause, saved.signed_in)
    return [Say(name)] if saved.state in {"waiting", "broken"} and has(name) else []


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
        case AwaitingSignInLink() | AwaitingSignIn() | SignInStuck():
            return _towards_the_grant(state, event, facts)
        case AskingForMail() | Testing() | Stuck():
            return _towards_working(state, event, facts)
        case Managing() | ConfirmingRemoval():
            return _with_the_saved_one(state, event, facts)
    return Declined()


def _towards_the_server(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case ((Collecting({"address": about}, "host") | Hosting(about)), Said(text)) if another := _another(
            text, about
        ):
            return Finding(another), [Discover(another)]
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
        case Suggesting(), Said(text) if (right := read_address(text)) is not None:
            return Finding(right), [Discover(right)]
        case Hosting(about), Chose("unknown"):
            return _ask_around(about)
        case Hosting(about), Chose(name):
            return Finding(about), [FindHoster(about, name)]
        case Hosting(about), Said(name) if not command(name) and not is_asked(name, facts):
            return Finding(about), [FindHoster(about, name)]
    return Declined()


def _another(text: str, about: str) -> str:
    """The address once more where a server was asked for: in the first one was a slip, which is why nobody knew it.

    One half stays in a slip; what differs in both is a server's name with an @ in it, or somebody else's address.
    """
    found = read_address(text)
    if found is None:
        return ""
    (name, _, domain), (name_before, _, domain_before) = (one.lower().rpartition("@") for one in (found, about))
    return found if (name == name_before) != (domain == domain_before) else ""


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
    if not _may_sign_in(facts) and not takes_password(provider) and provider and not provider.admin_may_allow:
        said = Say(f"hint.{provider.hint}", _hint_values(account, provider))
        return Collecting({}, "address"), [said, *_aged(facts)]
    if not account.user:
        server = account.server
        return Collecting({"address": account.address, "host": server.host, "port": str(server.port)}, "user"), []
    return Finding(account.address), [Judge(account, confirm=confirm)]


def _judged(account: Account, facts: Facts, doubts: tuple[str, ...], differs: str) -> Step:
    if facts.provider is not None and facts.provider.demand == "sign_in_only" and not _may_sign_in(facts):
        doubts = (*doubts, "barred")
    doubts = (*doubts, *((differs,) if differs else ()))
    if not doubts:
        return _let_in(account, facts)
    return Confirming(account, doubts), _aged(facts) if "barred" in doubts else []


def _may_sign_in(facts: Facts) -> bool:
    """Whether this installation lets people sign in at the provider at hand."""
    return facts.provider is not None and facts.provider.sign_in != ""


def _let_in(account: Account, facts: Facts, *before: Effect) -> Step:
    """Signing in comes before any password; where all depends on an administrator, before that what they have to do."""
    provider = facts.provider
    if provider is None or not provider.sign_in:
        return _towards_the_page(account, facts, *before)
    first = facts.role == "admin" and facts.mailbox is None and facts.agency_server is None
    if first and provider.sign_in == "microsoft" and administered(provider):
        return Done(), [*before, Start("integrate", "steps", account)]
    return begin(account, provider.sign_in, *before)


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
            return _let_in(account, facts, *differs)
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
        case AwaitingSecret(), Said(text) if says_done(text):
            return Declined("mailbox.nothing_yet")
        case AwaitingSecret(account), Chose("sign_in") if facts.provider and facts.provider.sign_in:
            return begin(account, facts.provider.sign_in)
        case AwaitingSecret(account), Chose("without"):
            return Done(), [Start("card", "without", account)]
        case AwaitingSecret(), Chose("forgotten"):
            return state, [Say("mailbox.forgotten")]
        case AwaitingSecret(), Chose("person"):
            return state, [OpenCase("asked")]
    return Declined()


def _towards_the_grant(state: Signing, event: Event, facts: Facts) -> Step:
    """Out of signing in: with what was granted, or on another way; everything else is `signing_in`'s."""
    match state, event:
        case AwaitingSignIn(account, provider, mine, tries), SignedIn(secret_id, link_id) if mine == link_id:
            return _test(account, secret_id, tries, facts, signed_in=provider)
        case (AwaitingSignIn() | SignInStuck()) as waiting, Said(text) if (another := read_address(text)) is not None:
            return Finding(another), [Discover(another)]
        case (AwaitingSignIn() | SignInStuck()) as waiting, Chose("password") if may_give_password(
            waiting.account, facts
        ):
            return _towards_the_page(waiting.account, facts)
    return signing_in(state, event, facts)


def _test(account: Account, secret_id: str, tries: int, facts: Facts, *before: Effect, signed_in: Signed = "") -> Step:
    if facts.provider is not None and facts.provider.certified:
        return AskingForMail(account, secret_id, tries, signed_in), [*before]
    return _run(TestLogin(account, secret_id, mail=True), tries, *before, signed_in=signed_in)


def _test_saved(saved: Mailbox, facts: Facts) -> Step:
    return _test(saved.account, saved.secret_id, 0, facts, signed_in=saved.signed_in)


def _run(test: TestLogin, tries: int, *before: Effect, signed_in: Signed) -> Step:
    testing = Say("mailbox.testing", {"address": Code(test.account.address)})
    return Testing(test.account, test.secret_id, tries, signed_in), [*before, testing, test]


def _towards_working(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case AskingForMail(account, secret_id, tries, signed_in), Chose("yes" | "no" as answer):
            return _run(TestLogin(account, secret_id, mail=answer == "yes"), tries, signed_in=signed_in)
        case Testing() as tested, LoginWorked(account) as worked:
            saved = SaveMailbox(account, tested.secret_id, size=worked.size)
            return Done(), [saved, *_works(tested, worked, facts), Start("card", account=account)]
        case Testing() as tested, LoginFailed() as failure:
            return _failed(tested, failure, facts)
        case Testing(account, _, tries, signed_in), SecretGone():
            return _anew(account, signed_in, tries, Say(why("", signed_in)))
        case Testing(account, secret_id, _, signed_in), TestsExhausted(minutes):
            wait = Say("mailbox.too_many_tests", {"minutes": minutes})
            return Stuck(account, secret_id, "rate_limited", signed_in=signed_in), [wait]
        case Stuck(account, secret_id, _, _, signed_in), Chose("again"):  # support wants it, whatever the cause was
            return _test(account, secret_id, 0, facts, signed_in=signed_in)
        case Stuck(account, secret_id, _, _, signed_in), Chose("new_link"):
            return _anew(account, signed_in, 0, EraseSecret(secret_id))
        case Stuck() as stuck, Chose(wish) if wish in _steps(stuck, facts):
            return _next(stuck, wish, facts)
    return Declined()


def _steps(stuck: Stuck, facts: Facts) -> tuple[str, ...]:
    offered = facts.provider.sign_in if facts.provider is not None else ""
    return next_steps_of(stuck.cause, stuck.better, stuck.account, stuck.signed_in, offered)


def _anew(account: Account, signed_in: Signed, tries: int, *before: Effect) -> Step:
    """The secret once more, in the way in which it was given before."""
    if signed_in:
        return begin(account, signed_in, *before, tries=tries)
    return AwaitingLink(account, tries), [*before, OpenLink(account)]


def _works(tested: Testing, worked: LoginWorked, facts: Facts) -> list[Effect]:
    """What was proven, what is not known, and what follows from it."""
    works = Say("mailbox.works", {"address": Code(worked.account.address)})
    repaired: list[Effect] = [Say("mailbox.repaired")] if worked.repaired else []
    return [works, *repaired, *_proven(worked, tested.signed_in, facts), *_becomes_the_agencys(worked.account, facts)]


def _proven(worked: LoginWorked, signed_in: Signed, facts: Facts) -> list[Effect]:
    """What is known of the mail to oneself: accepted, arrived, copy - three facts, told apart."""
    if not worked.proof:
        return [Say("proof.none_certified")] if facts.provider is not None and facts.provider.certified else []
    said: list[Effect] = [Say("proof.arrived" if worked.arrived else f"proof.{worked.proof}")]
    if signed_in and not worked.arrived and worked.copy in {"", "no_imap"}:
        return [*said, Say("sign_in.look_yourself", brand(signed_in))]
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
            return _test(account, secret_id, 0, facts, signed_in=state.signed_in)
        case "better" if state.better is not None:
            # A secret is sealed for the one server that its person saw: for another one it is given again.
            other = replace(account, server=state.better)
            return AwaitingLink(other), [EraseSecret(secret_id), OpenLink(other)]
        case "graph":  # the secret stays: what is saved waits on for the administrator until the other way is proven
            return _other_way(account)
        case "forward":
            return state, [*to_forward(state.cause, account.address, account.server.host)]
        case "server":
            return Collecting({"address": account.address}, "host"), [EraseSecret(secret_id)]
        case "address":
            return Collecting({}, "address"), [EraseSecret(secret_id)]
    return state, [OpenCase("stuck")]


def _other_way(account: Account) -> tuple[State, list[Effect]]:
    """Microsoft sends the mail for us itself, whatever its administrator switched off for other programs."""
    return begin(replace(account, transport="graph"), "microsoft", Say("sign_in.one_more", brand("microsoft")))


def _failed(state: Testing, failure: LoginFailed, facts: Facts) -> Step:
    account, signed_in = state.account, state.signed_in
    said = _why(failure, state, facts)
    useless = failure.cause in SECRET_CAUSES and not failure.retry
    over = failure.cause == "oauth_required_basic_auth_disabled"
    if useless or (over and signed_in):
        tries = state.tries + 1
        offer: list[Effect] = [Say("talk.offer_person")] if tries >= TRIES_BEFORE_A_PERSON else []
        return _anew(account, signed_in, tries, EraseSecret(state.secret_id), *said, *offer)
    if over and facts.provider is not None and facts.provider.sign_in:
        sign_in = facts.provider.sign_in
        return begin(account, sign_in, EraseSecret(state.secret_id), Say("sign_in.passwords_over", brand(sign_in)))
    if over:
        return Done(), [EraseSecret(state.secret_id), *said, Say("talk.offer_person")]
    saved: list[Effect] = []
    if (failure.retry or failure.who == "agency_admin") and _spare(state, facts.mailbox):
        saved = [SaveMailbox(account, state.secret_id, failure.cause, failure.who)]
        said.append(Say("sign_in.i_keep_trying" if signed_in else "mailbox.i_keep_trying"))
        if failure.who == "agency_admin":
            saved.append(TellAdmins(AdminNeeded(facts.name, account.address, failure.cause)))
    better = None if signed_in else failure.better
    if "graph" in _steps(Stuck(account, state.secret_id, failure.cause, better, signed_in), facts):
        said.append(Say("sign_in.other_way", brand("microsoft")))
    return Stuck(account, state.secret_id, failure.cause, better, signed_in), [*saved, *said]


def _spare(state: Testing, saved: Mailbox | None) -> bool:
    """Whether what is saved may give way. A mailbox that works is not given up for one that has to wait.

    Nor is a password that works for a sign-in that does not, at the same address.
    """
    if saved is None or saved.state != "works":
        return True
    return saved.account == state.account and (not state.signed_in or saved.secret_id == state.secret_id)


def _why(failure: LoginFailed, state: Testing, facts: Facts) -> list[Effect]:
    """Why it failed, as precisely as it is known; at a provider of app passwords "wrong" means the wrong kind."""
    signed_in = state.signed_in
    if signed_in and failure.cause in {*SECRET_CAUSES, "oauth_required_basic_auth_disabled"}:
        return [Say(why("wrong_credentials", signed_in))]
    wants_app = facts.provider is not None and facts.provider.demand == "app_password"
    name = why(failure.cause, signed_in)
    if failure.detail and has(f"detail.{failure.detail}"):
        name = f"detail.{failure.detail}"
    elif failure.cause == "wrong_credentials" and wants_app:
        name = "detail.wrong_app_password"
    better: list[Effect] = []
    if failure.better is not None and not signed_in:
        better = [Say("mailbox.better", {"host": Code(failure.better.host), "port": str(failure.better.port)})]
    return [Say(name), *better]


# What can be switched, from which verdict: what does not work is off already.
SWITCHES: dict[str, MailboxState] = {"on": "off", "off": "works"}


def _with_the_saved_one(state: State, event: Event, facts: Facts) -> Step:
    match state, event:
        case _, Chose("password" | "sign_in" | "graph" | "on" | "off" | "remove" | "yes") if facts.mailbox is None:
            return Collecting({}, "address"), [Say("mailbox.none_yet")]  # it was removed meanwhile
        case Managing(), Chose("password") if facts.mailbox:
            return _with_a_password(facts.mailbox.account)
        case Managing(), Chose("sign_in") if facts.mailbox:
            return _signing_in_anew(facts.mailbox.account, "", facts)
        case Managing(), Chose("graph") if facts.mailbox and _has_other_way(facts.mailbox):
            return _other_way(facts.mailbox.account)
        case Managing(), Chose("retry") if (
            facts.mailbox and facts.mailbox.state == "waiting" and facts.mailbox.secret_id
        ):
            return _test_saved(facts.mailbox, facts)
        case Managing(), Chose("door" | "door_back" as wish):
            return Done(), [Start("door", wish.removeprefix("door").lstrip("_"))]
        case Managing(), Chose("change"):
            return Collecting({}, "address"), []
        case Managing(), Chose("on" | "off" as wish) if facts.mailbox and facts.mailbox.state != SWITCHES[wish]:
            return state, [Say("talk.closed")]
        case Managing(), Chose("on" | "off" as wish):
            return Done(), [SwitchMailbox(on=wish == "on"), Say(f"mailbox.switched_{wish}"), *_rests(wish, facts)]
        case Managing(), Chose("remove"):
            return ConfirmingRemoval(), []
        case ConfirmingRemoval(), Chose("yes") if facts.mailbox and facts.mailbox.signed_in:
            return Done(), [RemoveMailbox(), removed(facts.mailbox.signed_in, facts), *_void_key(facts)]
        case ConfirmingRemoval(), Chose("yes"):
            return Done(), [RemoveMailbox(), Say("mailbox.removed"), *_void_key(facts)]
        case ConfirmingRemoval(), Chose("no"):
            return Done(), [Say("mailbox.kept")]
        case Managing(), Chose("menu"):
            return Done(), []
    return Declined()


def _void_key(facts: Facts) -> list[Effect]:
    """What becomes of the key for Ally with the mailbox, and what only the person can do in Ally."""
    has_key = facts.mailbox is not None and facts.mailbox.door
    return [Say("door.void_with_mailbox", {"own_smtp": Text("ally.own_smtp")})] if has_key else []


def _rests(wish: str, facts: Facts) -> list[Effect]:
    """The key for Ally opens nothing while the mailbox is off, and is as good as before afterwards."""
    has_key = facts.mailbox is not None and facts.mailbox.door
    return [Say("door.rests_too")] if has_key and wish == "off" else []


def _doors(saved: Mailbox, facts: Facts) -> tuple[Option, ...]:
    """The key for Ally: a first one, or all about it; one that opens nothing now can only be taken back."""
    if facts.house.door and saved.state == "works":
        return (Option("door", "door.button.key" if saved.door else "door.button.first"),)
    return (Option("door_back", "door.button.back"),) if saved.door else ()


def _with_a_password(account: Account) -> tuple[State, list[Effect]]:
    """A new password; who signed in until now gives one for the way that takes one."""
    by_password = replace(account, transport="smtp")
    return AwaitingLink(by_password), [OpenLink(by_password)]


def _has_other_way(saved: Mailbox) -> bool:
    """Whether the saved mailbox waits for a switch that Microsoft's other way does not need."""
    switched_off = saved.signed_in == "microsoft" and saved.cause == SWITCHED_OFF
    return switched_off and saved.account.transport == "smtp"


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
        case AwaitingSignInLink() | AwaitingSignIn() | SignInStuck():
            return ask_sign_in(state, facts)
        case AskingForMail():
            return Ask("proof", "mailbox.may_mail", {}, _yes_no("mailbox.button.may_mail", "mailbox.button.no_mail"))
        case Stuck():
            steps = tuple(LABELS.get(one) or Option(one, f"mailbox.button.{one}") for one in _steps(state, facts))
            return Ask("stuck", "mailbox.stuck", {}, steps)
        case Managing():
            return _ask_manage(facts)
        case ConfirmingRemoval():
            signed_in = facts.mailbox.signed_in if facts.mailbox else ""
            name, whose = ("sign_in.sure_to_remove", brand(signed_in)) if signed_in else ("mailbox.sure_to_remove", {})
            return Ask("removal", name, whose, _yes_no("mailbox.button.remove", "mailbox.button.keep"))
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
    without = Option("without", "mailbox.button.without")
    if facts.provider is not None and facts.provider.sign_in:
        without = button(facts.provider.sign_in)
    options = (Option("forgotten", "button.dont_know"), without, PERSON)
    return Ask("secret", f"mailbox.{kind}", values, options)


def _ask_manage(facts: Facts) -> Ask:
    if facts.mailbox is None:
        return Ask("manage", "mailbox.none_yet", {}, (Option("change", "menu.button.setup"), MENU))
    again = ["retry"] if facts.mailbox.state == "waiting" and facts.mailbox.secret_id else []
    toggle = [wish for wish, verdict in SWITCHES.items() if verdict == facts.mailbox.state]
    ways = _ways(facts.mailbox, facts)
    options = [*_labelled(*again), *ways, *_labelled("change"), *_doors(facts.mailbox, facts)]
    options += _labelled(*toggle, "remove")
    values: Values = {
        "address": Code(facts.mailbox.account.address),
        "host": Code(facts.mailbox.account.server.host),
        "state": Text(f"mailbox.state.{facts.mailbox.state}"),
    }
    return Ask("manage", "mailbox.manage", values, (*options, MENU))


def _labelled(*values: str) -> tuple[Option, ...]:
    return tuple(Option(value, f"mailbox.button.{value}") for value in values)


def _ways(saved: Mailbox, facts: Facts) -> tuple[Option, ...]:
    """How the secret is given anew, or in another way than until now."""
    offered = facts.provider.sign_in if facts.provider is not None else ""
    if not saved.signed_in:
        return (*((button(offered),) if offered else ()), *_labelled("password"))
    other = (LABELS["graph"],) if _has_other_way(saved) else ()
    # What is switched off is so for a password, too.
    instead = not other and may_give_password(replace(saved.account, transport="smtp"), facts)
    password = (Option("password", "sign_in.button.password"),) if instead else ()
    return (*other, Option("sign_in", "sign_in.button.again"), *password)


LABELS = {"person": PERSON, "graph": Option("graph", "sign_in.button.graph")}


def reopen(state: State, field: str) -> State | None:
    """The same set-up with one answer to be given again."""
    match state, field:
        case (
            (Collecting() | Suggesting() | Hosting() | Confirming() | AwaitingSecret() | AskingForMail() | Stuck()),
            "address",
        ):
            return Collecting({}, "address")
        case ((AwaitingSignIn() | SignInStuck()), "address"):
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
            | AwaitingSignInLink(account)
            | AwaitingSignIn(account)
            | SignInStuck(account)
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
        AwaitingSignInLink,
        AwaitingSignIn,
        SignInStuck,
        AskingForMail,
        Testing,
        Stuck,
        Managing,
        ConfirmingRemoval,
    ),
    start,
    step,
    ask,
    world=(Finding, AwaitingLink, AwaitingSignInLink, Testing),
    back=(Collecting, Suggesting, Hosting, Confirming, Managing),
    fields=("port", "host", "address"),  # the narrower first: "the server's address is wrong" is about the server
    reopen=reopen,
    subject=subject,
    nudge=True,
    inputs=inputs,
)
