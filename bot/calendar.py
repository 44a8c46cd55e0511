"""When something may be said that nobody waits for: by day, on working days, and while WhatsApp lets us."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

WINDOW = timedelta(hours=24)  # WhatsApp's free form: twilio.com/docs/whatsapp/key-concepts
UNLIMITED = frozenset({"slack"})  # channels on which one may write at any time
UTC = "UTC"  # the zone of whom we know nothing
LEFT_LYING = timedelta(hours=20)
EARLIEST = time(9)
LATEST = time(18, 45)  # planned; a worker that is late may still speak until the end of the day
END = time(19)
SOONEST = timedelta(hours=2)  # less than that is no "left lying", it is a lunch
SATURDAY = 5
MARGIN = timedelta(minutes=15)


def window_end(channel: str, now: datetime) -> datetime | None:
    """Until when somebody who has just written may be answered freely; None: for ever."""
    return None if channel in UNLIMITED else now + WINDOW


def may_write(window_until: datetime | None, at: datetime) -> bool:
    """Whether somebody may be written to at this moment, as far as their channel's window goes."""
    return window_until is None or window_until > at


def nudge_time(last: datetime, timezone: str) -> datetime | None:
    """When to remind of what was left lying at `last`: 20 hours later, or the nearest good hour inside the window.

    None when there is none: nights and weekends are not ours.
    """
    zone = ZoneInfo(timezone)
    wish = (last + LEFT_LYING).astimezone(zone)
    good = _within_the_day(wish)
    in_window = last + SOONEST <= good <= last + WINDOW - MARGIN
    return good if in_window and good.weekday() < SATURDAY else None


def is_by_day(now: datetime, timezone: str) -> bool:
    """Whether somebody may be written to unasked at this moment: 9 to 19 h there, Monday to Friday."""
    there = now.astimezone(ZoneInfo(timezone))
    return EARLIEST <= there.time() <= END and there.weekday() < SATURDAY


def next_day_hour(now: datetime, timezone: str) -> datetime:
    """The next moment at which somebody may be written to unasked: now, or the next working day's nine o'clock."""
    there = now.astimezone(ZoneInfo(timezone))
    if is_by_day(now, timezone):
        return now
    day = there.date() if there.time() < EARLIEST else there.date() + timedelta(days=1)
    while day.weekday() >= SATURDAY:
        day += timedelta(days=1)
    return datetime.combine(day, EARLIEST, ZoneInfo(timezone)).astimezone(now.tzinfo)


def working_days_later(now: datetime, days: int, timezone: str) -> datetime:
    """A moment by day so many working days later, at the same time of the day where that is by day."""
    there = now.astimezone(ZoneInfo(timezone))
    for _ in range(days):
        there += timedelta(days=1)
        while there.weekday() >= SATURDAY:
            there += timedelta(days=1)
    return next_day_hour(there.astimezone(now.tzinfo), timezone)


def _within_the_day(wish: datetime) -> datetime:
    """The wish itself by day; before nine the evening before, late in the evening that same evening."""
    if wish.time() < EARLIEST:
        return datetime.combine(wish.date() - timedelta(days=1), LATEST, wish.tzinfo)
    if wish.time() > LATEST:
        return datetime.combine(wish.date(), LATEST, wish.tzinfo)
    return wish
