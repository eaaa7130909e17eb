"""Reminders that an account wants for every mail: "no reply in 3 working days".

A duty gives them to mails that have left: told by `sent`, by a copy, by the provider, or
by arming themselves.
A mail gets them once, also when they are done or were answered since.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from tortoise.expressions import Subquery

from models import Account, Message, Reminder
from models.columns import from_micros, to_micros
from models.database import atomically
from tracker.preferences import Stored, change, stored
from tracker.reminders.ordering import add_reminder
from tracker.reminders.orders import Order
from tracker.reminders.times import WhenError, parse_when
from tracker.services import Services

LOOK_BACK = dt.timedelta(days=7)
BATCH = 200
_ORIGINS = ("compose", "list", "send", "capture")  # no demo, no single link


@dataclass(frozen=True)
class Default:
    order: Order
    since: dt.datetime  # mails of before stay as they are


def defaults_of(account: Account) -> list[Default]:
    """What the account wants for every mail."""
    rows = stored(account).get("reminders")
    found = []
    for row in rows if isinstance(rows, list) else ():
        try:
            order = Order(str(row["kind"]), parse_when(str(row["when"])))
            found.append(Default(order, from_micros(int(row["since"]))))
        except (WhenError, KeyError, TypeError, ValueError):
            continue
    return found


async def set_default(account_id: int, order: Order, now: dt.datetime) -> Account:
    """One default of each kind; the same kind again replaces it."""

    def work(kept: Stored) -> Stored:
        row = {"kind": order.kind, "when": order.when.said, "since": to_micros(now)}
        return {**kept, "reminders": [*_others(kept, order.kind), row]}

    return await change(account_id, work)


async def drop_defaults(account_id: int, kind: str | None = None) -> Account:
    """Ends the default of this kind, or all of them. Reminders that mails have already stay."""
    return await change(account_id, lambda kept: {**kept, "reminders": _others(kept, kind) if kind else []})


def _others(kept: Stored, kind: str) -> list[Any]:
    rows = kept.get("reminders")
    return (
        [one for one in rows if isinstance(one, dict) and one.get("kind") != kind]
        if isinstance(rows, list)
        else []
    )


async def apply_defaults(services: Services) -> int:
    """Gives mails that left since the last look what their account wants for every mail; how many rows."""
    made = 0
    for account in await Account.filter(preferences__isnull=False):
        for default in defaults_of(account):
            while new := await _apply(services, account, default):
                made += new
                if new < BATCH:
                    break
    return made


async def _apply(services: Services, account: Account, default: Default) -> int:
    now, kind, made = services.now(), default.order.kind, 0
    since = max(default.since, now - LOOK_BACK)
    # What a tag or its owner ordered for a mail goes before what holds for all.
    had = Reminder.filter(account_id=account.id, created_at__gte=since - LOOK_BACK)
    had_this = had.filter(kind=kind).values("message_id")
    had_other = had.filter(was_kind=kind).values("message_id")
    mails = Message.filter(
        account_id=account.id, created_at__gte=since, origin__in=_ORIGINS, replied_at__isnull=True
    ).exclude(mode="off")
    mails = mails.exclude(id__in=Subquery(had_this)).exclude(id__in=Subquery(had_other))
    for mail in await mails.order_by("id").limit(BATCH):
        left = mail.sent_at or mail.handed_over_at or mail.armed_at
        left = left or (mail.arms_at if mail.arms_at <= now else None)
        if left is None:
            continue

        async def work(mail: Message = mail, left: dt.datetime = left) -> bool:
            locked = await Message.filter(id=mail.id).select_for_update().first()
            if locked is None or await _has(mail.id, kind):
                return False
            try:
                await add_reminder(account, locked, default.order, now, start=left, source="default")
            except WhenError:  # the mail is full of reminders; the others must not wait for it
                return False
            return True

        made += await atomically(work)
    return made


async def _has(mail_id: int, kind: str) -> bool:
    of_mail = Reminder.filter(message_id=mail_id)
    return await of_mail.filter(kind=kind).exists() or await of_mail.filter(was_kind=kind).exists()
