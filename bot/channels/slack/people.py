"""Who is in a workspace: its full members, as Slack knows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.channels import Refused
from bot.channels.slack.client import NoWorkspaceError, SlackApi
from flows.words import Person

MAX_NAME = 100
SLACKBOT = "USLACKBOT"


def full_members(api: SlackApi, team: str, users: Sequence[str], channels: Sequence[str]) -> list[Person]:
    """These users and everybody in these channels, by name; no bots, no guests, no strangers, nobody deactivated.

    Raises Refused (a channel that we are not in, or that is gone), Later, Unclear.
    """
    wanted = set(users)
    for channel in channels:
        wanted.update(str(one) for one in api.pages(team, "conversations.members", "members", channel=channel))
    found = {one.id: one for one in everybody(api, team) if one.id in wanted}
    return sorted(found.values(), key=lambda one: one.name.casefold())


def members(api: SlackApi, team: str, channel: str) -> dict[str, str]:
    """The names of the full members in a channel, by id: looked up one by one, because they are few.

    Raises like `full_members`.
    """
    ids = list(api.pages(team, "conversations.members", "members", channel=channel))
    told = (_told(api, team, one) for one in ids)
    return {one.id: one.name for one in (_person(user) for user in told if user and _is_full(user, team))}


def _told(api: SlackApi, team: str, user: str) -> Mapping[str, Any]:
    """A user; empty for one who is gone by now."""
    try:
        return dict(api.call(team, "users.info", user=user).get("user") or {})
    except NoWorkspaceError:
        raise
    except Refused:
        return {}


def everybody(api: SlackApi, team: str) -> list[Person]:
    """All full members of a workspace. Raises Refused, Later, Unclear."""
    return [_person(one) for one in api.pages(team, "users.list", "members") if _is_full(one, team)]


def deactivated(api: SlackApi, team: str) -> set[str]:
    """The users of a workspace who are deactivated. Raises Refused, Later, Unclear."""
    return {str(one["id"]) for one in api.pages(team, "users.list", "members") if one.get("deleted") is True}


def _is_full(user: Mapping[str, Any], team: str) -> bool:
    """https://docs.slack.dev/reference/objects/user-object; what is not known to be a full member is none."""
    outside = any(
        user.get(sign)
        for sign in ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger", "is_app_user")
    )
    return not outside and user.get("id") != SLACKBOT and user.get("team_id", team) == team


def _person(user: Mapping[str, Any]) -> Person:
    profile = user.get("profile") or {}
    name = profile.get("real_name") or user.get("real_name") or profile.get("display_name") or user.get("name") or ""
    return Person(str(user["id"]), " ".join(str(name).split())[:MAX_NAME])
