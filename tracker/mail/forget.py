"""Erases a mail, or what is known of one link, at its owner's word.

Called by the command `forget`. Rows go in short batches, so that hits go on being recorded meanwhile. What
stands in chats about it is replaced there (tracker/mail/traces.py). Always scoped by the account: somebody
else's mail is the same as none.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from tortoise.expressions import F
from tortoise.models import Model

from models import Account, Alert, Card, Hit, Link, Message, Outgoing, Person, Recipient
from models.database import atomically
from models.wake import LINKS, OUTBOX
from tracker.hits.rescore import rescore
from tracker.insights.lists import find_message
from tracker.insights.stale import mark_stale
from tracker.mail.traces import leave_alert_traces, leave_answer_traces, leave_card_traces
from tracker.services import Services
from tracker.summaries import erase_from_summaries

BATCH = 1000  # rows of one transaction
NEVER_SHOWN = ("silenced", "dropped")  # alerts of which no chat holds anything
NOTHING_COUNTED: dict[str, Any] = {
    **dict.fromkeys(("opens", "clicks", "total_opens", "total_clicks"), 0),
    **dict.fromkeys(("first_open_at", "last_open_at", "first_click_at", "last_click_at")),
}


@dataclass(frozen=True)
class Forgotten:
    """What went."""

    code: str
    subject: str
    hits: int


async def forget_message(services: Services, account: Account, code: str) -> Forgotten | None:
    """Deletes the mail with its recipients, links, hits, cards and alerts; None if the account has none such.

    Its links lead nowhere from then on. People it alone went to, and nothing was set for, are deleted too.
    """
    message = await find_message(account, code)
    if message is None:
        return None
    hits = await erase_message(services, message)
    services.wake.ring(OUTBOX)
    services.wake.ring(LINKS)
    return Forgotten(message.code, message.subject, hits)


async def erase_message(services: Services, message: Message) -> int:
    """Deletes the mail and all that hangs on it; how many hits it had. Rings for nobody."""
    account_id = message.account_id
    await Link.filter(message_id=message.id).update(recording=False)
    hits = await delete_in_batches(Hit, message_id=message.id)
    await delete_in_batches(Alert, message_id=message.id, state__in=NEVER_SHOWN)

    async def work() -> None:
        now = services.now()
        await leave_alert_traces(now, message_id=message.id)
        await leave_card_traces(await Card.filter(message_id=message.id), account_id, now)
        await leave_answer_traces(await Message.get(id=message.id), now)
        await erase_from_summaries(account_id, [message.code], now)
        people = await Recipient.filter(message_id=message.id).values_list("person_id", flat=True)
        if not await Outgoing.filter(message_id=message.id, state="waiting").exists():
            await Outgoing.filter(message_id=message.id).delete()
        for table in (Hit, Alert, Card, Link, Recipient):
            await table.filter(message_id=message.id).delete()
        await Message.filter(id=message.id).delete()
        await mark_stale(account_id, [message.id], [int(str(one)) for one in people if one is not None])
        await _delete_unused_people([int(str(person)) for person in people if person is not None])

    await atomically(work)
    return hits


async def forget_link(services: Services, account: Account, link: Link) -> Forgotten | None:
    """Deletes what was recorded of one link (or pixel), and records nothing of it any more.

    It goes on redirecting: it stands in somebody's mailbox. None if it is not the account's.
    """
    message = await Message.get_or_none(id=link.message_id, account_id=account.id)
    if message is None:
        return None
    await Link.filter(id=link.id).update(recording=False)
    hits = await delete_in_batches(Hit, link_id=link.id)
    await delete_in_batches(Alert, **_alerts_of(link), state__in=NEVER_SHOWN)
    await atomically(lambda: _uncount(services.now(), message, link))
    await rescore(services, message.id)
    await Card.filter(message_id=message.id).update(dirty_at=services.now())
    services.wake.ring(OUTBOX)
    return Forgotten(message.code, link.label or message.subject, hits)


async def _uncount(now: dt.datetime, message: Message, link: Link) -> None:
    """Takes back what was told of the deleted hits, and sets every counter to naught that they were in.

    Judging the others anew counts them again. The new revision makes a judge that is at work on this mail
    read it afresh.
    """
    await leave_alert_traces(now, **_alerts_of(link))
    await Alert.filter(**_alerts_of(link)).delete()
    await Link.filter(id=link.id).update(hits=0, counted=0)
    await Message.filter(id=message.id).update(
        revision=F("revision") + 1, last_event_at=None, **NOTHING_COUNTED
    )
    await Recipient.filter(message_id=message.id).update(loaded_at=None, **NOTHING_COUNTED)
    await mark_stale(message.account_id, [message.id])


def _alerts_of(link: Link) -> dict[str, Any]:
    """Alerts of opens name mail and recipient only; a recipient's copy has one pixel."""
    if link.kind == "click":
        return {"link_id": link.id}
    return {
        "message_id": link.message_id,
        "recipient_id": link.recipient_id,
        "link_id": None,
        "event__in": ("open", "hot", "revived"),
    }


async def delete_in_batches(table: type[Model], **where: Any) -> int:
    """Deletes all rows that fit, in transactions of BATCH rows; how many there were."""
    total = 0
    while True:
        ids = await table.filter(**where).limit(BATCH).values_list("id", flat=True)
        if not ids:
            return total
        await atomically(lambda ids=ids: table.filter(id__in=ids).delete())  # type: ignore[misc]
        total += len(ids)


async def _delete_unused_people(ids: list[int]) -> None:
    unset = {
        "muted": False,
        "muted_until__isnull": True,
        "ring_opens__isnull": True,
        "timezone__isnull": True,
    }
    await Person.filter(id__in=ids).update(learned=None)  # some of it is from the mail that goes
    used = set(await Recipient.filter(person_id__in=ids).values_list("person_id", flat=True))
    await Person.filter(id__in=list(set(ids) - used), ring_clicks__isnull=True, **unset).delete()
