"""Signing in at the provider instead of giving a password: the states of it, within the set-up of a mailbox.

The person opens a link, signs in on the provider's own page and allows us to send; nothing is typed in the chat. What
comes of it leads back into the set-up (see `flows.mailbox`) or, where it came to nothing, is explained here.
"""

from dataclasses import dataclass

from flows.facts import Facts, Mailbox, Provider
from flows.fields import PERSON
from flows.flow import GO, Step
from flows.remedies import CONSENT, to_forward
from flows.speech import has
from flows.words import (
    Account,
    AdminNeeded,
    Ask,
    Chose,
    Code,
    Declined,
    Done,
    Effect,
    EraseSecret,
    Event,
    Link,
    LinkOpened,
    LinkRefused,
    OpenCase,
    OpenSignIn,
    Option,
    Said,
    Say,
    SignedIn,
    SignInFailed,
    SignInProvider,
    TellAdmins,
    Value,
    Values,
)

TRIES_BEFORE_A_PERSON = 3
BRANDS: dict[SignInProvider, str] = {"microsoft": "Microsoft", "google": "Google"}
# Where a person takes back themselves what they allowed: Microsoft offers no way to do that for them.
PERMISSIONS = {"work": "https://myapps.microsoft.com", "personal": "https://account.live.com/consent/Manage"}
# What is offered after a reason for which a new link alone would not help.
STEPS: dict[str, tuple[str, ...]] = {
    "consent": ("forward", "again", "person"),
    "away": ("again", "password", "person"),
    "ours": ("again", "password", "person"),
}


@dataclass(frozen=True, slots=True)
class AwaitingSignInLink:
    """The link to the provider's own page is being opened. `tries`: how often signing in came to nothing so far."""

    account: Account
    provider: SignInProvider
    tries: int = 0


@dataclass(frozen=True, slots=True)
class AwaitingSignIn:
    """We wait for the person to sign in at their provider, behind the link."""

    account: Account
    provider: SignInProvider
    link_id: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class SignInStuck:
    """Signing in came to nothing for a reason that a new link would not mend; we wait for what to do."""

    account: Account
    provider: SignInProvider
    reason: str
    tries: int = 0


Signing = AwaitingSignInLink | AwaitingSignIn | SignInStuck


def begin(account: Account, provider: SignInProvider, *before: Effect, tries: int = 0) -> tuple[Signing, list[Effect]]:
    """A new link; an older one is void from then on."""
    return AwaitingSignInLink(account, provider, tries), [*before, OpenSignIn(account, provider)]


def brand(provider: SignInProvider) -> Values:
    """Whose page it is, for a sentence."""
    return {"provider": BRANDS[provider]}


def takes_password(provider: Provider | None) -> bool:
    """Whether the provider still takes a password, or an app password, without anybody's word."""
    return provider is None or provider.demand in {"password", "app_password"}


def administered(provider: Provider | None) -> bool:
    """Whether an administrator decides about the mailboxes there, and can allow signing in once for all."""
    if provider is None or not provider.consent_url:
        return False
    return provider.demand != "sign_in_only" or provider.admin_may_allow


def button(provider: SignInProvider, value: str = "sign_in") -> Option:
    """The choice to sign in there."""
    return Option(value, f"sign_in.button.{provider}")


def signing_in(state: Signing, event: Event, facts: Facts) -> Step:
    """From the link to the word of the provider; what was granted is taken by the set-up itself."""
    match state, event:
        case AwaitingSignInLink(account, provider, tries), LinkOpened(link_id):
            return AwaitingSignIn(account, provider, link_id, tries), []
        case AwaitingSignInLink(), LinkRefused():
            return Done(), [Say("mailbox.too_many_links")]
        case AwaitingSignInLink(), SignInFailed() as failed:
            return _came_to_nothing(state, failed, facts)
        case AwaitingSignIn(_, _, mine), SignInFailed(_, link_id) as failed if mine == link_id:
            return _came_to_nothing(state, failed, facts)
        case AwaitingSignIn(), SignedIn(secret_id):  # through a link that a newer one has made void
            return state, [EraseSecret(secret_id), Say("sign_in.older_link")]
        case AwaitingSignIn(account, provider, _, tries), Chose("new_link"):
            return begin(account, provider, tries=tries)
        case SignInStuck(account, provider, _, tries), Chose("again" | "new_link"):
            return begin(account, provider, tries=tries)
        case AwaitingSignIn(), Chose("trouble"):
            return state, _trouble(state, facts)
        case SignInStuck(account, _, "consent"), Chose("forward"):
            return state, [*to_forward(CONSENT, account.address, url=_consent_url(facts))]
        case AwaitingSignIn(), Chose("person"):
            return state, [OpenCase("asked")]
        case SignInStuck(), Chose("person"):
            return state, [OpenCase("stuck")]
        case AwaitingSignIn(_, provider), Said():
            return Declined("sign_in.by_itself", brand(provider))
    return Declined()


def _consent_url(facts: Facts) -> str:
    return facts.provider.consent_url if facts.provider is not None else ""


def _trouble(state: AwaitingSignIn, facts: Facts) -> list[Effect]:
    """What the provider's page may say, and what to do about each; the link stays good meanwhile."""
    said: list[Effect] = [Say("sign_in.trouble", {"address": Code(state.account.address)})]
    if administered(facts.provider) or state.provider == "google":
        said += to_forward(CONSENT, state.account.address, url=_consent_url(facts))
    return said


def _came_to_nothing(state: AwaitingSignInLink | AwaitingSignIn, failed: SignInFailed, facts: Facts) -> Step:
    """Why, and the one thing to do about it; the third time a person is offered."""
    account, provider, tries = state.account, state.provider, state.tries + 1
    offer: list[Effect] = [Say("talk.offer_person")] if tries >= TRIES_BEFORE_A_PERSON else []
    about: dict[str, Value] = {**brand(provider), "address": Code(account.address), "agency": facts.agency}
    match failed.reason:
        case "denied" | "other":
            return begin(account, provider, Say(f"sign_in.{failed.reason}", brand(provider)), *offer, tries=tries)
        case "other_account":
            other = Say("sign_in.other_account", {**about, "other": Code(failed.other or "?")})
            return begin(account, provider, other, *offer, tries=tries)
        case "consent":
            return SignInStuck(account, provider, "consent", tries), [*_consent(account, about, facts), *offer]
    reason = failed.reason if failed.reason in STEPS else "away"
    return SignInStuck(account, provider, reason, tries), [Say(f"sign_in.{reason}", brand(provider)), *offer]


def _consent(account: Account, about: Values, facts: Facts) -> list[Effect]:
    """Whoever administers the agency here is told; perhaps they are the very one who can approve it."""
    told = TellAdmins(AdminNeeded(facts.name, account.address, CONSENT, _consent_url(facts)))
    if facts.role == "admin" and _consent_url(facts):
        return [told, Say("sign_in.consent_admin", {**about, "url": _consent_url(facts)})]
    return [told, Say("sign_in.consent", about)]


def ask_sign_in(state: Signing, facts: Facts) -> Ask:
    """The question of each state: one message says which page to expect, what happens there, and what follows."""
    match state:
        case AwaitingSignIn(account, provider, link_id):
            values: Values = {
                **brand(provider),
                "address": Code(account.address),
                "domain": Code(facts.house.domain),
                "site": Code(facts.house.sign_in_pages[provider]),
                "link": Link(link_id),
            }
            options = _options(("trouble", "password", "person"), facts, account)
            return Ask("sign_in", f"sign_in.ask.{provider}", values, options)
        case SignInStuck(account, _, reason):
            return Ask("sign_in_stuck", "mailbox.stuck", {}, _options(STEPS[reason], facts, account))
    return Ask("busy", "mailbox.busy")


LABELS = {"again": "mailbox.button.retry", "forward": "mailbox.button.forward", "person": PERSON.label}


def _options(values: tuple[str, ...], facts: Facts, account: Account) -> tuple[Option, ...]:
    """A password is a way only where the provider takes one, and never the one way that needs none."""
    instead = may_give_password(account, facts)
    offered = (one for one in values if one != "password" or instead)
    return tuple(Option(one, LABELS.get(one, f"sign_in.button.{one}")) for one in offered)


def may_give_password(account: Account, facts: Facts) -> bool:
    """Whether a password would do instead of signing in."""
    return facts.provider is not None and takes_password(facts.provider) and account.transport == "smtp"


def why(cause: str, signed_in: str) -> str:
    """The name of the sentence for a cause: some say something else to a person who gave no password.

    Without a cause a mailbox is broken because its secret is not stored any more.
    """
    if not cause:
        return "sign_in.gone" if signed_in else "mailbox.secret_gone"
    name = f"sign_in.cause.{cause}"
    return name if signed_in and has(name) else f"cause.{cause}"


def anew(saved: Mailbox | None) -> Option:
    """The way to give once more what the provider did not take: a password, or a sign-in."""
    if saved is not None and saved.signed_in:
        return Option(f"{GO}mailbox.sign_in.{saved.signed_in}", "sign_in.button.again")
    return Option(f"{GO}mailbox.password", "mailbox.button.password")


def removed(provider: SignInProvider, facts: Facts) -> Say:
    """What became of our access at the provider, and what only the person can do there."""
    values: Values = {"url": permissions(facts)} if provider == "microsoft" else {}
    return Say(f"sign_in.removed.{provider}", values)


def permissions(facts: Facts) -> str:
    """Microsoft's page on which a person takes back what they allowed: no program can do it for them."""
    return PERMISSIONS["work" if administered(facts.provider) else "personal"]
