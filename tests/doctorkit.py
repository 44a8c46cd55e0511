"""A whole installation for the doctor: the web application on a port, stand-ins for Twilio and Slack, a name server."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from bot.app import create_app, join
from bot.doctor import examine
from bot.playground.slack import SlackStandIn
from bot.playground.twilio import TwilioStandIn
from bot.settings import load
from bot.vault import new_key
from tests.dns_server import DnsServer

if TYPE_CHECKING:
    from pathlib import Path

    from bot.doctor import Finding

TEAM, DESK, SAM = "T0SOL", "G0DESK", "U0SAM"


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing."""


class Installation:
    """Everything that a healthy installation has; `environment` may be changed before `look`."""

    def __init__(self, database_url: str, home: Path) -> None:
        self._running = contextlib.ExitStack()
        self.twilio = self._running.enter_context(TwilioStandIn())
        self.twilio.statuses = ()
        self.slack = self._running.enter_context(SlackStandIn())
        self.workspace = self.slack.workspace(TEAM, "Sol")
        self.slack.user(TEAM, SAM, "sam")
        self.slack.channel(TEAM, DESK, "desk", [self.workspace.bot_user, SAM], private=True)
        self.dns = self._running.enter_context(DnsServer({}))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        home.chmod(0o700)
        self.environment = {
            "DATABASE_URL": database_url,
            "DATA_DIR": str(home),
            "PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "SECRET_KEYS": new_key(),
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": self.twilio.sender,
            "TWILIO_API_URL": self.twilio.url,
            "SLACK_BOT_TOKEN": self.workspace.token,
            "SLACK_SIGNING_SECRET": self.slack.signing_secret,
            "SLACK_API_URL": f"{self.slack.url}/api",
            "SUPPORT_TEAM": TEAM,
            "SUPPORT_CHANNEL": DESK,
            "ALERT_CHANNEL": DESK,
            "PRIVACY_URL": "https://example.com/privacy",
            "DNS_SERVER": "{}:{}".format(*self.dns.address),
        }
        url = self.environment["PUBLIC_URL"]
        self.twilio.setup.sender["webhook"] |= {
            "callback_url": f"{url}/whatsapp#rc=3&rp=all",
            "callback_method": "POST",
            "fallback_url": f"{url}/whatsapp",
            "status_callback_url": f"{url}/whatsapp/status",
        }
        self._serve(database_url)

    def _serve(self, database_url: str) -> None:
        parts = join(load(self.environment), database_url)
        self._running.callback(parts.close)
        web = create_app(parts)
        self._running.callback(web.extensions["slack"].close)
        server = make_server("127.0.0.1", self.port, web, threaded=True, request_handler=_Silent)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="web")
        thread.start()
        self._running.callback(server.server_close)
        self._running.callback(thread.join)
        self._running.callback(server.shutdown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def look(self, **changed: str) -> dict[str, Finding]:
        """What the doctor finds, by the name of the check."""
        found = examine({**self.environment, **changed})
        assert len({one.name for one in found}) == len(found)
        return {one.name: one for one in found}
