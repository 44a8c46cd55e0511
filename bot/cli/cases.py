"""Conversations that wait for a person, and wishes for access."""

from typing import Any
from uuid import UUID

import click

from bot.app import Parts
from bot.cli.shared import CannotBe, agency_named, answer, as_json, audit, perhaps
from bot.desk import rules
from bot.desk.packet import where
from bot.desk_open import NAMED, named
from bot.export import moment
from bot.settings import timezone
from bot.store import access, conversations, promises, whom
from bot.store import cases as desk_cases
from bot.store import people as people_store
from bot.store.engine import Connection, Row, reading
from bot.team import decided, elsewhere
from bot.tell import tell
from flows.words import LANGUAGES, CaseEnded, Language

LINES = 30  # of a transcript that are shown with a case
WHO = {"in": "person", "out": "bot", "bot": "bot, to itself"}


@click.group()
def case() -> None:
    """Conversations that wait for a person."""


@case.command("list")
@as_json
def case_list(wants_json: bool) -> None:
    """List who waits for a person."""
    answer(cases, wants_json)


def cases(parts: Parts) -> list[dict[str, Any]]:
    """Who waits for a person, longest first. `owner`: a user of Slack's; empty: nobody has it."""
    with reading(parts.engine) as db:
        rows = desk_cases.queue(db)
    return [
        {"number": row.number, "state": row.state, "owner": row.owner, "waits_since": perhaps(row.waits_since),
         "reason": row.reason, "name": row.name, "agency": row.agency or "", "language": row.language,
         "channel": row.channel, "opened_at": moment(row.opened_at),
         **({"wants_into": row.wants_into, "address": row.wants_with} if row.wants_into else {})}
        for row in rows
    ]  # fmt: skip


@case.command("show")
@click.argument("number", type=int)
@as_json
def case_show(number: int, wants_json: bool) -> None:
    """Show a case: whom it is about, how it stands, and what was said last."""
    answer(lambda parts: show_case(parts, number), wants_json)


def show_case(parts: Parts, number: int) -> dict[str, Any]:
    """A case, open or not, with whom it is about and the last that was said. That somebody looked is kept."""
    with parts.engine.begin() as db:
        row = desk_cases.about(db, number)
        if row is None:
            raise CannotBe(f"There is no case {number}; python -m bot case list shows the open ones.")
        said = conversations.transcript(db, row.conversation_id, LINES)
        audit(db, parts.clock.now(), "case_shown", number)
    return {
        "number": row.number, "state": row.state, "end": row.end, "owner": row.owner,
        "waits_since": perhaps(row.waits_since), "snoozed_until": perhaps(row.snoozed_until),
        "opened_at": moment(row.opened_at), "closed_at": perhaps(row.closed_at), "reason": row.reason,
        "name": row.name, "agency": row.agency or "", "role": row.role or "", "language": row.language,
        "channel": row.channel, "window_until": perhaps(row.window_until), "where": where(row.envelope),
        "address": row.address or "", "server": f"{row.host}:{row.port}" if row.host else "",
        "mailbox": row.mailbox_state or "", "cause": row.cause or "",
        "lines": [{"at": moment(one.at), "who": one.by or WHO[one.direction], "text": one.text} for one in said],
    }  # fmt: skip


@case.command("open")
@click.argument("contact")
@as_json
def case_open(contact: str, wants_json: bool) -> None:
    """Open a case about a contact (number, id, e-mail address, name) for the support team."""
    answer(lambda parts: open_case(parts, contact), wants_json)


def open_case(parts: Parts, known: str) -> dict[str, Any]:
    """Open a case about the one person who is known by this (number, id, e-mail address, name), or find the open one.

    The person is told nothing: whoever takes the case greets them. Raises CannotBe.
    """
    with parts.engine.begin() as db:
        found = whom.look_for(db, known, NAMED + 1)
        if len(found) > 1:
            raise CannotBe(f"Several people are known as {known}: {'; '.join(named(found))}. Give the number.")
        held = conversations.hold(db, found[0].conversation_id) if found else None
        if held is None:
            raise CannotBe(f"There is no contact known as {known}; only who has written to us once can be found.")
        now = parts.clock.now()
        number, fresh = parts.casework.opened_by_staff(db, held.id, "", now)
        promises.wake(db, {"work"})
        audit(db, now, "case_open", number)
        row = desk_cases.about(db, number)
    if row is None:
        raise CannotBe(f"Case {number} was erased meanwhile.")
    return {"number": number, "new": fresh, "state": row.state, "owner": row.owner, "reason": row.reason,
            "name": row.name, "agency": row.agency or ""}  # fmt: skip


@case.command("close")
@click.argument("number", type=int)
@as_json
def case_close(number: int, wants_json: bool) -> None:
    """Close a case. The person is told, and the bot speaks again."""
    answer(lambda parts: close_case(parts, number), wants_json)


def close_case(parts: Parts, number: int) -> dict[str, Any]:
    """End a case; the person is told, and the bot speaks again. Raises CannotBe."""
    with parts.engine.begin() as db:
        known, now = desk_cases.get(db, number), parts.clock.now()
        held = conversations.hold(db, known.conversation_id) if known is not None else None
        if held is None or held.case != number:
            raise CannotBe(f"Case {number} is not open; python -m bot case list shows those that are.")
        if access.of_case(db, number) is not None:
            raise CannotBe(f"Case {number} is a wish for access: answer it with python -m bot case access {number}.")
        told = desk_cases.knows(db, known)
        if parts.casework.happened(db, held.id, rules.Ended("closed"), now) is None:
            conversations.close_case(db, held.id, now)
        if told:
            tell(db, held.id, CaseEnded(number, "closed"), now)
        promises.wake(db, {"work"})
        audit(db, now, "case_close", number)
    return {"number": number, "state": "closed"}


@case.command("access")
@click.argument("number", type=int)
@click.option("--into", metavar="AGENCY", help="Let the person into this agency.")
@click.option("--role", type=click.Choice(["member", "admin"]), default="member", show_default=True)
@click.option("--create", is_flag=True, help="Found the agency that the person named; they become its admin.")
@click.option("--language", type=click.Choice(LANGUAGES), default="pt", show_default=True, help="Of a new agency.")
@click.option("--timezone", default="America/Sao_Paulo", show_default=True, help="Of a new agency.")
@click.option("--decline", is_flag=True, help="Do not let the person in.")
@as_json
def case_access(
    number: int,
    into: str | None,
    role: str,
    create: bool,
    language: Language,
    timezone: str,
    decline: bool,
    wants_json: bool,
) -> None:
    """Answer a wish for access: --create, --into AGENCY or --decline. The person is told at once."""
    if sum((into is not None, create, decline)) != 1:
        raise click.UsageError("Give one of --create, --into and --decline.")
    if create:
        answer(lambda parts: found_agency(parts, number, language, timezone), wants_json)
    else:
        answer(lambda parts: decide_access(parts, number, into, role), wants_json)


def decide_access(parts: Parts, number: int, into: str | None, role: str) -> dict[str, Any]:
    """Answer the wish for access behind a case: into this agency, or (None) not at all. Raises CannotBe."""
    with parts.engine.begin() as db:
        wish = _wish(db, number)
        row = agency_named(db, into) if into is not None else None
        if row is not None:
            _check_where(db, wish, row.id)
        now = parts.clock.now()
        decided(db, wish, row.id if row else None, role, now)
        audit(db, now, "access_granted" if row else "access_declined", wish.id)
    return {"name": wish.name, "agency": row.name if row else None, "role": role if row else None}


def found_agency(parts: Parts, number: int, language: str, zone: str) -> dict[str, Any]:
    """Found the agency that the person behind a case named, with this person as its admin.

    Raises CannotBe, SettingsError.
    """
    timezone(zone)
    with parts.engine.begin() as db:
        wish, now = _wish(db, number), parts.clock.now()
        if people_store.agency_by_name(db, wish.agency) is not None:
            raise CannotBe(f"There is an agency called {wish.agency} already; use --into to add them to it.")
        _check_where(db, wish, None)
        agency_id = people_store.add_agency(db, wish.agency, language, zone, now)
        decided(db, wish, agency_id, "admin", now)
        audit(db, now, "agency_added", agency_id)
        audit(db, now, "access_granted", wish.id)
    return {"name": wish.name, "agency": wish.agency, "role": "admin"}


def _check_where(db: Connection, wish: Row, agency_id: UUID | None) -> None:
    if elsewhere(db, wish, agency_id):
        raise CannotBe(f"{wish.name} writes from a Slack workspace that belongs to another agency.")


def _wish(db: Connection, number: int) -> Row:
    row = access.of_case(db, number)
    if row is None:
        raise CannotBe(f"Case {number} is no open wish for access; python -m bot case list shows them.")
    return row
