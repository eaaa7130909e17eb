"""When people look at their mail, from the rows: the facts that tracker/insights/best.py judges.

One person's hours are read from their newest mails whenever somebody asks; what is usual in an account is
worked out by a duty (`learn`), from its newest mails, and kept in one row. Always scoped by the account.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from models import Account, Habit, Person
from models.columns import to_micros
from tracker.insights.best import Best, NotEnough, best_of
from tracker.insights.grid import Grid, Letter, grid_of
from tracker.insights.reading import Copy, copies_to, newest_copies, opens_of
from tracker.insights.usual import LEAST_OPENS, Group, add_up, group_in_steps
from tracker.services import Services

MAILS = 200  # the newest to one person: habits change
MAILS_OF_ALL = 4000  # the newest of an account
KEPT = dt.timedelta(hours=6)  # after which what is usual is worked out anew
_BATCH = 500
SLICE = 0.002  # seconds for which nothing else of the process goes on

T = TypeVar("T")


@dataclass(frozen=True)
class Habits:
    """`zone` is the name of the zone that the hours are in; `zone_known`: it was set for this person."""

    found: Best | NotEnough
    zone: str
    zone_known: bool
    mails: int


def zone_named(name: str | None) -> dt.tzinfo:
    """The zone; UTC where none is set or this machine does not know it."""
    try:
        return ZoneInfo(name) if name else dt.UTC
    except (ValueError, OSError, KeyError):
        return dt.UTC


async def habits_of(services: Services, account: Account, address: str) -> Habits:
    """When this person looks at mail, by their newest mails."""
    now = to_micros(services.now())
    person, facts, mails = await asyncio.gather(
        Person.get_or_none(account_id=account.id, address=address),
        _kept(account),
        copies_to(services, account.id, address, now, MAILS),
    )
    zone = (person.timezone if person else None) or account.timezone or ""
    copies = [one for one in mails if one.tracked]
    opens = await opens_of(services, copies)
    grid = grid_of((Letter(one.sent, tuple(opens.get(one.id, ()))) for one in copies), zone_named(zone), now)
    group = (await _work_out(services, account))[0] if facts is None else Group.of(facts.get("group"))
    known = bool(person and person.timezone)
    return Habits(best_of(grid, group), zone or "UTC", known, len(copies))


async def habits_of_all(services: Services, account: Account) -> Habits:
    """When everybody the account writes to looks at mail, each in their own zone."""
    facts = await _kept(account) or {}
    group, grid = Group.of(facts.get("group")), Grid.of(facts.get("grid"))
    if grid.opens < LEAST_OPENS:  # a new account waits for each open, and has few to read
        group, grid = await _work_out(services, account)
    return Habits(best_of(grid, group.neutral), account.timezone or "UTC", False, grid.mails)


async def _kept(account: Account) -> dict[str, Any] | None:
    """What is usual, as it was worked out last; None where it never was, or in another zone than now's."""
    row = await Habit.get_or_none(account_id=account.id)
    return None if row is None or row.zone != (account.timezone or "") else dict(row.facts)


async def _work_out(services: Services, account: Account) -> tuple[Group, Grid]:
    now = to_micros(services.now())
    copies = [one for one in await newest_copies(services, account.id, now, MAILS_OF_ALL) if one.tracked]
    opens: dict[int, list[int]] = {}
    for start in range(0, len(copies), _BATCH):
        opens |= await opens_of(services, copies[start : start + _BATCH])
    zones = dict(
        await Person.filter(account_id=account.id, timezone__isnull=False).values_list("address", "timezone")
    )
    group, total = await in_slices(_reckon(copies, opens, zones, account.timezone or "", now))
    facts = {"group": group.row, "grid": total.row}
    await Habit.update_or_create(
        {"at": services.now(), "zone": account.timezone or "", "facts": facts}, account_id=account.id
    )
    return group, total


def _reckon(
    copies: Sequence[Copy], opens: Mapping[int, Sequence[int]], zones: Mapping[Any, Any], zone: str, now: int
) -> Generator[None, None, tuple[Group, Grid]]:
    """What is usual, and everybody's grid together. `zones`: by address, of those with one of their own."""
    by_address: defaultdict[str, list[Letter]] = defaultdict(list)
    for one in copies:
        by_address[one.address].append(Letter(one.sent, tuple(opens.get(one.id, ()))))
    grids = []
    for address, mails in by_address.items():
        grids.append(grid_of(mails, zone_named(str(zones.get(address) or zone)), now))
        yield
    total = yield from add_up(grids)
    return (yield from group_in_steps(grids, total)), total


async def in_slices(steps: Generator[None, None, T]) -> T:
    """Works a long reckoning out while everything else goes on."""
    until = time.monotonic() + SLICE
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(T, end.value)
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + SLICE


async def learn(services: Services) -> int:
    """Works out anew what is usual in the accounts where that is old; in how many."""
    old = services.now() - KEPT
    fresh = set(await Habit.filter(at__gt=old).values_list("account_id", flat=True))
    accounts = [one for one in await Account.all() if one.id not in fresh]
    for account in accounts:
        await _work_out(services, account)
    return len(accounts)
