"""What is usual among everybody that an account writes to, and a person's hours held against it. Pure.

How often a mail of each age is opened at all, and which hours are better than others, each without what the
other explains. A person's hours of the day are shrunk towards the group's, as far as its people are alike
(empirical Bayes, Gamma-Poisson). Used by tracker/insights/best.py and, for what is kept, by habits.py.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from tracker.insights.grid import AGES, HOURS, WEEK, Grid

Day = tuple[list[float], list[float], list[float]]  # see gather_hours
LEAST_OPENS = 15  # of one person, to say anything of them
_PROMPT = 0.25  # what an open in the first hour weighs: it says when the mail came more than whose hour it is
_ROUNDS = 12
_PEOPLE = 3  # of fewer than these nothing is usual
_USUAL = 8.0  # opens that say of a group as much as that its hours are all alike
_MOST_USUAL = 2.5
_WEAK, _STRONG = 1.0, 8.0  # bounds of what the group may weigh, in opens


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


def group_of(grids: Sequence[Grid]) -> Group:
    """What is usual among these people, each of them a grid; the neutral group of nobody."""
    steps = group_in_steps(list(grids))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(Group, end.value)


def group_in_steps(grids: list[Grid], total: Grid | None = None) -> Generator[None, None, Group]:
    """As `group_of`, some tenths of a millisecond at a time. `total`: the grids together, if known.

    It empties the list: thousands of grids, freed at once, take longer than any of the steps.
    """
    if total is None:
        total = yield from add_up(grids)
    if not total.opens:
        return Group()
    by_age, rates = _age_and_hour(total)
    yield
    people: list[tuple[list[float], list[float]]] = []
    while grids:
        grid = grids.pop()
        if grid.opens >= LEAST_OPENS // 3:
            people.append((count_seen(grid), count_expected(grid, by_age)))
        yield
    if len(people) < _PEOPLE:
        return Group(by_age)
    usual, hours, weeks = _hourly(rates), _Alike(4.0), _Alike(6.0)
    for seen, expected in people:
        hours.add(_by_hour(seen), _by_hour(expected), usual)
        yield
    group = Group(by_age, rates, hours.weight)
    for seen, expected in people:
        weeks.add(seen, expected, _spread(shrink_hours(_day_of(seen, expected, group), group)))
        yield
    return replace(group, alike_days=weeks.weight)


def add_up(grids: Sequence[Grid]) -> Generator[None, None, Grid]:
    """All of them together, a few at a time."""
    total = Grid()
    for grid in grids:
        total.add(grid)
        yield
    return total


def _age_and_hour(total: Grid) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How age and hour each matter, worked out in turns: each explains what the other does not."""
    seen = count_seen(total)
    rates = [1.0] * WEEK
    by_age = [0.0] * AGES
    for _ in range(_ROUNDS):
        for age in range(AGES):
            there = sum(hours * rate for hours, rate in zip(total.there[age], rates, strict=True))
            by_age[age] = (sum(total.opened[age]) + 0.01) / (there + 24)
        expected = count_expected(total, by_age)
        hourly = [
            (one + _USUAL) / (other + _USUAL)
            for one, other in zip(_by_hour(seen), _by_hour(expected), strict=True)
        ]
        rates = [(seen[slot] + 8 * hourly[slot % HOURS]) / (expected[slot] + 8) for slot in range(WEEK)]
        mean = sum(rates) / WEEK
        rates = [rate / mean for rate in rates]
    return tuple(by_age), tuple(rates)


class _Alike:
    """How much the prior weighs, from how far people lie apart from what is usual.

    By moments: what the counts vary more than chance alone would make them (Poisson) is people's own.
    """

    def __init__(self, default: float) -> None:
        self._default = default
        self._spread = self._squares = 0.0

    def add(self, seen: Sequence[float], expected: Sequence[float], usual: Sequence[float]) -> None:
        """One person's counts, and the rates that are usual."""
        means = [hours * rate for hours, rate in zip(expected, usual, strict=True)]
        scale = sum(seen) / (sum(means) or 1)
        means = [one * scale for one in means]
        self._spread += sum([(one - mean) ** 2 - mean for one, mean in zip(seen, means, strict=True)])
        self._squares += sum([mean * mean for mean in means])

    @property
    def weight(self) -> float:
        if not self._squares:
            return self._default
        return min(_STRONG, max(_WEAK, self._squares / self._spread)) if self._spread > 0 else _STRONG


def count_seen(grid: Grid) -> list[float]:
    """Opens in each hour of the week, those that came promptly for a part of one."""
    return [_PROMPT * column[0] + sum(column[1:]) for column in zip(*grid.opened, strict=True)]


def count_expected(grid: Grid, by_age: Sequence[float]) -> list[float]:
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


def smooth(day: Sequence[float]) -> list[float]:
    """Each hour with a little of its neighbours: habits do not begin on the hour."""
    count = len(day)
    return [0.2 * day[h - 1] + 0.6 * day[h] + 0.2 * day[(h + 1) % count] for h in range(count)]


def shrink_hours(day: Day, group: Group) -> list[float]:
    """The person's rate of each hour of the day (as gather_hours gives it), shrunk towards the group's."""
    weight = group.alike_hours
    return [(one + weight * rate) / (hours + weight) for one, hours, rate in zip(*day, strict=True)]


def gather_hours(grid: Grid, group: Group) -> Day:
    """Opens, opens expected, and the usual rate, for each hour of the day."""
    return _day_of(count_seen(grid), count_expected(grid, group.by_age), group)


def _day_of(week_seen: Sequence[float], week_expected: Sequence[float], group: Group) -> Day:
    seen, expected = _by_hour(week_seen), _by_hour(week_expected)
    scale = sum(seen) / (sum(expected) or 1)  # how much they open at all does not matter here
    return smooth(seen), smooth([one * scale for one in expected]), _hourly(group.rates)
