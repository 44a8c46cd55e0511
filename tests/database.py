"""The database of all tests: one embedded PostgreSQL for a session, and for each test a copy of one prepared database.

In conftest.py:

    postgres = pytest.fixture(scope="session")(database.postgres)
    test_database = pytest.fixture(scope="session")(database.prepared_by(migrate))
    database_url = pytest.fixture(database.database_url)
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import sql

from bot.store.embedded import DATABASE, Embedded, EmbeddedFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = Path("/dev/shm")  # a copy takes 10 ms there and up to 200 ms on a disk
MEMORY_BYTES = 1_000_000_000
PREFIX = f"ally-tests-{os.geteuid()}-"
ABANDONED_SECONDS = 600


class TestDatabase:
    """Databases that are copies of one that `prepare(url)` filled once.

    `prepare` gets an SQLAlchemy URL and must have closed its connections when it returns.
    """

    __test__ = False

    def __init__(self, server: Embedded, prepare: Callable[[str], None]) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._template = f"template_{uuid.uuid4().hex[:12]}"
        self._run("CREATE DATABASE {}", self._template)
        prepare(self._url(self._template))
        self._run("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false", self._template)

    def fresh(self) -> str:
        """The SQLAlchemy URL of a new copy; give it to `drop` when the test is over."""
        name = f"{self._template}_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, self._template)
        return self._url(name)

    def drop(self, url: str) -> None:
        """Drop a copy, even where a connection was left open."""
        name = url.partition("@/")[2].partition("?")[0]
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _url(self, name: str) -> str:
        return self._server.url.replace(f"@/{DATABASE}?", f"@/{name}?", 1)

    def _run(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self._server.url.replace("+psycopg", "", 1), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def fast_place() -> Path:
    """Memory, where there is enough of it (containers often have 64 MB only)."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    return MEMORY if roomy else Path(tempfile.gettempdir())


def postgres() -> Iterator[Embedded]:
    """Session fixture: a server that nobody else uses, in memory where there is room; gone afterwards."""
    place = fast_place()
    _remove_abandoned(place)
    home = place / f"{PREFIX}{uuid.uuid4().hex[:12]}"
    try:
        with Embedded(home, durable=False) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


def prepared_by(prepare: Callable[[str], None]) -> Callable[[Embedded], Iterator[TestDatabase]]:
    """Session fixture `test_database`: the copies of what `prepare(url)` made, such as the newest schema."""

    def test_database(postgres: Embedded) -> Iterator[TestDatabase]:
        yield TestDatabase(postgres, prepare)

    return test_database


def database_url(test_database: TestDatabase) -> Iterator[str]:
    """Fixture: the SQLAlchemy URL of a database of the test's own."""
    url = test_database.fresh()
    yield url
    test_database.drop(url)


def _remove_abandoned(place: Path) -> None:
    """A session that was killed left its server running; those that still live hold their locks."""
    for lock in place.glob(f"{PREFIX}*/pg.lock"):
        with suppress(EmbeddedFailed, FileNotFoundError):
            if time.time() - lock.stat().st_mtime < ABANDONED_SECONDS:
                continue
            with Embedded(lock.parent, durable=False) as left:
                abandoned = left.owner
            if abandoned:
                shutil.rmtree(lock.parent, ignore_errors=True)
