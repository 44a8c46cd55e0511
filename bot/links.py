"""The one-time links behind the page: looked at freely, used once, in one transaction with the turn that follows."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from bot.clock import Clock
from bot.facts import language, shape
from bot.mail.knowledge.provider import Provider
from bot.mail.knowledge.providers import Providers
from bot.oauth_apps import Apps
from bot.records import LINK_TIME
from bot.safe import Safe, use_of
from bot.store import conversations, housekeeping, mailboxes
from bot.store.engine import Connection, Engine, Row, reading
from bot.turns import Turns
from bot.vault import Secret, token, token_hash
from bot.way_back import way_back
from bot.web.secret_page import LinkView, steps_for
from flows import saved
from flows.words import Account, SecretStored


class _NotAwaited(Exception):
    """The link is closed, or its conversation does not wait for a secret any more."""


class LinkBook:
    """Arms links when their message leaves, shows them, and takes the secret that comes through one."""

    def __init__(
        self, engine: Engine, clock: Clock, turns: Turns, safe: Safe, providers: Providers, chat_url: str, apps: Apps,
        door: tuple[str, int] = ("", 465),
    ) -> None:  # fmt: skip
        """`door`: host and port at which Ally can send through us, on the page that shows a key for it."""
        self._engine = engine
        self._clock = clock
        self._turns = turns
        self._safe = safe
        self._providers = providers
        self._chat_url = chat_url
        self._apps = apps
        self._door = door

    def arm(self, db: Connection, link_id: UUID) -> str:
        """A token for a link whose message leaves now; only its hash stays. For a closed link it leads nowhere."""
        clear, hashed = token()
        mailboxes.add_token(db, link_id, hashed, self._clock.now() + LINK_TIME)
        return clear

    def look(self, clear: str) -> LinkView | None:
        """What the page shows; None for an unknown token. Changes nothing."""
        with reading(self._engine) as db:
            row = mailboxes.link_by_token(db, token_hash(clear))
            back = way_back(db, row, self._chat_url) if row else ""
        return self._view(row, self._clock.now(), back) if row else None

    def submit(self, clear: str, secret: Secret, source: str) -> Literal["taken", "closed"]:
        """Use the link up and let the conversation go on, both or neither."""
        del source  # the turn needs no network address; the web room has counted it
        now = self._clock.now()
        try:
            with self._engine.begin() as db:
                self._take(db, token_hash(clear), secret, now)
        except _NotAwaited:
            return "closed"
        return "taken"

    def _take(self, db: Connection, hashed: str, secret: Secret, now: datetime) -> None:
        """Close the link, seal the secret, go on with the conversation. Raises _NotAwaited: nothing of it happened."""
        row = mailboxes.link_by_token(db, hashed)
        held = conversations.hold(db, row.conversation_id) if row else None
        if row is None or held is None or row.kind != "password" or not mailboxes.close_link(db, row.id, now):
            raise _NotAwaited
        use = use_of(saved.load(row.account))
        secret_id = self._safe.put(db, secret, kind="mailbox.password", owner=held.contact_id, use=use, now=now)
        if not self._turns.secret(db, held, SecretStored(str(secret_id), str(row.id))):
            raise _NotAwaited
        housekeeping.audit_entry(db, now, actor=str(held.contact_id), action="link_used", subject=str(row.id))

    def _view(self, row: Row, now: datetime, chat_url: str) -> LinkView:
        if row.kind == "data":
            return _view_of_data(row, now, chat_url)
        account: Account = saved.load(row.account)
        today = now.date()
        known = self._providers.for_address(account.address, today)
        provider = known or self._providers.for_host(account.server.host, today)
        is_open = row.closed_at is None and row.expires_at > now and (row.kind != "door" or bool(self._door[0]))
        host, port = self._door if row.kind == "door" else ("", 0)
        demand: Literal["password", "app_password"] = "password"
        if provider is not None and provider.demand == "app_password":
            demand = "app_password"
        return LinkView(
            language=language(row.language),
            address=account.address,
            host=account.server.host,
            user=account.user,
            provider_name=provider.name if provider else "",
            demand=demand,
            state="open" if is_open else "closed",
            expires_at=row.expires_at,
            shape=shape(provider) if provider else "",
            app_password_url=(provider.app_password_url or "") if provider else "",
            reset_url=(provider.reset_url or "") if provider else "",
            chat_url=chat_url,
            steps=_steps(provider, demand),
            sends_mail=provider is None or not provider.certified,
            sign_in=row.provider,
            sign_in_page=self._apps.page_of(row.provider) if row.provider else "",
            may_look_in=row.provider == "google",
            door=host,
            door_port=port,
            admin=row.role == "admin",
            name=row.name,
            agency=row.agency,
        )


def _view_of_data(row: Row, now: datetime, chat_url: str) -> LinkView:
    """A link that is about a person, and no mailbox."""
    return LinkView(
        language=language(row.language),
        address="",
        host="",
        user="",
        provider_name="",
        demand="password",
        state="open" if row.closed_at is None and row.expires_at > now else "closed",
        expires_at=row.expires_at,
        chat_url=chat_url,
        data=True,
    )


def _steps(provider: Provider | None, demand: str) -> tuple[str, ...]:
    return steps_for(provider.id) if provider is not None and demand == "app_password" else ()
