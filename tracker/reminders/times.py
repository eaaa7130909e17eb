"""When to come back: "3d", "in 3 working days", "mon9am", "Friday at 17:30", "2026-12-24 9:00".

Pure. Nothing is guessed: what is not understood, or could mean two things, is a WhenError that says what to
type. What was understood is said by `said`, and reading that again gives the same: so it is kept with the
reminder, and reckoned anew when its owner moves to another time zone.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tracker.wall_clock import DAYS, WORKDAYS, add_days, add_months, add_workdays, at

LONGEST = 366  # days, for a length
FARTHEST = 5  # years, for a date
MORNING = dt.time(9)
EXAMPLES = "3d, 5 working days, friday 9am, tomorrow or 2026-12-24 9:00"


class WhenError(ValueError):
    """The text says no time, or two; its words say what to type."""


@dataclass(frozen=True)
class When:
    """A length from a start (count and unit), a day of the week, a date, or only a time of day.

    Minutes and hours pass as on a stopwatch; days, weeks, months and working days keep the time of the wall
    clock, or have a `time` of their own. `year` is None for the next such date.
    """

    count: int | None = None
    unit: str = ""  # minute | hour | day | week | month | working day
    weekday: int | None = None  # Monday = 0
    year: int | None = None
    month: int | None = None
    day: int = 0
    time: dt.time | None = None

    @property
    def is_length(self) -> bool:
        """Whether it counts from a start, rather than naming a day or a time."""
        return self.count is not None and self.time is None

    def due(self, start: dt.datetime, zone: dt.tzinfo, workdays: Collection[int] = WORKDAYS) -> dt.datetime:
        """The moment, in UTC. A day and time of the week, or of the day, is the first after `start`."""
        if self.unit in ("minute", "hour"):
            return start + dt.timedelta(**{f"{self.unit}s": self.count or 0})
        here = start.astimezone(zone)
        if self.count is not None:
            days = self._shift(here.date(), workdays)
            return at(days, self.time or here.time(), zone)
        time = self.time or MORNING
        if self.month is not None:
            return self._date(start, time, zone)
        ahead = 0 if self.weekday is None else (self.weekday - here.weekday()) % 7
        found = at(here.date() + dt.timedelta(days=ahead), time, zone)
        if found <= start:
            found = add_days(found, 1 if self.weekday is None else 7, zone)
            # A time that is skipped on one day exists on the next.
            found = at(found.astimezone(zone).date(), time, zone)
        return found

    def _shift(self, day: dt.date, workdays: Collection[int]) -> dt.date:
        count = self.count or 0
        if self.unit == "month":
            return add_months(day, count)
        if self.unit == "working day":
            return add_workdays(day, count, workdays or WORKDAYS)
        return day + dt.timedelta(days=count * (7 if self.unit == "week" else 1))

    def _date(self, start: dt.datetime, time: dt.time, zone: dt.tzinfo) -> dt.datetime:
        assert self.month is not None
        if self.year is not None:
            return at(dt.date(self.year, self.month, self.day), time, zone)
        year = start.astimezone(zone).year
        for candidate in range(year, year + 9):  # 29 February is up to eight years away
            try:
                found = at(dt.date(candidate, self.month, self.day), time, zone)
            except ValueError:
                continue
            if found > start:
                return found
        raise AssertionError("unreachable")

    @property
    def said(self) -> str:
        """In words, after which it can be read again."""
        clock = f" at {self.time or MORNING:%H:%M}"
        if self.count is not None:
            if self.time is not None and self.unit == "day" and self.count < 2:
                return ("today", "tomorrow")[self.count] + clock
            noun = self.unit if self.count == 1 else f"{self.unit}s"
            return f"in {self.count} {noun}" + (clock if self.time is not None else "")
        if self.weekday is not None:
            return f"on {DAYS[self.weekday].capitalize()}{clock}"
        if self.month is not None:
            year = f" {self.year}" if self.year is not None else ""
            return f"on {self.day} {_MONTHS[self.month - 1].capitalize()}{year}{clock}"
        return clock.strip()


def parse_when(text: str) -> When:
    """What `text` says. Raises WhenError."""
    plain = " ".join(unicodedata.normalize("NFKC", text[:200]).lower().replace(",", " ").split())
    for read in (_length, _day, _iso, _dotted, _day_month, _month_day, _time_alone):
        found = read(plain)
        if found is not None:
            return found
    if re.fullmatch(r"(?:(?:in|after)\s*)?\d+\s*m", plain, re.ASCII):
        raise WhenError("m could be minutes or months: type 30min or 3mo")
    if re.fullmatch(r"\d{1,2}/\d{1,2}(?:/\d{2,4})?.*", plain, re.ASCII):
        raise WhenError("that date could be read in two ways: type it as 2026-12-24 or 24 Dec")
    raise WhenError(f"I read no time in that: type {EXAMPLES}")


_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_UNITS = {
    "min": "minute", "mins": "minute", "minute": "minute", "minutes": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "hour": "hour", "hours": "hour",
    "d": "day", "day": "day", "days": "day", "w": "week", "wk": "week", "week": "week", "weeks": "week",
    "mo": "month", "month": "month", "months": "month", "wd": "working day", "workday": "working day",
    "workdays": "working day", "working day": "working day", "working days": "working day",
    "work day": "working day", "work days": "working day", "business day": "working day",
    "business days": "working day", "weekday": "working day", "weekdays": "working day",
}  # fmt: skip
_MOST = {"minute": LONGEST * 1440, "hour": LONGEST * 24, "day": LONGEST, "week": 52, "month": 12,
         "working day": 260}  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
)} | {"a": 1, "an": 1}  # fmt: skip
_PARTS = {"morning": 9, "noon": 12, "midday": 12, "afternoon": 14, "evening": 18}
_TIME = (
    r"(?:(\d{1,2})(?:[:.h](\d\d))?\s?(am|pm)?|("
    + "|".join(_PARTS)
    + r"))"  # groups: hour, minute, half, part
)
_AT = rf"(?:\s?(?:at\s?|@\s?)?{_TIME})?"
_NAMES = "|".join(_MONTHS) + "|" + "|".join(one[:3] for one in _MONTHS) + "|sept"
_NTH = r"(\d{1,2})(?:st|nd|rd|th)?"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


_LENGTH = _pattern(
    rf"(?:(?:in|after|for|within)\s?)?(?:(\d{{1,6}})\s?|({'|'.join(_NUMBERS)})\s)"
    rf"({'|'.join(sorted(_UNITS, key=len, reverse=True))}){_AT}"
)
_DAY = _pattern(
    r"(?:(?:on|by|this|next)\s?)?(mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun|tomorrow|today|week|"
    + "|".join(DAYS)
    + rf"){_AT}"
)
_ISO = _pattern(rf"(?:on\s)?(\d{{4}})-(\d{{1,2}})-(\d{{1,2}})(?:t|\s(?:at\s)?)?(?:{_TIME})?")
_DOTTED = _pattern(rf"(?:on\s)?(\d{{1,2}})\.\s?(\d{{1,2}})\.\s?(\d{{4}})?{_AT}")
_DAY_MONTH = _pattern(rf"(?:on\s)?(?:the\s)?{_NTH}\.?\s?(?:of\s)?({_NAMES})\.?(?:\s(\d{{4}}))?{_AT}")
_MONTH_DAY = _pattern(rf"(?:on\s)?({_NAMES})\.?\s?{_NTH}(?:\s(\d{{4}}))?(?:\s(?:at\s|@\s?)?{_TIME})?")
_ALONE = _pattern(rf"(at\s?|@\s?|this\s|in the\s)?{_TIME}")


def _length(text: str) -> When | None:
    found = _LENGTH.fullmatch(text)
    if found is None:
        return None
    count = int(found[1]) if found[1] else _NUMBERS[found[2]]
    unit, time = _UNITS[found[3]], _time(*found.groups()[3:])
    if time is not None and unit in ("minute", "hour"):
        raise WhenError("hours and minutes have no time of day: type 3h, or tomorrow 9am")
    if not count or count > _MOST[unit]:
        raise WhenError(f"that is too {'short' if not count else 'long'}: a year at the most, such as 3d")
    return When(count=count, unit=unit, time=time)


def _day(text: str) -> When | None:
    found = _DAY.fullmatch(text)
    if found is None or (found[1] == "week" and not text.startswith("next")):
        return None
    time = _time(*found.groups()[1:])
    if found[1] in ("today", "tomorrow"):
        if found[1] == "today" and time is None:
            raise WhenError("at what time today? Type today 17:00, or 3h")
        return When(count=int(found[1] == "tomorrow"), unit="day", time=time or MORNING)
    weekday = 0 if found[1] == "week" else [one[:3] for one in DAYS].index(found[1][:3])
    return When(weekday=weekday, time=time or MORNING)


def _iso(text: str) -> When | None:
    found = _ISO.fullmatch(text)
    return found and _dated(found[1], int(found[2]), found[3], found.groups()[3:])


def _dotted(text: str) -> When | None:
    found = _DOTTED.fullmatch(text)
    return found and _dated(found[3], int(found[2]), found[1], found.groups()[3:])


def _day_month(text: str) -> When | None:
    found = _DAY_MONTH.fullmatch(text)
    return found and _dated(found[3], _month(found[2]), found[1], found.groups()[3:])


def _month_day(text: str) -> When | None:
    found = _MONTH_DAY.fullmatch(text)
    return found and _dated(found[3], _month(found[1]), found[2], found.groups()[3:])


def _month(name: str) -> int:
    return 1 + next(number for number, one in enumerate(_MONTHS) if one.startswith(name[:3]))


def _dated(year: str | None, month: int, day: str, time: tuple[Any, ...]) -> When:
    try:
        dt.date(int(year or 2028), month, int(day))  # 2028 has a 29 February
    except ValueError:
        raise WhenError("there is no such day: type it as 2026-12-24 or 24 Dec") from None
    clock = _time(*time) or MORNING
    return When(year=int(year) if year else None, month=month, day=int(day), time=clock)


def _time_alone(text: str) -> When | None:
    found = _ALONE.fullmatch(text)
    if found is None or not (found[1] or found[3] or found[4] or found[5]):
        return None  # a bare number is no time
    return When(time=_time(*found.groups()[1:]))


def _time(hours: str | None, minutes: str | None, half: str | None, part: str | None) -> dt.time | None:
    if part is not None:
        return dt.time(_PARTS[part])
    if hours is None:
        return None
    hour, minute = int(hours), int(minutes or 0)
    if half is not None:
        if not 1 <= hour <= 12:
            raise WhenError(f"there is no {hours}{half}: type 9am or 17:30")
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or minute > 59:
        raise WhenError("there is no such time of day: type 9am or 17:30")
    return dt.time(hour, minute)
