"""The schema: migrations make what the code's tables say, and code works on no database that it does not know."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, select

from bot.store import limits, months, schema, tables
from bot.store.engine import connect, driver_url
from bot.store.schema import WrongSchema
from bot.store.tables import SCHEMA
from tests.botkit import run_sql

ROOT = Path(__file__).parent.parent


@pytest.fixture
def engine(database_url):
    made = connect(database_url, pool=5)
    yield made
    made.dispose()


def emptied(engine):
    with engine.begin() as db:
        db.exec_driver_sql("drop schema public cascade")
        db.exec_driver_sql("create schema public")


def names(engine):
    with engine.connect() as db:
        return set(inspect(db).get_table_names()) - months.partitions(db)


def test_a_migrated_database_is_what_the_tables_say(engine):
    assert schema.differences(engine) == []
    assert names(engine) == {*tables.metadata.tables, "alembic_version"}
    assert limits.limit_hit.name in names(engine)


def test_a_column_that_no_migration_makes_is_found(engine):
    with engine.begin() as db:
        db.exec_driver_sql("alter table agency drop column closed_at")
    assert "closed_at" in str(schema.differences(engine))


def test_code_starts_on_its_own_schema(engine):
    schema.check(engine)


def test_code_does_not_start_on_an_empty_database(engine):
    emptied(engine)
    with pytest.raises(WrongSchema, match="python -m bot migrate"):
        schema.check(engine)


def test_code_does_not_start_on_an_older_schema(engine, database_url):
    run_sql(database_url, f"update compatible set schema = {SCHEMA - 1}")
    with pytest.raises(WrongSchema) as wrong:
        schema.check(engine)
    assert str(wrong.value) == (
        f"DATABASE_URL: the database has schema {SCHEMA - 1} and this version needs {SCHEMA}; "
        "run: python -m bot migrate"
    )


def test_code_starts_on_a_newer_schema_that_says_it_is_compatible(engine, database_url):
    run_sql(database_url, f"update compatible set schema = {SCHEMA + 3}, oldest_code = {SCHEMA}")
    schema.check(engine)


def test_code_does_not_start_on_a_newer_schema_that_has_no_place_for_it(engine, database_url):
    run_sql(database_url, f"update compatible set schema = {SCHEMA + 3}, oldest_code = {SCHEMA + 1}")
    with pytest.raises(WrongSchema, match="newer version"):
        schema.check(engine)


def test_a_lost_note_on_compatibility_counts_as_no_schema(engine, database_url):
    run_sql(database_url, "delete from compatible")
    with pytest.raises(WrongSchema):
        schema.check(engine)


def test_there_is_one_note_on_compatibility(database_url):
    with pytest.raises(Exception, match="pk_compatible"):
        run_sql(database_url, "insert into compatible (schema, oldest_code) values (1, 1)")


def test_migrating_again_changes_nothing(engine):
    before = names(engine)
    schema.migrate(engine)
    assert names(engine) == before
    assert schema.differences(engine) == []


def test_several_processes_that_migrate_at_once_wait_for_one_another(engine):
    emptied(engine)
    url = engine.url.render_as_string(hide_password=False)
    command_line = [sys.executable, "-c", "import sys; from bot.database import migrated; migrated(sys.argv[1])", url]
    processes = [subprocess.Popen(command_line, cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    schema.check(engine)
    assert schema.differences(engine) == []


def test_a_migration_that_fails_leaves_nothing_behind(engine, monkeypatch):
    emptied(engine)

    def half(config, to):
        upgrade(config, to)
        raise RuntimeError("in the middle")

    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", half)
    with pytest.raises(RuntimeError):
        schema.migrate(engine)
    assert names(engine) == set()


def test_the_way_back_leads_to_an_empty_database(engine):
    with engine.begin() as db:
        command.downgrade(schema._config(db), "base")
    assert names(engine) == {"alembic_version"}


OLD = "11111111-1111-1111-1111-111111111111"


def upgraded_from_the_first(engine):
    """A database of schema 1 with an agency in it, migrated by this code; the agency as it is then."""
    emptied(engine)
    with engine.begin() as db:
        command.upgrade(schema._config(db), "0001")
        db.exec_driver_sql(
            "insert into agency (id, name, language, timezone, created_at)"
            f" values ('{OLD}', 'Agência Sol', 'pt', 'America/Sao_Paulo', '2026-01-05T12:00Z')"
        )
    with pytest.raises(WrongSchema):
        schema.check(engine)
    schema.migrate(engine)
    with engine.connect() as db:
        return db.execute(tables.agency.select()).one()


def test_an_agency_of_the_first_schema_keeps_all_it_had_and_demands_no_server(engine):
    agency = upgraded_from_the_first(engine)
    assert (str(agency.id), agency.name, agency.language, agency.timezone) == (
        OLD, "Agência Sol", "pt", "America/Sao_Paulo",
    )  # fmt: skip
    assert (agency.host, agency.port, agency.security, agency.server_rule) == ("", 0, "", "warn")
    assert agency.closed_at is None


def test_a_database_of_the_first_schema_becomes_one_that_this_code_works_on(engine):
    upgraded_from_the_first(engine)
    schema.check(engine)
    assert schema.differences(engine) == []


def test_a_rule_for_other_servers_that_is_none_is_refused_by_the_database(engine, database_url):
    upgraded_from_the_first(engine)
    with pytest.raises(Exception, match="ck_agency_server_rule"):
        run_sql(database_url, "update agency set server_rule = 'kind'")


@pytest.mark.parametrize("address", ["postgres://h/d", "postgresql://h/d", "postgresql+psycopg://h/d"])
def test_all_ways_to_write_a_database_address_are_the_same(address):
    assert driver_url(address) == "postgresql+psycopg://h/d"


@pytest.mark.parametrize("address", ["", "mysql://h/d", "sqlite:///x", "postgresql", "//h/d", "postgresql://h:port/d"])
def test_what_is_no_postgresql_address_is_refused_without_repeating_it(address):
    with pytest.raises(ValueError, match="it ") as wrong:
        driver_url(address)
    assert "port/d" not in str(wrong.value)


def test_no_bound_value_stands_in_the_words_of_a_database_error(engine):
    with pytest.raises(Exception, match="NotNullViolation") as error, engine.begin() as db:
        db.execute(tables.agency.insert().values(id=None, name="girafa-azul"))
    assert "girafa" not in str(error.value).partition("DETAIL")[0]


def test_after_all_migrations_the_database_says_the_number_that_the_code_knows(database_url):
    engine = connect(database_url, pool=1)
    with engine.begin() as db:
        assert db.execute(select(tables.compatible.c.schema)).scalar_one() == SCHEMA
    engine.dispose()
