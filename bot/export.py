"""All that is stored about somebody, as plain data: for the operator's command, and for the page behind a link."""

from datetime import datetime
from typing import Any
from uuid import UUID

from bot.store import people
from bot.store.engine import Connection, Row


def everything(db: Connection, contact: Row) -> dict[str, Any]:
    """What is stored about a contact; of secrets and of mails' texts only that they exist."""
    found = people.everything_about(db, contact.id)
    return {"contact": _plain_row(contact), **{name: [_plain_row(row) for row in rows] for name, rows in found.items()}}


def moment(when: datetime) -> str:
    """A moment as people and programs read it."""
    return when.astimezone().isoformat(timespec="seconds")


def _plain_row(row: Row) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row._mapping.items()}  # noqa: SLF001 - public mapping


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return moment(value)
    return str(value) if isinstance(value, UUID) else value
