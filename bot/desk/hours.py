"""When the support team works, as `SUPPORT_HOURS` says: "Mon-Fri 09:00-18:00", several with commas between them."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MORNING = time(9)
LOOK_AHEAD = 8  # days in which there has to be an opening
_SPAN = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)


class BadHours(ValueError):
    """They are not written as they should be."""


@dataclass(frozen=True, slots=True)
class Span:
    """From a time to another one, on one day of the week (0 is Monday)."""

    day: int
    begin: time
    end: time


@dataclass(frozen=True, slots=True)
class Hours:
    """The spans of a week in a time zone; none: always."""

    spans: tuple[Span, ...]
    zone: ZoneInfo

    def open_at(self, moment: datetime) -> bool:
        """Whether the team works at this moment."""
        there = moment.astimezone(self.zone)
        mine = (one for one in self.spans if one.day == there.weekday())
        return not self.spans or any(one.begin <= there.time() < one.end for one in mine)

    def opens(self, moment: datetime) -> datetime:
        """The next moment at which the team works: this one, if it does now."""
        if self.open_at(moment):
            return moment
        there = moment.astimezone(self.zone)
        begins = (
            datetime.combine(there.date() + timedelta(days=ahead), span.begin, self.zone)
            for ahead in range(LOOK_AHEAD)
            for span in self.spans
            if span.day == (there.date() + timedelta(days=ahead)).weekday()
        )
        return min(one for one in begins if one > there).astimezone(moment.tzinfo)

    def after(self, moment: datetime, working: timedelta) -> datetime:
        """When so much working time has gone by since a moment."""
        now, left = self.opens(moment), working
        while (end := self._end(now)) is not None and now + left > end:
            left -= end - now
            now = self.opens(end)
        return now + left

    def next_morning(self, moment: datetime) -> datetime:
        """When the team begins on the next day on which it works; at nine where it always does."""
        there = moment.astimezone(self.zone)
        day = datetime.combine(there.date() + timedelta(days=1), MORNING if not self.spans else time(), self.zone)
        return self.opens(day.astimezone(moment.tzinfo))

    def between(self, begin: datetime, end: datetime) -> timedelta:
        """How much working time lies between two moments."""
        now, worked = self.opens(begin), timedelta()
        while now < end:
            closes = self._end(now)
            until = end if closes is None else min(closes, end)
            worked += until - now
            now = self.opens(until) if until < end else end
        return worked

    def _end(self, moment: datetime) -> datetime | None:
        """When the span ends that a moment within the hours is in; None: never."""
        there = moment.astimezone(self.zone)
        mine = [one for one in self.spans if one.day == there.weekday() and one.begin <= there.time() < one.end]
        if not mine:
            return None
        return datetime.combine(there.date(), mine[0].end, self.zone).astimezone(moment.tzinfo)


def read_hours(text: str, zone: str) -> Hours:
    """The hours as they are written; empty: always. Raises BadHours."""
    spans = [span for part in text.lower().split(",") if text.strip() for span in _spans(part.strip())]
    return Hours(tuple(spans), ZoneInfo(zone))


def _spans(part: str) -> list[Span]:
    found = _SPAN.fullmatch(part)
    if found is None or found[1] not in DAYS or (found[2] or found[1]) not in DAYS:
        raise BadHours("it must be like Mon-Fri 09:00-18:00")
    first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
    try:
        begin, end = time(int(found[3]), int(found[4])), time(int(found[5]), int(found[6]))
    except ValueError:
        raise BadHours("it must be like Mon-Fri 09:00-18:00") from None
    if first > last or begin >= end:
        raise BadHours("a span must end after it begins")
    return [Span(day, begin, end) for day in range(first, last + 1)]
