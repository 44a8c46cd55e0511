"""What Slack knows: workspaces, people, channels, messages, views, tokens; and what is to go wrong."""

import math
import secrets
import string
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

KEPT_FILES = 200
KEPT_MESSAGES, KEPT_REQUESTS, KEPT_TRIGGERS = 2000, 5000, 2000  # messages in each channel
TRIGGER_LIVES = timedelta(seconds=3)
RESPONSE_LIVES, RESPONSE_USES = timedelta(minutes=30), 5
TOKEN_LIVES = timedelta(hours=12)
CODE_LIVES = timedelta(minutes=10)
MINUTE = 60.0
# All that the manifest of the bot asks for, and what it may ask for: PLATFORM 4.10
ALL_SCOPES = frozenset(
    {
        "app_mentions:read", "assistant:write", "channels:history", "channels:read", "chat:write", "commands",
        "files:read", "files:write", "groups:history", "groups:read", "im:history", "im:read", "im:write",
        "metadata.message:read", "reactions:write", "users:read", "users:read.email",
    }
)  # fmt: skip
_T = TypeVar("_T")
_LETTERS = string.ascii_uppercase + string.digits


class Refusal(Exception):
    """The API's answer to a call that it does not take; `more` stands beside the error."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more


class Limited(Exception):
    """The API's answer to a call too many: 429."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"again in {retry_after} s")
        self.retry_after = retry_after


class Seen(NamedTuple):
    """One call as it reached the Web API, without the token that came with it."""

    method: str
    team_id: str
    arguments: dict[str, Any]


class Mention(NamedTuple):
    """Somebody would have been pinged by what the bot sent."""

    method: str
    team_id: str
    what: str


@dataclass(slots=True)
class User:
    """Somebody in a workspace, a person or a bot."""

    id: str
    team_id: str
    name: str
    email: str = ""
    real_name: str = ""
    locale: str = "en-US"
    tz: str = "America/Sao_Paulo"
    is_bot: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    deleted: bool = False
    is_stranger: bool = False
    home_team: str = ""

    @property
    def team(self) -> str:
        """Where they are at home: a stranger elsewhere."""
        return self.home_team or self.team_id


@dataclass(slots=True)
class Message:
    """One message; `reader`: the only one who sees it, if it is ephemeral."""

    ts: str
    team_id: str
    channel: str
    user: str
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    by_bot: bool = False
    thread_ts: str = ""
    metadata: dict[str, Any] | None = None
    edited: bool = False
    reader: str = ""
    files: list[dict[str, Any]] = field(default_factory=list)
    typed: dict[tuple[str, str], Any] = field(default_factory=dict)
    reactions: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Hosted:
    """A file that lies at Slack. `upload`: the secret part of the address to which its bytes are still to come."""

    id: str
    team_id: str
    name: str
    size: int
    user: str
    content: bytes | None = field(default=None, repr=False)
    mimetype: str = ""
    title: str = ""
    upload: str = ""
    shared: bool = False


@dataclass(slots=True)
class Channel:
    """A channel or, with `im_with`, the direct messages of one person and the bot."""

    id: str
    team_id: str
    name: str
    members: list[str]
    private: bool = False
    archived: bool = False
    ext_shared: bool = False
    im_with: str = ""
    messages: OrderedDict[str, Message] = field(default_factory=OrderedDict)
    ephemerals: deque[Message] = field(default_factory=lambda: deque(maxlen=KEPT_MESSAGES))

    @property
    def kind(self) -> str:
        """As the scopes name it: im, groups, channels."""
        return "im" if self.im_with else "groups" if self.private else "channels"

    def thread(self, ts: str) -> list[Message]:
        """The message of this name and the answers to it."""
        return [one for one in self.messages.values() if ts in {one.ts, one.thread_ts}]


@dataclass(slots=True)
class View:
    """A modal or a home view as somebody has it before them; `typed` by block id and action id."""

    id: str
    team_id: str
    user_id: str
    content: dict[str, Any]
    hash: str
    root: str
    previous: str | None = None
    typed: dict[tuple[str, str], Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Trigger:
    """The right to open one modal, for three seconds."""

    team_id: str
    user_id: str
    issued: datetime
    view_id: str = ""  # of the modal that it was issued in
    used: bool = False


@dataclass(slots=True)
class Hook:
    """A response_url: where an answer to one interaction may be posted."""

    team_id: str
    channel: str
    user_id: str
    issued: datetime
    ts: str = ""
    used: int = 0


@dataclass(slots=True)
class Token:
    """A bot token. `error`: how it is refused since it is worth nothing any more."""

    team_id: str
    expires: datetime | None = None
    error: str = ""


@dataclass(slots=True)
class Code:
    """What an installer's browser brings back, to be exchanged once."""

    team_id: str
    user_id: str
    redirect_uri: str
    scopes: frozenset[str]
    issued: datetime
    used: bool = False


@dataclass(slots=True)
class Fault:
    """Something to go wrong with so many calls of a method; "*": of any."""

    method: str
    kind: str
    times: int
    retry_after: int


@dataclass(slots=True)
class Workspace:
    """One workspace and the bot in it; `token` is empty while the app is not installed."""

    id: str
    name: str
    bot_user: str
    bot_id: str
    token: str = ""
    scopes: frozenset[str] = ALL_SCOPES
    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    modals: dict[str, list[View]] = field(default_factory=dict)  # by user, the newest last
    homes: dict[str, View] = field(default_factory=dict)
    statuses: dict[tuple[str, str], str] = field(default_factory=dict)  # by channel and thread

    @property
    def domain(self) -> str:
        """The first part of its address."""
        return "".join(one for one in self.name.lower() if one.isalnum()) or self.id.lower()

    def views(self) -> Iterator[View]:
        """All views that somebody has before them."""
        yield from (view for stack in self.modals.values() for view in stack)
        yield from self.homes.values()


class World:
    """All that one made-up Slack holds. Whoever touches it holds `changed`, and notifies it after a change."""

    def __init__(self, app_id: str, client_id: str, client_secret: str, now: Callable[[], datetime]) -> None:
        self.app_id, self.client_id, self.client_secret = app_id, client_id, client_secret
        self.now = now
        self.url = ""
        self.app_token = f"xapp-1-{app_id}-{_digits(13)}-{secrets.token_hex(32)}"
        self.changed = threading.Condition(threading.RLock())
        self.released = threading.Event()
        self.held = 0
        self.strict_rates = False
        self.rotate_tokens = False
        self.workspaces: dict[str, Workspace] = {}
        self.tokens: dict[str, Token] = {}
        self.refresh_tokens: dict[str, str] = {}  # the workspace of each that is not used up
        self.codes: dict[str, Code] = {}
        self.triggers: OrderedDict[str, Trigger] = OrderedDict()
        self.hooks: OrderedDict[str, Hook] = OrderedDict()
        self.faults: list[Fault] = []
        self.files: OrderedDict[str, Hosted] = OrderedDict()
        self.share_late = False
        self.unshared: list[Callable[[], None]] = []  # files that are still looked through
        self.downloads: deque[str] = deque(maxlen=KEPT_REQUESTS)  # files that somebody asked for
        self.requests: deque[Seen] = deque(maxlen=KEPT_REQUESTS)
        self.mentions: deque[Mention] = deque(maxlen=KEPT_REQUESTS)
        self._calls: dict[tuple[str, ...], deque[float]] = {}
        self._tick = 0

    # --- names -----------------------------------------------------------------------------------------------------

    def ts(self) -> str:
        """The name of a message: the time, and never the same twice."""
        self._tick += 1
        return f"{int(self.now().timestamp())}.{self._tick:06d}"

    def hash(self) -> str:
        """What tells two states of one view apart."""
        self._tick += 1
        return f"{int(self.now().timestamp())}.{self._tick:04d}{secrets.token_hex(2)}"

    def trigger(self, team_id: str, user_id: str, view_id: str = "") -> str:
        """A trigger id that is good for one modal."""
        name = f"{_digits(13)}.{_digits(12)}.{secrets.token_hex(16)}"
        _put(self.triggers, name, Trigger(team_id, user_id, self.now(), view_id), KEPT_TRIGGERS)
        return name

    def hook(self, team_id: str, channel: str, user_id: str, ts: str = "") -> str:
        """The address of a response_url."""
        name = secrets.token_urlsafe(18)
        _put(self.hooks, name, Hook(team_id, channel, user_id, self.now(), ts), KEPT_TRIGGERS)
        return f"{self.url}/response/{name}"

    # --- the stage -------------------------------------------------------------------------------------------------

    def install(self, workspace: Workspace, scopes: frozenset[str] | None = None) -> str:
        """Make the app at home in a workspace: its token, and the newest refresh token if tokens are rotated."""
        workspace.scopes = workspace.scopes if scopes is None else scopes
        known = self.tokens.get(workspace.token)
        if self.rotate_tokens or known is None or known.error:
            workspace.token = self._new_token(workspace.id)
        bot = User(workspace.bot_user, workspace.id, "ally", real_name="Ally", is_bot=True)
        workspace.users.setdefault(bot.id, bot)
        return self._new_refresh_token(workspace.id) if self.rotate_tokens else ""

    def _new_token(self, team_id: str) -> str:
        prefix = "xoxe.xoxb-1-" if self.rotate_tokens else f"xoxb-{_digits(12)}-"
        token = prefix + secrets.token_urlsafe(18)
        self.tokens[token] = Token(team_id, self.now() + TOKEN_LIVES if self.rotate_tokens else None)
        return token

    def _new_refresh_token(self, team_id: str) -> str:
        token = f"xoxe-1-{secrets.token_urlsafe(96)}"
        self.refresh_tokens[token] = team_id
        return token

    def end_tokens(self, team_id: str, error: str) -> None:
        """Let no token of a workspace be worth anything any more."""
        for token in self.tokens.values():
            if token.team_id == team_id and not token.error:
                token.error = error
        self.refresh_tokens = {name: team for name, team in self.refresh_tokens.items() if team != team_id}
        self.changed.notify_all()

    def dm(self, workspace: Workspace, user_id: str) -> Channel:
        """The direct messages of a person and the bot; opened when there are none yet."""
        known = next((one for one in workspace.channels.values() if one.im_with == user_id), None)
        if known is None:
            known = Channel(new_id("D"), workspace.id, "directmessage", [user_id, workspace.bot_user], im_with=user_id)
            workspace.channels[known.id] = known
        return known

    def keep(self, channel: Channel, message: Message) -> Message:
        """Bring a message into its channel."""
        if message.reader:
            channel.ephemerals.append(message)
        else:
            _put(channel.messages, message.ts, message, KEPT_MESSAGES)
        self.changed.notify_all()
        return message

    def host(self, file: Hosted) -> Hosted:
        """Keep a file."""
        _put(self.files, file.id, file, KEPT_FILES)
        return file

    def file_shape(self, file: Hosted) -> dict[str, Any]:
        """A file as Slack tells it: https://docs.slack.dev/reference/objects/file-object."""
        at = f"https://files.slack.com/files-pri/{file.team_id}-{file.id}"
        return {
            "id": file.id,
            "name": file.name,
            "title": file.title or file.name,
            "mimetype": file.mimetype,
            "user": file.user,
            "mode": "hosted",
            "is_external": False,
            "size": file.size,
            "url_private": f"{at}/{quote(file.name)}",
            "url_private_download": f"{at}/download/{quote(file.name)}",
        }

    # --- limits ----------------------------------------------------------------------------------------------------

    def count(self, key: tuple[str, ...], most: int, seconds: float) -> None:
        """Let so many calls pass in so many seconds. Raises Limited, which says when there is room again."""
        if not self.strict_rates:
            return
        now = self.now().timestamp()
        calls = self._calls.setdefault(key, deque())
        while calls and calls[0] <= now - seconds:
            calls.popleft()
        if len(calls) >= most:
            raise Limited(max(1, math.ceil(calls[0] + seconds - now)))
        calls.append(now)

    def due(self, method: str) -> Fault | None:
        """The fault that this call meets."""
        fault = next((one for one in self.faults if one.method in {method, "*"}), None)
        if fault is not None:
            fault.times -= 1
            if fault.times < 1:
                self.faults.remove(fault)
        return fault

    # --- shapes ----------------------------------------------------------------------------------------------------

    def message_shape(self, message: Message, *, metadata: bool = False) -> dict[str, Any]:
        """A message as Slack tells it: https://docs.slack.dev/reference/events/message."""
        workspace = self.workspaces[message.team_id]
        shape: dict[str, Any] = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts}
        shape["team"] = workspace.id
        if message.blocks:
            shape["blocks"] = message.blocks
        if message.by_bot:
            shape |= {"bot_id": workspace.bot_id, "app_id": self.app_id, "bot_profile": self._bot_profile(workspace)}
        if message.thread_ts:
            shape |= {"thread_ts": message.thread_ts}
        if message.edited:
            shape |= {"edited": {"user": message.user, "ts": message.ts}}
        if message.files:
            shape |= {"files": message.files}
        if metadata and message.metadata:
            shape |= {"metadata": message.metadata}
        return shape | self._answers(message)

    def _answers(self, message: Message) -> dict[str, Any]:
        channel = self.workspaces[message.team_id].channels[message.channel]
        answers = [one for one in channel.thread(message.ts) if one.ts != message.ts]
        if not answers:
            return {}
        people = list(dict.fromkeys(one.user for one in answers))
        return {
            "thread_ts": message.ts,
            "reply_count": len(answers),
            "reply_users": people,
            "reply_users_count": len(people),
            "latest_reply": answers[-1].ts,
        }

    def _bot_profile(self, workspace: Workspace) -> dict[str, Any]:
        profile = {"id": workspace.bot_id, "app_id": self.app_id, "name": "Ally", "team_id": workspace.id}
        return profile | {"deleted": False, "updated": 0}

    def channel_shape(self, channel: Channel) -> dict[str, Any]:
        """A conversation as Slack tells it: https://docs.slack.dev/reference/objects/conversation-object."""
        bot = self.workspaces[channel.team_id].bot_user
        shape: dict[str, Any] = {"id": channel.id, "created": 0, "is_im": bool(channel.im_with), "is_mpim": False}
        shape |= {"is_archived": channel.archived, "is_org_shared": False, "context_team_id": channel.team_id}
        if channel.im_with:
            return shape | {"user": channel.im_with, "is_open": True}
        return shape | {
            "name": channel.name,
            "name_normalized": channel.name,
            "is_channel": not channel.private,
            "is_group": channel.private,
            "is_private": channel.private,
            "is_general": False,
            "is_member": bot in channel.members,
            "is_shared": channel.ext_shared,
            "is_ext_shared": channel.ext_shared,
            "is_pending_ext_shared": False,
            "pending_shared": [],
            "shared_team_ids": [channel.team_id],
            "num_members": len(channel.members),
        }

    def user_shape(self, user: User, *, email: bool, locale: bool) -> dict[str, Any]:
        """A person as Slack tells them: https://docs.slack.dev/reference/objects/user-object."""
        real_name = user.real_name or user.name
        profile = {"real_name": real_name, "display_name": user.name, "team": user.team}
        if email and user.email:
            profile["email"] = user.email
        shape: dict[str, Any] = {
            "id": user.id,
            "team_id": user.team,
            "name": user.name,
            "deleted": user.deleted,
            "profile": profile,
            "is_bot": user.is_bot,
            "is_app_user": False,
            "updated": 0,
        }
        if not user.deleted:
            shape |= {"real_name": real_name, "tz": user.tz, "is_admin": False, "is_owner": False}
            shape |= {"is_restricted": user.is_restricted, "is_ultra_restricted": user.is_ultra_restricted}
        if user.is_stranger:
            shape["is_stranger"] = True
        return shape | ({"locale": user.locale} if locale else {})

    def view_shape(self, view: View, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A view as Slack tells it: https://docs.slack.dev/reference/interaction-payloads/view-interactions-payload."""
        content = view.content
        return {
            "id": view.id,
            "team_id": view.team_id,
            "type": content["type"],
            "blocks": content["blocks"],
            "private_metadata": content.get("private_metadata") or "",
            "callback_id": content.get("callback_id") or "",
            "external_id": content.get("external_id") or "",
            "state": {"values": dict(values or {})},
            "hash": view.hash,
            "title": content.get("title"),
            "submit": content.get("submit"),
            "close": content.get("close"),
            "clear_on_close": bool(content.get("clear_on_close")),
            "notify_on_close": bool(content.get("notify_on_close")),
            "root_view_id": view.root,
            "previous_view_id": view.previous,
            "app_id": self.app_id,
            "app_installed_team_id": view.team_id,
            "bot_id": self.workspaces[view.team_id].bot_id,
        }


def new_id(kind: str) -> str:
    """A name as Slack makes them: a letter or two, and ten letters and digits."""
    return kind + "".join(secrets.choice(_LETTERS) for _ in range(10))


def _digits(count: int) -> str:
    return str(secrets.randbelow(9 * 10 ** (count - 1)) + 10 ** (count - 1))


def _put(kept: OrderedDict[str, _T], name: str, what: _T, limit: int) -> None:
    kept[name] = what
    while len(kept) > limit:
        kept.popitem(last=False)
