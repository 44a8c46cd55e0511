"""Nothing grows for ever: every table has a rule that bounds it, and every rule is carried out, in bounded batches."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, text

from bot.store import bounds, conversations, housekeeping, people, tables
from bot.store.bounds import AGED, FEW, WITH
from bot.store.engine import connect, reading
from bot.store.storage import STORAGE
from tests.botkit import ANA

TABLES = tables.metadata.tables
RETENTION = timedelta(days=90)


@pytest.fixture
def engine(database_url):
    made = connect(database_url, pool=2)
    yield made
    made.dispose()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_one_rule_that_bounds_it(name):
    rules = [name in AGED, name in WITH, name in FEW]
    assert sum(rules) == 1, f"{name}: write into bot/store/bounds.py what keeps this table from growing for ever"


def test_no_rule_is_about_a_table_that_is_not_there():
    assert {*AGED, *WITH, *FEW} == set(TABLES)


@pytest.mark.parametrize(("name", "owner"), sorted(WITH.items()))
def test_what_goes_with_something_else_is_taken_along_by_the_database(name, owner):
    keys = [key for key in TABLES[name].foreign_keys if key.column.table.name == owner]
    assert "CASCADE" in {key.ondelete for key in keys}


@pytest.mark.parametrize("name", sorted(AGED))
def test_what_has_had_its_time_is_found_by_an_index(name, engine, now):
    """With sequences forbidden PostgreSQL takes an index if there is one; a condition on it is more than a filter."""
    query = select(func.count()).select_from(TABLES[name]).where(AGED[name].over(now, RETENTION))
    words = query.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.begin() as db:
        db.execute(text("set local enable_seqscan = off"))
        plan = "\n".join(db.exec_driver_sql(f"explain {words}").scalars())
    assert "Index Cond" in plan
    assert "Seq Scan" not in plan


def referring():
    """Each column of a large table that refers to rows which go by themselves."""
    for table in tables.metadata.sorted_tables:
        for key in table.foreign_keys:
            large = table.name not in FEW and WITH.get(table.name) != "agency"
            if large and key.column.table.name in {*AGED, "secret"}:
                yield f"{table.name}.{key.parent.name}"


@pytest.mark.parametrize("column", sorted(referring()))
def test_whoever_refers_to_a_row_that_goes_is_found_by_an_index(column, engine):
    """PostgreSQL looks for them at each deletion; without an index it reads the whole table for each row."""
    table, _, name = column.partition(".")
    missing = "-1" if TABLES[table].c[name].type.python_type is int else "00000000-0000-0000-0000-000000000000"
    with engine.begin() as db:
        db.execute(text("set local enable_seqscan = off"))
        found = db.exec_driver_sql(f"explain select 1 from \"{table}\" where {name} = '{missing}'").scalars()
        assert "Index Cond" in "\n".join(found)


@pytest.fixture
def now(kit):
    return kit.clock.now()


def letters(kit, count, age):
    with kit.engine.begin() as db:
        row = {"event": {}, "error": "x", "at": kit.clock.now() - age}
        db.execute(insert(tables.dead_letter), [row] * count)


def test_only_what_is_older_than_the_operator_keeps_anything_is_erased(kit):
    letters(kit, 2, RETENTION)
    letters(kit, 3, RETENTION + timedelta(seconds=1))
    with kit.engine.begin() as db:
        assert bounds.erase(db, tables.dead_letter, kit.clock.now(), RETENTION) == 3
    assert len(kit.rows(tables.dead_letter)) == 2


def test_erasing_goes_in_bounded_batches_and_says_whether_more_is_left(kit):
    letters(kit, 5, timedelta(days=91))
    with kit.engine.begin() as db:
        found = [bounds.erase_all(db, kit.clock.now(), RETENTION, most=2) for _ in range(3)]
    assert found == [True, True, False]
    assert kit.rows(tables.dead_letter) == []


def test_what_is_left_of_a_batch_goes_at_the_next_look_and_not_a_minute_later(kit, monkeypatch):
    monkeypatch.setattr(bounds, "erase_all", lambda *_: next(left))
    left = iter([True, True, False])
    for _ in range(3):
        kit.worker._sweep(kit.clock.now())
        kit.clock.move(seconds=1)
    kit.worker._sweep(kit.clock.now())  # a fourth batch would find `left` at its end
    assert list(left) == []


def test_a_row_that_somebody_holds_is_passed_over(kit):
    letters(kit, 2, timedelta(days=91))
    held, _ = kit.rows(tables.dead_letter)
    with kit.engine.begin() as other, kit.engine.begin() as db:
        other.execute(select(tables.dead_letter).where(tables.dead_letter.c.id == held.id).with_for_update())
        assert bounds.erase(db, tables.dead_letter, kit.clock.now(), RETENTION) == 1
    assert kit.rows(tables.dead_letter) == [held]


def test_nothing_personal_is_kept_longer_than_the_operator_said(kit):
    """A shorter time than our own counts, but for records that hold opaque ids only."""
    now = kit.clock.now()
    records = {name for name, rule in AGED.items() if rule.records}
    assert records == {"audit", "case"}
    a_day = timedelta(days=1)
    for name in set(AGED) - records:
        assert str(AGED[name].over(now, timedelta())) == str(AGED[name].over(now, a_day))
        right = AGED[name].over(now, a_day).compile().params.values()
        assert min(value for value in right if hasattr(value, "year")) >= now - a_day


def test_the_audit_is_kept_for_two_years(kit):
    kit.clock.time = datetime.now(UTC) - timedelta(days=731)  # the database, too, lets nothing younger go
    with kit.engine.begin() as db:
        housekeeping.audit_entry(db, kit.clock.now(), actor="a", action="b", subject="c")
    sweep(kit, days=730)
    assert len(kit.rows(tables.audit)) == 1
    sweep(kit, seconds=1)
    assert kit.rows(tables.audit) == []


def test_the_ids_of_messages_are_kept_for_a_week(kit):
    kit.say("oi")
    sweep(kit, days=7)
    assert kit.rows(tables.inbound)
    sweep(kit, seconds=1)
    assert kit.rows(tables.inbound) == []


def sweep(kit, **later):
    kit.clock.move(**later)
    with kit.engine.begin() as db:
        housekeeping.sweep(db, kit.clock.now(), RETENTION)


# --- how PostgreSQL keeps them ----------------------------------------------------------------------------------------


def options_of(db, name):
    """The storage settings of a table and of what lies beside it."""
    query = text(
        "select c.reloptions, t.reloptions from pg_class c left join pg_class t on t.oid = c.reltoastrelid"
        " where c.oid = to_regclass(quote_ident(:name))"
    )
    own, beside = db.execute(query, {"name": name}).one()
    return {*(own or ()), *(f"toast.{one}" for one in beside or ())}


@pytest.mark.parametrize("name", sorted(set(TABLES) - {"message"}))
def test_the_database_keeps_each_table_as_is_written_with_its_reason(name, engine):
    with reading(engine) as db:
        assert options_of(db, name) == {f"{key}={value}" for key, value in STORAGE.get(name, {}).items()}


def test_each_month_of_the_transcript_is_kept_as_is_written(kit):
    kit.worker._sweep(kit.clock.now())
    wanted = {f"{key}={value}" for key, value in STORAGE["message"].items()}
    with reading(kit.engine) as db:
        assert options_of(db, "message_rest") == options_of(db, f"message_{kit.clock.now():%Y_%m}") == wanted


def test_what_each_turn_writes_anew_touches_no_index(kit):
    """What the storage settings are for: heap-only updates, of the conversation and of its contact."""
    kit.say("oi")
    held, now = kit.held(ANA), kit.clock.now()
    query = text("select relname, n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where n_tup_upd > 0")
    with kit.engine.begin() as db:
        conversations.save(db, held.id, held.envelope, held.ticket + 1, now)
        people.touch(db, held.contact_id, window_until=now, last_message_id="SM2", name="Ana")
        counts = {name: (written, light) for name, written, light in db.execute(query)}
    for name in ("conversation", "contact"):
        written, light = counts[name]
        assert written == light > 0
