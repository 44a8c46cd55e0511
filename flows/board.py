"""What somebody sees at a glance on their home screen. Pure: parts in order, in no channel's form."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from flows import sign_in
from flows.facts import Facts, Mailbox, Teammate, team_in_numbers
from flows.flow import GO
from flows.remedies import SECRET_CAUSES
from flows.words import Code, Option, Say, Text, Values

HOME = "home"  # the question of which its buttons are choices: one that no conversation asks
PAGE = 30  # members on a page: a view holds 100 blocks
PAGE_TURN = "page:"  # a choice that turns to this page
SOON = 120  # days before a provider's policy ends from which on it is counted down
# Who needs the admin's eye comes first.
ORDER = ("broken", "waiting", "", "off", "works")
STRANGERS = (Option(f"{GO}welcome", "welcome.button.invitation"), Option(f"{GO}person", "menu.button.person"))


@dataclass(frozen=True, slots=True)
class Title:
    """A heading."""

    say: Say


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    say: Say


@dataclass(frozen=True, slots=True)
class Small:
    """Small print: short things side by side."""

    says: tuple[Say, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line between two things that have nothing to do with one another."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing with what can be done about it, in a menu at its side."""

    says: tuple[Say, ...]
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Buttons:
    """Choices in a row. `next`: the first one is what there is to be done now."""

    options: tuple[Option, ...]
    next: bool = False


Part = Title | Words | Small | Rule | Line | Buttons


def home(facts: Facts, page: int = 0) -> tuple[Part, ...]:
    """The home of an admin (`facts.team` holds the members), of a member, or of somebody whom no agency knows."""
    if not facts.agency:
        hello = Title(Say("home.hello", {"operator": facts.house.operator}))
        return hello, Words(Say("home.stranger")), Buttons(STRANGERS, next=True)
    return tuple(_of_an_admin(facts, page) if facts.role == "admin" else _of_a_member(facts))


def summary(facts: Facts) -> Say:
    """The agency in one sentence: how many can send, and how many cannot."""
    return Say("home.summary", {"agency": facts.agency, **team_in_numbers(facts)})


def _of_a_member(facts: Facts) -> Iterator[Part]:
    yield Title(Say("home.agency", {"agency": facts.agency}))
    yield from _own(facts)


def _own(facts: Facts) -> Iterator[Part]:
    yield Words(own(facts))
    yield Buttons(_own_buttons(facts), next=facts.mailbox is None or facts.mailbox.state == "broken")


def own(facts: Facts) -> Say:
    """Somebody's own e-mail: its state, and what is the matter with it."""
    if facts.mailbox is None:
        return Say("home.own_missing")
    known: Values = {
        "address": Code(facts.mailbox.account.address),
        "state": Text(f"mailbox.state.{facts.mailbox.state}"),
    }
    if facts.mailbox.state not in {"broken", "waiting"}:
        return Say("home.own", known)
    why = sign_in.why(facts.mailbox.cause, facts.mailbox.signed_in)
    return Say("home.own_why", {**known, "why": Text(why)})


def _own_buttons(facts: Facts) -> tuple[Option, ...]:
    if facts.mailbox is None:
        return Option(f"{GO}mailbox", "menu.button.setup"), Option(f"{GO}person", "menu.button.person")
    state, cause = facts.mailbox.state, facts.mailbox.cause
    write = (Option(f"{GO}compose", "menu.button.write"),) if state == "works" else ()
    mendable = state == "broken" and (not cause or cause in SECRET_CAUSES)
    anew = (sign_in.anew(facts.mailbox),) if mendable else _instead(facts.mailbox, facts)
    return (
        *write,
        *anew,
        Option(f"{GO}mailbox.manage", "menu.button.mailbox"),
        Option(f"{GO}card", "menu.button.card"),
    )


def _instead(saved: Mailbox, facts: Facts) -> tuple[Option, ...]:
    """Signing in instead of a password whose days are counted."""
    provider = facts.provider
    if provider is None or not provider.sign_in or saved.signed_in or _countdown(facts, facts.now.date()) is None:
        return ()
    return (sign_in.button(provider.sign_in, f"{GO}mailbox.sign_in.{provider.sign_in}"),)


def _of_an_admin(facts: Facts, page: int) -> Iterator[Part]:
    """First what the admin has to do themselves; then who cannot send and why; what is rarely needed last."""
    able = facts.mailbox is not None and facts.mailbox.state == "works"
    yield Title(Say("home.agency", {"agency": facts.agency}))
    if countdown := _countdown(facts, facts.now.date()):
        yield Words(countdown)
    new = facts.mailbox is None and facts.agency_server is None
    if new:
        yield Words(Say("home.no_server"))
        yield Buttons((Option(f"{GO}integrate", "home.button.connect"), *_own_buttons(facts)[1:]), next=True)
    elif not able:
        yield from _own(facts)
    if not able:
        yield Rule()
    if any(not one.me for one in facts.team) or able:
        yield from _of_the_team(facts, page)
        yield Rule()
    if able:
        yield from _own(facts)
    if not new:
        yield Words(_server(facts))
    server = () if new else (Option(f"{GO}integrate", "home.button.change"),)
    yield Buttons((*server, Option(f"{GO}team", "menu.button.team")))


def _of_the_team(facts: Facts, page: int) -> Iterator[Part]:
    states: Counter[str] = Counter(one.state for one in facts.team)
    everybody: Values = {"works": states["works"], "all": len(facts.team)}
    yield Words(Say("home.all_able" if states["works"] == len(facts.team) else "home.able", everybody))
    if others := tuple(_count(state, states[state]) for state in ORDER if states[state] and state != "works"):
        yield Small(others)
    if buttons := tuple(_agency_buttons(facts)):
        yield Buttons(buttons, next=all(one.me for one in facts.team))
    last = max(len(facts.team) - 1, 0) // PAGE
    here = min(max(page, 0), last)
    for one in _sorted(facts.team)[here * PAGE : (here + 1) * PAGE]:
        yield Line(_described(one), tuple(_choices(one)))
    turns = [(here - 1, "home.button.earlier")] * (here > 0) + [(here + 1, "home.button.more")] * (here < last)
    if turns:
        yield Buttons(tuple(Option(f"{PAGE_TURN}{to}", label) for to, label in turns))


def _count(state: str, number: int) -> Say:
    return Say("home.count", {"mark": _mark(state), "state": _state(state), "count": number})


def _mark(state: str) -> Text:
    return Text(f"home.mark.{state or 'none'}")


def _state(state: str) -> Text:
    return Text(f"team.state.{state or 'none'}")


def _server(facts: Facts) -> Say:
    if facts.agency_server is None:
        return Say("home.any_server")
    server = facts.agency_server
    return Say("home.server", {"host": Code(server.host), "port": Code(str(server.port))})


def _countdown(facts: Facts, today: date) -> Say | None:
    """How long the agency's provider still takes passwords, where that ends soon."""
    until = facts.provider.until if facts.provider is not None else None
    if facts.provider is None or until is None or not 0 <= (until - today).days <= SOON:
        return None
    return Say("home.countdown", {"provider": facts.provider.name, "days": (until - today).days, "until": until})


def _agency_buttons(facts: Facts) -> Iterator[Option]:
    """Everybody is invited once the admin's own e-mail works: what does not work for them will work for nobody."""
    if facts.mailbox is not None and facts.mailbox.state == "works":
        yield Option(f"{GO}invite", "home.button.invite")
    if any(one.state in {"", "broken"} and not one.me for one in facts.team):
        yield Option(f"{GO}team.remind_all", "home.button.remind_all")
    if any(one.state in {"works", "waiting"} for one in facts.team):
        yield Option(f"{GO}team.test", "home.button.test")


def _sorted(team: tuple[Teammate, ...]) -> list[Teammate]:
    return sorted(team, key=lambda one: (ORDER.index(one.state), one.name.casefold()))


def _described(one: Teammate) -> tuple[Say, ...]:
    """A member: who, and whether they can send; else why not, and below it for which address and who can act."""
    who: Values = {"mark": _mark(one.state), "name": one.name, "state": _state(one.state)}
    if not one.cause and one.state == "works" and one.days_left is not None and one.days_left <= SOON:
        return Say("home.member", who), Say("home.member_days", {"address": Code(one.address), "days": one.days_left})
    if not one.cause:
        return (Say("home.member", who),)
    waits = Text(f"home.who.{one.who}" if one.who else "home.who.user")
    why = Say("home.member_why", {**who, "why": Text(f"home.cause.{one.cause}")})
    return why, Say("home.member_who", {"address": Code(one.address), "who": waits})


def _choices(one: Teammate) -> Iterator[Option]:
    if one.state in {"", "waiting", "broken"} and not one.me:
        yield Option(f"{GO}team.remind.{one.id}", "team.button.remind")
    if one.state == "works":
        yield Option(f"{GO}team.pause.{one.id}", "team.button.pause")
    if one.state == "off":
        yield Option(f"{GO}team.resume.{one.id}", "team.button.resume")
    yield Option(f"{GO}team.show.{one.id}", "home.button.show")
    if not one.me:
        yield Option(f"{GO}team.exclude.{one.id}", "team.button.exclude")
