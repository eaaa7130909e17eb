"""Reminders that are due: each becomes rows of the outbox exactly once, whoever looks, however often.

`fire_due` is a duty (tracker/schedule.py), `seconds_to_next` says when the next one is due. The condition is
looked at in the transaction that fires, whose conditional UPDATE is the claim: a reminder that another worker
fired, or that was put off, done or answered meanwhile, is left alone.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from models import Account, Alert, Card, Destination, Message, Reminder
from models.columns import to_micros
from models.database import atomically
from models.wake import OUTBOX
from tracker.destinations import places_for
from tracker.preferences import workdays
from tracker.reminders.conditions import Action, Due, Look, State, look
from tracker.reminders.ordering import start_of, when_of
from tracker.reminders.states import load_state
from tracker.services import Services
from tracker.wall_clock import zone_of

BATCH = 100
LATE = dt.timedelta(minutes=5)  # later than that it is said
_OPEN: dict[str, Any] = {"fired_at__isnull": True, "done_at__isnull": True}

log = logging.getLogger(__name__)


async def fire_due(services: Services) -> int:
    """Fires what is due and has a chat to ring in; how many reminders rang."""
    now, fired = services.now(), 0
    last: Reminder | None = None
    while True:
        rows = await due_reminders(now, last).limit(BATCH)
        for one in rows:
            fired += await fire(one, now)
        if len(rows) < BATCH:
            break
        last = rows[-1]
    if fired:
        services.wake.ring(OUTBOX)
    return fired


def due_reminders(now: dt.datetime, after: Reminder | None = None) -> QuerySet[Reminder]:
    """Those that are due and wait, the longest due first; `after` this one.

    Whoever has no chat at the moment gets theirs, late, when they have one again. (Excluded, because SQLite
    would go by account for those that are included, and through all that ever rang.)
    """
    listening = Destination.filter(off_at__isnull=True).values("account_id")
    deaf = Account.exclude(id__in=Subquery(listening)).values("id")
    due = Reminder.filter(**_OPEN, due_at__lte=now).exclude(account_id__in=Subquery(deaf))
    if after is not None:
        due = due.filter(Q(due_at__gt=after.due_at) | Q(due_at=after.due_at, id__gt=after.id))
    return due.order_by("due_at", "id")


async def seconds_to_next(services: Services) -> float | None:
    """How long until the next reminder is due; None when none waits."""
    now = services.now()
    one = await Reminder.filter(**_OPEN, due_at__gt=now).order_by("due_at").first()
    return None if one is None else (one.due_at - now).total_seconds()


async def fire(reminder: Reminder, now: dt.datetime) -> bool:
    """Looks at the reminder as it is now, in one transaction; whether it rang. Else it waits on, or ends."""
    claim = Reminder.filter(id=reminder.id, due_at=reminder.due_at, **_OPEN)

    async def work() -> bool:
        mail = await Message.filter(id=reminder.message_id).select_for_update().first()
        one = await claim.select_for_update().first()
        if mail is None or one is None:
            return False
        account = await Account.get(id=one.account_id)
        state = await load_state(one, mail)
        found = _look(one, state, account, now)
        if found.action is Action.END:
            await claim.update(done_at=now, ended_because=found.because)
            return False
        if found.action is Action.WAIT:
            await _wait(one, found)
            return False
        if found.kind != one.kind and await _is_doubled(one, found.kind):
            await claim.update(done_at=now, ended_because="met")
            return False
        switch = {"kind": found.kind, "was_kind": one.kind} if found.kind != one.kind else {}
        if not await claim.update(fired_at=now, **switch):
            return False
        await _ring(account, mail, one, found.kind, state, now)
        return True

    return await atomically(work)


def _look(one: Reminder, state: State, account: Account, now: dt.datetime) -> Look:
    zone, days = zone_of(account.timezone), workdays(account)
    when, length = when_of(one), _length(one)
    after: Due | None = None
    if when is None:  # of before its order was kept
        after = lambda moment: moment + length  # noqa: E731
    elif when.is_length:
        after = lambda moment: when.due(moment, zone, days)  # noqa: E731
    waited = isinstance(one.details, dict) and bool(one.details.get("waits"))
    return look(one.kind, state, now, after=after, waited=waited, since=one.created_at)


def _length(one: Reminder) -> dt.timedelta:
    """How long after its start it was due at first: what is waited for again and again."""
    every = one.details.get("every") if isinstance(one.details, dict) else None
    return dt.timedelta(seconds=every) if isinstance(every, (int, float)) else one.due_at - start_of(one)


async def _wait(one: Reminder, found: Look) -> None:
    kept = one.details if isinstance(one.details, dict) else {}
    details = {**kept, "waits": True, "every": _length(one).total_seconds()}
    due = found.until
    assert due is not None
    others = Reminder.filter(message_id=one.message_id, kind=one.kind).exclude(id=one.id)
    while await others.filter(due_at=due).exists():
        due -= dt.timedelta(microseconds=1)
    await Reminder.filter(id=one.id, **_OPEN).update(due_at=due, details=details)


async def _is_doubled(one: Reminder, kind: str) -> bool:
    """Whether the mail has that very reminder already: two that say the same are one."""
    same = Reminder.filter(message_id=one.message_id, kind=kind, due_at=one.due_at)
    return await same.exclude(id=one.id).exists()


async def _ring(
    account: Account, mail: Message, one: Reminder, kind: str, state: State, now: dt.datetime
) -> None:
    """The rows of the outbox. A reminder that was put off and rings again has another key."""
    late = now - one.due_at
    details = one.details if isinstance(one.details, dict) else {}
    was = one.kind if kind != one.kind else one.was_kind
    facts = {
        "kind": kind,
        "was_kind": was,
        "doubt": (state.doubt or details.get("doubt")) if was else None,
        "own": one.text,
        "reminder": one.id,
        "late": int(late.total_seconds()) if late >= LATE else None,
        "who": await _who(mail, one),
        "opens": mail.opens or None,
        "sent_ago": _sent_ago(mail, now),
    }
    places = await places_for(account.id, "reminder")
    await Alert.bulk_create(
        (
            Alert(
                account_id=account.id, destination_id=place.id, message_id=mail.id,
                recipient_id=one.recipient_id, event_key=f"reminder:{one.id}:{to_micros(one.due_at)}",
                event="reminder", at=now, due_at=now, facts=facts,
            )
            for place in places
        ),
        ignore_conflicts=True,
    )  # fmt: skip
    await Card.filter(message_id=mail.id).update(dirty_at=now)


async def _who(mail: Message, one: Reminder) -> str | None:
    """Whom it is about, where its row does not say it: the only recipient, or how many there are."""
    people = await mail.recipients.all().order_by("position", "id")
    for person in people:
        if person.id == one.recipient_id or len(people) == 1:
            return str(person.address)
    return f"{people[0].address} and {len(people) - 1} more" if people else None


def _sent_ago(mail: Message, now: dt.datetime) -> int:
    sent = mail.sent_at or mail.handed_over_at or mail.armed_at or mail.created_at
    return max(0, int((now - sent).total_seconds()))
