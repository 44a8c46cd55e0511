"""What people granted us by signing in at their providers: kept fresh, ended, and taken back.

The refresh token is the secret that flows carry; the access token is renewed five minutes before its end. Some
providers give a new refresh token with each renewal and take the old one no more, so two rules hold: one process asks
at a time (a claim in the grant's row, longer than a request may take), and what the provider answered is written down
before anything else, waiting for a database that is away.

Between that answer and the commit a process may die all the same. Then nobody knows the new refresh token and the old
one is refused: the grant is over, and its person is asked, once and kindly, to sign in again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from bot.handiwork import Ended, Outcome, Tools
from bot.insist import insist
from bot.live_tests import stored
from bot.mail.wire import oauth as wire
from bot.mail.wire.account import Token
from bot.oauth_apps import App
from bot.safe import Safe, use_of
from bot.store import conversations, grants, mailboxes, promises, secrets, watches
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.unasked import About, warn
from bot.vault import Kind, Secret, Unopenable
from flows.words import Account, GrantEnded, SignInProvider

EARLY = timedelta(minutes=5)  # before its end an access token is renewed
LEASE = timedelta(seconds=45)  # within which one process asks for a new one; a request ends before, as good as always
BUSY = 3.0  # seconds until what another process renews is there
ELSEWHERE = "another process renews the sign-in"
LATER = 60.0  # seconds until a provider that does not answer is asked again
MISSET = 3600.0  # seconds until something is tried again that only the operator can mend
REST = timedelta(days=30)  # without use a grant is renewed: Microsoft ends what was not used for 90 days
ASIDE = timedelta(minutes=2)
MANY = 500
MAX_REVOKES = 8
REVOKE_AGAIN = (60.0, 600.0, 3600.0, 21600.0)
CAUSE = "wrong_credentials"  # of a mailbox whose grant is over; its person signs in again
# What a provider says that ends a grant; anything else may pass.
OVER = frozenset({"revoked", "denied", "consent"})
_log = structlog.get_logger(__name__)


class OverError(Unopenable):
    """The provider lets us in no more: the grant was erased. Without a provider: another process has heard of it.

    Its person is told after `ASIDE`, unless they hear it before, with the answer to what they asked for.
    """

    def __init__(self, why: str, provider: SignInProvider | Literal[""] = "", mailbox_id: UUID | None = None) -> None:
        super().__init__(why)
        self.provider = provider
        self.mailbox_id = mailbox_id


class NotNowError(Exception):
    """There is no access token at the moment; try again in so many seconds."""

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds


class ElsewhereError(NotNowError):
    """Another process is just renewing it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody granted, before it is kept."""

    provider: SignInProvider
    client_id: str
    issuer: str
    subject: str
    account: str
    revocable: bool


def kind_of(provider: SignInProvider) -> Kind:
    """The kind of secret that a refresh token is."""
    return "mailbox.oauth.google" if provider == "google" else "mailbox.oauth.microsoft"


def use_of_grant(account: Account, issuer: str, client_id: str, signed_in: str) -> dict[str, str | int]:
    """What a grant's tokens may be used with. Addresses as hashes: this outlives its person until it is taken back."""
    use = use_of(account)
    bound = {"issuer": issuer, "client": client_id, "account": _hashed(signed_in), "transport": account.transport}
    return {**use, **bound, "user": _hashed(account.user)}


def _hashed(text: str) -> str:
    return hashlib.sha256(text.lower().encode()).hexdigest()


def _use(row: Row, account: Account) -> dict[str, str | int]:
    return use_of_grant(account, row.issuer, row.client_id, row.account)


# --- keeping ----------------------------------------------------------------------------------------------------------


def keep(
    safe: Safe, db: Connection, grant: Grant, granted: wire.Granted, account: Account, owner: UUID, now: datetime
) -> UUID:
    """Keep what was granted; the id of the secret. Nobody's mailbox yet: it is erased like any unclaimed secret."""
    use = use_of_grant(account, grant.issuer, grant.client_id, grant.account)
    refresh = Secret(granted.refresh)
    secret_id = safe.put(db, refresh, kind=kind_of(grant.provider), owner=owner, use=use, now=now)
    lasts = timedelta(seconds=granted.expires_in)
    token = Secret(granted.access)
    access_id = safe.put(db, token, kind="mailbox.access", owner=owner, use=use, now=now, keep=lasts)
    grants.add(
        db,
        secret_id,
        provider=grant.provider,
        client_id=grant.client_id,
        issuer=grant.issuer,
        subject=grant.subject,
        account=grant.account,
        scopes=" ".join(granted.scopes),
        access_id=access_id,
        access_until=now + lasts,
        refreshed_at=now,
        revocable=grant.revocable,
    )
    return secret_id


# --- fresh ------------------------------------------------------------------------------------------------------------


def fresh(tools: Tools, secret_id: UUID, account: Account, refused: Token | None = None) -> Token:
    """An access token that is good for some minutes, for this account and no other.

    `refused`: the one that a server did not take although it should be good; another one is asked for. Raises
    Unopenable (it was erased, or is for something else), OverError (the provider takes it no more), NotNowError.
    """
    with reading(tools.engine) as db:
        row = grants.get(db, secret_id)
        if row is None:
            raise Unopenable("This secret was erased.")
        check_way(tools, row.provider, account)
        token = _current(tools, db, row, account)
    now = tools.clock.now()
    token = None if token == refused else token
    if token is not None and row.access_until > now + EARLY:
        return token
    with tools.engine.begin() as db:
        mine = grants.claim(db, secret_id, row.generation, now, now + LEASE)
    if mine:
        return _renewed(tools, row, account, token)
    if token is not None and row.access_until > now:
        return token
    raise ElsewhereError(BUSY, ELSEWHERE)


def check_way(tools: Tools, provider: SignInProvider, account: Account) -> None:
    """A token goes to a server of its provider only, whatever the database says. Raises Unopenable."""
    if account.transport == "graph":
        theirs = provider == "microsoft"
    else:
        theirs = account.server.host in tools.providers.token_hosts(provider)
    if not theirs:
        _log.error("a sign-in is stored for a server that is not its provider's", provider=provider)
        raise Unopenable("This secret is not for that server.")


def _current(tools: Tools, db: Connection, row: Row, account: Account) -> Token | None:
    if row.access_id is None:
        return None
    try:
        clear = tools.safe.take(db, row.access_id, kind="mailbox.access", use=_use(row, account))
    except Unopenable:
        return None  # it had its time; the refresh token tells whether it may be used so at all
    return Token(clear.reveal())


def _renewed(tools: Tools, row: Row, account: Account, old: Token | None) -> Token:
    """Ask the provider; we alone do. The old token serves for its last minutes where there is no new one."""
    try:
        granted = _asked(tools, row, account)
    except NotNowError as failure:
        _log.warning("a sign-in could not be renewed; it is tried again", grant=str(row.secret_id), why=str(failure))
        rest = tools.clock.now() + timedelta(seconds=min(failure.seconds, LATER))
        with tools.engine.begin() as db:
            grants.rest(db, row.secret_id, row.generation, rest)
        if old is not None and row.access_until > tools.clock.now():
            return old
        raise
    if insist(lambda: _keep_renewed(tools, row, account, granted)):
        return Token(granted.access)
    return fresh(tools, row.secret_id, account)  # somebody was faster, and what they have is newer


def _asked(tools: Tools, row: Row, account: Account) -> wire.Granted:
    """What the provider gives for the refresh token. Raises OverError, Unopenable, NotNowError."""
    with reading(tools.engine) as db:
        refresh = tools.safe.take(db, row.secret_id, kind=kind_of(row.provider), use=_use(row, account))
        app = tools.apps.issued(db, row.provider, row.client_id)
    if app is None:
        raise _without_an_app(tools, row, account)
    try:
        return wire.refresh(tools.apps.client(app), refresh.reveal())
    except wire.Away as away:
        raise NotNowError(away.seconds or LATER, "the provider does not answer") from None
    except wire.Refused as refused:
        raise _refused(tools, row, account, refused) from None


def _refused(tools: Tools, row: Row, account: Account, refused: wire.Refused) -> Exception:
    if refused.cause in OVER:
        return _over(tools, row, account, f"{refused.error} {refused.suberror}".strip())
    why = f"{refused.error} {refused.suberror}".strip()
    if refused.cause == "ours":
        setting = f"{str(row.provider).upper()}_CLIENT_SECRET"
        _log.error(f"{setting}: the provider renews no sign-in with it", error=why, hint=refused.hint)
        return NotNowError(MISSET, why)
    _log.warning("a provider refuses to renew a sign-in", provider=row.provider, error=why, hint=refused.hint)
    return NotNowError(MISSET, why)


def _without_an_app(tools: Tools, row: Row, account: Account) -> Exception:
    """A grant belongs to one app: where that was replaced its person signs in anew; else the operator forgot it."""
    if any(app.provider == row.provider for app in tools.apps.own):
        return _over(tools, row, account, "the app was replaced")
    _log.error(f"{str(row.provider).upper()}_CLIENT_ID: people signed in through it, and it is not set")
    return NotNowError(MISSET, "no app is configured")


def _keep_renewed(tools: Tools, row: Row, account: Account, granted: wire.Granted) -> bool:
    """Keep what the provider gave, all of it together; False: it was renewed, replaced or erased meanwhile."""
    now, lasts, use = tools.clock.now(), timedelta(seconds=granted.expires_in), _use(row, account)
    with tools.engine.begin() as db:
        still = grants.locked(db, row.secret_id)
        if still is None or still.generation != row.generation:
            return False
        if granted.refresh:
            tools.safe.reseal(db, row.secret_id, Secret(granted.refresh), kind=kind_of(row.provider), use=use)
        owner = _owner(db, row.secret_id)
        token = Secret(granted.access)
        access = tools.safe.put(db, token, kind="mailbox.access", owner=owner, use=use, now=now, keep=lasts)
        grants.renewed(db, row.secret_id, access_id=access, access_until=now + lasts, refreshed_at=now)
        secrets.erase(db, [still.access_id] if still.access_id else [])
    return True


def _owner(db: Connection, secret_id: UUID) -> UUID:
    record = secrets.get(db, secret_id)
    if record is None:
        raise Unopenable("This secret was erased.")
    return record.owner_id


# --- the end ----------------------------------------------------------------------------------------------------------


def _over(tools: Tools, row: Row, account: Account, why: str) -> Exception:
    """The provider takes it no more: erased, its mailbox broken, its person told - together, and once."""
    now = tools.clock.now()
    with tools.engine.begin() as db:
        box = grants.mailbox_of(db, row.secret_id)
        theirs = watches.best_conversation(db, box.member_id, now) if box is not None else None
        if theirs is not None:
            conversations.hold(db, theirs)  # before the mailbox, as a turn does it
        still = grants.locked(db, row.secret_id)
        if still is None:
            return OverError("This secret was erased.")
        if still.generation != row.generation:  # another process was faster: what it got is newer
            return ElsewhereError(BUSY, ELSEWHERE)
        grants.drop(db, row.secret_id)
        if box is not None and _broken(db, box, now):
            news = GrantEnded(account.address, row.provider)
            about = About("mailbox_waits", box.address, box.id, box.version + 1)
            warn(db, box.member_id, news, about, now, earliest=now + ASIDE)
    _log.info("a sign-in has ended", provider=row.provider, why=why)
    return OverError(f"The provider lets us in no more: {why}", row.provider, box.id if box is not None else None)


def _broken(db: Connection, box: Row, now: datetime) -> bool:
    return mailboxes.settle(db, box.id, box.version, "broken", CAUSE, "user", now, of=box.state)


# --- hands ------------------------------------------------------------------------------------------------------------


def keep_grants(tools: Tools, promise: Promise) -> Outcome:
    """Renew what nobody has used for a month: providers end what is not used."""
    del promise  # it says no more than that it is time
    with reading(tools.engine) as db:
        due = grants.unused(db, tools.clock.now() - REST, MANY)
    return Ended(words=f"{sum(_kept(tools, row) for row in due)} of {len(due)}")


def _kept(tools: Tools, row: Row) -> bool:
    try:
        fresh(tools, row.secret_id, stored(row))
    except (Unopenable, NotNowError) as failure:
        _log.info("a sign-in that nobody used was not renewed", mailbox=str(row.id), why=str(failure))
        return False
    return True


def revoke(tools: Tools, promise: Promise) -> Outcome:
    """Take back at the providers what we gave up; what does not work for long is erased all the same."""
    del promise  # it says no more than that it is time
    with reading(tools.engine) as db:
        due = grants.leaving(db, tools.clock.now())
    done = sum(_taken_back(tools, row) for row in due)
    return Ended(words=f"{done} of {len(due)}")


def _taken_back(tools: Tools, row: Row) -> bool:
    with reading(tools.engine) as db:
        again = grants.granted_again(db, row.provider, row.client_id, row.subject)
        app = None if again else tools.apps.issued(db, row.provider, row.client_id)
        clear = _left(tools.safe, db, row)
    done = app is None or clear is None
    if app is not None and clear is not None:
        done = _revoked(tools, wire_app=app, clear=clear)
    with tools.engine.begin() as db:
        if done or row.tries + 1 >= MAX_REVOKES:
            grants.drop(db, row.secret_id)
        else:
            wait = REVOKE_AGAIN[min(row.tries, len(REVOKE_AGAIN) - 1)]
            grants.take_back_later(db, row.secret_id, tools.clock.now() + timedelta(seconds=wait))
    return done


def _left(safe: Safe, db: Connection, row: Row) -> Secret | None:
    record = secrets.get(db, row.secret_id)
    if record is None:
        return None
    use: Mapping[str, str | int] = record.bound_to
    try:
        return safe.take(db, row.secret_id, kind=kind_of(row.provider), use=use)
    except Unopenable:
        return None


def _revoked(tools: Tools, *, wire_app: App, clear: Secret) -> bool:
    try:
        wire.revoke(tools.apps.client(wire_app), clear.reveal())
    except wire.Refused as refused:
        _log.warning("a sign-in that was given up is not taken back by its provider", error=refused.error)
        return refused.cause in OVER  # it was over anyway
    except wire.Away:
        return False
    return True


def told_with(promise: Promise, over: OverError, outcome: Ended) -> Ended:
    """That a sign-in has ended is told by day; whoever waits for an answer at this moment hears it with that, once."""

    def along(db: Connection) -> bool:
        if promise.conversation_id is not None and over.mailbox_id is not None:
            promises.drop_warnings(db, promise.conversation_id, over.mailbox_id)
        return outcome.along(db)

    return replace(outcome, along=along)
