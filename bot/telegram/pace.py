"""How fast Telegram lets a bot speak, kept on our side so that 429 stays rare.

The limits are those of https://core.telegram.org/bots/faq#my-bot-is-hitting-limits: about one message a
second in a chat (short bursts pass), 20 a minute in a group, 30 a second overall. bot/telegram/chat.py asks
before each message; whoever has to wait longer than PATIENCE is sent away, so that one chat never holds up
another.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

PATIENCE = 1.0
_PRIVATE = (12, 12.0)  # messages, seconds: a card and ten rings at once are still a short burst
_GROUP = (20, 60.0)
_OVERALL = (30, 1.0)
_MANY_CHATS = 5000


class Pace:
    """Sliding windows of what went out lately. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._overall: deque[float] = deque(maxlen=_OVERALL[0])
        self._chats: dict[str, deque[float]] = {}

    def book(self, chat_id: str, *, edit: bool = False) -> float:
        """Seconds to wait before the next message there; up to PATIENCE the place is booked, above not.

        Editing is limited in groups only.
        """
        now = self._clock()
        count, seconds = _GROUP if chat_id.startswith("-") else _PRIVATE
        windows = [(self._overall, _OVERALL[1])]
        if not edit or chat_id.startswith("-"):
            windows.append((self._window(chat_id, count, now), seconds))
        wait = max(_wait(stamps, span, now) for stamps, span in windows)
        if wait <= PATIENCE:
            for stamps, _ in windows:
                stamps.append(now + wait)
        return wait

    def _window(self, chat_id: str, count: int, now: float) -> deque[float]:
        if len(self._chats) > _MANY_CHATS:
            self._chats = {name: one for name, one in self._chats.items() if one and one[-1] > now - 60}
        return self._chats.setdefault(chat_id, deque(maxlen=count))


def _wait(stamps: deque[float], seconds: float, now: float) -> float:
    if len(stamps) < (stamps.maxlen or 0):
        return 0.0
    return max(0.0, stamps[0] + seconds - now)
