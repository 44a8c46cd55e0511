"""Installing the app by OAuth: the way to Slack's consent page, and what Slack grants there.

https://docs.slack.dev/authentication/installing-with-oauth
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from bot.channels.slack.read import BadPayload, address, words
from bot.channels.slack.scopes import SCOPES

SLACK = "https://slack.com"
MAX_NAME = 120
MAX_ID = 32


class OrganisationError(BadPayload):
    """The app was installed for a whole organisation; we belong to single workspaces."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What Slack's answer to a code says: where we are now, as whom, and who let us in."""

    team: str
    name: str
    app_id: str
    bot_user: str
    installer: str
    scopes: str
    token: str = field(repr=False)


def authorize_url(api_url: str, client_id: str, redirect_uri: str, state: str) -> str:
    """Slack's consent page for our scopes; with another API (tests, playground) that API's own page."""
    query = {"client_id": client_id, "scope": ",".join(SCOPES), "redirect_uri": redirect_uri, "state": state}
    return f"{origin(api_url)}/oauth/v2/authorize?{urlencode(query)}"


def origin(api_url: str) -> str:
    """Where Slack's pages are."""
    parts = urlsplit(api_url)
    return f"{parts.scheme}://{parts.netloc}" if api_url else SLACK


def granted(answer: Mapping[str, Any]) -> Granted:
    """What an answer of `oauth.v2.access` grants. Raises OrganisationError, and BadPayload for any other than ours."""
    team, installer = answer.get("team") or {}, answer.get("authed_user") or {}
    if answer.get("is_enterprise_install") or not team:
        raise OrganisationError("installed for an organisation")
    address(str(team.get("id", "")), str(installer.get("id", "")))  # it raises where these are none
    if not answer.get("access_token") or answer.get("token_type") != "bot":
        raise BadPayload("no bot token")
    return Granted(
        team=str(team["id"]),
        name=words(str(team.get("name") or ""))[:MAX_NAME],
        app_id=str(answer.get("app_id") or "")[:MAX_ID],
        bot_user=str(answer.get("bot_user_id") or "")[:MAX_ID],
        installer=str(installer["id"]),
        scopes=str(answer.get("scope") or ""),
        token=str(answer["access_token"]),
    )
