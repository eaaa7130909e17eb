"""What is known of the recipients' side, in lines for `track` and `show`: before anyone relies on opens."""

from __future__ import annotations

from collections.abc import Sequence

from bot.words import one_line
from models import Account, Recipient
from tracker.insights.sides import known
from tracker.insights.trackability import tell

MOST = 5  # recipients asked about


async def told_of_sides(account: Account, people: Sequence[Recipient], mode: str) -> list[str]:
    """A line for each person or domain of whom something is known; none for a mail that has no pixel."""
    if mode != "full":
        return []
    found = await known(account, [one.address for one in people[:MOST]])
    return [f"{one_line(one.who, 64)}: {'; '.join(tell(one.side))}." for one in found]
