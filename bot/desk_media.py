"""Files between a person and staff: fetched from where they lie, sealed while they lie with us, brought where they go.

Of the person's each follows its line into the thread; of staff's each is one message, which the person's channel takes
by its bytes or by an address of ours. Once it is there (or lost) its content is erased.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from bot.channels import Enclosed, Later, Refused, SendError
from bot.channels.file_types import MAX_SENT, made_up_name, sendable, told_name, too_large
from bot.channels.slack.files import listed, upload
from bot.clock import Clock
from bot.desk_lines import HOLD
from bot.handiwork import Again, DeskParts, Ended, FetchedFile, Outcome, Tools, backoff, look
from bot.safe import Safe
from bot.store import case_files, cases, conversations, promises, secrets
from bot.store.conversations import Held
from bot.store.engine import Connection, Engine, Row, reading
from bot.store.promises import Promise, Wanted
from bot.vault import Secret, Unopenable, token, token_hash

MAX_TRIES, LONGEST_PAUSE = 5, 15.0  # of fetching a file; seconds between two of them
PATIENCE = timedelta(seconds=90)  # from when it was sent until nothing waits for a file any more
KEEP = timedelta(hours=24)  # as long as it may wait to be brought where it goes
SERVED = timedelta(hours=1)  # as long as an address of ours leads to it
# Whoever took a message fetches its files, too, and is not hurried; alone, a minute is enough: see `bot.files`.
ERASE_SOON, ERASE_LATER = timedelta(minutes=1), timedelta(minutes=10)
REASONS = {
    "type": "type",
    "413": "size",
    "image": "image_size",
}  # by the code of a refusal; everything else: it is gone
# Words are read below these; a sticker or a voice message has none. WhatsApp takes 1,024 characters there.
WITH_WORDS = ("image/jpeg", "image/png", "video/", "application/")
MAX_CAPTION = 1_000
_log = structlog.get_logger(__name__)


# --- fetched ----------------------------------------------------------------------------------------------------------


def fetch_case_file(tools: Tools, promise: Promise) -> Outcome:
    """Fetch one file from the person's channel, or from the thread; its bytes say what it is."""
    held, desk = look(tools, promise), tools.desk
    with reading(tools.engine) as db:
        row = case_files.get(db, UUID(promise.payload["file"]))
        line = cases.line(db, row.line_id) if row is not None and row.line_id is not None else None
    if held is None or desk is None or row is None or row.state != "coming":
        return Ended("dropped")
    try:
        found = (
            _of_staff(desk, row, line) if line is not None else tools.channels[held.channel].fetch(row.url, MAX_SENT)
        )
    except Refused as refusal:
        return _lost(tools, desk, promise, row, REASONS.get(refusal.code, "gone"), str(refusal))
    except SendError as failure:
        if promise.attempt >= MAX_TRIES or tools.clock.now() >= row.at + PATIENCE:
            return _lost(tools, desk, promise, row, "gone", str(failure))
        wished = failure.seconds if isinstance(failure, Later) else None
        return Again(backoff(promise.attempt, wished, LONGEST_PAUSE), str(failure))
    return Ended(along=partial(_kept, tools, desk, promise, row, held, found))


@dataclass(frozen=True, slots=True)
class _Found:
    """A file of staff's, of a type that may go to a person."""

    content: bytes
    content_type: str
    name: str


def _of_staff(desk: DeskParts, row: Row, line: Row) -> FetchedFile:
    """What is in the thread is fetched for one of the team only. Raises like a channel's `fetch`."""
    if not desk.staff.has(line.by):
        raise Refused("stranger", "somebody who is not of the team")
    content = desk.files.fetch(desk.team, row.url, MAX_SENT).content
    kind = sendable(content, row.name)
    if not kind:
        raise Refused("type", "no type that goes to a person")
    if too_large(kind, len(content)):
        raise Refused("image", "a picture that is too large")
    return _Found(content, kind, told_name(row.name, kind) or made_up_name(kind))


def _kept(
    tools: Tools, desk: DeskParts, promise: Promise, row: Row, held: Held, found: FetchedFile, db: Connection
) -> bool:  # fmt: skip
    conversations.hold(db, row.conversation_id)  # before its rows, as everybody who changes them does
    clear, now = Secret(base64.b64encode(found.content).decode()), tools.clock.now()
    content_id = tools.safe.put(db, clear, kind="case.file", owner=held.contact_id, use=_use(row), now=now, keep=KEEP)
    name, kind, size = found.name or row.name, found.content_type, len(found.content)
    if not case_files.arrived(db, row.id, name=name, content_type=kind, size=size, content_id=content_id):
        secrets.erase(db, [content_id])  # it was taken back, or given up
    _came(tools, desk, db, promise, row)
    return True


def _lost(tools: Tools, desk: DeskParts, promise: Promise, row: Row, why: str, words: str) -> Outcome:
    def note(db: Connection) -> bool:
        conversations.hold(db, row.conversation_id)
        case_files.lose(db, row.id, why)
        _came(tools, desk, db, promise, row)
        return True

    return Ended(words=words, along=note)


def _came(tools: Tools, desk: DeskParts, db: Connection, promise: Promise, row: Row) -> None:
    """It need not lie at the provider any more; who waited for it goes on."""
    now = tools.clock.now()
    if row.line_id is not None:
        return _hurry(db, row.line_id, now)
    if promise.payload.get("message"):
        later = now + (ERASE_LATER if promise.payload.get("others") else ERASE_SOON)
        erase = Wanted("work", promises.ERASE_AT_PROVIDER, later, {"message": promise.payload["message"]})
        promises.add(db, row.conversation_id, [erase], now)
    if conversations.hold(db, row.conversation_id) is not None:
        desk.casework.show(db, row.conversation_id, now)
    return None


def _hurry(db: Connection, line_id: int, now: datetime) -> None:
    """A line leaves five seconds after it was written, or as soon as the last of its files has come."""
    line = cases.line(db, line_id)
    still = any(one.state == "coming" for one in case_files.of_line(db, line_id))
    if line is not None and line.promise_id is not None and line.state == "held" and not still:
        promises.move(db, line.promise_id, max(line.at + HOLD, now))
        promises.wake(db, {"speak"})


def _use(row: Row) -> dict[str, str | int]:
    return {"file": str(row.id)}


def content_of(db: Connection, safe: Safe, row: Row) -> bytes:
    """The bytes of a file. Raises Unopenable, also when they were erased."""
    if row.content_id is None:
        raise Unopenable("This file was erased.")
    return base64.b64decode(safe.take(db, row.content_id, kind="case.file", use=_use(row)).reveal())


# --- into the thread --------------------------------------------------------------------------------------------------


def brought(tools: Tools, desk: DeskParts, row: Row, file: Row, may_go_on: Callable[[], None]) -> bool:
    """Bring a file of the person's into a thread. `may_go_on` raises when so much time went by that others may do it.

    What Slack calls it is known before it can be seen, so that it is found again. Whether it surely stands there:
    Slack says yes before it is (https://github.com/slackapi/bolt-js/issues/2115). Raises Unopenable, SendError.
    """
    with reading(tools.engine) as db:
        content = content_of(db, tools.safe, file)
    call = partial(desk.api.call, desk.team)
    name = upload(call, desk.files.bring, file.name, content)
    with tools.engine.begin() as db:
        case_files.named(db, file.id, name)
    may_go_on()
    shown = [{"id": name, "title": file.name}]
    told = call("files.completeUploadExternal", files=shown, channel_id=desk.channel, thread_ts=row.thread)
    return any(desk.channel in places for one in listed(told) for places in dict(one.get("shares") or {}).values())


# --- to the person ----------------------------------------------------------------------------------------------------


def plan(words: str, files: list[Row], promise_ids: list[int]) -> list[tuple[int, str, Row | None]]:
    """The messages of a line: by which promise, with which words, with which file. Each file has one.

    `promise_ids`: one for the words, then one for each file. The words go with the first file, where they are read
    there; then the promise of that file has nothing to say.
    """
    first, *others = files
    captioned = first.content_type.startswith(WITH_WORDS) and len(words) <= MAX_CAPTION
    head, *rest = promise_ids
    if captioned or not words:
        messages: list[tuple[int, str, Row | None]] = [(head, words, first)]
    else:
        messages = [(head, words, None), (rest[0], "", first)]
    return messages + [(promise_id, "", file) for promise_id, file in zip(rest[1:], others, strict=False)]


def enclosed(tools: Tools, row: Row) -> Enclosed:
    """A file as the person's channel takes it."""

    def url() -> str:
        return f"{tools.public_url}/m/{armed(tools.engine, tools.clock, row.id)}"

    def content() -> bytes:
        with reading(tools.engine) as db:
            return content_of(db, tools.safe, row)

    return Enclosed(row.name, row.content_type, url, content)


def armed(engine: Engine, clock: Clock, file_id: UUID) -> str:
    """A new token that leads to a file for an hour; only its hash stays."""
    clear, hashed = token()
    with engine.begin() as db:
        case_files.add_token(db, file_id, hashed, clock.now() + SERVED)
    return clear


class Shelf:
    """Shows the file behind a token, to whoever has it."""

    def __init__(self, engine: Engine, clock: Clock, safe: Safe) -> None:
        self._engine = engine
        self._clock = clock
        self._safe = safe

    def look(self, clear: str) -> tuple[str, str, bytes] | None:
        """Name, type and bytes; None: there is nothing (any more)."""
        with reading(self._engine) as db:
            row = case_files.by_token(db, token_hash(clear), self._clock.now())
            try:
                return (row.name, row.content_type, content_of(db, self._safe, row)) if row is not None else None
            except Unopenable:
                return None
