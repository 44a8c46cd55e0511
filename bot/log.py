"""Logs: structured, with ids and never with contents. The libraries' own loggers are kept from writing bodies."""

import logging
import re
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

LINK = re.compile(r"/s/(?!done/|static/)[A-Za-z0-9_-]{8,}")
# At DEBUG or INFO these would write addresses, bodies or bound values.
QUIET = ("twilio", "twilio.http_client", "urllib3", "sqlalchemy.engine", "alembic", "werkzeug")


def setup(form: Literal["text", "json"] = "text") -> None:
    """Send all logs to standard error, in one form."""
    renderer: Processor = structlog.processors.JSONRenderer() if form == "json" else _console()
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_links,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the sandbox's server warns of its own ways
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=_no_values)


def _no_values(stream: TextIO, error: ExcInfo) -> None:
    """A traceback without the values of variables: they may be personal."""
    structlog.dev.plain_traceback(stream, error)


def mask_links(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No token of a one-time link in any line, whoever wrote it."""
    return {name: LINK.sub("/s/***", value) if isinstance(value, str) else value for name, value in event.items()}
