"""An upgrade while people talk: the version before works on beside this one, and this one goes on where it was."""

import json

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from bot.store import months, schema, tables
from bot.store.engine import connect
from bot.vault import Secret
from flows.conversation import Envelope
from flows.mailbox_states import AwaitingSecret
from flows.saved import VERSION
from flows.speech import texts
from tests.botkit import ADDRESS, run_sql

FIRST = "0001"
# A column that went because no version that may still be at work has used it. None so far.
GONE = frozenset()


@pytest.fixture
def engine(database_url):
    made = connect(database_url, pool=2)
    yield made
    made.dispose()


def columns(db):
    """Every column of every table: whether a row may leave it out."""
    found = inspect(db)
    there = set(found.get_table_names()) - months.partitions(db) - {"alembic_version"}
    return {
        (table, column["name"]): column["nullable"] or column["default"] is not None or "identity" in column
        for table in there
        for column in found.get_columns(table)
    }


def revisions(db):
    """All migrations, the first one first."""
    scripts = ScriptDirectory.from_config(schema._config(db))
    return [one.revision for one in scripts.walk_revisions()][::-1]


def demands(before, after):
    """What rows of the version before lack after a migration: columns that went, and new ones that must be filled."""
    went = set(before) - set(after) - GONE
    tightened = {name for name, optional in before.items() if optional and not after.get(name, True)}
    tables_before = {table for table, _ in before}
    new = {name for name, optional in after.items() if name not in before and name[0] in tables_before and not optional}
    return went | tightened | new


def test_after_each_migration_the_version_before_can_write_as_it_did(engine):
    with engine.begin() as db:
        db.exec_driver_sql("drop schema public cascade")
        db.exec_driver_sql("create schema public")
        command.upgrade(schema._config(db), FIRST)
        before, lacking = columns(db), {}
        for revision in revisions(db)[1:]:
            command.upgrade(schema._config(db), revision)
            after = columns(db)
            if found := demands(before, after):
                lacking[revision] = found
            before = after
    assert lacking == {}


def test_a_column_that_the_version_before_does_not_know_would_be_found():
    before = {("agency", "name"): False, ("agency", "closed_at"): True}
    assert demands(before, {**before, ("agency", "size"): False}) == {("agency", "size")}
    assert demands(before, {("agency", "name"): False}) == {("agency", "closed_at")}
    assert demands(before, {("agency", "name"): False, ("agency", "closed_at"): False}) == {("agency", "closed_at")}
    assert demands(before, {**before, ("agency", "size"): True, ("town", "name"): False}) == set()


def test_the_version_before_starts_on_the_schema_of_this_one(engine, monkeypatch):
    monkeypatch.setattr(schema, "SCHEMA", tables.SCHEMA - 1)
    schema.check(engine)


def test_a_talk_goes_on_where_it_was_over_an_upgrade(kit):
    """Somebody has a link to the page; the schema and the saved state are those of the version before, until now."""
    token = kit.awaiting()
    with kit.engine.begin() as db:
        command.downgrade(schema._config(db), "-1")
    with pytest.raises(schema.WrongSchema):
        schema.check(kit.engine)
    former = {**kit.held().envelope, "version": VERSION - 1}
    run_sql(kit.url, "update conversation set envelope = %(envelope)s", {"envelope": json.dumps(former)})
    schema.migrate(kit.engine)  # while this process has its connections open
    assert isinstance(kit.envelope().state, AwaitingSecret)
    assert kit.parts.links.look(token).address == ADDRESS
    assert kit.parts.links.submit(token, Secret("girafa"), "") == "taken"
    assert kit.envelope().flow == "mailbox"


def test_a_state_of_the_version_behind_is_apologised_for_and_the_talk_goes_on(kit):
    """As where this version still runs beside a newer one that was in this talk before."""
    kit.mailbox()
    newer = {**kit.held().envelope, "version": VERSION + 1, "flow": "of tomorrow"}
    run_sql(kit.url, "update conversation set envelope = %(envelope)s", {"envelope": json.dumps(newer)})
    kit.say("hello")
    kit.work()
    assert texts("en")["talk.restarted"] in kit.last().body
    assert kit.envelope() != Envelope()
    assert kit.rows(tables.dead_letter) == []
