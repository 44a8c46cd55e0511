"""Promises: claimed in order, by one worker at a time, and ended only by the one that owns them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from bot.handiwork import LEASES
from bot.store import bounds, promises, tables
from bot.store.promises import NUDGE, RETEST, Wanted
from bot.store.wake import Ear
from tests.botkit import ANA, BIA, eventually, run_sql

KEPT = timedelta(days=90)  # by an operator

HELLO = {"effect": "hello"}


def talk(kit, who=ANA):
    """A conversation with nothing left to do."""
    kit.say("hi", who)
    kit.work()
    return kit.held(who).id


def promised(kit, conversation, *lanes, at=None):
    """New promises, one for each lane named; their ids."""
    due = at or kit.clock.now()
    with kit.engine.begin() as db:
        return promises.add(db, conversation, [Wanted(lane, "Test", due, HELLO) for lane in lanes], kit.clock.now())


def claimed(kit, lane, most=10):
    with kit.engine.begin() as db:
        return promises.claim(db, lane, most, kit.clock.now(), kit.clock.now() + LEASES[lane])


def ended(kit, promise, state="done"):
    with kit.engine.begin() as db:
        return promises.finish(db, promise, state)


def put_off(kit, promise, **by):
    with kit.engine.begin() as db:
        return promises.put_off(db, promise, kit.clock.now() + timedelta(**by), "later")


def row(kit, number):
    return next(one for one in kit.rows(tables.promise) if one.id == number)


# --- order ------------------------------------------------------------------------------------------------------------


def test_promises_are_made_in_the_order_in_which_they_were_wanted(kit):
    conversation = talk(kit)
    ids = promised(kit, conversation, "speak", "work", "speak", "mail", "speak")
    assert ids == sorted(ids)
    assert [row(kit, number).lane for number in ids] == ["speak", "work", "speak", "mail", "speak"]


def test_of_one_conversation_only_the_first_unfinished_speech_can_be_claimed(kit):
    first, second = promised(kit, talk(kit), "speak", "speak")
    (mine,) = claimed(kit, "speak")
    assert mine.id == first
    assert claimed(kit, "speak") == []
    assert ended(kit, mine)
    assert [one.id for one in claimed(kit, "speak")] == [second]


def test_speech_that_is_put_off_holds_back_what_is_to_be_said_after_it(kit):
    first, _ = promised(kit, talk(kit), "speak", "speak")
    put_off(kit, claimed(kit, "speak")[0], minutes=5)
    assert claimed(kit, "speak") == []
    kit.clock.move(minutes=5)
    assert [one.id for one in claimed(kit, "speak")] == [first]


def test_a_long_back_off_silences_only_its_own_conversation(kit):
    ana, bia = talk(kit, ANA), talk(kit, BIA)
    promised(kit, ana, "speak", "speak")
    put_off(kit, claimed(kit, "speak")[0], hours=1)
    (hers,) = promised(kit, bia, "speak")
    assert [one.id for one in claimed(kit, "speak")] == [hers]


@pytest.mark.parametrize("state", ["done", "failed", "dropped", "unknown"])
def test_speech_that_ended_in_any_way_lets_the_next_one_speak(kit, state):
    _, second = promised(kit, talk(kit), "speak", "speak")
    ended(kit, claimed(kit, "speak")[0], state)
    assert [one.id for one in claimed(kit, "speak")] == [second]


def test_four_workers_at_once_never_speak_out_of_order_nor_two_at_a_time(kit):
    talks = {talk(kit, f"+5511{number:09d}"): [] for number in range(3)}
    ids = {conversation: promised(kit, conversation, *["speak"] * 12) for conversation in talks}
    speaking, doubled, lock = set(), [], threading.Lock()

    def work(_number):
        while any(one.state in {"todo", "doing"} for one in kit.rows(tables.promise)):
            for promise in claimed(kit, "speak", most=2):
                with lock:
                    doubled.extend([promise.id] if promise.conversation_id in speaking else [])
                    speaking.add(promise.conversation_id)
                    talks[promise.conversation_id].append(promise.id)
                with lock:
                    speaking.discard(promise.conversation_id)
                assert ended(kit, promise)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert talks == ids
    assert doubled == []


def test_the_lanes_are_independent(kit):
    conversation = talk(kit)
    promised(kit, conversation, "speak", "work", "work", "mail", "mail")
    claimed(kit, "speak")
    assert len(claimed(kit, "work")) == 2
    assert len(claimed(kit, "mail")) == 2


def test_no_more_is_claimed_than_there_are_places(kit):
    promised(kit, talk(kit), *["work"] * 5)
    assert len(claimed(kit, "work", most=3)) == 3
    assert len(claimed(kit, "work", most=3)) == 2


def test_a_promise_for_later_waits(kit):
    promised(kit, talk(kit), "work", at=kit.clock.now() + timedelta(minutes=1))
    assert claimed(kit, "work") == []
    kit.clock.move(minutes=1)
    assert len(claimed(kit, "work")) == 1


def test_what_is_due_longest_goes_first(kit):
    conversation = talk(kit)
    (young,) = promised(kit, conversation, "work")
    (old,) = promised(kit, conversation, "work", at=kit.clock.now() - timedelta(hours=1))
    assert [one.id for one in claimed(kit, "work", most=1)] == [old]
    assert [one.id for one in claimed(kit, "work", most=1)] == [young]


# --- who owns it ------------------------------------------------------------------------------------------------------


def test_a_promise_whose_owner_died_is_taken_back_when_its_lease_ran_out(kit):
    promised(kit, talk(kit), "speak")
    (first,) = claimed(kit, "speak")
    kit.clock.time += LEASES["speak"]
    with kit.engine.begin() as db:
        assert promises.take_back(db, kit.clock.now()) == 0
    kit.clock.move(seconds=1)
    with kit.engine.begin() as db:
        assert promises.take_back(db, kit.clock.now()) == 1
    (second,) = claimed(kit, "speak")
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.id == second.id


@pytest.mark.parametrize("again", [False, True])
def test_a_former_owner_who_comes_back_changes_nothing(kit, again):
    """Whether the promise only waits to be claimed again, or somebody else performs it already."""
    (number,) = promised(kit, talk(kit), "speak")
    (former,) = claimed(kit, "speak")
    kit.clock.move(minutes=3)
    with kit.engine.begin() as db:
        promises.take_back(db, kit.clock.now())
    if again:
        claimed(kit, "speak")
    before = row(kit, number)
    assert not ended(kit, former)
    assert not put_off(kit, former, hours=5)
    assert row(kit, number) == before


def test_how_far_a_promise_has_come_is_known_to_who_claims_it_next_and_noted_by_its_owner_only(kit):
    (number,) = promised(kit, talk(kit), "work")
    (former,) = claimed(kit, "work")
    assert former.outcome == ""
    with kit.engine.begin() as db:
        assert promises.mark(db, former, "half way")
    assert (row(kit, number).state, row(kit, number).outcome) == ("doing", "half way")
    kit.clock.move(minutes=11)
    with kit.engine.begin() as db:
        promises.take_back(db, kit.clock.now())
    (mine,) = claimed(kit, "work")
    assert mine.outcome == "half way"
    with kit.engine.begin() as db:
        assert not promises.mark(db, former, "further")
    assert row(kit, number).outcome == "half way"
    assert ended(kit, mine)
    with kit.engine.begin() as db:
        assert not promises.mark(db, mine, "further")


def test_a_promise_ends_once(kit):
    promised(kit, talk(kit), "speak")
    (mine,) = claimed(kit, "speak")
    assert ended(kit, mine)
    assert not ended(kit, mine, "failed")
    assert row(kit, mine.id).state == "done"


def test_a_promise_of_an_erased_conversation_cannot_be_ended_any_more(kit):
    promised(kit, talk(kit), "work")
    (mine,) = claimed(kit, "work")
    run_sql(kit.url, "delete from contact")
    assert not ended(kit, mine)


# --- what stays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lane", "kept"), [("speak", {}), ("work", HELLO), ("mail", HELLO)])
def test_what_was_said_is_erased_from_the_promise_that_said_it(kit, lane, kept):
    promised(kit, talk(kit), lane)
    (mine,) = claimed(kit, lane)
    ended(kit, mine)
    assert row(kit, mine.id).payload == kept


def test_what_is_put_off_keeps_its_words(kit):
    promised(kit, talk(kit), "speak")
    (mine,) = claimed(kit, "speak")
    put_off(kit, mine, seconds=1)
    assert row(kit, mine.id).payload == HELLO


def test_only_a_promise_that_failed_is_done_again_by_an_operator(kit):
    for state, revived in [("failed", True), ("done", False), ("unknown", False)]:
        promised(kit, talk(kit), "work")
        (mine,) = claimed(kit, "work")
        ended(kit, mine, state)
        with kit.engine.begin() as db:
            assert promises.revive(db, mine.id, kit.clock.now()) is revived
        assert [one.id for one in claimed(kit, "work")] == [mine.id] * revived


def test_ended_promises_are_forgotten_and_unfinished_ones_never(kit):
    conversation = talk(kit)
    promised(kit, conversation, *["work"] * 3)
    ended(kit, claimed(kit, "work", most=1)[0])
    claimed(kit, "work", most=1)
    with kit.engine.begin() as db:
        assert bounds.erase(db, tables.promise, kit.clock.now(), KEPT) == 0
    kit.clock.move(days=8)
    with kit.engine.begin() as db:
        assert bounds.erase(db, tables.promise, kit.clock.now(), KEPT, most=1) == 1
        assert bounds.erase(db, tables.promise, kit.clock.now(), KEPT) == 1  # the first "hi" was answered
    assert sorted(one.state for one in kit.rows(tables.promise)) == ["doing", "todo"]


def test_how_much_is_due_is_counted_by_lane_and_state(kit):
    conversation = talk(kit)
    promised(kit, conversation, "work", "work", "mail")
    promised(kit, conversation, "mail", at=kit.clock.now() + timedelta(hours=1))
    claimed(kit, "work", most=1)
    with kit.engine.begin() as db:
        found = sorted(promises.depth(db, kit.clock.now()))
    assert found == [("mail", "todo", 1), ("work", "doing", 1), ("work", "todo", 1)]


def test_what_the_bot_wanted_to_say_is_dropped_when_a_person_takes_over(kit):
    ana, bia = talk(kit, ANA), talk(kit, BIA)
    promised(kit, ana, "speak", "work")
    with kit.engine.begin() as db:
        said = [Wanted("speak", promises.SPEAK, kit.clock.now(), HELLO)]
        mine, theirs = (promises.add(db, one, said, kit.clock.now())[0] for one in (ana, bia))
        assert promises.drop_speech(db, ana) == [mine]
    states = {one.id: one.state for one in kit.rows(tables.promise)}
    assert (states[mine], states[theirs]) == ("dropped", "todo")
    assert {one.state for one in kit.rows(tables.promise) if one.kind == "Test"} == {"todo"}  # staff's words are not


def test_an_unknown_lane_is_refused_by_the_database(kit):
    with pytest.raises(DBAPIError, match="ck_promise_lane"):
        promised(kit, talk(kit), "fax")


# --- the one reminder -------------------------------------------------------------------------------------------------


def nudge(kit, conversation, **later):
    due = kit.clock.now() + timedelta(**later) if later else None
    with kit.engine.begin() as db:
        promises.one_at(db, conversation, NUDGE, due, kit.clock.now())


def test_a_conversation_has_one_reminder_which_moves(kit):
    conversation = talk(kit)
    nudge(kit, conversation, hours=20)
    nudge(kit, conversation, hours=22)
    (one,) = [promise for promise in kit.rows(tables.promise) if promise.kind == NUDGE]
    assert one.due_at == kit.clock.now() + timedelta(hours=22)
    nudge(kit, conversation)
    assert [promise for promise in kit.rows(tables.promise) if promise.kind == NUDGE] == []


def test_a_reminder_that_is_on_its_way_is_not_taken_back(kit):
    conversation = talk(kit)
    nudge(kit, conversation, hours=1)
    kit.clock.move(hours=1)
    (mine,) = claimed(kit, "work")
    nudge(kit, conversation)
    assert ended(kit, mine)


@pytest.mark.parametrize("kind", [NUDGE, RETEST])
def test_moving_the_one_promise_of_a_kind_leaves_other_kinds_and_other_people_alone(kit, kind):
    ana, bia = talk(kit, ANA), talk(kit, BIA)
    soon, late = kit.clock.now() + timedelta(hours=1), kit.clock.now() + timedelta(hours=2)
    with kit.engine.begin() as db:
        for conversation in (ana, bia):
            for each in (NUDGE, RETEST):
                promises.one_at(db, conversation, each, soon, kit.clock.now(), {"of": each})
        promises.one_at(db, ana, kind, late, kit.clock.now(), {"of": "another"})
    rows = {(row.conversation_id, row.kind): (row.due_at, row.payload["of"]) for row in kit.rows(tables.promise)
            if row.kind in {NUDGE, RETEST}}  # fmt: skip
    unmoved = {(who, each): (soon, each) for who in (ana, bia) for each in (NUDGE, RETEST)}
    assert rows == {**unmoved, (ana, kind): (late, "another")}


def test_what_is_hurried_is_due_now_and_what_is_under_way_or_ended_stays(kit):
    ana, bia = kit.join(ANA).id, kit.join(BIA).id
    with kit.engine.begin() as db:
        for conversation in (ana, bia):
            promises.one_at(db, conversation, RETEST, kit.clock.now(), kit.clock.now())
    kit.clock.move(minutes=1)
    hers, his = (one for one in claimed(kit, "work") if one.kind == RETEST)
    ended(kit, his)
    later = kit.clock.now() + timedelta(hours=6)
    with kit.engine.begin() as db:
        promises.one_at(db, ana, RETEST, later, kit.clock.now())
        promises.one_at(db, ana, NUDGE, later, kit.clock.now())
        assert promises.hurry(db, kit.agency, RETEST, kit.clock.now()) == 1
    after = {(row.kind, row.state): row.due_at for row in kit.rows(tables.promise) if row.conversation_id == ana}
    assert after[RETEST, "todo"] == kit.clock.now()
    assert after[NUDGE, "todo"] == later
    assert ended(kit, hers)


# --- wake-ups ---------------------------------------------------------------------------------------------------------


def test_a_wake_up_is_heard_at_the_commit_and_not_before(kit):
    heard = []
    ear = Ear(kit.engine)
    ear.wait(0.01)  # it listens from here on
    listening = threading.Thread(target=lambda: heard.append(ear.wait(20)))
    listening.start()
    try:
        with kit.engine.begin() as db:
            promises.wake(db)
            listening.join(0.2)
            assert heard == []
        eventually(lambda: heard == [frozenset()], "the wake-up is heard", within=10)
    finally:
        listening.join(25)
        ear.close()


def test_an_ear_whose_connection_broke_listens_on_a_new_one(kit):
    ear = Ear(kit.engine)
    ear.wait(0.01)
    run_sql(kit.url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ally ear'"
            " and datname = current_database()")  # fmt: skip
    ear.wait(1)  # finds out
    ear.wait(0.01)
    with kit.engine.begin() as db:
        promises.wake(db)
    ear.wait(10)
    assert ear._line is not None
    ear.close()
