"""The support team's side of Slack: what is written into a case's thread, and the buttons below its root.

A line may carry files; each of them is fetched, and goes to the person as a message of its own.
Slack lets only members write into the private channel; before anything reaches the person the hands look whether the
writer is one of the team (`bot.staff`). Everything there is internal, but for a line that begins with "!", or is sent
by a button: it is held for five seconds, in which changing, deleting or taking it back changes or recalls what the
person will read. Windows are made by `desk_tools`; they speak of the case that they were opened for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import structlog

from bot.casework import Casework
from bot.channels.file_types import MAX_SENT
from bot.channels.slack import read
from bot.channels.slack.files import is_hosted, listed
from bot.desk import rules, wording
from bot.desk_lines import HOLD
from bot.desk_media import PATIENCE
from bot.desk_menu import OPENING, WINDOWS
from bot.desk_open import OPEN, Opener
from bot.desk_tools import DeskTools
from bot.desk_windows import MAX_SAID, View
from bot.store import case_files, cases, conversations, housekeeping, promises
from bot.store.engine import Connection, Engine, Row
from bot.tell import tell
from bot.transcript import HIDDEN
from flows.reading import looks_like_a_leak
from flows.speech import Plain
from flows.words import CaseEnded

BUTTON = "desk:"
SAID = "!"
MAX_FILES = 5  # of one line: each is a message of its own on WhatsApp
MAX_NAME, MAX_ID = 100, 32
MAX_RAW = 8_000  # characters with all that Slack writes around links and mentions
PRIVATE = "group"  # the type of a private channel in an event
_log = structlog.get_logger(__name__)

Body = dict[str, Any]


class SupportDesk:
    """Takes staff's doings; each is one transaction that holds the conversation. `team`, `channel`: the desk's."""

    def __init__(
        self, engine: Engine, casework: Casework, tools: DeskTools, opener: Opener, team: str, channel: str,
        now: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._casework = casework
        self._tools = tools
        self._opener = opener
        self._team = team
        self._channel = channel
        self._now = now

    def is_here(self, team: str, channel: str) -> bool:
        """Whether something happened in the desk's own channel."""
        return (team, channel) == (self._team, self._channel)

    def event(self, body: Body) -> None:
        """A message of the channel: written, changed or deleted."""
        event = body["event"]
        about = event.get("message") or event.get("previous_message") or event
        home = about.get("user_team") or about.get("team") or self._team
        if body.get("is_ext_shared_channel") or event.get("channel_type", PRIVATE) != PRIVATE:
            _log.error("SUPPORT_CHANNEL is not private, or shared with another company: nothing of it is taken")
            return
        if home != self._team:
            return  # a stranger's
        with self._engine.begin() as db:
            if not conversations.claim_inbound(
                db, "slack", read.message_id(str(body.get("event_id", ""))), self._now()
            ):
                return
            match event.get("subtype"):
                case "message_deleted":
                    self._deleted(db, event.get("previous_message") or {})
                case _ if about.get("bot_id"):
                    return
                case None | "file_share" | "thread_broadcast":
                    self._written(db, event)
                case "message_changed":
                    self._changed(db, event.get("message") or {})

    def action(self, value: str, body: Body) -> View | None:
        """A button or a menu of a case; the window that it opens, if it does."""
        if value == OPENING:
            return self._opening(body)
        what, _, of = value.removeprefix(BUTTON).partition(":")
        number, _, seen = of.partition(":")
        who = read.actor(body)
        team, by = read.split(who.address or "")
        if not self.is_here(team, str((body.get("container") or {}).get("channel_id", ""))) or not number.isdecimal():
            raise read.BadPayload("a button of the desk, elsewhere")
        told = f"{body.get('trigger_id', '')} {value}"
        with self._engine.begin() as db:
            if not conversations.claim_inbound(db, "slack", read.message_id(told), self._now()):
                return None
            if what == "assign":
                self._tools.assign(db, int(number), seen, by)
                return None
            if what in WINDOWS:
                return self._tools.window(db, int(number), what, by)
            if self._tools.use(db, int(number), what, by):
                return None
            row = self._held(db, cases.get(db, int(number)))
            if row is not None and row.closed_at is None:
                self._done(db, row, what, by, seen)
        return None

    def _opening(self, body: Body) -> View | None:
        """The button of the queue, on the home of whoever Slack says is tapping."""
        known = read.actor(body).address or ""
        if read.split(known)[0] != self._team or (body.get("container") or {}).get("type") != "view":
            raise read.BadPayload("a button of the queue, elsewhere")
        with self._engine.begin() as db:
            told = f"{body.get('trigger_id', '')} {OPENING}"
            if not conversations.claim_inbound(db, "slack", read.message_id(told), self._now()):
                return None
            return self._opener.window(db, known)

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
        for name in {"text", "who"} & given.keys():
            given[name] = read.typed(body, name)
        with self._engine.begin() as db:
            if not conversations.claim_inbound(db, "slack", inbound.message_id, self._now()):
                return {}
            if what == OPEN:
                errors = self._opener.submitted(db, inbound.identity.address or "", given, by)
            else:
                errors = self._tools.submitted(db, int(number), what, given, by)
        return {"response_action": "errors", "errors": errors} if errors else {}

    @staticmethod
    def _held(db: Connection, row: Row | None) -> Row | None:
        """The case as it is now that its conversation is held: it may have been another one a moment before."""
        if row is None or conversations.hold(db, row.conversation_id) is None:
            return None
        return cases.get(db, row.number)

    # --- lines of the thread ---

    def _written(self, db: Connection, message: Body) -> None:
        text = _typed(message)
        if not text.startswith(SAID):
            return  # internal
        by, now = _writer(message), self._now()
        row = self._held(db, cases.by_thread(db, str(message.get("thread_ts", ""))))
        if row is None or not by:
            return
        said = text.removeprefix(SAID).strip()
        problem = "closed" if row.closed_at is not None else _problem(message, said)
        kept = HIDDEN if problem == "secret" else said[:MAX_RAW]
        line_id = cases.add_line(db, row.number, ts=str(message.get("ts", "")), by=by, text=kept, at=now)
        line = cases.line(db, line_id) if line_id is not None else None
        if line is None:
            return  # it came before
        if problem:
            self._casework.refused(db, row, line, problem, now)
            return
        self._casework.happened(db, row.conversation_id, rules.Taken(by), now)
        self._promise(db, row, line, listed(message), now)
        self._casework.show(db, row.conversation_id, now)
        housekeeping.audit_entry(db, now, actor=by, action="case_line", subject=str(row.number))

    def _promise(self, db: Connection, row: Row, line: Row, files: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """What is said in five seconds, or once its files have been fetched: a message for each, in order."""
        hold, of = PATIENCE if files else HOLD, {"line": line.id}
        wanted = [promises.Wanted("speak", promises.SAY_LINE, now + hold, of)]
        for place, _ in enumerate(files):  # each waits for the one before it
            wanted.append(promises.Wanted("speak", promises.SAY_LINE, now + HOLD, {**of, "part": place}))
        first, *others = promises.add(db, row.conversation_id, wanted, now)
        if others:
            promises.note(db, first, others=others)
        cases.change_line(db, line.id, promise_id=first)
        for place, told in enumerate(files):
            self._fetch(db, row, line, place, told, now)

    def _fetch(self, db: Connection, row: Row, line: Row, place: int, told: Mapping[str, Any], now: datetime) -> None:
        file_id, name = uuid4(), str(told.get("name") or told.get("title") or "file")[:MAX_NAME]
        url, known = str(told["url_private_download"]), str(told.get("id", ""))[:MAX_ID]
        case_files.add(
            db, file_id, row.conversation_id, row.number, name=name, url=url, at=now, line_id=line.id, place=place,
            slack_id=known,
        )  # fmt: skip
        of = {"file": str(file_id)}
        promises.add(db, row.conversation_id, [promises.Wanted("work", promises.FETCH_CASE_FILE, now, of)], now)
        promises.wake(db, {"work"})

    def _changed(self, db: Connection, message: Body) -> None:
        """Changed in time, it is said as it stands now; without its "!" it is internal again.

        One that got its "!" only now (or whose first words come later than these) is as if it were written now.
        """
        row, line = self._line(db, message)
        if row is None or line is None:
            self._written(db, message)
            return
        text = _typed(message)
        said = text.removeprefix(SAID).strip()
        if line.state == "held":  # a file can be taken out of a message, and none be put in
            case_files.drop(db, line.id, keep=[str(one.get("id", "")) for one in listed(message) if is_hosted(one)])
        if text.startswith(SAID) and said == line.text:
            return  # Slack has only looked up a link
        if line.state != "held":
            self._too_late(db, row, line)
        elif not text.startswith(SAID):
            self._recall(db, row, line)
        elif problem := _problem(message, said):
            cases.change_line(db, line.id, text=HIDDEN if problem == "secret" else said[:MAX_RAW])
            self._casework.refused(db, row, cases.line(db, line.id), problem, self._now())
        else:
            cases.change_line(db, line.id, text=said)

    def _deleted(self, db: Connection, before: Body) -> None:
        root = cases.by_thread(db, str(before.get("ts", "")))
        if root is not None:
            self._root_deleted(db, root)
            return
        row, line = self._line(db, before)
        if line is not None and line.state == "held":
            self._recall(db, row, line)
        elif line is not None:
            self._too_late(db, row, line)
        elif row is not None and _typed(before).startswith(SAID) and _writer(before):
            now, ts = self._now(), str(before.get("ts", ""))  # the words themselves have yet to come: they are nothing
            line_id = cases.add_line(db, row.number, ts=ts, by=_writer(before), text="", at=now)
            if line_id is not None:
                cases.change_line(db, line_id, state="recalled", shown="recalled")

    def _root_deleted(self, db: Connection, row: Row) -> None:
        """Whoever deleted it, an open case gets another one."""
        held = self._held(db, row)
        if held is not None and held.closed_at is None and held.thread == row.thread:
            cases.save(db, held.number, **cases.NO_THREAD)
            self._casework.show(db, held.conversation_id, self._now())

    def _line(self, db: Connection, message: Body) -> tuple[Row | None, Row | None]:
        """The case in whose thread a message stands, held, and the line that it is, if any."""
        row = self._held(db, cases.by_thread(db, str(message.get("thread_ts", ""))))
        return row, cases.line_by_ts(db, row.number, str(message.get("ts", ""))) if row is not None else None

    def _recall(self, db: Connection, row: Row | None, line: Row) -> None:
        cases.change_line(db, line.id, state="recalled")
        case_files.give_up(db, line.id)
        if row is not None:
            self._casework.show(db, row.conversation_id, self._now())

    def _too_late(self, db: Connection, row: Row | None, line: Row) -> None:
        if row is not None and line.state in {"leaving", *cases.SAID}:
            self._casework.note(db, row, "desk.too_late", self._now())

    # --- buttons ---

    def _done(self, db: Connection, row: Row, what: str, by: str, seen: str) -> None:
        """`seen`: whose the case was when the button was shown. Of two who take it at once the first one has it."""
        now = self._now()
        what, _, detail = what.partition(".")
        match what:
            case "recall":
                line = cases.line(db, int(detail)) if detail.isdecimal() else None
                if line is None or line.case_number != row.number or line.state != "held":
                    return
                self._recall(db, row, line)
            case "take" if row.owner in {seen, by}:
                self._casework.happened(db, row.conversation_id, rules.Taken(by), now)
            case "release":
                self._casework.happened(db, row.conversation_id, rules.Released(), now)
            case "snooze":
                self._casework.happened(db, row.conversation_id, rules.Snoozed(self._casework.until(detail, now)), now)
            case "back" | "close":
                reason = "handed_back" if what == "back" else "closed"
                told = bool(detail) or cases.knows(db, row)
                self._casework.happened(db, row.conversation_id, rules.Ended(reason), now)
                if told:
                    tell(db, row.conversation_id, CaseEnded(row.number, reason, detail), now)
                promises.wake(db, {"work"})
            case _:
                return
        housekeeping.audit_entry(db, now, actor=by, action=f"case_{what}", subject=str(row.number))


def _typed(message: Body) -> str:
    """What somebody typed, as Slack wrote it down."""
    return wording.with_emoji(str(message.get("text") or ""), message.get("blocks")).strip()


def _writer(message: Body) -> str:
    return str(message.get("user") or "")


def _problem(message: Body, said: str) -> str:
    """Why this cannot be said to the person; empty: it can."""
    plain = wording.for_person(said, {}, Plain())
    if looks_like_a_leak(plain):
        return "secret"
    if problem := _file_problem(message):
        return problem
    if not plain.strip("! ") and "<@" not in said and not message.get("files"):
        return "empty"
    return "long" if len(plain) > MAX_SAID or len(said) > MAX_RAW else ""


def _file_problem(message: Body) -> str:
    """Why a message's files cannot go to the person, as far as Slack tells it; empty: they may."""
    files = listed(message)
    if len(files) > MAX_FILES:
        return "file_many"
    if not all(map(is_hosted, files)):
        return "file_gone"
    sizes = (str(one.get("size", "")) for one in files)
    return "file_size" if any(size.isdecimal() and int(size) > MAX_SENT for size in sizes) else ""
