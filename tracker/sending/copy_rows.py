"""The rows of mails that are sent through: who gets each, with a pixel and links, and its copies.

Called by tracker/sending/copies.py within its transaction, with mails no two of which are the same one: each
step is a statement or two, however many mails there are. `SpooledMail` is what is known of a mail there.
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
    message: Message | None = None  # its row
    is_new: bool = False  # the row was made just now
    is_composed: bool = False  # the row is one of the copy page
    fresh: frozenset[str] = frozenset()  # addresses of recipients that were added just now
    ids: dict[str, int] = field(default_factory=dict)  # of its recipients' rows, by address

    def __post_init__(self) -> None:
        arrived = self.envelope.arrived
        self.sent = min(_instant(self.examined.parsed.date) or arrived, arrived)

    @property
    def row(self) -> Message:
        assert self.message is not None
        return self.message

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


async def find_people(
    services: Services, mails: Sequence[SpooledMail], others: Sequence[Sequence[str]]
) -> None:
    """Whom each mail goes to, `others` of it: in the order of To and Cc, then who is in Bcc."""
    addresses = [{one: read_address(one) or clean_line(one.lower(), 320) for one in each} for each in others]
    refused = await opted_out(services, {address for each in addresses for address in each.values()})
    for mail, theirs in zip(mails, addresses, strict=True):
        named = {(read_address(address) or "").lower(): name for name, address in mail.examined.parsed.to}
        order = {address: place for place, address in enumerate(named)}
        people = [
            Addressed(
                envelope,
                address,
                clean_line(named.get(address, ""), 200),
                "off" if mail.tag.off else mode_for(mail.account, (address,)),
                address in refused,
            )
            for envelope, address in theirs.items()
        ]
        mail.people = sorted(people, key=lambda one: order.get(one.address, len(order)))


async def store_mails(mails: Sequence[SpooledMail]) -> None:
    """The mails' rows with recipients and links; further recipients of those that were handed in before."""
    await _find_same(mails)
    made = {mail.name: _new_row(mail) for mail in mails if mail.message is None}
    if made:
        await Message.bulk_create(made.values())
        rows = {row.code: row for row in await Message.filter(code__in=[one.code for one in made.values()])}
        for mail in mails:
            if mail.message is None:
                mail.message, mail.is_new = rows[made[mail.name].code], True
    await _add_recipients(mails)
    await _add_links(mails)


def _mode(mail: SpooledMail) -> str:
    return "watch" if mail.untracked and mail.loosest != "off" else mail.loosest


def _new_row(mail: SpooledMail) -> Message:
    return Message(
        account_id=mail.account.id, code=new_code(), subject=mail.subject, origin="send", mode=_mode(mail),
        created_at=mail.envelope.arrived, arms_at=mail.envelope.arrived + 2 * GIVEN_UP_AFTER,
        message_id_header=mail.header_id, sent_at=mail.sent, from_address=mail.from_address,
    )  # fmt: skip


async def _find_same(mails: Sequence[SpooledMail]) -> None:
    """The rows of these very mails, where a mail server hands one in piece by piece, or a program twice."""
    named = [mail for mail in mails if mail.header_id is not None]
    if not named:
        return
    rows = await Message.filter(message_id_header__in=[mail.header_id for mail in named], origin="send")
    for mail in named:
        since = mail.envelope.arrived - GIVEN_UP_AFTER
        mail.message = next((row for row in rows if _is_of(row, mail) and row.created_at >= since), None)
        if mail.message is not None:
            await _loosen(mail.message, _mode(mail))


def _is_of(row: Message, mail: SpooledMail) -> bool:
    this = mail.account.id, mail.header_id, mail.sent
    return (row.account_id, row.message_id_header, row.sent_at) == this


async def _loosen(message: Message, mode: str) -> None:
    """A mail that nobody was tracked in has recipients now who are."""
    if mode != message.mode and message.mode in ("off", "watch"):
        await Message.filter(id=message.id).update(mode=mode, revision=F("revision") + 1)
        message.mode = mode


async def _add_recipients(mails: Sequence[SpooledMail]) -> None:
    """Rows for whoever a mail has none of yet."""
    await find_ids([mail for mail in mails if not mail.is_new])
    wanted = [
        (mail, {one.address: one for one in mail.people if one.address not in mail.ids}) for mail in mails
    ]
    people = await _person_ids([(mail, one) for mail, new in wanted for one in new.values()])
    await Recipient.bulk_create(
        Recipient(
            message_id=mail.row.id,
            person_id=people[mail.account.id, one.address],
            address=one.address,
            name=one.name,
            position=len(mail.ids) + place,
            opted_out_at=mail.now if one.opted_out else None,
            details={"mode": one.mode} if mail.untracked is None and one.mode != mail.row.mode else None,
        )
        for mail, new in wanted
        for place, one in enumerate(new.values())
    )
    for mail, new in wanted:
        mail.fresh = frozenset(new)
    await find_ids([mail for mail in mails if mail.fresh])


async def find_ids(mails: Sequence[SpooledMail]) -> None:
    """Fills in which rows the mails' recipients have."""
    if not mails:
        return
    found: dict[int, dict[str, int]] = {mail.row.id: {} for mail in mails}
    rows = Recipient.filter(message_id__in=list(found))
    for message, address, row in await rows.values_list("message_id", "address", "id"):
        found[int(str(message))][str(address)] = int(str(row))
    for mail in mails:
        mail.ids = found[mail.row.id]


async def _person_ids(wanted: Sequence[tuple[SpooledMail, Addressed]]) -> dict[tuple[int, str], int]:
    """People by account and address; who is new is added, and a name that is new is kept."""
    theirs = Person.filter(
        account_id__in={mail.account.id for mail, _ in wanted}, address__in={one.address for _, one in wanted}
    )
    known = {(one.account_id, one.address): one for one in await theirs} if wanted else {}
    new: dict[tuple[int, str], Person] = {}
    for mail, one in wanted:
        key = mail.account.id, one.address
        person = known.get(key) or new.setdefault(
            key, Person(account_id=key[0], address=key[1], name=one.name, created_at=mail.now)
        )
        if one.name and not person.name:
            person.name = one.name
            if key in known:
                await Person.filter(id=person.id).update(name=one.name)
    if new:
        await Person.bulk_create(new.values())
        known = {(one.account_id, one.address): one for one in await theirs}
    return {key: person.id for key, person in known.items()}


async def _add_links(mails: Sequence[SpooledMail]) -> None:
    """A pixel and links for each who has none, as far as their mode goes; nothing for who opted out."""
    rows: list[Link] = []
    for mail in mails:
        if mail.untracked is not None:
            continue
        targets = [url for url in mail.examined.links if clean_text(url) == url]
        for one in {person.address: person for person in mail.people}.values():
            if one.address not in mail.fresh or one.opted_out or one.mode == "off":
                continue
            theirs: list[str | None] = [None, *targets] if one.mode == "full" else [*targets]
            rows += [_link(mail, mail.ids[one.address], target, targets) for target in theirs]
    await Link.bulk_create(rows, batch_size=500)


def _link(mail: SpooledMail, recipient_id: int, target: str | None, targets: Sequence[str]) -> Link:
    return Link(
        token=new_token(),
        kind="open" if target is None else "click",
        message_id=mail.row.id,
        recipient_id=recipient_id,
        target=target,
        label="" if target is None else label_of(target),
        position=0 if target is None else 1 + targets.index(target),
        created_at=mail.now,
    )


async def add_outgoing(mails: Sequence[SpooledMail]) -> list[Outgoing]:
    """A row for each copy; those of them that were handed in before already, and so may arrive twice."""
    known = [mail.row.id for mail in mails if not mail.is_new]
    before = await Outgoing.filter(message_id__in=known) if known else []
    earlier = {(one.message_id, one.recipient_id) for one in before}
    ids = {mail.envelope.mailbox_id for mail in mails}
    connected = {int(str(one)) for one in await Mailbox.filter(id__in=ids).values_list("id", flat=True)}
    await Outgoing.bulk_create(
        Outgoing(
            account_id=mail.account.id,
            mailbox_id=mail.envelope.mailbox_id if mail.envelope.mailbox_id in connected else None,
            message_id=mail.row.id,
            recipient_id=mail.ids.get(one.address),
            spool=mail.name,
            sender=mail.envelope.sender,
            address=one.envelope,
            next_at=mail.now,
            accepted_at=mail.envelope.arrived,
            maybe_sent=(mail.row.id, mail.ids.get(one.address)) in earlier,
            details=_details(mail),
        )
        for mail in mails
        for one in mail.people
    )
    names = [mail.name for mail in mails]
    return await Outgoing.filter(spool__in=names, maybe_sent=True) if earlier else []


def _details(mail: SpooledMail) -> dict[str, Any] | None:
    """How the copies are edited; null where only by their recipients' rows."""
    if mail.is_composed or mail.examined.untracked:
        return {"as_it_is": True}
    return {"quoted": list(mail.examined.quoted)} if mail.examined.quoted else None


def _instant(seconds: float | None) -> dt.datetime | None:
    """The Date as a moment; None for one outside of this century."""
    if seconds is None or not 946_684_800 <= seconds <= 4_102_444_800:
        return None
    return EPOCH + dt.timedelta(seconds=seconds)
