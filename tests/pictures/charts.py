"""The two pictures that `best` and `stats` send, of simulated readers: drawn by the very code that chats get.

Called by `make pictures`. The reader is one of the simulation that the tests hold `best` against: they look
on Tuesdays and Thursdays at nine, while most of their opens are at eleven, when mail is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from bot.commands.best import marked, said_time
from bot.commands.figures import bars_of
from bot.render.pictures import heat_map, trend
from models.columns import to_micros
from tests.tracker.habits import END, Reader, simulate
from tracker.insights.best import Best, best_of
from tracker.insights.grid import Grid, Letter, grid_of
from tracker.insights.stats import Day
from tracker.insights.usual import group_of

SEED, READER = 8, "reader35@third.example"
MONTH = 30


def best_chart() -> tuple[str, bytes]:
    """When to write to the reader, in words, and the heat map."""
    readers = simulate(SEED)
    group = group_of([_grid(one) for one in readers if not one.apple])
    found = best_of(_grid(_the_reader(readers)), group)
    assert isinstance(found, Best)
    return said_time(found), heat_map(found.rates, marked(found))


def stats_chart() -> bytes:
    """The last month of everybody's mail."""
    first = (END - timedelta(days=MONTH)).date()
    days = [first + timedelta(days=number) for number in range(MONTH - 7)]  # nobody is written to in the last
    counts = dict.fromkeys(days, (0, 0, 0))
    for reader in simulate(SEED):
        for sent in reader.mails:
            day = sent.at.date()
            if day in counts:
                mails, opened, clicked = counts[day]
                # The simulation has no links: here whoever looks again clicks.
                counts[day] = mails + 1, opened + bool(sent.opens), clicked + (len(sent.opens) > 1)
    return trend(bars_of([Day(day, *counts[day]) for day in days]))


def _the_reader(readers: Sequence[Reader]) -> Reader:
    return next(one for one in readers if one.address == READER)


def _grid(reader: Reader) -> Grid:
    letters = (Letter(to_micros(one.at), tuple(map(to_micros, one.opens))) for one in reader.mails)
    return grid_of(letters, ZoneInfo(reader.zone), to_micros(END))
