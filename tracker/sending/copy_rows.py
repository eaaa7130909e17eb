"""The rows of a mail that is sent through: who gets it, each with a pixel and links, and its copies.

Called by tracker/sending/copies.py within its transaction. `SpooledMail` is what is known of the mail there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tortoise.expressions import F

from models import Account, Destination, Link, Mailbox, Message, Outgoing, Person, Recipient
from models.columns import EPOCH, clean_text
from tracker.keys import new_code, new_token
from tracker.mail.compose import mode_for
from tracker.mail.draft import MAX_SUBJECT, clean_line, read_address
from tracker.mail.news import News
from tracker.mail.opt_out import opted_out
from tracker.mail.tags import Tag
from tracker.mail.tracked import label_of
from tracker.sending.editing import Examined
from tracker.sending.outcomes import GIVEN_UP_AFTER
from tracker.sending.spool import Envelope
from tracker.services import Services

_MODES = ("full", "clicks", "off")
_NOTHING = "nothing to track in it"


@dataclass(frozen=True)
class Addressed:
    """Somebody the mail goes to: as the envelope has them, and as rows do."""

    envelope: str
    address: str
    name: str
    mode: str  # full | clicks | off
    opted_out: bool


@dataclass
class SpooledMail:
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
    people: list[Addressed] = field(default_factory=list)
    new_rows: dict[str, int] | None = None  # the recipients of a mail that was new, by address: these are all

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


async def find_people(mail: SpooledMail, others: Sequence[str]) -> list[Addressed]:
    """Whom it goes to: in the order of To and Cc, then who is in Bcc."""
    named = {(read_address(address) or "").lower(): name for name, address in mail.examined.parsed.to}
    order = {address: place for place, address in enumerate(named)}
    addresses = {one: read_address(one) or clean_line(one.lower(), 320) for one in others}
    refused = await opted_out(mail.services, set(addresses.values()))
    people = [
        Addressed(
            envelope,
            address,
            clean_line(named.get(address, ""), 200),
            "off" if mail.tag.off else mode_for(mail.account, (address,)),
            address in refused,
        )
        for envelope, address in addresses.items()
    ]
    return sorted(people, key=lambda one: order.get(one.address, len(order)))


async def store_mail(mail: SpooledMail) -> Message:
    """The mail's row with its recipients and links; further recipients of one that was handed in before."""
    mode = "watch" if mail.untracked and mail.loosest != "off" else mail.loosest
    message = await _same_mail(mail)
    is_new = message is None
    if message is None:
        message = await Message.create(
            account=mail.account, code=new_code(), subject=mail.subject, origin="send", mode=mode,
            created_at=mail.envelope.arrived, arms_at=mail.envelope.arrived + 2 * GIVEN_UP_AFTER,
            message_id_header=mail.header_id, sent_at=mail.sent, from_address=mail.from_address,
        )  # fmt: skip
    elif mode != message.mode and message.mode in ("off", "watch"):
        await Message.filter(id=message.id).update(mode=mode, revision=F("revision") + 1)
        message.mode = mode
    new = await _add_recipients(mail, message, is_new=is_new)
    if is_new:
        mail.new_rows = new
    if mail.untracked is None:
        await _add_links(mail, message, new)
    return message


async def _same_mail(mail: SpooledMail) -> Message | None:
    """The row of this very mail, where a mail server handed it in piece by piece, or a program twice."""
    if mail.header_id is None:
        return None
    return await Message.filter(
        account_id=mail.account.id, message_id_header=mail.header_id, origin="send", sent_at=mail.sent,
        created_at__gte=mail.envelope.arrived - GIVEN_UP_AFTER,
    ).first()  # fmt: skip


async def _add_recipients(mail: SpooledMail, message: Message, *, is_new: bool) -> dict[str, int]:
    """Rows for whoever the message has none of yet; their ids by address."""
    before = set() if is_new else {one.address for one in await Recipient.filter(message_id=message.id)}
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
            details={"mode": one.mode} if mail.untracked is None and one.mode != message.mode else None,
        )
        for place, one in enumerate(wanted.values())
    )
    rows = await Recipient.filter(message_id=message.id, address__in=list(wanted)).values_list(
        "address", "id"
    )
    return {str(address): int(str(row)) for address, row in rows}


async def _person_ids(mail: SpooledMail, wanted: Sequence[Addressed]) -> dict[str, int]:
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
    if not new:
        return {address: person.id for address, person in known.items()}
    await Person.bulk_create(
        Person(account_id=mail.account.id, address=one.address, name=one.name, created_at=mail.now)
        for one in new
    )
    rows = await Person.filter(account_id=mail.account.id, address__in=addresses).values_list("address", "id")
    return {str(address): int(str(row)) for address, row in rows}


async def _add_links(mail: SpooledMail, message: Message, new: dict[str, int]) -> None:
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


async def add_outgoing(mail: SpooledMail, message: Message, *, as_it_is: bool) -> list[Outgoing]:
    """A row for each copy; those of them that were handed in before already, and so may arrive twice."""
    ids = mail.new_rows
    earlier: set[int | None] = set()
    if ids is None:
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


def _details(mail: SpooledMail, *, as_it_is: bool) -> dict[str, Any] | None:
    """How the copy is edited; null where only by its recipient's rows."""
    if as_it_is:
        return {"as_it_is": True}
    return {"quoted": list(mail.examined.quoted)} if mail.examined.quoted else None


def _instant(seconds: float | None) -> dt.datetime | None:
    """The Date as a moment; None for one outside of this century."""
    if seconds is None or not 946_684_800 <= seconds <= 4_102_444_800:
        return None
    return EPOCH + dt.timedelta(seconds=seconds)
