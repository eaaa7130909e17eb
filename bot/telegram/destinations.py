"""What Telegram tells about our chats (blocked, let in again, moved), brought to the destinations.

Called by bot/telegram/intake.py. A destination that somebody else switched off stays off.
"""

from __future__ import annotations

import re

from bot.deliver.ending import switch_off
from bot.deliver.outbox import load_target
from bot.telegram.incoming import PLATFORM, Moved, Standing
from models import Destination, Identity
from models.database import atomically
from models.wake import OUTBOX
from tracker.services import Services

# Reasons that end when Telegram lets us in again: ours, and its own words at a refused message.
_REFUSED = re.compile(r"\b(blocked|kicked|removed from the group|not a member)\b", re.IGNORECASE)


async def note_standing(services: Services, standing: Standing) -> None:
    """Switches the chat's destinations off, with word to the owner elsewhere, or on again."""
    if standing.may_write:
        await _switch_on(services, standing.chat_id)
        return
    for row in await Destination.filter(platform=PLATFORM, chat_id=standing.chat_id, off_at__isnull=True):
        target = await load_target(services, row.id)
        if target is not None:
            await switch_off(services, target, standing.why)


async def _switch_on(services: Services, chat_id: str) -> None:
    """Only what a refusal had switched off, and only for people who are still let in."""

    async def work() -> None:
        for row in await Destination.filter(platform=PLATFORM, chat_id=chat_id, off_at__isnull=False):
            known = await Identity.filter(account_id=row.account_id).exists()
            if known and _REFUSED.search(row.off_reason or ""):
                await Destination.filter(id=row.id).update(
                    off_at=None, off_reason=None, failures=0, wait_until=None
                )

    await atomically(work)
    services.wake.ring(OUTBOX)


async def note_moved(services: Services, moved: Moved) -> None:
    """Gives the chat's destinations their new id, but where the account rings there already."""

    async def work() -> None:
        for row in await Destination.filter(platform=PLATFORM, chat_id=moved.chat_id):
            twin = Destination.filter(
                account_id=row.account_id, platform=PLATFORM, chat_id=moved.to, thread_id=row.thread_id
            )
            if not await twin.exists():
                await Destination.filter(id=row.id).update(chat_id=moved.to)

    await atomically(work)
    services.wake.ring(OUTBOX)
