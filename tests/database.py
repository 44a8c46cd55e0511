"""The database of all tests: one embedded PostgreSQL for a session; each test finds an empty database.

In conftest.py:

    postgres = pytest.fixture(scope="session")(database.postgres)
    test_database = pytest.fixture(scope="session")(database.prepared_by(migrate))
    database_url = pytest.fixture(database.database_url)
    connections_kept = pytest.fixture(scope="session", autouse=True)(database.connections_kept)
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
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from bot.store.embedded import DATABASE, Embedded, EmbeddedFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MEMORY = Path("/dev/shm")  # a copy takes 10 ms there and up to 200 ms on a disk
MEMORY_BYTES = 1_000_000_000
PREFIX = f"ally-tests-{os.geteuid()}-"
ABANDONED_SECONDS = 600
MANY_TIMES = 40  # rows that were deleted stay where they were until PostgreSQL tidies up, which it does once a minute
OWN = ("own_database", "processes", "world")
AS_NEW = "unlisten *; reset all; select pg_advisory_unlock_all(); set application_name = 'spare'"
OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> all(%s)
"""
# Whatever is made, changed or taken away leaves another transaction's mark at what PostgreSQL knows of it.
SHAPE = """
with ours as (select oid from pg_class where relnamespace = 'public'::regnamespace),
marks as (
    select xmin from pg_class where oid in (select oid from ours)
    union all select xmin from pg_attribute where attrelid in (select oid from ours)
    union all select xmin from pg_constraint
    union all select xmin from pg_trigger
    union all select xmin from pg_proc where pronamespace = 'public'::regnamespace
    union all select xmin from pg_namespace where nspname !~ '^pg_'
    union all select xmin from pg_database where datname = current_database()
    union all select xmin from alembic_version
    union all select xmin from compatible
)
select count(*), max(xmin::text::bigint) from marks
"""
EMPTYING = """
create function pg_temp.emptied() returns void language plpgsql as $$
declare one text; filled boolean;
begin
    set local session_replication_role = replica;
    for one in select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace
        and relkind = 'r' and relname not in ('alembic_version', 'compatible')
    loop
        execute 'select exists (select from ' || one || ')' into filled;
        if filled then execute 'delete from ' || one; end if;
    end loop;
    perform setval(seqrelid, seqstart, false) from pg_sequence;
end $$
"""


class TestDatabase:
    """Databases that are copies of one that `prepare(url)` filled once.

    `prepare` gets an SQLAlchemy URL and must have closed its connections when it returns.
    """

    __test__ = False

    def __init__(self, server: Embedded, prepare: Callable[[str], None]) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._template = f"template_{uuid.uuid4().hex[:12]}"
        self._lent: _Lent | None = None
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
        self._run("DROP DATABASE {} WITH (FORCE)", _name(url))

    def lend(self) -> str:
        """The URL of a database in which nothing stands; say `take_back` when the test is over."""
        if self._lent is None:
            self._lent = _Lent(self.fresh())
        return self._lent.url

    def take_back(self) -> None:
        """Empty what was lent: for the next test that is faster than a copy, and PostgreSQL knows its tables already.

        Where they were changed, or somebody is still connected, the next test gets a copy; and every now and then.
        """
        if self._lent is not None and not self._lent.emptied():
            self.close()

    def close(self) -> None:
        """Let go of what was lent."""
        if self._lent is not None:
            self._lent.close()
            self.drop(self._lent.url)
            self._lent = None

    def _url(self, name: str) -> str:
        return self._server.url.replace(f"@/{DATABASE}?", f"@/{name}?", 1)

    def _run(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(_plain(self._server.url), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class _Lent:
    """A database that is emptied after each test, over a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(_plain(url), autocommit=True, application_name="tests")
        self._connection.execute(EMPTYING)
        self._shape = self._read_shape()
        self._times = 0
        SPARE.keep_of(_name(url))

    def emptied(self) -> bool:
        """Whether nothing stands in it any more, its tables are as they were and nobody but us is connected.

        After `MANY_TIMES` it is none either: PostgreSQL wades through what was deleted.
        """
        self._times += 1
        if self._times >= MANY_TIMES:
            return False
        try:
            ours = [self._connection.info.backend_pid, *SPARE.pids(_name(self.url))]
            if self._connection.execute(OTHERS, [ours]).fetchone() != (0,) or self._read_shape() != self._shape:
                return False
            self._connection.execute("select pg_temp.emptied()")
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        """Close all connections to it."""
        SPARE.forget(_name(self.url))
        self._connection.close()

    def _read_shape(self) -> object:
        return self._connection.execute(SHAPE).fetchone()


class _Spare:
    """Connections that an engine closed: the next engine of the same database goes on with them.

    PostgreSQL has learned over them what the tables are like, which takes it longer than most of what a test asks.
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[psycopg.Connection[Any]]] = {}

    def keep_of(self, name: str) -> None:
        """Keep those of this database from now on."""
        self._kept[name] = []

    def forget(self, name: str) -> None:
        """Close those of this database, and keep them no more."""
        for one in self._kept.pop(name, []):
            one.close()

    def pids(self, name: str) -> list[int]:
        """The processes that serve them."""
        return [one.info.backend_pid for one in self._kept.get(name, []) if not one.closed]

    def take(self, how: Mapping[str, Any]) -> psycopg.Connection[Any] | None:
        """One that is as good as new, if there is any."""
        kept = self._kept.get(str(how.get("dbname")), [])
        while kept:
            connection = kept.pop()
            with suppress(psycopg.Error):
                named = ("select set_config('application_name', %s, false)", [how.get("application_name", "")])
                connection.execute(*named)
                connection.commit()
                return connection
        return None

    def put(self, connection: psycopg.Connection[Any]) -> None:
        """Keep it, or close it."""
        kept = None if connection.closed else self._kept.get(connection.info.dbname)
        if kept is None:
            connection.close()
            return
        try:
            connection.rollback()
            connection.autocommit = False
            connection.execute(AS_NEW)
            connection.commit()
            kept.append(connection)
        except psycopg.Error:
            connection.close()


SPARE = _Spare()


def _plain(url: str) -> str:
    return url.replace("+psycopg", "", 1)


def _name(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


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
        made = TestDatabase(postgres, prepare)
        yield made
        made.close()

    return test_database


def database_url(request: pytest.FixtureRequest, test_database: TestDatabase) -> Iterator[str]:
    """Fixture: the SQLAlchemy URL of an empty database; with one of `OWN`, of a copy that no other test ever sees."""
    if not any(request.node.get_closest_marker(name) for name in OWN):
        yield test_database.lend()
        test_database.take_back()
        return
    url = test_database.fresh()
    yield url
    test_database.drop(url)


def connections_kept() -> Iterator[None]:
    """Session fixture: what an engine closes, the next one goes on with."""
    anew = PGDialect_psycopg.connect

    def connect(self: PGDialect_psycopg, *address: Any, **how: Any) -> Any:
        return SPARE.take(how) or anew(self, *address, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PGDialect_psycopg, "connect", connect)
        patch.setattr(PGDialect_psycopg, "do_close", lambda _self, connection: SPARE.put(connection))
        yield


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
