"""Our apps at Google and Microsoft: the installation's own, and those of agencies. Which of them is whose."""

from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext
from urllib.parse import urlsplit
from uuid import UUID

from bot.mail.knowledge.provider import Provider
from bot.mail.wire import oauth as wire
from bot.mail.wire.graph import GRAPH
from bot.safe import Safe
from bot.settings import Settings
from bot.store import grants
from bot.store.engine import Connection, Row
from bot.vault import Secret, Unopenable
from flows.words import SignInProvider

PROVIDERS: tuple[SignInProvider, ...] = ("microsoft", "google")
# The names that a person's browser shows while they sign in, as of November 2026.
_PAGES: dict[SignInProvider, str] = {"microsoft": "login.microsoftonline.com", "google": "accounts.google.com"}
_PERSONAL = frozenset({"gmail", "outlook_com"})  # accounts that belong to no organisation
ANYBODY = "common"  # organisations and personal accounts, as Microsoft calls it
CONSENTED = "consent"  # what an administrator comes back with


@dataclass(frozen=True, slots=True)
class App:
    """One app at a provider. `tenant`: the one organisation (of Microsoft's) that it is for; empty: any."""

    provider: SignInProvider
    client_id: str
    secret: Secret
    tenant: str = ""


def use_of_app(provider: str, client_id: str, tenant: str) -> dict[str, str | int]:
    """What the secret of an agency's app may be used with."""
    return {"provider": provider, "client": client_id, "tenant": tenant}


def redirect_uri(url: str, provider: SignInProvider) -> str:
    """Where a provider sends people back to; `url`: the installation's own."""
    return f"{url}/oauth/{provider}/callback"


def sign_in_pages(settings: Settings) -> dict[SignInProvider, str]:
    """The names of the providers' own pages, as a person's browser shows them."""
    given = {"microsoft": settings.microsoft_authority, "google": settings.google_authority}
    return {provider: urlsplit(given[provider]).netloc or _PAGES[provider] for provider in PROVIDERS}


class Apps:
    """Knows the apps. Safe to share between threads."""

    def __init__(self, safe: Safe, settings: Settings, context: SSLContext | None = None) -> None:
        """`context`: whom to trust on the way to a provider."""
        self._safe = safe
        self._web = wire.Web(context)
        self._url = settings.url
        self.graph_url = settings.graph_url or GRAPH
        self._verified = settings.google_verified == "yes"
        self._authority: dict[SignInProvider, str] = {
            "microsoft": settings.microsoft_authority,
            "google": settings.google_authority,
        }
        self._pages = sign_in_pages(settings)
        given: tuple[tuple[SignInProvider, str, str], ...] = (
            ("microsoft", settings.microsoft_client_id, settings.microsoft_client_secret),
            ("google", settings.google_client_id, settings.google_client_secret),
        )
        self._endpoints: dict[tuple[SignInProvider, str, str], wire.Endpoints] = {}
        self._own = {provider: App(provider, id_, Secret(secret)) for provider, id_, secret in given if id_}

    @property
    def own(self) -> tuple[App, ...]:
        """The apps of the installation."""
        return tuple(self._own.values())

    def any(self, db: Connection) -> bool:
        """Whether anybody can sign in anywhere."""
        return bool(self._own) or grants.any_app(db)

    def redirect_uri(self, provider: SignInProvider) -> str:
        """Where a provider sends people back to; it has to be registered there letter by letter."""
        return redirect_uri(self._url, provider)

    def page_of(self, provider: SignInProvider) -> str:
        """The name of the provider's page, as a person's browser shows it."""
        return self._pages[provider]

    # --- whose ---

    def offered(
        self, provider: SignInProvider | None, apps: Mapping[str, list[str]], *, personal: bool
    ) -> SignInProvider | None:
        """`provider`, if a person may sign in there; `apps`: of their agency, as `mailboxes.standing` has them.

        A personal account belongs to no organisation: the app of one does not let it in, and Google shows the public
        a warning until it has verified the app.
        """
        if provider is None:
            return None
        if personal:
            there = provider in self._own and (provider != "google" or self._verified)
            return provider if there else None
        return provider if provider in apps or provider in self._own else None

    def consent_url(self, provider: SignInProvider, apps: Mapping[str, list[str]]) -> str:
        """Where an administrator lets the app in for their whole organisation; empty: there is no such page."""
        own = self._own.get(provider)
        client_id, tenant = apps.get(provider) or (own.client_id if own is not None else "", "")
        if not client_id or self._authority[provider]:
            return ""
        client = wire.Client(provider, client_id, "", wire.endpoints(provider, tenant=tenant or ANYBODY))
        return wire.admin_consent_url(client, redirect_uri=self.redirect_uri(provider), state=CONSENTED)

    def of_agency(self, db: Connection, agency_id: UUID, provider: SignInProvider, *, personal: bool) -> App | None:
        """The app through which somebody of an agency signs in; the installation's for a personal account."""
        row = None if personal else grants.app(db, agency_id, provider)
        theirs = self._opened(db, row) if row is not None else None
        return theirs or self._own.get(provider)

    def issued(self, db: Connection, provider: SignInProvider, client_id: str) -> App | None:
        """The app to which something was granted; None: it is none of ours any more."""
        own = self._own.get(provider)
        if own is not None and own.client_id == client_id:
            return own
        row = grants.app_by_client(db, provider, client_id)
        return self._opened(db, row) if row is not None else None

    def may_stand(self, db: Connection, agency_id: UUID, provider: SignInProvider, client_id: str, tenant: str) -> bool:
        """Whether an agency may have this app: one id at two tenants could not be told apart when something comes back.

        The app under which something was granted is known by its id alone.
        """
        own = self._own.get(provider)
        if own is not None and own.client_id == client_id and tenant:
            return False
        others = [row for row in grants.apps(db) if row.agency_id != agency_id]
        return all(row.tenant == tenant for row in others if (row.provider, row.client_id) == (provider, client_id))

    def _opened(self, db: Connection, row: Row) -> App | None:
        use = use_of_app(row.provider, row.client_id, row.tenant)
        try:
            secret = self._safe.take(db, row.secret_id, kind="oauth.client", use=use) if row.secret_id else None
        except Unopenable:
            return None
        return App(row.provider, row.client_id, secret, row.tenant) if secret is not None else None

    # --- on the wire ---

    def client(self, app: App) -> wire.Client:
        """An app as the wire needs it; never called within a transaction. Raises wire.Away, wire.Refused."""
        return wire.Client(app.provider, app.client_id, app.secret.reveal(), self.endpoints(app), self._web)

    def endpoints(self, app: App) -> wire.Endpoints:
        """Where its provider does what; what could not be had is asked again. Raises wire.Away, wire.Refused."""
        asked = (app.provider, self._authority[app.provider], app.tenant)
        if asked not in self._endpoints:
            provider, authority, tenant = asked
            self._endpoints[asked] = wire.endpoints(provider, authority, tenant=tenant or ANYBODY, web=self._web)
        return self._endpoints[asked]


def is_personal(named: Provider | None) -> bool:
    """Whether an address, whose own provider this is (None: it has a domain of its own), is in no organisation."""
    return named is not None and named.id in _PERSONAL


def lets_us_look(transport: str, provider: str, scopes: str) -> bool:
    """Whether what was granted, scopes with blanks between them, lets us look into the mailbox."""
    return transport == "smtp" and (provider == "google" or "IMAP." in scopes)
