"""No agency waits behind another's ten thousand promises: whose turn it is, without a clock and without luck."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from bot.agenda import Agenda
from bot.handiwork import LEASES, Ended
from bot.store import people as people_store
from bot.store import promises, tables
from bot.store.engine import reading
from bot.store.promises import Wanted
from tests.botkit import ANA, BIA

MANY = 10_000
EVA = "+5511900000007"  # a stranger


@pytest.fixture
def agencies(kit):
    """Ana's agency has promised ten thousand things; then Bia's promised one, a stranger one, and the house one."""
    with kit.engine.begin() as db:
        other = people_store.add_agency(db, "Agência Lua", "en", "America/Sao_Paulo", kit.clock.now())
    for who, agency in ((ANA, None), (BIA, other)):
        kit.say(f"My invitation code is {kit.invite(agency=agency)}", who)
        kit.work()
    kit.say("hi", EVA)
    kit.work()
    with kit.engine.begin() as db:
        many = text(
            "insert into promise (conversation_id, lane, kind, payload, due_at, created_at)"
            " select :talk, 'work', 'Test', '{}', :now, :now from generate_series(1, :many)"
        )
        db.execute(many, {"talk": kit.held(ANA).id, "now": kit.clock.now(), "many": MANY})
    kit.clock.move(seconds=1)
    now = kit.clock.now()
    with kit.engine.begin() as db:
        for who in (BIA, EVA):
            promises.add(db, kit.held(who).id, [Wanted("work", "Test", now)], now)
        promises.once(db, "work", "Test", now, now)
        db.execute(text("analyze promise"))
    return kit


def whose(kit, promised):
    """Names for the owners of promises."""
    names = {kit.held(who).id: name for who, name in ((ANA, "Ana"), (BIA, "Bia"), (EVA, "Eva"))}
    return [names.get(one.conversation_id, "the house") for one in promised]


def claimed(kit, agenda, most):
    now = kit.clock.now()
    with reading(kit.engine) as db:
        return agenda.claim(db, most, now, now + LEASES["work"])


def stocked(kit):
    agenda = Agenda("work")
    with reading(kit.engine) as db:
        agenda.take_stock(db, kit.clock.now())
    return agenda


def test_of_ten_thousand_and_one_the_one_of_another_agency_is_among_the_first(agencies):
    first = whose(agencies, claimed(agencies, stocked(agencies), 4))
    assert sorted(first) == ["Ana", "Bia", "Eva", "the house"]


def test_each_gets_as_much_as_the_others_while_it_has_something_to_do(agencies):
    now = agencies.clock.now()
    with agencies.engine.begin() as db:
        promises.add(db, agencies.held(BIA).id, [Wanted("work", "Test", now)] * 9, now)
    count = Counter(whose(agencies, claimed(agencies, stocked(agencies), 22)))
    assert count == {"Ana": 10, "Bia": 10, "Eva": 1, "the house": 1}


def test_within_an_agency_the_oldest_comes_first(agencies):
    hers = agencies.held(ANA).id
    ids = [one.id for one in claimed(agencies, stocked(agencies), 10) if one.conversation_id == hers]
    rows = [row.id for row in agencies.rows(tables.promise) if row.conversation_id == hers]
    unfinished = [one for one in rows if one in ids]
    assert ids == unfinished == sorted(ids)


def test_what_another_worker_has_claimed_meanwhile_is_passed_over(agencies):
    one, other = stocked(agencies), stocked(agencies)
    taken = {claim.id for claim in claimed(agencies, one, 4)}
    second = claimed(agencies, other, 4)
    assert len(second) == 4
    assert taken.isdisjoint(claim.id for claim in second)


def test_an_agenda_that_is_used_up_goes_on_with_the_oldest(agencies):
    agenda = Agenda("work")
    assert whose(agencies, claimed(agencies, agenda, 3)) == ["Ana"] * 3


def test_what_is_not_due_yet_is_on_no_agenda(agencies):
    later = agencies.clock.now() + timedelta(seconds=1)
    with agencies.engine.begin() as db:
        (number,) = promises.add(db, agencies.held(BIA).id, [Wanted("work", "Later", later)], agencies.clock.now())
        assert number not in promises.in_turn(db, "work", agencies.clock.now(), MANY * 2)
        assert number in promises.in_turn(db, "work", later, MANY * 2)


def test_speaking_keeps_its_order_on_the_agenda_as_well(kit):
    """Of a conversation only the first that is unfinished can be claimed, so only that is listed."""
    kit.say("hi")
    kit.work()
    now = kit.clock.now()
    with kit.engine.begin() as db:
        ids = promises.add(db, kit.held(ANA).id, [Wanted("speak", "Test", now)] * 3, now)
        assert promises.in_turn(db, "speak", now, 10) == ids[:1]
        assert promises.claim(db, "speak", 3, now, now + LEASES["speak"], of=ids[1:]) == []


def test_a_worker_with_one_place_performs_the_other_agency_s_next(agencies, monkeypatch):
    """The lane is full, the worker looks: from then on each agency has its turn."""
    done = []
    agencies.hands["Test"] = lambda _tools, promise: done.append(promise) or Ended()
    worker = agencies.new_worker(work=1)
    (under_way,) = worker._claim("work", 1)
    worker._free["work"] = 0  # as while a thread performs it
    worker._take_stock()
    worker._keep(under_way)
    for _ in range(4):
        worker._keep(worker._next("work"))
    assert whose(agencies, done[:1]) == ["Ana"]
    assert sorted(whose(agencies, done[1:])) == ["Ana", "Bia", "Eva", "the house"]


def test_a_lane_with_places_left_takes_no_stock(agencies, monkeypatch):
    worker = agencies.new_worker(work=1)
    monkeypatch.setattr(promises, "in_turn", lambda *_: pytest.fail("that costs a look at all that is due"))
    worker._take_stock()


def test_taking_stock_takes_at_most_a_tenth_of_the_time(agencies, monkeypatch):
    ticks = iter([0.0, 2.0, 19.9, 20.0, 20.0])
    monkeypatch.setattr("bot.agenda.time.monotonic", lambda: next(ticks))
    looks = []
    monkeypatch.setattr(promises, "in_turn", lambda *_: looks.append(1) or [])
    agenda = Agenda("work")
    for _ in range(3):  # the first one takes two seconds, so the next one may come eighteen after its end
        agenda.take_stock(None, agencies.clock.now())
    assert len(looks) == 2
