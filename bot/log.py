"""Logs: structured, with ids and never with contents. The libraries' own loggers are kept from writing bodies."""

import logging
import re
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# What comes back from a provider: a code that is good once, and the state that belongs to it; an admin's invitation.
BACK = re.compile(r"((?:/oauth/[a-z]{1,20}/callback|/slack/(?:oauth_redirect|install))\?)[^\s\"']+")
LINK = re.compile(r"/([sm])/(?!done/|static/)[A-Za-z0-9_-]{8,}")
# What would begin a line of its own, move the cursor of a terminal, or turn the writing: a.exe.pdf for a.fdp.exe.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# At DEBUG or INFO these would write addresses, bodies or bound values.
QUIET = ("authlib", "requests", "twilio", "twilio.http_client", "urllib3", "sqlalchemy.engine", "alembic", "werkzeug")

# They would write past us, the addresses of one-time links too.
OWN_WAYS = ("gunicorn.error", "gunicorn.access")
MAX_CHAIN = 5  # exceptions that led to one another
PAUSE = 60  # seconds between two lines that say the same, where strangers decide how often


def setup(form: Literal["text", "json"] = "text", level: int = logging.INFO) -> None:
    """Send all logs from a level on to standard error, in one form."""
    rendering: list[Processor] = [structlog.processors.JSONRenderer()] if form == "json" else [one_line, _console()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,  # the ids of the job at hand, in whatever is written meanwhile
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe_exception,
        mask_links,
    ]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Straight to the stream: a line by way of the standard library costs four times as much, in every turn.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the sandbox's server warns of its own ways
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in OWN_WAYS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _console() -> Processor:
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=plain)


def describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """An exception as where it came from and what it says: without the values of variables, which may be personal."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(_told(error))
    return event


def _told(error: BaseException, chain: int = MAX_CHAIN) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and chain:
        yield from _told(before, chain - 1)
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    from_the_database = type(error).__module__.startswith(("sqlalchemy", "psycopg"))  # its words hold values
    yield type(error).__name__ if from_the_database else f"{type(error).__name__}: {flat(str(error))}"


def mask_links(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No token of a one-time link, and no code of a provider's, in any line, whoever wrote it."""
    return {name: _masked(value) if isinstance(value, str) else value for name, value in event.items()}


def _masked(value: str) -> str:
    return BACK.sub(r"\1***", LINK.sub(r"/\1/***", value))


def one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What somebody else wrote makes no line that looks like ours. An exception has lines, each of our making."""
    return {
        name: flat(value) if isinstance(value, str) and name != "exception" else value for name, value in event.items()
    }


def flat(words: str) -> str:
    """Words of somebody else's as one line, with the name in the place of each sign that would pretend otherwise."""
    return _CONTROL.sub(lambda sign: ascii(sign[0])[1:-1], words)


class Seldom:
    """Says a thing at once, and then once a minute at most, with how often it was so: no flood fills the log.

    What is said are words of ours, a few. Safe to use from several threads.
    """

    def __init__(self, log: WrappedLogger, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: seconds of any clock."""
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._said: dict[tuple[str, str], float] = {}

    def warning(self, event: str, what: str) -> None:
        """`times`: how often since the last line, with this one."""
        key, now = (event, what), self._now()
        with self._lock:
            self._counts[key] += 1
            if now < self._said.get(key, -PAUSE) + PAUSE:
                return
            self._said[key], times = now, self._counts.pop(key)
        self._log.warning(event, what=what, times=times)
