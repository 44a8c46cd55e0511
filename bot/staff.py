"""Who the support team is: the full members of its channel, as Slack knows them.

Looked up by hands only, never while Slack waits for an answer. A guest of the workspace is nobody of the team, nor is
somebody of another company. The channel has to be private and shared with nobody: else strangers would read along.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from bot.channels import Refused
from bot.channels.slack.client import SlackApi
from bot.channels.slack.people import members

CACHED = timedelta(minutes=5)
ANEW = timedelta(seconds=15)  # somebody unknown may have come a moment ago: not looked up more often than this
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a look found. `closed`: why nothing may be posted into the channel (empty: all is well); names by id."""

    at: datetime
    closed: str
    names: Mapping[str, str]


class Staff:
    """Looks the team up, at most once in five minutes. Safe to share between threads."""

    def __init__(self, api: SlackApi, team: str, channel: str, now: Callable[[], datetime]) -> None:
        self._api = api
        self._team = team
        self._channel = channel
        self._now = now
        self._looking = threading.Lock()
        self._found: Standing | None = None

    def look(self, within: timedelta = CACHED) -> Standing:
        """The team as it was within this time. Raises Later or Unclear."""
        with self._looking:
            if self._found is None or not timedelta() <= self._now() - self._found.at < within:
                self._found = self._looked()
            return self._found

    def has(self, user: str) -> bool:
        """Whether somebody is of the team. Raises Later or Unclear."""
        return user in self.look().names or user in self.look(ANEW).names

    def _looked(self) -> Standing:
        now = self._now()
        try:
            told = self._api.call(self._team, "conversations.info", channel=self._channel).get("channel") or {}
            closed = _closed(told)
            names = {} if closed else members(self._api, self._team, self._channel)
        except Refused as refusal:
            closed, names = refusal.code, {}
        if closed:
            _log.error(
                "SUPPORT_CHANNEL cannot be used: it must be private, shared with nobody, and we must be in it",
                team=self._team, channel=self._channel, why=closed,
            )  # fmt: skip
        return Standing(now, closed, names)


def _closed(channel: Mapping[str, Any]) -> str:
    """https://docs.slack.dev/reference/objects/conversation-object; what is not known to be private is not."""
    if channel.get("is_archived"):
        return "archived"
    if not channel.get("is_private"):
        return "public"
    shared = ("is_shared", "is_ext_shared", "is_org_shared", "is_pending_ext_shared")
    if any(channel.get(sign) for sign in shared):
        return "shared"
    return "" if channel.get("is_member") else "we are not in it"
