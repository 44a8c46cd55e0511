"""Who can send, and the keys with which Ally sends through the door."""

from typing import Any

import click

from bot.app import Parts
from bot.cli.shared import CannotBe, agency_named, answer, as_json, audit, perhaps
from bot.export import moment
from bot.store import doors
from bot.store import people as people_store
from bot.store.engine import Row, reading


@click.group()
def mailbox() -> None:
    """Mailboxes."""


@mailbox.command("list")
@click.argument("agency_name", metavar="AGENCY")
@as_json
def mailbox_list(agency_name: str, wants_json: bool) -> None:
    """Show who of an agency can send, and who cannot."""
    answer(lambda parts: mailboxes(parts, agency_name), wants_json)


def mailboxes(parts: Parts, agency: str) -> list[dict[str, Any]]:
    """Who of an agency can send, and who cannot, and why; and who uses another server than the agency's."""
    with reading(parts.engine) as db:
        of = agency_named(db, agency)
        rows = people_store.members(db, of.id)
    today = parts.clock.now().date()
    same = parts.tools.providers.same
    return [
        {"name": row.name, "role": row.role, "address": row.address or "", "state": row.state or "no mailbox",
         "cause": row.cause or "",
         "other_server": row.host if of.host and row.host and not same(row.host, of.host, today) else ""}
        for row in rows
    ]  # fmt: skip


@mailbox.command("doors")
@click.argument("agency_name", metavar="[AGENCY]", default="")
@as_json
def mailbox_doors(agency_name: str, wants_json: bool) -> None:
    """List who has a key with which Ally sends through the door, in all agencies or in one."""
    answer(lambda parts: door_keys(parts, agency_name), wants_json)


def door_keys(parts: Parts, agency: str = "") -> list[dict[str, Any]]:
    """The keys with which Ally sends through us, of all agencies or of one; never a key itself."""
    with reading(parts.engine) as db:
        rows = doors.listed(db, agency_named(db, agency).id if agency else None)
    return [_key_as_row(row) for row in rows]


@mailbox.command("door")
@click.argument("address")
@click.option("--revoke", is_flag=True, help="Take the key back: Ally can send from this address no longer.")
@as_json
def mailbox_door(address: str, revoke: bool, wants_json: bool) -> None:
    """Show the key with which Ally sends from an address (when it was made and used), or take it back."""
    answer(lambda parts: door_key(parts, address, revoke=revoke), wants_json)


def door_key(parts: Parts, address: str, *, revoke: bool) -> list[dict[str, Any]]:
    """The keys of an address (it may be registered in several agencies), or that they are void from now on."""
    now = parts.clock.now()
    with parts.engine.begin() as db:
        rows = doors.listed(db, address=address)
        if not rows:
            raise CannotBe(f"There is no key for Ally at {address}; python -m bot mailbox doors shows them.")
        for row in rows if revoke else []:
            doors.revoke(db, row.mailbox_id, now)
            audit(db, now, "door_closed", row.mailbox_id)
    return [{**_key_as_row(row), "revoked": revoke} for row in rows]


def _key_as_row(row: Row) -> dict[str, Any]:
    return {
        "agency": row.agency, "name": row.name, "address": row.address, "state": row.state,
        "made_at": moment(row.made_at), "used_at": perhaps(row.used_at),
        "refused_at": perhaps(row.refused_at), "refusal": row.refusal,
    }  # fmt: skip
