"""What is known of the people an account writes to: who reads, who answers, who is hot, who went silent.

`summarise` and `standing` are pure. One person is read from their mails; lists come from the rows where an
account has few mails, and from sums (tracker/insights/rollups.py) where it has many. Always scoped by the
account; nothing is written here.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from models import Account
from models.columns import to_micros
from tracker.insights.reading import Copy, copies_to, newest_copies, opens_of
from tracker.services import Services

DAY = 86_400_000_000  # microseconds
HOT_OPENS = 3
HOT = DAY
SILENT = 14 * DAY
NEW = 14 * DAY
OFTEN_OPENED = 5  # mails
OFTEN = 0.6  # of the mails whose opens can be seen
READ_BEFORE = 0.5
UNSEEN = 3  # mails in a row
SMALL = 300  # mails of an account whose people are read from the rows
MOST_SMALL = 20_000  # copies of those
MAILS = 500  # the newest to one person

Standing = Literal["hot", "ignores", "silent", "new"]
STANDINGS: tuple[Standing, ...] = ("hot", "ignores", "silent", "new")


@dataclass(frozen=True, slots=True)
class Reading:
    """One person's reading, over all mails to them. Moments and `delay` in microseconds."""

    address: str
    mails: int = 0
    tracked: int = 0  # whose opens can be seen
    opened: int = 0  # of the tracked ones
    answered: int = 0
    opens: int = 0
    clicks: int = 0
    unseen: int = 0  # tracked ones since they were last seen
    delay: int | None = None  # median from sending to the first open
    sent: int | None = None  # the newest mail
    first: int | None = None  # first seen
    seen: int | None = None  # last seen
    third: int | None = None  # the last but two open of one mail, where that is not long ago

    @property
    def open_rate(self) -> float | None:
        """0 to 1; None where no open can be seen."""
        return self.opened / self.tracked if self.tracked else None

    @property
    def answer_rate(self) -> float | None:
        return self.answered / self.mails if self.mails else None


@dataclass(frozen=True)
class Lists:
    """By standing, the most telling first. `answers_seen`: whether the account knows of any answer at all."""

    people: dict[Standing, list[Reading]]
    answers_seen: bool
    readers: int  # people who were ever seen


def summarise(address: str, copies: Sequence[Copy], third: int | None = None) -> Reading:
    """All mails to one person as one."""
    tracked = [one for one in copies if one.tracked]
    seen = max((one.seen for one in copies if one.seen), default=None)
    delays = [one.first_open - one.sent for one in tracked if one.first_open is not None]
    return Reading(
        address,
        mails=len(copies),
        tracked=len(tracked),
        opened=sum(one.opened for one in tracked),
        answered=sum(one.replied is not None for one in copies),
        opens=sum(one.opens for one in copies),
        clicks=sum(one.clicks for one in copies),
        unseen=sum(one.sent > (seen or 0) for one in tracked),
        delay=max(0, int(statistics.median(delays))) if delays else None,
        sent=max((one.sent for one in copies), default=None),
        first=min((one.first_seen for one in copies if one.first_seen), default=None),
        seen=seen,
        third=third,
    )


def standing(one: Reading, now: int) -> Standing | None:
    """The one thing most worth knowing; None for nothing special."""
    if one.third is not None and one.third > now - HOT:
        return "hot"
    if (
        one.unseen >= UNSEEN
        and one.opened >= UNSEEN
        and one.opened >= READ_BEFORE * (one.tracked - one.unseen)
        and (one.seen or 0) < now - SILENT
    ):
        return "silent"
    if one.opened >= OFTEN_OPENED and one.opened >= OFTEN * one.tracked and not one.answered:
        return "ignores"
    return "new" if one.first is not None and one.first > now - NEW else None


async def thirds(services: Services, copies: Iterable[Copy], now: int) -> dict[int, int]:
    """By copy: when its last but two open was, of those opened within the last day."""
    lately = [one for one in copies if one.opens >= HOT_OPENS and (one.last_open or 0) > now - HOT]
    opens = await opens_of(services, lately)
    return {number: sorted(moments)[-HOT_OPENS] for number, moments in opens.items() if len(moments) >= 3}


async def person(services: Services, account: Account, address: str) -> tuple[Reading, list[Copy]]:
    """One person, with the mails to them, newest first; without mails all is naught."""
    now = to_micros(services.now())
    copies = await copies_to(services, account.id, address, now, MAILS)
    third = await thirds(services, copies, now)
    return summarise(address, copies, max(third.values(), default=None)), copies


async def lists(services: Services, account: Account, most: int = 10) -> Lists:
    """Up to `most` people of each standing."""
    now = to_micros(services.now())
    asked = (account.id, SMALL, account.id, account.id)
    ((mails, answers, readers),) = await services.writer.fetch(_COUNTS, asked)
    if mails >= SMALL:
        found = await _from_sums(services, account.id, now, most)
        if not answers:
            found["ignores"] = []
        return Lists(found, bool(answers), int(readers))
    copies = await newest_copies(services, account.id, now, MOST_SMALL)
    third = await thirds(services, copies, now)
    by_address: defaultdict[str, list[Copy]] = defaultdict(list)
    for one in copies:
        by_address[one.address].append(one)
    readings = [
        summarise(address, ones, max((third[one.id] for one in ones if one.id in third), default=None))
        for address, ones in by_address.items()
    ]
    answers_seen = any(one.answered for one in readings)
    found = {name: [] for name in STANDINGS}
    for reading in sorted(readings, key=lambda one: -(one.seen or 0)):
        name = standing(reading, now)
        if name is not None and not (name == "ignores" and not answers_seen):
            found[name].append(reading)
    found["ignores"].sort(key=lambda one: -one.opened)
    cut = {name: ones[:most] for name, ones in found.items()}
    return Lists(cut, answers_seen, sum(one.seen is not None for one in readings))


_COLUMNS = (
    "p.address, s.mails, s.tracked, s.opened, s.answered, s.opens, s.clicks, s.unseen, NULL, s.sent_at, "
    "s.first_at, s.seen_at, s.third_at"
)
# Each fits one index of the table, and has one argument but for those without; `standing` has the last word.
_WHERE: dict[Standing, tuple[str, str]] = {
    "hot": ("s.third_at > ?", "s.third_at DESC"),
    "ignores": (f"s.answered = 0 AND s.opened >= {OFTEN_OPENED}", "s.opened DESC"),
    "silent": (f"s.unseen >= {UNSEEN} AND s.opened >= {UNSEEN} AND s.seen_at < ?", "s.seen_at DESC"),
    "new": ("s.first_at > ?", "s.first_at DESC"),
}
_PAGE = 100  # read in search of those that fit
_LISTS = " UNION ALL ".join(
    f"SELECT * FROM (SELECT '{name}', {_COLUMNS} FROM person_sum s JOIN person p ON p.id = s.person_id "  # noqa: S608
    f"WHERE s.account_id = ? AND {where} ORDER BY {order} LIMIT {_PAGE}) {name}_ones"
    for name, (where, order) in _WHERE.items()
)
# How many mails, as far as it matters; whether anybody ever answered; how many people were ever seen.
_COUNTS = (
    "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM message WHERE account_id = ? LIMIT ?) m), "
    "EXISTS (SELECT 1 FROM person_sum WHERE account_id = ? AND answered > 0), "
    "(SELECT COUNT(*) FROM person_sum WHERE account_id = ? AND seen_at > 0)"
)


async def _from_sums(
    services: Services, account_id: int, now: int, most: int
) -> dict[Standing, list[Reading]]:
    asked = (account_id, now - HOT, account_id, account_id, now - SILENT, account_id, now - NEW)
    found: dict[Standing, list[Reading]] = {name: [] for name in STANDINGS}
    for name, *row in await services.writer.fetch(_LISTS, asked):
        one = Reading(*row)
        if len(found[name]) < most and standing(one, now) == name:
            found[name].append(one)
    return found
