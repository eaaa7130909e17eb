"""Keeps what the tag of a capture address orders for a mail, and tells what was understood and what was not.

Called within the transaction that stores the mail: by tracker/mail/capture.py for a copy in BCC, by
tracker/sending/copies.py for a mail that is sent through us.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models import Account, Message, Reminder
from tracker.mail.draft import clean_line, shorten
from tracker.mail.news import News
from tracker.mail.tags import Tag


async def keep_orders(
    tag: Tag, account: Account, mail: Message, sent: dt.datetime, arrived: dt.datetime, news: News
) -> None:
    """Stores the tag's reminders, counted from `sent`, and says so in the notice."""
    zone = _zone(account.timezone)
    for order in tag.orders:
        await Reminder.get_or_create(
            {"account_id": account.id, "created_at": arrived},
            message_id=mail.id, kind=order.kind, due_at=order.due(sent, zone),
        )  # fmt: skip
    if tag.orders:
        noted = "; ".join(one.said for one in tag.orders)
        news.say(f"Noted to come back to: {noted}. (Kept now; this version does not ring for it yet.)")
    if tag.off:
        news.say("It is not tracked, as you asked: nothing of it is recorded.")
    if tag.unclear:
        words = ", ".join(shorten(clean_line(one), 30) for one in tag.unclear[:5])
        news.say(f"I did not understand +{words}: write +3d, +noopen2d, +noreply5d, +mon9am or +off.")


def _zone(name: str | None) -> dt.tzinfo:
    try:
        return ZoneInfo(name) if name else dt.UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return dt.UTC
