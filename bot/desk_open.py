"""A case that the team opens: whom it is about is looked for by number, e-mail address or name.

A home may still be on the screen of somebody who is not of the team any more, and what is found names people. So
whoever taps counts as nobody until the hand that shows their home has asked Slack anew; the case is opened by a hand.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from bot import desk_windows as windows
from bot.casework import Casework
from bot.channels.slack.read import CHANNEL
from bot.desk import rules
from bot.desk_tools import Desk, Errors
from bot.desk_windows import View
from bot.screens import OPEN_FOR
from bot.store import cases, conversations, housekeeping, promises, slack, whom
from bot.store.engine import Connection, Row
from flows.speech import sentence
from flows.words import Language

OPEN = "open"
OWN = "mine"  # the field of a box: ticked, the case is theirs from the start
PROVEN_FOR = timedelta(minutes=15)  # that somebody is of the team; as long as a window may wait to be filled in
NAMED = 5  # people of whom one is meant
LAST_DIGITS = 4


class Opener:
    """Opens cases for the team. Every method is called within a transaction."""

    def __init__(self, casework: Casework, desk: Desk, now: Callable[[], datetime]) -> None:
        self._casework = casework
        self._desk = desk
        self._now = now

    def window(self, db: Connection, known: str) -> View | None:
        """Somebody wants to open a case: the window for it. `known`: their address in Slack; None: they never came."""
        conversation_id = conversations.id_by_address(db, CHANNEL, known)
        if conversation_id is None:
            return None
        self._doubt(db, conversation_id)
        return windows.opening(self._desk.channel, self._casework.spoken(db))

    def submitted(self, db: Connection, known: str, given: Mapping[str, str], by: str) -> Errors:
        """The window was filled in; what is wrong, by field: then nothing was done. Else a hand opens the case."""
        spoken, now = self._casework.spoken(db), self._now()
        asking = conversations.id_by_address(db, CHANNEL, known)
        if asking is None or not slack.is_staff(db, asking, now - PROVEN_FOR):
            if asking is not None:
                self._doubt(db, asking)
            return {"who": sentence("desk.why.unproven", spoken)}
        wanted = given.get("who", "").strip()
        found = whom.look_for(db, wanted, NAMED + 1) if wanted else []
        if len(found) != 1:
            return {"who": self._not_one(wanted, found, spoken)}
        of = {"case": 0, "what": OPEN, "given": {OWN: given.get(OWN, "")}, "by": by}
        promises.add(db, found[0].conversation_id, [promises.Wanted("work", promises.DESK_USE, now, of)], now)
        promises.wake(db, {"work"})
        return {}

    def proven(self, db: Connection, conversation_id: UUID, given: Mapping[str, str], by: str) -> bool:
        """Open the case for somebody who surely is of the team; they find it by being named in its thread.

        Nobody loses a case by this: one that is open already becomes theirs only if it is nobody's.
        """
        now = self._now()
        if conversations.hold(db, conversation_id) is None:
            return False
        number, fresh = self._casework.opened_by_staff(db, conversation_id, by, now)
        row = cases.get(db, number)
        if row is not None and not fresh:
            self._casework.note(db, row, "desk.open_already", now, by=f"<@{by}>")
        if row is not None and given.get(OWN) and not row.owner:
            self._casework.happened(db, conversation_id, rules.Taken(by), now)
        housekeeping.audit_entry(db, now, actor=by, action="case_open", subject=str(number))
        return True

    def _doubt(self, db: Connection, conversation_id: UUID) -> None:
        now = self._now()
        slack.doubt_staff(db, conversation_id, now - OPEN_FOR, now)

    @staticmethod
    def _not_one(wanted: str, found: list[Row], spoken: Language) -> str:
        if not wanted:
            return sentence("desk.why.empty_field", spoken)
        if not found:
            return sentence("desk.why.nobody", spoken)
        return sentence("desk.why.several", spoken, people="; ".join(named(found)))


def named(found: list[Row]) -> list[str]:
    """People who were found, each with agency and the end of the number; of very many the first ones."""
    more = ["…"] if len(found) > NAMED else []
    return [*(" · ".join(part for part in _parts(one) if part) for one in found[:NAMED]), *more]


def _parts(one: Row) -> tuple[str, str, str]:
    address = one.address or one.external_id or ""
    end = f"Slack {address.rpartition('.')[2]}" if one.channel == CHANNEL else f"…{address[-LAST_DIGITS:]}"
    return one.name or one.member or "?", one.agency or "", end
