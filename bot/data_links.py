"""The one-time link behind which somebody gets all that is stored about them, in one step with using the link up."""

import json
from uuid import UUID

from bot.clock import Clock
from bot.export import everything
from bot.store import conversations, housekeeping, mailboxes, people
from bot.store.engine import Connection, Engine
from bot.turns import Turns
from bot.vault import token_hash


class _NotOpen(Exception):
    """The link is used up, of another kind, or its conversation has gone on without it."""


class DataLinks:
    """Gives what is stored, once for a link."""

    def __init__(self, engine: Engine, clock: Clock, turns: Turns) -> None:
        self._engine = engine
        self._clock = clock
        self._turns = turns

    def take(self, clear: str) -> str | None:
        """Use the link up and give all that is stored about whom it is for, as JSON; None if it is not open."""
        try:
            with self._engine.begin() as db:
                return self._take(db, token_hash(clear))
        except _NotOpen:
            return None

    def _take(self, db: Connection, hashed: str) -> str:
        """Raises _NotOpen: nothing of it happened."""
        now = self._clock.now()
        row = mailboxes.link_by_token(db, hashed)
        held = conversations.hold(db, row.conversation_id) if row is not None else None
        if row is None or held is None or row.kind != "data" or not mailboxes.close_link(db, row.id, now):
            raise _NotOpen
        told = _all_about(db, held.contact_id)
        if not self._turns.data_taken(db, held, str(row.id)):
            raise _NotOpen
        housekeeping.audit_entry(db, now, actor=str(held.contact_id), action="exported", subject=str(held.contact_id))
        return told


def _all_about(db: Connection, contact_id: UUID) -> str:
    return json.dumps(everything(db, people.contact_by_id(db, contact_id)), ensure_ascii=False, indent=2)
