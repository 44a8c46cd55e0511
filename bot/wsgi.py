"""What gunicorn loads: `bot.wsgi:app()`."""

import os
import sys
import threading
from collections.abc import Callable

from flask import Flask

from bot.alarms import Alarms, bells
from bot.app import Parts, create_app, join
from bot.log import setup
from bot.safe import WrongKey
from bot.settings import SettingsError, load
from bot.store.engine import DatabaseDown
from bot.store.schema import WrongSchema
from bot.web.slack import slack_line

_ends: list[Callable[[], None]] = []  # what is to be called when the process that serves ends


def close() -> None:
    """Let go of what we hold open, when the process that serves ends; `deploy/gunicorn.py` says so."""
    while _ends:
        _ends.pop()()


def app() -> Flask:
    """The web application of this environment, in the worker process that serves it."""
    try:
        settings = load(os.environ)
        setup(settings.log_format)
        parts = join(settings, settings.needed_database_url)
        _learn(parts)
        return _served(parts)
    except DatabaseDown:
        sys.stderr.write("DATABASE_URL: the database does not answer.\n")
    except (SettingsError, WrongSchema, WrongKey) as wrong:
        sys.stderr.write(f"{wrong}\n")
    sys.exit(4)  # gunicorn: the application could not be loaded, do not try again


def _learn(parts: Parts) -> None:
    """Beside the first requests: it takes seconds where nobody has learnt the guide, and most messages need none."""
    learning = threading.Thread(target=parts.search.warm, name="search", daemon=True)
    learning.start()
    # Python must not end meanwhile: cut off within a library in C++ it aborts, and no module can be loaded any more.
    _ends.append(learning.join)


def _served(parts: Parts) -> Flask:
    web = create_app(parts)
    Alarms(parts, bells(parts)).start()
    parts.pressure.watch()
    if line := slack_line(parts):
        _ends.append(line.open().close)
    return web
