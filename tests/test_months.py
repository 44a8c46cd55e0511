"""The transcript in months: converted without losing a line, made ahead of time, dropped when all in it is too old."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from sqlalchemy import insert, select, text

from bot.store import conversations, months, schema, tables
from bot.store.engine import connect, reading
from tests.botkit import ANA

MONTHS = "0015"
BEFORE = f"{MONTHS}-1"  # the last schema that had one table for all, whichever it is; as Alembic writes it
CONTACT = "11111111-1111-1111-1111-111111111111"
TALK = "22222222-2222-2222-2222-222222222222"
LIFE = """
with someone as (
    insert into contact (id, channel, address, language, created_at)
    values (:contact, 'whatsapp', '+1', 'pt', '2026-01-01Z')
), talk as (
    insert into conversation (id, contact_id, envelope, updated_at) values (:talk, :contact, '{}', '2026-01-01Z')
), lines as (
    insert into message (conversation_id, direction, text, promise_id, provider_id, status, rank, error, by, at)
    select :talk, case n % 2 when 0 then 'in' else 'out' end, 'line ' || n, n, 'SM' || n, 'read', 3, '', '',
        timestamptz '2026-01-10Z' + n * interval '1 day' from generate_series(1, 60) n
    returning id
), asked as (
    insert into "case" (conversation_id, reason, opened_at) values (:talk, 'asked', '2026-01-01Z') returning number
)
insert into case_file (id, conversation_id, case_number, message_id, name, at)
select :talk, :talk, number, (select max(id) from lines), 'a.jpg', '2026-03-01Z' from asked
"""
ONE_MORE = "insert into message (conversation_id, direction, text, at) values (:talk, 'in', 'x', '2026-05-01Z')"


def at(*day):
    return datetime(*day, tzinfo=UTC)


# --- the migration ----------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(database_url):
    made = connect(database_url, pool=5)
    yield made
    made.dispose()


def moved(engine, way, to):
    with engine.begin() as db:
        way(schema._config(db), to)


@pytest.fixture
def lived_in(engine):
    """A database of the schema before, with a transcript over three months and a file that came with a line of it."""
    moved(engine, command.downgrade, BEFORE)
    with engine.begin() as db:
        db.execute(text(LIFE), {"contact": CONTACT, "talk": TALK})
    return engine


def lines(engine):
    """Every line with all its columns by name, in order."""
    with reading(engine) as db:
        rows = db.execute(text("select * from message order by id")).all()
    return [dict(sorted(row._mapping.items())) for row in rows]


def parts(engine):
    with reading(engine) as db:
        return sorted(months.partitions(db))


def test_an_upgrade_keeps_every_line_with_all_it_had(lived_in):
    before = lines(lived_in)
    assert len(before) == 60
    moved(lived_in, command.upgrade, MONTHS)
    assert lines(lived_in) == before
    assert parts(lived_in) == ["message_rest", "message_until_2026_04"]


def test_an_upgrade_moves_no_row(lived_in):
    """Twenty million rows are not written anew: the file of the table is the same one as before."""
    file = text("select relfilenode from pg_class where relname = :name")
    with reading(lived_in) as db:
        before = db.execute(file, {"name": "message"}).scalar_one()
    moved(lived_in, command.upgrade, MONTHS)
    with reading(lived_in) as db:
        assert db.execute(file, {"name": "message_until_2026_04"}).scalar_one() == before


def test_ids_go_on_where_they_were_after_an_upgrade_and_after_the_way_back(lived_in):
    last = lines(lived_in)[-1]["id"]
    for way, to in ((command.upgrade, MONTHS), (command.downgrade, BEFORE)):
        moved(lived_in, way, to)
        with lived_in.begin() as db:
            db.execute(text(ONE_MORE), {"talk": TALK})
        last += 1
        assert lines(lived_in)[-1]["id"] == last


def test_the_way_back_keeps_every_line_of_all_months_and_what_came_with_them(lived_in):
    before = lines(lived_in)
    moved(lived_in, command.upgrade, MONTHS)
    months.tend(lived_in, at(2026, 4, 20), at(2000, 1, 1))
    moved(lived_in, command.downgrade, BEFORE)
    assert lines(lived_in) == before
    with reading(lived_in) as db:
        assert db.execute(text("select count(*) from case_file")).scalar_one() == 1
    assert parts(lived_in) == []


def test_a_database_that_came_the_long_way_is_like_one_that_began_empty(lived_in, engine):
    def described():
        with reading(engine) as db:
            columns = db.execute(text(
                "select column_name, data_type, is_nullable, column_default from information_schema.columns"
                " where table_name = 'message' order by 1"
            )).all()  # fmt: skip
            indexes = db.execute(text("select indexdef from pg_indexes where tablename = 'message' order by 1")).all()
            keys = db.execute(text(
                "select conname, pg_get_constraintdef(oid) from pg_constraint"
                " where conrelid = 'message'::regclass and contype <> 'n' order by 1"
            )).all()  # fmt: skip
        return columns, indexes, keys

    moved(engine, command.upgrade, "head")
    assert schema.differences(engine) == []
    came = described()
    with engine.begin() as db:
        db.exec_driver_sql("drop schema public cascade")
        db.exec_driver_sql("create schema public")
    schema.migrate(engine)
    assert described() == came


def test_an_empty_transcript_leaves_no_part_behind(engine):
    moved(engine, command.downgrade, BEFORE)
    moved(engine, command.upgrade, "head")
    assert parts(engine) == ["message_rest"]


# --- months -----------------------------------------------------------------------------------------------------------


def wrote(kit, *when):
    """Lines of the transcript, written at these times."""
    with kit.engine.begin() as db:
        for moment in when:
            row = {"conversation_id": kit.held(ANA).id, "direction": "in", "text": f"{moment:%m-%d}", "at": moment}
            db.execute(insert(tables.message).values(**row))


def where(kit):
    """In which part each line lies that `wrote` wrote."""
    with reading(kit.engine) as db:
        found = db.execute(text("select text, tableoid::regclass::text from message order by at")).all()
    return {line: part for line, part in found if re.fullmatch(r"\d\d-\d\d", line)}


@pytest.fixture
def talk(kit):
    kit.say("oi")
    return kit


def test_this_month_and_the_two_after_it_are_made(talk):
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
    assert parts(talk.engine) == ["message_2026_11", "message_2026_12", "message_2027_01", "message_rest"]


def test_months_are_made_once(talk):
    for _ in range(2):
        months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
    months.tend(talk.engine, at(2026, 12, 1), at(2026, 8, 1))
    assert parts(talk.engine)[:4] == ["message_2026_11", "message_2026_12", "message_2027_01", "message_2027_02"]


def test_no_month_is_made_that_lies_in_the_older_part(lived_in):
    moved(lived_in, command.upgrade, MONTHS)
    months.tend(lived_in, at(2026, 3, 31), at(2000, 1, 1))
    assert parts(lived_in) == ["message_2026_04", "message_2026_05", "message_rest", "message_until_2026_04"]


def test_each_line_lies_in_its_month_to_the_microsecond(talk):
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
    wrote(talk, at(2026, 11, 30, 23, 59, 59, 999_999), at(2026, 12, 1))
    assert where(talk) == {"11-30": "message_2026_11", "12-01": "message_2026_12"}


def test_a_line_without_a_month_is_kept_and_comes_into_its_month_when_that_is_made(talk):
    wrote(talk, at(2026, 9, 30), at(2026, 12, 24))
    assert set(where(talk).values()) == {"message_rest"}
    months.tend(talk.engine, at(2026, 12, 1), at(2026, 8, 1))
    assert where(talk) == {"09-30": "message_rest", "12-24": "message_2026_12"}


def test_a_month_is_dropped_when_all_in_it_is_too_old_and_not_a_moment_before(talk):
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
    wrote(talk, at(2026, 11, 30), at(2026, 12, 1))
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 11, 30, 23, 59, 59, 999_999))
    assert len(where(talk)) == 2
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 12, 1))
    assert where(talk) == {"12-01": "message_2026_12"}


def test_the_older_part_goes_as_a_whole_as_well(lived_in):
    moved(lived_in, command.upgrade, MONTHS)
    months.tend(lived_in, at(2026, 7, 20), at(2026, 4, 1))
    assert parts(lived_in) == ["message_2026_07", "message_2026_08", "message_2026_09", "message_rest"]
    assert lines(lived_in) == []


def test_lines_of_a_month_that_is_partly_too_old_go_one_by_one(talk):
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
    wrote(talk, at(2026, 11, 3), at(2026, 11, 4))
    talk.clock.move(seconds=(at(2026, 11, 4) + timedelta(days=90) - talk.clock.now()).total_seconds())
    talk.worker._sweep(talk.clock.now())
    assert where(talk) == {"11-04": "message_2026_11"}


def test_a_transcript_that_is_in_use_is_left_alone_and_nobody_waits_long(talk):
    """A turn that is under way holds it; we ask for a fifth of a second and come back later."""
    with talk.engine.begin() as turn:
        conversations.note(turn, talk.held(ANA).id, [("in", "x", None)], talk.clock.now())
        months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
        assert parts(talk.engine) == ["message_rest"]
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
    assert "message_2026_11" in parts(talk.engine)


def test_a_turn_reads_and_writes_the_same_with_months_as_without(talk):
    months.tend(talk.engine, talk.clock.now(), at(2000, 1, 1))
    talk.say("menu")
    talk.work()
    assert [line for line in talk.transcript() if "menu" in str(line)]
    with reading(talk.engine) as db:
        statuses = (
            db.execute(select(tables.message.c.provider_id).where(tables.message.c.direction == "out")).scalars().all()
        )
        assert statuses
        assert all(statuses)


def test_a_person_who_is_erased_is_erased_from_every_month(talk):
    months.tend(talk.engine, at(2026, 11, 27), at(2026, 8, 1))
    wrote(talk, at(2026, 11, 3), at(2026, 12, 3), at(2025, 1, 1))
    with talk.engine.begin() as db:
        db.execute(tables.contact.delete())
    assert talk.rows(tables.message) == []
