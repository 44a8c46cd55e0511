"""When something may be said that nobody waits for: by day, on working days, inside WhatsApp's window."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.calendar import END, LEFT_LYING, WINDOW, is_by_day, nudge_time

ZONES = ["UTC", "America/Sao_Paulo", "Europe/Madrid", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]
SAO_PAULO = "America/Sao_Paulo"
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - theirs


def there(day, hour, minute=0, zone=SAO_PAULO):
    return datetime(2026, 3, day, hour, minute, tzinfo=ZoneInfo(zone))


@given(moments, st.sampled_from(ZONES))
def test_a_reminder_is_always_by_day_on_a_working_day_and_inside_the_window(last, zone):
    due = nudge_time(last, zone)
    if due is not None:
        assert is_by_day(due, zone)
        assert timedelta(hours=2) <= due - last < WINDOW


@given(moments, st.sampled_from(ZONES))
def test_in_the_middle_of_the_week_there_is_always_a_good_hour_unless_the_talk_was_at_night(last, zone):
    local = last.astimezone(ZoneInfo(zone))
    if local.weekday() in {0, 1, 2} and time(7) <= local.time() <= time(16):
        assert nudge_time(last, zone) is not None


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (there(2, 15), there(3, 11)),  # Monday afternoon: twenty hours later
        (there(2, 13), there(3, 9)),
        (there(2, 12), there(2, 18, 45)),  # eight in the morning is too early: the evening before
        (there(2, 22, 40), there(3, 18, 40)),
        (there(2, 23, 30), there(3, 18, 45)),  # half past seven is too late: that evening
        (there(6, 12), there(6, 18, 45)),  # Friday noon: that evening, not on Saturday
        (there(6, 15), None),  # Friday afternoon: Saturday is not ours
        (there(7, 15), None),
        (there(8, 15), there(9, 11)),  # Sunday afternoon: Monday
    ],
)
def test_when_somebody_is_reminded(last, due):
    assert nudge_time(last, SAO_PAULO) == due


def test_twenty_hours_are_counted_through_the_change_of_clocks():
    spring = datetime(2026, 3, 28, 15, tzinfo=ZoneInfo("Europe/Madrid"))  # Saturday; an hour is lost that night
    assert nudge_time(spring, "Europe/Madrid") is None
    sunday = datetime(2026, 3, 29, 15, tzinfo=ZoneInfo("Europe/Madrid"))
    assert nudge_time(sunday, "Europe/Madrid").astimezone(UTC) - sunday.astimezone(UTC) == LEFT_LYING


@pytest.mark.parametrize(
    ("now", "good"),
    [
        (there(2, 9), True),
        (there(2, 8, 59), False),
        (there(2, 18, 59), True),
        (datetime.combine(there(2, 0).date(), END, ZoneInfo(SAO_PAULO)), True),
        (there(2, 19, 1), False),
        (there(7, 12), False),
        (there(8, 12), False),
    ],
)
def test_the_day_is_from_nine_to_seven_from_monday_to_friday(now, good):
    assert is_by_day(now.astimezone(UTC), SAO_PAULO) is good


def test_the_same_moment_is_day_in_one_place_and_night_in_another():
    noon = there(2, 12)
    assert is_by_day(noon, SAO_PAULO)
    assert not is_by_day(noon, "Asia/Kolkata")
