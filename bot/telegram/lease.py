"""Which of several workers polls: Telegram hands a bot's updates to one asker at a time, and cuts the others.

A row that the poller renews with each call; when it ends or dies, another worker takes over within LASTS.
Nothing breaks while two poll: each update is stored once. Not needed with SQLite, which has one process.
"""

from __future__ import annotations

import datetime as dt
import secrets

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

from models import InstanceState
from models.columns import to_micros
from models.database import is_sqlite
from tracker.services import Services

LASTS = dt.timedelta(seconds=25)


class PollLease:
    """The right to poll for one bot. Its value is "until holder", in digits that compare as text."""

    def __init__(self, services: Services, bot_id: str) -> None:
        self._services = services
        self._key = f"telegram_poller:{bot_id}"[:64]
        self._holder = secrets.token_hex(8)

    @property
    def needed(self) -> bool:
        return not is_sqlite()

    async def hold(self) -> bool:
        """Takes or keeps it; False while another process has it."""
        now = self._services.now()
        value = f"{to_micros(now + LASTS):020d} {self._holder}"
        mine_or_over = Q(value__endswith=self._holder) | Q(value__lt=f"{to_micros(now):020d}")
        if await InstanceState.filter(mine_or_over, key=self._key).update(value=value):
            return True
        try:
            await InstanceState.create(key=self._key, value=value)
        except IntegrityError:
            return False
        return True

    async def release(self) -> None:
        """Lets another one poll at once."""
        await InstanceState.filter(key=self._key, value__endswith=self._holder).delete()
