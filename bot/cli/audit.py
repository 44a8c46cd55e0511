"""`audit`: the record of who did what when, and whether it is what was sealed."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from bot.app import Parts
from bot.cli.shared import CannotBe, as_json, joined
from bot.store import audit
from bot.store.engine import reading


@click.command("audit")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="From this day on: 2026-03-02 (UTC).")
@click.option("--verify", is_flag=True, help="Say whether all is as it was sealed; else status 1, and which day.")
@as_json
def show_audit(since: datetime | None, verify: bool, wants_json: bool) -> None:
    """Show who did what when, in opaque ids; oldest first."""
    with joined() as parts:
        if verify:
            _say_verified(_verified(parts), wants_json=wants_json)
        else:
            click.echo(_told(_entries(parts, since), wants_json=wants_json))


def _entries(parts: Parts, begin: datetime | None) -> list[dict[str, Any]]:
    """The entries from a day on (None: all), oldest first."""
    with reading(parts.engine) as db:
        rows = audit.since(db, begin.replace(tzinfo=UTC) if begin is not None else None)
    return [
        {"id": row.id, "at": row.at.astimezone(UTC).isoformat(timespec="seconds"), "actor": row.actor,
         "action": row.action, "subject": row.subject}
        for row in rows
    ]  # fmt: skip


def _told(rows: list[dict[str, Any]], *, wants_json: bool) -> str:
    """The entries for a machine, or a line each for a person."""
    if wants_json:
        return json.dumps(rows)
    lines = (f"{one['at']}  {one['actor']}  {one['action']}  {one['subject']}" for one in rows)
    return "\n".join(lines) or "Nothing."


def _verified(parts: Parts) -> dict[str, Any]:
    """The last day that is sealed, with its digest. Raises CannotBe with the first day that is not as it was."""
    with parts.engine.begin() as db:
        try:
            last = audit.verify(db, parts.clock.now())
        except audit.Tampered as broken:
            raise CannotBe(str(broken)) from None
    if last is None:
        return {"sealed_until": "", "digest": ""}
    return {"sealed_until": last.day.isoformat(), "digest": last.digest}


def _say_verified(found: dict[str, Any], *, wants_json: bool) -> None:
    if wants_json:
        click.echo(json.dumps(found))
    elif found["sealed_until"]:
        click.echo(f"Until {found['sealed_until']} all is as it was sealed. Digest: {found['digest']}")
    else:
        click.echo("No day is sealed yet.")
