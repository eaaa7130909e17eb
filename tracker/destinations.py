"""Which of an account's chats get what: a private chat may take all, a channel only the opens.

`wants` is the one rule; whoever writes rows for chats (alerts, cards) asks it. A destination's purpose is
empty for everything, else words with commas: opens, replies, reminders, digests.
"""

from __future__ import annotations

from collections.abc import Sequence

from models import Destination

PURPOSES = ("opens", "replies", "reminders", "digests")
_OF = {
    "open": "opens", "click": "opens", "hot": "opens", "revived": "opens",
    "reply": "replies", "bounce": "replies", "reminder": "reminders", "morning": "digests",
    "weekly": "digests",
}  # fmt: skip
# Lost, these would never be known: where no chat is meant for them, another takes them.
_NEVER_LOST = frozenset({"notice", "reminder"})


def wants(purpose: str | None, event: str) -> bool:
    """Whether a destination with this purpose takes alerts of this event."""
    return not purpose or _OF.get(event) in purpose.split(",")


def wants_cards(purpose: str | None) -> bool:
    """Whether mails have a card there: what happens to one refers to it."""
    return wants(purpose, "open") or wants(purpose, "reply")


async def places_for(account_id: int, event: str) -> list[Destination]:
    """The destinations of this account that are on and get this event."""
    return choose(await Destination.filter(account_id=account_id, off_at__isnull=True).order_by("id"), event)


def choose(places: Sequence[Destination], event: str) -> list[Destination]:
    """Those of `places` that get this event; notices and reminders always get somewhere."""
    found = [one for one in places if wants(one.purpose, event)]
    if found or event not in _NEVER_LOST:
        return found
    return [one for one in places if one.private] or list(places)


def card_places(places: Sequence[Destination]) -> list[Destination]:
    """Those of `places` in which mails have cards."""
    return [one for one in places if wants_cards(one.purpose)]
