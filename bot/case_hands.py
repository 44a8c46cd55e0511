"""What the desk asks of the world: staff's words to the person, and that time passes."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from bot.calendar import may_write
from bot.case_thread import CLOSED, MAX_DOUBLINGS
from bot.casework import BEFORE_THE_END
from bot.channels import Accepted, SendError
from bot.channels.slack.read import CHANNEL as SLACK
from bot.desk import packet, wording
from bot.desk.rules import TimeCame
from bot.desk_media import SERVED, enclosed, plan
from bot.desk_offer import NAME
from bot.desk_windows import MAX_SAID
from bot.facts import language
from bot.handiwork import Again, DeskParts, Ended, Outcome, Tools, armed, backoff, look
from bot.saying import MAX_SPEECH_TRIES, identity, say
from bot.store import case_files, cases, conversations, promises, watches
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.vault import Unopenable
from flows import saved
from flows.speech import Message, render
from flows.words import Speak

# --- staff's words to the person --------------------------------------------------------------------------------------


def say_line(tools: Tools, promise: Promise) -> Outcome:
    """Say what staff wrote, or that they are there. Only while a person owns the conversation."""
    held, desk, line_id = look(tools, promise), tools.desk, promise.payload.get("line")
    if held is None or desk is None:
        return Ended("dropped")
    try:
        standing = desk.staff.look()
        if standing.closed:
            return Again(CLOSED, f"SUPPORT_CHANNEL: {standing.closed}")
        if line_id is None:
            return _greeted(tools, desk, promise, held)
        return _line_said(tools, desk, promise, held, int(line_id))
    except SendError as failure:  # Slack does not say who is of the team
        return Again(backoff(min(promise.attempt, MAX_DOUBLINGS), getattr(failure, "seconds", None)), str(failure))


def _greeted(tools: Tools, desk: DeskParts, promise: Promise, held: Held) -> Outcome:
    """That somebody is there; untrue as soon as they are not, or are none of the team."""
    with reading(tools.engine) as db:
        row = cases.get(db, held.case) if held.case is not None else None
        wanted = watches.wants_messages(db, held.contact_id)
    there = wanted and row is not None and held.owner == conversations.PERSON and desk.staff.has(row.owner)
    if not there or not may_write(held.window_until, tools.clock.now()):
        return Ended("dropped")
    style = tools.channels[held.channel].style
    said = Speak((saved.load(promise.payload["say"]),))
    return _sent(tools, promise, held, render(said, language(held.language), style, lambda _link: ""))


def _line_said(tools: Tools, desk: DeskParts, promise: Promise, held: Held, line_id: int) -> Outcome:
    with reading(tools.engine) as db:
        line, part = cases.line(db, line_id), case_files.part(db, promise.id)
    if line is None or line.state in {"recalled", "failed"} or ("part" in promise.payload and part is None):
        return Ended("dropped")
    if line.state == "held":
        # Slack may be asked: not while we hold anything
        of_us, names = desk.staff.has(line.by), desk.staff.look().names
        with tools.engine.begin() as db:
            line, problem = _leaving(tools, desk, promise, db, line_id, names, of_us=of_us)
            part = case_files.part(db, promise.id)
        if problem:
            return Ended("failed", words=problem)
        if line is None:
            return Ended("dropped")  # taken back meanwhile
    if (line.state if part is None else part.fate) in cases.SAID:  # a callback was faster than our own word
        return Ended(words="its provider told of it", along=partial(_has_left, tools, desk, promise))
    outcome = _outcome(tools, promise, held, part)
    if isinstance(outcome, Again):
        return outcome
    if outcome.state == "done":
        return Ended(provider_id=outcome.provider_id, along=partial(_has_left, tools, desk, promise))
    why = "owner" if outcome.state == "dropped" else outcome.words.partition(":")[0]
    why = "unknown" if promise.attempt >= MAX_SPEECH_TRIES else why
    return Ended("failed", words=why, along=partial(_not_said, tools, desk, promise, line_id, why))


def _outcome(tools: Tools, promise: Promise, held: Held, part: Row | None) -> Outcome:
    """One message of a line is said, with its file if it has one."""
    if part is not None:
        message = Message(part.words, (), language(held.language))
        return (
            _file_sent(tools, promise, held, message, part)
            if part.case_file_id
            else _sent(tools, promise, held, message)
        )
    with reading(tools.engine) as db:
        message = Message(cases.noted(db, promise.id), (), language(held.language))  # as it was at the first try
    if "say" in promise.payload:  # a sentence of ours, as their channel writes it; a link gets its address now
        said = Speak((saved.load(promise.payload["say"]),))
        message = render(said, language(held.language), tools.channels[held.channel].style, partial(armed, tools))
    return _sent(tools, promise, held, message)


def _leaving(
    tools: Tools,
    desk: DeskParts,
    promise: Promise,
    db: Connection,
    line_id: int,
    names: Mapping[str, str],
    *,
    of_us: bool,
) -> tuple[Row | None, str]:
    """The line as it leaves: changed no more, and noted where its callbacks find it. Or why it does not leave."""
    now, conversation_id = tools.clock.now(), promise.conversation_id
    held = conversations.hold(db, conversation_id) if conversation_id is not None else None
    line = cases.line(db, line_id)
    row = cases.get(db, line.case_number) if line is not None else None
    if held is None or line is None or row is None or line.state != "held":
        return None, ""
    style, files = tools.channels[held.channel].style, case_files.of_line(db, line_id)
    # What was typed into a window has none of Slack's signs in it.
    said = line.text if line.tool else wording.for_person(line.text, names, style)
    problem = _problem(desk, db, held, row, line, said, files, now) if of_us else "stranger"
    if problem:
        desk.casework.refused(db, row, line, problem, now)
        return None, problem
    cases.change_line(db, line.id, state="leaving")
    if not files:
        cases.note_said(db, held.id, said, promise.id, line.by, now)
        return cases.line(db, line_id), ""
    for promise_id, words, file in plan(said, files, [promise.id, *promise.payload["others"]]):
        case_files.add_part(db, line.id, promise_id, words, file.id if file is not None else None)
        shown = [words, f"({file.name})" if file is not None else ""]
        cases.note_said(db, held.id, "\n".join(filter(None, shown)), promise_id, line.by, now)
    return cases.line(db, line_id), ""


def _problem(
    desk: DeskParts, db: Connection, held: Held, row: Row, line: Row, said: str, files: list[Row], now: datetime
) -> str:
    """Why a line cannot be said as things stand; empty: it can. A template is counted here, as the last thing."""
    if row.closed_at is not None:
        return "closed"
    if held.owner != conversations.PERSON:
        return "owner"
    if line.tool == cases.TEMPLATE:
        return _problem_of_template(desk, db, held, line, now)
    if not may_write(held.window_until, now):
        return "window"
    if missing := next((one for one in files if one.state != "here"), None):
        return f"file_{missing.why or 'gone'}"
    return "empty" if not said and not files else "long" if len(said) > MAX_SAID else ""


def _problem_of_template(desk: DeskParts, db: Connection, held: Held, line: Row, now: datetime) -> str:
    """It has to be needed still, and to be allowed still: five seconds have gone by since it was wanted."""
    if may_write(held.window_until, now):
        return "answered"
    offers = desk.casework.offers
    why = offers.still(db, line, now)
    if why:
        return f"template_{why}"
    return "" if offers.count(db, line.at) else "template_limit"


def _has_left(tools: Tools, desk: DeskParts, promise: Promise, db: Connection) -> bool:
    now, conversation_id = tools.clock.now(), promise.conversation_id
    held = conversations.hold(db, conversation_id) if conversation_id is not None else None
    if held is not None:
        desk.casework.said(db, held.id, promise.id, now)
        part = case_files.part(db, promise.id)
        if part is not None and part.case_file_id is not None:
            case_files.keep_content(db, part.case_file_id, now + SERVED)
            desk.casework.has_file(db, promise.id, "delivered" if held.channel == SLACK else part.fate)
    return True


def _not_said(tools: Tools, desk: DeskParts, promise: Promise, line_id: int, why: str, db: Connection) -> bool:
    """It did not reach the person: that is said in the thread, with the reason in words."""
    if promise.conversation_id is not None and conversations.hold(db, promise.conversation_id) is not None:
        line = cases.line(db, line_id)
        row = cases.get(db, line.case_number) if line is not None else None
        if line is not None and row is not None and line.state == "leaving":
            if line.tool == cases.TEMPLATE and why != "unknown":
                watches.uncount_template(db, line.at)
            desk.casework.refused(db, row, line, why, tools.clock.now(), promise.id)
    return True


def _file_sent(tools: Tools, promise: Promise, held: Held, message: Message, part: Row) -> Outcome:
    channel, to = tools.channels[held.channel], identity(held)
    with reading(tools.engine) as db:
        row = case_files.get(db, part.case_file_id)
    if row is None or row.state != "here":
        return Ended("failed", words="file_gone")
    file = enclosed(tools, row)

    def send(ready: Callable[[], None]) -> Accepted:
        return channel.send_file(to, message, file, promise.id, ready)

    def find(since: datetime) -> str | None:
        return channel.find_file(to, message, file, since)

    try:
        return say(tools, promise, held, send, lambda: message, conversations.PERSON, find)
    except Unopenable:
        return Ended("failed", words="file_gone")


def _sent(tools: Tools, promise: Promise, held: Held, message: Message) -> Outcome:
    channel, templates = tools.channels[held.channel], tools.templates
    about = promise.payload.get("template")
    if about is not None and templates is None:
        return Ended("failed", words="template_off")

    def send(ready: Callable[[], None]) -> Accepted:
        if about is not None and templates is not None:
            return templates.send(identity(held), NAME, language(held.language), about, promise.id, ready)
        return channel.send(identity(held), message, promise.id, ready)

    return say(tools, promise, held, send, lambda: message, conversations.PERSON)


# --- time -------------------------------------------------------------------------------------------------------------


def case_time(tools: Tools, promise: Promise) -> Outcome:
    """A time at which a case was to be looked at has come."""
    desk, conversation_id = tools.desk, promise.conversation_id
    if desk is None or conversation_id is None:
        return Ended("dropped")

    def look_again(db: Connection) -> bool:
        now: datetime = tools.clock.now()
        if conversations.hold(db, conversation_id) is not None:
            desk.casework.happened(db, conversation_id, TimeCame(), now)
        return True

    return Ended(along=look_again)


def case_window(tools: Tools, promise: Promise) -> Outcome:
    """Somebody's 24 hours are nearly over: the team is told once, while they can still be written to.

    And once more when they are: what can be done with the case is another thing then.
    """
    desk, conversation_id = tools.desk, promise.conversation_id
    if desk is None or conversation_id is None:
        return Ended("dropped")

    def warned(db: Connection) -> bool:
        now: datetime = tools.clock.now()
        held = conversations.hold(db, conversation_id)
        row = cases.open_one(db, conversation_id)
        if held is None or row is None or held.window_until is None:
            return True
        until = held.window_until
        if until <= now:
            desk.casework.show(db, conversation_id, now)
            return True
        if until - BEFORE_THE_END <= now:
            desk.casework.note(db, row, "desk.window_ends", now, until=packet.clock(until, desk.zone))
        promises.one_at(db, conversation_id, promises.CASE_WINDOW, until, now)
        return True

    return Ended(along=warned)
