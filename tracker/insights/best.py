"""When somebody looks at mail: weekday × hour, normalised by when mail was there to be looked at. Pure.

A plain histogram of opens repeats the sender's own hours: much of what is sent at ten is opened at ten. So
each hour is judged by a rate: opens in it, against the opens that one would expect there if the hour made no
difference. What is expected follows from how many mails lay there, how old they were (a fresh mail is opened
sooner than an old one, and an opened one again now and then), and how often a mail of that age is opened at
all. Few opens say little: each rate is shrunk towards the person's own hour of the day, and that towards what
is usual among everybody the account writes to (tracker/insights/usual.py).

Fed by tracker/insights/habits.py; nothing here reads a database.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from tracker.insights.grid import HOURS, WEEK, Grid
from tracker.insights.usual import (
    LEAST_OPENS,
    Day,
    Group,
    count_expected,
    count_seen,
    gather_hours,
    group_of,
    shrink_hours,
    smooth,
)

LEAST_DAYS = 5  # on which they were: one long evening is no habit
STANDS_OUT = 1.0  # the lower end of the interval has to be above what is usual
Week = tuple[list[float], list[float]]  # opens, and opens expected, for each hour of the week
_Z90 = 1.645
_Z_FEW_DAYS = 2.2
_AS_GOOD = 0.65
EVERY_DAY = tuple(range(7))
WEEKDAYS, WEEKEND = (0, 1, 2, 3, 4), (5, 6)
# Sets of weekdays that people keep: beside all of them.
SOME_DAYS = (WEEKDAYS, WEEKEND, *((day,) for day in range(7)), *combinations(range(5), 2))


@dataclass(frozen=True)
class Best:
    """The answer. Rates are times the usual; `low` and `high` bound the best one with 90 %.

    `days` are the weekdays (0 = Monday) on which that hour is: all seven where no day stands out.
    """

    hour: int | None  # None: no hour stands out
    days: tuple[int, ...]
    rate: float
    low: float
    high: float
    rates: tuple[float, ...]  # all 168
    grid: Grid


@dataclass(frozen=True)
class NotEnough:
    """Too little is known to say anything."""

    opens: int
    days: int
    needed: int = LEAST_OPENS
    needed_days: int = LEAST_DAYS


def best_of(grid: Grid, group: Group) -> Best | NotEnough:
    """The best time by these opens, or that there are too few of them.

    The best is what is surely good, not what looks best: the hour, on all days or on some of them, whose
    interval's lower end is the highest.
    """
    if grid.opens < LEAST_OPENS or grid.days < LEAST_DAYS:
        return NotEnough(grid.opens, grid.days)
    if not group.by_age:
        group = group_of([grid])
    day, week = gather_hours(grid, group), _gather_week(grid, group)
    hourly = shrink_hours(day, group)
    mean = sum(hourly) / HOURS or 1.0
    found = _surest(_candidates(group, day, week, hourly))
    stands_out = found.low > STANDS_OUT * mean
    return Best(
        _most_opened(grid, found) if stands_out else None,
        _days_of(group, week, hourly, found) if stands_out else EVERY_DAY,
        found.rate / mean,
        found.low / mean,
        found.high / mean,
        tuple(rate / mean for rate in _week_rates(group, week, hourly)),
        grid,
    )


def _most_opened(grid: Grid, found: _Found) -> int:
    """The hour itself or its neighbour: where hardly any mail lies, a rate is mostly its neighbour's."""
    seen = count_seen(grid)
    near = [(found.hour + step) % HOURS for step in (0, -1, 1)]
    return max(near, key=lambda hour: sum(seen[HOURS * day + hour] for day in found.days))


def _days_of(group: Group, week: Week, hourly: Sequence[float], found: _Found) -> tuple[int, ...]:
    """The candidate's days; all of them where the others are about as good at that hour."""
    others = [day for day in EVERY_DAY if day not in found.days]
    slots = [HOURS * day + found.hour for day in others]
    seen, expected = week
    weight = group.alike_days * len(others) / 7
    good = sum([seen[slot] for slot in slots]) + weight * hourly[found.hour]
    hours = sum([expected[slot] for slot in slots]) + weight
    return EVERY_DAY if not others or good / hours >= _AS_GOOD * found.rate else found.days


class _Found(NamedTuple):
    hour: int
    days: tuple[int, ...]
    rate: float
    low: float
    high: float


# An hour on some days, the evidence for it (see `interval`), and how sure its interval has to be.
_Candidate = tuple[int, tuple[int, ...], float, float, float]


def _candidates(group: Group, day: Day, week: Week, hourly: Sequence[float]) -> Iterator[_Candidate]:
    """Each hour of the day, on all days and on those that people keep; with what is known of it."""
    seen, expected, usual = day
    for hour in range(HOURS):
        weight = group.alike_hours
        yield hour, EVERY_DAY, seen[hour] + weight * usual[hour], expected[hour] + weight, _Z90
    week_seen, week_expected = week
    for hour in range(HOURS):
        for days in SOME_DAYS:
            slots = [HOURS * day + hour for day in days]
            weight = group.alike_days * len(days) / 7
            shape = sum([week_seen[slot] for slot in slots]) + weight * hourly[hour]
            rate = sum([week_expected[slot] for slot in slots]) + weight
            # There are many sets of few days: one looks good by chance.
            yield hour, days, shape, rate, _Z90 if len(days) > 2 else _Z_FEW_DAYS


def _surest(candidates: Iterable[_Candidate]) -> _Found:
    """The one whose interval's lower end is the highest. It never lies above the rate: most need none."""
    found = _Found(0, EVERY_DAY, 0.0, -1.0, 0.0)
    for hour, days, shape, rate, z in candidates:
        if shape / rate > found.low:
            low, high = interval(shape, rate, z)
            if low > found.low:
                found = _Found(hour, days, shape / rate, low, high)
    return found


def _gather_week(grid: Grid, group: Group) -> Week:
    """Opens, and opens expected, for each hour of the week, smoothed."""
    seen, expected = count_seen(grid), count_expected(grid, group.by_age)
    scale = sum(seen) / (sum(expected) or 1)
    return smooth(seen), smooth([one * scale for one in expected])


def _week_rates(group: Group, week: Week, hourly: Sequence[float]) -> list[float]:
    """Each hour of the week, shrunk towards its hour of the day."""
    seen, expected = week
    weight = group.alike_days
    return [(seen[slot] + weight * hourly[slot % HOURS]) / (expected[slot] + weight) for slot in range(WEEK)]


def interval(shape: float, rate: float, z: float = _Z90) -> tuple[float, float]:
    """The middle of a Gamma distribution, 90 % of it by default (Wilson and Hilferty's approximation)."""
    shape = max(shape, 0.05)
    spread = 1 / (9 * shape)
    step = z * math.sqrt(spread)
    middle = 1 - spread
    return shape / rate * max(0.0, middle - step) ** 3, shape / rate * (middle + step) ** 3
