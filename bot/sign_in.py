"""Signing in at Microsoft or Google: from a one-time link to the provider's page, and back with what was granted.

One way there and back is a random state, of which only the hash is stored, bound to the link, the browser that left and
the provider. It is used up before anything else, and the code is exchanged with no transaction open. Only then, all in
one transaction, is the link used up, the grant sealed and the conversation led on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import structlog

from bot.clock import Clock
from bot.facts import language
from bot.grants import Grant, keep
from bot.mail.knowledge.providers import Providers
from bot.mail.wire import oauth as wire
from bot.mail.wire.addresses import BadAddress, normalise
from bot.oauth_apps import App, Apps, is_personal
from bot.safe import Safe
from bot.store import conversations, grants, housekeeping, mailboxes, secrets
from bot.store.engine import Connection, Engine, Row, reading
from bot.turns import Turns
from bot.vault import Secret, Unopenable, token, token_hash
from bot.way_back import way_back
from flows import saved
from flows.words import Account, Language, SignedIn, SignInFailed, SignInProvider

STATE_TIME = timedelta(minutes=10)
# What became of it; each is a page of its own. `closed`: nothing was changed.
Reason = Literal["denied", "other_account", "consent", "away", "ours", "other"]
What = Literal["done", "closed"] | Reason
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Somebody may leave for their provider's page: its address, and what only their browser may know."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class Back:
    """What became of it, for the page: in whose language, for which address, and the way back to the chat."""

    what: What
    language: Language | Literal[""] = ""
    address: str = ""
    other: str = ""
    chat_url: str = ""


CLOSED = Back("closed")


class _NotAwaitedError(Exception):
    """The link is closed, or its conversation does not wait for this any more."""


class SignIns:
    """The steps of signing in. Safe to share between threads."""

    def __init__(
        self, engine: Engine, clock: Clock, turns: Turns, safe: Safe, apps: Apps, providers: Providers, chat_url: str
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._turns = turns
        self._safe = safe
        self._apps = apps
        self._providers = providers
        self._chat_url = chat_url

    # --- leaving ---

    def begin(self, link_token: str, provider: SignInProvider) -> Leaving | Back:
        """A way to the provider's page and back, for the open link of this token. The link is not used up."""
        with reading(self._engine) as db:
            row = mailboxes.link_by_token(db, token_hash(link_token))
            if row is None or not _is_open(row, provider, self._clock):
                return CLOSED
            account: Account = saved.load(row.account)
            app = self._app(db, row, account, provider)
        if app is None:
            _log.error(f"{provider.upper()}_CLIENT_ID: somebody wants to sign in through it, and it is not set")
            return self._ended(row, "ours")
        try:
            client = self._apps.client(app)
        except (wire.Away, wire.Refused) as failure:
            _log.warning("a provider does not say where to sign in", provider=provider, why=str(failure))
            return self._ended(row, "away")
        return self._leave(row, account, client)

    def _app(self, db: Connection, row: Row, account: Account, provider: SignInProvider) -> App | None:
        named = self._providers.for_address(account.address, self._clock.now().date())
        return self._apps.of_agency(db, row.agency_id, provider, personal=is_personal(named))

    def _leave(self, row: Row, account: Account, client: wire.Client) -> Leaving:
        (state, hashed), (browser, browser_hash) = token(), token()
        (first, _), (second, _), (nonce, _) = token(), token(), token()
        verifier = f"{first}.{second}"
        now = self._clock.now()
        with self._engine.begin() as db:
            sealed = self._safe.put(
                db, Secret(f"{verifier} {nonce}"), kind="oauth.way", owner=row.contact_id, use=_way_use(hashed),
                now=now, keep=STATE_TIME,
            )  # fmt: skip
            earlier = grants.keep_state(
                db, hashed, row.id, now + STATE_TIME, provider=client.provider, client_id=client.client_id,
                browser_hash=browser_hash, sealed_id=sealed,
            )  # fmt: skip
            secrets.erase(db, earlier)
        url = wire.authorization_url(
            client,
            redirect_uri=self._apps.redirect_uri(client.provider),
            scopes=wire.scopes(client.provider, account.transport),
            state=state,
            nonce=nonce,
            verifier=verifier,
            login_hint=account.user if "@" in account.user else account.address,
        )
        return Leaving(url, browser)

    # --- coming back ---

    def finish(self, provider: SignInProvider, browser: str, query: Mapping[str, str]) -> Back:
        """Somebody is back from the provider, with a code or an error.

        A state that is unknown, used, too old, of another provider or of another browser changes nothing.
        """
        hashed = token_hash(query.get("state", ""))
        with self._engine.begin() as db:
            way = grants.use_state(db, hashed, provider, token_hash(browser), self._clock.now())
            row = mailboxes.link_by_id(db, way.link_id) if way is not None else None
            proof = self._proof(db, way) if way is not None else None
            app = self._apps.issued(db, provider, way.client_id) if way is not None else None
            if way is not None:
                secrets.erase(db, [way.sealed_id] if way.sealed_id else [])
        if row is None or proof is None:
            return CLOSED
        if app is None:
            return self._ended(row, "ours")
        return self._exchanged(row, app, proof, query)

    def _proof(self, db: Connection, way: Row) -> tuple[str, str] | None:
        """Verifier and nonce of a way."""
        if way.sealed_id is None:
            return None
        try:
            clear = self._safe.take(db, way.sealed_id, kind="oauth.way", use=_way_use(way.hash))
        except Unopenable:
            return None
        verifier, _, nonce = clear.reveal().partition(" ")
        return verifier, nonce

    def _exchanged(self, row: Row, app: App, proof: tuple[str, str], query: Mapping[str, str]) -> Back:
        """Exchange the code; no transaction is open meanwhile."""
        verifier, nonce = proof
        try:
            client = self._apps.client(app)
            code = wire.check_callback(client, query)
            granted = wire.exchange(
                client, code=code, verifier=verifier, redirect_uri=self._apps.redirect_uri(app.provider), nonce=nonce,
                now=self._clock.now().timestamp(),
            )  # fmt: skip
        except wire.Away as away:
            _log.warning("a provider does not answer a sign-in", provider=app.provider, why=str(away))
            return self._ended(row, "away")
        except wire.Refused as refused:
            return self._refused(row, app, refused)
        return self._judged(row, app, client, granted)

    def _refused(self, row: Row, app: App, refused: wire.Refused) -> Back:
        if refused.error == "issuer_mismatch":
            _log.error("somebody came back from another provider than they left for", provider=app.provider)
            return CLOSED
        reasons: dict[str, Reason] = {"denied": "denied", "consent": "consent", "ours": "ours"}
        reason = reasons.get(refused.cause, "other")
        said = _log.error if reason == "ours" else _log.info
        said("a sign-in came to nothing", provider=app.provider, error=str(refused), reason=reason)
        return self._ended(row, reason)

    def _judged(self, row: Row, app: App, client: wire.Client, granted: wire.Granted) -> Back:
        """Whether it is the right account, and allows what we need; else what was granted is given back."""
        account: Account = saved.load(row.account)
        who = granted.identity
        if who is None or not _is_theirs(account, who):
            self._give_back(client, granted)
            other = who.addresses[0] if who is not None and who.addresses else ""
            return self._ended(row, "other_account", other)
        if not _lets_us_send(app.provider, account, granted):
            self._give_back(client, granted)
            return self._ended(row, "denied")
        grant = Grant(
            app.provider, app.client_id, who.issuer, who.subject, _signed_in(account, who),
            revocable=bool(client.endpoints.revoke),
        )  # fmt: skip
        try:
            with self._engine.begin() as db:
                self._take(db, row, grant, granted, account)
        except _NotAwaitedError:
            self._give_back(client, granted)
            return CLOSED
        return self._page(row, "done")

    def _take(self, db: Connection, row: Row, grant: Grant, granted: wire.Granted, account: Account) -> None:
        """Close the link, seal the grant, go on with the conversation. Raises _NotAwaitedError: nothing happened."""
        now = self._clock.now()
        held = conversations.hold(db, row.conversation_id)
        if held is None or not mailboxes.close_link(db, row.id, now):
            raise _NotAwaitedError
        secret_id = keep(self._safe, db, grant, granted, account, held.contact_id, now)
        if not self._turns.secret(db, held, SignedIn(str(secret_id), str(row.id))):
            raise _NotAwaitedError
        housekeeping.audit_entry(db, now, actor=str(held.contact_id), action="link_used", subject=str(row.id))

    def _ended(self, row: Row, why: Reason, other: str = "") -> Back:
        """It came to nothing: the link is used up, and the conversation goes on with why."""
        with self._engine.begin() as db:
            held = conversations.hold(db, row.conversation_id)
            if held is None or not mailboxes.close_link(db, row.id, self._clock.now()):
                return CLOSED
            self._turns.secret(db, held, SignInFailed(why, str(row.id), other))
        return self._page(row, why, other)

    def _page(self, row: Row, what: What, other: str = "") -> Back:
        account: Account = saved.load(row.account)
        with reading(self._engine) as db:
            back = way_back(db, row, self._chat_url)
        return Back(what, language(row.language), account.address, other, back)

    def _give_back(self, client: wire.Client, granted: wire.Granted) -> None:
        """What we do not keep is worth nothing any more; unless that would end what the same account granted before."""
        who = granted.identity
        with reading(self._engine) as db:
            if who is not None and grants.granted_again(db, client.provider, client.client_id, who.subject):
                return
        try:
            wire.revoke(client, granted.refresh)
        except (wire.Away, wire.Refused) as failure:
            _log.warning("a sign-in of no use to us could not be given back", why=str(failure))


def _is_open(row: Row, provider: SignInProvider, clock: Clock) -> bool:
    mine = row.kind == "sign_in" and row.provider == provider
    return mine and row.closed_at is None and row.expires_at > clock.now()


def _way_use(hashed: str) -> dict[str, str | int]:
    return {"state": hashed}


def _is_theirs(account: Account, who: wire.Identity) -> bool:
    """Whether who signed in is who has the mailbox: by its address, or by the name with which it signs in."""
    return bool({_normal(account.address), _normal(account.user)} & set(who.addresses))


def _signed_in(account: Account, who: wire.Identity) -> str:
    address = _normal(account.address)
    return address if address in who.addresses else who.addresses[0]


def _normal(address: str) -> str:
    try:
        return normalise(address).lower()
    except BadAddress:
        return "?"


def _lets_us_send(provider: SignInProvider, account: Account, granted: wire.Granted) -> bool:
    """Whether the one scope for sending is granted: a person can leave it out on Google's page, and press Continue.

    Microsoft writes its scopes with or without the service in front of them.
    """
    wanted = wire.scopes(provider, account.transport)[0].rstrip("/").rpartition("/")[2].lower()
    given = {scope.rstrip("/").rpartition("/")[2].lower() for scope in granted.scopes}
    return not granted.scopes or wanted in given
