"""The way to PostgreSQL."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout, TransactionTimeout
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

__all__ = ["Connection", "DatabaseDown", "Engine", "Row", "connect", "driver_url", "reading", "straight", "together"]

# A process that freezes in the middle of a turn must not hold its conversation for ever, nor a machine that vanished
# without a word: of that PostgreSQL would hear by TCP after two hours.
PATIENCE = (
    "-c lock_timeout=15s -c idle_in_transaction_session_timeout=20s "
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=25s "
    "-c client_connection_check_interval=10s"
)
# The same from our side: behind a dead wire nobody waits for an answer for longer.
ALIVE: Mapping[str, int] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}
OUR_NAME = "ally"  # every connection of ours begins so
WITH_KEY = f"{OUR_NAME} key "  # and that of a process that seals tells its key
CUT_OFF = (IdleInTransactionSessionTimeout, TransactionTimeout)  # by PATIENCE
DatabaseDown = (OperationalError, InterfaceError, PoolTimeout)  # come back later; nothing was done
_JSON = json.JSONEncoder(ensure_ascii=False)
Row = Any  # its columns are known by the query that made it


def driver_url(url: str) -> str:
    """A database address in the one form that SQLAlchemy takes; `postgres://` and `postgresql://` are the same thing.

    Raises ValueError when it is no PostgreSQL address.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError("it must begin with postgresql://")
    address = f"postgresql+psycopg://{rest}"
    try:
        make_url(address)
    except (ArgumentError, ValueError):  # without what stands in it: that may be a password
        raise ValueError("it is no address such as postgresql://user:password@host/name") from None
    return address


def connect(url: str, *, pool: int = 20, key: str = "") -> Engine:
    """An engine with a bounded pool. Bound values never stand in its exceptions: they may be personal.

    `key`: the id of the key that this process seals with, to be seen by whoever rotates keys (`secrets.at_work`).
    """
    name = f"{WITH_KEY}{key}" if key else OUR_NAME
    engine = create_engine(
        make_url(driver_url(url)),
        hide_parameters=True,
        pool_size=pool,
        max_overflow=pool,
        pool_pre_ping=False,
        pool_use_lifo=True,
        pool_timeout=10,
        json_serializer=_JSON.encode,
        connect_args={"connect_timeout": 5, "application_name": name, "options": PATIENCE, **ALIVE},
    )
    event.listen(engine.dialect, "handle_error", _cut_off)
    return engine


@contextmanager
def together(db: Connection) -> Iterator[None]:
    """Send statements whose results nobody reads in one go, instead of one way to PostgreSQL and back for each.

    What PostgreSQL has against one of them is raised at a later one, or when all have left; either way it is one of
    SQLAlchemy's errors, DatabaseDown among them. https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html
    """
    driver: Any = db.connection.driver_connection
    try:
        with driver.pipeline():
            yield
    except psycopg.Error as error:
        raise _as_ours(db, error) from None


def straight(db: Connection, statement: str, values: Mapping[str, object]) -> list[Row]:
    """Run a statement as it is written, with `%(name)s` for values, where SQLAlchemy would cost more than PostgreSQL.

    What PostgreSQL has against it is one of SQLAlchemy's errors, as everywhere.
    """
    driver: Any = db.connection.driver_connection
    try:
        with driver.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        raise _as_ours(db, error) from None


def _as_ours(db: Connection, error: psycopg.Error) -> DBAPIError:
    """SQLAlchemy's error for one of the driver's; a connection that is gone is not used again."""
    driver: Any = db.connection.driver_connection
    if driver.closed:
        db.invalidate(error)
    if _is_cut_off(error):
        return _down(error)
    found: Any = DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True)
    return cast("DBAPIError", found)


def _cut_off(context: ExceptionContext) -> OperationalError | None:
    """Whom PostgreSQL cut off hears it as if it had been away: nothing was done, and the connection is of no use."""
    error = context.original_exception
    if not (isinstance(error, psycopg.Error) and _is_cut_off(error)):
        return None
    context.is_disconnect = True
    return _down(error)


def _is_cut_off(error: psycopg.Error) -> bool:
    """Ended by PATIENCE; or more or fewer answers came than were asked for, as when PostgreSQL ends in the middle.

    psycopg counts both among the faults of a program; the latter comes from itself and so has no SQLSTATE.
    """
    return isinstance(error, CUT_OFF) or (isinstance(error, psycopg.InternalError) and error.sqlstate is None)


def _down(error: psycopg.Error) -> OperationalError:
    return OperationalError(None, None, error, hide_parameters=True, connection_invalidated=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for looking things up, without a transaction of its own."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
