"""What so many conversations need, computed from what one message costs: the arithmetic, on round numbers."""

from dataclasses import replace

import pytest

from tests.bench.arrivals import Served
from tests.bench.needs import Assumed, Needs, needed, simulated, walls
from tests.bench.spent import Spent

KEPT = {"transcript": 1000.0, "promises": 2000.0, "heard": 500.0}
SPENT = Spent(turn_cpu=2.0, callback_cpu=1.0, worker_cpu=2.5, postgres_cpu=5.0, commits=10.0, wal=20_000.0, kept=KEPT)
NEEDS = Needs(peak=200.0, web=Served(2, 0.0, 0.01, 0.05), speak=Served(50, 0.0, 0.1, 0.9))


def table(assumed=None):
    return dict(needed(assumed or Assumed(), SPENT, NEEDS))


def test_messages_and_transactions_are_those_of_the_assumed_day():
    found = table()
    assert found["messages a day, in and out"] == "10,000,000"
    assert found["messages in a second, mean and busiest minute"] == "58, 200"
    assert found["transactions a second, mean and busiest minute"] == "579, 2,000"


def test_processes_are_those_of_the_busiest_minute_with_no_processor_fuller_than_planned():
    found = table()
    assert found["web processes: by the simulation, by planned CPU"] == "2, 2"  # 200 a second, 5 ms each, 60 %
    assert found["workers (of 8 places)"] == "7"  # 50 places


def test_storage_is_what_is_kept_for_as_long_as_it_is():
    assert table()["storage with indexes"] == "538 GB"  # 5 million a day: 1 kB for 90 days, 2.5 kB for 7


def test_money_is_the_readers_own_prices_times_what_is_needed():
    found = table(replace(Assumed(), message_price=0.01, core_price=0.0, gigabyte_price=1.0))
    assert found["money a month: messages"] == "3,000,000"
    assert found["money a month: processors and storage"] == "538"


def test_walls_stand_in_the_order_in_which_they_are_met():
    found = walls(Assumed(), SPENT, NEEDS)
    assert [rate for _, rate in found] == sorted(rate for _, rate in found)
    assert dict(found)["one WhatsApp sender"] == pytest.approx(400_000)
    assert found[0] == ("one worker of 8 places (LANE_SPEAK)", 200_000)


def test_a_small_day_can_be_simulated_and_needs_little():
    found = simulated(replace(Assumed(), conversations=50_000, messages=2), SPENT)
    assert found.web.places == 1
    assert found.speak.worst <= Assumed().speak_wait
    assert found == simulated(replace(Assumed(), conversations=50_000, messages=2), SPENT)
