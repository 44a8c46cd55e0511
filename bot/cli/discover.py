"""`discover` and `providers`: which server an address needs, how fresh the facts are. Neither needs a database."""

import json
import os
import sys
from datetime import date
from typing import Any

import click

from bot import jsonl
from bot.app import known_providers, network
from bot.cli.shared import as_json
from bot.clock import SystemClock
from bot.mail.knowledge.domains import domain_of
from bot.mail.knowledge.provider import Candidate, Provider
from bot.mail.knowledge.providers import Providers
from bot.mail.wire import discover as wire
from bot.mail.wire.addresses import BadAddress, normalise
from bot.mail.wire.discover import Found, Outcome
from bot.mail.wire.guard import GuardError
from bot.settings import load

_NO_ADDRESS = "it is neither an address nor a domain"


@click.command()
@click.argument("address", required=False)
@click.option("--offline", is_flag=True, help="Use only what the tables know.")
@click.option(
    "--jsonl", "many", is_flag=True, help='Read {"id", "address"} lines on standard input, answer a line each.'
)
@as_json
def discover(address: str | None, offline: bool, many: bool, wants_json: bool) -> None:
    """Say which server the mail of ADDRESS (or of a bare domain) is sent through, the best first."""
    if many == (address is not None):
        raise click.UsageError("Give one ADDRESS, or --jsonl and lines on standard input.")
    known, today = _known()
    if many:
        for row in jsonl.rows(sys.stdin.buffer, "address"):
            click.echo(json.dumps(_answer_row(known, row, today, offline=offline)))
        return
    found = _found(known, address or "", today, offline=offline)
    if "error" in found:
        raise click.BadParameter(f"{found['error']}.", param_hint="ADDRESS")
    click.echo(json.dumps(found, ensure_ascii=False) if wants_json else _in_words(found))
    if not found["candidates"]:
        sys.exit(1)


@click.command()
@click.option("--old", is_flag=True, help="Only those whose facts were not looked up for 90 days.")
@as_json
def providers(old: bool, wants_json: bool) -> None:
    """List the mail providers that are known, and when their facts were last checked."""
    known, today = _known()
    rows = [_row(one, today) for one in known.all(today) if one.is_old(today) or not old]
    if wants_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        age = "  OLD" if row["old"] else ""
        click.echo(f"{row['checked']}  {row['id']:<24} {row['demand']:<13} {row['name']}{age}")
    click.echo(f"{len(rows)} providers, {sum(row['old'] for row in rows)} of them not checked for 90 days.")


def _known() -> tuple[Providers, date]:
    """The table as this installation has it, and the day. Raises SettingsError."""
    return known_providers(load(os.environ).providers_extra), SystemClock().now().date()


def _row(one: Provider, today: date) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "demand": one.demand,
        "hint": one.hint,
        "checked": one.checked.isoformat(),
        "old": one.is_old(today),
        "source": one.source,
    }


# --- one address ------------------------------------------------------------------------------------------------------


def _found(known: Providers, address: str, today: date, *, offline: bool) -> dict[str, Any]:
    """What is known of an address as typed; `error` where it is none."""
    if domain_of(address) is None:
        return {"error": _NO_ADDRESS, "candidates": [], "provider": None, "hint": None}
    candidates = known.candidates(address, today) if offline else _online(known, address, today)
    row = known.for_address(address, today)
    return {
        "candidates": [_written(candidate) for candidate in candidates],
        "provider": row.id if row else None,
        "hint": row.hint if row else None,
        "did_you_mean": known.near(address),
    }


def _online(known: Providers, address: str, today: date) -> tuple[Candidate, ...]:
    """The servers for an address: the tables', else what the network tells of its domain."""
    listed = known.candidates(address, today)
    try:
        found = None if listed else find(normalise(_with_local_part(address)), known, today)
    except (BadAddress, GuardError):
        return listed
    return (Candidate(found.server, found.source, found.provider_id),) if isinstance(found, Found) else listed


def find(address: str, known: Providers, today: date) -> Outcome:
    """What the network tells of an address's domain, reached as this installation's settings say."""
    return wire.discover(address, providers=known, network=network(load(os.environ)), today=today)


def _with_local_part(address: str) -> str:
    return address if "@" in address else f"somebody@{address.strip()}"


def _written(candidate: Candidate) -> dict[str, Any]:
    server = candidate.server
    return {"host": server.host, "port": server.port, "security": server.security, "source": candidate.source}


def _in_words(found: dict[str, Any]) -> str:
    lines = [f"{one['host']}:{one['port']}  {one['security']}  ({one['source']})" for one in found["candidates"]]
    if found["provider"]:
        lines.append(f"provider: {found['provider']}, hint: {found['hint']}")
    if found["did_you_mean"]:
        lines.append(f"Did you mean {found['did_you_mean']}?")
    return "\n".join(lines) or "No server is known for it."


# --- many -------------------------------------------------------------------------------------------------------------


def _answer_row(known: Providers, row: jsonl.Row, today: date, *, offline: bool) -> dict[str, Any]:
    """The answer to one line; for one that cannot be answered, `error` says why."""
    if row.error:
        return {"id": row.id, "error": row.error, "candidates": [], "provider": None, "hint": None}
    return {"id": row.id, **_found(known, row.given["address"], today, offline=offline)}
