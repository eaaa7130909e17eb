"""Which of an account's mails an incoming one answers: by what it refers to, by what it quotes, or a guess.

Called inside a transaction by tracker/mail/capture.py and tracker/replies/arriving.py. In-Reply-To and
References are sure (RFC 5322, 3.6.4), and so is a quoted pixel or link of ours in a recipient's mail. Subject
and address together are a guess, and marked as one.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from models import Message, Recipient
from tracker.mail.binding import find_tokens
from tracker.mail.draft import read_address
from tracker.mail.parsing import Parsed

RECENT = dt.timedelta(days=60)  # for a reply that only its subject and sender tell
RECENT_BOUNCE = dt.timedelta(days=7)  # servers give up after five
MOST_LOOKED_AT = 200
RETURNED = ("bounce", "delay")


@dataclass(frozen=True)
class Match:
    message: Message
    guessed: bool = False


async def find_answered(account_id: int, parsed: Parsed, sent: dt.datetime) -> Match | None:
    """The mail that this one answers, or of which it says that it did not arrive; None for neither."""
    sender = read_address(parsed.sender)
    ids = list(parsed.refers_to)
    if ids:
        found = await Message.filter(account_id=account_id, message_id_header__in=ids)
        if found:
            return Match(min(found, key=lambda one: ids.index(one.message_id_header or "")))
    is_reply = bool(ids) or strip_prefixes(parsed.subject)[1]
    if parsed.tokens:
        for message in await find_tokens(account_id, parsed.tokens):
            if parsed.kind in RETURNED or (is_reply and await _went_to(message, sender)):
                return Match(message)
    if parsed.kind in RETURNED:
        return await _guess_returned(account_id, parsed.failed, sent)
    return await _guess_answered(account_id, sender, parsed.subject, sent)


async def _went_to(message: Message, address: str | None) -> bool:
    return address is not None and await Recipient.filter(message_id=message.id, address=address).exists()


async def _guess_answered(
    account_id: int, sender: str | None, subject: str, sent: dt.datetime
) -> Match | None:
    """The newest mail to the sender, of the last weeks, whose subject this one has after a prefix."""
    bare, prefixed = strip_prefixes(subject)
    if sender is None or not (prefixed and bare):
        return None
    for message in await _recent_mails(account_id, [sender], sent, RECENT):
        if strip_prefixes(message.subject)[0].casefold() == bare.casefold():
            return Match(message, guessed=True)
    return None


async def _guess_returned(account_id: int, failed: Sequence[str], sent: dt.datetime) -> Match | None:
    """The only mail of the last days that went to whom a server could not reach."""
    addresses = [address for address in map(read_address, failed) if address]
    found = await _recent_mails(account_id, addresses, sent, RECENT_BOUNCE) if addresses else []
    return Match(found[0], guessed=True) if len(found) == 1 else None


async def _recent_mails(
    account_id: int, addresses: Sequence[str], sent: dt.datetime, within: dt.timedelta
) -> list[Message]:
    """The account's mails to one of these that left in the time before `sent`, newest first."""
    ids = (
        await Recipient.filter(address__in=list(addresses), message__account_id=account_id)
        .order_by("-id")
        .limit(MOST_LOOKED_AT)
        .values_list("message_id", flat=True)
    )
    found = await Message.filter(id__in=[int(str(one)) for one in ids], created_at__gte=sent - within)
    left = [one for one in found if left_at(one) <= sent]
    return sorted(left, key=lambda one: (left_at(one), one.id), reverse=True)


def left_at(message: Message) -> dt.datetime:
    """When the mail left, as far as it is known: its Date, the hand-over, the arming, when it was made."""
    moments = (message.sent_at, message.handed_over_at, message.armed_at, message.created_at)
    return next(one for one in moments if one is not None)


def strip_prefixes(subject: str) -> tuple[str, bool]:
    """The subject without its reply prefixes, and whether it had any: "AW: RE[2]: Q3" → ("Q3", True)."""
    bare, had = " ".join(subject.split()), False
    while found := _PREFIX.match(bare):
        bare, had = bare[found.end() :].lstrip(), had or not found[0].startswith("[")
    return bare, had


# Re and what mail programs make of it: German, Nordic, French, Italian, Polish, Dutch, Finnish, Turkish,
# Hungarian, Portuguese, Hebrew, Chinese, Greek, Russian. No forwards: those are not answers. What gateways
# put before a subject in brackets is no prefix, and no part of the subject either.
_WORDS = (
    "re|aw|antw|antwort|sv|vs|vá|ref|rif|r|odp|od|res|ynt|atb|bls|ant|回复|回覆|答复|答覆|回信|השב|απ|σχετ|"
    "отв|ответ"
)
_PREFIX = re.compile(
    rf"(?:{_WORDS})\s?(?:\[\d{{1,4}}\]|\(\d{{1,4}}\)|\^\d{{1,4}}|\d{{1,2}})?\s?[:：]\s*|"
    r"\[(?:external|extern|ext|externe|esterno)\]:?\s*",
    re.IGNORECASE,
)
