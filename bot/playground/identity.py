"""Who may sign in at the stand-in for Microsoft, and what was granted: all of it in memory.

What is said over HTTP stands in `identity_server.py`, what the person sees in `identity_page.py`. A mail server asks
here whether a token opens a mailbox, as `xoauth2.Tokens` describes it.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, get_args

DOMAIN = "office.test"
PROVIDER = "Sandbox Office"
ADDRESSES = (f"sol@{DOMAIN}", f"lua@{DOMAIN}")
CLIENT_ID = "playground"  # the same after a restart: what was granted before is then revoked, and not of a foreign app
SMTP_SEND = "https://outlook.office.com/SMTP.Send"
IMAP_ACCESS = "https://outlook.office.com/IMAP.AccessAsUser.All"
GRAPH_SEND = "https://graph.microsoft.com/Mail.Send"
SCOPES = (SMTP_SEND, IMAP_ACCESS, GRAPH_SEND, "offline_access", "openid", "profile", "email")

CODE_LIVES = timedelta(minutes=5)
ACCESS_LIVES = timedelta(hours=1)
REFRESH_LIVES = timedelta(days=90)
MAX_KEPT = 200  # codes, and grants; the oldest ones go

# Who decides: each person, their administrator, who has not yet, or an administrator who has allowed reading as well.
Consent: TypeAlias = Literal["person", "admin", "reading"]
CONSENTS: tuple[Consent, ...] = get_args(Consent)


@dataclass
class Grant:
    """What one sign-in gave. `spent`: its refresh tokens that were used already."""

    address: str
    scope: str
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_until: datetime
    refresh_until: datetime
    spent: list[str] = field(default_factory=list, repr=False)


@dataclass
class Code:
    """Good for one exchange. `grant`: what became of it."""

    value: str = field(repr=False)
    address: str
    scope: str
    redirect_uri: str
    nonce: str
    challenge: str
    until: datetime
    is_spent: bool = False
    grant: Grant | None = None


class Identity:
    """The accounts of one organisation, and their grants. Safe to share between threads; `now`: the time there."""

    def __init__(self, redirect_uri: str, now: Callable[[], datetime], addresses: tuple[str, ...] = ADDRESSES) -> None:
        """`redirect_uri`: where the one app that is registered here takes people back."""
        self.redirect_uri = redirect_uri
        self.now = now
        self.addresses = addresses
        self.client_secret = secrets.token_urlsafe(24)
        self.consent: Consent = "person"
        self.changed = threading.RLock()
        self._codes: list[Code] = []
        self._grants: list[Grant] = []

    def opens(self, address: str, token: str, scope: str) -> bool:
        """Whether an access token opens this mailbox for that."""
        with self.changed:
            grant = self._by_access(token)
            return grant is not None and grant.address == address.lower() and scope in grant.scope.split()

    def owner(self, token: str, scope: str) -> str | None:
        """Whose token it is, empty if it does not allow that; None: it is worth nothing."""
        with self.changed:
            grant = self._by_access(token)
            if grant is None:
                return None
            return grant.address if scope in grant.scope.split() else ""

    def revoke_last(self) -> str:
        """Take back what was granted last, as a person does at their provider; whose it was, empty: there is none."""
        with self.changed:
            return self._grants.pop().address if self._grants else ""

    # --- for the endpoints, which hold `changed` meanwhile ---

    def allow(self, address: str, *, scope: str, redirect_uri: str, nonce: str, challenge: str) -> str:
        """A code, after somebody has allowed it.

        Where an administrator has allowed reading, Microsoft grants it unasked beside sending over SMTP.
        """
        if self.consent == "reading" and SMTP_SEND in scope.split():
            scope = f"{scope} {IMAP_ACCESS}"
        code = Code(_random(), address, scope, redirect_uri, nonce, challenge, self.now() + CODE_LIVES)
        self._codes = [*self._codes[-MAX_KEPT + 1 :], code]
        return code.value

    def take(self, value: str) -> Code | None:
        """A code that may be exchanged. With one that was used already all goes that came of it (RFC 6749 4.1.2)."""
        code = next((one for one in self._codes if one.value == value), None)
        if code is None or code.until <= self.now():
            return None
        if code.is_spent:
            self.revoke(code.grant)
            return None
        code.is_spent = True
        return code

    def knows_nonce(self, nonce: str) -> bool:
        """Whether somebody has signed in with it before."""
        return any(code.nonce == nonce for code in self._codes)

    def grant(self, code: Code, access: str, refresh: str) -> None:
        """What a code gives."""
        now = self.now()
        code.grant = Grant(code.address, code.scope, access, refresh, now + ACCESS_LIVES, now + REFRESH_LIVES)
        self._grants = [*self._grants[-MAX_KEPT + 1 :], code.grant]

    def renewable(self, refresh: str) -> Grant | None:
        """The grant of a refresh token; with one that was used already the grant goes (RFC 9700 4.14.2)."""
        grant = next((one for one in self._grants if refresh in (one.refresh, *one.spent)), None)
        if grant is None or (refresh == grant.refresh and grant.refresh_until > self.now()):
            return grant
        self.revoke(grant)
        return None

    def renew(self, grant: Grant, access: str, refresh: str) -> None:
        """Fresh tokens for a grant; the ones before are worth nothing from now on."""
        now = self.now()
        grant.spent = [*grant.spent[-MAX_KEPT + 1 :], grant.refresh]
        grant.access, grant.access_until = access, now + ACCESS_LIVES
        grant.refresh, grant.refresh_until = refresh, now + REFRESH_LIVES

    def by_token(self, token: str) -> Grant | None:
        """The grant of any of its tokens."""
        return next((one for one in self._grants if token in (one.access, one.refresh)), None)

    def revoke(self, grant: Grant | None) -> None:
        """A grant ends; one that has ended already is as good."""
        self._grants = [one for one in self._grants if one is not grant]

    def _by_access(self, token: str) -> Grant | None:
        now = self.now()
        return next((one for one in self._grants if one.access == token and one.access_until > now), None)


def _random() -> str:
    return secrets.token_urlsafe(32)
