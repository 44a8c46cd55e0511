"""What Slack tells the bot: the payloads of events, commands and interactions, as Slack documents them.

Whoever calls holds the world's lock.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from bot.playground import slack_screen
from bot.playground.slack_screen import Control
from bot.playground.slack_views import Views
from bot.playground.slack_world import Channel, Message, View, World, new_id


class Payloads:
    """The payloads of one world; `token` is the old verification token, which nobody should trust."""

    def __init__(self, world: World, views: Views) -> None:
        self._world, self._views = world, views
        self.token = secrets.token_urlsafe(18)

    def event(self, team_id: str, event: Mapping[str, Any], *, ext_shared: bool = False) -> dict[str, Any]:
        """https://docs.slack.dev/apis/events-api#callback-field."""
        bot = self._world.workspaces[team_id].bot_user
        who = {
            "enterprise_id": None,
            "team_id": team_id,
            "user_id": bot,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        return {
            "token": self.token,
            "team_id": team_id,
            "context_team_id": team_id,
            "context_enterprise_id": None,
            "api_app_id": self._world.app_id,
            "event": dict(event),
            "type": "event_callback",
            "event_id": new_id("Ev"),
            "event_time": int(self._world.now().timestamp()),
            "authorizations": [who],
            "is_ext_shared_channel": ext_shared,
            "event_context": f"4-{secrets.token_hex(16)}",
        }

    def message(self, message: Message, place: Channel, typed: str) -> dict[str, Any]:
        """https://docs.slack.dev/reference/events/message.im."""
        element = {"type": "rich_text_section", "elements": [{"type": "text", "text": typed}]}
        event = self._world.message_shape(message) | {
            "client_msg_id": secrets.token_hex(16),
            "blocks": [{"type": "rich_text", "block_id": new_id("")[:5], "elements": [element]}],
            "channel": place.id,
            "channel_type": {"im": "im", "groups": "group", "channels": "channel"}[place.kind],
            "event_ts": message.ts,
        }
        if message.thread_ts in place.messages:
            event["parent_user_id"] = place.messages[message.thread_ts].user
        return event

    def altered(self, message: Message, place: Channel, text: str | None) -> dict[str, Any]:
        """https://docs.slack.dev/reference/events/message/message_changed; without a text message_deleted beside it."""
        event = self.message(message, place, "")
        event = {name: event[name] for name in ("type", "channel", "channel_type", "event_ts")}
        event |= {"hidden": True, "ts": self._world.ts(), "previous_message": self._world.message_shape(message)}
        if text is None:
            return event | {"subtype": "message_deleted", "deleted_ts": message.ts}
        message.text, message.edited = text, True
        return event | {"subtype": "message_changed", "message": self._world.message_shape(message)}

    def home_opened(self, team_id: str, user_id: str, channel: str, tab: str) -> dict[str, Any]:
        """https://docs.slack.dev/reference/events/app_home_opened."""
        view = self._world.workspaces[team_id].homes.get(user_id)
        event = {"type": "app_home_opened", "user": user_id, "channel": channel, "tab": tab}
        event["event_ts"] = self._world.ts()
        return self.event(team_id, event | ({"view": self._views.told(view)} if view and tab == "home" else {}))

    def command(self, team_id: str, user_id: str, place: Channel, command: str, text: str) -> dict[str, Any]:
        """https://docs.slack.dev/interactivity/implementing-slash-commands#app_command_handling."""
        workspace = self._world.workspaces[team_id]
        return {
            "token": self.token,
            "team_id": team_id,
            "team_domain": workspace.domain,
            "channel_id": place.id,
            "channel_name": "privategroup" if place.private else place.name,
            "user_id": user_id,
            "user_name": workspace.users[user_id].name,
            "command": command,
            "text": text,
            "api_app_id": self._world.app_id,
            "is_enterprise_install": "false",
            "response_url": self._world.hook(team_id, place.id, user_id),
            "trigger_id": self._world.trigger(team_id, user_id),
        }

    def about(self, team_id: str, user_id: str, kind: str, view_id: str) -> dict[str, Any]:
        """What every interaction carries: https://docs.slack.dev/reference/interaction-payloads."""
        workspace = self._world.workspaces[team_id]
        user = workspace.users[user_id]
        return {
            "type": kind,
            "token": self.token,
            "api_app_id": self._world.app_id,
            "team": {"id": team_id, "domain": workspace.domain},
            "user": {"id": user_id, "username": user.name, "name": user.name, "team_id": user.team},
            "enterprise": None,
            "is_enterprise_install": False,
            "trigger_id": self._world.trigger(team_id, user_id, view_id),
        }

    def tapped(self, team_id: str, user_id: str, seen: Message | View, control: Control, value: Any) -> dict[str, Any]:
        """https://docs.slack.dev/reference/interaction-payloads/block_actions-payload."""
        action = {"type": control.kind, "action_id": control.action_id, "block_id": control.block_id}
        action["action_ts"] = self._world.ts()
        if control.kind == "button":
            action |= {name: control.element[name] for name in ("text", "value", "url") if name in control.element}
        elif control.kind == "overflow":
            action["selected_option"] = value
        else:
            action[slack_screen.state_name(control.kind)] = value
            seen.typed[control.block_id, control.action_id] = value
        payload = self.about(team_id, user_id, "block_actions", seen.id if isinstance(seen, View) else "")
        return payload | self._container(seen, user_id) | {"actions": [action]}

    def _container(self, seen: Message | View, user_id: str) -> dict[str, Any]:
        """Where it was tapped."""
        if isinstance(seen, View):
            return {"container": {"type": "view", "view_id": seen.id}, "view": self._views.told(seen)}
        place = self._world.workspaces[seen.team_id].channels[seen.channel]
        container = {"type": "message", "message_ts": seen.ts, "channel_id": place.id}
        if seen.thread_ts:
            container["thread_ts"] = seen.thread_ts
        where = {
            "container": container | {"is_ephemeral": bool(seen.reader)},
            "channel": {"id": place.id, "name": "privategroup" if place.private else place.name},
            "state": {"values": slack_screen.state(seen.blocks, seen.typed)},
            "response_url": self._world.hook(seen.team_id, place.id, user_id, seen.ts),
        }
        return where if seen.reader else where | {"message": self._world.message_shape(seen)}
