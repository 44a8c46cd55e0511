"""The desk in the shape of an installation: two web processes, two workers, and a load balancer before them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self
from uuid import NAMESPACE_URL, uuid5

import requests

from bot.playground.slack import SlackStandIn
from tests.chaos.installation import Child, Installation
from tests.deskkit import DESK, SAM
from tests.slackkit import TEAM

if TYPE_CHECKING:
    from pathlib import Path

    from bot.playground.slack import Bubble

PAUSE = 0.25  # seconds between two tries: a web process was killed, and comes back
PATIENCE = 60.0  # seconds until it has to be there again
OK = 200


class DeskWorld(Installation):
    """Members on WhatsApp, Sam in Slack, and processes that live until they are killed from outside."""

    def __init__(self, home: Path, people: list[str]) -> None:
        super().__init__(home, 1, people)
        self.slack = SlackStandIn()
        workspace = self.slack.workspace(TEAM, "Sol")
        self._token = workspace.token
        self.slack.user(TEAM, SAM, "sam", real_name="Sam")
        self.slack.channel(TEAM, DESK, "desk", [workspace.bot_user, SAM], private=True)

    def __enter__(self) -> Self:
        self.slack.start()
        self.slack.events_url = f"{self.gate.url}/slack/events"
        try:
            return super().__enter__()
        except BaseException:
            self.slack.stop()
            raise

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.slack.stop()

    def _settings(self) -> dict[str, str]:
        return super()._settings() | {
            "SLACK_BOT_TOKEN": self._token,
            "SLACK_SIGNING_SECRET": self.slack.signing_secret,
            "SLACK_API_URL": f"{self.slack.url}/api",
            "SUPPORT_CONTACT": "",
            "SUPPORT_TEAM": TEAM,
            "SUPPORT_CHANNEL": DESK,
        }

    def _weather(self, child: Child) -> dict[str, str]:
        del child  # nobody dies of itself here
        return {}

    # --- people ---

    def write(self, number: str, body: str) -> None:
        """A member writes: brought twice, and again until it is taken, as Twilio does when a process dies."""
        sid = f"SM{uuid5(NAMESPACE_URL, number + body).hex}"
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                if self.twilio.say(number, body, sid=sid, times=2) == OK:
                    return
            time.sleep(PAUSE)
        raise TimeoutError(f"{body} was never taken")

    def answer(self, root: Bubble, text: str) -> None:
        """Sam writes into a thread; repeated until it is taken, as Slack does."""
        self.slack.say(TEAM, SAM, text, channel=DESK, thread_ts=root.ts)
        while self.slack.unanswered:
            self.wait_until_ready()
            self.slack.redeliver()
