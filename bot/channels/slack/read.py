"""From Slack's payloads to what came in. Only `team` and `user` of the signed payload say who it was, never a name.

Events: https://docs.slack.dev/apis/events-api; interactions:
https://docs.slack.dev/reference/interaction-payloads; commands: https://docs.slack.dev/interactivity/implementing-slash-commands.
"""

import hashlib
import html
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from bot.channels import MAX_TEXT, Identity, Inbound, Kind
from bot.channels.slack.files import media
from bot.channels.slack.render import VALUE
from bot.channels.text import clean

CHANNEL = "slack"
COMMAND = "slack.command"  # the question of which a subcommand is a choice: one that no conversation has asked
MAX_NAME = 100
MAX_BUTTON = 255
MAX_FIELDS = 10
MAX_PICKED = 500

_ID = re.compile(r"[A-Z][A-Z0-9]{1,30}", re.ASCII)
_LINK = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_BRACKETS = re.compile("[<>]")  # a person's own ones come as entities
_KINDS: tuple[tuple[str, Kind], ...] = (("image/", "image"), ("audio/", "voice"), ("video/", "video"))

Payload = Mapping[str, Any]
_Read = TypeVar("_Read")


class BadPayload(ValueError):
    """A genuine request that we cannot or must not take. The reason holds nothing of its content."""


def _of_slacks_shape(read: Callable[[Payload], _Read]) -> Callable[[Payload], _Read]:
    """A payload of another shape than Slack's is a bad one, too: repeated, it would be no better."""

    @wraps(read)
    def reading(body: Payload) -> _Read:
        try:
            return read(body)
        except (AttributeError, IndexError, KeyError, TypeError) as odd:
            raise BadPayload(f"an odd shape ({type(odd).__name__})") from None

    return reading


def address(team: str, user: str) -> str:
    """What a Slack user is known by; both ids come from a signed payload. Raises BadPayload."""
    if not (_ID.fullmatch(team) and _ID.fullmatch(user)):
        raise BadPayload("no team or no user")
    return f"{team}.{user}"


def split(known: str) -> tuple[str, str]:
    """Team and user of an address."""
    team, _, user = known.partition(".")
    return team, user


def identity(team: str, user: str) -> Identity:
    """Who somebody is in Slack. Raises BadPayload."""
    return Identity(CHANNEL, address(team, user))


@_of_slacks_shape
def read_message(body: Payload) -> Inbound | None:
    """A direct message to us; None for what is no person's message (a bot's, an edit, a deletion, another channel)."""
    event = body["event"]
    files = event.get("files") or []
    if event.get("channel_type") != "im" or event.get("bot_id") or event.get("subtype", "file_share") != "file_share":
        return None
    team = _own_team(body, event)
    text = words(str(event.get("text") or ""))
    kind: Kind = "text" if text.strip() or not files else _kind(str(files[0].get("mimetype", "")))
    who = identity(team, str(event.get("user", "")))
    came = message_id(str(body.get("event_id", "")))
    return Inbound(came, who, text, kind=kind if text or files else "other", media=media(event))


@_of_slacks_shape
def read_home(body: Payload) -> Identity:
    """Who opened our home."""
    event = body["event"]
    return identity(_own_team(body, event), str(event.get("user", "")))


def _own_team(body: Payload, event: Payload) -> str:
    """The workspace that we are installed in. A person of another one is a stranger (Slack Connect): not heard.

    Nor is anybody of an organisation that installed us as a whole: we know workspaces only.
    """
    us = (body.get("authorizations") or [{}])[0]
    installed = str(us.get("team_id") or body.get("team_id", ""))
    home = str(event.get("user_team") or event.get("source_team") or event.get("team") or body.get("team_id"))
    if home != installed or body.get("is_ext_shared_channel") or us.get("is_enterprise_install"):
        raise BadPayload("somebody of another workspace")
    return installed


@_of_slacks_shape
def read_command(body: Payload) -> tuple[str, Inbound]:
    """A slash command: its words in small letters, and the words as if they had been written to us."""
    if str(body.get("is_enterprise_install", "")).lower() == "true":
        raise BadPayload("an organisation, not a workspace")
    who = identity(str(body.get("team_id", "")), str(body.get("user_id", "")))
    text = words(str(body.get("text", ""))).strip()
    name = clean(str(body.get("user_name", "")))[:MAX_NAME]
    return text.lower(), Inbound(message_id(str(body.get("trigger_id", ""))), who, text, name=name)


@_of_slacks_shape
def read_action(body: Payload) -> Inbound:
    """A tap on a button, or a choice in a menu; of a menu of people its name with the one who was chosen."""
    action = (body.get("actions") or [{}])[0]
    chosen = action.get("value") or (action.get("selected_option") or {}).get("value") or _picked(action)
    label = (action.get("text") or (action.get("selected_option") or {}).get("text") or {}).get("text", "")
    if not chosen or len(str(chosen)) > MAX_BUTTON:
        raise BadPayload("a tap without a choice")
    at = f"{body.get('trigger_id', '')} {action.get('action_ts', '')}"
    return Inbound(message_id(at), _actor(body), words(str(label))[:MAX_TEXT], button=str(chosen), name=_name(body))


def _picked(action: Mapping[str, Any]) -> str:
    """https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element#users_select."""
    user = str(action.get("selected_user") or "")
    return f"{action.get('action_id', '')}:{user}" if _ID.fullmatch(user) else ""


@_of_slacks_shape
def read_submission(body: Payload) -> Inbound:
    """A filled-in window: its fields by name. Sent twice it has the same id, filled in again after an error another."""
    view = body.get("view") or {}
    values = (view.get("state") or {}).get("values") or {}
    typed = {str(name): _filled(inputs[VALUE]) for name, inputs in list(values.items())[:MAX_FIELDS] if VALUE in inputs}
    at = f"{view.get('id', '')} {view.get('hash', '')} {body.get('trigger_id', '')}"
    button = f"{view.get('callback_id', '')}:"
    return Inbound(message_id(at), _actor(body), " / ".join(typed.values()), button, name=_name(body), fields=typed)


def _filled(given: Mapping[str, Any]) -> str:
    """What was typed into a field, or the ids that were picked in it, with commas between them."""
    picked = given.get("selected_users") or given.get("selected_conversations")
    if picked is not None:
        return ",".join(str(one) for one in picked[:MAX_PICKED])
    if given.get("selected_options") is not None:  # boxes, of which none may be ticked
        return ",".join(str(one.get("value", "")) for one in given["selected_options"][:MAX_PICKED])
    chosen = (given.get("selected_option") or {}).get("value")
    return words(str(chosen or given.get("value") or "")).strip()


@_of_slacks_shape
def actor(body: Payload) -> Identity:
    """Who tapped or filled in something. Raises BadPayload for somebody of another workspace."""
    return _actor(body)


def _actor(body: Payload) -> Identity:
    user, team = body.get("user") or {}, (body.get("team") or {}).get("id", "")
    installed = (body.get("view") or {}).get("app_installed_team_id") or team
    if body.get("is_enterprise_install") or {user.get("team_id", team), installed} != {team}:
        raise BadPayload("somebody of another workspace")
    return identity(str(team), str(user.get("id", "")))


def _name(body: Payload) -> str:
    user = body.get("user") or {}
    return clean(str(user.get("name") or user.get("username") or ""))[:MAX_NAME]


def message_id(told: str) -> str:
    """An id of at most 64 signs; ours is made of Slack's, so that what comes twice has it twice."""
    if not told.strip():
        raise BadPayload("no id")
    return told if len(told) <= 64 and " " not in told else hashlib.sha256(told.encode()).hexdigest()  # noqa: PLR2004


def _kind(mimetype: str) -> Kind:
    return next((kind for start, kind in _KINDS if mimetype.startswith(start)), "document")


def words(text: str) -> str:
    """What a person typed, of what Slack made of it: links and mentions in pointed brackets, and entities."""
    return clean(html.unescape(_BRACKETS.sub("", _LINK.sub(_read, text))))[:MAX_TEXT]


def _read(link: re.Match[str]) -> str:
    target, label = link[1], link[2]
    if target.startswith("mailto:"):
        return target.removeprefix("mailto:")
    if target.startswith(("#", "@", "!")):
        return f"{target[0]}{label or target[1:]}"
    return label if label and label in target else target


def typed(body: Payload, name: str) -> str:
    """What somebody typed into a field of a window, letter by letter: no link and no entity is made of it there."""
    values = ((body.get("view") or {}).get("state") or {}).get("values") or {}
    return clean(str(((values.get(name) or {}).get(VALUE) or {}).get("value") or ""))[:MAX_TEXT].strip()
