"""Times of day and days of the week, as settings name them. Pure."""

from __future__ import annotations

import datetime as dt
import re

from bot.commands.registry import CommandError
from bot.words import listed, one_line
from tracker.quiet import ALL_DAYS
from tracker.wall_clock import DAYS, WORKDAYS

_CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))? ?(am|pm)?", re.ASCII)
_RANGE = re.compile(r"([a-z]+) ?(?:-|–|to) ?([a-z]+)")


def read_clock(text: str) -> dt.time:
    """A time of day from "8:30", "8pm", "20:00"."""
    found = _CLOCK.fullmatch(text.strip())
    hour, minute = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    if found and found[3]:
        hour = hour % 12 + (12 if found[3] == "pm" else 0) if 1 <= hour <= 12 else 99
    if hour == 24 and not minute:
        hour = 0
    if hour > 23 or minute > 59:
        raise CommandError(f"“{one_line(text, 20)}” is no time of day. Type such as: 8:30, 20:00 or 8pm")
    return dt.time(hour, minute)


def read_weekdays(text: str) -> frozenset[int]:
    """Days of the week from "mon-fri", "mon, wed, fri", "weekends", "on sun-thu"."""
    plain = " ".join(text.lower().replace(",", " ").split()).removeprefix("on ")
    if plain in ("weekends", "weekend"):
        return ALL_DAYS - WORKDAYS
    if plain in ("workdays", "working days", "weekdays"):
        return WORKDAYS
    found = _RANGE.fullmatch(plain)
    if found is not None:
        first, last = _weekday(found[1]), _weekday(found[2])
        return frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(_weekday(word) for word in plain.split() if word != "and")


def _weekday(word: str) -> int:
    for number, name in enumerate(DAYS):
        if len(word) >= 3 and name.startswith(word.rstrip("s") if len(word) > 4 else word[:3]):
            return number
    raise CommandError(
        f"“{one_line(word, 20)}” is no day of the week. Type such as: mon-fri, or mon, wed, fri"
    )


def tell_days(days: frozenset[int]) -> str:
    """Days of the week in words."""
    if days == ALL_DAYS:
        return "every day"
    return (
        "Monday to Friday"
        if days == WORKDAYS
        else listed([DAYS[one].capitalize() for one in sorted(days)], 7)
    )
