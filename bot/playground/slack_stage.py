"""A workspace for plays: the stand-in for Slack, and the bot's own web application behind it."""

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from bot.app import Parts, create_app, make_key
from bot.playground.slack import SlackStandIn

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TEAM = "T0SOL"
WORKSPACE = "Sol"
CHANNEL = "C0TEAM"  # in which everybody of the workspace is, and the app
DESK = "G0DESK"  # in which the support team is, and the app
HOURS = "Mon-Fri 09:00-18:00"  # in which that team works, São Paulo's time


class SlackStage:
    """One workspace with the people of a play. `desk`: those who are its support team. `now`: the play's clock."""

    def __init__(self, names: Sequence[str], desk: Sequence[str], now: Callable[[], datetime]) -> None:
        self.standin = SlackStandIn(now=now)
        workspace = self.standin.workspace(TEAM, WORKSPACE)
        self._token = workspace.token
        for name in (*names, *desk):
            self.standin.user(TEAM, user_id(name), name.lower(), real_name=name)
        self.standin.channel(TEAM, CHANNEL, "team", [workspace.bot_user, *map(user_id, names)])
        self.standin.channel(TEAM, DESK, "desk", [workspace.bot_user, *map(user_id, desk)], private=True)
        self._desk = bool(desk)
        self._app: Any = None
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="slack-web", daemon=True)

    def __enter__(self) -> Self:
        self.standin.start()
        self._thread.start()
        self.standin.events_url = f"http://127.0.0.1:{self._server.server_port}/slack/events"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.standin.stop()

    def settings(self, home: Path, url: str) -> dict[str, str]:
        """What the bot needs to be in this workspace."""
        return {
            "SLACK_BOT_TOKEN": self._token,
            "SLACK_SIGNING_SECRET": self.standin.signing_secret,
            "SLACK_API_URL": f"{self.standin.url}/api",
            "PUBLIC_URL": url,
            "PRIVACY_URL": f"{url}/privacy",
            "SECRET_KEYS_FILE": str(make_key(home)),
            "SUPPORT_CONTACT": "support@sandbox.test",
            **({"SUPPORT_TEAM": TEAM, "SUPPORT_CHANNEL": DESK, "SUPPORT_HOURS": HOURS} if self._desk else {}),
        }

    def serve(self, parts: Parts) -> None:
        """These parts answer from now on."""
        parts.search.warm()  # as a web process does: Slack waits three seconds
        self._app = create_app(parts)

    def rest(self) -> None:
        """These parts answer no more; what they were showing has ended."""
        if self._app is not None:
            self._app.extensions["slack"].close()

    def busy(self) -> bool:
        """Whether windows are still being opened."""
        return bool(self._app.extensions["slack"].showing)

    def _serve(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        answer: Iterable[bytes] = self._app(environ, start)
        return answer


def user_id(name: str) -> str:
    """The id of somebody in the play's workspace."""
    return "U0" + re.sub(r"[^A-Z0-9]", "", name.upper())


def address(name: str) -> str:
    """What the bot knows them by."""
    return f"{TEAM}.{user_id(name)}"


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing: the addresses are secret."""
