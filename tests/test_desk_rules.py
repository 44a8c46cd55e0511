"""The rules of the desk: who owns a case, who waits, and that nobody does so in silence."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.desk.hours import BadHours, read_hours
from bot.desk.rules import (
    Case,
    Ended,
    MemberWrote,
    NotReached,
    OpenedByStaff,
    Released,
    Rules,
    Snoozed,
    StaffWrote,
    Taken,
    TimeCame,
    bot_speaks,
    due,
    step,
)

MONDAY = datetime(2026, 3, 2, 15, tzinfo=UTC)  # noon in São Paulo
RULES = Rules(read_hours("Mon-Fri 09:00-18:00", "America/Sao_Paulo"), timedelta(minutes=30))
NEW = Case("new", MONDAY, waits_since=MONDAY)
HALF_AN_HOUR = MONDAY + timedelta(minutes=30)


def test_who_takes_a_case_owns_it_and_the_bot_is_silent():
    taken = step(NEW, Taken("U1"), MONDAY, RULES)
    assert (taken.case.owner, taken.case.state, taken.tell) == ("U1", "owned", "taken")
    assert not bot_speaks(taken.case)
    assert step(taken.case, Taken("U1"), MONDAY, RULES).tell is None
    assert step(taken.case, Taken("U2"), MONDAY, RULES).case.owner == "U2"


def test_who_writes_to_the_member_takes_the_case_with_it():
    written = step(NEW, StaffWrote("U1"), MONDAY, RULES)
    assert (written.case.owner, written.case.waits_since, written.tell) == ("U1", None, "taken")


def test_ownership_lapses_before_the_member_is_told_that_it_takes_longer():
    owned = step(NEW, Taken("U1"), MONDAY, RULES).case
    assert due(owned, RULES) == HALF_AN_HOUR
    assert step(owned, TimeCame(), HALF_AN_HOUR - timedelta(seconds=1), RULES).case == owned
    lapsed = step(owned, TimeCame(), HALF_AN_HOUR, RULES)
    assert (lapsed.case.owner, lapsed.tell, lapsed.remind) == ("", "longer", True)
    assert bot_speaks(lapsed.case)


def test_the_member_is_told_once_and_the_team_is_reminded_again_and_again():
    case, told, reminded, now = NEW, 0, 0, MONDAY
    for _ in range(10):
        now = due(case, RULES)
        happened = step(case, TimeCame(), now, RULES)
        case, told, reminded = happened.case, told + (happened.tell == "longer"), reminded + happened.remind
    assert (told, reminded) == (1, 10)


def test_of_a_case_that_staff_opened_its_member_knows_nothing_until_somebody_has_it():
    opened = Case("new", MONDAY, unasked=True)
    assert step(opened, OpenedByStaff(), MONDAY, RULES).case == opened
    assert due(opened, RULES) == MONDAY + timedelta(days=3)
    assert step(opened, MemberWrote(), MONDAY, RULES).case.waits_since is None
    snoozed = step(opened, Snoozed(MONDAY + timedelta(hours=2)), MONDAY, RULES).case
    assert step(snoozed, MemberWrote(), MONDAY, RULES).case.state == "new"
    taken = step(opened, Taken("U1"), MONDAY, RULES)
    assert taken.tell == "taken"
    assert step(taken.case, MemberWrote(), HALF_AN_HOUR, RULES).case.waits_since == HALF_AN_HOUR


def test_what_comes_in_at_night_is_answered_in_the_morning():
    night = datetime(2026, 3, 3, 2, tzinfo=UTC)
    assert due(Case("new", night, waits_since=night), RULES) == datetime(2026, 3, 3, 12, 30, tzinfo=UTC)


def test_a_member_who_does_not_answer_is_parked_after_a_day_and_let_go_after_three():
    answered = step(NEW, StaffWrote("U1"), MONDAY, RULES).case
    parked = step(answered, TimeCame(), due(answered, RULES), RULES)
    assert (parked.case.state, parked.tell) == ("parked", None)
    closed = step(parked.case, TimeCame(), due(parked.case, RULES), RULES)
    assert (closed.case.state, closed.case.end, closed.tell) == ("closed", "silent", "silent")
    assert due(closed.case, RULES) is None


def test_a_parked_case_wakes_up_when_the_member_writes():
    answered = step(NEW, StaffWrote("U1"), MONDAY, RULES).case
    parked = step(answered, TimeCame(), due(answered, RULES), RULES).case
    woken = step(parked, MemberWrote(), MONDAY + timedelta(days=2), RULES).case
    assert (woken.state, woken.owner, woken.waits_since) == ("owned", "U1", MONDAY + timedelta(days=2))


def test_a_snoozed_case_comes_back_at_its_time_or_when_the_member_writes():
    until = MONDAY + timedelta(hours=2)
    snoozed = step(NEW, Snoozed(until), MONDAY, RULES).case
    assert step(snoozed, MemberWrote(), MONDAY, RULES).case.state == "new"
    assert step(snoozed, TimeCame(), until, RULES).case.state == "new"


def test_who_waits_is_told_the_truth_also_while_the_case_is_put_off():
    until = MONDAY + timedelta(hours=2)
    snoozed = step(NEW, Snoozed(until), MONDAY, RULES).case
    assert due(snoozed, RULES) == HALF_AN_HOUR
    told = step(snoozed, TimeCame(), HALF_AN_HOUR, RULES)
    assert (told.tell, told.case.state, due(told.case, RULES)) == ("longer", "snoozed", until)


def test_who_takes_a_case_that_was_late_has_to_answer_in_time_or_the_member_is_told_again():
    late = step(NEW, TimeCame(), HALF_AN_HOUR, RULES).case
    taken_at = HALF_AN_HOUR + timedelta(minutes=1)
    taken = step(late, Taken("U1"), taken_at, RULES).case
    again = taken_at + timedelta(minutes=30)
    assert due(taken, RULES) == again
    assert due(step(taken, Snoozed(again + timedelta(hours=2)), taken_at, RULES).case, RULES) == again
    assert step(taken, Taken("U1"), again - timedelta(minutes=1), RULES).case == taken  # to tap again is no answer
    assert step(taken, TimeCame(), again, RULES).tell == "longer"


def test_what_did_not_reach_the_member_is_no_answer():
    said = step(NEW, StaffWrote("U1"), MONDAY, RULES).case
    failed = step(said, NotReached(MONDAY), MONDAY + timedelta(minutes=5), RULES).case
    assert (failed.owner, due(failed, RULES)) == ("U1", HALF_AN_HOUR)


def test_the_member_is_told_once_that_somebody_is_there_whoever_it_is():
    taken = step(NEW, Taken("U1"), MONDAY, RULES).case
    assert step(taken, Taken("U2"), MONDAY, RULES).tell is None
    said = step(taken, StaffWrote("U2"), MONDAY, RULES)
    assert (said.case.owner, said.tell) == ("U1", None)  # what leaves late takes nothing from anybody


def test_a_case_that_nobody_has_cannot_be_given_back():
    late = step(NEW, TimeCame(), HALF_AN_HOUR, RULES).case
    assert step(late, Released(), HALF_AN_HOUR, RULES).case == late


EVENTS = st.one_of(
    st.just(MemberWrote()),
    st.builds(StaffWrote, st.sampled_from(["U1", "U2"])),
    st.builds(Taken, st.sampled_from(["U1", "U2"])),
    st.just(Released()),
    st.builds(NotReached, st.one_of(st.none(), st.just(MONDAY))),
    st.builds(lambda minutes: Snoozed(MONDAY + timedelta(minutes=minutes)), st.integers(0, 10_000)),
    st.just(TimeCame()),
    st.just(TimeCame()),
    st.builds(Ended, st.sampled_from(["handed_back", "by_member"])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(0, 3_000)), max_size=25))
def test_whatever_happens_nobody_waits_without_a_time_at_which_somebody_looks(happened):
    case, now = NEW, MONDAY
    for event, minutes in happened:
        now += timedelta(minutes=minutes)
        before = case
        stepped = step(case, event, now, RULES)
        case = stepped.case
        if case.state == "closed":
            assert due(case, RULES) is None
            assert bot_speaks(case)
            continue
        assert due(case, RULES) is not None
        assert bool(case.owner) is not bot_speaks(case)
        if stepped.tell == "longer":
            assert not case.owner  # it has lapsed before they read it
        if isinstance(event, TimeCame):
            assert due(case, RULES) > now or case == before


@pytest.mark.parametrize(
    "text", ["always", "Mon-Fri", "Mon-Fri 9-18", "Fri-Mon 09:00-18:00", "Mon 18:00-09:00", "Mon 25:00-26:00"]
)
def test_hours_that_mean_nothing_are_refused(text):
    with pytest.raises(BadHours):
        read_hours(text, "UTC")


def test_without_hours_the_team_is_always_there():
    assert read_hours("", "UTC").open_at(MONDAY)
    assert read_hours("", "UTC").after(MONDAY, timedelta(hours=1)) == MONDAY + timedelta(hours=1)
