"""Slack workspaces: each belongs to one agency."""

from typing import Any

import click

from bot.app import Parts
from bot.cli.shared import CannotBe, answer, as_json, audit
from bot.export import moment
from bot.store import slack
from bot.store.engine import reading


@click.group()
def workspace() -> None:
    """Slack workspaces: each belongs to one agency."""


@workspace.command("list")
@as_json
def workspace_list(wants_json: bool) -> None:
    """List all workspaces."""
    answer(workspaces, wants_json)


def workspaces(parts: Parts) -> list[dict[str, Any]]:
    """The Slack workspaces, each with the agency that it belongs to."""
    with reading(parts.engine) as db:
        rows = slack.all_workspaces(db)
    return [
        {"workspace": row.team_id, "name": row.name, "agency": row.agency or "", "since": moment(row.at),
         "left": row.gone_at is not None}
        for row in rows
    ]  # fmt: skip


@workspace.command("release")
@click.argument("team")
@as_json
def workspace_release(team: str, wants_json: bool) -> None:
    """Take a workspace (T...) from its agency; everybody in it has to come in again."""
    answer(lambda parts: release_workspace(parts, team), wants_json)


def release_workspace(parts: Parts, team: str) -> dict[str, Any]:
    """Take a workspace from its agency: the next admin who comes with an invitation gets it. Raises CannotBe."""
    with parts.engine.begin() as db:
        if not slack.release(db, team):
            raise CannotBe(f"There is no workspace {team}; python -m bot workspace list shows them.")
        audit(db, parts.clock.now(), "workspace_released", team)
    return {"workspace": team, "agency": ""}
