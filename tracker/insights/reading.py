"""The mails to people as insights see them: one row for each copy, with when it was sent and what was seen.

One statement for any engine, scoped by the account. Nothing is written here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.hits.cases import among, listed
from tracker.services import Services


@dataclass(frozen=True, slots=True)
class Copy:
    """One mail to one person. Moments in microseconds.

    `tracked`: it left with a pixel of its own, reached them, and nothing hides whether they open it.
    """

    id: int
    message_id: int
    person_id: int | None
    address: str
    sent: int
    tracked: bool
    opens: int
    clicks: int
    first_open: int | None
    last_open: int | None
    first_click: int | None
    last_click: int | None
    replied: int | None

    @property
    def seen(self) -> int | None:
        """When the person was last seen by this mail."""
        return max((one for one in (self.last_open, self.last_click, self.replied) if one), default=None)

    @property
    def first_seen(self) -> int | None:
        return min((one for one in (self.first_open, self.first_click, self.replied) if one), default=None)

    @property
    def opened(self) -> bool:
        """A click says so as well, also with no open seen."""
        return bool(self.opens or self.clicks)


SENT = "COALESCE(r.handed_over_at, m.handed_over_at, m.armed_at, m.arms_at)"
# Loaded by Apple alone: nobody can tell. Loaded, and clicked or opened too: the person was seen.
TRACKED = (
    "CASE WHEN m.mode = 'full' AND r.bounced_at IS NULL AND r.opted_out_at IS NULL "
    "AND (r.loaded_at IS NULL OR r.opens > 0 OR r.clicks > 0) AND EXISTS "
    "(SELECT 1 FROM link l WHERE l.recipient_id = r.id AND l.kind = 'open') THEN 1 ELSE 0 END"
)
COLUMNS = (
    f"r.id, r.message_id, r.person_id, r.address, {SENT}, {TRACKED}, r.opens, r.clicks, r.first_open_at, "
    "r.last_open_at, r.first_click_at, r.last_click_at, r.replied_at"
)
_FROM = "FROM recipient r JOIN message m ON m.id = r.message_id"


def copy_of(row: Sequence[Any]) -> Copy:
    """From a row of COLUMNS."""
    number, message, person, address, sent, tracked, *rest = row
    return Copy(number, message, person, address, sent, bool(tracked), *rest)


async def copies_to(services: Services, account_id: int, address: str, now: int, limit: int) -> list[Copy]:
    """The newest mails to this address that have left, newest first."""
    rows = await services.writer.fetch(
        f"SELECT {COLUMNS} {_FROM} WHERE r.address = ? AND m.account_id = ? "
        f"AND {SENT} <= ? ORDER BY r.id DESC LIMIT ?",
        (address, account_id, now, limit),
    )
    return [copy_of(row) for row in rows]


async def newest_copies(services: Services, account_id: int, now: int, limit: int) -> list[Copy]:
    """Copies of the account's newest mails that have left, newest first, about `limit` of them."""
    rows = await services.writer.fetch(
        f"SELECT {COLUMNS} FROM (SELECT * FROM message WHERE account_id = ? "  # noqa: S608, names of ours
        "ORDER BY created_at DESC LIMIT ?) m JOIN recipient r ON m.id = r.message_id "
        f"WHERE {SENT} <= ? ORDER BY m.created_at DESC, r.id DESC LIMIT ?",
        (account_id, limit, now, limit),
    )
    return [copy_of(row) for row in rows]


async def opens_of(services: Services, copies: Iterable[Copy]) -> dict[int, list[int]]:
    """By copy: when it was opened by a person (human or proxied), as far as hits are still kept."""
    opened = {copy.id: copy for copy in copies if copy.opens}
    if not opened:
        return {}
    rows = await services.writer.fetch(
        f"SELECT recipient_id, at FROM hit WHERE {among('message_id')} "  # noqa: S608, names of ours
        "AND kind = 'open' AND verdict IN ('human', 'proxied')",
        (listed(sorted({copy.message_id for copy in opened.values()})),),
    )
    found: defaultdict[int, list[int]] = defaultdict(list)
    for copy_id, at in rows:
        if copy_id in opened:
            found[copy_id].append(at)
    return found
