"""Whether so much comes in that what can wait stands back: taking mail goes before sending it on.

`Services.pace` is of all mail that comes in. Copies that are to be understood (tracker/mail/intake.py) and
mail that is to be sent on (tracker/sending/relay.py) leave it the time, whichever way it comes. It knows no
mail.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

MOST_A_SECOND = 30  # that come in while what can wait goes on as if nothing were
MOST_AT_ONCE = 4  # that are being put on disk meanwhile
REST = 39  # otherwise each of those who can wait takes a fortieth of the time
LONGEST_REST = 1.0  # seconds: under any load something goes on


class Pace:
    """What came in lately, by the loop's clock."""

    def __init__(self, most: int = MOST_A_SECOND) -> None:
        self._recent: deque[float] = deque(maxlen=most)
        self._at_work = 0

    def note(self) -> None:
        """Something came in."""
        self._recent.append(asyncio.get_running_loop().time())

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Something has come in, and is put on disk within the block."""
        self.note()
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    @property
    def is_busy(self) -> bool:
        """Whether more is coming in, or came in within the last second, than goes unnoticed."""
        recent = self._recent
        if self._at_work >= MOST_AT_ONCE:
            return True
        return len(recent) == recent.maxlen and asyncio.get_running_loop().time() - recent[0] < 1

    async def rest(self, began: float) -> None:
        """Where it is busy, waits for so long as fits work that began then, by the loop's clock."""
        if self.is_busy:
            await asyncio.sleep(min(LONGEST_REST, REST * (asyncio.get_running_loop().time() - began)))
