"""Takes back a reply that was only guessed: its owner says that it is none. Called by the command `notreply`.

What it closed opens again, what it confirmed is not confirmed by it any more, reminders that it ended wait
again, and what rang is corrected in place.
"""

from __future__ import annotations

import datetime as dt

from tortoise.expressions import F

from models import Account, Alert, Captured, Card, Hit, Message, Recipient
from models.database import atomically
from models.wake import OUTBOX
from tracker.hits.rescore import rescore
from tracker.insights.stale import mark_stale
from tracker.reminders.ordering import revive_reminders, settle_reminders
from tracker.services import Services

FIX = "Correction: that mail from {who} was no reply, as you said."


async def undo_reply(services: Services, account: Account, row_id: int) -> Message | None:
    """The mail that is not answered by that one after all; None where the account has no such reply."""
    now = services.now()

    async def work() -> Message | None:
        row = await Captured.get_or_none(id=row_id, account_id=account.id, state="reply")
        if row is None or row.message_id is None:
            return None
        if not await Captured.filter(id=row.id, state="reply").update(state="ignored"):
            return None
        message = await Message.get(id=row.message_id)
        await _take_back(row, message, now)
        return message

    message = await atomically(work)
    if message is not None:
        await rescore(services, message.id)
        services.wake.ring(OUTBOX)
    return message


async def _take_back(row: Captured, message: Message, now: dt.datetime) -> None:
    left = await Captured.filter(message_id=message.id, state="reply")
    of_mail = min(map(_sent, left), default=None)
    await Message.filter(id=message.id).update(
        replied_at=of_mail, closed_at=of_mail, revision=F("revision") + 1
    )
    await mark_stale(message.account_id, [message.id])
    if row.recipient_id is not None:
        theirs = [one for one in left if one.recipient_id == row.recipient_id]
        who = await Recipient.get(id=row.recipient_id)
        details = dict(who.details) if isinstance(who.details, dict) else {}
        details.pop("reply_guessed", None)
        await Recipient.filter(id=who.id).update(
            replied_at=min(map(_sent, theirs), default=None), details=details or None
        )
    await Hit.filter(message_id=message.id, confirmed_by=f"reply:{row.id}").update(confirmed_by=None)
    who_said = row.from_address or "somebody"
    rung = Alert.filter(message_id=message.id, event="reply", event_key__startswith=f"mail:{row.key}"[:60])
    await rung.filter(state__in=("sent", "folded")).update(fix_text=FIX.replace("{who}", who_said))
    await rung.filter(state="waiting").update(state="withdrawn")
    await Card.filter(message_id=message.id).update(dirty_at=now)
    await message.refresh_from_db()
    await revive_reminders(message, now)
    await settle_reminders(message, now)


def _sent(row: Captured) -> dt.datetime:
    """When a reply was sent, as far as it is known."""
    facts = row.facts if isinstance(row.facts, dict) else {}
    seconds = facts.get("sent")
    return dt.datetime.fromtimestamp(seconds, dt.UTC) if isinstance(seconds, (int, float)) else row.at
