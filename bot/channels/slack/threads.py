"""The addresses of messages in one channel: Slack is asked for one of them, the others are made alike."""

import logging

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

    def url(self, ts: str) -> str:
        """Where a message is read: https://docs.slack.dev/reference/methods/chat.getPermalink.

        Where Slack does not say, the way to the channel: https://docs.slack.dev/interactivity/deep-linking.
        """
        if not self._base:
            try:
                answer = self._api.call(self._team, "chat.getPermalink", channel=self._channel, message_ts=ts)
            except SendError as failure:
                _log.info("no address of a thread (%s)", failure.code)
                answer = {}
            known, _, name = str(answer.get("permalink", "")).rpartition("/p")
            self._base = known if name.isdecimal() else ""
        if not self._base:
            return f"slack://channel?team={self._team}&id={self._channel}"
        return f"{self._base}/p{ts.replace('.', '')}"
