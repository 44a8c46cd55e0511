"""What commands have in common: the parts joined, an answer in words or in JSON, one sentence when it cannot be."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from bot import log
from bot.app import WEB_POOL, Parts, join
from bot.database import opened
from bot.export import moment
from bot.settings import Settings, load
from bot.store import housekeeping
from bot.store import people as people_store
from bot.store.engine import Connection, Row

as_json = click.option("--json", "wants_json", is_flag=True, help="Answer in JSON.")


class CannotBe(Exception):
    """What was asked for cannot be done; the message is one plain sentence."""


def our_settings(level: int = logging.INFO) -> Settings:
    """The settings of this installation; what is logged from here on, from a `level` on, has their form.

    Raises SettingsError.
    """
    settings = load(os.environ)
    log.setup(settings.log_format, level)
    return settings


@contextmanager
def joined(pool: int = WEB_POOL) -> Iterator[Parts]:
    """The parts on the database, for as long as a command needs them. `pool`: connections to it, at most.

    Raises SettingsError, DatabaseDown, EmbeddedFailed, WrongSchema or WrongKey.
    """
    settings = our_settings()
    with opened(settings) as url:
        parts = join(settings, url, pool=pool)
        try:
            yield parts
        finally:
            parts.close()


def answer(find: Callable[[Parts], Any], wants_json: bool) -> None:
    """Join the parts, and print what is found or done with them. Raises CannotBe, and what `joined` raises."""
    with joined() as parts:
        show(find(parts), wants_json)


def show(found: Any, wants_json: bool) -> None:
    """Print a row, or a list of rows: names with values, for a person or in JSON."""
    if wants_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    rows = found if isinstance(found, list) else [found]
    if not rows:
        click.echo("Nothing.")
    for row in rows:
        click.echo("\n".join(f"{name.replace('_', ' ')}: {_written(value)}" for name, value in row.items()) + "\n")


def _written(value: Any) -> str:
    """A value for a person: what is many stands on lines of its own, and no other line begins anywhere."""
    if not isinstance(value, list):
        return log.flat(str(value))
    lines = (" ".join(map(str, one.values())) if isinstance(one, dict) else str(one) for one in value)
    return "".join(f"\n  {log.flat(line)}" for line in lines)


def perhaps(when: datetime | None) -> str:
    """A moment as commands tell it; empty: there was none."""
    return moment(when) if when is not None else ""


def audit(db: Connection, now: datetime, action: str, subject: UUID | str | int) -> None:
    """Note that the operator did this."""
    housekeeping.audit_entry(db, now, actor=housekeeping.OPERATOR, action=action, subject=str(subject))


def agency_named(db: Connection, name: str) -> Row:
    """An agency by its name. Raises CannotBe."""
    row = people_store.agency_by_name(db, name)
    if row is None:
        raise CannotBe(f"There is no agency called {name}; python -m bot agency list shows them.")
    return row
