"""Turns that raised: their state is as it was, nothing is lost."""

import json
from typing import Any

import click

from bot.app import Parts
from bot.cli.shared import CannotBe, answer, as_json, audit, joined
from bot.export import moment
from bot.store import conversations
from bot.store.engine import Row, reading

LETTER = click.IntRange(1, 2**63 - 1)
NO_LETTER = "There is no dead letter {}; python -m bot dead-letters list shows them."


@click.group("dead-letters")
def letters() -> None:
    """Turns that raised: their state is as it was, nothing is lost."""


@letters.command("list")
@as_json
def dead_letters_list(wants_json: bool) -> None:
    """List them, newest first."""
    answer(dead_letters, wants_json)


def dead_letters(parts: Parts) -> list[dict[str, Any]]:
    """Turns that raised."""
    with reading(parts.engine) as db:
        rows = conversations.dead_letters(db)
    return [_letter(row) for row in rows]


def _letter(row: Row) -> dict[str, Any]:
    return {"id": row.id, "conversation": str(row.conversation_id), "error": row.error, "at": moment(row.at),
            "replayed": row.replayed_at is not None}  # fmt: skip


@letters.command("show")
@click.argument("letter", type=LETTER)
@as_json
def dead_letters_show(letter: int, wants_json: bool) -> None:
    """Show one in full: what happened, redacted, and where it broke."""
    answer(lambda parts: show_letter(parts, letter), wants_json)


def show_letter(parts: Parts, letter: int) -> dict[str, Any]:
    """A turn that raised, with the event (redacted) or the promise. That somebody looked is kept."""
    with parts.engine.begin() as db:
        row = conversations.dead_letter_in_full(db, letter)
        if row is None:
            raise CannotBe(NO_LETTER.format(letter))
        audit(db, parts.clock.now(), "dead_letter_shown", letter)
    of_promise = {"promise": row.kind, "state": row.state, "outcome": row.outcome} if row.kind else {}
    return {**_letter(row), "event": json.dumps(row.event, ensure_ascii=False), **of_promise}


@letters.command("drop")
@click.argument("letter", type=LETTER)
@as_json
def dead_letters_drop(letter: int, wants_json: bool) -> None:
    """Give one up: it is erased, and never applied."""
    answer(lambda parts: drop_letter(parts, letter), wants_json)


def drop_letter(parts: Parts, letter: int) -> dict[str, Any]:
    """Give a turn that raised up: it is not applied any more."""
    with parts.engine.begin() as db:
        if not conversations.drop_dead_letter(db, letter):
            raise CannotBe(NO_LETTER.format(letter))
        audit(db, parts.clock.now(), "dead_letter_dropped", letter)
    return {"dropped": letter}


@letters.command("replay")
@click.argument("letter", type=LETTER)
def dead_letters_replay(letter: int) -> None:
    """Apply one again, after its cause was mended."""
    with joined() as parts:
        click.echo(replay(parts, letter))


def replay(parts: Parts, letter: int) -> str:
    """Apply a dead letter again; what became of it."""
    try:
        in_time = parts.turns.replay(letter)
    except LookupError as missing:
        raise CannotBe(str(missing)) from None
    with parts.engine.begin() as db:
        audit(db, parts.clock.now(), "dead_letter_replayed", letter)
    return "Done." if in_time else "It came too late: the conversation has gone on without it."
