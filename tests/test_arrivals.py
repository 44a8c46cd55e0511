"""The simulation of a day, against what queueing theory knows, and against itself."""

from math import factorial

import numpy as np
import pytest

from tests.bench.arrivals import CURVE, HOUR, Day, busiest, fewest, served, waits


def erlang_c(places, load):
    """The chance of having to wait, where arrivals and services are exponential (M/M/c)."""
    full = load**places / factorial(places) * places / (places - load)
    return full / (sum(load**k / factorial(k) for k in range(places)) + full)


@pytest.mark.parametrize(("places", "load"), [(1, 0.5), (1, 0.8), (4, 3.0), (16, 13.0)])
def test_the_mean_wait_is_that_of_theory(places, load):
    chance = np.random.default_rng(20)
    arrivals = np.cumsum(chance.exponential(1 / load, 400_000))
    waited = waits(arrivals, chance.exponential(1.0, arrivals.size), places)
    expected = erlang_c(places, load)
    assert np.mean(waited > 0) == pytest.approx(expected, rel=0.05)
    assert waited.mean() == pytest.approx(expected / (places - load), rel=0.07)


def test_who_comes_to_a_free_place_does_not_wait_and_who_comes_first_is_served_first():
    arrivals, services = np.array([0.0, 1.0, 1.5, 10.0]), np.array([3.0, 3.0, 1.0, 1.0])
    assert waits(arrivals, services, 2).tolist() == [0.0, 0.0, 1.5, 0.0]
    assert waits(arrivals, services, 1).tolist() == [0.0, 2.0, 4.5, 0.0]


def test_the_blocks_in_which_it_is_computed_change_nothing(monkeypatch):
    chance = np.random.default_rng(1)
    arrivals, services = np.sort(chance.random(1000) * 100), chance.random(1000)
    whole = waits(arrivals, services, 5)
    monkeypatch.setattr("tests.bench.arrivals.AT_ONCE", 7)
    assert np.array_equal(waits(arrivals, services, 5), whole)


def test_a_day_has_all_its_messages_in_the_hours_of_its_curve_and_the_same_seed_has_the_same_day():
    day = Day(50_000, 2, bursts=0, pause=0.001)
    written = day.written(np.random.default_rng(3))
    assert written.size == 100_000
    assert np.array_equal(written, day.written(np.random.default_rng(3)))
    share = np.bincount((written // HOUR).astype(int), minlength=24)[:24] / written.size
    assert share == pytest.approx(np.array(CURVE) / sum(CURVE), abs=0.005)
    assert day.told(written).size == 3 * written.size


def test_bursts_make_the_busiest_minute_busier_and_the_day_no_longer():
    calm, sudden = (Day(50_000, 1, bursts=bursts, burst=1_000).written(np.random.default_rng(4)) for bursts in (0, 10))
    assert calm.size == sudden.size
    assert busiest(sudden) > 3 * busiest(calm)


def test_the_fewest_places_are_enough_and_one_less_is_not():
    chance = np.random.default_rng(5)
    arrivals = np.cumsum(chance.exponential(0.1, 50_000))
    services = chance.exponential(1.0, arrivals.size)
    best = fewest(arrivals, services, 0.5)
    assert best.places > 10
    assert best.worst <= 0.5 < served(arrivals, services, best.places - 1).worst
