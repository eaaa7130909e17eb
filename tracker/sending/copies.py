"""Makes a mail of the spool into rows: the mail, its recipients with their pixel and links, its copies.

Called by the relay for each spooled mail, again and again if need be: one transaction writes all, and finds
what it wrote before. Nothing is sent here and no byte of the mail is kept; edits are made from these rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F

from models import Account, Destination, Message, Outgoing
from models.database import atomically
from models.wake import OUTBOX
from tracker.destinations import card_places, choose
from tracker.hits.own_devices import learn
from tracker.mail.addresses import CaptureBox, find_box
from tracker.mail.binding import add_recipients, find_tokens, post_cards, settle_mode
from tracker.mail.capture import RefusedMailError, key_of, take_copy
from tracker.mail.news import News
from tracker.mail.tag_orders import keep_orders
from tracker.mail.tags import Tag, parse_tag
from tracker.sending import notices
from tracker.sending.copy_rows import SpooledMail, add_outgoing, find_people, store_mail
from tracker.sending.editing import Examined
from tracker.sending.outcomes import mark
from tracker.sending.spool import Envelope
from tracker.services import Services

COMPOSED_BEFORE = dt.timedelta(hours=1)  # a mail that answers one quotes pixels of longer ago
_TRIES = 5


async def make_copies(
    services: Services, name: str, envelope: Envelope, examined: Examined, raw: bytes
) -> None:
    """Writes what the spooled mail `name` comes to; nothing where that was done. Raises database faults.

    Our own capture addresses among its recipients get no copy: what their tags order is kept. A mail to
    nobody else is taken as a captured one.
    """
    await learn(services, envelope.account_id, envelope.device, "submission")
    boxes = await _own_boxes(services, envelope)
    others = [one for one in dict.fromkeys(envelope.recipients) if one not in boxes]
    if not others:
        await _take(services, list(boxes.values()), examined, envelope, raw)
        return
    tag = _joined(boxes.values())

    async def write() -> None:
        if not await Outgoing.filter(spool=name).exists():
            await _write(services, name, envelope, examined, others, tag)

    for last in [False] * (_TRIES - 1) + [True]:
        try:
            await atomically(write)
            break
        except IntegrityError:  # a code that was taken, or a person whom another mail added
            if last:
                raise
    services.wake.ring(OUTBOX)


async def _own_boxes(services: Services, envelope: Envelope) -> dict[str, CaptureBox]:
    found = {one: await find_box(services.settings, one) for one in dict.fromkeys(envelope.recipients)}
    return {
        address: box
        for address, box in found.items()
        if box is not None and box.account_id == envelope.account_id
    }


def _joined(boxes: Iterable[CaptureBox]) -> Tag:
    tags = [parse_tag(box.tag) for box in boxes]
    return Tag(
        tuple(dict.fromkeys(order for tag in tags for order in tag.orders)),
        any(tag.off for tag in tags),
        tuple(dict.fromkeys(word for tag in tags for word in tag.unclear)),
    )


async def _take(
    services: Services, boxes: Sequence[CaptureBox], examined: Examined, envelope: Envelope, raw: bytes
) -> None:
    """A mail to capture addresses alone is what a copy in BCC is."""
    for box in boxes:
        try:
            key = key_of(examined.parsed, raw)
            await take_copy(services, box, examined.parsed, key, envelope.arrived)
        except RefusedMailError as refusal:
            text = f"A mail to your capture address was not taken: {refusal}."
            told = notices.Notice(box.account_id, f"untaken:{key}", text)
            await atomically(lambda told=told: notices.post([told], services.now()))  # type: ignore[misc]


async def _write(
    services: Services,
    name: str,
    envelope: Envelope,
    examined: Examined,
    others: Sequence[str],
    tag: Tag,
) -> None:
    """All rows of one mail, within a transaction."""
    account = await Account.get(id=envelope.account_id)
    places = await Destination.filter(account_id=account.id, off_at__isnull=True).order_by("id")
    now = services.now()
    news = News(now, account.id, choose(places, "notice"), name)
    mail = SpooledMail(services, name, envelope, examined, account, places, news, tag, now)
    mail.people = await find_people(mail, others)
    composed = await _composed(mail)
    message = await (_bind(mail, composed) if composed else store_mail(mail))
    as_it_is = bool(composed or examined.untracked)
    doubled = await add_outgoing(mail, message, as_it_is=as_it_is)
    if message.mode != "off":
        await post_cards(message, card_places(places), now)
    if composed:
        news.say(notices.bound(message.subject))
    elif mail.untracked and mail.loosest != "off":
        news.say(notices.untracked(message.subject, mail.untracked))
    await keep_orders(tag, account, message, mail.sent, envelope.arrived, news)
    await news.post(message)
    for row in doubled:
        await mark(row.recipient_id, maybe_twice=True)
    await notices.post([notices.handed_in_twice(row, message) for row in doubled], now)


async def _composed(mail: SpooledMail) -> Message | None:
    """The account's mail of the copy page that this is, if its pixel and links stand in it and it is new.

    An answer quotes pixels too: what it quotes left long before.
    """
    for found in await find_tokens(mail.account.id, mail.examined.parsed.tokens):
        unsent = found.captured_at is None and found.handed_over_at is None and found.origin != "send"
        since = found.armed_at or found.created_at
        old = bool(mail.examined.parsed.refers_to or found.armed_at) and since < mail.sent - COMPOSED_BEFORE
        if unsent and not old:
            return found
    return None


async def _bind(mail: SpooledMail, message: Message) -> Message:
    """A mail with pixel and links of the copy page: it says itself now to whom it goes, and when."""
    if not message.subject or message.origin == "link":
        message.subject = mail.subject or message.subject
    await Message.filter(id=message.id).update(
        subject=message.subject, message_id_header=mail.header_id, sent_at=mail.sent,
        from_address=mail.from_address, revision=F("revision") + 1,
    )  # fmt: skip
    people = {one.address: one.name for one in mail.people}
    await add_recipients(mail.services, message, people)
    await settle_mode(mail.account, message, list(people), off=mail.tag.off)
    return message
