"""Limits: the storage gives the answers of the library's own, holds under concurrency, and the table is applied."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from types import SimpleNamespace
from typing import TYPE_CHECKING, get_args

import limits.storage.memory
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from structlog.testing import capture_logs

from bot import turns
from bot.door import protocol
from bot.limits import LIMITS, Act, Allowed, Exhausted, Limits, Name, _counts, _items, _minutes, source
from bot.log import Seldom
from bot.store import bounds
from bot.store.engine import connect
from bot.store.limits import PostgresStorage, limit_hit, refusals
from flows import compose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limits.storage import Storage

    from bot.store.engine import Connection, Engine

START = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
THREADS = 8
fresh_key = map("key {}".format, itertools.count()).__next__


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def move(self, by: timedelta) -> None:
        self.time += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(database_url) -> Iterator[Engine]:
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def db(engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


@pytest.fixture
def ours(db, clock) -> PostgresStorage:
    return PostgresStorage(db, clock.now)


@pytest.fixture
def theirs(clock, monkeypatch) -> Iterator[MemoryStorage]:
    """The library's own storage, on our clock."""
    monkeypatch.setattr(limits.storage.memory, "time", SimpleNamespace(time=lambda: clock.now().timestamp()))
    storage = MemoryStorage()
    yield storage
    storage.timer.join()


@pytest.fixture(params=["ours", "theirs"])
def storage(request) -> Storage:
    return request.getfixturevalue(request.param)


@pytest.fixture
def allow(engine, clock):
    return Limits(engine, clock).allow


def forget_expired(db, now, most=bounds.BATCH):
    """The housekeeping erases what ended before a moment; here: at it, too."""
    return bounds.erase(db, limit_hit, now + timedelta(microseconds=1), DAY, most)


def times(allow, number: int, *what: str) -> list[object]:
    return [allow(*what) for _ in range(number)]


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(limit_hit))


# The storage: every case over the library's own and over ours.


def test_as_many_pass_as_the_limit_says_and_then_none(storage):
    window = MovingWindowRateLimiter(storage)
    assert [window.hit(parse("3/minute"), "k") for _ in range(5)] == [True, True, True, False, False]


def test_the_window_moves_so_that_each_hit_is_free_again_after_its_own_minute(storage, clock):
    window, twice = MovingWindowRateLimiter(storage), parse("2/minute")
    assert window.hit(twice, "k")
    clock.move(MINUTE / 2)
    assert window.hit(twice, "k")
    clock.move(MINUTE / 2 + timedelta(seconds=1))
    assert [window.hit(twice, "k") for _ in range(2)] == [True, False]
    clock.move(MINUTE / 2)
    assert [window.hit(twice, "k") for _ in range(2)] == [True, False]


def test_at_the_edge_of_two_minutes_not_twice_the_limit_passes(storage, clock):
    window, ten = MovingWindowRateLimiter(storage), parse("10/minute")
    clock.move(timedelta(seconds=29))
    assert all(window.hit(ten, "k") for _ in range(10))
    clock.move(timedelta(seconds=2))
    assert not window.hit(ten, "k")


def test_what_is_refused_does_not_count(storage, clock):
    window, once = MovingWindowRateLimiter(storage), parse("1/minute")
    assert window.hit(once, "k")
    for _ in range(3):
        clock.move(timedelta(seconds=19))
        assert not window.hit(once, "k")
    clock.move(timedelta(seconds=4))
    assert window.hit(once, "k")


def test_an_act_that_costs_more_counts_as_a_whole_or_not_at_all(storage):
    window, five = MovingWindowRateLimiter(storage), parse("5/minute")
    assert window.hit(five, "k", cost=3)
    assert not window.hit(five, "k", cost=3)
    assert window.hit(five, "k", cost=2)
    assert not window.hit(five, "other", cost=6)
    assert window.get_window_stats(five, "other").remaining == 5


def test_keys_rates_and_names_are_counted_apart(storage):
    window = MovingWindowRateLimiter(storage)
    assert window.hit(parse("1/minute"), "k")
    assert window.hit(parse("1/minute"), "K")
    assert window.hit(parse("1/hour"), "k")
    assert window.hit(RateLimitItemPerMinute(1, namespace="another"), "k")
    assert not window.hit(parse("1/minute"), "k")


def test_looking_counts_nothing_and_tells_what_is_left_and_when_more_will_be(storage, clock):
    window, twice = MovingWindowRateLimiter(storage), parse("2/minute")
    assert window.get_window_stats(twice, "k") == ((START + MINUTE).timestamp(), 2)
    window.hit(twice, "k")
    clock.move(MINUTE / 2)
    window.hit(twice, "k")
    for _ in range(2):
        assert window.get_window_stats(twice, "k") == ((START + MINUTE).timestamp(), 0)
        assert not window.test(twice, "k")
    clock.move(MINUTE / 2 + timedelta(seconds=1))
    assert window.get_window_stats(twice, "k") == ((START + MINUTE * 1.5).timestamp(), 1)
    assert window.test(twice, "k")


def test_a_forgotten_key_begins_at_zero_and_the_others_do_not(storage):
    window, once = MovingWindowRateLimiter(storage), parse("1/minute")
    assert all(window.hit(once, key) for key in "ab")
    window.clear(once, "a")
    assert window.hit(once, "a")
    assert not window.hit(once, "b")
    assert storage.reset() == 2
    assert window.hit(once, "b")


def test_a_storage_that_works_says_so(storage):
    assert storage.check()


# Steps of 7 s never add up to exactly a minute: there the library's two methods disagree with each other.
steps = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 3), st.booleans()), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(steps=steps, limit=st.integers(1, 4))
def test_any_sequence_of_hits_has_the_same_answers_from_the_library_s_own_storage_and_from_ours(
    ours, theirs, clock, steps, limit
):
    rate, key = RateLimitItemPerMinute(limit), fresh_key()
    windows = [MovingWindowRateLimiter(ours), MovingWindowRateLimiter(theirs)]
    for sevens, cost, hits in steps:
        clock.move(timedelta(seconds=7 * sevens))
        act = "hit" if hits else "test"
        our_answer, their_answer = (getattr(window, act)(rate, key, cost=cost) for window in windows)
        assert our_answer == their_answer
        our_stats, their_stats = (window.get_window_stats(rate, key) for window in windows)
        assert our_stats.remaining == their_stats.remaining
        if our_stats.remaining < limit:  # without a hit that counts, the library names one that no longer does
            assert our_stats == their_stats


# The storage: what only ours has to hold.


def test_at_the_told_moment_the_next_hit_passes_and_not_a_microsecond_before(ours, clock):
    window, once = MovingWindowRateLimiter(ours), parse("1/minute")
    window.hit(once, "k")
    free_at = datetime.fromtimestamp(window.get_window_stats(once, "k").reset_time, UTC)
    clock.time = free_at - timedelta(microseconds=1)
    assert not window.hit(once, "k")
    clock.time = free_at
    assert window.test(once, "k")
    assert window.hit(once, "k")


def test_a_row_never_holds_more_hits_than_the_limit(ours, db, clock):
    window, ten = MovingWindowRateLimiter(ours), parse("10/minute")
    for _ in range(50):
        clock.move(timedelta(seconds=5))
        window.hit(ten, "k")
    assert db.scalars(select(func.cardinality(limit_hit.c.hits))).all() == [10]


def test_a_fixed_window_is_refused_because_it_lets_twice_the_limit_pass(ours):
    fixed = FixedWindowRateLimiter(ours)
    for ask in (fixed.hit, fixed.test, fixed.get_window_stats):
        with pytest.raises(NotImplementedError, match="moving window"):
            ask(parse("1/minute"), "k")
    with pytest.raises(NotImplementedError, match="moving window"):
        ours.get_expiry("k")


def test_a_storage_without_its_table_says_so(ours, db):
    limit_hit.drop(db)
    with pytest.raises(ProgrammingError, match="limit_hit"):
        ours.check()


def test_when_the_library_wraps_errors_it_wraps_those_of_the_database(ours):
    assert issubclass(OperationalError, ours.base_exceptions)


def test_the_clock_of_the_database_decides_nothing(ours, db):
    """Our clock stands in the past: were `now()` asked, all would have expired at once."""
    window, once = MovingWindowRateLimiter(ours), parse("1/day")
    assert window.hit(once, "k")
    assert not window.hit(once, "k")
    assert forget_expired(db, START) == 0
    assert db.scalar(select(limit_hit.c.expires_at)) == START + DAY


# Concurrency.


def at_once(work) -> list[int]:
    """What `work` gave in each of eight threads that began together."""
    ready = Barrier(THREADS)

    def run(number: int) -> int:
        ready.wait(30)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


@pytest.mark.parametrize("apart", [timedelta(0), timedelta(seconds=1)])
def test_eight_threads_on_one_key_get_exactly_the_limit_through_even_where_their_clocks_differ(engine, apart):
    def hit(mine: datetime) -> bool:
        with engine.begin() as connection:
            window = MovingWindowRateLimiter(PostgresStorage(connection, lambda: mine))
            return window.hit(parse("25/minute"), "k")

    def hits(number: int) -> int:
        return sum(hit(START + apart * number) for _ in range(10))

    assert sum(at_once(hits)) == 25


def test_eight_threads_counting_two_subjects_at_once_neither_lock_each_other_up_nor_pass_the_limit(engine, allow):
    def tests(number: int) -> int:
        return times(allow, 10, "live_test", f"contact {number}", f"agency {number}", "mail.example").count(Allowed())

    assert sum(at_once(tests)) == 60
    with engine.connect() as connection:
        counted = connection.scalars(select(func.cardinality(limit_hit.c.hits))).all()
    assert sum(counted) == 180  # each of the 60 once for its contact, its agency and the host


def test_who_counts_a_key_under_way_in_another_transaction_waits_for_its_outcome(engine, clock, allow):
    limits = Limits(engine, clock)
    times(allow, 4, "code", "c")
    with ThreadPoolExecutor(1) as pool:
        with engine.connect() as first, first.begin() as turn:
            assert limits.allow("code", "c", connection=first) == Allowed()
            waiting = pool.submit(allow, "code", "c")
            assert until_somebody_waits(engine)
            assert not waiting.done()
            turn.rollback()
        assert waiting.result(30) == Allowed()
    assert allow("code", "c") == Exhausted(60)


def until_somebody_waits(engine: Engine) -> bool:
    """Whether a session waits for a lock, asked for at most 20 seconds."""
    waits = text("select exists (select from pg_locks where not granted), pg_sleep(0.01)")
    with engine.connect() as connection:
        return any(connection.execute(waits).scalar_one() for _ in range(2_000))


# Expiry.


def test_what_no_longer_counts_is_forgotten_and_the_rest_stays(engine, clock, allow):
    allow("page", "early")
    allow("code", "slow")
    clock.move(MINUTE / 2)
    allow("page", "late")
    clock.move(MINUTE / 2)
    with engine.begin() as connection:
        assert forget_expired(connection, clock.now()) == 1
        assert forget_expired(connection, clock.now()) == 0
    assert rows(engine) == 2


def test_a_key_that_is_used_again_and_again_is_not_forgotten(engine, clock, allow):
    allow("page", "busy")
    clock.move(MINUTE / 2)
    allow("page", "busy")
    clock.move(MINUTE / 2)
    with engine.begin() as connection:
        assert forget_expired(connection, clock.now()) == 0


@pytest.mark.parametrize("avoided", [(), ("hashjoin", "hashagg", "mergejoin", "sort", "material")])
def test_forgetting_goes_in_bounded_batches_however_postgresql_looks_for_them(engine, clock, allow, avoided):
    for number in range(5):
        allow("page", str(number))
    clock.move(MINUTE)
    with engine.begin() as connection:
        for one in avoided:
            connection.exec_driver_sql(f"set local enable_{one} = off")
        assert [forget_expired(connection, clock.now(), most=2) for _ in range(4)] == [2, 2, 1, 0]


def test_forgetting_passes_over_a_row_that_is_being_counted_in(engine, clock, allow):
    limits = Limits(engine, clock)
    allow("page", "busy")
    allow("page", "gone")
    clock.move(MINUTE)
    with engine.begin() as turn, engine.begin() as housekeeping:
        limits.allow("page", "busy", connection=turn)
        assert forget_expired(housekeeping, clock.now()) == 1
    assert rows(engine) == 1


# Clocks that jump.


def test_after_a_jump_ahead_all_is_free(clock, allow):
    times(allow, 5, "code", "c")
    clock.move(DAY * 400)
    assert times(allow, 6, "code", "c") == [Allowed()] * 5 + [Exhausted(60)]


def test_after_a_short_jump_back_hits_still_count(clock, allow):
    times(allow, 5, "code", "c")
    clock.move(-MINUTE * 10)
    assert allow("code", "c") == Exhausted(70)


@pytest.mark.parametrize("back", [HOUR, DAY, DAY * 4000])
def test_after_a_jump_back_by_the_window_or_more_nobody_waits_for_the_old_time_to_return(back, clock, allow):
    times(allow, 5, "code", "c")
    clock.move(-back)
    assert times(allow, 6, "code", "c") == [Allowed()] * 5 + [Exhausted(60)]


# The limits of the product.


@pytest.mark.parametrize(
    ("name", "keys", "number", "minutes"),
    [
        ("code", ("contact",), 5, 60),
        ("discovery", ("contact", "agency"), 20, 60),
        ("live_test", ("contact", "agency", "host"), 10, 60),
        ("link", ("contact",), 10, 60),
        ("mail", ("mailbox",), 20, 60),
        ("page", ("source",), 60, 1),
    ],
)
def test_each_limit_lets_its_number_through_and_then_tells_the_minutes(allow, name, keys, number, minutes):
    assert times(allow, number + 2, name, *keys) == [Allowed()] * number + [Exhausted(minutes)] * 2


def test_every_act_has_a_limit_that_bounds_its_rows_by_a_day_and_200_hits():
    assert set(LIMITS) == set(get_args(Name))
    items = [item for limit in _items(LIMITS).values() for _, rates in limit for item in rates]
    assert all(item.amount <= 200 and item.get_expiry() <= DAY.total_seconds() for item in items)


# What the product is to be bounded by (docs/security.md, "Limits"): a limit and its subject, or a fixed bound.
BOUNDED = {
    "messages of a person": turns.MAX_UNFINISHED,
    "tests of a person": ("live_test", "contact"),
    "tests of an agency": ("live_test", "agency"),
    "tests at a target host": ("live_test", "host"),
    "quiet tests at a target host": ("watch", "host"),
    "sign-in attempts at an address": ("sign_in", "address"),
    "sign-in attempts at the door, by source": ("door_sign_in", "source"),
    "sign-in attempts at the door, by address": ("door_sign_in", "address"),
    "link pages of a person": ("link", "contact"),
    "link pages with everything about a person": ("data", "contact"),
    "link pages looked up by a source": ("page", "source"),
    "invitation codes of a person": ("code", "contact"),
    "invitation codes of a source": ("install", "source"),
    "mails of a mailbox": ("mail", "mailbox"),
    "mails of an agency": ("agency_mail", "agency"),
    "recipients of a mailbox": ("recipient", "mailbox"),
    "recipients of a mail": compose.MAX_RECIPIENTS,
    "recipients of a mail at the door": protocol.MAX_RECIPIENTS,
}


@pytest.mark.parametrize("what", BOUNDED)
def test_what_can_be_done_too_often_has_its_bound(what):
    bound = BOUNDED[what]
    if isinstance(bound, int):
        assert 0 < bound <= 100
    else:
        name, subject = bound
        assert subject in LIMITS[name]


def test_an_act_that_counts_for_several_counts_for_all_of_them_or_not_at_all(engine, clock):
    limits = Limits(engine, clock, {"recipient": {"mailbox": "7 per day"}})
    five, two = Act("recipient", ("box",), 5), Act("recipient", ("box",), 2)
    assert limits.allow_all([five]) == Allowed()
    assert limits.allow_all([five]) == Exhausted(24 * 60)
    assert limits.allow_all([two]) == Allowed()
    assert limits.allow_all([Act("recipient", ("box",))]) == Exhausted(24 * 60)


def test_of_several_acts_all_are_counted_or_none(engine, clock, allow):
    limits = Limits(engine, clock)
    times(allow, 10, "link", "busy")
    for _ in range(10):
        assert limits.allow_all([Act("code", ("c",)), Act("link", ("busy",))]) == Exhausted(60)
    assert times(allow, 6, "code", "c") == [Allowed()] * 5 + [Exhausted(60)]


def test_a_limit_that_says_no_is_in_the_log_and_not_whom_it_is_for(allow, monkeypatch):
    monkeypatch.setattr("bot.limits._seldom", Seldom(structlog.get_logger("of this test")))
    with capture_logs() as logs:
        times(allow, 7, "code", "girafa")
        times(allow, 3, "door_news", "girafa")  # our own pace
    assert [(one["event"], one["what"]) for one in logs] == [("a limit said no", "code")]
    assert "girafa" not in str(logs)


def refused(engine):
    with engine.connect() as db:
        return refusals(db)


def test_how_often_a_limit_said_no_is_counted(engine, clock, allow):
    assert refused(engine) == {}
    times(allow, 8, "code", "c")
    times(allow, 11, "link", "l")
    limits = Limits(engine, clock)
    limits.allow_all([Act("page", ("s",)), Act("code", ("c",))])
    assert refused(engine) == {"code": 4, "link": 1}


def test_who_counts_a_refusal_waits_for_nobody_and_none_is_lost(engine, clock, allow):
    limits = Limits(engine, clock)
    times(allow, 5, "code", "c")
    times(allow, 5, "code", "d")
    allow("code", "c")
    with engine.begin() as one, engine.begin() as other:
        other.exec_driver_sql("set local lock_timeout = '1s'")
        assert isinstance(limits.allow("code", "c", connection=one), Exhausted)
        assert isinstance(limits.allow("code", "d", connection=other), Exhausted)
    assert refused(engine) == {"code": 3}


def test_a_host_is_counted_over_all_contacts(allow):
    asked = [allow("live_test", f"contact {number // 10}", "agency", "mail.example") for number in range(60)]
    assert asked == [Allowed()] * 60
    assert allow("live_test", "contact 7", "agency", "mail.example") == Exhausted(60)
    assert allow("live_test", "contact 7", "agency", "mail.other.example") == Allowed()


@pytest.mark.parametrize(("name", "number"), [("live_test", 120), ("discovery", 200)])
def test_an_agency_is_counted_over_all_its_members(allow, name, number):
    hosts = ([f"mail{one}.example"] for one in itertools.count()) if name == "live_test" else itertools.repeat([])
    asked = [allow(name, f"contact {one}", "agency", *next(hosts)) for one in range(number + 1)]
    assert asked == [Allowed()] * number + [Exhausted(60)]
    assert allow(name, "somebody else", "another agency", *next(hosts)) == Allowed()


def test_when_one_subject_is_exhausted_the_others_are_not_counted(allow):
    times(allow, 10, "live_test", "busy", "agency", "mail.example")
    assert times(allow, 50, "live_test", "busy", "agency", "mail.example") == [Exhausted(60)] * 50
    others = [allow("live_test", f"contact {number // 10}", "agency", "mail.example") for number in range(50)]
    assert others == [Allowed()] * 50
    assert times(allow, 9, "live_test", "new", "agency", "mail.example") == [Exhausted(60)] * 9
    assert times(allow, 10, "live_test", "new", "agency", "mail.other.example") == [Allowed()] * 10


def test_the_same_key_is_counted_apart_for_each_act(allow):
    assert times(allow, 11, "link", "same") == [Allowed()] * 10 + [Exhausted(60)]
    assert allow("live_test", "same", "same", "same") == Allowed()


def test_the_same_key_is_counted_apart_for_each_subject_of_an_act(engine, clock):
    once = {"contact": "1 per hour", "host": "1 per hour"}
    allow = Limits(engine, clock, {"live_test": once}).allow
    assert times(allow, 2, "live_test", "same", "same") == [Allowed(), Exhausted(60)]


def test_the_second_rate_of_a_limit_holds_when_the_first_is_free_again(clock, allow):
    for _ in range(5):
        assert times(allow, 20, "mail", "box") == [Allowed()] * 20
        clock.move(HOUR)
    assert times(allow, 1, "mail", "box") == [Exhausted(19 * 60)]


def test_of_several_exhausted_rates_the_longest_wait_is_told(clock, allow):
    for _ in range(4):
        times(allow, 20, "mail", "box")
        clock.move(HOUR)
    assert times(allow, 21, "mail", "box") == [Allowed()] * 20 + [Exhausted(20 * 60)]


def test_an_operators_limit_takes_the_place_of_the_tables_and_of_no_other(engine, clock):
    allow = Limits(engine, clock, {"mail": {"mailbox": "2 per hour; 3 per day"}}).allow
    assert times(allow, 3, "mail", "box") == [Allowed(), Allowed(), Exhausted(60)]
    clock.move(HOUR)
    assert times(allow, 2, "mail", "box") == [Allowed(), Exhausted(23 * 60)]
    assert times(allow, 6, "code", "c") == [Allowed()] * 5 + [Exhausted(60)]


def test_minutes_are_whole_rounded_up_at_least_one_and_true(clock, allow):
    times(allow, 5, "code", "c")
    clock.move(timedelta(minutes=17, seconds=59))
    assert allow("code", "c") == Exhausted(43)
    clock.move(timedelta(seconds=1))
    assert allow("code", "c") == Exhausted(42)
    clock.move(timedelta(minutes=41, seconds=59.9))
    assert allow("code", "c") == Exhausted(1)
    clock.move(timedelta(seconds=0.1))
    assert allow("code", "c") == Allowed()


def test_a_limit_that_became_free_while_it_was_refused_is_told_as_one_minute(ours, clock):
    assert _minutes(MovingWindowRateLimiter(ours), list(_counts(_items(LIMITS), "code", ("c",))), clock.now()) == 1


def test_on_a_given_connection_the_count_lives_and_dies_with_its_transaction(engine, clock, allow):
    limits = Limits(engine, clock)
    with engine.connect() as connection:
        with connection.begin() as turn:
            assert [limits.allow("code", "c", connection=connection) for _ in range(5)] == [Allowed()] * 5
            assert limits.allow("code", "c", connection=connection) == Exhausted(60)
            turn.rollback()
        with connection.begin():
            assert limits.allow("code", "c", connection=connection) == Allowed()
    assert times(allow, 5, "code", "c") == [Allowed()] * 4 + [Exhausted(60)]


def test_a_refusal_leaves_the_given_transaction_with_all_that_was_written_before(engine, clock, allow):
    limits = Limits(engine, clock)
    times(allow, 5, "code", "c")
    with engine.begin() as turn:
        limits.allow("page", "c", connection=turn)
        assert limits.allow("code", "c", connection=turn) == Exhausted(60)
        limits.allow("link", "c", connection=turn)
    assert rows(engine) == 3


def test_no_key_lies_in_the_table_in_clear(engine, allow):
    allow("live_test", "+5511987654321", "agency", "mail.example.com")
    allow("page", "203.0.113.9")
    with engine.connect() as connection:
        dump = "".join(connection.scalars(text("select limit_hit::text || convert_from(key, 'LATIN1') from limit_hit")))
    assert len(dump) > 100
    assert not any(clear in dump for clear in ("5511987654321", "example", "203.0.113.9"))


@pytest.mark.parametrize(
    "keys", [(), ("contact", "agency"), ("contact", "", "host"), ("contact", "agency", "host", "more")]
)
def test_a_missing_empty_or_additional_key_is_a_mistake_of_the_caller_and_counts_nothing(engine, allow, keys):
    with pytest.raises(ValueError):
        allow("live_test", *keys)
    assert rows(engine) == 0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("'; drop table limit_hit", "unknown"),
    ],
)
def test_a_source_is_an_ipv4_address_or_the_network_of_an_ipv6_customer(address, key):
    assert source(address) == key
