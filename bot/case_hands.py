"""What the desk asks of the world: a case's thread as it is now, staff's words to the person, and that time passes."""

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from bot.calendar import may_write
from bot.channels import Identity, Later, Refused, SendError
from bot.channels.slack.render import actions, button, sections
from bot.channels.slack.style import SlackStyle
from bot.desk import packet
from bot.desk.rules import TimeCame
from bot.facts import language
from bot.handiwork import Again, DeskParts, Ended, Outcome, Tools, backoff, look
from bot.store import cases, conversations
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from flows import handoff, saved
from flows.speech import Button, Message, has, render, sentence
from flows.words import Language, Speak

LINES = 60  # of a transcript that are looked at for one message
MARK = "ally_case"
SOON = 1.0  # seconds until the next message may be posted
MAX_TRIES = 12
# How far a line of staff's has come, as a reaction below it.
REACTIONS = {
    "held": "hourglass_flowing_sand",
    "sent": "outbox_tray",
    "delivered": "white_check_mark",
    "read": "eyes",
    "failed": "x",
    "recalled": "leftwards_arrow_with_hook",
}
_log = structlog.get_logger(__name__)


# --- the thread -------------------------------------------------------------------------------------------------------


def show_case(tools: Tools, promise: Promise) -> Outcome:
    """Bring a case's thread up to date, one message a second: its root, what was said since, and the marks."""
    desk = tools.desk
    if desk is None or promise.conversation_id is None:
        return Ended("dropped")
    with reading(tools.engine) as db:
        number = cases.newest(db, promise.conversation_id)
        row = cases.about(db, number) if number else None
    if row is None:
        return Ended("dropped")
    try:
        return _shown(tools, desk, promise, row)
    except SendError as failure:
        seconds = failure.seconds if isinstance(failure, Later) else None
        _log.warning("a case could not be shown", case=row.number, code=failure.code)
        return Again(backoff(min(promise.attempt, 8), seconds), str(failure))


def _shown(tools: Tools, desk: DeskParts, promise: Promise, row: Row) -> Outcome:
    now = tools.clock.now()
    blocks, text = _root(tools, desk, row)
    looks = hashlib.sha256(repr(blocks).encode()).hexdigest()
    with reading(tools.engine) as db:
        lines = cases.unshown(db, row.conversation_id, row.shown_to, LINES)
        marks = cases.lines_to_mark(db, row.number)
    if not row.thread or lines:
        with tools.engine.begin() as db:
            at = cases.may_post(db, desk.channel, now)
        if at > now:
            return Again((at - now).total_seconds(), "one message a second")
    if not row.thread:
        thread = _known_root(desk, row.number) if promise.attempt > 1 else ""
        thread = thread or _post(desk, text, blocks, {"case": str(row.number)})
        return _more(tools, row, thread=thread, root=looks)
    if lines:
        shown_to = _known_lines(desk, row) if promise.attempt > 1 else 0
        if shown_to < lines[0].id:
            shown_to = _post_lines(desk, row, lines)
        return _more(tools, row, shown_to=shown_to)
    if looks != row.root:
        desk.api.call(desk.team, "chat.update", channel=desk.channel, ts=row.thread, text=text, blocks=blocks)
        return _more(tools, row, root=looks)
    if marks:
        _mark(tools, desk, row, marks[0])
        return Again(0.0, "more to mark")
    return Ended()


def _more(tools: Tools, row: Row, **values: Any) -> Again:
    with tools.engine.begin() as db:
        cases.save(db, row.number, **values)
    return Again(SOON, "perhaps there is more to show")


def _post(desk: DeskParts, text: str, blocks: list[Any], mark: dict[str, str], thread: str = "") -> str:
    where = {"thread_ts": thread} if thread else {}
    answer = desk.api.call(
        desk.team,
        "chat.postMessage",
        channel=desk.channel,
        text=text,
        blocks=blocks,
        metadata={"event_type": MARK, "event_payload": mark},
        unfurl_links=False,
        unfurl_media=False,
        **where,
    )
    return str(answer.get("ts", ""))


def _post_lines(desk: DeskParts, row: Row, lines: list[Row]) -> int:
    style = SlackStyle()
    plain = {line.id: line.text if line.direction == "in" else line.text.replace("*", "") for line in lines}  # our bold
    told = [packet.Line(line.id, line.direction, style.plain(plain[line.id])) for line in lines]
    text, last = packet.merged(told)
    mention = f"<@{row.owner}>\n" if row.owner and any(line.direction == "in" for line in lines) else ""
    _post(desk, mention + text, sections(mention + text), {"case": str(row.number), "upto": str(last)}, row.thread)
    return last


def _known_root(desk: DeskParts, number: int) -> str:
    """The root that was posted before we died, if any."""
    found = desk.api.call(
        desk.team, "conversations.history", channel=desk.channel, limit=100, include_all_metadata=True
    )
    mine = (one for one in found.get("messages") or [] if _payload(one).get("case") == str(number))
    return next((str(one["ts"]) for one in mine if "upto" not in _payload(one)), "")


def _known_lines(desk: DeskParts, row: Row) -> int:
    """Up to which line the thread was brought before we died."""
    found = desk.api.call(
        desk.team, "conversations.replies", channel=desk.channel, ts=row.thread, limit=100, include_all_metadata=True
    )
    upto = [_payload(one).get("upto", "0") for one in found.get("messages") or []]
    return max((int(one) for one in upto if one.isdecimal()), default=0)


def _payload(listed: dict[str, Any]) -> dict[str, str]:
    metadata = listed.get("metadata") or {}
    return dict(metadata.get("event_payload") or {}) if metadata.get("event_type") == MARK else {}


def _mark(tools: Tools, desk: DeskParts, row: Row, line: Row) -> None:
    """The mark of a staff member's line; what went wrong is said in words, too."""
    if line.shown in REACTIONS:
        _react(desk, "reactions.remove", line.ts, REACTIONS[line.shown])
    _react(desk, "reactions.add", line.ts, REACTIONS[line.state])
    if line.state == "failed":
        spoken = _spoken(tools, desk)
        why = f"desk.why.{line.why or 'unknown'}"
        words = sentence(why, spoken) if has(why) else sentence("desk.why.other", spoken, code=line.why)
        text = sentence("desk.failed", spoken, why=words)
        _post(desk, text, sections(text), {"case": str(row.number), "line": str(line.id)}, row.thread)
    with tools.engine.begin() as db:
        cases.change_line(db, line.id, shown=line.state)


def _react(desk: DeskParts, method: str, ts: str, name: str) -> None:
    try:
        desk.api.call(desk.team, method, channel=desk.channel, timestamp=ts, name=name)
    except Refused as refusal:  # it stands there already, or its message was deleted
        _log.info("a mark was not set", method=method, code=refusal.code)


def _root(tools: Tools, desk: DeskParts, row: Row) -> tuple[list[Any], str]:
    spoken = _spoken(tools, desk)
    shown = packet.Packet(
        number=row.number,
        name=SlackStyle().plain(row.name or "?"),
        agency=SlackStyle().plain(row.agency or ""),
        role=sentence(f"team.role.{row.role}", spoken) if row.role else "",
        language=row.language,
        channel=row.channel,
        state=row.state,
        owner=f"<@{row.owner}>" if row.owner else "",
        waits_since=row.waits_since,
        snoozed_until=row.snoozed_until,
        where=_place(row, spoken),
        mailbox=_mailbox(row, spoken),
        window_until=row.window_until,
        end=row.end,
        reason=sentence(f"desk.reason.{row.reason}", spoken),
    )

    def words(name: str, **values: Any) -> str:
        return sentence(name, spoken, **{key: str(value) for key, value in values.items()})

    text = packet.root(shown, words, desk.zone)
    return [*sections(text), *_buttons(row, spoken)], text


def _spoken(tools: Tools, desk: DeskParts) -> Language:
    with reading(tools.engine) as db:
        return language(cases.team_language(db, desk.team))


def _place(row: Row, spoken: Language) -> str:
    saved_talk = row.envelope or {}
    state = saved_talk.get("state") or {}
    return handoff.place(str(saved_talk.get("flow") or ""), str(state.get("is") or ""), spoken)


def _mailbox(row: Row, spoken: Language) -> str:
    if not row.address:
        return ""
    why = f" - {sentence(f'home.cause.{row.cause}', spoken)}" if row.cause else ""
    state = sentence(f"team.state.{row.mailbox_state}", spoken)
    return f"{SlackStyle().code(row.address)}, {SlackStyle().code(f'{row.host}:{row.port}')}: {state}{why}"


def _buttons(row: Row, spoken: Language) -> list[Any]:
    """What can be done with the case now."""
    if row.state == "closed":
        return []
    wanted = ["take", "back", "close"] if not row.owner else ["take", "release", "back", "close"]
    wanted += ["snooze"] if row.state != "snoozed" else []
    made = [Button(f"desk:{one}:{row.number}", sentence(f"desk.button.{one}", spoken)) for one in wanted]
    first, *others = made
    block = actions(others)
    block[0]["elements"].insert(0, button(first, "primary" if not row.owner else ""))
    return block


# --- staff's words to the person --------------------------------------------------------------------------------------


def say_line(tools: Tools, promise: Promise) -> Outcome:
    """Say what staff wrote, or that they are there. Only while a person owns the conversation."""
    held = look(tools, promise)
    if held is None:
        return Ended("dropped")
    line_id = promise.payload.get("line")
    if line_id is None:
        said = Speak((saved.load(promise.payload["say"]),))
        style = tools.channels[held.channel].style
        message = render(said, language(held.language), style, lambda _link: "")
        return _sent(tools, promise, held, message, None) if held.owner != "bot" else Ended("dropped")
    with reading(tools.engine) as db:
        line = cases.line(db, int(line_id))
    if line is None or line.state != "held":
        return Ended("dropped")  # taken back
    if held.owner == "bot":
        return _failed(tools, promise, line, "owner")
    if not may_write(held.window_until, tools.clock.now()):
        return _failed(tools, promise, line, "window")
    return _sent(tools, promise, held, Message(line.text, (), language(held.language)), line)


def _sent(tools: Tools, promise: Promise, held: Held, message: Message, line: Row | None) -> Outcome:
    channel, to = tools.channels[held.channel], Identity(held.channel, held.address, held.external_id)
    try:
        with reading(tools.engine) as db:
            proven, since = conversations.proof(db, promise.id)
        known = proven or (channel.find(to, message, since) if promise.attempt > 1 else None)
        provider_id = known or channel.send(to, message, promise.id, lambda: None).provider_id
    except Refused as refusal:
        return _failed(tools, promise, line, refusal.code) if line is not None else Ended("failed", words=str(refusal))
    except SendError as failure:
        if promise.attempt >= MAX_TRIES:
            return _failed(tools, promise, line, "unknown") if line is not None else Ended("failed")
        return Again(backoff(promise.attempt, getattr(failure, "seconds", None)), str(failure))

    def note(db: Connection) -> bool:
        if line is not None and promise.conversation_id is not None:
            cases.note_said(db, promise.conversation_id, line.text, promise.id, line.by, tools.clock.now())
            cases.change_line(db, line.id, state="sent")
            _show(tools, db, promise.conversation_id)
        return True

    return Ended(provider_id=provider_id, along=note)


def _failed(tools: Tools, promise: Promise, line: Row, why: str) -> Ended:
    """It did not reach the person: that is said in the thread, with the reason in words."""

    def note(db: Connection) -> bool:
        cases.change_line(db, line.id, state="failed", why=why[:200])
        if promise.conversation_id is not None:
            _show(tools, db, promise.conversation_id)
        return True

    return Ended("failed", words=why, along=note)


def _show(tools: Tools, db: Connection, conversation_id: UUID) -> None:
    if tools.desk is not None:
        tools.desk.casework.show(db, conversation_id, tools.clock.now())


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
