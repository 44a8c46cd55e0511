"""The way from a page back to the chat from which it was opened."""

from urllib.parse import quote

from bot.store import slack
from bot.store.engine import Connection, Row


def messages_url(team: str, app_id: str) -> str:
    """The way to our direct messages: https://docs.slack.dev/interactivity/deep-linking."""
    return f"slack://app?team={quote(team)}&id={quote(app_id)}&tab=messages"


def way_back(db: Connection, row: Row, chat_url: str) -> str:
    """Into Slack for a link (see `mailboxes.link_by_token`) that was opened from there, else to `chat_url`."""
    if row.channel != "slack":
        return chat_url
    team = (row.contact_address or "").partition(".")[0]
    workspace = slack.workspace(db, team)
    if workspace is None or not workspace.app_id:
        return f"slack://open?team={quote(team)}"
    return messages_url(team, workspace.app_id)
