"""What is known of a mail, or of one of its recipients, as a reminder's condition asks for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from models import Link, Message, Recipient, Reminder
from tracker.insights.sides import signs_of
from tracker.insights.trackability import side_of
from tracker.reminders.conditions import State

MOST_ASKED = 5  # recipients whose programs are looked at


async def load_state(reminder: Reminder, mail: Message) -> State:
    """The state now. Inside a transaction it is the one that the transaction sees."""
    people = await Recipient.filter(message_id=mail.id).order_by("position", "id")
    about = [one for one in people if one.id == reminder.recipient_id] or people
    alone = len(people) == 1 or reminder.recipient_id is None
    shared = reminder.recipient_id is not None and not await _has_own_pixel(mail, about[0])
    return State(
        opened_at=_opened(mail, about, alone=alone),
        clicked_at=_first(mail, about, "first_click_at", alone=alone),
        replied=any(one.replied_at for one in about) or (alone and mail.replied_at is not None),
        bounced=bool(about) and all(one.bounced_at for one in about),
        doubt=await doubt_of_opens(mail, about, shared=shared and not alone)
        if reminder.kind == "noopen"
        else None,
    )


async def _has_own_pixel(mail: Message, person: Recipient) -> bool:
    return await Link.filter(message_id=mail.id, recipient_id=person.id, kind="open").exists()


def _opened(mail: Message, about: Sequence[Recipient], *, alone: bool) -> dt.datetime | None:
    """A click opens, even where no open was seen."""
    found = [_first(mail, about, name, alone=alone) for name in ("first_open_at", "first_click_at")]
    return min((one for one in found if one is not None), default=None)


def _first(mail: Message, about: Sequence[Recipient], name: str, *, alone: bool) -> dt.datetime | None:
    rows: list[Message | Recipient] = [*about, *([mail] if alone else [])]
    return min((at for row in rows if (at := getattr(row, name)) is not None), default=None)


async def doubt_of_opens(mail: Message, about: Sequence[Recipient], *, shared: bool = False) -> str | None:
    """Why it means nothing that no open is seen, in words; None where it does.

    Where several people are meant, one whose opens can be trusted is enough.
    """
    if mail.mode != "full" or not await Link.filter(message_id=mail.id, kind="open").exists():
        return "there is no pixel of mine in it"
    if shared and mail.opens:
        return "several people share its pixel, and one of them opened it"
    doubts = [await _doubt_of(mail, one) for one in about[:MOST_ASKED]]
    return doubts[0] if doubts and all(doubts) else None


async def _doubt_of(mail: Message, person: Recipient) -> str | None:
    if person.opted_out_at is not None:
        return "its reader opted out of tracking"
    if person.loaded_at is not None:
        return "Apple Mail loads every picture there by itself"
    signs = await signs_of(mail.account_id, [person.address])
    side = side_of(signs[person.address])
    if side.apple:
        return "Apple Mail loads every picture there by itself"
    return "pictures are blocked there" if side.images_blocked else None
