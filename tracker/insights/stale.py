"""Marks mails and people whose sums are older than their rows: tracker/insights/rollups.py counts them anew.

Called inside the transaction of what changed (the judge has a statement of its own: tracker/hits/writing.py).
A mark too many costs little; one that was forgotten is found by and by.
"""

from __future__ import annotations

from collections.abc import Iterable

from models import Stale


async def mark_stale(account_id: int, mails: Iterable[int] = (), people: Iterable[int | None] = ()) -> None:
    """These mails, and everybody they went to, and these people. What is gone may be named, too."""
    rows = [Stale(account_id=account_id, message_id=one) for one in mails]
    rows += [Stale(account_id=account_id, person_id=one) for one in people if one is not None]
    if rows:
        await Stale.bulk_create(rows)
