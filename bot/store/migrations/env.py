"""Runs migrations on the connection that `store.schema` hands over, one process at a time."""

from alembic import context
from sqlalchemy import text

from bot.store import limits, months, tables

ADVISORY_LOCK = 4_117_465_587  # any number, as long as it is always the same

del limits  # imported for its table
connection = context.config.attributes["connection"]
connection.execute(text(f"select pg_advisory_xact_lock({ADVISORY_LOCK})"))
context.configure(
    connection=connection, target_metadata=tables.metadata, include_name=months.no_partition(connection)
)
with context.begin_transaction():
    context.run_migrations()
