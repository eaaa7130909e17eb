"""From when on a composed mail counts: hits before that are the sender, composing, pasting and previewing.

Armed by `sent` (command or button), by the captured copy or the provider's answer, or by itself
ARM_AFTER_SECONDS after the mail was made or its copy page was last shown. The rule itself is `armed_since` in
tracker/hits/rules.py. Nothing here may be called inside a database transaction.
"""

from __future__ import annotations

import datetime as dt

from tortoise.expressions import F

from models import Hit, Message
from models.database import atomically
from tracker.hits.rescore import Change, rescore
from tracker.hits.rules import SKEW, armed_since
from tracker.services import Services

__all__ = ["arm", "armed_since", "copy_page_shown"]

# What the mail itself says is better than what somebody pressed.
_BY_MAIL = ("capture", "provider")


async def arm(services: Services, message: Message, at: dt.datetime, by: str) -> list[Change]:
    """The mail was sent at `at`, as `by` (sent, capture, provider) says; its hits are judged anew.

    Earlier hits become the sender's and rings of them are corrected, later ones count. `at` is never taken
    for later than now, nor for earlier than the mail was made. A mail that armed itself before somebody
    pressed `sent` goes on counting what it counted. What the mail's own copy says, no press overrules.
    """
    await message.refresh_from_db(fields=["armed_at", "armed_by", "arms_at"])
    if message.armed_by in _BY_MAIL or (message.armed_at is not None and by not in _BY_MAIL):
        return []
    at = max(min(at, services.now()), message.created_at)
    if by not in _BY_MAIL:
        at = min(at, message.arms_at + dt.timedelta(microseconds=SKEW))
    armed = Message.filter(id=message.id)

    async def write() -> int:
        return await armed.update(armed_at=at, armed_by=by, revision=F("revision") + 1)

    await atomically(write)
    message.armed_at, message.armed_by = at, by
    return await rescore(services, message.id)


async def copy_page_shown(services: Services, message: Message) -> None:
    """The sender copies pixel and links now: the mail arms itself later, unless it counted something.

    Nothing moves while a request still waits to be judged: it may be the first open. With ARM_AFTER_SECONDS=0
    a mail counts at once, whatever is looked at.
    """
    if services.settings.arm_after_seconds == 0:
        return
    await services.writer.settle()
    if await Hit.filter(message_id=message.id, judged_at=None).exists():
        return
    arms_at = services.now() + dt.timedelta(seconds=services.settings.arm_after_seconds)
    waiting = Message.filter(id=message.id, armed_at=None, opens=0, clicks=0, arms_at__lt=arms_at)

    async def write() -> int:
        return await waiting.update(arms_at=arms_at, revision=F("revision") + 1)

    if await atomically(write):
        message.arms_at = arms_at
