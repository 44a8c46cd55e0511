"""What a step may know: who writes, in which agency, with which mailbox, and what their provider demands today."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.calendar import UTC
from bot.desk.hours import Hours
from bot.mail.knowledge.provider import Demand
from bot.mail.knowledge.provider import Provider as Known
from bot.mail.knowledge.provider import Server as WireServer
from bot.mail.knowledge.providers import Providers
from bot.mail.wire.account import Account as WireAccount
from bot.oauth_apps import Apps, is_personal
from bot.store import mailboxes, people
from bot.store.conversations import Held
from bot.store.engine import Connection, Row
from flows import conversation, facts
from flows.conversation import Envelope
from flows.facts import Facts, House, Knock, Question, Role, Teammate
from flows.reading import SHAPES
from flows.words import LANGUAGES, Account, Event, Language, Server, SignInProvider

DEMANDS: dict[Demand, facts.Demand] = {
    "password": "password",
    "app_password": "app_password",
    "oauth_only": "sign_in_only",
    "cannot_work": "impossible",
}
WITH_TEAM = frozenset({"team", "integrate"})  # flows in which an admin has all members at hand
PASSWORD = "mailbox.password"  # noqa: S105 - a kind of secret, see bot.vault
AgencyApps = Mapping[str, list[str]]  # {provider: [client id, tenant]}
_SAMPLES = {"google16": "abcd efgh ijkl mnop", "apple16": "abcd-efgh-ijkl-mnop"}


@dataclass(frozen=True, slots=True)
class Standing:
    """Facts for the flows, and the ids behind them for the hands."""

    facts: Facts
    member_id: UUID | None
    mailbox_id: UUID | None
    mailbox_version: int
    timezone: str
    agency_id: UUID | None = None
    agency_host: str = ""
    server_rule: str = "warn"
    mailbox_size: int = 0
    apps: AgencyApps = field(default_factory=dict)  # the agency's own, through which its people sign in


class FactReader:
    """Reads the facts of a turn in its transaction."""

    def __init__(self, house: House, providers: Providers, hours: Hours, apps: Apps) -> None:
        """`hours`: when the support team works. `apps`: through which people may sign in at their providers."""
        self._apps = apps
        self._house = house
        self._hours = hours
        self._providers = providers

    def read(self, db: Connection, held: Held, envelope: Envelope, now: datetime) -> Standing:
        """All facts of one turn."""
        row = mailboxes.standing(db, held.member_id, held.contact_id) if held.member_id else None
        known = Facts(
            now=now,
            language=language(held.language),
            house=self._house,
            name=row.name if row else held.name,
            agency=row.agency if row else "",
            role=_role(row),
            mailbox=_mailbox(row),
            agency_server=_agency_server(row),
            several=row.roles > 1 if row else False,
            workspace=held.channel == "slack",
            case=held.case or 0,
            **self._away(now),
            roles=_roles_of(db, held) if envelope.flow == "roles" else (),
            **(self._of_the_team(db, row, now) if row and row.role == "admin" and envelope.flow in WITH_TEAM else {}),
        )
        standing = Standing(
            known,
            member_id=held.member_id if row else None,
            mailbox_id=row.mailbox_id if row else None,
            mailbox_version=(row.version or 0) if row else 0,
            timezone=row.timezone if row else UTC,
            agency_id=row.agency_id if row else None,
            agency_host=row.agency_host if row else "",
            server_rule=row.server_rule if row else "warn",
            mailbox_size=(row.size or 0) if row else 0,
            apps=_apps(row),
        )
        return self.about(standing, envelope)

    def _of_the_team(self, db: Connection, row: Row, now: datetime) -> dict[str, Any]:
        return _of_the_team(db, row, now, lambda one: self._days_left(one, now.date()))

    def _days_left(self, one: Row, today: date) -> int | None:
        """For how many more days a member's password works; None: for ever, or there is none."""
        if one.secret_kind != PASSWORD or one.address is None:
            return None
        known = self._providers.for_address(one.address, today) or self._providers.for_host(one.host, today)
        return (known.until - today).days if known is not None and known.until is not None else None

    def _away(self, now: datetime) -> dict[str, Any]:
        """From when on the support team works again, where it does not now."""
        if not self._house.desk or self._hours.open_at(now):
            return {}
        back = self._hours.opens(now).astimezone(self._hours.zone)
        return {"away_until": back.date(), "away_hour": f"{back:%H:%M}"}

    def at_a_glance(self, db: Connection, held: Held, now: datetime) -> Facts:
        """What a home shows: with the members of the agency, for its admin."""
        standing = self.read(db, held, Envelope(flow="team"), now)
        known = standing.facts
        if known.agency_server is None:
            return known
        return replace(known, provider=self.provider("", known.agency_server.host, now, standing.apps))

    def about(self, standing: Standing, envelope: Envelope, event: Event | None = None) -> Standing:
        """The facts with what holds for the account that the conversation, or this event, is about."""
        known, agency_host = standing.facts, standing.agency_host
        address, host = conversation.subject(envelope, event)
        if not address and known.mailbox:
            address, host = known.mailbox.account.address, known.mailbox.account.server.host
        provider = self.provider(address, host, known.now, standing.apps) if address else None
        differs = bool(host and agency_host) and not self._providers.same(host, agency_host, known.now.date())
        same = (provider, differs) == (known.provider, known.differs)
        return standing if same else replace(standing, facts=replace(known, provider=provider, differs=differs))

    def provider(self, address: str, host: str, now: datetime, apps: AgencyApps | None = None) -> facts.Provider | None:
        """What the provider of an address demands on this day, as the flows see it; else that of the server.

        With the `apps` of an agency also through whom its people may sign in.
        """
        today = now.date()
        named = self._providers.for_address(address, today)
        known = named or (self._providers.for_host(host, today) if host else None)
        if known is None:
            return None
        found = _provider(known, today)
        way = self._apps.offered(known.sign_in, apps or {}, personal=is_personal(named))
        if way is None:
            return found
        return replace(found, sign_in=way, consent_url=self._apps.consent_url(way, apps or {}))

    def sign_in(self, address: str, host: str, now: datetime, apps: AgencyApps) -> SignInProvider | None:
        """Through whom the owner of an address may sign in, here and with the apps of their agency."""
        found = self.provider(address, host, now, apps)
        return (found.sign_in or None) if found is not None else None

    def same_host(self, one: str, today: date, other: str) -> bool:
        """Whether two hosts are one server: by provider, not by the letters of its name."""
        return self._providers.same(one, other, today)

    def family(self, text: str, today: date) -> str | None:
        """See `named_family`."""
        return named_family(self._providers, text, today)

    def named(self, question: Question, text: str, today: date) -> Question:
        """See the function of the same name."""
        return named(self._providers, question, text, today)

    def hoster(self, address: str, words: str, today: date) -> Account | None:
        """The account at the company that the person names, or None where that is not clear."""
        for named in self._providers.by_name(words, today):
            provider = named.at(address.rpartition("@")[2])
            if provider.server is not None:
                found = provider.server
                server = Server(found.host, found.port, found.security)
                return Account(address, provider.user_for(address), server)
        return None


def named_family(providers: Providers, text: str, today: date) -> str | None:
    """The family of the provider that a text names; None where it names none, or more than one."""
    families = {provider.family for provider in providers.by_name(text, today)}
    return families.pop() if len(families) == 1 else None


def named(providers: Providers, question: Question, text: str, today: date) -> Question:
    """A question with the provider that its text names, and its server, where it is one provider only."""
    found = providers.by_name(text, today)
    if not found or any(other.family != found[0].family for other in found):
        return question
    first = found[0]
    server = Server(first.server.host, first.server.port, first.server.security) if first.server else None
    return replace(question, provider=first.name, server=server)


def _provider(known: Known, today: date) -> facts.Provider:
    return facts.Provider(
        id=known.id,
        name=known.name,
        demand=DEMANDS[known.demand],
        checked=known.checked,
        shape=shape(known),
        app_password_url=known.app_password_url or "",
        until=known.until,
        hint=known.hint,
        access_url=known.enable_access_url or "",
        admin_may_allow=known.admin_may_allow is not None,
        old=known.is_old(today),
        certified=known.certified,
    )


def shape(known: Known) -> str:
    """The name of the exact form of a provider's secrets, if they have one that the flows know."""
    if known.secret_shape.pattern is None:
        return ""
    return next((name for name in SHAPES if name in _SAMPLES and known.secret_shape.fits(_SAMPLES[name])), "")


def _apps(row: Row | None) -> AgencyApps:
    return (row.apps or {}) if row is not None else {}


def _mailbox(row: Row | None) -> facts.Mailbox | None:
    if row is None or row.mailbox_id is None:
        return None
    account = Account(row.address, row.user_name, Server(row.host, row.port, row.security), row.transport)
    secret_id = str(row.secret_id or "")
    door = row.door is not None
    return facts.Mailbox(
        account, row.state, row.cause, secret_id, row.signed_in or "", door, _knock(row) if door else None
    )


def _knock(row: Row) -> Knock | None:
    """What Ally came to the door with last, in the time of its agency; None: it never came with this key."""
    came = [at for at in (row.door_used_at, row.door_refused_at) if at is not None]
    if not came:
        return None
    last = max(came)
    local = last.astimezone(ZoneInfo(row.timezone))
    return Knock(local.date(), f"{local:%H:%M}", row.door_refusal if last == row.door_refused_at else "")


def _roles_of(db: Connection, held: Held) -> tuple[Role, ...]:
    """All memberships of a contact, the one at present among them."""
    return tuple(
        Role(str(one.id), one.agency, one.name, acting=one.id == held.member_id, mails=one.mails)
        for one in people.roles(db, held.contact_id)
    )


def _of_the_team(db: Connection, row: Row, now: datetime, days_left: Callable[[Row], int | None]) -> dict[str, Any]:
    """The members of the agency, and how many more are invited, for its admin."""
    return {"team": _team(db, row, days_left), "invited": people.invited(db, row.agency_id, now)}


def _team(db: Connection, row: Row, days_left: Callable[[Row], int | None]) -> tuple[Teammate, ...]:
    return tuple(
        Teammate(
            id=str(one.id),
            name=one.name,
            role="admin" if one.role == "admin" else "member",
            address=one.address or "",
            state=one.state or "",
            cause=one.cause or "",
            who=one.who or "",
            mails=one.mails,
            me=one.id == row.id,
            days_left=days_left(one),
            door=one.door is not None,
        )
        for one in people.members(db, row.agency_id)
    )


def _agency_server(row: Row | None) -> Server | None:
    if row is None or not row.agency_host:
        return None
    return Server(row.agency_host, row.agency_port, row.agency_security)


def _role(row: Row | None) -> Literal["", "member", "admin"]:
    if row is None:
        return ""
    return "admin" if row.role == "admin" else "member"


def language(stored: str) -> Language:
    """A stored language as one of ours."""
    return next((one for one in LANGUAGES if one == stored), LANGUAGES[0])


def on_the_wire(account: Account) -> WireAccount:
    """An account as the mail room knows it."""
    return WireAccount(account.address, account.user, wire_server(account.server))


def wire_server(server: Server) -> WireServer:
    """A server as the mail room knows it."""
    return WireServer(server.host, server.port, server.security)
