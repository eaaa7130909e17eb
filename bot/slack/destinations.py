"""What Slack tells about our chats (the app was removed, somebody is back), brought to the destinations.

Called by bot/slack/listeners.py. A destination that its owner switched off stays off.
"""

from __future__ import annotations

from bot.chat import Place
from bot.deliver.ending import switch_off
from bot.deliver.outbox import load_target
from bot.slack.errors import GONE
from models import Destination, Identity
from models.wake import OUTBOX
from tracker.services import Services

REMOVED = "mailbell was removed from this Slack"
_REFUSALS = frozenset({*GONE.values(), REMOVED})


async def switch_off_team(services: Services, team: str, why: str) -> None:
    """Switches off every chat of a workspace that threw us out, with word to their owners elsewhere."""
    for row in await Destination.filter(platform="slack", workspace=team, off_at__isnull=True):
        target = await load_target(services, row.id)
        if target is not None:
            await switch_off(services, target, why)


async def switch_on(services: Services, place: Place) -> None:
    """An answer just reached this private chat: what a refusal of Slack had switched off rings again."""
    known = Identity.filter(platform="slack", workspace=place.workspace, user_id=place.chat_id)
    accounts = await known.values_list("account_id", flat=True)
    if not accounts:
        return
    dead = Destination.filter(
        platform="slack", workspace=place.workspace, chat_id=place.chat_id, account_id__in=list(accounts),
        off_reason__in=list(_REFUSALS),
    )  # fmt: skip
    if await dead.update(off_at=None, off_reason=None, failures=0, wait_until=None):
        services.wake.ring(OUTBOX)
