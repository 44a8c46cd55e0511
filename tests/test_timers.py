"""Something is called a little later, from one thread, until all is stopped."""

import threading

import pytest
from structlog.testing import capture_logs

from bot.timers import Timers


@pytest.fixture
def timers():
    made = Timers()
    yield made
    made.stop()


def test_what_is_due_first_is_called_first(timers):
    called, done = [], threading.Event()
    timers.later(0.05, lambda: (called.append("second"), done.set()))
    timers.later(0.01, lambda: called.append("first"))
    assert done.wait(10)
    assert called == ["first", "second"]


def test_what_was_cancelled_is_not_called(timers):
    called, done = [], threading.Event()
    timers.later(0.01, lambda: called.append("never"))()
    timers.later(0.05, done.set)
    assert done.wait(10)
    assert called == []


def test_one_that_fails_stops_no_other(timers):
    done = threading.Event()
    with capture_logs() as logs:
        timers.later(0.0, lambda: 1 / 0)
        timers.later(0.01, done.set)
        assert done.wait(10)
    assert [one["event"] for one in logs] == ["a timer failed"]


def test_once_all_are_stopped_nothing_is_called_any_more(timers):
    called, begun, go_on = [], threading.Event(), threading.Event()

    def the_last_call():
        begun.set()
        go_on.wait(10)
        called.append("the last one")
        timers.later(0.0, lambda: called.append("one that it wanted"))

    timers.later(0.0, the_last_call)
    timers.later(0.0, lambda: called.append("the next one"))
    assert begun.wait(10)
    threading.Timer(0.01, go_on.set).start()
    timers.stop()
    assert called == ["the last one"]
    timers.later(0.0, lambda: called.append("much later"))()
    assert not timers._thread.is_alive()
    assert called == ["the last one"]


def test_timers_that_nobody_used_are_stopped_too():
    Timers().stop()
