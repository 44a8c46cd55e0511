"""Which database: the operator's, or the embedded one below DATA_DIR."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from bot.settings import Settings
from bot.store import schema
from bot.store.embedded import Embedded
from bot.store.engine import connect

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Database:
    """The database while it is there: its address, and the embedded server if it is one."""

    url: str
    embedded: Embedded | None = None

    def look(self) -> None:
        """Bring an embedded server back that died. Raises EmbeddedFailed."""
        if self.embedded is not None and self.embedded.ended:
            _log.error("PostgreSQL ended and is started again")
            self.embedded.start()


@contextmanager
def kept(settings: Settings, *, migrate: bool = False) -> Iterator[Database]:
    """The database, as owner of the embedded one or as its guest.

    `migrate`: bring it to our schema first. Always done for the embedded one: nobody else would.
    """
    if settings.database_url:
        if migrate:
            migrated(settings.database_url)
        yield Database(settings.database_url)
        return
    with Embedded(settings.data_dir) as embedded:
        if embedded.owner or migrate:
            migrated(embedded.url)
        yield Database(embedded.url, embedded)


@contextmanager
def opened(settings: Settings, *, migrate: bool = False) -> Iterator[str]:
    """The address of the database, for what does not live long enough to see it die; see `kept`."""
    with kept(settings, migrate=migrate) as database:
        yield database.url


def migrated(url: str) -> None:
    """Bring a database to our schema."""
    engine = connect(url, pool=1)
    try:
        schema.migrate(engine)
    finally:
        engine.dispose()
