"""What each test relies on: nobody finds what another test left in its database."""

import psycopg
import pytest

from bot.store.engine import connect
from tests.conftest import migrate
from tests.database import MANY_TIMES, TestDatabase

AGENCY = """insert into agency (id, name, language, timezone, created_at)
    values (gen_random_uuid(), 'Sol', 'en', 'UTC', now())"""
CASE_NUMBER = "select nextval(pg_get_serial_sequence('\"case\"', 'number'))"


@pytest.fixture
def made(postgres):
    test_database = TestDatabase(postgres, migrate)
    yield test_database
    test_database.close()


def told(url, statement):
    """Over an engine: one of our own that was closed is seen for a moment, nobody knows how long."""
    engine = connect(url)
    with engine.begin() as db:
        asked = db.exec_driver_sql(statement)
        row = tuple(asked.one()) if asked.returns_rows else None
    engine.dispose()
    return row


def test_the_next_test_finds_no_row_and_numbers_begin_anew(made):
    url = made.lend()
    told(url, AGENCY)
    first = told(url, CASE_NUMBER)
    made.take_back()
    assert made.lend() == url
    assert told(url, "select count(*) from agency") == (0,)
    assert told(url, CASE_NUMBER) == first


@pytest.mark.parametrize(
    "change",
    [
        "create table more (id int)",
        "alter table agency alter column name drop not null",
        "alter table agency add check (name <> 'x')",
        "drop index ix_member_agency_id",
        "create function nothing() returns void language sql as ''",
        "update compatible set schema = schema + 1",
        "create schema more",
    ],
)
def test_after_a_change_of_more_than_rows_the_next_test_gets_another_database(made, change):
    url = made.lend()
    told(url, change)
    made.take_back()
    assert made.lend() != url


def test_where_somebody_is_still_connected_the_next_test_gets_another_database(made):
    url = made.lend()
    left = psycopg.connect(url.replace("+psycopg", "", 1))
    made.take_back()
    assert made.lend() != url
    with pytest.raises(psycopg.OperationalError):
        left.execute("select 1")
    left.close()


def test_every_now_and_then_there_is_a_new_copy(made):
    urls = set()
    for _ in range(MANY_TIMES + 1):
        urls.add(made.lend())
        made.take_back()
    assert len(urls) == 2


def test_a_connection_that_an_engine_closed_serves_the_next_one_as_if_it_were_new(made):
    url = made.lend()
    pids = []
    for name in ("one", "two"):
        engine = connect(url, key=name)
        with engine.begin() as db:
            pids.append(db.exec_driver_sql("select pg_backend_pid()").scalar_one())
            assert db.exec_driver_sql("show application_name").scalar_one() == f"ally key {name}"
            assert db.exec_driver_sql("show lock_timeout").scalar_one() == "15s"
            db.exec_driver_sql("set lock_timeout = '1s'")
        engine.dispose()
    assert pids[0] == pids[1]
