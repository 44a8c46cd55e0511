"""Some of those who stay have signed in at a provider, in place of a password: the playground's, a real OpenID server.

Their access tokens have to be renewed all the time, by whichever process needs one first.
"""

from __future__ import annotations

import contextlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self
from unittest.mock import patch

from bot import grants
from bot.mail.wire import oauth
from bot.playground import identity, identity_server
from bot.playground.identity import CLIENT_ID, IMAP_ACCESS, REFRESH_LIVES, SMTP_SEND, Grant, Identity
from bot.playground.identity_page import PATH, served_identity
from flows.words import Account, Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from bot.app import Parts
    from bot.playground.mail import Sandbox
    from bot.store.engine import Connection

DOMAIN = identity.DOMAIN
EVERY = 3  # one of so many of those who stay
LIVES = grants.EARLY + timedelta(seconds=5)  # so long an access token is good: it is renewed every few seconds
SCOPE = f"{SMTP_SEND} {IMAP_ACCESS}"
PROVIDER = {
    "id": "sandbox_office", "family": "microsoft", "name": identity.PROVIDER, "domains": [DOMAIN],
    "sent_copy": "auto", "sign_in": "microsoft", "policy": [{"demand": "oauth_only"}],
}  # fmt: skip


def signs_in(name: str) -> bool:
    """Whether somebody of this name has no password: newcomers, who type theirs, all have one."""
    return name.startswith("ana") and int(name.removeprefix("ana")) % EVERY == EVERY - 1


class Forgiving(Identity):
    """As Microsoft does it takes a refresh token that was used already: who asked may have died over the answer."""

    def renewable(self, refresh: str) -> Grant | None:
        """The grant of any of its refresh tokens."""
        return next((one for one in self._grants if refresh in (one.refresh, *one.spent)), None)

    def given(self, address: str) -> oauth.Granted:
        """What a sign-in gives, without the person and the browser."""
        access, refresh, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), self.now()
        self._grants.append(Grant(address, SCOPE, access, refresh, now + LIVES, now + REFRESH_LIVES))
        return oauth.Granted(access, refresh, int(LIVES.total_seconds()), tuple(SCOPE.split()), None)


class Office:
    """The provider, while it is a context; `identity` tells the mail server whose token is good."""

    def __init__(self, addresses: tuple[str, ...], redirect_uri: str) -> None:
        self.identity = Forgiving(redirect_uri, lambda: datetime.now(UTC), addresses)
        self.sandbox: Sandbox | None = None
        self._issuer = ""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        assert self.sandbox is not None
        for module in (identity, identity_server):
            self._stack.enter_context(patch.object(module, "ACCESS_LIVES", LIVES))
        url = self._stack.enter_context(served_identity(self.identity, self.sandbox.post))
        self._issuer = f"{url}{PATH}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def settings(self) -> Mapping[str, str]:
        """With which the product finds its way here."""
        return {
            "MICROSOFT_CLIENT_ID": CLIENT_ID,
            "MICROSOFT_CLIENT_SECRET": self.identity.client_secret,
            "MICROSOFT_AUTHORITY": self._issuer,
        }

    def account(self, address: str) -> Account:
        """How somebody's mail leaves."""
        assert self.sandbox is not None
        return Account(address, address, Server(self.sandbox.host, self.sandbox.ports["submission"], "starttls"))

    def secret(self, parts: Parts, db: Connection, owner: UUID, account: Account) -> UUID:
        """Somebody has signed in: what keeps it."""
        grant = grants.Grant("microsoft", CLIENT_ID, self._issuer, account.address, account.address, revocable=True)
        given = self.identity.given(account.address)
        return grants.keep(parts.safe, db, grant, given, account, owner, parts.clock.now())
