"""A case goes on: its rules applied in the transaction that holds the conversation, and what follows promised."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from bot.channels import Status
from bot.desk import rules
from bot.desk.rules import Case, Rules, Step
from bot.store import cases, promises
from bot.store.engine import Connection, Row
from bot.tell import tell
from flows import saved
from flows.words import CaseEnded, CaseLapsed, Say


class Casework:
    """Applies events to the open case of a conversation. `watched`: cases stand in a thread of Slack's."""

    def __init__(self, rules_of: Rules, *, watched: bool) -> None:
        self._rules = rules_of
        self._watched = watched

    def happened(self, db: Connection, conversation_id: UUID, event: rules.Event, now: datetime) -> Case | None:
        """The conversation is held by the caller. None: it has no open case, or there is no desk."""
        row = cases.open_one(db, conversation_id) if self._watched else None
        if row is None:
            return None
        stepped = rules.step(_case(row), event, now, self._rules)
        self._keep(db, row, stepped, now, said=isinstance(event, rules.StaffWrote))
        return stepped.case

    def opened(self, db: Connection, conversation_id: UUID, now: datetime) -> None:
        """A case was opened, or asked for again: from now on somebody waits, and time runs."""
        row = cases.open_one(db, conversation_id)
        if row is not None and row.state == "new" and row.waits_since is None:
            cases.save(
                db, row.number, waits_since=now, shown_to=cases.last_line_before(db, conversation_id, OPENED_WITH)
            )
        self.happened(db, conversation_id, rules.MemberWrote(), now)

    def refused(self, db: Connection, row: Row, line_id: int, why: str, now: datetime) -> None:
        """A line of staff's that cannot be said; the thread says why (`desk.why`), in the team's language."""
        cases.change_line(db, line_id, state="failed", why=why)
        self.show(db, row.conversation_id, now)

    def went(self, db: Connection, status: Status, now: datetime) -> None:
        """How far a line of staff's has come at the provider; of other messages nothing is noted here."""
        state = FATES.get(status.status)
        if not self._watched or state is None or status.promise_id is None:
            return
        why = str(status.error or "") if state == "failed" else ""
        conversation_id = cases.line_went(db, status.promise_id, state, why[:200])
        if conversation_id is not None:
            self.show(db, conversation_id, now)

    def show(self, db: Connection, conversation_id: UUID, now: datetime) -> None:
        """The thread is to be brought up to date."""
        if self._watched:
            promises.one_at(db, conversation_id, promises.SHOW_CASE, now, now)
            promises.wake(db, {"work"})

    def _keep(self, db: Connection, row: Row, stepped: Step, now: datetime, *, said: bool) -> None:
        """`said`: staff has written, which is an answer; to take a case is none."""
        after = stepped.case
        worked = self._rules.hours.between(row.opened_at, now)
        first = {"answered_at": now, "answer_seconds": round(worked.total_seconds())}
        cases.save(
            db,
            row.number,
            state=after.state,
            owner=after.owner,
            waits_since=after.waits_since,
            staff_at=after.staff_at,
            snoozed_until=after.snoozed_until,
            told_at=after.told_at,
            end=after.end,
            **(first if said and row.answered_at is None else {}),
            **({"closed_at": now} if after.state == "closed" else {}),
        )
        cases.own(db, row.conversation_id, "bot" if rules.bot_speaks(after) else "person")
        promises.one_at(db, row.conversation_id, promises.CASE_TIME, rules.due(after, self._rules), now)
        if stepped.tell is not None:
            _TELLS[stepped.tell](db, row, now)
        self.show(db, row.conversation_id, now)


FATES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed", "undelivered": "failed"}
OPENED_WITH = 20  # lines of the transcript that a thread begins with


def _taken(db: Connection, row: Row, now: datetime) -> None:
    """Said by the way of staff's own lines: the bot itself is silent by now."""
    said = {"say": saved.dump(Say("handoff.taken", {"number": row.number}))}
    promises.add(db, row.conversation_id, [promises.Wanted("speak", promises.SAY_LINE, now, said)], now)
    promises.wake(db, {"speak"})


_TELLS: dict[str, Callable[[Connection, Row, datetime], None]] = {
    "taken": _taken,
    "longer": lambda db, row, now: tell(db, row.conversation_id, CaseLapsed(row.number), now),
    "silent": lambda db, row, now: tell(db, row.conversation_id, CaseEnded(row.number, "silent"), now),
}


def _case(row: Row) -> Case:
    return Case(
        row.state, row.opened_at, row.owner, row.waits_since, row.staff_at, row.snoozed_until, row.told_at, row.end
    )
