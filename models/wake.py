"""Wake-ups between the steps record → judge → deliver: they shorten the way, the rows are the truth.

In one process a wake-up is an asyncio.Event; with PostgreSQL it also reaches the other processes, through
LISTEN/NOTIFY (models/postgres_wake.py). A missed one costs no more than the poll interval of who waits.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

HITS = "hits"  # unjudged hits are there
OUTBOX = "outbox"  # alerts or dirty cards are there
LINKS = "links"  # links were deleted: what is remembered of where they lead holds no more


class Wake:
    """Named bells within one process."""

    def __init__(self) -> None:
        self._events: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def start(self) -> None:
        """Begins to listen to other processes, where there can be any."""

    async def stop(self) -> None:
        """Ends listening."""

    def ring(self, name: str) -> None:
        """Wakes whoever waits for `name`, and whoever waits for it next. Call it in the event loop."""
        self._events[name].set()

    async def wait(self, name: str, timeout: float) -> bool:
        """Waits for a ring, or for `timeout` seconds at the most; whether it rang."""
        event = self._events[name]
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            return False
        event.clear()
        return True
