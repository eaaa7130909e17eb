"""When mail was there to be looked at, and when it was: by its age and the hour of the week. Pure.

Fed by tracker/insights/habits.py, read by usual.py and best.py beside it. Hours are counted in the
recipient's zone, so that a grid says nothing of another zone's. Nothing here reads a database or judges.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

HOURS = 24
WEEK = 168
_MICROS = 3_600_000_000
_MONDAY = 72  # hours from Monday 0:00 to Thursday 1 January 1970 0:00

# Ages in hours: of a mail nobody opened yet, then of one that was opened (since it was). But for the first
# two hours, in which phones ring, each spans whole days: an age that only ever falls on nights would pass for
# one at which nobody opens.
_UNOPENED = (0, 2, 26, 74, 170)
_OPENED = (0, 24, 168, 672)
AGES = len(_UNOPENED) - 1 + len(_OPENED) - 1
_FIRST_OPENED = len(_UNOPENED) - 1


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
