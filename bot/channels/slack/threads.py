"""The addresses of messages in one channel: Slack is asked for one of them, the others are made alike."""

import logging
from collections.abc import Callable

from bot.channels import SendError
from bot.channels.slack.client import SlackApi

_log = logging.getLogger(__name__)


class Threads:
    """Safe to share between threads: at worst it asks twice."""

    def __init__(self, api: SlackApi, team: str, channel: str) -> None:
        self._api = api
        self._team = team
        self._channel = channel
        self._base = ""

    def urls(self, any_ts: str) -> Callable[[str], str]:
        """The address of each message, by its name; at most one request, for this one that is there.

        https://docs.slack.dev/reference/methods/chat.getPermalink. Where Slack does not say, all lead to the channel:
        https://docs.slack.dev/interactivity/deep-linking.
        """
        base = self._base = self._base or self._asked(any_ts)
        if not base:
            return lambda _ts: f"slack://channel?team={self._team}&id={self._channel}"
        return lambda ts: f"{base}/p{ts.replace('.', '')}"

    def _asked(self, ts: str) -> str:
        try:
            answer = self._api.call(self._team, "chat.getPermalink", channel=self._channel, message_ts=ts)
        except SendError as failure:
            _log.info("no address of a thread (%s)", failure.code)
            return ""
        base, _, name = str(answer.get("permalink", "")).rpartition("/p")
        return base if name.isdecimal() else ""
