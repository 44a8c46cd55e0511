"""What gunicorn loads: `bot.wsgi:app()`."""

import os
import sys
import threading

from flask import Flask

from bot.alarms import Alarms, bells
from bot.app import Parts, create_app, join
from bot.channels.slack.line import Line
from bot.log import setup
from bot.safe import WrongKey
from bot.settings import SettingsError, load
from bot.store.engine import DatabaseDown
from bot.store.schema import WrongSchema
from bot.web.slack import slack_line

_lines: list[Line] = []  # what this process has open to Slack


def close() -> None:
    """Let go of what we hold open, when the process that serves ends; `deploy/gunicorn.py` says so."""
    while _lines:
        _lines.pop().close()


def app() -> Flask:
    """The web application of this environment, in the worker process that serves it."""
    try:
        settings = load(os.environ)
        setup(settings.log_format)
        parts = join(settings, settings.needed_database_url)
        # Beside the first requests: learning takes two seconds, and most messages need none of it.
        # No daemon: a thread that is cut off within a library in C++ when Python ends aborts the whole process.
        threading.Thread(target=parts.search.warm, name="search").start()
        return _served(parts)
    except DatabaseDown:
        sys.stderr.write("DATABASE_URL: the database does not answer.\n")
    except (SettingsError, WrongSchema, WrongKey) as wrong:
        sys.stderr.write(f"{wrong}\n")
    sys.exit(4)  # gunicorn: the application could not be loaded, do not try again


def _served(parts: Parts) -> Flask:
    web = create_app(parts)
    Alarms(parts, bells(parts)).start()
    parts.pressure.watch()
    if line := slack_line(parts):
        _lines.append(line.open())
    return web
