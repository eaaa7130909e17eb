"""Moments as the clock on somebody's wall has them: the same time tomorrow, the next Friday at 9:00.

Pure. On the day the clocks change, 9:00 is still 9:00; a time that does not exist that day (2:30 in spring)
is later by what was skipped, and of one that comes twice the first is meant. Called by reminders, quiet hours
and summaries.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Collection
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = dt.timedelta(days=1)
WORKDAYS = frozenset(range(5))  # Monday to Friday
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def zone_of(name: str | None) -> dt.tzinfo:
    """The time zone with this name; UTC when there is none, or when this machine does not know it."""
    try:
        return ZoneInfo(name) if name else dt.UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return dt.UTC


def at(day: dt.date, time: dt.time, zone: dt.tzinfo) -> dt.datetime:
    """The moment, in UTC, at which the zone's clock shows this time on this day."""
    return dt.datetime.combine(day, time.replace(tzinfo=None, fold=0), zone).astimezone(dt.UTC)


def add_days(start: dt.datetime, days: int, zone: dt.tzinfo) -> dt.datetime:
    """The same time of day, so many days later."""
    here = start.astimezone(zone)
    return at(here.date() + days * DAY, here.time(), zone)


def add_months(day: dt.date, months: int) -> dt.date:
    """The same day of the month, or its last one: a month after 31 January is 28 or 29 February."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def add_workdays(day: dt.date, count: int, workdays: Collection[int]) -> dt.date:
    """The count-th working day after `day`, whether that is one itself or not."""
    while count > 0:
        day += DAY
        count -= day.weekday() in workdays
    return day
