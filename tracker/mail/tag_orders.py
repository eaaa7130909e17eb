"""Keeps what the tag of a capture address orders for a mail, and tells what was understood and what was not.

Called within the transaction that stores the mail: by tracker/mail/capture.py for a copy in BCC, by
tracker/sending/copies.py for a mail that is sent through us.
"""

from __future__ import annotations

import datetime as dt

from models import Account, Message
from tracker.mail.draft import clean_line, shorten
from tracker.mail.news import News
from tracker.mail.tags import Tag
from tracker.reminders.ordering import order_of_tag


async def keep_orders(
    tag: Tag, account: Account, mail: Message, sent: dt.datetime, arrived: dt.datetime, news: News
) -> None:
    """Stores the tag's reminders, counted from `sent`, and says so in the notice."""
    said = [await order_of_tag(account, mail, order, sent, arrived) for order in tag.orders]
    if said:
        news.say(f"I remind you of it: {'; '.join(said)}.")
    if tag.off:
        news.say("It is not tracked, as you asked: nothing of it is recorded.")
    if tag.unclear:
        words = ", ".join(shorten(clean_line(one), 30) for one in tag.unclear[:5])
        news.say(f"I did not understand +{words}: write +3d, +noopen2d, +noreply5d, +mon9am or +off.")
