"""Whether so much comes in that what can wait stands back: taking mail goes before sending it on.

Used by tracker/mail/intake.py for copies and by tracker/sending/relay.py for mail to send. It knows no mail.
"""

from __future__ import annotations

import asyncio
from collections import deque

MOST_A_SECOND = 30  # that come in while what can wait goes on as if nothing were
REST = 19  # otherwise that takes a twentieth of the time
LONGEST_REST = 1.0  # seconds: under any load something goes on


class Pace:
    """What came in lately, by the loop's clock."""

    def __init__(self, most: int = MOST_A_SECOND) -> None:
        self._recent: deque[float] = deque(maxlen=most)

    def note(self) -> None:
        """Something came in."""
        self._recent.append(asyncio.get_running_loop().time())

    @property
    def is_busy(self) -> bool:
        """Whether more came in within the last second than goes unnoticed."""
        recent = self._recent
        return len(recent) == recent.maxlen and asyncio.get_running_loop().time() - recent[0] < 1

    async def rest(self, began: float) -> None:
        """Where it is busy, waits for so long as fits work that began then, by the loop's clock."""
        if self.is_busy:
            await asyncio.sleep(min(LONGEST_REST, REST * (asyncio.get_running_loop().time() - began)))
