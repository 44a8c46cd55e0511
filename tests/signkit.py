"""Signing in: the bot with apps at a real OpenID provider on loopback (`tests/oidc.py`), and a person's browser."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from bot import turns
from bot.app import create_app
from bot.mail.knowledge.provider import Server as WireServer
from bot.mail.wire.probe import Worked
from bot.scene import Scene
from bot.store import conversations, tables
from bot.store.engine import reading
from flows import saved
from flows.sign_in import AwaitingSignIn
from flows.words import Account, OpenSignIn, Server, SignedIn, SignInFailed
from tests.botkit import ADDRESS, ANA, Kit, table_of_providers
from tests.oidc import GOOGLE_SCOPE, SMTP_SCOPE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from werkzeug.test import TestResponse

    from tests.oidc import Oidc

PUBLIC = "https://bot.example.com"
ACCOUNT = Account(ADDRESS, ADDRESS, Server("localhost", 465, "tls"))
SCOPES = {"microsoft": SMTP_SCOPE, "google": GOOGLE_SCOPE}


class SignKit(Kit):
    """The kit's parts with an app at the provider, whose mail server is localhost; `events`: what the talk heard."""

    def __init__(self, database_url: str, home: Path, oidc: Oidc, provider: str = "microsoft", **settings: str) -> None:
        self.oidc, self.provider = oidc, provider
        self.app = oidc.register(f"{PUBLIC}/oauth/{provider}/callback")
        name = provider.upper()
        given = {
            f"{name}_CLIENT_ID": self.app.client_id,
            f"{name}_CLIENT_SECRET": self.app.client_secret,
            f"{name}_AUTHORITY": oidc.authority,
            "PUBLIC_URL": PUBLIC,
        }
        table = table_of_providers(home, sign_in=provider)
        super().__init__(database_url, home, providers=table, **{**given, **settings})
        self.clock.time = _now(oidc)
        self.events: list[Any] = []
        self.web = create_app(self.parts)
        self.browser = Browser(self)
        self._converse = patch.object(turns, "converse", self._heard)
        self._converse.start()

    def __exit__(self, *error: object) -> None:
        self._converse.stop()
        super().__exit__(*error)

    def _heard(self, envelope: Any, event: Any, facts: Any) -> Any:
        if isinstance(event, SignedIn | SignInFailed):
            self.events.append(event)
        return _converse(envelope, event, facts)

    def offered(self, who: str = ANA, account: Account = ACCOUNT) -> str:
        """A member who has a link to sign in; its token."""
        if not self.rows(tables.contact) or not any(row.address == who for row in self.rows(tables.contact)):
            self.join(who)
        return self.link(who, account)

    def link(self, who: str = ANA, account: Account = ACCOUNT) -> str:
        """Another link for somebody; its token."""
        held = self.held(who)
        with self.engine.begin() as db:
            conversations.hold(db, held.id)
            standing = self.parts.facts.read(db, held, self.envelope(who), self.clock.now())
            scene = Scene(db, held, standing, self.clock.now())
            opened = self.parts.turns._records.perform(scene, OpenSignIn(account, self.provider))
            state = AwaitingSignIn(account, self.provider, opened.link_id)
            envelope = replace(self.envelope(who), flow="mailbox", state=state, ticket=held.ticket)
            conversations.save(db, held.id, saved.dump_envelope(envelope), held.ticket, self.clock.now())
            return self.parts.links.arm(db, _uuid(opened.link_id))

    def signed_in(self, who: str = ANA, account: Account = ACCOUNT, address: str = "") -> TestResponse:
        """Somebody signs in, all of it; the page that they end on."""
        return self.browser.sign_in(self.offered(who, account), address or account.address)

    def connected(self, who: str = ANA) -> Any:
        """A member whose mailbox works by what they granted; its row."""
        self.signed_in(who)
        with patch("bot.credentials.test_login", lambda *_a, **_m: WORKED), patch("bot.mailbox_hands.prove", proved):
            self.work()
        return self.box()

    def box(self) -> Any:
        """The one mailbox."""
        (row,) = self.rows(tables.mailbox)
        return row

    def dump(self) -> str:
        """Everything in the database but how often pages were looked up."""
        kept = [table for table in tables.metadata.sorted_tables if table.name != "limit_hit"]
        return "\n".join(str(row) for table in kept for row in self.rows(table))

    def grant(self) -> Any:
        """The one grant."""
        (row,) = self.rows(tables.oauth_grant)
        return row

    def clear(self, secret_id: Any) -> str:
        """What lies sealed under an id, as it was bound."""
        from bot.store import secrets

        with reading(self.engine) as db:
            record = secrets.get(db, secret_id)
            return self.parts.safe.take(db, secret_id, kind=record.kind, use=record.bound_to).reveal()


WORKED = Worked(WireServer("localhost", 465, "tls"), repaired=False, stages=(), size=0)
_converse = turns.converse


def proved(of: Any) -> Any:
    """A mail to oneself that nobody sent."""
    from bot.handiwork import Ended
    from flows.words import LoginWorked

    return Ended(event=LoginWorked(of.account, of.repaired, size=of.size))


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


def _now(oidc: Oidc) -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=oidc.ahead)


class Browser:
    """One person's browser, with its cookies."""

    def __init__(self, kit: SignKit) -> None:
        self._kit = kit
        self._client = kit.web.test_client()

    def get(self, path: str, **more: Any) -> TestResponse:
        """Open an address of ours."""
        return self._client.get(path.removeprefix(PUBLIC), base_url=PUBLIC, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        """Submit a form of ours."""
        return self._client.post(path, base_url=PUBLIC, **more)

    def form(self, token: str) -> dict[str, str]:
        """What the page behind a link would send."""
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.get(f"/s/{token}").text))

    def left(self, token: str, **more: Any) -> TestResponse:
        """Open a link and press its button: on the way to the provider."""
        return self.post(f"/oauth/{self._kit.provider}/start", data=self.form(token), **more)

    def allowed(self, token: str, address: str = ADDRESS, *, accept: bool = True) -> str:
        """All of it up to the address to which the provider sends the browser back."""
        left = self.left(token)
        assert left.status_code == 303, words(left)
        return str(self._kit.oidc.sign_in(left.location, address, accept=accept))

    def sign_in(self, token: str, address: str = ADDRESS, *, accept: bool = True) -> TestResponse:
        """All of it, to the last page."""
        return self.back(self.allowed(token, address, accept=accept))

    def back(self, url: str, **more: Any) -> TestResponse:
        """Come back from the provider, and follow where that leads."""
        answer = self.get(url, **more)
        return self.get(answer.location, **more) if answer.status_code == 303 else answer

    def cookie(self) -> str:
        """The value of the browser's one cookie."""
        found = self._client.get_cookie("__Host-sign_in", "bot.example.com", "/")
        return found.value if found is not None else ""

    def take_cookie(self, value: str) -> None:
        """Have this cookie from now on."""
        self._client.set_cookie("__Host-sign_in", value, domain="bot.example.com", path="/")


def words(page: TestResponse) -> str:
    """What a page says, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def query_of(url: str) -> Mapping[str, str]:
    """The query of an address."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
