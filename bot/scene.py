"""Whose turn it is when a record is written."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bot.facts import Standing
from bot.store import housekeeping
from bot.store.conversations import Held
from bot.store.engine import Connection


@dataclass(frozen=True, slots=True)
class Scene:
    """Whose turn it is, as it stands when a record is written."""

    db: Connection
    held: Held
    standing: Standing
    now: datetime

    @property
    def is_admins(self) -> bool:
        """Whether it is the turn of somebody who is an admin of the agency for which they act."""
        return self.standing.facts.role == "admin"

    def audit(self, action: str, subject: UUID) -> None:
        """Note who did this to what: a member, or nobody's contact."""
        actor = str(self.standing.member_id or self.held.contact_id)
        housekeeping.audit_entry(self.db, self.now, actor=actor, action=action, subject=str(subject))
