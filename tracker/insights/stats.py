"""What became of an account's mails since some moment: how many were opened and clicked, and by whom or what.

An account with few mails in that time is read from its rows, so that everything shows at once; one with many
from sums by the hour (tracker/insights/rollups.py), which are at most seconds old, and from the rows of the
hour in which the time begins. Nothing is written here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from tortoise.expressions import Q, Subquery
from tortoise.functions import Count, Sum

from models import Account, Hit, Link, Message
from models.columns import to_micros
from tracker.hits.cases import among, listed
from tracker.insights.rollups import CLASSES, HOUR, SUMS, shares
from tracker.services import Services

UNJUDGED = "unjudged"
SMALL = 200  # mails that are read from the rows
MOST_WAITING = 10_000  # hits
ADDED_AT_ONCE = 20  # marked mails: more come from a stream of hits, which the duty is busy with


@dataclass(frozen=True)
class Stats:
    """Totals over the mails made since `since`. A clicked mail counts as opened, also with no open seen."""

    since: dt.datetime | None
    mails: int = 0  # that are tracked: mails in mode "off" are left out
    opened: int = 0
    clicked: int = 0
    with_links: int = 0  # mails that have a link to click
    replied: int = 0
    opens: int = 0  # counted ones
    clicks: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)  # all their hits by class, the latest included

    @property
    def open_rate(self) -> float | None:
        """Share of the mails that were opened, 0 to 1; None without any mail."""
        return self.opened / self.mails if self.mails else None

    @property
    def click_rate(self) -> float | None:
        """Share of the mails with links that were clicked, 0 to 1; None without any."""
        return self.clicked / self.with_links if self.with_links else None


@dataclass(frozen=True)
class Day:
    """The mails made on one day of the account's zone."""

    day: dt.date
    mails: int = 0
    opened: int = 0
    clicked: int = 0
    replied: int = 0


async def stats(
    account: Account, since: dt.datetime | None = None, services: Services | None = None
) -> Stats:
    """Totals of the account's mails made at or after `since`; of all of them without it.

    `services` are needed for sums: without them everything is read from the rows, however many there are.
    """
    if services is None or await is_small(services, account, since):
        return await _from_rows(account, since)
    return await _from_sums(services, account, since)


async def is_small(services: Services, account: Account, since: dt.datetime | None) -> bool:
    """Whether the time holds few mails."""
    rows = await services.writer.fetch(
        "SELECT COUNT(*) FROM (SELECT 1 FROM message WHERE account_id = ? AND created_at >= ? LIMIT ?) m",
        (account.id, 0 if since is None else to_micros(since), SMALL),
    )
    return int(rows[0][0]) < SMALL


async def _from_rows(account: Account, since: dt.datetime | None) -> Stats:
    mails = Message.filter(account_id=account.id).exclude(mode="off")
    hits = Hit.filter(message__account_id=account.id)
    if since is not None:
        mails = mails.filter(created_at__gte=since)
        hits = hits.filter(message__created_at__gte=since)
    sums = await mails.annotate(mails=Count("id"), opened=Sum("opens"), clicked=Sum("clicks")).values(
        "mails", "opened", "clicked"
    )
    links = Link.filter(kind="click", message__account_id=account.id).values("message_id")
    classes = await hits.annotate(count=Count("id")).group_by("verdict").values("verdict", "count")
    return Stats(
        since=since,
        mails=int(sums[0]["mails"]),
        opened=await mails.filter(Q(opens__gt=0) | Q(clicks__gt=0)).count(),
        clicked=await mails.filter(clicks__gt=0).count(),
        with_links=await mails.filter(id__in=Subquery(links)).count(),
        replied=await mails.filter(replied_at__isnull=False).count(),
        opens=int(sums[0]["opened"] or 0),
        clicks=int(sums[0]["clicked"] or 0),
        classes={row["verdict"] or UNJUDGED: int(row["count"]) for row in classes},
    )


async def _from_sums(services: Services, account: Account, since: dt.datetime | None) -> Stats:
    begin = 0 if since is None else to_micros(since)
    total = dict(zip(SUMS, await _sums(services, account.id, begin), strict=True))
    waiting = await _count_waiting(services, account.id, begin)
    classes = {name: total[name] for name in CLASSES if total[name]}
    if waiting:
        classes[UNJUDGED] = waiting
    return Stats(
        since=since,
        mails=total["mails"],
        opened=total["opened"],
        clicked=total["clicked"],
        with_links=total["linked"],
        replied=total["replied"],
        opens=total["opens"],
        clicks=total["clicks"],
        classes=classes,
    )


async def _sums(services: Services, account_id: int, begin: int) -> list[int]:
    """What the mails made from then on add up to, in the order of SUMS: those of the first, partial hour by
    their rows, others by the sums of their hours, with what the few mails add that are marked as changed.

    One statement, so that a mail that is folded in meanwhile counts once.
    """
    whole = -(-begin // HOUR)  # the first hour that lies wholly in the time
    rows = await services.writer.fetch(
        "SELECT DISTINCT message_id FROM stale WHERE account_id = ? AND message_id IS NOT NULL LIMIT ?",
        (account_id, ADDED_AT_ONCE + 1),
    )
    marked = [row[0] for row in rows] if len(rows) <= ADDED_AT_ONCE else []
    names, ids = ", ".join(SUMS), listed(marked)
    less, summed = ", ".join(f"-{name}" for name in SUMS), ", ".join(f"SUM({name})" for name in SUMS)
    # The marked mails are the account's: to say so again would make SQLite go through all of its mails.
    found = await services.writer.fetch(
        f"SELECT {summed} FROM (SELECT {names} FROM hour_sum WHERE account_id = ? AND hour >= ? "  # noqa: S608
        f"UNION ALL SELECT {less} FROM mail_sum WHERE {among('id')} AND hour >= ? "
        f"UNION ALL SELECT {names} FROM ({shares(among('m.id'))}) n WHERE hour >= ? "
        f"UNION ALL SELECT {names} FROM ({shares(_PART_OF_HOUR)}) p) every_one",
        (account_id, whole, ids, whole, ids, ids, whole, *((account_id, begin, whole * HOUR) * 2)),
    )
    return [int(value or 0) for value in found[0]]


_PART_OF_HOUR = "m.id IN (SELECT id FROM message WHERE account_id = ? AND created_at >= ? AND created_at < ?)"


async def _count_waiting(services: Services, account_id: int, begin: int) -> int:
    """Hits of the account's mails that are not judged yet.

    Asked for in two steps: of the two, few hits wait, and SQLite would go through all of the account's mails.
    """
    rows = await services.writer.fetch(
        "SELECT message_id FROM hit WHERE judged_at IS NULL LIMIT ?", (MOST_WAITING,)
    )
    mails = [row[0] for row in rows]
    if not mails:
        return 0
    found = await services.writer.fetch(
        f"SELECT id, account_id, created_at FROM message WHERE {among('id')}",  # noqa: S608
        (listed(sorted(set(mails))),),
    )
    mine = {number for number, owner, made in found if owner == account_id and made >= begin}
    return sum(mail in mine for mail in mails)


async def days(
    services: Services, account: Account, since: dt.datetime, zone: dt.tzinfo, now: dt.datetime
) -> list[Day]:
    """A day for each from `since` to now, also those without mail, oldest first.

    Of an account with many mails the first one begins with the full hour.
    """
    if await is_small(services, account, since):
        mails = Message.filter(account_id=account.id, created_at__gte=since).exclude(mode="off")
        rows = [
            (
                to_micros(at) // HOUR,
                1,
                int(bool(opens or clicks)),
                int(bool(clicks)),
                int(replied is not None),
            )
            for at, opens, clicks, replied in await mails.values_list(
                "created_at", "opens", "clicks", "replied_at"
            )
        ]
    else:
        rows = await services.writer.fetch(
            "SELECT hour, mails, opened, clicked, replied FROM hour_sum WHERE account_id = ? AND hour >= ?",
            (account.id, -(-to_micros(since) // HOUR)),
        )
    found: dict[dt.date, list[int]] = {}
    for hour, *counts in rows:
        day = dt.datetime.fromtimestamp(hour * 3600, zone).date()
        found[day] = [one + more for one, more in zip(found.get(day, [0] * 4), counts, strict=True)]
    first, last = since.astimezone(zone).date(), now.astimezone(zone).date()
    every = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    return [Day(day, *found.get(day, [0] * 4)) for day in every]
