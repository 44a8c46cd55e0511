"""What is left when somebody's 24 hours on WhatsApp are over: a template that asks them to answer, if one may be sent.

Free words are refused then (https://www.twilio.com/docs/api/errors/63016). A template costs money and stands for the
whole installation: one per case until the person has written, and no more in a month than TEMPLATE_LIMIT.
"""

from dataclasses import dataclass
from datetime import datetime

from bot.calendar import may_write
from bot.channels.whatsapp import CHANNEL
from bot.facts import language
from bot.store import cases, housekeeping, watches
from bot.store.engine import Connection, Row
from bot.templates import TEMPLATES, Templates, key, spec
from flows.speech import sentence
from flows.words import Language

NAME = "person_asks"
CAN = "can"
# Why a template was not delivered: https://www.twilio.com/docs/api/errors/63049 and 63016; codes.LOST_CONTENT.
WHYS = {
    "63016": "template_unapproved", "63049": "template_kept_back", "21654": "template_lost", "21655": "template_lost",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offer:
    """Whether a template can be sent now; else `why` says why not: off, unwanted, sent, missing or limit."""

    why: str

    @property
    def stands(self) -> bool:
        """It can."""
        return self.why == CAN

    def words(self, spoken: Language) -> str:
        """What can be done, for the team."""
        return sentence(f"desk.offer.{self.why}", spoken)


class Offers:
    """Knows whether a template may be sent for a case. `templates`: None where they are switched off."""

    def __init__(self, templates: Templates | None) -> None:
        self._templates = templates

    def of(self, db: Connection, number: int, now: datetime) -> Offer | None:
        """What there is to offer for an open case; None: nothing has to be, the person can be written to freely."""
        row = cases.about(db, number)
        return self.of_row(db, row, now) if row is not None else None

    def of_row(self, db: Connection, row: Row, now: datetime) -> Offer | None:
        """The same for a case as `cases.about` tells of it."""
        over = row.channel == CHANNEL and not may_write(row.window_until, now)
        return Offer(self._why(db, row, now)) if over and row.closed_at is None else None

    def _why(self, db: Connection, row: Row, now: datetime) -> str:
        if self._templates is None:
            return "off"
        if row.stopped_at is not None or row.gone_at is not None:
            return "unwanted"
        last = cases.last_template(db, row.number)
        if last is not None and not cases.wrote_since(db, row.conversation_id, last):
            return "sent"
        return self._made(db, row, now)

    def still(self, db: Connection, line: Row, now: datetime) -> str:
        """Why a template that is about to leave may not any more; empty: it may. It is not counted yet."""
        row = cases.about(db, line.case_number)
        if row is None or self._templates is None:
            return "off"
        if row.stopped_at is not None or row.gone_at is not None:
            return "unwanted"
        why = self._made(db, row, now)
        return "" if why == CAN else why

    def _made(self, db: Connection, row: Row, now: datetime) -> str:
        """Asked in the transaction at hand: a connection of its own might be one too many."""
        if self._templates is None or not self._is_made(db, language(row.language)):
            return "missing"
        return CAN if watches.templates_left(db, now, self._templates.limit) > 0 else "limit"

    @staticmethod
    def _is_made(db: Connection, spoken: Language) -> bool:
        return housekeeping.content_sid(db, key(spec(TEMPLATES[NAME], spoken))) is not None

    def words(self, spoken: Language, about: str) -> str:
        """What the person reads. Raises LookupError where templates are switched off."""
        if self._templates is None:
            raise LookupError("TEMPLATES=off")
        return self._templates.words(NAME, spoken, about)

    def count(self, db: Connection, at: datetime) -> bool:
        """Count one in its month; False: there were so many, or templates are switched off."""
        return self._templates is not None and watches.count_template(db, at, self._templates.limit)
