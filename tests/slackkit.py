"""The bot with Slack: the kit's parts, the web application on a port of its own, and a stand-in for Slack behind it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from bot.app import create_app
from bot.playground.slack import SlackStandIn
from bot.vault import new_key
from tests.botkit import Kit

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

TEAM, ANOTHER_TEAM = "T0SOL", "T0LUA"
BIA, ANA, BRUNO, CARLA = "U0BIA", "U0ANA", "U0BRUNO", "U0CARLA"  # Bia is the admin
SIGNING = "8f742231b10e8888abcd99yyyzzz85a5"


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing."""


class SlackKit(Kit):
    """A kit whose people are in Slack; the terminal's recorder stands for WhatsApp."""

    def __init__(self, database_url: str, home: Path, *, providers: Path | None = None, **settings: str) -> None:
        self.slack = SlackStandIn(signing_secret=SIGNING, now=self._now).start()
        self.workspace = self.slack.workspace(TEAM, "Sol")
        for user, name in ((BIA, "Bia"), (ANA, "Ana"), (BRUNO, "Bruno"), (CARLA, "Carla")):
            self.slack.user(TEAM, user, name.lower(), real_name=name)
        usual = {
            "SLACK_BOT_TOKEN": self.workspace.token,
            "SLACK_SIGNING_SECRET": SIGNING,
            "SLACK_API_URL": f"{self.slack.url}/api",
            "PUBLIC_URL": "http://127.0.0.1:1",
            "SECRET_KEYS": new_key(),
            "SUPPORT_CONTACT": "help@agency.test",
            "PRIVACY_URL": "https://agency.test/privacy",
        }
        try:
            super().__init__(database_url, home, providers=providers, **{**usual, **settings})
        except BaseException:
            self.slack.stop()
            raise
        self.parts.search.warm()  # as a web process does: Slack waits three seconds
        self.web = create_app(self.parts)
        self._server = make_server("127.0.0.1", 0, self.web, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="web")
        self._thread.start()
        self.slack.events_url = f"http://127.0.0.1:{self._server.server_port}/slack/events"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.slack.release()
        self.web.extensions["slack"].close()
        self.slack.stop()
        super().__exit__(*error)

    def _now(self) -> datetime:
        """The clock is made after Slack."""
        return self.clock.now()

    # --- people ---

    def claim(self, lane: str = "", user: str = BIA, team: str = TEAM, **invited: Any) -> Any:
        """The admin claims the workspace for the kit's agency; with a lane: what the kit does."""
        if lane:
            return super().claim(lane)
        code = self.invite(role="admin", name="Bia", **invited)
        self.slack.command(team, user, f"join {code}")
        self.work()
        return None

    def written(self, user: str, text: str, team: str = TEAM) -> str:
        """Somebody writes in the direct messages; what the bot answers."""
        self.slack.say(team, user, text)
        self.work()
        return self.read(user, team)

    def read(self, user: str, team: str = TEAM) -> str:
        """What the bot said last to somebody, as a person reads it."""
        said = [one for one in self.slack.dm(team, user) if not one.mine]
        return said[-1].shown.replace("*", "") if said else ""

    def tapped(self, user: str, what: str, where: str = "dm", team: str = TEAM) -> str:
        """Somebody taps; what the bot says then."""
        answer = self.slack.tap(team, user, what, where=where)
        assert answer.status_code == 200
        self.work()
        return self.read(user, team)

    def window(self, user: str, words: str = "", team: str = TEAM) -> str:
        """What stands in the window that somebody has open, once these words stand there."""

        def shown() -> str:
            return self.slack.shown(self.slack.modal(team, user) or {}).replace("*", "")

        self.slack.wait_for(lambda: words in shown() and bool(shown()), shown=shown)
        return shown()

    def home(self, user: str, team: str = TEAM) -> str:
        """Somebody opens the app's home; what stands there."""
        assert self.slack.open_home(team, user).status_code == 200
        self.work()
        return self.slack.shown(self.slack.home(team, user)).replace("*", "")
