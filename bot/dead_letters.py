"""What raised: kept as it came, so that an operator can apply it again; its person is told that something failed."""

import traceback
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from bot.facts import language
from bot.promising import promise_all
from bot.store import conversations, promises
from bot.store.engine import Connection
from bot.store.promises import Promise
from flows import saved
from flows.words import Event, Say, Speak

UNNOTICED = frozenset(
    {
        "EraseAtProvider",
        promises.NUDGE,
        promises.TELL,
        promises.FILE_COPY,
        promises.FETCH_CASE_FILE,
        promises.MAIL_CODE,
        promises.WATCH,
        promises.WARN,
        promises.PASSWORD_ENDS,
        promises.ADMIN_WARNING,
        promises.FOLLOW_UP,
        promises.SHOW_HOME,
        promises.SHOW_CASE,
        promises.CASE_TIME,
        promises.CASE_WINDOW,
    }
)  # nobody waits for these: a failure is the operator's
_log = structlog.get_logger(__name__)


def bury_result(db: Connection, promise: Promise, event: Event | None, where: str, now: datetime) -> None:
    """Keep what became of a promise and could not be applied; without an event, the promise.

    `where` it broke, in words without anything personal.
    """
    if promise.conversation_id is None:
        return
    kept = {"promise": promise.id} if event is None else {"event": saved.dump(event), "ticket": promise.ticket}
    bury(db, promise.conversation_id, kept, where, now, tell=promise.kind not in UNNOTICED)


def bury(
    db: Connection, conversation_id: UUID, event: dict[str, Any], where: str, now: datetime, *, tell: bool = True
) -> None:
    """Keep an event, in the form that `Turns.replay` reads. `where`: see `bury_result`; `tell` the person."""
    letter = conversations.lay_dead(db, conversation_id, event, where, now)
    _log.error("turn failed", conversation=str(conversation_id), dead_letter=letter, where=where)
    if tell:
        _apologise(db, conversation_id, now)


def _apologise(db: Connection, conversation_id: UUID, now: datetime) -> None:
    held = conversations.hold(db, conversation_id)
    if held is None:
        return
    sorry = Speak((Say("news.turn_failed"),))
    lines = promise_all(db, held, [sorry], language(held.language), held.ticket, now)
    conversations.note(db, held.id, lines, now)
    promises.wake(db)


def redacted_trace(error: Exception) -> str:
    """Where an exception came from and of what kind it is, without a word of what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in ours or frames]
    return f"{type(error).__name__} at {' > '.join(places[-8:])}"
