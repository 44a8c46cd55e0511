"""The team: an admin sees who can send, who is stuck and why; invites, reminds, pauses, removes, and names admins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flows.facts import Facts, Teammate, team_in_numbers
from flows.fields import LANGUAGE_OPTIONS, MENU, language_of
from flows.flow import Flow, Step
from flows.reading import command, plain
from flows.speech import texts
from flows.words import (
    Ask,
    Chose,
    Code,
    Declined,
    Done,
    Effect,
    Event,
    ExcludeMember,
    InvitationMade,
    Invite,
    Option,
    PauseMember,
    Quote,
    RemindMember,
    RemindTeam,
    Said,
    Say,
    SeeTeam,
    SetRole,
    TakeKey,
    TeamChanged,
    TeamRefused,
    TeamSeen,
    TeamTouched,
    TestTeam,
    Text,
    Values,
)

PAGE = 7  # members; with "invite", "more" and "menu" they make the ten choices of WhatsApp's list
MAX_LABEL = 24  # signs of a choice in that list, most emoji being two
GROUP = 20  # people whom one invitation for a group lets in
INVITATIONS: dict[str, tuple[Literal["member", "admin"], int]] = {
    "one": ("member", 1),
    "group": ("member", GROUP),
    "admin": ("admin", 1),
}
INVITATION_OPTIONS = (
    Option("one", "team.button.one"),
    Option("group", "team.button.group"),
    Option("admin", "team.button.one_admin"),
)
BACK_TO_LIST = Option("list", "team.button.list")
SETTINGS = Text("ally.settings")
GONE = Say("team.refused.gone")


@dataclass(frozen=True, slots=True)
class Listing:
    """We wait for the member to look at, or for the wish to invite."""

    page: int = 0


@dataclass(frozen=True, slots=True)
class Showing:
    """We wait for what is to be done with this member."""

    member_id: str


@dataclass(frozen=True, slots=True)
class ConfirmingExclusion:
    """We wait for the yes to end this membership."""

    member_id: str


@dataclass(frozen=True, slots=True)
class Changing:
    """Something is being done with this member; it is answered within the turn, so that nobody is ever asked here."""

    member_id: str
    change: str


@dataclass(frozen=True, slots=True)
class Inviting:
    """We wait for whom the invitation is to be for."""


@dataclass(frozen=True, slots=True)
class ChoosingLanguage:
    """We wait for the language of the words that are to be forwarded with the invitation."""

    kind: str


State = Listing | Showing | ConfirmingExclusion | Changing | Inviting | ChoosingLanguage | Done


def start(entry: str, facts: Facts) -> tuple[State, list[Effect]]:
    """The list, or what was wished elsewhere: `invite`, `test`, `remind_all`, `show.<member>`, `pause.<member>` ..."""
    if facts.role != "admin":
        return Done(), [Say("team.only_admins")]
    wanted, _, about = entry.partition(".")
    match wanted:
        case "exclude":
            return ConfirmingExclusion(about), [SeeTeam()]
        case "show":
            return Showing(about), [SeeTeam()]
        case "invite":
            return Inviting(), [SeeTeam()]
        case _ if (change := _change(wanted, about)) is not None:
            return Changing(about, wanted), [SeeTeam(), change]
    return Listing(), [SeeTeam()]


def _change(wanted: str, about: str) -> Effect | None:
    """What is done at once, with one member or with all."""
    match wanted:
        case "test":
            return TestTeam()
        case "remind_all":
            return RemindTeam()
        case "remind":
            return RemindMember(about)
        case "pause" | "resume":
            return PauseMember(about, off=wanted == "pause")
    return None


def step(state: State, event: Event, facts: Facts) -> Step:
    """From the list to one member, to what is done with them, and back to the list."""
    if facts.role != "admin":
        return _no_admin(state, event)
    match state:
        case Listing() | Inviting() | ChoosingLanguage():
            return _at_the_list(state, event, facts)
        case Showing() | ConfirmingExclusion():
            return _at_a_member(state, event, facts)
        case Changing():
            return _changed(state, event, facts)
    return Declined()


def _no_admin(state: State, event: Event) -> Step:
    """Who has just stepped down is told so; who is no admin any more by another's hand, that this is for admins."""
    stepped_down = isinstance(state, Changing) and isinstance(event, TeamChanged)
    return Done(), [Say("team.changed.step_down" if stepped_down else "team.only_admins")]


def _at_the_list(state: Listing | Inviting | ChoosingLanguage, event: Event, facts: Facts) -> Step:
    """Whom to look at; or whom to invite, and in which language."""
    match state, event:
        case ((Listing() | Inviting()), TeamSeen()):
            return state, []
        case Listing(), Chose("invite"):
            return Inviting(), []
        case Listing(page), Chose("more"):
            return Listing(_page(page + 1, facts)), []
        case Listing(), Chose("first"):
            return Listing(), []
        case Listing(), Chose("menu"):
            return Done(), []
        case Listing(), Chose(value):
            return (Showing(value), []) if _member(value, facts) else (Listing(), [GONE])
        case Listing(), Said(text) if (named := _named(text, facts)) is not None:
            return Showing(named.id), []
        case Inviting(), Chose(kind) if kind in INVITATIONS:
            return ChoosingLanguage(kind), []
        case ChoosingLanguage(kind), (Chose() | Said()) if (language := language_of(event)) is not None:
            role, uses = INVITATIONS[kind]
            return state, [Invite(role, uses, language)]
        case ChoosingLanguage(), InvitationMade(forward, uses, days):
            values: Values = {"uses": uses, "days": days, "forward": Quote(forward)}
            return Listing(), [Say("team.invited" if uses == 1 else "team.invited_many", values)]
    return Declined()


def _at_a_member(state: Showing | ConfirmingExclusion, event: Event, facts: Facts) -> Step:
    """What is done with one member; only a clear yes removes anybody, and nobody removes themselves here."""
    shown = _member(state.member_id, facts)
    match state, event:
        case ((Showing() | ConfirmingExclusion()), Chose("list")):
            return Listing(), []
        case ((Showing() | ConfirmingExclusion()), Chose("menu")):
            return Done(), []
        case ((Showing() | ConfirmingExclusion()), (Chose() | TeamSeen())) if shown is None:
            return Listing(), [GONE]
        case Showing(about), Chose("remind"):
            return Changing(about, "remind"), [RemindMember(about)]
        case Showing(about), Chose("pause"):
            return Changing(about, "pause"), [PauseMember(about, off=True)]
        case Showing(about), Chose("resume"):
            return Changing(about, "resume"), [PauseMember(about, off=False)]
        case Showing(about), Chose("take_key"):
            return Changing(about, "take_key"), [TakeKey(about)]
        case Showing(about), Chose("admin"):
            return Changing(about, "admin"), [SetRole(about, "admin")]
        case Showing(about), Chose("member"):
            return Changing(about, "member"), [SetRole(about, "member")]
        case Showing(about), (Chose("exclude") | Said()) if _removes(event) and shown is not None and not shown.me:
            return ConfirmingExclusion(about), []
        case ConfirmingExclusion(about), TeamSeen():
            return (Showing(about) if shown is not None and shown.me else state), []
        case Showing(), TeamSeen():
            return state, []
        case ConfirmingExclusion(about), (Chose("yes") | Said()) if _removes(event) and shown is not None:
            return Changing(about, "exclude"), [ExcludeMember(about)]
        case ConfirmingExclusion(about), Chose("no"):
            return Showing(about), []
    return Declined()


def _changed(state: Changing, event: Event, facts: Facts) -> Step:
    """What became of it: said at the list; a refusal is said where it was asked for."""
    shown = _member(state.member_id, facts)
    match state, event:
        case Changing(), TeamSeen():
            return state, []
        case Changing(_, change), TeamTouched(count):
            return Listing(), [Say(f"team.changed.{change}" if count else f"team.refused.{change}", {"count": count})]
        case Changing(_, "exclude"), TeamChanged():
            return Listing(), [Say("team.changed.exclude", {"settings": SETTINGS})]
        case Changing(_, change), TeamChanged() if shown is not None:
            return Listing(), [Say(f"team.changed.{change}", {"name": shown.name})]
        case Changing(about), TeamRefused("gone") if shown is not None:  # not the member, but what was to be changed
            return Showing(about), [Say("team.refused.changed")]
        case Changing(about), TeamRefused(reason) if shown is not None:
            return Showing(about), [Say(f"team.refused.{reason}")]
        case Changing(), (TeamChanged() | TeamRefused()):
            return Listing(), [GONE]
    return Declined()


def _removes(event: Chose | Said) -> bool:
    """A tap; or the word that removes things everywhere here: said about a member it means the member."""
    return isinstance(event, Chose) or command(event.text) == "remove"


def _member(member_id: str, facts: Facts) -> Teammate | None:
    return next((one for one in facts.team if one.id == member_id), None)


def _named(text: str, facts: Facts) -> Teammate | None:
    """The only member of this name, or else the only one whose name begins so; a command is never a name."""
    said = plain(text)
    if not said or command(text) is not None:
        return None
    begun = [one for one in facts.team if plain(one.name).startswith(said)]
    found = [one for one in begun if plain(one.name) == said] or begun
    return found[0] if len(found) == 1 else None


def ask(state: State, facts: Facts) -> Ask:
    """The question of each state; of a member who has gone meanwhile, that they have."""
    match state:
        case Listing(page):
            return _list(_page(page, facts), facts)
        case Showing(about) if (shown := _member(about, facts)) is not None:
            return _show(shown)
        case ConfirmingExclusion(about) if (shown := _member(about, facts)) is not None:
            return _confirm(shown, facts)
        case Inviting():
            return Ask("whom", "team.whom", {"most": GROUP}, INVITATION_OPTIONS)
        case ChoosingLanguage():
            return Ask("language", "team.which_language", {}, LANGUAGE_OPTIONS)
        case Showing() | ConfirmingExclusion():
            return Ask("gone", "team.refused.gone", {}, (BACK_TO_LIST, MENU))
    return Ask("busy", "mailbox.busy")


def _page(page: int, facts: Facts) -> int:
    """The page, or the last one there is: members go while the list is open."""
    return min(page, max(len(facts.team) - 1, 0) // PAGE)


def _list(page: int, facts: Facts) -> Ask:
    values: Values = {"agency": facts.agency, **team_in_numbers(facts), "invited": facts.invited}
    here = _members(facts)[page * PAGE : (page + 1) * PAGE]
    further = "more" if len(facts.team) > (page + 1) * PAGE else "first" if page else ""
    turns = (Option(further, f"team.button.{further}"),) if further else ()
    return Ask("list", "team.list", values, (*here, Option("invite", "team.button.invite"), *turns, MENU))


def _members(facts: Facts) -> tuple[Option, ...]:
    """All members, each with their state in a word; of those who would look the same, the later ones have a number."""
    taken: dict[str, str] = {}
    for one in facts.team:
        state = texts(facts.language)[f"team.state.{one.state or 'none'}"]
        ends = (f": {state}", *(f": {state} {number}" for number in range(2, len(facts.team) + 1)))
        labels = (_cut(one.name, MAX_LABEL - len(end)) + end for end in ends)
        taken[next(label for label in labels if label not in taken)] = one.id
    return tuple(Option(member_id, words=label) for label, member_id in taken.items())


def _cut(name: str, most: int) -> str:
    """A name on one line and in at most so many signs, most emoji being two; "…" where it was cut."""
    line = " ".join(name.split())
    signs = line.encode("utf-16-le")
    if len(signs) <= 2 * most:
        return line
    return signs[: 2 * (most - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def _show(shown: Teammate) -> Ask:
    """One member. The question bears their id: a button below another one's old message must not touch this one."""
    name, values = _described(shown)
    return Ask(f"member-{shown.id}", name, values, tuple(_choices(shown)))


def _described(shown: Teammate) -> tuple[str, Values]:
    who: Values = {"name": shown.name, "role": Text(f"team.role.{shown.role}")}
    if not shown.address:
        return "team.member_missing", who
    known: Values = {**who, "address": Code(shown.address), "state": Text(f"team.state.{shown.state or 'none'}")}
    if not shown.cause and shown.state == "works" and shown.days_left is not None:
        return "team.member_days", {**known, "days": shown.days_left}
    if not shown.cause:
        return "team.member", known
    return "team.member_why", {**known, "why": Text(f"cause.{shown.cause}")}


def _choices(shown: Teammate) -> Iterator[Option]:
    """What makes sense today; to leave the team oneself is no matter of its list."""
    if shown.state in {"", "waiting", "broken"} and not shown.me:
        yield Option("remind", "team.button.remind")
    if shown.state == "works":
        yield Option("pause", "team.button.pause")
    if shown.state == "off":
        yield Option("resume", "team.button.resume")
    if shown.door:
        yield Option("take_key", "team.button.take_key")
    if shown.role == "admin":
        yield Option("member", "team.button.step_down" if shown.me else "team.button.member")
    else:
        yield Option("admin", "team.button.admin")
    if not shown.me:
        yield Option("exclude", "team.button.exclude")
    yield BACK_TO_LIST


def _confirm(shown: Teammate, facts: Facts) -> Ask:
    """What will happen at once, and what is left to be done in Ally. The question bears the member's id, as above."""
    values: Values = {"name": shown.name, "agency": facts.agency, "settings": SETTINGS}
    options = (Option("yes", "team.button.yes"), Option("no", "team.button.no"))
    name = "team.exclude"
    if not shown.address:
        return Ask(f"exclude-{shown.id}", "team.exclude_missing", values, options)
    if shown.door:
        name = "team.exclude_with_key"
    more: Values = {**values, "address": Code(shown.address), "mails": shown.mails}
    return Ask(f"exclude-{shown.id}", name, more, options)


FLOW = Flow(
    "team",
    (Listing, Showing, ConfirmingExclusion, Changing, Inviting, ChoosingLanguage),
    start,
    step,
    ask,
    back=(Listing, Showing, Inviting),
)
