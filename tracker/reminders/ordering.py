"""Writes reminders: ordered, put off, done, ended by what happened, moved with their owner's time zone.

Called by the commands, by tracker/mail/capture.py for tags, by whoever notes a reply or a bounce. Every
function says whether it has a transaction of its own; what a reminder was ordered as is kept in its details.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

from tortoise.exceptions import IntegrityError

from models import Account, Message, Reminder
from models.columns import from_micros, to_micros
from models.database import atomically
from tracker.mail import tags
from tracker.preferences import workdays
from tracker.reminders.conditions import ended_by
from tracker.reminders.orders import Order, of_tag
from tracker.reminders.states import doubt_of_opens, load_state
from tracker.reminders.times import FARTHEST, When, WhenError, parse_when
from tracker.services import Services
from tracker.wall_clock import zone_of

MOST_OF_MAIL = 20  # open reminders of one mail
_SETTLED = {
    "reply": "it was answered already: only a reminder at a time still comes, such as 3d or friday 9am",
    "bounce": "it bounced, so nobody can read it: only a reminder at a time still comes, such as 3d",
    "met": "it was opened already: type noreply in place of noopen, or a time alone, such as 3d",
}
_AT_ONCE = 500  # rows of one statement
_MICROSECOND = dt.timedelta(microseconds=1)
_OPEN: dict[str, Any] = {"fired_at__isnull": True, "done_at__isnull": True}


async def order_reminder(
    services: Services, account: Account, mail: Message, order: Order, **more: Any
) -> Reminder:
    """A new reminder, in a transaction of its own; `more` as for `add_reminder`. Raises WhenError."""
    for last in (False, False, True):
        try:
            return await atomically(lambda: add_reminder(account, mail, order, services.now(), **more))
        except IntegrityError:  # somebody took that very moment
            if last:
                raise
    raise AssertionError("unreachable")


async def add_reminder(
    account: Account,
    mail: Message,
    order: Order,
    now: dt.datetime,
    *,
    start: dt.datetime | None = None,
    recipient_id: int | None = None,
    source: str = "command",
) -> Reminder:
    """A new reminder counted from `start` (now, unless told), or the same one where it is there already.

    Call it inside a transaction. Raises WhenError for a time that is over, or for what cannot happen any
    more, unless `start` is given: what a tag ordered is due at once then. And for a time too far away.
    """
    due = order.when.due(start or now, zone_of(account.timezone), workdays(account))
    if start is None and due <= now:
        raise WhenError("that time is over; type one that comes, such as tomorrow 9am")
    if due > now + dt.timedelta(days=366 * FARTHEST):
        raise WhenError(f"that is more than {FARTHEST} years away")
    row = Reminder(
        account_id=account.id, message_id=mail.id, kind=order.kind, recipient_id=recipient_id, source=source,
        text=order.text or None, due_at=due, created_at=now, details=_details(order.when, start or now),
    )  # fmt: skip
    await _doubt(row, mail)
    if start is None and (because := ended_by(row.kind, await load_state(row, mail))) is not None:
        raise WhenError(_SETTLED[because])
    of_mail = await Reminder.filter(message_id=mail.id, **_OPEN)
    for one in of_mail:
        same = (one.kind, one.recipient_id) == (row.kind, recipient_id)
        if same and timedelta_between(one.due_at, due) < dt.timedelta(seconds=1):
            return one
    if len(of_mail) >= MOST_OF_MAIL:
        raise WhenError(
            f"there are {MOST_OF_MAIL} reminders of this mail already; type reminders to see them"
        )
    row.due_at = await _free_moment(row)
    await row.save()
    return row


async def order_of_tag(
    account: Account, mail: Message, tagged: tags.Order, sent: dt.datetime, now: dt.datetime
) -> str:
    """What a capture address's tag ordered, counted from when the mail was sent; in words.

    Call it inside a transaction.
    """
    order = of_tag(tagged)
    try:
        row = await add_reminder(account, mail, order, now, start=sent, source="tag")
    except WhenError as error:
        return f"{order.said} (not kept: {error})"
    if row.was_kind:
        doubt = (row.details or {}).get("doubt")
        return f"{Order(row.kind, order.when).said} (not if no open is seen, as you ordered: {doubt})"
    return order.said


def timedelta_between(one: dt.datetime, other: dt.datetime) -> dt.timedelta:
    return abs(one - other)


async def _doubt(row: Reminder, mail: Message) -> None:
    """Where it is known beforehand that opens say nothing, a reply is what is watched for."""
    if row.kind != "noopen":
        return
    people = await mail.recipients.all()
    about = [one for one in people if one.id == row.recipient_id] or people
    doubt = await doubt_of_opens(mail, about)
    if doubt is not None:
        row.kind, row.was_kind = "noreply", "noopen"
        row.details = {**row.details, "doubt": doubt}


async def _free_moment(row: Reminder) -> dt.datetime:
    """`due_at`, or the last microsecond before it that no other reminder of the same kind and mail has."""
    others = Reminder.filter(message_id=row.message_id, kind=row.kind)
    if row.id is not None:
        others = others.exclude(id=row.id)
    due = row.due_at
    while await others.filter(due_at=due).exists():
        due -= _MICROSECOND
    return due


def _details(when: When, start: dt.datetime) -> dict[str, Any]:
    return {"when": when.said, "from": to_micros(start)}


def when_of(reminder: Reminder) -> When | None:
    """How it was ordered, where that is known: reminders of before have no details."""
    details = reminder.details if isinstance(reminder.details, dict) else {}
    try:
        return parse_when(str(details.get("when", "")))
    except WhenError:
        return None


def start_of(reminder: Reminder) -> dt.datetime:
    """From when on its length counts."""
    details = reminder.details if isinstance(reminder.details, dict) else {}
    start = details.get("from")
    return from_micros(start) if isinstance(start, int) else reminder.created_at


async def snooze(services: Services, account: Account, ids: Sequence[int], when: When) -> list[Reminder]:
    """Puts reminders off, counted from now; those that are done come back. Raises WhenError."""
    now = services.now()
    due = when.due(now, zone_of(account.timezone), workdays(account))
    if due <= now:
        raise WhenError("that time is over; type one that comes, such as tomorrow 9am")

    async def work() -> list[Reminder]:
        rows = (
            await Reminder.filter(account_id=account.id, id__in=list(ids)).select_for_update().order_by("id")
        )
        for row in rows:
            row.due_at, row.fired_at, row.done_at, row.ended_because = due, None, None, None
            row.due_at = await _free_moment(row)
            row.details = {**(row.details or {}), **_details(when, now), "waits": False}
            await row.save()
        return rows

    return await atomically(work)


async def finish(services: Services, account: Account, ids: Sequence[int]) -> int:
    """Marks reminders as done, whether they fired or not; how many were not done before."""
    now = services.now()
    rows = Reminder.filter(account_id=account.id, id__in=list(ids), done_at__isnull=True)
    return await atomically(lambda: rows.update(done_at=now, ended_because="done"))


async def settle_reminders(mail: Message, now: dt.datetime) -> int:
    """Ends the open reminders of a mail whose condition cannot hold any more; how many.

    Call it in the transaction that noted a reply or a bounce. What was not ended here does not fire either:
    the condition is looked at again when it is due.
    """
    ended = 0
    for one in await Reminder.filter(message_id=mail.id, **_OPEN).exclude(kind="always"):
        because = ended_by(one.kind, await load_state(one, mail))
        if because is not None:
            ended += await Reminder.filter(id=one.id, **_OPEN).update(done_at=now, ended_because=because)
    return ended


async def end_for_reply(mail: Message, now: dt.datetime) -> int:
    """Its owner says that a mail was answered: ends all that waits for that, whomever it is about; how many.

    Call it in the transaction that marks the mail.
    """
    waiting = Reminder.filter(message_id=mail.id, **_OPEN).exclude(kind="always")
    return await waiting.update(done_at=now, ended_because="reply")


async def revive_reminders(mail: Message, now: dt.datetime) -> int:  # noqa: ARG001, when it was taken back
    """Takes back what a reply ended, for it was none; how many. What is overdue by now comes at once."""
    ended = Reminder.filter(message_id=mail.id, fired_at__isnull=True, ended_because="reply")
    return await ended.update(done_at=None, ended_because=None)


async def move_zone(account: Account) -> int:
    """The owner's zone or working days are others now: what goes by the wall clock moves along; how many.

    Call it in the transaction that changed them.
    """
    zone, days = zone_of(account.timezone), workdays(account)
    rows = await Reminder.filter(account_id=account.id, **_OPEN)
    moving = [(one, due) for one in rows if (due := _moved(one, zone, days)) is not None]
    if not moving:
        return 0
    taken = await _taken({one.message_id for one, _ in moving})
    for one, due in moving:
        one.due_at = due
        while (one.message_id, one.kind, one.due_at) in taken:
            one.due_at -= _MICROSECOND
        taken.add((one.message_id, one.kind, one.due_at))
    await Reminder.bulk_update([one for one, _ in moving], ["due_at"], batch_size=_AT_ONCE)
    return len(moving)


def _moved(one: Reminder, zone: dt.tzinfo, days: Collection[int]) -> dt.datetime | None:
    """Its new moment, where that is another one."""
    when = when_of(one)
    if when is None or (isinstance(one.details, dict) and one.details.get("waits")):
        return None
    due = when.due(start_of(one), zone, days)
    return None if timedelta_between(due, one.due_at) < dt.timedelta(seconds=1) else due


async def _taken(mails: Collection[int]) -> set[tuple[int, str, dt.datetime]]:
    """The moments that these mails' reminders have, also those that are over."""
    found, ids = set(), sorted(mails)
    for begin in range(0, len(ids), _AT_ONCE):
        of_mails = Reminder.filter(message_id__in=ids[begin : begin + _AT_ONCE])
        found |= {(one.message_id, one.kind, one.due_at) for one in await of_mails}
    return found
