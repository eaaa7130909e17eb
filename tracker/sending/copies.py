"""Makes a mail of the spool into rows: the mail, its recipients with their pixel and links, its copies.

Called by the relay for each spooled mail, again and again if need be: one transaction writes all, and finds
what it wrote before. Nothing is sent here and no byte of the mail is kept; edits are made from these rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F

from models import Account, Destination, Link, Mailbox, Message, Outgoing, Person, Recipient
from models.columns import EPOCH, clean_text
from models.database import atomically
from models.wake import OUTBOX
from tracker.destinations import card_places, choose
from tracker.hits.own_devices import learn
from tracker.keys import new_code, new_token
from tracker.mail.addresses import CaptureBox, find_box
from tracker.mail.binding import add_recipients, find_tokens, post_cards, settle_mode
from tracker.mail.capture import RefusedMailError, key_of, take_copy
from tracker.mail.compose import mode_for
from tracker.mail.draft import MAX_SUBJECT, clean_line, read_address
from tracker.mail.news import News
from tracker.mail.opt_out import opted_out
from tracker.mail.tag_orders import keep_orders
from tracker.mail.tags import Tag, parse_tag
from tracker.mail.tracked import label_of
from tracker.sending import notices
from tracker.sending.editing import Examined
from tracker.sending.spool import Envelope
from tracker.services import Services

GIVEN_UP_AFTER = dt.timedelta(days=5)  # RFC 5321, 4.5.4.1: at least four to five days
COMPOSED_BEFORE = dt.timedelta(hours=1)  # a mail that answers one quotes pixels of longer ago
_MODES = ("full", "clicks", "off")
_NOTHING = "nothing to track in it"
_TRIES = 5


@dataclass(frozen=True)
class _Person:
    """Somebody the mail goes to: as the envelope has them, and as rows do."""

    envelope: str
    address: str
    name: str
    mode: str  # full | clicks | off
    opted_out: bool


@dataclass
class _Mail:
    """A spooled mail on its way into the tables, within one transaction."""

    services: Services
    name: str
    envelope: Envelope
    examined: Examined
    account: Account
    places: Sequence[Destination]
    news: News
    tag: Tag
    now: dt.datetime
    sent: dt.datetime = field(init=False)
    people: list[_Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        arrived = self.envelope.arrived
        self.sent = min(_instant(self.examined.parsed.date) or arrived, arrived)

    @property
    def subject(self) -> str:
        return clean_line(self.examined.parsed.subject, MAX_SUBJECT)

    @property
    def header_id(self) -> str | None:
        return clean_line(self.examined.parsed.message_id, 998) or None

    @property
    def from_address(self) -> str | None:
        return read_address(self.examined.parsed.sender)

    @property
    def loosest(self) -> str:
        """The mode of the recipient who may be tracked most."""
        return min((one.mode for one in self.people), key=_MODES.index, default="off")

    @property
    def untracked(self) -> str | None:
        """Why the mail is tracked for nobody, but for the wish of somebody."""
        nothing = self.loosest == "clicks" and not self.examined.links
        return self.examined.untracked or (_NOTHING if nothing else None)


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
    mail = _Mail(services, name, envelope, examined, account, places, news, tag, now)
    mail.people = await _people(mail, others)
    composed = await _composed(mail)
    message = await (_bind(mail, composed) if composed else _store(mail))
    as_it_is = bool(composed or examined.untracked)
    doubled = await _add_outgoing(mail, message, as_it_is=as_it_is)
    if message.mode != "off":
        await post_cards(message, card_places(places), now)
    if composed:
        news.say(notices.bound(message.subject))
    elif mail.untracked and mail.loosest != "off":
        news.say(notices.untracked(message.subject, mail.untracked))
    await keep_orders(tag, account, message, mail.sent, envelope.arrived, news)
    await news.post(message)
    await notices.post([notices.maybe_twice(row, message) for row in doubled], now)


async def _people(mail: _Mail, others: Sequence[str]) -> list[_Person]:
    """Whom it goes to: in the order of To and Cc, then who is in Bcc."""
    named = {(read_address(address) or "").lower(): name for name, address in mail.examined.parsed.to}
    order = {address: place for place, address in enumerate(named)}
    addresses = {one: read_address(one) or clean_line(one.lower(), 320) for one in others}
    refused = await opted_out(mail.services, set(addresses.values()))
    people = [
        _Person(
            envelope,
            address,
            clean_line(named.get(address, ""), 200),
            "off" if mail.tag.off else mode_for(mail.account, (address,)),
            address in refused,
        )
        for envelope, address in addresses.items()
    ]
    return sorted(people, key=lambda one: order.get(one.address, len(order)))


async def _composed(mail: _Mail) -> Message | None:
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


async def _bind(mail: _Mail, message: Message) -> Message:
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


async def _store(mail: _Mail) -> Message:
    """The mail's row with its recipients and links; further recipients of one that was handed in before."""
    mode = "watch" if mail.untracked and mail.loosest != "off" else mail.loosest
    message = await _same_mail(mail)
    if message is None:
        message = await Message.create(
            account=mail.account, code=new_code(), subject=mail.subject, origin="send", mode=mode,
            created_at=mail.envelope.arrived, arms_at=mail.envelope.arrived + 2 * GIVEN_UP_AFTER,
            message_id_header=mail.header_id, sent_at=mail.sent, from_address=mail.from_address,
        )  # fmt: skip
    elif mode != message.mode and message.mode in ("off", "watch"):
        await Message.filter(id=message.id).update(mode=mode, revision=F("revision") + 1)
        message.mode = mode
    new = await _add_recipients(mail, message)
    if mail.untracked is None:
        await _add_links(mail, message, new)
    return message


async def _same_mail(mail: _Mail) -> Message | None:
    """The row of this very mail, where a mail server handed it in piece by piece, or a program twice."""
    if mail.header_id is None:
        return None
    return await Message.filter(
        account_id=mail.account.id, message_id_header=mail.header_id, origin="send", sent_at=mail.sent,
        created_at__gte=mail.envelope.arrived - GIVEN_UP_AFTER,
    ).first()  # fmt: skip


async def _add_recipients(mail: _Mail, message: Message) -> dict[str, int]:
    """Rows for whoever the message has none of yet; their ids by address."""
    before = {one.address for one in await Recipient.filter(message_id=message.id)}
    wanted = {one.address: one for one in mail.people if one.address not in before}
    people = await _person_ids(mail, list(wanted.values()))
    await Recipient.bulk_create(
        Recipient(
            message_id=message.id,
            person_id=people[one.address],
            address=one.address,
            name=one.name,
            position=len(before) + place,
            opted_out_at=mail.now if one.opted_out else None,
            details={"mode": one.mode} if one.mode != message.mode else None,
        )
        for place, one in enumerate(wanted.values())
    )
    rows = await Recipient.filter(message_id=message.id, address__in=list(wanted)).values_list(
        "address", "id"
    )
    return {str(address): int(str(row)) for address, row in rows}


async def _person_ids(mail: _Mail, wanted: Sequence[_Person]) -> dict[str, int]:
    """The account's people by address; who is new is added, and a name that is new is kept."""
    addresses = [one.address for one in wanted]
    known = {
        one.address: one for one in await Person.filter(account_id=mail.account.id, address__in=addresses)
    }
    for one in wanted:
        person = known.get(one.address)
        if person is not None and one.name and not person.name:
            await Person.filter(id=person.id).update(name=one.name)
    new = [one for one in wanted if one.address not in known]
    if new:
        await Person.bulk_create(
            Person(account_id=mail.account.id, address=one.address, name=one.name, created_at=mail.now)
            for one in new
        )
    rows = await Person.filter(account_id=mail.account.id, address__in=addresses).values_list("address", "id")
    return {str(address): int(str(row)) for address, row in rows}


async def _add_links(mail: _Mail, message: Message, new: dict[str, int]) -> None:
    """A pixel and links for each who has none, as far as their mode goes; nothing for who opted out."""
    targets = [url for url in mail.examined.links if clean_text(url) == url]
    rows: list[Link] = []
    for one in {person.address: person for person in mail.people}.values():
        if one.address not in new or one.opted_out or one.mode == "off":
            continue
        theirs: list[str | None] = [None, *targets] if one.mode == "full" else [*targets]
        rows += [
            Link(
                token=new_token(),
                kind="open" if target is None else "click",
                message_id=message.id,
                recipient_id=new[one.address],
                target=target,
                label="" if target is None else label_of(target),
                position=0 if target is None else 1 + targets.index(target),
                created_at=mail.now,
            )
            for target in theirs
        ]
    await Link.bulk_create(rows, batch_size=500)


async def _add_outgoing(mail: _Mail, message: Message, *, as_it_is: bool) -> list[Outgoing]:
    """A row for each copy; those of them that were handed in before already, and so may arrive twice."""
    rows = await Recipient.filter(message_id=message.id).values_list("address", "id")
    ids = {str(address): int(str(row)) for address, row in rows}
    earlier = {one.recipient_id for one in await Outgoing.filter(message_id=message.id)}
    is_connected = await Mailbox.filter(id=mail.envelope.mailbox_id).exists()
    await Outgoing.bulk_create(
        Outgoing(
            account_id=mail.account.id,
            mailbox_id=mail.envelope.mailbox_id if is_connected else None,
            message_id=message.id,
            recipient_id=ids.get(one.address),
            spool=mail.name,
            sender=mail.envelope.sender,
            address=one.envelope,
            next_at=mail.now,
            accepted_at=mail.envelope.arrived,
            maybe_sent=ids.get(one.address) in earlier,
            details=_details(mail, as_it_is=as_it_is),
        )
        for one in mail.people
    )
    return await Outgoing.filter(spool=mail.name, maybe_sent=True) if earlier else []


def _details(mail: _Mail, *, as_it_is: bool) -> dict[str, Any] | None:
    """How the copy is edited; null where only by its recipient's rows."""
    if as_it_is:
        return {"as_it_is": True}
    return {"quoted": list(mail.examined.quoted)} if mail.examined.quoted else None


def _instant(seconds: float | None) -> dt.datetime | None:
    """The Date as a moment; None for one outside of this century."""
    if seconds is None or not 946_684_800 <= seconds <= 4_102_444_800:
        return None
    return EPOCH + dt.timedelta(seconds=seconds)
