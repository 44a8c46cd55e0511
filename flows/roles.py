"""For which agency somebody acts, where they belong to several; and how they leave one."""

from dataclasses import dataclass

from flows.facts import Facts, Role
from flows.fields import MENU
from flows.flow import Flow, Step
from flows.reading import plain
from flows.sign_in import permissions
from flows.words import (
    ActFor,
    Ask,
    Chose,
    Code,
    Declined,
    Done,
    Effect,
    EntranceCode,
    Event,
    LeaveAgency,
    MakeLinkCode,
    Option,
    Quote,
    Said,
    Say,
    SeeRoles,
    TeamChanged,
    TeamRefused,
    TeamSeen,
    Text,
    Values,
)

MAX_ROLES = 7  # with "link", "leave" and "menu" the ten choices of WhatsApp's list
MAX_LABEL = 24


@dataclass(frozen=True, slots=True)
class Choosing:
    """We wait for the agency to act for."""


@dataclass(frozen=True, slots=True)
class ConfirmingLeave:
    """We wait for the yes to leave the agency that is acted for."""


State = Choosing | ConfirmingLeave | Done


def start(entry: str, _facts: Facts) -> tuple[State, list[Effect]]:
    """The agencies; or (`link`) the code for another entrance at once."""
    return Choosing(), [SeeRoles(), *([MakeLinkCode()] if entry == "link" else [])]


def step(state: State, event: Event, facts: Facts) -> Step:
    """Another agency, or one less."""
    match state, event:
        case Choosing(), TeamSeen():
            return state, []
        case Choosing(), Chose("menu"):
            return Done(), []
        case Choosing(), Chose("leave"):
            return ConfirmingLeave(), []
        case Choosing(), Chose("link"):
            return state, [MakeLinkCode()]
        case Choosing(), EntranceCode(code, minutes):
            return Done(), [Say("roles.link_code", {"code": Quote(code), "minutes": minutes})]
        case Choosing(), (Chose() | Said()) if role := _meant(event, facts):
            return state, [ActFor(role.member_id)]
        case Choosing(), TeamChanged():
            return Done(), [Say("roles.acting", {"name": facts.name, "agency": facts.agency})]
        case ConfirmingLeave(), Chose("yes"):
            return state, [LeaveAgency()]
        case ConfirmingLeave(), Chose("no"):
            return Done(), []
        case ConfirmingLeave(), TeamChanged():
            return Done(), [Say("roles.left")]
        case _, TeamRefused(reason):
            return Done(), [Say(f"roles.refused.{reason}")]
    return Declined()


def _meant(event: Chose | Said, facts: Facts) -> Role | None:
    """The role that was tapped, or whose agency was written."""
    if isinstance(event, Chose):
        return next((role for role in facts.roles if role.member_id == event.value), None)
    said = plain(event.text)
    found = [role for role in facts.roles if said in {plain(role.agency), plain(role.name), plain(_shown(role, facts))}]
    return found[0] if len(found) == 1 else None


def ask(state: State, facts: Facts) -> Ask:
    """For whom one acts now, and for whom else one may; or what leaving means."""
    if isinstance(state, ConfirmingLeave):
        return _leaving(facts)
    others = [Option(role.member_id, words=_cut(_shown(role, facts))) for role in facts.roles if not role.acting]
    options = (*others[:MAX_ROLES], Option("link", "roles.button.link"), Option("leave", "roles.button.leave"), MENU)
    name = "roles.several" if others else "roles.one"
    return Ask("roles", name, {"name": facts.name, "agency": facts.agency}, options)


def _shown(role: Role, facts: Facts) -> str:
    """By its agency; by the member's name where several share a telephone of one agency."""
    same = sum(other.agency == role.agency for other in facts.roles)
    return role.name if same > 1 else role.agency


def _leaving(facts: Facts) -> Ask:
    """What ends at once, and what only this person can do afterwards."""
    options = (Option("yes", "roles.button.yes"), Option("no", "roles.button.no"))
    if facts.mailbox is None:
        return Ask("leave", "roles.leave", {"agency": facts.agency}, options)
    values: Values = {
        "agency": facts.agency,
        "address": Code(facts.mailbox.account.address),
        "mails": next((role.mails for role in facts.roles if role.acting), 0),
        "own_smtp": Text("ally.own_smtp"),
    }
    if facts.mailbox.signed_in == "microsoft":
        return Ask("leave", "roles.leave_signed_in", {**values, "url": permissions(facts)}, options)
    if facts.provider is not None and facts.provider.app_password_url and not facts.mailbox.signed_in:
        return Ask("leave", "roles.leave_app_password", {**values, "url": facts.provider.app_password_url}, options)
    return Ask("leave", "roles.leave_mailbox", values, options)


def _cut(name: str) -> str:
    return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1].rstrip()}…"


FLOW = Flow("roles", (Choosing, ConfirmingLeave), start, step, ask, back=(Choosing,))
