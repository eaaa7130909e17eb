"""A reply that its owner tells of, because it came on a way that nobody here sees: a call, another mailbox.

Kept apart from replies that were seen (Message.details), so that only what was told can be taken back.
"""

from __future__ import annotations

import datetime as dt

from tortoise.expressions import F

from models import Card, Message, Recipient
from models.database import atomically
from tracker.hits.rescore import rescore
from tracker.reminders.ordering import end_for_reply, revive_reminders
from tracker.services import Services

_KEY = "replied_by_hand"


async def mark_replied(services: Services, mail: Message) -> int | None:
    """The mail is answered; how many reminders that ended. None: it was already."""
    now = services.now()

    async def work() -> int | None:
        locked = await Message.filter(id=mail.id).select_for_update().get()
        if locked.replied_at is not None:
            return None
        details = {**(locked.details if isinstance(locked.details, dict) else {}), _KEY: True}
        await _store(locked, now, details)
        locked.replied_at = now
        await _touch(locked, now)
        return await end_for_reply(locked, now)

    ended = await atomically(work)
    if ended is not None:
        await rescore(services, mail.id)
    return ended


async def unmark_replied(services: Services, mail: Message) -> int | None:
    """Takes back what `mark_replied` did; how many reminders wait again. None: nobody told of a reply."""
    now = services.now()

    async def work() -> int | None:
        locked = await Message.filter(id=mail.id).select_for_update().get()
        details = dict(locked.details) if isinstance(locked.details, dict) else {}
        if locked.replied_at is None or not details.pop(_KEY, False):
            return None
        at = locked.replied_at
        await Recipient.filter(message_id=mail.id, replied_at=at).update(replied_at=None)
        await _store(locked, None, details)
        await _touch(locked, now)
        return await revive_reminders(locked, now)

    back = await atomically(work)
    if back is not None:
        await rescore(services, mail.id)
    return back


async def _store(mail: Message, replied_at: dt.datetime | None, details: dict[str, object]) -> None:
    changed: dict[str, object] = {
        "replied_at": replied_at,
        "closed_at": replied_at,
        "details": details or None,
    }
    if replied_at is not None:
        changed["last_event_at"] = replied_at
    await Message.filter(id=mail.id).update(**changed, revision=F("revision") + 1)
    people = await Recipient.filter(message_id=mail.id, replied_at__isnull=True).limit(2)
    if replied_at is not None and len(people) == 1:
        await Recipient.filter(id=people[0].id).update(replied_at=replied_at)


async def _touch(mail: Message, now: dt.datetime) -> None:
    await Card.filter(message_id=mail.id).update(dirty_at=now)
