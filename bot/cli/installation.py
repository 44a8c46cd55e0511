"""An installation: its settings, its database, its keys, and whether all is well."""

import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from bot import log, vault
from bot.app import look_over
from bot.cli.shared import as_json, joined, our_settings, show
from bot.clock import SystemClock
from bot.database import opened
from bot.oauth_apps import PROVIDERS, redirect_uri
from bot.rotation import as_row, keys_in_use, rotate
from flows.sign_in import BRANDS


@click.command()
@click.argument("file", default="ally.env", type=click.Path(dir_okay=False, path_type=Path))
def init(file: Path) -> None:
    """Ask for what an installation needs and write it into FILE (ally.env)."""
    from bot.init import Terminal
    from bot.init import init as run

    def ask(words: str, usual: str, hidden: bool) -> str:
        return str(click.prompt(words, default=usual, hide_input=hidden, show_default=bool(usual)))

    click.echo(run(file, Terminal(ask, click.echo), os.environ), nl=False)


@click.command("check-config")
def check_config() -> None:
    """Say whether the settings are right."""
    from bot.door_command import look_at_files

    settings = our_settings()
    look_over(settings)
    look_at_files(settings)
    click.echo("The settings are right.")
    given = {"microsoft": settings.microsoft_client_id, "google": settings.google_client_id}
    for name in PROVIDERS:
        if given[name]:
            click.echo(f"Redirect address to be registered at {BRANDS[name]}: {redirect_uri(settings.url, name)}")


@click.command()
@as_json
def doctor(wants_json: bool) -> None:
    """Look at the whole installation: one line a check, with what to do. Status 1 when something failed."""
    from bot.doctor import examine, healthy, lines

    log.setup("text", logging.CRITICAL)  # the findings say it in better words
    found = examine(os.environ)
    click.echo(
        json.dumps([asdict(one) for one in found], ensure_ascii=False) if wants_json else "\n".join(lines(found))
    )
    if not healthy(found):
        sys.exit(1)


@click.command()
@click.option("--draft", metavar="WHAT", help="Write a migration for what changed in tables.py, to be read.")
def migrate(draft: str | None) -> None:
    """Bring the database to this version's schema."""
    with opened(our_settings(), migrate=draft is None) as url:
        if draft is not None:
            from bot.store import schema
            from bot.store.engine import connect

            schema.draft(connect(url, pool=1), draft)


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@as_json
def backup(file: Path | None, wants_json: bool) -> None:
    """Write the database into FILE, else into a new file in BACKUP_DIR. The keys are not in it."""
    from bot.backup import backup as run

    show(run(our_settings(), file, SystemClock().now()), wants_json)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Also over what is in the database: that is lost.")
@as_json
def restore(file: Path, replace: bool, wants_json: bool) -> None:
    """Put a backup back into the database: all of it, or nothing is changed."""
    from bot.backup import restore as run

    show(run(our_settings(), file, SystemClock().now(), replace=replace), wants_json)


@click.command("new-key")
def new_key() -> None:
    """Print a new key for SECRET_KEYS."""
    click.echo(vault.new_key())


@click.command("rotate-keys")
@click.option("--check", "only_look", is_flag=True, help="Change nothing: only say what each key is needed for.")
@as_json
def rotate_keys(only_look: bool, wants_json: bool) -> None:
    """Seal everything with the newest key of SECRET_KEYS, while all runs; say what each key is needed for.

    Status 1 when an older key is still needed, or something does not open. It may be stopped, and begun again.
    """
    with joined() as parts:
        resealed = 0 if only_look else rotate(parts.engine, parts.vault, parts.clock)
        found = keys_in_use(parts.engine, parts.vault)
    rows = [as_row(one) for one in found]
    if wants_json:
        click.echo(json.dumps({"resealed": resealed, "keys": rows}))
    else:
        click.echo(f"Sealed anew: {resealed}")
        click.echo("\n".join(f"{one.key}: {one.records} records. {one.told}" for one in found))
    if not all(one.in_order for one in found):
        sys.exit(1)


@click.command("forget-secrets")
@click.option("--yes", is_flag=True, help="Really do it.")
@click.option("--lost", is_flag=True, help="Only what was sealed with a key that SECRET_KEYS does not hold.")
@as_json
def forget_secrets(yes: bool, lost: bool, wants_json: bool) -> None:
    """Erase every stored password and token: only for when the keys are lost for good."""
    from bot.backup import forget_secrets as run

    if not yes:
        raise click.UsageError("People will be asked for their password anew. If the keys are lost for good: --yes")
    show(run(our_settings(), SystemClock().now(), lost=lost), wants_json)
