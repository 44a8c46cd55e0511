"""Whose turn it is when a record is written."""

from dataclasses import dataclass
from datetime import datetime

from bot.facts import Standing
from bot.store.conversations import Held
from bot.store.engine import Connection


@dataclass(frozen=True, slots=True)
class Scene:
    """Whose turn it is, as it stands when a record is written."""

    db: Connection
    held: Held
    standing: Standing
    now: datetime
