"""A case goes on: its rules applied in the transaction that holds the conversation, and what follows promised."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from bot.channels import Status
from bot.channels.slack.style import SlackStyle
from bot.desk import rules
from bot.desk.rules import Case, Rules, Step
from bot.desk_offer import WHYS as WHYS_OF_TEMPLATES
from bot.desk_offer import Offer, Offers
from bot.facts import language
from bot.store import case_files, cases, conversations, people, promises
from bot.store.engine import Connection, Row
from bot.tell import tell
from flows import saved
from flows.speech import sentence
from flows.words import CaseEnded, CaseLapsed, Language, Say

FATES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed", "undelivered": "failed"}
OPENED_WITH = 20  # lines of the transcript, at most, that a thread begins with: those since the last case
HOURS_OFF, DAYS_OFF = timedelta(hours=2), timedelta(days=3)
BEFORE_THE_END = timedelta(hours=2)  # of somebody's 24 hours
SHORT = 60  # characters by which a line of staff's is known again
MAX_UNSAID = 5  # lines that are named when they can be said again
# Why a line of staff's was not said, by our own word or by the provider's code: PLATFORM 2.3.
OURS = {
    "63014": "blocked", "21610": "blocked", "63003": "gone", "63024": "gone", "63015": "gone",
    **{name: name for name in (
        "owner", "unknown", "closed", "empty", "long", "secret", "stranger", "answered", "template_off",
        "template_unwanted", "template_sent", "template_missing", "template_limit", "file_many", "file_size",
        "file_image_size", "file_type", "file_gone",
    )},
    # https://www.twilio.com/docs/api/errors: the address of a file is none, its type is not taken, it was not fetched.
    "21620": "file_refused", "12300": "file_refused", "63019": "file_refused",
}  # fmt: skip
WHYS = OURS | {"63016": "window", "window": "window"}


class Casework:
    """Applies events to the open case of a conversation. `team`: in whose Slack the threads are; empty: no desk.

    `offers`: what can be done when somebody's 24 hours are over.
    """

    def __init__(self, rules_of: Rules, team: str, offers: Offers) -> None:
        self._rules = rules_of
        self._team = team
        self.offers = offers

    def happened(
        self, db: Connection, conversation_id: UUID, event: rules.Event, now: datetime, *, answer: bool = True
    ) -> Case | None:
        """The conversation is held by the caller. None: it has no open case, or there is no desk.

        `answer`: what staff wrote are words of theirs, not a template.
        """
        row = cases.open_one(db, conversation_id) if self._team else None
        if row is None:
            return None
        stepped = rules.step(_case(row), event, now, self._rules)
        self._keep(db, row, stepped, now, said=answer and isinstance(event, rules.StaffWrote))
        if isinstance(event, rules.MemberWrote | rules.OpenedByStaff):
            until = cases.window_of(db, conversation_id)
            warned = until - BEFORE_THE_END if until is not None and until > now else None
            promises.one_at(db, conversation_id, promises.CASE_WINDOW, warned, now)
        if isinstance(event, rules.MemberWrote):
            self._may_be_said_again(db, row, now)
        return stepped.case

    def opened(self, db: Connection, conversation_id: UUID, reason: str, now: datetime) -> None:
        """A case was opened, or asked for again: from now on somebody waits, and time runs.

        One that staff had opened is from now on what the person wants of it.
        """
        row = cases.open_one(db, conversation_id)
        if row is not None and row.state == "new" and row.waits_since is None:
            begun = row.reason == cases.STAFF  # its thread is there already
            cases.save(db, row.number, waits_since=now, **({} if begun else {"shown_to": self._begin(db, row)}))
        if row is not None and row.reason == cases.STAFF:
            cases.save(db, row.number, reason=reason)
        self.happened(db, conversation_id, rules.MemberWrote(), now)

    def opened_by_staff(self, db: Connection, conversation_id: UUID, by: str, now: datetime) -> tuple[int, bool]:
        """Open a case of which the person knows nothing: its number, and whether it is a new one.

        The conversation is held by the caller, so that of two who open it at once one finds it open. `by`: a user of
        Slack's; empty: the operator.
        """
        row = cases.open_one(db, conversation_id)
        if row is not None:
            return int(row.number), False
        number = conversations.open_case(db, conversation_id, cases.STAFF, now)
        opened = cases.get(db, number)
        cases.save(db, number, shown_to=self._begin(db, opened))
        self.happened(db, conversation_id, rules.OpenedByStaff(), now)
        if opened is not None and self._team:
            self.note(db, opened, "desk.opened" if by else "desk.opened_by_operator", now, by=f"<@{by}>")
        return number, True

    @staticmethod
    def _begin(db: Connection, row: Row) -> int:
        """The line of the transcript after which a thread begins."""
        return max(cases.last_line_before(db, row.conversation_id, OPENED_WITH), cases.shown_before(db, row))

    def tend(self, db: Connection, now: datetime) -> None:
        """No open case without a time at which it is looked at again, whatever became of that promise."""
        for conversation_id in cases.untended(db) if self._team else ():
            promises.one_at(db, conversation_id, promises.CASE_TIME, now, now)
            promises.wake(db, {"work"})

    def until(self, choice: str, now: datetime) -> datetime:
        """Until when a case is put off: two hours, the team's next morning, or three days."""
        if choice == "morning":
            return self._rules.hours.next_morning(now)
        return self._rules.hours.opens(now + DAYS_OFF) if choice == "days" else now + HOURS_OFF

    # --- staff's words to the person; the conversation is held by the caller ---

    def refused(
        self, db: Connection, row: Row, line: Row, why: str, now: datetime, promise_id: int | None = None
    ) -> None:
        """A line of staff's that is not said; the thread says why, in the team's language.

        `promise_id`: the one of its messages that was not.
        """
        cases.change_line(db, line.id, state="failed", why=why[:200])
        self._failed(db, row, line, why, now, promise_id)
        case_files.give_up(db, line.id)

    def said(self, db: Connection, conversation_id: UUID, promise_id: int, now: datetime) -> None:
        """It was handed over, or one of its messages: once all are, the person has an answer."""
        cases.line_went(db, promise_id, "sent")
        line = cases.line_by_promise(db, promise_id)
        row = cases.open_one(db, conversation_id)
        if line is not None and line.state in cases.SAID and row is not None and row.number == line.case_number:
            wrote = rules.StaffWrote(line.by, cases.waits(db, row.number))
            self.happened(db, conversation_id, wrote, now, answer=line.tool != cases.TEMPLATE)
        self.show(db, conversation_id, now)

    def went(self, db: Connection, status: Status, now: datetime) -> None:
        """How far a line of staff's has come at the provider; of other messages nothing is noted here."""
        state = FATES.get(status.status)
        if not self._team or state is None or status.promise_id is None:
            return
        conversation_id = cases.line_of(db, status.promise_id)
        if conversation_id is None or conversations.hold(db, conversation_id) is None:
            return
        before = cases.line_went(db, status.promise_id, state, status.error)
        self.has_file(db, status.promise_id, state)
        row = cases.get(db, before.case_number) if before is not None else None
        if row is None or before is None:
            return
        if state == "failed":
            self._failed(db, row, before, status.error, now, status.promise_id)
            if row.closed_at is None:
                self.happened(db, conversation_id, rules.NotReached(cases.waits(db, row.number)), now)
        self.show(db, conversation_id, now)

    def has_file(self, db: Connection, promise_id: int, state: str) -> None:
        """A message has come so far: once its file has arrived, or never will, nobody needs it any more."""
        part = case_files.part(db, promise_id)
        if part is not None and part.case_file_id is not None and state in {"delivered", "read", "failed"}:
            case_files.gone(db, part.case_file_id)

    def _failed(
        self, db: Connection, row: Row, line: Row, why: str, now: datetime, promise_id: int | None = None
    ) -> None:
        """The thread says which line did not arrive, and why; where the 24 hours are over, what can be done now."""
        known = WHYS_OF_TEMPLATES | OURS if line.tool == cases.TEMPLATE else WHYS
        name, offers = known.get(why, "other"), False
        if name == "window" and cases.wrote_since(db, row.conversation_id, line.at):
            name = "window_then"
        words = self.words(db, f"desk.why.{name}", code=SlackStyle().plain(why or "?"))
        if name == "window":
            offer = self._out_of_window(db, row, now)
            words, offers = (
                f"{words}. {offer.words(self.spoken(db))}" if offer else words,
                bool(offer and offer.stands),
            )
        text = _shortened(_known_by(db, line, promise_id))
        self.note(db, row, "desk.failed", now, offers=offers, text=text, why=words)

    def _out_of_window(self, db: Connection, row: Row, now: datetime) -> Offer | None:
        """By the provider's clock the 24 hours may be over before they are by ours: then ours was wrong."""
        held = conversations.look(db, row.conversation_id)
        if held is not None and held.window_until is not None and held.window_until > now:
            people.touch(db, held.contact_id, window_until=now)
        return self.offers.of(db, row.number, now)

    def _may_be_said_again(self, db: Connection, row: Row, now: datetime) -> None:
        """Who wrote what was refused because of the 24 hours reads that it can be said now; that stays theirs to do."""
        lines = cases.unsaid_by_window(db, row.number)
        if not lines:
            return
        told = "\n".join(f"• <@{line.by}>: “{_shortened(_known_by(db, line, None))}”" for line in lines[-MAX_UNSAID:])
        self.note(db, row, "desk.window_again", now, lines=told)
        for line in lines:
            cases.change_line(db, line.id, why=cases.TOLD_AGAIN)

    # --- what only the team reads ---

    def words(self, db: Connection, name: str, **values: str) -> str:
        """A sentence in the team's language."""
        return sentence(name, self.spoken(db), **values)

    def spoken(self, db: Connection) -> Language:
        """The team's language."""
        return language(cases.team_language(db, self._team))

    def note(self, db: Connection, row: Row, name: str, now: datetime, *, offers: bool = False, **values: str) -> None:
        """A line for the team, in its place in the thread of a case: Slack's own signs in it are meant.

        `offers`: with a button below it that sends a template.
        """
        cases.note(db, row.number, row.conversation_id, self.words(db, name, **values), now, offers=offers)
        self.show(db, row.conversation_id, now)

    def show(self, db: Connection, conversation_id: UUID, now: datetime) -> None:
        """The thread is to be brought up to date."""
        if self._team:
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
        cases.own(db, row.conversation_id, conversations.BOT if rules.bot_speaks(after) else conversations.PERSON)
        promises.one_at(db, row.conversation_id, promises.CASE_TIME, rules.due(after, self._rules), now)
        if after.owner and not row.owner:
            conversations.unsaid(db, promises.drop_speech(db, row.conversation_id))
        if stepped.tell is not None and (stepped.tell != "silent" or cases.knows(db, row)):
            _TELLS[stepped.tell](db, row, now)
        if stepped.remind:
            self.note(db, row, "desk.reminded", now)
        self.show(db, row.conversation_id, now)


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


def _known_by(db: Connection, line: Row, promise_id: int | None) -> str:
    """What a line of staff's, or one message of it, is known again by: its words, else its files."""
    part = case_files.part(db, promise_id) if promise_id is not None else None
    files = case_files.of_line(db, line.id)
    if part is not None and not part.words:
        files = [one for one in files if one.id == part.case_file_id]
    elif line.text:
        return str(line.text)
    return ", ".join(one.name for one in files)


def _case(row: Row) -> Case:
    return Case(
        row.state, row.opened_at, row.owner, row.waits_since, row.staff_at, row.snoozed_until, row.told_at, row.end,
        unasked=is_unasked(row),
    )  # fmt: skip


def is_unasked(row: Row) -> bool:
    """Whether staff opened a case and nobody has had it yet: its person knows nothing of it."""
    never_had = row.waits_since is None and row.staff_at is None and row.closed_at is None
    return bool(row.reason == cases.STAFF and never_had)


def _shortened(text: str) -> str:
    """The beginning of a line of staff's, by which it is known again."""
    return SlackStyle().plain(text if len(text) <= SHORT else f"{text[: SHORT - 1]}…")
