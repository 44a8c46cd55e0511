"""Setting the stage of the stand-in for Slack: workspaces, people, channels, and what becomes of them."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime

from bot.playground.slack_world import ALL_SCOPES, Channel, Trigger, User, Workspace, World


class Scenery:
    """The scenery of one world. All methods may be called from any thread."""

    def __init__(self, world: World) -> None:
        self._world = world

    def workspace(
        self,
        team_id: str,
        name: str,
        *,
        installed: bool = True,
        scopes: Iterable[str] = ALL_SCOPES,
        bot_user: str = "",
    ) -> Workspace:
        """A workspace, with the app in it unless it is to be installed by OAuth; `token` and `bot_user` are its own."""
        with self._world.changed:
            workspace = Workspace(team_id, name, bot_user or f"U0BOT{team_id}", f"B0BOT{team_id}")
            workspace.scopes = frozenset(scopes)
            self._world.workspaces[team_id] = workspace
            if installed:
                self._world.install(workspace)
            return workspace

    def user(
        self,
        team_id: str,
        user_id: str,
        name: str,
        *,
        email: str = "",
        real_name: str = "",
        locale: str = "en-US",
        tz: str = "America/Sao_Paulo",
        is_bot: bool = False,
        is_restricted: bool = False,
        is_ultra_restricted: bool = False,
        deleted: bool = False,
        is_stranger: bool = False,
        home_team: str = "",
    ) -> User:
        """Somebody in a workspace; `is_restricted`: a guest, `is_stranger`: from another company, the `home_team`."""
        user = User(user_id, team_id, name, email, real_name, locale, tz)
        user.is_bot, user.deleted, user.is_stranger = is_bot, deleted, is_stranger
        user.is_restricted, user.is_ultra_restricted = is_restricted, is_ultra_restricted
        user.home_team = home_team
        with self._world.changed:
            self._world.workspaces[team_id].users[user_id] = user
        return user

    def channel(
        self,
        team_id: str,
        channel_id: str,
        name: str,
        members: Iterable[str],
        *,
        private: bool = False,
        archived: bool = False,
        ext_shared: bool = False,
    ) -> Channel:
        """A channel with these people in it; the bot is in it if its `bot_user` is among them."""
        channel = Channel(channel_id, team_id, name, list(members), private, archived, ext_shared)
        with self._world.changed:
            self._world.workspaces[team_id].channels[channel_id] = channel
        return channel

    def deactivate(self, team_id: str, user_id: str) -> None:
        """Switch somebody's account off."""
        with self._world.changed:
            self._world.workspaces[team_id].users[user_id].deleted = True

    def archive(self, team_id: str, channel_id: str) -> None:
        """Archive a channel."""
        with self._world.changed:
            self._world.workspaces[team_id].channels[channel_id].archived = True

    def delete_channel(self, team_id: str, channel_id: str) -> None:
        """Delete a channel and all that was said in it."""
        with self._world.changed:
            del self._world.workspaces[team_id].channels[channel_id]

    def join(self, team_id: str, channel_id: str, user_id: str) -> None:
        """Bring somebody, or the bot, into a channel."""
        with self._world.changed:
            members = self._world.workspaces[team_id].channels[channel_id].members
            members += [] if user_id in members else [user_id]

    def leave(self, team_id: str, channel_id: str, user_id: str) -> None:
        """Take somebody, or the bot, out of a channel."""
        with self._world.changed, contextlib.suppress(ValueError):
            self._world.workspaces[team_id].channels[channel_id].members.remove(user_id)

    def revoke_token(self, team_id: str, error: str = "token_revoked") -> None:
        """Let the bot's tokens be worth nothing; calls are then refused with this error."""
        with self._world.changed:
            self._world.end_tokens(team_id, error)

    def expire_triggers(self) -> None:
        """Let every trigger that was issued be too old."""
        with self._world.changed:
            past = datetime.min.replace(tzinfo=UTC)
            for name, one in self._world.triggers.items():
                self._world.triggers[name] = Trigger(one.team_id, one.user_id, past, one.view_id, one.used)
