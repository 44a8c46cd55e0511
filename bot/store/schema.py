"""Which schema stands in the database, and whether this code may work on it.

Code starts on its own schema or on a newer one that says it is compatible, never on an older one. So a newer schema can
be put in place first, and the machines be updated one by one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, select, text
from sqlalchemy.exc import ProgrammingError

from bot.store import months
from bot.store.engine import Connection, Engine
from bot.store.tables import SCHEMA, compatible

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


class WrongSchema(Exception):
    """The database is not as this code needs it; the message is one plain sentence with the remedy."""


def migrate(engine: Engine, to: str = "head") -> None:
    """Bring the database to this code's schema. One process at a time; the others wait."""
    from alembic import command  # noqa: PLC0415 - 12 MB that no serving process needs

    with engine.begin() as db:
        db.execute(text("set local lock_timeout = 0"))  # the others wait as long as a migration takes
        command.upgrade(_config(db), to)


def draft(engine: Engine, what: str) -> None:
    """Write a migration from the difference between database and tables, to be read and completed."""
    from alembic import command  # noqa: PLC0415 - see migrate

    with engine.begin() as db:
        command.revision(_config(db), what, autogenerate=True)


def differences(engine: Engine) -> list[object]:
    """What a migrated database still lacks of the tables in the code; nothing, if the migrations are complete."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - only tests and drafts need it
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    from bot.store import limits, tables  # noqa: PLC0415

    del limits  # its table belongs to the same metadata
    with engine.connect() as db:
        opts = {"include_name": months.no_partition(db)}
        return list(compare_metadata(MigrationContext.configure(db, opts=opts), tables.metadata))


def _config(db: Connection) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see migrate

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = db
    return config


def check(engine: Engine) -> None:
    """Raise WrongSchema unless this code may work on the database."""
    with engine.connect() as db:
        found, oldest_code = _stands(db)
    if found < SCHEMA:
        raise WrongSchema(
            f"DATABASE_URL: the database has schema {found} and this version needs {SCHEMA}; run: python -m bot migrate"
        )
    if oldest_code > SCHEMA:
        raise WrongSchema(
            f"DATABASE_URL: the database has schema {found}, which this version is too old for; "
            "install the newer version."
        )


def _stands(db: Connection) -> tuple[int, int]:
    if not inspect(db).has_table(compatible.name):
        return 0, 0
    try:
        row = db.execute(select(compatible.c.schema, compatible.c.oldest_code)).one_or_none()
    except ProgrammingError:
        return 0, 0
    return (row.schema, row.oldest_code) if row else (0, 0)
