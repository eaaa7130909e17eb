"""Makes mails of the spool into rows: each mail, its recipients with their pixel and links, its copies.

Called by the relay for spooled mails, again and again if need be: one transaction writes all, and finds
what it wrote before. Nothing is sent here and no byte of the mail is kept; edits are made from these rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F

from models import Account, Card, Destination, Message, Outgoing
from models.database import atomically
from models.wake import OUTBOX
from tracker.destinations import card_places, choose
from tracker.mail.addresses import CaptureBox, find_box
from tracker.mail.binding import add_recipients, find_tokens, settle_mode
from tracker.mail.capture import RefusedMailError, key_of, take_copy
from tracker.mail.news import News
from tracker.mail.tag_orders import keep_orders
from tracker.mail.tags import Tag, parse_tag
from tracker.sending import notices
from tracker.sending.copy_rows import SpooledMail, add_outgoing, find_ids, find_people, store_mails
from tracker.sending.editing import Examined
from tracker.sending.outcomes import mark
from tracker.sending.spool import Envelope
from tracker.services import Services

COMPOSED_BEFORE = dt.timedelta(hours=1)  # a mail that answers one quotes pixels of longer ago
_TRIES = 5


@dataclass(frozen=True)
class Spooled:
    """A mail of the spool, and what it says."""

    name: str
    envelope: Envelope
    examined: Examined
    raw: bytes


@dataclass(frozen=True)
class _Addressed:
    """A mail with whom it goes to, but for our own addresses, and what these order."""

    mail: Spooled
    others: Sequence[str]
    tag: Tag


async def make_copies(services: Services, mails: Sequence[Spooled]) -> None:
    """Writes what spooled mails come to, in one commit; nothing where that was done. Raises database faults.

    Our own capture addresses among the recipients get no copy: what their tags order is kept. A mail to
    nobody else is taken as a captured one.
    """
    addressed = []
    for mail in mails:
        boxes = await _own_boxes(services, mail.envelope)
        others = [one for one in dict.fromkeys(mail.envelope.recipients) if one not in boxes]
        if others:
            addressed.append(_Addressed(mail, others, _joined(boxes.values())))
        else:
            await _take(services, list(boxes.values()), mail)

    async def write() -> None:
        done = {row.spool for row in await Outgoing.filter(spool__in=[one.mail.name for one in addressed])}
        waiting = [one for one in addressed if one.mail.name not in done]
        desk = Desk()
        while waiting:
            some, waiting = _differing(waiting)
            await _write(services, desk, some)

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


async def _take(services: Services, boxes: Sequence[CaptureBox], mail: Spooled) -> None:
    """A mail to capture addresses alone is what a copy in BCC is."""
    key = key_of(mail.examined.parsed, mail.raw)
    for box in boxes:
        try:
            await take_copy(services, box, mail.examined.parsed, key, mail.envelope.arrived)
        except RefusedMailError as refusal:
            text = f"A mail to your capture address was not taken: {refusal}."
            told = notices.Notice(box.account_id, f"untaken:{key}", text)
            await atomically(lambda told=told: notices.post([told], services.now()))  # type: ignore[misc]


class Desk:
    """Accounts and their chats, read once for the mails of one transaction."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Account, list[Destination]]] = {}

    async def of(self, account_id: int) -> tuple[Account, list[Destination]]:
        if account_id not in self._known:
            places = await Destination.filter(account_id=account_id, off_at__isnull=True).order_by("id")
            self._known[account_id] = await Account.get(id=account_id), places
        return self._known[account_id]


def _differing(mails: Sequence[_Addressed]) -> tuple[list[_Addressed], list[_Addressed]]:
    """Those of which no two are the same mail, which may be handed in piece by piece; and the others."""
    first: dict[tuple[int, str], _Addressed] = {}
    again: list[_Addressed] = []
    for one in mails:
        message_id = one.mail.examined.parsed.message_id or one.mail.name
        key = one.mail.envelope.account_id, message_id
        if first.setdefault(key, one) is not one:
            again.append(one)
    return list(first.values()), again


async def _write(services: Services, desk: Desk, addressed: Sequence[_Addressed]) -> None:
    """All rows of these mails, within a transaction."""
    mails = [await _open(services, desk, one) for one in addressed]
    await find_people(services, mails, [one.others for one in addressed])
    for mail in mails:
        composed = await _composed(mail)
        if composed is not None:
            mail.message, mail.is_composed = await _bind(mail, composed), True
    await find_ids([mail for mail in mails if mail.is_composed])
    await store_mails([mail for mail in mails if not mail.is_composed])
    doubled = await add_outgoing(mails)
    await _draw(mails, services.now())
    for mail in mails:
        await _tell(mail, [row for row in doubled if row.spool == mail.name])


async def _open(services: Services, desk: Desk, addressed: _Addressed) -> SpooledMail:
    spooled, now = addressed.mail, services.now()
    account, places = await desk.of(spooled.envelope.account_id)
    news = News(now, account.id, choose(places, "notice"), spooled.name)
    return SpooledMail(
        services, spooled.name, spooled.envelope, spooled.examined, account, places, news, addressed.tag, now
    )


async def _draw(mails: Sequence[SpooledMail], now: dt.datetime) -> None:
    """A card in each chat that is for mails, drawn anew where there is one."""
    shown = [mail for mail in mails if mail.row.mode != "off"]
    await Card.bulk_create(
        (
            Card(message_id=mail.row.id, destination_id=place.id, created_at=now, dirty_at=now)
            for mail in shown
            for place in card_places(mail.places)
        ),
        ignore_conflicts=True,
    )
    if old := [mail.row.id for mail in shown if not mail.is_new]:
        await Card.filter(message_id__in=old).update(dirty_at=now)


async def _tell(mail: SpooledMail, doubled: Sequence[Outgoing]) -> None:
    """What there is to say of a mail; `doubled`: its copies that may arrive twice."""
    message, now = mail.row, mail.now
    if mail.is_composed:
        mail.news.say(notices.bound(message.subject))
    elif mail.untracked and mail.loosest != "off":
        mail.news.say(notices.untracked(message.subject, mail.untracked))
    await keep_orders(mail.tag, mail.account, message, mail.sent, mail.envelope.arrived, mail.news)
    await mail.news.post(message)
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
