"""The support team's side of Slack: what is written into a case's thread, and the buttons below its root.

Whoever can write into the private channel is staff. Everything there is internal, but for a line that begins with "!",
or is sent by a button: it is held for five seconds, in which changing, deleting or taking it back changes or recalls
what the person will read. Windows are made by `desk_tools`; they speak of the case that they were opened for.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from bot.casework import Casework
from bot.channels.slack import read
from bot.desk import rules
from bot.desk_lines import HOLD
from bot.desk_menu import WINDOWS
from bot.desk_tools import DeskTools
from bot.desk_windows import MAX_SAID, View
from bot.store import cases, conversations, housekeeping, promises
from bot.store.engine import Connection, Engine, Row
from bot.tell import tell
from flows.words import CaseEnded

BUTTON = "desk:"
SAID = "!"
_log = structlog.get_logger(__name__)

Body = dict[str, Any]


class SupportDesk:
    """Takes staff's doings; each is one transaction that holds the conversation. `team`, `channel`: the desk's."""

    def __init__(
        self, engine: Engine, casework: Casework, tools: DeskTools, team: str, channel: str, now: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._casework = casework
        self._tools = tools
        self._team = team
        self._channel = channel
        self._now = now

    def is_here(self, team: str, channel: str) -> bool:
        """Whether something happened in the desk's own channel."""
        return (team, channel) == (self._team, self._channel)

    def event(self, body: Body) -> None:
        """A message of the channel: written, changed or deleted."""
        event = body["event"]
        by = str(event.get("user") or (event.get("message") or {}).get("user") or "")
        if body.get("is_ext_shared_channel") or event.get("user_team", self._team) != self._team:
            _log.error("SUPPORT_CHANNEL is shared with another company: nothing of it is taken")
            return
        if event.get("bot_id") or (event.get("message") or {}).get("bot_id"):
            return
        with self._engine.begin() as db:
            if not conversations.claim_inbound(
                db, "slack", read.message_id(str(body.get("event_id", ""))), self._now()
            ):
                return
            match event.get("subtype"):
                case None | "file_share" | "thread_broadcast":
                    self._written(db, by, event)
                case "message_changed":
                    self._changed(db, event["message"])
                case "message_deleted":
                    self._deleted(db, event.get("previous_message") or {})

    def action(self, value: str, body: Body) -> View | None:
        """A button or a menu of a case; the window that it opens, if it does."""
        what, _, number = value.removeprefix(BUTTON).partition(":")
        who = read.actor(body)
        team, by = read.split(who.address or "")
        if not self.is_here(team, str((body.get("container") or {}).get("channel_id", ""))) or not number.isdecimal():
            raise read.BadPayload("a button of the desk, elsewhere")
        told = f"{body.get('trigger_id', '')} {value}"
        with self._engine.begin() as db:
            if not conversations.claim_inbound(db, "slack", read.message_id(told), self._now()):
                return None
            if what in WINDOWS:
                return self._tools.window(db, int(number), what, by)
            if self._tools.use(db, int(number), what, by):
                return None
            row = cases.get(db, int(number))
            if row is not None and conversations.hold(db, row.conversation_id) is not None:
                self._done(db, row, what, by)
        return None

    def submission(self, body: Body) -> Body:
        """A window was filled in. Who did was in the channel when it was opened; what is wrong is told at its field."""
        view = body.get("view") or {}
        what = str(view.get("callback_id", "")).removeprefix(BUTTON)
        channel, _, number = str(view.get("private_metadata", "")).partition(" ")
        inbound = read.read_submission(body)
        team, by = read.split(inbound.identity.address or "")
        if not self.is_here(team, channel) or not number.isdecimal():
            raise read.BadPayload("a window of the desk, elsewhere")
        given = dict(inbound.fields or {})
        if "text" in given:
            given["text"] = read.typed(body, "text")
        with self._engine.begin() as db:
            if not conversations.claim_inbound(db, "slack", inbound.message_id, self._now()):
                return {}
            errors = self._tools.submitted(db, int(number), what, given, by)
        return {"response_action": "errors", "errors": errors} if errors else {}

    # --- lines of the thread ---

    def _written(self, db: Connection, by: str, event: Body) -> None:
        row = cases.by_thread(db, str(event.get("thread_ts", "")))
        text = read.words(str(event.get("text") or "")).strip()
        if row is None or not text.startswith(SAID) or conversations.hold(db, row.conversation_id) is None:
            return  # internal
        now, said = self._now(), text.removeprefix(SAID).strip()
        line_id = cases.add_line(db, row.number, ts=str(event.get("ts", "")), by=by, text=said[:MAX_SAID], at=now)
        if line_id is None:
            return
        problem = "closed" if row.closed_at is not None else "empty" if not said else ""
        problem = problem or ("long" if len(said) > MAX_SAID else "")
        if problem:
            self._casework.refused(db, row, line_id, problem, now)
            return
        self._casework.happened(db, row.conversation_id, rules.StaffWrote(by), now)
        wanted = promises.Wanted("speak", promises.SAY_LINE, now + HOLD, {"line": line_id})
        (promise_id,) = promises.add(db, row.conversation_id, [wanted], now)
        cases.change_line(db, line_id, promise_id=promise_id)
        self._casework.show(db, row.conversation_id, now)
        housekeeping.audit_entry(db, now, actor=by, action="case_line", subject=str(row.number))

    def _changed(self, db: Connection, message: Body) -> None:
        """Changed in time, it is said as it stands now; without its "!" it is internal again."""
        row = cases.by_thread(db, str(message.get("thread_ts", "")))
        line = cases.line_by_ts(db, row.number, str(message.get("ts", ""))) if row is not None else None
        if row is None or line is None or line.state != "held":
            return
        text = read.words(str(message.get("text") or "")).strip()
        if text.startswith(SAID) and 0 < len(text) - len(SAID) <= MAX_SAID:
            cases.change_line(db, line.id, text=text.removeprefix(SAID).strip())
        else:
            self._recall(db, row, line)

    def _deleted(self, db: Connection, before: Body) -> None:
        row = cases.by_thread(db, str(before.get("thread_ts", "")))
        line = cases.line_by_ts(db, row.number, str(before.get("ts", ""))) if row is not None else None
        if row is not None and line is not None and line.state == "held":
            self._recall(db, row, line)

    def _recall(self, db: Connection, row: Row, line: Row) -> None:
        cases.change_line(db, line.id, state="recalled")
        self._casework.show(db, row.conversation_id, self._now())

    # --- buttons ---

    def _done(self, db: Connection, row: Row, what: str, by: str) -> None:
        now = self._now()
        what, _, detail = what.partition(".")
        match what:
            case "recall":
                line = cases.line(db, int(detail)) if detail.isdecimal() else None
                if line is None or line.case_number != row.number or line.state != "held":
                    return
                self._recall(db, row, line)
            case "take":
                self._casework.happened(db, row.conversation_id, rules.Taken(by), now)
            case "release":
                self._casework.happened(db, row.conversation_id, rules.Released(), now)
            case "snooze":
                until = self._casework.until(detail, now)
                self._casework.happened(db, row.conversation_id, rules.Snoozed(until), now)
            case "back" | "close" if row.closed_at is None:
                reason = "handed_back" if what == "back" else "closed"
                self._casework.happened(db, row.conversation_id, rules.Ended(reason), now)
                tell(db, row.conversation_id, CaseEnded(row.number, reason, detail), now)
                promises.wake(db, {"work"})
            case _:
                return
        housekeeping.audit_entry(db, now, actor=by, action=f"case_{what}", subject=str(row.number))
