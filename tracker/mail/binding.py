"""Binds a captured copy to the rows of the mail that it is a copy of: recipients, subject, Message-ID, date.

Called by tracker/mail/capture.py, inside its transaction. What the mail itself says goes beyond what was
typed when it was made: who it went to is known now, and with that whose the pixel is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from tortoise.expressions import F

from models import Account, Card, Destination, Hit, Link, Message, Person, Recipient
from tracker.destinations import card_places
from tracker.mail.compose import mode_for
from tracker.mail.opt_out import opted_out
from tracker.services import Services

_COUNTERS = ("opens", "clicks", "total_opens", "total_clicks")
_MOMENTS = ("first_open_at", "last_open_at", "first_click_at", "last_click_at", "loaded_at")
_STRICTEST = ("off", "clicks", "full")


async def find_tokens(account_id: int, tokens: Sequence[tuple[str, str]]) -> list[Message]:
    """The account's mails whose tokens these are, newest first."""
    wanted = [token for _, token in tokens]
    if not wanted:
        return []
    found = await Link.filter(token__in=wanted, message__account_id=account_id).values_list(
        "message_id", flat=True
    )
    ids = {int(str(one)) for one in found}
    return await Message.filter(id__in=list(ids)).order_by("-created_at", "-id") if ids else []


async def add_recipients(
    services: Services, message: Message, people: Mapping[str, str], *, keep_tokens: bool = False
) -> None:
    """Adds whom the mail went to (name by address), and gives pixel and links to the only one, if so.

    Once there are several, what was one person's is shared: nobody can tell any more who asked for it.
    """
    now = services.now()
    before = await Recipient.filter(message_id=message.id)
    known = {one.address for one in before}
    new = [address for address in people if address not in known]
    refused = await opted_out(services, new)
    ids = await _person_ids(message.account_id, {one: people[one] for one in new}, now)
    await Recipient.bulk_create(
        Recipient(
            message_id=message.id,
            person_id=ids[address],
            address=address,
            name=people[address],
            position=len(before) + place,
            opted_out_at=now if address in refused else None,
        )
        for place, address in enumerate(new)
    )
    if refused:
        await Link.filter(message_id=message.id).update(recording=False)
    if new and not keep_tokens:
        await _hand_out_tokens(message, len(before) + len(new))


async def _hand_out_tokens(message: Message, count: int) -> None:
    """To the only recipient; to nobody alone where there are several."""
    links = Link.filter(message_id=message.id)
    only = await Recipient.get(message_id=message.id) if count == 1 else None
    if only is None and not await links.filter(recipient_id__not_isnull=True).exists():
        return
    owner = None if only is None else only.id
    await Link.filter(message_id=message.id).update(recipient_id=owner)
    await Hit.filter(message_id=message.id).update(recipient_id=owner)
    # Judging the mail anew counts its hits again, for whom they belong to now.
    nothing = {**dict.fromkeys(_COUNTERS, 0), **dict.fromkeys(_MOMENTS)}
    await Recipient.filter(message_id=message.id).update(**nothing)


async def _person_ids(account_id: int, people: Mapping[str, str], now: dt.datetime) -> dict[str, int]:
    found = await Person.filter(account_id=account_id, address__in=list(people)) if people else []
    ids = {person.address: person.id for person in found}
    for address in people.keys() - ids.keys():
        person = await Person.create(
            account_id=account_id, address=address, name=people[address], created_at=now
        )
        ids[address] = person.id
    return ids


async def settle_mode(account: Account, message: Message, addresses: Sequence[str], *, off: bool) -> None:
    """The strictest of the mail's own mode, the account's for these recipients, and what the tag says."""
    asked = {message.mode, mode_for(account, addresses), "off" if off else message.mode}
    mode = next((one for one in _STRICTEST if one in asked), message.mode)
    if mode == message.mode:
        return
    links = Link.filter(message_id=message.id)
    await (links if mode == "off" else links.filter(kind="open")).update(recording=False)
    await Message.filter(id=message.id).update(mode=mode, revision=F("revision") + 1)
    message.mode = mode


async def post_cards(message: Message, destinations: Sequence[Destination], now: dt.datetime) -> None:
    """A card in each chat that is for mails, drawn anew where there is one."""
    await Card.bulk_create(
        (
            Card(message_id=message.id, destination_id=one.id, created_at=now, dirty_at=now)
            for one in card_places(destinations)
        ),
        ignore_conflicts=True,
    )
    await Card.filter(message_id=message.id).update(dirty_at=now)
