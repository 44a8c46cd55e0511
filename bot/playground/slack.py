"""A stand-in for Slack on this machine: its Web API, its signed requests and sockets, and the people behind it."""

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TypeVar, Unpack

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from bot.playground import slack_screen
from bot.playground.slack_api import Api
from bot.playground.slack_client import Client, age, filled, own_errors
from bot.playground.slack_delivery import Answer, Courier, Manner, Unanswered
from bot.playground.slack_oauth import Install
from bot.playground.slack_payloads import Payloads
from bot.playground.slack_scenery import Scenery
from bot.playground.slack_socket import Sockets
from bot.playground.slack_world import Channel, Fault, Hook, Hosted, Mention, Message, Seen, World, new_id

POLL = 0.01  # seconds until the server sees that it is to stop
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message as a screen shows it. `buttons`: action id, value, label. `mine`: a person wrote it, not the bot.

    `files`: what its files are called.
    """

    ts: str
    text: str
    blocks: tuple[Mapping[str, Any], ...]
    buttons: tuple[tuple[str, str, str], ...]
    mine: bool
    edited: bool
    metadata: Mapping[str, Any] | None
    thread_ts: str
    user: str
    channel: str
    files: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """What a person reads: the blocks, or the text if there are none."""
        return slack_screen.shown(self.blocks) if self.blocks else slack_screen.plain(self.text)


class SlackStandIn(Scenery):
    """One made-up Slack with one app in it. All methods may be called from any thread.

    `events_url`: where the bot takes events, interactions and commands; may be set later. `now`: the time of messages,
    triggers, tokens and limits; signatures carry this machine's time. `socket`: everything goes through the sockets
    instead. `strict_rates`: calls too many are refused.
    """

    def __init__(
        self,
        *,
        events_url: str = "",
        signing_secret: str = "",
        client_id: str = "1000000000001.2000000000002",
        client_secret: str = "",
        app_id: str = "A0STANDIN01",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rotate_tokens: bool = False,
        strict_rates: bool = False,
        socket: bool = False,
    ) -> None:
        super().__init__(World(app_id, client_id, client_secret or secrets.token_hex(16), now))
        self._world.rotate_tokens, self._world.strict_rates = rotate_tokens, strict_rates
        self._sockets = Sockets(app_id, self._world.changed, self._come_back)
        self._courier = Courier(self._world, self._sockets, events_url, signing_secret or secrets.token_hex(16))
        self._courier.socket = socket
        self._api = Api(self._world, self._sockets.address)
        self._views = self._api.views
        self._payloads = Payloads(self._world, self._views)
        self._client = Client(self._world, self._api)
        self._install = Install(self._world)
        self.app_id, self.client_id, self.client_secret = app_id, client_id, self._world.client_secret
        self.app_token = self._world.app_token
        self.verification_token = self._payloads.token
        self.url = ""
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    # --- on and off ------------------------------------------------------------------------------------------------

    def start(self, port: int = 0) -> Self:
        """Serve on 127.0.0.1, on a free port unless one is given; `{url}/api/` is then the base of the Web API."""
        if self._server is not None:
            raise RuntimeError("The stand-in is already running.")
        self._server = make_server("127.0.0.1", port, self._api.app, threaded=True, request_handler=_Handler)
        self.url = self._world.url = f"http://127.0.0.1:{self._server.server_port}"
        self._sockets.allow()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL,), name="slack-api")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving. What is known is kept: it can be started again."""
        if self._server is None or self._thread is None:
            return
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._sockets.stop()
        self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def events_url(self) -> str:
        """The bot's one request URL."""
        return self._courier.events_url

    @events_url.setter
    def events_url(self, url: str) -> None:
        self._courier.events_url = url

    @property
    def signing_secret(self) -> str:
        """What requests are signed with."""
        return self._courier.signing_secret

    @property
    def socket(self) -> bool:
        """Whether everything goes through the sockets."""
        return self._courier.socket

    @socket.setter
    def socket(self, through: bool) -> None:
        self._courier.socket = through

    # --- what was seen, and what is to go wrong --------------------------------------------------------------------

    @property
    def requests(self) -> list[Seen]:
        """Every call of the Web API and of a response_url, oldest first, the newest 5,000: method, team, arguments."""
        with self._world.changed:
            return list(self._world.requests)

    @property
    def mentions(self) -> list[Mention]:
        """Everybody whom something that the bot sent would have pinged."""
        with self._world.changed:
            return list(self._world.mentions)

    @property
    def unanswered(self) -> list[Unanswered]:
        """The events that Slack is going to repeat."""
        with self._world.changed:
            return list(self._courier.unanswered)

    @property
    def held(self) -> int:
        """How many calls wait for `release`."""
        with self._world.changed:
            return self._world.held

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return self._sockets.connections

    def status(self, team_id: str, channel_id: str, thread_ts: str) -> str:
        """What the bot is said to be doing, below a thread."""
        with self._world.changed:
            return self._world.workspaces[team_id].statuses.get((channel_id, thread_ts), "")

    def reactions(self, team_id: str, channel_id: str, ts: str) -> list[str]:
        """The marks that the bot put on a message."""
        with self._world.changed:
            return [name for _, name in self._world.workspaces[team_id].channels[channel_id].messages[ts].reactions]

    def fail(self, method: str, kind: str, times: int = 1, *, retry_after: int = 1) -> None:
        """Let the next calls of a method ("*": of any) go wrong.

        `kind`: "ratelimited", "500", "503"; "drop_before" and "drop_after": the connection is closed without an answer,
        before or after the call is processed; "slow": processed, and answered only after `release`; or the error that
        Slack answers.
        """
        with self._world.changed:
            if kind == "slow" and self._world.released.is_set():
                self._world.released = threading.Event()
            self._world.faults.append(Fault(method, kind, times, retry_after))

    def release(self) -> None:
        """Answer all calls that are held back."""
        with self._world.changed:
            self._world.released.set()

    def wait_for(
        self,
        reached: Callable[[], _T],
        timeout: float = 10.0,
        shown: Callable[[], object] = lambda: "no more is known",
    ) -> _T:
        """Wait for something in this stand-in; `reached` is asked after every change. What it gave; or TimeoutError."""
        with self._world.changed:
            given = self._world.changed.wait_for(reached, timeout)
            if not given:
                raise TimeoutError(f"It did not happen within {timeout} s: {shown()}.")
            return given

    # --- what people see -------------------------------------------------------------------------------------------

    def dm(self, team_id: str, user_id: str) -> list[Bubble]:
        """The direct messages of a person and the bot, oldest first, in both directions."""
        with self._world.changed:
            return _bubbles(self._client.dm(team_id, user_id).messages.values())

    def dm_id(self, team_id: str, user_id: str) -> str:
        """The id of these direct messages."""
        with self._world.changed:
            return self._client.dm(team_id, user_id).id

    def channel_messages(self, team_id: str, channel_id: str) -> list[Bubble]:
        """All messages of a channel, also those in threads, oldest first."""
        with self._world.changed:
            return _bubbles(self._world.workspaces[team_id].channels[channel_id].messages.values())

    def thread(self, team_id: str, channel_id: str, ts: str) -> list[Bubble]:
        """One thread, its root first."""
        with self._world.changed:
            return _bubbles(self._world.workspaces[team_id].channels[channel_id].thread(ts))

    def ephemerals(self, team_id: str, user_id: str) -> list[Bubble]:
        """What only this person sees, wherever it was shown."""
        with self._world.changed:
            channels = self._world.workspaces[team_id].channels.values()
            found = [one for channel in channels for one in channel.ephemerals if one.reader == user_id]
            return _bubbles(sorted(found, key=age))

    def home(self, team_id: str, user_id: str) -> dict[str, Any] | None:
        """The Home tab, with its `buttons`; None if nothing was published."""
        with self._world.changed:
            return self._client.told(self._world.workspaces[team_id].homes.get(user_id))

    def modal(self, team_id: str, user_id: str) -> dict[str, Any] | None:
        """The modal on top, with its `buttons`; None if none is open."""
        with self._world.changed:
            return self._client.told(self._client.top(team_id, user_id))

    def field_errors(self, team_id: str, user_id: str) -> dict[str, str]:
        """What stands in red below the fields of the modal on top, by block id."""
        with self._world.changed:
            view = self._client.top(team_id, user_id)
            return dict(view.errors) if view else {}

    @staticmethod
    def shown(seen: Any) -> str:
        """All words that a person reads in a view or in blocks, a line for each part."""
        return slack_screen.shown(seen)

    @staticmethod
    def buttons(seen: Any) -> tuple[tuple[str, str, str], ...]:
        """The buttons and overflow options of a view or of blocks: action id, value, label."""
        return slack_screen.buttons(seen)

    # --- people write and command ----------------------------------------------------------------------------------

    def say(
        self,
        team_id: str,
        user_id: str,
        text: str = "",
        *,
        channel: str = "",
        thread_ts: str = "",
        subtype: str = "",
        bot_id: str = "",
        user_team: str = "",
        files: Sequence[Mapping[str, Any]] = (),
        escape: bool = True,
        extra: Mapping[str, Any] | None = None,
        **manner: Unpack[Manner],
    ) -> Answer:
        """The person writes, in the direct messages unless a channel is given: one event.

        `text` is what they typed, sent with its &, < and > escaped as Slack does; not so with `escape=False`, for text
        with a mention in it. `user_team`: where a stranger is at home. `extra`: further or other fields of the event.
        `answer.payload["event"]["ts"]` is the name of the message.
        """
        with self._world.changed:
            place = self._client.place(team_id, user_id, channel)
            sent = _escaped(text) if escape else text
            message = Message(self._world.ts(), team_id, place.id, user_id, sent, thread_ts=thread_ts)
            message.files = [self._hosted(team_id, user_id, one) for one in files]
            event = self._payloads.message(message, place, text) | _present(subtype=subtype, bot_id=bot_id)
            if files and not subtype:
                event["subtype"] = "file_share"
            stranger = user_team or self._home_of(team_id, user_id)
            event |= _present(user_team=stranger, source_team=stranger) | dict(extra or {})
            if not manner.get("forge"):
                self._world.keep(place, message)
            payload = self._payloads.event(team_id, event, ext_shared=place.ext_shared)
        return self._courier.event(payload, manner)

    def _hosted(self, team_id: str, user_id: str, told: Mapping[str, Any]) -> dict[str, Any]:
        """A file of a message. With `content` (bytes) it lies here, and can be fetched with a token."""
        told = dict(told)
        content = told.pop("content", None)
        if content is None:
            return {"id": new_id("F"), "mode": "hosted", **told}
        kind = told.get("mimetype", "application/octet-stream")
        file = Hosted(new_id("F"), team_id, told.get("name", "file"), len(content), user_id, content, kind)
        return self._world.file_shape(self._world.host(file)) | told

    def file(self, name: str) -> bytes | None:
        """The bytes of the newest file of this name that lies at Slack; None: there is none."""
        with self._world.changed:
            found = [one.content for one in self._world.files.values() if one.name == name]
            return found[-1] if found else None

    def share_late(self, late: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
        """Let files be seen only after `late=False`, as Slack does while it looks through them."""
        with self._world.changed:
            self._world.share_late = late
            while self._world.unshared and not late:
                self._world.unshared.pop(0)()

    @property
    def downloads(self) -> list[str]:
        """The ids of the files that somebody wanted to fetch, in order."""
        with self._world.changed:
            return list(self._world.downloads)

    def edit(
        self, team_id: str, user_id: str, ts: str, text: str, *, without: str = "", **manner: Unpack[Manner]
    ) -> Answer:
        """The person edits what they wrote, or takes the file of a name out: message_changed. Raises LookupError."""
        with self._world.changed:
            place = self._written(team_id, user_id, ts)
            kept = [one for one in place.messages[ts].files if not without or one.get("name") != without]
            place.messages[ts].files = kept
            event = self._payloads.altered(place.messages[ts], place, _escaped(text))
            payload = self._payloads.event(team_id, event, ext_shared=place.ext_shared)
        return self._courier.event(payload, manner)

    def take_back(self, team_id: str, user_id: str, ts: str, **manner: Unpack[Manner]) -> Answer:
        """The person deletes what they wrote: message_deleted. Raises LookupError."""
        with self._world.changed:
            place = self._written(team_id, user_id, ts)
            event = self._payloads.altered(place.messages.pop(ts), place, None)
            payload = self._payloads.event(team_id, event, ext_shared=place.ext_shared)
        return self._courier.event(payload, manner)

    def event(
        self, team_id: str, event: Mapping[str, Any], *, ext_shared: bool = False, **manner: Unpack[Manner]
    ) -> Answer:
        """Send any other event, in Slack's envelope."""
        with self._world.changed:
            payload = self._payloads.event(team_id, event, ext_shared=ext_shared)
        return self._courier.event(payload, manner)

    def command(
        self,
        team_id: str,
        user_id: str,
        text: str = "",
        command: str = "/ally",
        channel: str = "",
        **manner: Unpack[Manner],
    ) -> Answer:
        """The person types a slash command; what the bot answers at once is shown as an ephemeral.

        https://docs.slack.dev/interactivity/implementing-slash-commands
        """
        with self._world.changed:
            place = self._client.place(team_id, user_id, channel)
            form = self._payloads.command(team_id, user_id, place, command, text)
        answers = self._courier.command(form, manner)
        with self._world.changed:
            self._client.show(answers[0], Hook(team_id, place.id, user_id, self._world.now()))
        return answers[-1]

    def open_home(self, team_id: str, user_id: str, tab: str = "home", **manner: Unpack[Manner]) -> Answer:
        """The person opens the app, at its Home tab or its messages: app_home_opened."""
        with self._world.changed:
            payload = self._payloads.home_opened(team_id, user_id, self._client.dm(team_id, user_id).id, tab)
        return self._courier.event(payload, manner)

    def uninstall(self, team_id: str, **manner: Unpack[Manner]) -> list[Answer]:
        """Somebody removes the app: its tokens end, and two events tell of it."""
        with self._world.changed:
            workspace = self._world.workspaces[team_id]
            self._world.end_tokens(team_id, "account_inactive")
            revoked = {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [workspace.bot_user]}}
            payloads = [self._payloads.event(team_id, one) for one in (revoked, {"type": "app_uninstalled"})]
        return [self._courier.event(one, manner) for one in payloads]

    def redeliver(self) -> list[Answer]:
        """Repeat every event that the bot did not answer with 2xx: its answers."""
        return self._courier.redeliver()

    # --- people tap and fill in ------------------------------------------------------------------------------------

    def tap(
        self,
        team_id: str,
        user_id: str,
        what: str,
        *,
        ts: str | None = None,
        where: str = "dm",
        **manner: Unpack[Manner],
    ) -> Answer:
        """The person taps a button or an option, by its label, its action id or its value; the newest that there is.

        `where`: "dm", "home", "modal", or a channel's id. Raises LookupError, which says what there is instead.
        """
        with self._world.changed:
            seen, control, option = self._client.find(team_id, user_id, what, where, ts)
            payload = self._payloads.tapped(team_id, user_id, seen, control, option)
        return self._courier.interaction(payload, manner)[-1]

    def choose(
        self,
        team_id: str,
        user_id: str,
        menu: str,
        choice: str | Sequence[str],
        *,
        ts: str | None = None,
        where: str = "dm",
        **manner: Unpack[Manner],
    ) -> Answer:
        """The person chooses in a menu, named by its action id or placeholder: by label or value, or a person's id."""
        with self._world.changed:
            seen, control = self._client.menu(team_id, user_id, menu, where, ts)
            payload = self._payloads.tapped(team_id, user_id, seen, control, filled(control, choice))
        return self._courier.interaction(payload, manner)[-1]

    def type_in(self, team_id: str, user_id: str, values: Mapping[str, str | Sequence[str]]) -> None:
        """The person fills in fields of the modal on top, by block id; options by label or value. Or LookupError."""
        with self._world.changed:
            self._client.fill(team_id, user_id, values)

    def submit(self, team_id: str, user_id: str, **manner: Unpack[Manner]) -> Answer:
        """The person presses the modal's button. What the bot answers is done: errors, update, push, clear, or close.

        Status 0 and the reason "not_sent": Slack itself finds a field wrong, see `field_errors`.
        """
        with self._world.changed:
            view = self._client.top(team_id, user_id)
            if view is None or not view.content.get("submit"):
                raise LookupError("There is no modal to submit.")
            view.errors = own_errors(view)
            if view.errors:
                return Answer(0, reason="not_sent")
            payload = self._payloads.about(team_id, user_id, "view_submission", view.id)
            payload |= {"view": self._views.told(view), "response_urls": []}
        answers = self._courier.interaction(payload, manner)
        if not manner.get("forge"):
            with self._world.changed:
                self._client.submitted(self._world.workspaces[team_id], user_id, view, answers[0])
        return answers[-1]

    def close_modal(
        self, team_id: str, user_id: str, *, everything: bool = False, **manner: Unpack[Manner]
    ) -> Answer | None:
        """The person closes the modal on top, or all of them: view_closed, if the view asks for it."""
        with self._world.changed:
            view, stack = self._client.top(team_id, user_id), self._world.workspaces[team_id].modals.get(user_id, [])
            if view is None:
                raise LookupError("There is no modal to close.")
            payload = self._payloads.about(team_id, user_id, "view_closed", "")
            payload |= {"view": self._views.told(view), "is_cleared": everything}
            del payload["trigger_id"]
            del stack[0 if everything or view.content.get("clear_on_close") else len(stack) - 1 :]
            self._world.changed.notify_all()
        return self._courier.interaction(payload, manner)[-1] if view.content.get("notify_on_close") else None

    def shortcut(
        self,
        team_id: str,
        user_id: str,
        callback_id: str,
        *,
        ts: str = "",
        channel: str = "",
        **manner: Unpack[Manner],
    ) -> Answer:
        """The person takes a shortcut; with `ts` that of a message in the channel, or in the direct messages."""
        with self._world.changed:
            payload = self._payloads.about(team_id, user_id, "message_action" if ts else "shortcut", "")
            payload |= {"callback_id": callback_id, "action_ts": self._world.ts()}
            if ts:
                place = self._client.place(team_id, user_id, channel)
                payload |= {"channel": {"id": place.id, "name": place.name}, "message_ts": ts}
                payload["message"] = self._world.message_shape(place.messages[ts])
                payload["response_url"] = self._world.hook(team_id, place.id, user_id, ts)
        return self._courier.interaction(payload, manner)[-1]

    # --- installing, sockets ---------------------------------------------------------------------------------------

    def authorize(self, url: str, team_id: str, user_id: str, *, allow: bool = True) -> str:
        """The person opens the address of an "Add to Slack" button and allows it, or not: where they are sent to.

        Raises ValueError where Slack would show an error instead of asking.
        """
        return self._install.authorize(url, team_id, user_id, allow=allow)

    def drop_sockets(self, *, warn: bool = False) -> None:
        """Close every socket; `warn`: after the message that asks the client to come again."""
        self._sockets.drop(warn=warn)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _come_back(self) -> None:
        """A client has a socket again: what it did not acknowledge is sent once more."""
        if self._courier.socket:
            self._courier.redeliver()

    def _home_of(self, team_id: str, user_id: str) -> str:
        user = self._world.workspaces[team_id].users.get(user_id)
        return user.home_team if user else ""

    def _written(self, team_id: str, user_id: str, ts: str) -> Channel:
        """Where somebody wrote a message."""
        channels = self._world.workspaces[team_id].channels.values()
        place = next((one for one in channels if ts in one.messages and one.messages[ts].user == user_id), None)
        if place is None:
            raise LookupError(f"{user_id} wrote no message {ts}.")
        return place


class _Handler(WSGIRequestHandler):
    """One request a connection, and no line in the log: it would hold tokens."""

    protocol_version = "HTTP/1.0"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing."""


def _bubbles(messages: Iterable[Message]) -> list[Bubble]:
    return [
        Bubble(
            one.ts,
            one.text,
            tuple(one.blocks),
            slack_screen.buttons(one.blocks),
            not one.by_bot,
            one.edited,
            one.metadata,
            one.thread_ts,
            one.user,
            one.channel,
            tuple(str(file.get("title") or file.get("name", "")) for file in one.files),
        )
        for one in messages
    ]


def _present(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _escaped(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text#escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
