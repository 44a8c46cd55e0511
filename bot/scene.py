"""Whose turn it is: what a turn, and each record that it writes, are done with."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bot.facts import Standing
from bot.store import housekeeping
from bot.store.conversations import Held
from bot.store.engine import Connection


@dataclass(frozen=True, slots=True)
class Scene:
    """A conversation that is held in a transaction, with its facts as they stand; each record makes them stale."""

    db: Connection
    held: Held
    standing: Standing
    now: datetime

    @property
    def by_admin(self) -> bool:
        """Whether it is the turn of an admin of the agency for which they act."""
        return self.standing.facts.role == "admin"

    def audit(self, action: str, subject: UUID) -> None:
        """Note who did this to what: a member, or nobody's contact."""
        actor = str(self.standing.member_id or self.held.contact_id)
        housekeeping.audit_entry(self.db, self.now, actor=actor, action=action, subject=str(subject))
