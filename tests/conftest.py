"""What all tests share: one embedded PostgreSQL with a migrated template, the mail servers, the browser."""

import logging
import os

import pytest
import structlog
from xdist.scheduler import LoadFileScheduling

from bot.store import schema
from bot.store.engine import connect
from tests import database, once
from tests.botkit import kit  # noqa: F401
from tests.browser import chromium  # noqa: F401
from tests.doorway import door_at, door_authority, door_inside, door_server_context, no_waits  # noqa: F401
from tests.mailservers import mail_servers  # noqa: F401
from tests.oidc import oidc, session_oidc  # noqa: F401
from tests.rabbit import rabbit  # noqa: F401

connections_kept = pytest.fixture(scope="session", autouse=True)(database.connections_kept)
compiled_once = pytest.fixture(scope="session", autouse=True)(once.compiled_once)


def migrate(url):
    engine = connect(url, pool=1)
    schema.migrate(engine)
    engine.dispose()


postgres = pytest.fixture(scope="session")(database.postgres)
test_database = pytest.fixture(scope="session")(database.prepared_by(migrate))
database_url = pytest.fixture(database.database_url)


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch):
    """Commands run in this process set how and how much is logged; the next test hears all of it again.

    A logger that is kept at its first use would be deaf to whatever a later test sets.
    """
    configure, root = structlog.configure, logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    monkeypatch.setattr(structlog, "configure", lambda **how: configure(**{**how, "cache_logger_on_first_use": False}))
    yield
    structlog.reset_defaults()
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Twice as many as there are processors: most tests wait for a server or a browser longer than they work."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


class _ByFile(LoadFileScheduling):
    """The tests of a file run in one process, because of what they share; the stories share nothing."""

    def _split_scope(self, nodeid):
        return nodeid if nodeid.startswith("tests/test_stories.py::") else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return _ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that nobody waits for it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("world") is None)


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write the stories anew")
