"""What Telegram tells about our chats (blocked, let in again, moved), written to the destinations.

Called by bot/telegram/intake.py. A destination that somebody else switched off stays off.
"""

from __future__ import annotations

from bot.telegram.incoming import PLATFORM, Moved, Standing
from models import Destination
from models.columns import clean_text
from models.database import atomically
from models.wake import OUTBOX
from tracker.services import Services

_BLOCKED = "Telegram: "


async def note_standing(services: Services, standing: Standing) -> int:
    """Switches the chat's destinations off, or on again if that is what had switched them off; how many."""
    rows = Destination.filter(platform=PLATFORM, chat_id=standing.chat_id)

    async def work() -> int:
        if standing.may_write:
            blocked = rows.filter(off_at__isnull=False, off_reason__startswith=_BLOCKED)
            return await blocked.update(off_at=None, off_reason=None, failures=0, wait_until=None)
        reason = clean_text(_BLOCKED + standing.why, 200)
        return await rows.filter(off_at__isnull=True).update(off_at=services.now(), off_reason=reason)

    changed = await atomically(work)
    services.wake.ring(OUTBOX)
    return changed


async def note_moved(services: Services, moved: Moved) -> int:
    """Gives the chat's destinations their new id, but where the account rings there already; how many."""

    async def work() -> int:
        changed = 0
        for row in await Destination.filter(platform=PLATFORM, chat_id=moved.chat_id):
            twin = Destination.filter(
                account_id=row.account_id, platform=PLATFORM, chat_id=moved.to, thread_id=row.thread_id
            )
            if not await twin.exists():
                changed += await Destination.filter(id=row.id).update(chat_id=moved.to)
        return changed

    changed = await atomically(work)
    services.wake.ring(OUTBOX)
    return changed
