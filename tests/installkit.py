"""Many workspaces: the bot as an app that is installed by OAuth, Slack's stand-in behind it, and an admin's browser."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from bot.app import create_app
from bot.playground.slack import SlackStandIn
from bot.store import slack as slack_store
from bot.store import tables
from bot.store.engine import reading
from bot.vault import new_key
from tests.botkit import Kit

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from werkzeug.test import TestResponse

SOL, LUA = "T0SOL", "T0LUA"
BIA, ANA, CAIO = "U0BIA", "U0ANA", "U0CAIO"  # Bia installs in Sol, Caio in Lua
SIGNING = "8f742231b10e8888abcd99yyyzzz85a5"
PUBLIC = "https://bot.example.com"


class InstallKit(Kit):
    """The kit's parts with SLACK_CLIENT_ID; two workspaces without us, and a browser."""

    def __init__(self, database_url: str, home: Path, *, rotate: bool = True, **settings: str) -> None:
        self.slack = SlackStandIn(signing_secret=SIGNING, now=self._now, rotate_tokens=rotate).start()
        for team, name, users in ((SOL, "Sol", {BIA: "Bia", ANA: "Ana"}), (LUA, "Lua", {CAIO: "Caio"})):
            self.slack.workspace(team, name, installed=False)
            for user, person in users.items():
                self.slack.user(team, user, person.lower(), real_name=person)
        usual = {
            "SLACK_CLIENT_ID": self.slack.client_id,
            "SLACK_CLIENT_SECRET": self.slack.client_secret,
            "SLACK_SIGNING_SECRET": SIGNING,
            "SLACK_API_URL": f"{self.slack.url}/api",
            "PUBLIC_URL": PUBLIC,
            "SECRET_KEYS": new_key(),
            "SUPPORT_CONTACT": "help@agency.test",
            "PRIVACY_URL": "https://agency.test/privacy",
        }
        try:
            super().__init__(database_url, home, **{**usual, **settings})
        except BaseException:
            self.slack.stop()
            raise
        self.web = create_app(self.parts)
        self.browser = Browser(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.slack.stop()
        super().__exit__(*error)

    def _now(self) -> datetime:
        """The clock is made after Slack."""
        return self.clock.now()

    def admin_code(self, **more: Any) -> str:
        """The code of an admin's invitation."""
        return self.invite(role="admin", **more)

    def another_agency(self) -> Any:
        """A second agency."""
        from bot.store import people as people_store

        with self.engine.begin() as db:
            return people_store.add_agency(db, "Agência Lua", "pt", "America/Sao_Paulo", self.clock.now())

    def installed(self, team: str = SOL, user: str = BIA, **invited: Any) -> TestResponse:
        """Somebody installs us; the page that they end on."""
        page = self.browser.install(self.admin_code(**invited), team, user)
        self.work()
        return page

    def row(self, team: str = SOL) -> Any:
        """What we know of a workspace."""
        with reading(self.engine) as db:
            return slack_store.workspace(db, team)

    def token(self, team: str = SOL) -> str:
        """The token with which we would speak there now."""
        assert self.parts.slack is not None
        return self.parts.slack.workspaces.token_of(team)

    def dm(self, user: str = BIA, team: str = SOL) -> list[str]:
        """All that we said to somebody."""
        return [one.shown.replace("*", "") for one in self.slack.dm(team, user) if not one.mine]

    def called(self, method: str) -> list[Any]:
        """The calls of one method that reached Slack."""
        return [one for one in self.slack.requests if one.method == method]

    def secrets_kept(self) -> int:
        """How many tokens lie sealed."""
        return sum(row.kind == "slack.bot" for row in self.rows(tables.secret))


class Browser:
    """One person's browser, with its cookies."""

    def __init__(self, kit: InstallKit) -> None:
        self._kit = kit
        self._client = kit.web.test_client()

    def get(self, path: str, **more: Any) -> TestResponse:
        """Open an address of ours."""
        return self._client.get(path, base_url=PUBLIC, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        """Submit a form of ours."""
        return self._client.post(path, base_url=PUBLIC, **more)

    def offered(self, code: str, **more: Any) -> TestResponse:
        """Open an invitation's link."""
        return self.get("/slack/install", query_string={"code": code}, **more)

    def left(self, code: str, **more: Any) -> TestResponse:
        """Open it and press its button: on the way to Slack."""
        page = self.offered(code, **more)
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
        return self.post("/slack/install", data=form, **more)

    def allowed(self, code: str, team: str = SOL, user: str = BIA, *, allow: bool = True, **more: Any) -> str:
        """All of it up to the address to which Slack sends the browser back."""
        left = self.left(code, **more)
        assert left.status_code == 303, words(left)
        return str(self._kit.slack.authorize(left.location, team, user, allow=allow))

    def install(self, code: str, team: str = SOL, user: str = BIA, *, allow: bool = True, **more: Any) -> TestResponse:
        """All of it, to the last page."""
        return self.back(self.allowed(code, team, user, allow=allow, **more), **more)

    def back(self, url: str, **more: Any) -> TestResponse:
        """Come back from Slack, and follow where that leads."""
        assert url.startswith(f"{PUBLIC}/slack/oauth_redirect?")
        answer = self.get(url.removeprefix(PUBLIC), **more)
        return self.get(answer.location.removeprefix(PUBLIC), **more) if answer.status_code == 303 else answer


def words(page: TestResponse) -> str:
    """What a page says, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def query_of(url: str) -> dict[str, str]:
    """The query of an address."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
