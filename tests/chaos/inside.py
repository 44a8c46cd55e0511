"""Runs a module of the product as it is, with the chaos inside: `python -m tests.chaos.inside MODULE ARGUMENT...`.

Nothing in the product knows of it. Three things are other than usual: what takes minutes takes seconds (leases, pauses
between two tries, the look for lost webhooks), the process's clock goes wrong, and the process kills itself, with all
of its group, at the commit that `points.VARIABLE` names.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import patch

from sqlalchemy.engine.default import DefaultDialect

import bot
from bot import case_hands, case_thread, desk_test, door_desk, grants, hands, proofs, saying, worker
from bot.clock import SystemClock
from bot.door import letter
from bot.mail.wire import sent_folder, smtp
from bot.store import door_mails, housekeeping
from bot.store.promises import Promise
from tests.chaos.points import Point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

CLOCK = "CHAOS_CLOCK"  # how many seconds it is ahead at first, and from a moment on (seconds after the start)
JOURNALS = "CHAOS_JOURNALS"  # the folder in which processes write down
POINTS = "points"  # ... at which point they died
SPEECH = "speech"  # ... what they were about to say: process, promise, time
# In seconds. Far more than a hand needs here: nobody who is alive may be taken for dead.
LEASES = {"speak": 5.0, "work": 5.0, "mail": 7.0}
LEASE_OF_THE_DOOR = timedelta(seconds=10)
LEASE_OF_GRANTS = timedelta(seconds=4)  # ends before those of promises, as it does in earnest
EVERY = timedelta(seconds=4)  # housekeeping, and the look for lost webhooks
LONGEST_PAUSE = 3.0  # seconds between two tries
READS = ("SELECT", "select")
HOME = str(Path(bot.__file__).parent) + os.sep
# What is no commit, and yet parts two states of a mail at the door: it is read, its server's last word is heard.
MOMENTS: dict[str, tuple[Any, str]] = {
    "door_desk.letter": (letter, "read"),
    "smtp.hand_over": (smtp.Session, "getreply"),
}


def main() -> None:
    """Put the chaos in, then run the module that the command line names."""
    hands.LEASES.update({lane: timedelta(seconds=seconds) for lane, seconds in LEASES.items()})
    _shorten_pauses()
    patch.object(grants, "LEASE", LEASE_OF_GRANTS).start()
    patch.object(door_desk, "LEASE", LEASE_OF_THE_DOOR).start()
    patch.object(housekeeping, "RECONCILE_EVERY", EVERY).start()
    patch.object(worker, "HOUSEKEEPING", EVERY).start()
    _put_clock_wrong()
    _note_speech()
    point = Point.of_environment()
    if point is not None:
        _die_at(point)
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _shorten_pauses() -> None:
    usual = hands.backoff

    def backoff(attempt: int, wished: float | None = None) -> float:
        return usual(attempt, wished, longest=LONGEST_PAUSE)

    for module in (hands, proofs, saying, worker, case_hands, case_thread, desk_test):
        patch.object(module, "backoff", backoff).start()
    # The sandbox has delivered a mail before it answers: what is not there at once does not come.
    patch.object(proofs, "SOON", (0.0,)).start()
    patch.dict(sent_folder.resolve_unknown.__kwdefaults__, waits=(0.0,)).start()


def _put_clock_wrong() -> None:
    ahead, later, moment = (float(word) for word in os.environ.get(CLOCK, "0 0 0").split())
    started = time.monotonic()

    def now(_clock: SystemClock) -> datetime:
        seconds = ahead if time.monotonic() - started < moment else later
        return datetime.now(UTC) + timedelta(seconds=seconds)

    patch.object(SystemClock, "now", now).start()


def _note_speech() -> None:
    """Write down when this process looked at a claim for the last time before it spoke: see `evidence`."""
    last_look = saying._last_look

    def look(tools: hands.Tools, promise: Promise, by: str) -> None:
        last_look(tools, promise, by)
        _write(SPEECH, f"{os.getpid()} {promise.id} {time.time()}")

    patch.object(saying, "_last_look", look).start()


def _die_at(point: Point) -> None:
    counted = _Counter()

    def around(doing: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        mine = point.function in _committing(sys._getframe()) and counted.up() == point.number
        if mine and point.when == "before":
            _die(point)
        done = doing(*arguments, **named)
        if mine:
            _die(point)
        return done

    if point.function in MOMENTS:
        _watch(around, *MOMENTS[point.function])
    else:
        _watch_commits(around)


def _watch(around: Callable[..., Any], owner: Any, name: str) -> None:
    doing = getattr(owner, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        return around(doing, *arguments, **named)

    patch.object(owner, name, watched).start()


def _watch_commits(around: Callable[..., Any]) -> None:
    """A statement on a connection without transactions commits by itself."""
    execute: Callable[..., None] = DefaultDialect.do_execute
    straight = door_mails.straight

    def do_execute(dialect: DefaultDialect, cursor: Any, *arguments: Any) -> None:
        if cursor.connection.autocommit and not arguments[0].startswith(READS):
            around(execute, dialect, cursor, *arguments)
        else:
            execute(dialect, cursor, *arguments)

    def do_straight(db: Any, statement: str, values: Any) -> Any:
        """The door goes to the driver without SQLAlchemy."""
        reads = statement.lstrip().startswith(READS)
        return straight(db, statement, values) if reads else around(straight, db, statement, values)

    _watch(around, DefaultDialect, "do_commit")
    patch.object(DefaultDialect, "do_execute", do_execute).start()
    patch.object(door_mails, "straight", do_straight).start()


class _Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def up(self) -> int:
        """One more: how many."""
        with self._lock:
            self._value += 1
            return self._value


def _committing(frame: FrameType | None) -> Iterator[str]:
    """The product's functions below which this happens, innermost first."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(HOME):
            yield f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
        frame = frame.f_back


def _die(point: Point) -> NoReturn:
    _write(POINTS, str(point))
    os.killpg(os.getpgrp(), signal.SIGKILL)
    raise SystemExit  # not reached: the signal cannot be caught


def _write(name: str, line: str) -> None:
    with (Path(os.environ[JOURNALS]) / name).open("a") as journal:
        journal.write(f"{line}\n")


if __name__ == "__main__":
    main()
