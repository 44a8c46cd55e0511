"""What is stored about one person: erased, or told."""

from typing import Any

import click

from bot import erasure
from bot.app import Parts
from bot.channels import Identity
from bot.cli.shared import CannotBe, answer, as_json, audit
from bot.export import everything
from bot.store import housekeeping
from bot.store import people as people_store
from bot.store.engine import Connection, Row, reading


@click.command()
@click.argument("contact")
@as_json
def forget(contact: str, wants_json: bool) -> None:
    """Erase all that is stored about a contact (number, id)."""
    answer(lambda parts: forget_contact(parts, contact), wants_json)


def forget_contact(parts: Parts, known: str) -> dict[str, Any]:
    """Erase all that is stored about a contact."""
    with reading(parts.engine) as db:
        contact = _contact(db, known)
    kept = erasure.kept_by_provider(parts.tools, Identity(contact.channel, contact.address, contact.external_id))
    with parts.engine.begin() as db:
        erasure.forget(db, contact.id, kept, by=housekeeping.OPERATOR, now=parts.clock.now())
    return {"erased": str(contact.id), "at_provider": len(kept[1])}


@click.command("export")
@click.argument("contact")
def print_export(contact: str) -> None:
    """Print all that is stored about a contact, in JSON."""
    answer(lambda parts: export(parts, contact), wants_json=True)


def export(parts: Parts, known: str) -> dict[str, Any]:
    """All that is stored about a contact; of secrets and of mails' texts only that they exist."""
    with parts.engine.begin() as db:
        contact = _contact(db, known)
        audit(db, parts.clock.now(), "exported", contact.id)
        return everything(db, contact)


def _contact(db: Connection, known: str) -> Row:
    found = people_store.find_contact(db, known)
    if len(found) != 1:
        raise CannotBe(f"There is no one contact known as {known}.")
    return found[0]
