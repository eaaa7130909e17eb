"""A mail that a watched mailbox got: noted if it answers one of the account's, and else forgotten at once.

Called by the IMAP watcher with headers, and the parts of a bounce. Nothing is stored of mail that has nothing
to do with a tracked one. The same mail through a capture address is known by its key, whichever came first.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging

from tortoise.exceptions import IntegrityError

from models import Captured, Destination, Message
from models.columns import EPOCH
from models.database import atomically
from models.wake import OUTBOX
from models.writer import WriterDownError
from tracker.hits.rescore import rescore
from tracker.mail.addresses import own_addresses
from tracker.mail.draft import read_address
from tracker.mail.news import News
from tracker.mail.parsing import Parsed
from tracker.replies.matching import RETURNED, find_answered
from tracker.replies.noting import Answer, store_answer
from tracker.services import Services

_TRIES = 5
_PAUSE = 0.5  # seconds

log = logging.getLogger(__name__)


async def take_arrived(
    services: Services, account_id: int, parsed: Parsed, key: str, arrived: dt.datetime, via: str = "imap"
) -> str | None:
    """Stores what the mail says of one of the account's; its state, or None where it answers none.

    Raises what the database raises; then it may be taken again.
    """
    answer = Answer(account_id, key, parsed, when_sent(parsed, arrived), arrived, via)
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            state, message = await atomically(lambda: _write(services, answer))
            break
        except IntegrityError:  # the same mail came both ways at once
            if last:
                raise
    if message is not None:
        if state == "reply":
            await judge_answered(services, message)
        services.wake.ring(OUTBOX)
        log.info("a watched mailbox got a mail that is %s", state)
    return state


async def _write(services: Services, answer: Answer) -> tuple[str | None, Message | None]:
    known = await Captured.get_or_none(account_id=answer.account_id, key=answer.key)
    if known is not None:
        # Seen again: perhaps because the process ended before the hits were judged anew.
        again = known.message_id if known.state == "reply" else None
        return known.state, await Message.get_or_none(id=again) if again is not None else None
    parsed = answer.parsed
    sender = read_address(parsed.sender)
    if parsed.kind == "loop" or parsed.doubled:
        return None, None
    if parsed.kind not in RETURNED and (sender is None or sender in await own_addresses(answer.account_id)):
        return None, None
    match = await find_answered(answer.account_id, parsed, answer.sent)
    if match is None:
        return None, None
    places = await Destination.filter(account_id=answer.account_id, off_at__isnull=True)
    news = News(services.now(), answer.account_id, places, answer.key)
    state = await store_answer(answer, match, places, news)
    await news.post(match.message)
    return state, match.message


async def judge_answered(services: Services, message: Message) -> None:
    """Judges the hits of an answered mail anew; waits for a writer that is held up for a moment."""
    for _ in range(_TRIES):
        try:
            await rescore(services, message.id)
        except WriterDownError:
            await asyncio.sleep(_PAUSE)
        else:
            return
    await rescore(services, message.id)


def when_sent(parsed: Parsed, arrived: dt.datetime) -> dt.datetime:
    """The mail's Date, never later than its arrival; that alone for a Date outside of this century."""
    seconds = parsed.date
    if seconds is None or not 946_684_800 <= seconds <= 4_102_444_800:
        return arrived
    return min(EPOCH + dt.timedelta(seconds=seconds), arrived)
