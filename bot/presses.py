"""Whose message a pressed button stands on: in a group everybody sees it, and only its owner's press acts.

Cards and rings have rows that say whose they are; for answers the chats call `remember_asker`. What only one
person sees (a private chat, Slack's ephemeral answers) never comes here.
"""

from __future__ import annotations

import hashlib

from bot.chat import Incoming, Place, Reply
from bot.inbound import first_time
from models import Account, Alert, Card, Identity, InboundEvent
from tracker.services import utc_now

_KIND = "answer"  # of InboundEvent.platform

NOT_YOURS = Reply(
    title="These buttons are for whoever this message was written to. For your own mails, write to me "
    "yourself: help shows how.",
)


async def may_press(account: Account, incoming: Incoming) -> bool:
    """Whether this press acts: in a group only on what is the presser's own."""
    if not incoming.is_button or incoming.place.private or incoming.pressed_on is None:
        return True
    owners = await _owners(incoming.place, incoming.pressed_on)
    if owners:
        return account.id in owners
    key = _key(incoming.place, incoming.pressed_on, account.id)
    return await InboundEvent.filter(platform=_KIND, event_id=key).exists()


async def _owners(place: Place, remote_id: str) -> set[int]:
    """Whose card or ring the message is; empty for an answer."""
    here = {
        "remote_id": remote_id,
        "destination__platform": place.platform,
        "destination__workspace": place.workspace,
        "destination__chat_id": place.chat_id,
    }
    cards = await Card.filter(**here).values_list("destination__account_id", flat=True)
    alerts = await Alert.filter(**here).values_list("account_id", flat=True)
    return {int(str(one)) for one in (*cards, *alerts)}


async def remember_asker(place: Place, remote_id: str, user_id: str) -> None:
    """An answer stands in a group under `remote_id`: its buttons are for who asked."""
    who = await Identity.get_or_none(platform=place.platform, workspace=place.workspace, user_id=user_id)
    if who is not None:
        await first_time(_KIND, _key(place, remote_id, who.account_id), utc_now())


def _key(place: Place, remote_id: str, account_id: int) -> str:
    text = repr((place.platform, place.workspace, place.chat_id, remote_id, account_id))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
