"""Slack as the hands see a channel: a message goes into the direct messages, and into the window that is open."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from bot.channels import Accepted, Enclosed, Identity, Inbound, Refused, SendError
from bot.channels.file_types import is_true
from bot.channels.slack.client import SlackApi
from bot.channels.slack.files import File, SlackFiles, listed, team_of, upload
from bot.channels.slack.read import split
from bot.channels.slack.render import Frame, render, window
from bot.channels.slack.style import SlackStyle
from flows.speech import Message
from flows.words import Language

CLOCKS = timedelta(seconds=30)  # by which Slack's clock and ours may differ
LISTED = 100  # messages looked through for one that may or may not have been taken
MARK = "ally_promise"
_log = logging.getLogger(__name__)


class Screens(Protocol):
    """What people have open, by their address."""

    def dm(self, known: str) -> str:
        """The channel of their direct messages with us; empty where it was never heard of."""

    def noted_dm(self, known: str, channel: str) -> None:
        """Remember that channel."""

    def view(self, known: str) -> str:
        """The window that follows the talk; empty where none is open."""

    def view_closed(self, known: str, view_id: str) -> None:
        """That window is open no more."""


class Slack:
    """Sends through Slack. `frame`: the words around a window, in a language."""

    def __init__(
        self, api: SlackApi, files: SlackFiles, screens: Screens, frame: Callable[[Language], Frame]
    ) -> None:  # fmt: skip
        self.style = SlackStyle()
        self._api = api
        self.files = files
        self._screens = screens
        self.frame = frame

    def send(self, to: Identity, message: Message, promise_id: int, ready: Callable[[], None]) -> Accepted:
        """Hand a message to Slack. Raises Refused, Later or Unclear, and what `ready` raises."""
        known = to.address or ""
        team, user = split(known)
        outgoing = render(message)
        ready()
        answer = self._api.call(
            team,
            "chat.postMessage",
            channel=user,
            text=outgoing.text,
            blocks=outgoing.blocks,
            metadata={"event_type": MARK, "event_payload": {"promise": str(promise_id)}},
            unfurl_links=False,
            unfurl_media=False,
        )
        channel = str(answer.get("channel", ""))
        if channel and channel != self._screens.dm(known):
            self._screens.noted_dm(known, channel)
        if show := self.window(to):
            show(message)
        return Accepted(f"{channel}:{answer.get('ts', '')}"[:64])

    def send_file(
        self, to: Identity, message: Message, file: Enclosed, promise_id: int, ready: Callable[[], None]  # noqa: ARG002 - as every channel
    ) -> Accepted:  # fmt: skip
        """Bring a file into the direct messages, with words or without. Raises like `send`.

        Slack shares it a little later, and names the message to nobody: ours is known by the file's name. A user is no
        place for a file (https://docs.slack.dev/reference/methods/files.completeUploadExternal): only a channel is.
        """
        known = to.address or ""
        team, channel = split(known)[0], self._screens.dm(known)
        if not channel:
            raise Refused("channel_not_found", "their direct messages with us are not known")
        call = partial(self._api.call, team)
        name = upload(call, self.files.bring, file.name, file.content())
        words = {"initial_comment": render(message).text} if message.body.strip() else {}
        ready()
        call("files.completeUploadExternal", files=[{"id": name, "title": file.name}], channel_id=channel, **words)
        return Accepted(f"{channel}:{name}"[:64])

    def find_file(self, to: Identity, message: Message, file: Enclosed, since: datetime) -> str | None:
        """As `find`: by the name of the file, and the words with it."""
        channel = self._screens.dm(to.address or "")
        if not channel:
            return None
        text = render(message).text.strip()
        mine = (one for one in self._listed(to, channel, since) if _same(str(one.get("text", "")).strip(), text))
        found = (kept for one in mine for kept in listed(one) if file.name in {kept.get("name"), kept.get("title")})
        return next((f"{channel}:{kept.get('id', '')}"[:64] for kept in found), None)

    def _listed(self, to: Identity, channel: str, since: datetime) -> list[dict[str, Any]]:
        """What we have said in somebody's direct messages, newest first."""
        oldest = str((since - CLOCKS).timestamp())
        team, user = split(to.address or "")
        answer = self._api.call(team, "conversations.history", channel=channel, oldest=oldest, limit=LISTED)
        return [one for one in answer.get("messages") or [] if one.get("user") != user]

    def window(self, to: Identity) -> Callable[[Message], None] | None:
        """A way to show something in the window that is open; None without. It raises nothing of Slack's."""
        known = to.address or ""
        view_id = self._screens.view(known)
        return partial(self._follow, known, view_id) if view_id else None

    def _follow(self, known: str, view_id: str, message: Message) -> None:
        try:
            self.update(split(known)[0], view_id, message)
        except Refused as refusal:
            _log.info("a window is not there any more (%s)", refusal.code)
            self._screens.view_closed(known, view_id)
        except SendError as failure:
            _log.info("a window could not be brought up to date (%s)", failure.code)

    def update(self, team: str, view_id: str, message: Message) -> None:
        """Put a message into a window. Raises Refused, Later, Unclear."""
        view = window(message, self.frame(message.language))
        self._api.call(team, "views.update", view_id=view_id, view=view)

    def open(self, team: str, trigger: str, message: Message) -> str:
        """Open a window with a question; its id. A trigger lasts three seconds. Raises Refused, Later, Unclear."""
        return self.open_view(team, trigger, window(message, self.frame(message.language)))

    def open_view(self, team: str, trigger: str, view: dict[str, Any]) -> str:
        """Open any window; its id. Raises like `open`."""
        answer = self._api.call(team, "views.open", trigger_id=trigger, view=view)
        return str((answer.get("view") or {}).get("id", ""))

    def publish(self, to: Identity, view: dict[str, Any]) -> None:
        """Show a home. Raises Refused, Later, Unclear."""
        team, user = split(to.address or "")
        self._api.call(team, "views.publish", user_id=user, view=view)

    def find(self, to: Identity, message: Message, since: datetime) -> str | None:
        """Slack's id of this very message, if it lists one. Unknown direct messages hold none of ours."""
        known = to.address or ""
        channel = self._screens.dm(known)
        if not channel:
            return None
        text = render(message).text
        mine = (one for one in self._listed(to, channel, since) if _same(one.get("text", ""), text))
        return next((f"{channel}:{one['ts']}"[:64] for one in mine), None)

    def typing(self, message_id: str) -> None:
        """A bot cannot show typing in direct messages."""

    def erase(self, message_id: str) -> None:
        """A bot cannot delete what a person wrote: docs.slack.dev/reference/methods/chat.delete. The talk says so."""

    def keeps(self, who: Identity) -> list[str]:  # noqa: ARG002 - as every channel
        """A bot cannot delete a talk: it is its workspace's. The person is told so."""
        return []

    def fetch(self, url: str, max_bytes: int) -> File:
        """A file that came with a message; its bytes tell its type. Raises Refused, Later."""
        found = self.files.fetch(team_of(url), url, max_bytes)
        if not is_true(found.content_type, found.content):
            raise Refused("type", "the type is not taken, or is not that of the bytes")
        return found

    def missed(self, since: datetime) -> list[Inbound]:  # noqa: ARG002 - as every channel
        """Slack repeats an event that was not answered; nothing has to be looked for."""
        return []


def _same(listed: str, ours: str) -> bool:
    """Whether a listed text is ours, whose one-time link may have another address."""
    return listed.partition("/s/")[0] == ours.partition("/s/")[0]
