"""What an account prefers, read from Account.preferences and Account.quiet_hours, whatever they hold.

Changed by bot/commands/settings*.py, read by reminders, quiet hours and summaries. A value that makes no
sense counts as not set.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from models import Account
from models.database import atomically
from tracker.wall_clock import WORKDAYS

Stored = dict[str, Any]


def stored(account: Account) -> Stored:
    """The whole column as a mapping."""
    return dict(account.preferences) if isinstance(account.preferences, dict) else {}


def workdays(account: Account) -> frozenset[int]:
    """The days of the week on which this account works, Monday = 0; Monday to Friday unless set."""
    return read_days(stored(account).get("workdays")) or WORKDAYS


def read_days(value: Any) -> frozenset[int]:
    """Days of the week from a stored list."""
    if not isinstance(value, list):
        return frozenset()
    return frozenset(one for one in value if isinstance(one, int) and 0 <= one <= 6)


def read_time(value: Any) -> dt.time | None:
    """A stored "08:30" as a time."""
    try:
        return dt.time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


async def change(account_id: int, work: Callable[[Stored], Stored]) -> Account:
    """Writes what `work` makes of the preferences, read anew and locked: of two changes at once both stay."""

    async def write() -> Account:
        account = await Account.filter(id=account_id).select_for_update().get()
        account.preferences = work(stored(account))
        await account.save(update_fields=["preferences"])
        return account

    return await atomically(write)
