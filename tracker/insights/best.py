"""When somebody looks at mail: weekday × hour, normalised by when mail was there to be looked at. Pure.

A plain histogram of opens repeats the sender's own hours: much of what is sent at ten is opened at ten. So
each hour is judged by a rate: opens in it, against the opens that one would expect there if the hour made no
difference. What is expected follows from how many mails lay there, how old they were (a fresh mail is opened
sooner than an old one, and an opened one again now and then), and how often a mail of that age is opened at
all. Few opens say little: each rate is shrunk towards the person's own hour of the day, and that towards what
is usual among everybody the account writes to (empirical Bayes, Gamma-Poisson).

Hours are counted in the recipient's zone. Fed by tracker/insights/habits.py; nothing here reads a database.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

HOURS = 24
WEEK = 168
LEAST_OPENS = 15
LEAST_DAYS = 5  # on which they were: one long evening is no habit
STANDS_OUT = 1.0  # the lower end of the interval has to be above what is usual
_MICROS = 3_600_000_000
_MONDAY = 72  # hours from Monday 0:00 to Thursday 1 January 1970 0:00

# Ages in hours: of a mail nobody opened yet, then of one that was opened (since it was). But for the first
# two hours, in which phones ring, each spans whole days: an age that only ever falls on nights would pass for
# one at which nobody opens.
_UNOPENED = (0, 2, 26, 74, 170)
_OPENED = (0, 24, 168, 672)
AGES = len(_UNOPENED) - 1 + len(_OPENED) - 1
_FIRST_OPENED = len(_UNOPENED) - 1
_PROMPT = (
    0.25  # what an open in the first hour weighs: it says when the mail came, more than whose hour it is
)
_ROUNDS = 12
_Z90 = 1.645
_Z_FEW_DAYS = 2.2
_AS_GOOD = 0.65
EVERY_DAY = tuple(range(7))
WEEKDAYS, WEEKEND = (0, 1, 2, 3, 4), (5, 6)
# Sets of weekdays that people keep: beside all of them.
SOME_DAYS = (WEEKDAYS, WEEKEND, *((day,) for day in range(7)), *combinations(range(5), 2))
_PEOPLE = 3  # of fewer than these nothing is usual
_USUAL = 8.0  # opens that say of a group as much as that its hours are all alike
_MOST_USUAL = 2.5
_WEAK, _STRONG = 1.0, 8.0  # bounds of what the group may weigh, in opens


def _cells() -> list[list[float]]:
    return [[0.0] * WEEK for _ in range(AGES)]


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one person. Moments in microseconds UTC; `opens` are those of class human or proxied."""

    sent: int
    opens: tuple[int, ...] = ()


@dataclass(slots=True)
class Grid:
    """Hours of mail there, and opens, by the mail's age and the hour of the week (0 = Monday 0:00)."""

    there: list[list[float]] = field(default_factory=_cells)
    opened: list[list[float]] = field(default_factory=_cells)
    opens: int = 0  # as people count them
    days: int = 0
    mails: int = 0

    def add(self, other: Grid) -> None:
        """Both together."""
        for mine, more in ((self.there, other.there), (self.opened, other.opened)):
            for row, plus in zip(mine, more, strict=True):
                row[:] = [one + two for one, two in zip(row, plus, strict=True)]
        self.opens += other.opens
        self.days += other.days
        self.mails += other.mails

    @property
    def row(self) -> dict[str, Any]:
        """As JSON keeps it."""
        there = [[round(one, 2) for one in row] for row in self.there]
        return {"there": there, "opened": self.opened, "counts": [self.opens, self.days, self.mails]}

    @classmethod
    def of(cls, row: Any) -> Grid:
        """From what `row` gave; an empty one from anything else, such as one with other ages."""
        try:
            there, opened = ([list(map(float, one)) for one in row[name]] for name in ("there", "opened"))
            opens, days, mails = map(int, row["counts"])
        except (TypeError, KeyError, ValueError):
            return cls()
        sound = all(len(rows) == AGES and all(len(one) == WEEK for one in rows) for rows in (there, opened))
        return cls(there, opened, opens, days, mails) if sound else cls()


@dataclass(frozen=True)
class Group:
    """What is usual in an account: how age matters, the rate of each hour of the week, how alike people are.

    `by_age` are opens for each hour that a mail of that age lies there; `rates` are relative to 1.
    """

    by_age: tuple[float, ...] = ()
    rates: tuple[float, ...] = (1.0,) * WEEK
    alike_hours: float = 4.0  # what the group weighs against a person's own opens in one hour of the day
    alike_days: float = 6.0  # what the hour of the day weighs against one hour of the week

    @property
    def neutral(self) -> Group:
        """With no hour better than another: what the group itself is judged against."""
        return Group(self.by_age)

    @property
    def row(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "by_age": [round(one, 9) for one in self.by_age],
            "rates": [round(one, 4) for one in self.rates],
            "alike": [round(self.alike_hours, 3), round(self.alike_days, 3)],
        }

    @classmethod
    def of(cls, row: Any) -> Group:
        """From what `row` gave; the neutral one from anything else."""
        try:
            hours, days = map(float, row["alike"])
            found = cls(tuple(map(float, row["by_age"])), tuple(map(float, row["rates"])), hours, days)
        except (TypeError, KeyError, ValueError):
            return cls()
        return found if len(found.by_age) in (0, AGES) and len(found.rates) == WEEK else cls()


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


def grid_of(letters: Iterable[Letter], zone: dt.tzinfo, now: int) -> Grid:
    """Sorts the letters' hours and opens into a grid of the zone's week; the future is not there yet."""
    grid = Grid()
    steps, whole = _cells(), [0.0] * AGES
    days: set[int] = set()
    for letter in letters:
        offset = _offset(letter.sent, zone)
        sent = letter.sent + offset
        opens = sorted({(at + offset) // _MICROS for at in letter.opens if at >= letter.sent})
        end = (now + offset) // _MICROS + 1  # the present hour counts whole
        start = sent // _MICROS
        if end <= start:
            continue
        grid.mails += 1
        grid.opens += len(letter.opens)
        days.update(hour // HOURS for hour in opens)
        first = opens[0] if opens else None
        part = 1 - (sent % _MICROS) / _MICROS  # of the hour in which it was sent
        grid.there[0][_slot(start)] += part - 1
        _lie(steps, whole, 0, _UNOPENED, start, end if first is None else min(end, first + 1))
        if first is None:
            continue
        _note(grid, 0, _UNOPENED, start, first)
        # Opened again: never in the same hour, so that ten looks at one screen are one.
        _lie(steps, whole, _FIRST_OPENED, _OPENED, first + 1, end)
        for hour in opens[1:]:
            _note(grid, _FIRST_OPENED, _OPENED, first + 1, hour)
    for row, changes, rounds in zip(grid.there, steps, whole, strict=True):
        level = rounds
        for slot in range(WEEK):
            level += changes[slot]
            row[slot] += level
    grid.days = len(days)
    return grid


def _offset(micros: int, zone: dt.tzinfo) -> int:
    moment = dt.datetime.fromtimestamp(micros / 1e6, zone)
    return int((moment.utcoffset() or dt.timedelta()).total_seconds()) * 1_000_000


def _slot(hour: int) -> int:
    return (hour + _MONDAY) % WEEK


def _lie(
    steps: list[list[float]], whole: list[float], age: int, ages: Sequence[int], start: int, end: int
) -> None:
    """The mail lies there from hour `start` until `end`: noted where it begins and ends, for each age."""
    for number in range(len(ages) - 1):
        begin, stop = start + ages[number], min(start + ages[number + 1], end)
        if begin >= stop:
            return
        changes = steps[age + number]
        first, last = _slot(begin), _slot(stop)
        whole[age + number] += (stop - begin) // WEEK + (1 if last < first else 0)
        changes[first] += 1
        changes[last] -= 1


def _note(grid: Grid, age: int, ages: Sequence[int], start: int, hour: int) -> None:
    """An open in this hour; one of a mail older than is watched says nothing."""
    passed = hour - start
    if 0 <= passed < ages[-1]:
        number = next(n for n in range(len(ages) - 1) if passed < ages[n + 1])
        grid.opened[age + number][_slot(hour)] += 1


# What is usual -----------------------------------------------------------------------------------


def group_of(grids: Sequence[Grid]) -> Group:
    """What is usual among these people, each of them a grid; the neutral group of nobody."""
    total = Grid()
    for grid in grids:
        total.add(grid)
    if not total.opens:
        return Group()
    by_age, rates = _age_and_hour(total)
    people = [grid for grid in grids if grid.opens >= LEAST_OPENS // 3]
    if len(people) < _PEOPLE:
        return Group(by_age)
    group = Group(by_age, rates)
    hours = [(_by_hour(_seen(grid)), _by_hour(_expected(grid, by_age))) for grid in people]
    usual = _hourly(rates)
    alike_hours = _alike([(s, e, usual) for s, e in hours], 4.0)
    group = replace(group, alike_hours=alike_hours)
    weeks = [(_seen(grid), _expected(grid, by_age), _spread(_hour_rates(grid, group))) for grid in people]
    return replace(group, alike_days=_alike(weeks, 6.0))


def _age_and_hour(total: Grid) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How age and hour each matter, worked out in turns: each explains what the other does not."""
    seen = _seen(total)
    rates = [1.0] * WEEK
    by_age = [0.0] * AGES
    for _ in range(_ROUNDS):
        for age in range(AGES):
            there = sum(hours * rate for hours, rate in zip(total.there[age], rates, strict=True))
            by_age[age] = (sum(total.opened[age]) + 0.01) / (there + 24)
        expected = _expected(total, by_age)
        hourly = [
            (one + _USUAL) / (other + _USUAL)
            for one, other in zip(_by_hour(seen), _by_hour(expected), strict=True)
        ]
        rates = [(seen[slot] + 8 * hourly[slot % HOURS]) / (expected[slot] + 8) for slot in range(WEEK)]
        mean = sum(rates) / WEEK
        rates = [rate / mean for rate in rates]
    return tuple(by_age), tuple(rates)


def _alike(
    people: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]], default: float
) -> float:
    """How much the prior weighs, from how far people's (seen, expected, usual rate) lie apart.

    By moments: what the counts vary more than chance alone would make them (Poisson) is people's own.
    """
    spread, weight = 0.0, 0.0
    for seen, expected, usual in people:
        scale = sum(seen) / (sum(e * u for e, u in zip(expected, usual, strict=True)) or 1)
        for one, hours, rate in zip(seen, expected, usual, strict=True):
            mean = hours * rate * scale
            spread += (one - mean) ** 2 - mean
            weight += mean**2
    if not weight:
        return default
    return min(_STRONG, max(_WEAK, weight / spread)) if spread > 0 else _STRONG


def _seen(grid: Grid) -> list[float]:
    return [_PROMPT * column[0] + sum(column[1:]) for column in zip(*grid.opened, strict=True)]


def _expected(grid: Grid, by_age: Sequence[float]) -> list[float]:
    """Opens for each hour of the week if no hour were special."""
    weights = (_PROMPT * by_age[0], *by_age[1:])
    return [
        sum([hours * rate for hours, rate in zip(column, weights, strict=True)])
        for column in zip(*grid.there, strict=True)
    ]


def _by_hour(week: Sequence[float]) -> list[float]:
    return [sum(week[hour::HOURS]) for hour in range(HOURS)]


def _hourly(rates: Sequence[float]) -> list[float]:
    """What is usual at each hour of the day: it may nudge what is said of a person, never decide it."""
    return [min(_MOST_USUAL, max(1 / _MOST_USUAL, rate / 7)) for rate in _by_hour(rates)]


def _spread(hourly: Sequence[float]) -> list[float]:
    return [hourly[slot % HOURS] for slot in range(WEEK)]


def _smooth(day: Sequence[float]) -> list[float]:
    """Each hour with a little of its neighbours: habits do not begin on the hour."""
    count = len(day)
    return [0.2 * day[h - 1] + 0.6 * day[h] + 0.2 * day[(h + 1) % count] for h in range(count)]


# One person ---------------------------------------------------------------------------------------


def _hour_rates(grid: Grid, group: Group) -> list[float]:
    """The person's rate of each hour of the day, shrunk towards the group's."""
    seen, expected, usual = _hour_evidence(grid, group)
    weight = group.alike_hours
    return [
        (one + weight * rate) / (hours + weight)
        for one, hours, rate in zip(seen, expected, usual, strict=True)
    ]


def _hour_evidence(grid: Grid, group: Group) -> tuple[list[float], list[float], list[float]]:
    seen = _by_hour(_seen(grid))
    expected = _by_hour(_expected(grid, group.by_age))
    scale = sum(seen) / (sum(expected) or 1)  # how much they open at all does not matter here
    return _smooth(seen), _smooth([one * scale for one in expected]), _hourly(group.rates)


def best_of(grid: Grid, group: Group) -> Best | NotEnough:
    """The best time by these opens, or that there are too few of them.

    The best is what is surely good, not what looks best: the hour, on all days or on some of them, whose
    interval's lower end is the highest.
    """
    if grid.opens < LEAST_OPENS or grid.days < LEAST_DAYS:
        return NotEnough(grid.opens, grid.days)
    if not group.by_age:
        group = group_of([grid])
    hourly = _hour_rates(grid, group)
    mean = sum(hourly) / HOURS or 1.0
    found = max(_candidates(grid, group, hourly), key=lambda one: one.low)
    stands_out = found.low > STANDS_OUT * mean
    return Best(
        _most_opened(grid, found) if stands_out else None,
        _days_of(grid, group, hourly, found) if stands_out else EVERY_DAY,
        found.rate / mean,
        found.low / mean,
        found.high / mean,
        tuple(rate / mean for rate in _week_rates(grid, group, hourly)),
        grid,
    )


def _most_opened(grid: Grid, found: _Candidate) -> int:
    """The hour itself or its neighbour: where hardly any mail lies, a rate is mostly its neighbour's."""
    seen = _seen(grid)
    near = [(found.hour + step) % HOURS for step in (0, -1, 1)]
    return max(near, key=lambda hour: sum(seen[HOURS * day + hour] for day in found.days))


def _days_of(grid: Grid, group: Group, hourly: Sequence[float], found: _Candidate) -> tuple[int, ...]:
    """The candidate's days; all of them where the others are about as good at that hour."""
    others = [day for day in EVERY_DAY if day not in found.days]
    slots = [HOURS * day + found.hour for day in others]
    seen, expected = _week_evidence(grid, group)
    weight = group.alike_days * len(others) / 7
    good = sum([seen[slot] for slot in slots]) + weight * hourly[found.hour]
    hours = sum([expected[slot] for slot in slots]) + weight
    return EVERY_DAY if not others or good / hours >= _AS_GOOD * found.rate else found.days


@dataclass(frozen=True, slots=True)
class _Candidate:
    hour: int
    days: tuple[int, ...]
    rate: float
    low: float
    high: float


def _candidates(grid: Grid, group: Group, hourly: Sequence[float]) -> Iterator[_Candidate]:
    """Each hour of the day, on all days and on those that people keep; with what is known of it."""
    seen, expected, usual = _hour_evidence(grid, group)
    for hour in range(HOURS):
        weight = group.alike_hours
        yield _candidate(hour, EVERY_DAY, seen[hour] + weight * usual[hour], expected[hour] + weight, _Z90)
    week_seen, week_expected = _week_evidence(grid, group)
    for hour in range(HOURS):
        for days in SOME_DAYS:
            slots = [HOURS * day + hour for day in days]
            weight = group.alike_days * len(days) / 7
            yield _candidate(
                hour,
                days,
                sum([week_seen[slot] for slot in slots]) + weight * hourly[hour],
                sum([week_expected[slot] for slot in slots]) + weight,
                _Z90 if len(days) > 2 else _Z_FEW_DAYS,  # there are many such: one looks good by chance
            )


def _candidate(hour: int, days: tuple[int, ...], shape: float, rate: float, z: float) -> _Candidate:
    low, high = interval(shape, rate, z)
    return _Candidate(hour, days, shape / rate, low, high)


def _week_evidence(grid: Grid, group: Group) -> tuple[list[float], list[float]]:
    """Opens, and opens expected, for each hour of the week, smoothed."""
    seen, expected = _seen(grid), _expected(grid, group.by_age)
    scale = sum(seen) / (sum(expected) or 1)
    return _smooth(seen), _smooth([one * scale for one in expected])


def _week_rates(grid: Grid, group: Group, hourly: Sequence[float]) -> list[float]:
    """Each hour of the week, shrunk towards its hour of the day."""
    seen, expected = _week_evidence(grid, group)
    weight = group.alike_days
    return [(seen[slot] + weight * hourly[slot % HOURS]) / (expected[slot] + weight) for slot in range(WEEK)]


def interval(shape: float, rate: float, z: float = _Z90) -> tuple[float, float]:
    """The middle of a Gamma distribution, 90 % of it by default (Wilson and Hilferty's approximation)."""
    shape = max(shape, 0.05)
    spread = 1 / (9 * shape)
    step = z * math.sqrt(spread)
    middle = 1 - spread
    return shape / rate * max(0.0, middle - step) ** 3, shape / rate * (middle + step) ** 3
