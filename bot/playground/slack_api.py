"""The Web API of the stand-in for Slack: what it takes, what it refuses, what it answers.

An own reading of https://docs.slack.dev/reference/methods: it shares no code with the bot nor with Slack's SDK.
"""

import base64
import binascii
import contextlib
import json
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from flask import Flask, Response, abort, jsonify, request

from bot.playground.slack_checks import MAX_MARKDOWN
from bot.playground.slack_files import MAX_FILE, Files
from bot.playground.slack_oauth import Install
from bot.playground.slack_screen import mentions
from bot.playground.slack_views import Views, checked_blocks
from bot.playground.slack_world import (
    MINUTE,
    RESPONSE_LIVES,
    RESPONSE_USES,
    Channel,
    Fault,
    Hook,
    Limited,
    Mention,
    Message,
    Refusal,
    Seen,
    User,
    Workspace,
    World,
)

Answer: TypeAlias = dict[str, Any]
MAX_TEXT, MAX_REQUEST = 40_000, 1_000_000
PAGE, MAX_PAGE = 100, 1000
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
SECRETS = frozenset({"token", "client_secret"})  # never on record
TIER_1, TIER_2, TIER_3, TIER_4, SPECIAL = (
    1,
    20,
    50,
    100,
    600,
)  # a minute: https://docs.slack.dev/apis/web-api/rate-limits
_JSON_IN_FORMS = ("blocks", "view", "metadata", "attachments")
_TYPES = {"public_channel": "channels", "private_channel": "groups", "im": "im", "mpim": "mpim"}
_REACTION = re.compile(r"[a-z0-9_+'-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Method:
    """One method: what it does, the scopes of which one is needed, how often it may be called in a minute."""

    call: Callable[[Workspace, Answer], Answer]
    scopes: tuple[str, ...]
    a_minute: int


class Api:
    """The answers, as a Flask app (`app`) on one world. `connect`: makes the address of a new socket."""

    def __init__(self, world: World, connect: Callable[[], str]) -> None:
        self._world, self._connect = world, connect
        self._install = Install(world)
        self.views = Views(world)
        self.files = Files(world, self._target, self._root)
        self._methods = self._table()
        self.app = Flask("slack-stand-in", static_folder=None)
        self.app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST
        self.app.before_request(_only_this_machine)
        self.app.before_request(_bytes_may_be_many)
        self.app.add_url_rule("/api/<method>", view_func=self._serve, methods=["GET", "POST"])
        self.app.add_url_rule("/response/<name>", view_func=self._respond, methods=["POST"])
        self._install.add_pages(self.app)
        self.files.add_pages(self.app)

    def _table(self) -> dict[str, Method]:
        return {
            "auth.test": Method(self._auth_test, (), SPECIAL),
            "auth.revoke": Method(self._auth_revoke, (), TIER_3),
            "apps.uninstall": Method(self._uninstall, (), TIER_1),
            "chat.postMessage": Method(self._post, ("chat:write",), SPECIAL),
            "chat.postEphemeral": Method(self._post_ephemeral, ("chat:write",), TIER_4),
            "chat.update": Method(self._update, ("chat:write",), TIER_3),
            "chat.delete": Method(self._delete, ("chat:write",), TIER_3),
            "chat.getPermalink": Method(self._permalink, (), SPECIAL),
            "conversations.open": Method(self._open, ("im:write",), TIER_3),
            "conversations.info": Method(self._info, (), TIER_3),
            "conversations.members": Method(self._members, (), TIER_4),
            "conversations.list": Method(self._list, (), TIER_2),
            "conversations.history": Method(self._history, (), TIER_3),
            "conversations.replies": Method(self._replies, (), TIER_3),
            "files.getUploadURLExternal": Method(self.files.begin, ("files:write",), TIER_4),
            "files.completeUploadExternal": Method(self.files.complete, ("files:write",), TIER_4),
            "users.info": Method(self._user, ("users:read",), TIER_4),
            "users.list": Method(self._users, ("users:read",), TIER_2),
            "users.conversations": Method(self._list, (), TIER_3),
            "views.open": Method(self.views.open, (), TIER_4),
            "views.push": Method(self.views.push, (), TIER_4),
            "views.update": Method(self.views.update, (), TIER_4),
            "views.publish": Method(self.views.publish, (), TIER_4),
            "reactions.add": Method(self._react, ("reactions:write",), TIER_3),
            "reactions.remove": Method(self._react_no_more, ("reactions:write",), TIER_2),
            "assistant.threads.setStatus": Method(self._status, ("assistant:write", "chat:write"), SPECIAL),
        }

    # --- around every call -----------------------------------------------------------------------------------------

    def _serve(self, method: str) -> Response:
        """Log the call, play the fault that is due, answer."""
        args, token = _arguments()
        world = self._world
        with world.changed:
            known = world.tokens.get(token)
            kept = {name: value for name, value in args.items() if name not in SECRETS}
            world.requests.append(Seen(method, known.team_id if known else "", kept))
            fault = world.due(method)
            world.changed.notify_all()
        early = _early(fault) if fault else None
        if early is not None:
            return early
        with world.changed:
            answer = self._answer(method, args, token)
            world.changed.notify_all()
        return self._late(fault.kind, answer) if fault else answer

    def _answer(self, method: str, args: Answer, token: str) -> Response:
        try:
            return self._call(method, args, token)
        except Limited as limited:
            return _limited(limited.retry_after)
        except Refusal as refusal:
            return jsonify({"ok": False, "error": refusal.error} | refusal.more)

    def _call(self, method: str, args: Answer, token: str) -> Response:
        if method == "oauth.v2.access":
            return jsonify({"ok": True} | self._install.exchange(args, request.authorization))
        if method == "apps.connections.open":
            return jsonify({"ok": True, "url": self._open_socket(token)})
        known = self._methods.get(method)
        if known is None:
            raise Refusal("unknown_method", req_method=method)
        workspace = self._workspace(token)
        if known.scopes:
            _need(workspace, *known.scopes)
        self._world.count((method, workspace.id), known.a_minute, MINUTE)
        answer = jsonify({"ok": True} | known.call(workspace, args))
        answer.headers["X-OAuth-Scopes"] = ",".join(sorted(workspace.scopes))
        return answer

    def _workspace(self, token: str) -> Workspace:
        """Whose token it is, if it is still worth anything."""
        if not token:
            raise Refusal("not_authed")
        if token == self._world.app_token:
            raise Refusal("not_allowed_token_type")
        known = self._world.tokens.get(token)
        if known is None:
            raise Refusal("invalid_auth")
        if known.error:
            raise Refusal(known.error)
        if known.expires is not None and known.expires <= self._world.now():
            raise Refusal("token_expired")
        return self._world.workspaces[known.team_id]

    def _late(self, kind: str, answer: Response) -> Response:
        """Play what goes wrong after the call was processed."""
        world = self._world
        if kind == "drop_after":
            _hang_up()
        if kind == "slow":
            with world.changed:
                released = world.released
                world.held += 1
                world.changed.notify_all()
            released.wait()
            with world.changed:
                world.held -= 1
                world.changed.notify_all()
        return answer

    def _open_socket(self, token: str) -> str:
        """https://docs.slack.dev/reference/methods/apps.connections.open."""
        if not token:
            raise Refusal("not_authed")
        if token in self._world.tokens:
            raise Refusal("not_allowed_token_type")
        if token != self._world.app_token:
            raise Refusal("invalid_auth")
        return self._connect()

    # --- who, and the app itself -----------------------------------------------------------------------------------

    def _auth_test(self, workspace: Workspace, _args: Answer) -> Answer:
        return {
            "url": f"https://{workspace.domain}.slack.com/",
            "team": workspace.name,
            "user": workspace.users[workspace.bot_user].name,
            "team_id": workspace.id,
            "user_id": workspace.bot_user,
            "bot_id": workspace.bot_id,
            "is_enterprise_install": False,
        }

    def _auth_revoke(self, workspace: Workspace, args: Answer) -> Answer:
        if _flag(args.get("test")):
            return {"revoked": False}
        self._world.end_tokens(workspace.id, "token_revoked")
        return {"revoked": True}

    def _uninstall(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/apps.uninstall."""
        self._install.check_client(args, request.authorization)
        self._world.end_tokens(workspace.id, "account_inactive")
        return {}

    # --- chat ------------------------------------------------------------------------------------------------------

    def _post(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/chat.postMessage."""
        channel = self._target(workspace, str(args.get("channel", "")))
        text, blocks = self._words(workspace, args, "chat.postMessage")
        metadata, thread_ts = _metadata(args.get("metadata")), self._root(channel, args)
        self._world.count(("chat.postMessage", workspace.id, channel.id), 1, 1.0)
        message = self._said(workspace, channel, text, blocks)
        message.metadata, message.thread_ts = metadata, thread_ts
        self._world.keep(channel, message)
        shape = self._world.message_shape(message, metadata=True)
        return {"channel": channel.id, "ts": message.ts, "message": shape}

    def _post_ephemeral(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/chat.postEphemeral."""
        channel = self._target(workspace, str(args.get("channel", "")))
        text, blocks = self._words(workspace, args, "chat.postEphemeral")
        reader = str(args.get("user", ""))
        if reader not in channel.members:
            raise Refusal("user_not_in_channel")
        message = self._said(workspace, channel, text, blocks)
        message.reader, message.thread_ts = reader, str(args.get("thread_ts") or "")
        self._world.keep(channel, message)
        return {"message_ts": message.ts}

    def _update(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/chat.update: text without blocks removes the blocks."""
        message = self._own(workspace, args, "cant_update_message")
        text, blocks = self._words(workspace, args, "chat.update")
        if "metadata" in args:
            message.metadata = _metadata(args["metadata"])
        message.text, message.blocks, message.edited = text, blocks, True
        shape = self._world.message_shape(message, metadata=True)
        return {"channel": message.channel, "ts": message.ts, "text": text, "message": shape}

    def _delete(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/chat.delete: a bot token deletes the bot's own messages only."""
        message = self._own(workspace, args, "cant_delete_message")
        del workspace.channels[message.channel].messages[message.ts]
        return {"channel": message.channel, "ts": message.ts}

    def _permalink(self, workspace: Workspace, args: Answer) -> Answer:
        channel = self._visible(workspace, str(args.get("channel", "")))
        message = _message(channel, args.get("message_ts"))
        link = f"https://{workspace.domain}.slack.com/archives/{channel.id}/p{message.ts.replace('.', '')}"
        inside = f"?thread_ts={message.thread_ts}&cid={channel.id}" if message.thread_ts else ""
        return {"channel": channel.id, "permalink": link + inside}

    def _words(self, workspace: Workspace, args: Answer, method: str) -> tuple[str, list[dict[str, Any]]]:
        """Text and blocks of a message, if Slack would take them; whom they ping goes on record."""
        text, markdown = str(args.get("text") or ""), str(args.get("markdown_text") or "")
        if markdown and (text or args.get("blocks")):
            raise Refusal("markdown_text_conflict")
        if len(markdown) > MAX_MARKDOWN:
            raise Refusal("msg_too_long")
        text, blocks = text or markdown, checked_blocks(args.get("blocks"))
        if not text.strip() and not blocks:
            raise Refusal("no_text")
        if len(text) > MAX_TEXT:
            raise Refusal("msg_too_long")
        loose = args.get("parse") == "full" or _flag(args.get("link_names"))
        for what in mentions(text, blocks, loose=loose):
            self._world.mentions.append(Mention(method, workspace.id, what))
        return text, blocks

    def _said(self, workspace: Workspace, channel: Channel, text: str, blocks: list[dict[str, Any]]) -> Message:
        ts = self._world.ts()
        return Message(ts, workspace.id, channel.id, workspace.bot_user, text, blocks, by_bot=True)

    def _target(self, workspace: Workspace, name: str) -> Channel:
        """Where the bot may post: a channel that it is in, or somebody's direct messages."""
        if name in workspace.users:
            return self._world.dm(workspace, _reachable(workspace, name).id)
        channel = self._visible(workspace, name)
        if channel.im_with:
            _reachable(workspace, channel.im_with)
        if channel.archived:
            raise Refusal("is_archived")
        if workspace.bot_user not in channel.members:
            raise Refusal("not_in_channel")
        return channel

    def _visible(self, workspace: Workspace, name: str) -> Channel:
        """A channel that the bot may know of: a private one only from within."""
        channel = workspace.channels.get(name)
        if channel is None or (channel.private and workspace.bot_user not in channel.members):
            raise Refusal("channel_not_found")
        return channel

    def _root(self, channel: Channel, args: Answer) -> str:
        """The thread that is answered: its root, also when an answer in it was named."""
        ts = str(args.get("thread_ts") or "")
        if not ts:
            return ""
        if ts not in channel.messages:
            raise Refusal("cannot_reply_to_message")
        return channel.messages[ts].thread_ts or ts

    def _own(self, workspace: Workspace, args: Answer, error: str) -> Message:
        """A message of the bot's own, to be changed or deleted."""
        channel = self._visible(workspace, str(args.get("channel", "")))
        message = _message(channel, args.get("ts"))
        if not message.by_bot:
            raise Refusal(error)
        return message

    # --- conversations ---------------------------------------------------------------------------------------------

    def _open(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/conversations.open: with one person."""
        if args.get("channel"):
            return {"channel": {"id": self._visible(workspace, str(args["channel"])).id}}
        names = [one for one in str(args.get("users") or "").split(",") if one]
        if not names:
            raise Refusal("users_list_not_supplied")
        if len(names) > 1 or names[0] not in workspace.users:
            raise Refusal("user_not_found")
        user = _reachable(workspace, names[0])
        known = any(one.im_with == user.id for one in workspace.channels.values())
        channel = self._world.dm(workspace, user.id)
        shape = self._world.channel_shape(channel) if _flag(args.get("return_im")) else {"id": channel.id}
        return {"channel": shape} | ({"no_op": True, "already_open": True} if known else {})

    def _readable(self, workspace: Workspace, args: Answer, right: str) -> Channel:
        """A channel that may be looked into with the scope for its kind."""
        channel = self._visible(workspace, str(args.get("channel", "")))
        _need(workspace, f"{channel.kind}:{right}")
        return channel

    def _info(self, workspace: Workspace, args: Answer) -> Answer:
        return {"channel": self._world.channel_shape(self._readable(workspace, args, "read"))}

    def _members(self, workspace: Workspace, args: Answer) -> Answer:
        channel = self._readable(workspace, args, "read")
        members, more = _page(channel.members, args)
        return {"members": members} | more

    def _list(self, workspace: Workspace, args: Answer) -> Answer:
        """conversations.list, and users.conversations: of the bot itself when nobody is named."""
        kinds = [one.strip() for one in str(args.get("types") or "public_channel").split(",")]
        if not set(kinds) <= set(_TYPES):
            raise Refusal("invalid_types")
        for kind in kinds:
            _need(workspace, f"{_TYPES[kind]}:read")
        of = str(args.get("user") or workspace.bot_user) if request.path.endswith("users.conversations") else ""
        found = [
            one
            for one in workspace.channels.values()
            if one.kind in {_TYPES[kind] for kind in kinds}
            and (not one.private or workspace.bot_user in one.members)
            and not (one.archived and _flag(args.get("exclude_archived")))
            and (not of or of in one.members)
        ]
        channels, more = _page(found, args)
        return {"channels": [self._world.channel_shape(one) for one in channels]} | more

    def _history(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/conversations.history: newest first, without answers."""
        channel = self._readable(workspace, args, "history")
        if workspace.bot_user not in channel.members:
            raise Refusal("not_in_channel")
        found = [one for one in reversed(channel.messages.values()) if one.thread_ts in {"", one.ts}]
        return self._messages(workspace, _between(found, args), args) | {"pin_count": 0}

    def _replies(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/conversations.replies: oldest first, the root before all."""
        channel = self._readable(workspace, args, "history")
        root = channel.messages.get(str(args.get("ts", "")))
        if root is None:
            raise Refusal("thread_not_found")
        found = _between(channel.thread(root.thread_ts or root.ts), args)
        if root not in found and not root.thread_ts:
            found = [root, *found]
        return self._messages(workspace, found, args)

    def _messages(self, workspace: Workspace, found: Sequence[Message], args: Answer) -> Answer:
        """Metadata is told to whoever asks for it and has the scope: PLATFORM 4.5."""
        told = bool(workspace.scopes & {"metadata.message:read", "message_metadata:read"})
        metadata = told and _flag(args.get("include_all_metadata"))
        messages, more = _page(found, args)
        shapes = [self._world.message_shape(one, metadata=metadata) for one in messages]
        return {"messages": shapes, "has_more": bool(more["response_metadata"]["next_cursor"])} | more

    # --- people and the rest ---------------------------------------------------------------------------------------

    def _user(self, workspace: Workspace, args: Answer) -> Answer:
        user = workspace.users.get(str(args.get("user", "")))
        if user is None:
            raise Refusal("user_not_found")
        return {"user": self._shape(workspace, user, args)}

    def _users(self, workspace: Workspace, args: Answer) -> Answer:
        users, more = _page(list(workspace.users.values()), args)
        return {"members": [self._shape(workspace, one, args) for one in users], "cache_ts": 0} | more

    def _shape(self, workspace: Workspace, user: User, args: Answer) -> Answer:
        email = "users:read.email" in workspace.scopes
        return self._world.user_shape(user, email=email, locale=_flag(args.get("include_locale")))

    def _react(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/reactions.add."""
        channel = self._visible(workspace, str(args.get("channel", "")))
        message = _message(channel, args.get("timestamp"))
        mark = (workspace.bot_user, str(args.get("name", "")))
        if not _REACTION.fullmatch(mark[1]):
            raise Refusal("invalid_name")
        if mark in message.reactions:
            raise Refusal("already_reacted")
        message.reactions.append(mark)
        return {}

    def _react_no_more(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/reactions.remove."""
        channel = self._visible(workspace, str(args.get("channel", "")))
        message = _message(channel, args.get("timestamp"))
        mark = (workspace.bot_user, str(args.get("name", "")))
        if mark not in message.reactions:
            raise Refusal("no_reaction")
        message.reactions.remove(mark)
        return {}

    def _status(self, workspace: Workspace, args: Answer) -> Answer:
        """https://docs.slack.dev/reference/methods/assistant.threads.setStatus."""
        channel = self._visible(workspace, str(args.get("channel_id", "")))
        thread = _message(channel, args.get("thread_ts")).ts
        workspace.statuses[channel.id, thread] = str(args.get("status", ""))
        return {}

    # --- response_url ----------------------------------------------------------------------------------------------

    def _respond(self, name: str) -> Response:
        """https://docs.slack.dev/interactivity/handling-user-interaction#message_responses."""
        world, args = self._world, request.get_json()
        if not isinstance(args, dict):
            abort(400)
        with world.changed:
            hook = world.hooks.get(name)
            world.requests.append(Seen("response_url", hook.team_id if hook else "", args))
            error = self._spent(hook)
            if hook is None or error:
                answer = jsonify({"ok": False, "error": error})
                answer.status_code = 404
                return answer
            hook.used += 1
            try:
                self.respond(hook, args)
            except Refusal as refusal:
                return jsonify({"ok": False, "error": refusal.error} | refusal.more)
        return Response("ok", content_type="text/html")

    def _spent(self, hook: Hook | None) -> str:
        if hook is None:
            return "invalid_url"
        if self._world.now() - hook.issued > RESPONSE_LIVES:
            return "expired_url"
        return "used_url" if hook.used >= RESPONSE_USES else ""

    def respond(self, hook: Hook, args: Answer) -> None:
        """Show what was posted to a response_url, or what the bot answered a command with."""
        workspace = self._world.workspaces[hook.team_id]
        channel = workspace.channels[hook.channel]
        original = channel.messages.get(hook.ts) or next((one for one in channel.ephemerals if one.ts == hook.ts), None)
        self._world.changed.notify_all()
        if original is not None and _flag(args.get("delete_original")):
            channel.messages.pop(hook.ts, None)
            with contextlib.suppress(ValueError):
                channel.ephemerals.remove(original)
            return
        text, blocks = self._words(workspace, args, "response_url")
        if original is not None and _flag(args.get("replace_original")):
            original.text, original.blocks, original.edited = text, blocks, True
            return
        message = self._said(workspace, channel, text, blocks)
        message.reader = "" if args.get("response_type") == "in_channel" else hook.user_id
        message.thread_ts = str(args.get("thread_ts") or "")
        self._world.keep(channel, message)


# --- reading a call --------------------------------------------------------------------------------------------------


def _only_this_machine() -> None:
    """A page from elsewhere must not speak to it through this machine's browser (DNS rebinding)."""
    if request.remote_addr not in LOOPBACK or request.host.rsplit(":", 1)[0] not in LOOPBACK:
        abort(403)


def _bytes_may_be_many() -> None:
    if request.path.startswith("/upload/"):
        request.max_content_length = MAX_FILE


def _arguments() -> tuple[Answer, str]:
    """The arguments of a call, from its query, form or JSON, and the token that came with it."""
    args: Answer = request.args.to_dict() | request.form.to_dict()
    if request.is_json:
        given = request.get_json(silent=True)
        args |= given if isinstance(given, dict) else {}
    for name in _JSON_IN_FORMS:
        if isinstance(args.get(name), str) and args[name]:
            with contextlib.suppress(ValueError):  # what is no JSON is refused where it is used
                args[name] = json.loads(args[name])
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return args, token if scheme == "Bearer" else str(request.form.get("token", request.args.get("token", "")))


def _early(fault: Fault) -> Response | None:
    """The answer to a call that goes wrong before it is processed."""
    if fault.kind == "ratelimited":
        return _limited(fault.retry_after)
    if fault.kind in {"500", "503"}:
        return Response("upstream trouble", int(fault.kind), content_type="text/plain")
    if fault.kind == "drop_before":
        _hang_up()
        return Response()
    if fault.kind in {"drop_after", "slow"}:
        return None
    return jsonify({"ok": False, "error": fault.kind})


def _hang_up() -> None:
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def _limited(retry_after: int) -> Response:
    answer = jsonify({"ok": False, "error": "ratelimited"})
    answer.status_code = 429
    answer.headers["Retry-After"] = str(retry_after)
    return answer


def _need(workspace: Workspace, *scopes: str) -> None:
    if not workspace.scopes & set(scopes):
        raise Refusal("missing_scope", needed=",".join(scopes), provided=",".join(sorted(workspace.scopes)))


def _reachable(workspace: Workspace, user_id: str) -> User:
    """Somebody with whom the bot may have direct messages."""
    user = workspace.users[user_id]
    if user.is_bot:
        raise Refusal("cannot_dm_bot")
    if user.deleted:
        raise Refusal("user_disabled")
    return user


def _message(channel: Channel, ts: Any) -> Message:
    message = channel.messages.get(str(ts))
    if message is None:
        raise Refusal("message_not_found")
    return message


def _metadata(given: Any) -> dict[str, Any] | None:
    """https://docs.slack.dev/messaging/message-metadata."""
    if not given:
        return None
    if not isinstance(given, Mapping) or not isinstance(given.get("event_type"), str):
        raise Refusal("invalid_metadata_format")
    if not isinstance(given.get("event_payload"), Mapping):
        raise Refusal("invalid_metadata_format")
    return dict(given)


def _between(found: list[Message], args: Answer) -> list[Message]:
    """Only what lies between `oldest` and `latest`; the two themselves only if `inclusive`."""
    oldest, latest = _time(args, "oldest", "0"), _time(args, "latest", "inf")
    ends = {oldest, latest} if _flag(args.get("inclusive")) else set()
    return [one for one in found if oldest < float(one.ts) < latest or float(one.ts) in ends]


def _time(args: Answer, name: str, usual: str) -> float:
    try:
        return float(args.get(name) or usual)
    except ValueError:
        raise Refusal(f"invalid_ts_{name}") from None


def _page(items: Sequence[Any], args: Answer) -> tuple[list[Any], Answer]:
    """One page of a list: https://docs.slack.dev/apis/web-api/pagination."""
    given, cursor = str(args.get("limit") or PAGE), str(args.get("cursor") or "")
    if not given.isdecimal() or not 0 < int(given) <= MAX_PAGE:
        raise Refusal("invalid_limit")
    try:
        start = int(base64.b64decode(cursor, validate=True).removeprefix(b"next:")) if cursor else 0
    except (ValueError, binascii.Error):
        raise Refusal("invalid_cursor") from None
    limit = int(given)
    end = start + limit
    following = base64.b64encode(b"next:%d" % end).decode() if end < len(items) else ""
    return list(items[start:end]), {"response_metadata": {"next_cursor": following}}


def _flag(given: Any) -> bool:
    """A yes, as JSON and as forms say it."""
    return given is True or str(given).lower() in {"1", "true"}
