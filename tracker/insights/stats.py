"""What became of an account's mails since some moment: how many were opened and clicked, and by whom or what.

Counters that the judge keeps answer nearly all of it; only the sums by class read the hits. Set-based: the
cost does not depend on how many mails there are in Python.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from tortoise.expressions import Q, Subquery
from tortoise.functions import Count, Sum

from models import Account, Hit, Link, Message

UNJUDGED = "unjudged"


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


async def stats(account: Account, since: dt.datetime | None = None) -> Stats:
    """Totals of the account's mails made at or after `since`; of all of them without it."""
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
