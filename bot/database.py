"""Which database: the operator's, or the embedded one below DATA_DIR."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot.settings import Settings
from bot.store import schema
from bot.store.embedded import Embedded
from bot.store.engine import connect


@contextmanager
def opened(settings: Settings, *, migrate: bool = False) -> Iterator[str]:
    """The address of the database, while it is there; as owner of the embedded one or as its guest.

    `migrate`: bring it to our schema first. Always done for the embedded one: nobody else would.
    """
    if settings.database_url:
        if migrate:
            migrated(settings.database_url)
        yield settings.database_url
        return
    with Embedded(settings.data_dir) as embedded:
        if embedded.owner or migrate:
            migrated(embedded.url)
        yield embedded.url


def migrated(url: str) -> None:
    """Bring a database to our schema."""
    engine = connect(url, pool=1)
    try:
        schema.migrate(engine)
    finally:
        engine.dispose()
