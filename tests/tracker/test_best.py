"""When somebody looks at mail: rates, not a histogram; and no answer where too little is known."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import random
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.insights import habits
from tracker.insights.best import EVERY_DAY, Best, NotEnough, best_of, interval
from tracker.insights.grid import AGES, WEEK, Grid, Letter, grid_of
from tracker.insights.usual import Group, group_in_steps, group_of

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000_000


def at(day: int, hour: float, zone: dt.tzinfo = BERLIN) -> int:
    """Day 0 is Monday, 2 March 2026."""
    midnight = dt.datetime(2026, 3, 2, tzinfo=zone) + dt.timedelta(days=day)
    return int((midnight + dt.timedelta(hours=hour)).timestamp() * 1e6)


LATER = at(60, 0)


def test_a_habit_shows_although_mail_is_sent_and_often_opened_at_another_hour():
    """Sent at 10, every second one opened within minutes; what is left is opened at 17."""
    letters = [
        Letter(at(day, 10.2), (at(day, 10.5 if day % 2 else 17.3),)) for day in range(40) if day % 7 < 5
    ]
    opens = [10 if day % 2 else 17 for day in range(40) if day % 7 < 5]
    assert opens.count(10) >= opens.count(17) - 1
    found = best_of(grid_of(letters, BERLIN, LATER), Group())
    assert isinstance(found, Best)
    assert found.hour == 17
    assert found.low > 1


def test_the_hour_at_which_more_is_opened_of_what_lies_there_beats_the_one_with_more_opens():
    """Sent at noon: of what lies there half is opened at 17, and two of three at 9, when less is left."""
    chance, letters = random.Random(5), []
    for day in range(200):
        looks = itertools.cycle([(17.3, 0.48), (9.3 + 24, 0.65)])
        for number, (hour, share) in enumerate(looks):
            if chance.random() < share:
                letters.append(Letter(at(day, 12), (at(day + number // 2, hour),)))
                break
    opens = Counter(dt.datetime.fromtimestamp(one.opens[0] / 1e6, BERLIN).hour for one in letters)
    assert opens[17] > opens[9]
    found = best_of(grid_of(letters, BERLIN, at(250, 0)), Group())
    assert isinstance(found, Best)
    assert found.hour == 9


def test_weekdays_are_named_only_where_they_stand_out():
    tuesdays = [Letter(at(7 * week, 8), (at(7 * week + 1, 9.4),)) for week in range(20)]
    found = best_of(grid_of(tuesdays, BERLIN, at(150, 0)), Group())
    assert isinstance(found, Best)
    assert (found.hour, found.days) == (9, (1,))
    days = [Letter(at(day, 10 + 3 * (day % 4)), (at(day + 1, 9.4),)) for day in range(28)]
    everyday = best_of(grid_of(days, BERLIN, LATER), Group())
    assert isinstance(everyday, Best)
    assert (everyday.hour, everyday.days) == (9, EVERY_DAY)


def test_opens_all_over_the_day_have_no_best_hour():
    chance = random.Random(4)
    letters = [
        Letter(sent := at(day, chance.uniform(0, 24)), (sent + int(chance.uniform(3, 20) * HOUR),))
        for day in range(40)
    ]
    found = best_of(grid_of(letters, BERLIN, LATER), Group())
    assert isinstance(found, Best)
    assert found.hour is None
    assert found.days == EVERY_DAY


def test_under_the_minimum_it_says_how_much_is_missing():
    letters = [Letter(at(day, 10), (at(day, 17),)) for day in range(4)]
    assert best_of(grid_of(letters, BERLIN, LATER), Group()) == NotEnough(opens=4, days=4)
    assert best_of(Grid(), Group()) == NotEnough(0, 0)


def test_one_long_evening_is_no_habit():
    letters = [Letter(at(0, 10), tuple(at(0, 20 + minute / 60) for minute in range(30)))]
    found = best_of(grid_of(letters, BERLIN, LATER), Group())
    assert isinstance(found, NotEnough)
    assert (found.opens, found.days) == (30, 1)


def test_hours_are_those_of_the_recipients_zone():
    tokyo = ZoneInfo("Asia/Tokyo")
    letters = [Letter(at(day, 12, tokyo), (at(day, 21.5, tokyo),)) for day in range(30)]
    found = best_of(grid_of(letters, tokyo, LATER), Group())
    assert isinstance(found, Best)
    assert found.hour == 21


def test_a_mail_lies_there_for_each_hour_until_it_is_opened_and_then_as_an_opened_one():
    grid = grid_of([Letter(at(0, 9.5), (at(0, 12.2),))], BERLIN, at(3, 0))
    unopened = [sum(column[:4]) for column in zip(*grid.there, strict=True)]
    assert unopened[8:14] == [0, 0.5, 1, 1, 1, 0]
    assert sum(unopened) == 3.5
    opened = [sum(column[4:]) for column in zip(*grid.there, strict=True)]
    assert sum(opened) == 3 * 24 + 1 - 13  # the rest until now, the present hour among it
    assert [sum(column) for column in zip(*grid.opened, strict=True)].index(1) == 12


def test_a_mail_that_lies_there_for_weeks_goes_round_the_week():
    grid = grid_of([Letter(at(0, 0))], BERLIN, at(21, 0))
    assert sum(map(sum, grid.there)) == 170  # longer than that nobody waits for it
    whole = [sum(column) for column in zip(*grid.there, strict=True)]
    assert set(whole) == {1.0, 2.0}


def person(hour: int, mails: int) -> Grid:
    """Somebody who gets a mail each day at ten, and opens it at that hour."""
    letters = [Letter(at(day, 10), (at(day, hour + 0.4),)) for day in range(mails)]
    return grid_of(letters, BERLIN, LATER)


def test_what_is_usual_fills_in_where_little_is_known():
    group = group_of([person(16, 30) for _ in range(12)])
    hours = [sum(group.rates[hour::24]) for hour in range(24)]
    assert hours.index(max(hours)) == 16
    assert Group.of(group.row).row == group.row
    other = best_of(person(19, 40), group)
    assert isinstance(other, Best)
    assert other.hour == 19, "what they do themselves outweighs what is usual"


@pytest.mark.parametrize("stored", [None, {}, {"by_age": [1], "rates": [1], "alike": [1, 1]}, "x"])
def test_what_is_stored_in_another_shape_counts_as_nothing(stored):
    assert Group.of(stored) == Group()
    assert Grid.of(stored) == Grid()


def test_a_grid_is_kept_and_read_again():
    grid = grid_of([Letter(at(0, 9), (at(0, 12),))], BERLIN, LATER)
    assert Grid.of(grid.row) == grid


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**16),
            st.lists(st.integers(-(10**9), 10**13), max_size=6),
        ),
        max_size=30,
    ),
    st.integers(0, 10**16),
)
def test_whatever_the_moments_no_hour_is_negative_and_every_rate_is_finite(mails, now):
    letters = [Letter(sent, tuple(sent + after for after in opens)) for sent, opens in mails]
    grid = grid_of(letters, BERLIN, now)
    assert len(grid.there) == AGES
    assert all(len(row) == WEEK and min(row) > -1e-6 for row in grid.there)
    found = best_of(grid, group_of([grid]))
    if isinstance(found, Best):
        assert all(0 <= rate < 1e6 for rate in found.rates)


def test_an_interval_holds_the_mean_and_narrows_with_evidence():
    low, high = interval(4, 2)
    assert low < 2 < high
    narrow = interval(400, 200)
    assert low < narrow[0] < 2 < narrow[1] < high


async def test_others_get_their_turn_while_what_is_usual_is_worked_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(habits, "SLICE", -1.0)  # each step is one
    people = [person(16, 30) for _ in range(3)]
    turns = 0

    async def other() -> None:
        nonlocal turns
        while not reckoning.done():
            turns += 1
            await asyncio.sleep(0)

    reckoning = asyncio.ensure_future(habits.in_slices(group_in_steps(list(people))))
    await other()
    assert turns > 2 * len(people)
    assert reckoning.result() == group_of(people)
