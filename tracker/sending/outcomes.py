"""What became of a copy, as rows: taken by the provider, put off, refused, maybe there twice.

Called by tracker/sending/deliveries.py. A copy is claimed just before its last dot goes out, in a commit of
its own: after a crash a claimed copy is one that the provider may have. What chat is told is written with
what happened. Every update is conditional on the copy still waiting.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from tortoise.expressions import F, Q

from models import Card, Hit, Mailbox, Message, Outgoing, Recipient
from models.columns import to_micros
from models.database import atomically
from models.wake import OUTBOX
from models.writer import Statement
from tracker.hits.rescore import rescore
from tracker.sending import notices
from tracker.sending.notices import Notice
from tracker.services import Services

LEASE = dt.timedelta(minutes=30)
GIVEN_UP_AFTER = dt.timedelta(days=5)  # RFC 5321, 4.5.4.1: at least four to five days
LEAST_ATTEMPTS = 5  # a clock that jumps gives nothing up
_PAUSES = (1, 5, 15, 30)  # minutes after the first tries; an hour after each later one
LONGEST_PAUSE = dt.timedelta(hours=1)
_LONGEST = 300

_CLAIM = (
    "UPDATE outgoing SET leased_by = ?, leased_until = ? "
    "WHERE id = ? AND state = 'waiting' AND leased_by IS NULL"
)
_LET_GO = "UPDATE outgoing SET leased_by = NULL, leased_until = NULL WHERE id = ? AND state = 'waiting'"
_SENT = (
    "UPDATE outgoing SET state = 'sent', sent_at = ?, attempts = attempts + 1, leased_by = NULL, "
    "leased_until = NULL WHERE id = ? AND state = 'waiting'"
)
_HANDED = "UPDATE recipient SET handed_over_at = ? WHERE id = ? AND handed_over_at IS NULL"
# What the mail's own copy or the provider said before is not overruled.
_ARMED = (
    "UPDATE message SET handed_over_at = COALESCE(handed_over_at, ?), "
    "armed_at = CASE WHEN armed_by IN ('capture', 'provider') THEN armed_at ELSE ? END, "
    "armed_by = CASE WHEN armed_by IN ('capture', 'provider') THEN armed_by ELSE 'provider' END, "
    "revision = revision + 1 WHERE id = ?"
)
_DRAWN = "UPDATE card SET dirty_at = ? WHERE message_id = ?"


def pause(attempts: int) -> dt.timedelta:
    """How long to wait after so many tries."""
    minutes = _PAUSES[attempts - 1] if attempts <= len(_PAUSES) else 60
    return dt.timedelta(minutes=minutes)


def is_due(row: Outgoing, now: dt.datetime) -> bool:
    """Whether it is time for the copy's next try; also when the clock was put back since."""
    return row.next_at <= now or row.next_at > now + LONGEST_PAUSE


async def claim(services: Services, row: Outgoing, owner: str) -> bool:
    """Marks the copy as one whose last dot may have left; whether it is still ours to send."""
    now = services.now()
    values = (owner, to_micros(now + LEASE), row.id)
    return sum(await services.writer.apply([Statement(_CLAIM, [values])])) == 1


async def let_go(services: Services, row: Outgoing) -> None:
    """Takes a claim back: the provider said that it does not have the copy."""
    await services.writer.apply([Statement(_LET_GO, [(row.id,)])])


async def note_sent(services: Services, row: Outgoing) -> None:
    """The provider took the copy: from now on its opens count, and the mail's from the first of them."""
    now = to_micros(services.now())
    await services.writer.apply([Statement(_SENT, [(now, row.id)]), *_handed_over(row, now)])
    await _judge_anew(services, row)


def _handed_over(row: Outgoing, now: int) -> list[Statement]:
    statements = []
    if row.recipient_id is not None:
        statements.append(Statement(_HANDED, [(now, row.recipient_id)]))
    if row.message_id is not None:
        statements.append(Statement(_ARMED, [(now, now, row.message_id)]))
        statements.append(Statement(_DRAWN, [(now, row.message_id)]))
    return statements


async def _judge_anew(services: Services, row: Outgoing) -> None:
    if row.message_id is not None:
        if await Hit.filter(message_id=row.message_id).exists():
            await rescore(services, row.message_id)
        services.wake.ring(OUTBOX)


async def note_maybe_sent(services: Services, rows: Sequence[Outgoing], words: str) -> None:
    """The answer got lost, on the wire or in a crash: the provider may have the copies. They go again.

    Whoever got one may open it at once: their opens count from now on.
    """
    now = services.now()

    async def write() -> None:
        told = []
        for row in rows:
            waiting = Outgoing.filter(id=row.id, state="waiting")
            attempts = row.attempts + 1
            if await waiting.update(
                maybe_sent=True, attempts=attempts, last_error=words[:_LONGEST], leased_by=None,
                leased_until=None, next_at=now + pause(attempts),
            ):  # fmt: skip
                told.append(notices.maybe_twice(row, await _message(row)))
                await mark(row.recipient_id, maybe_twice=True)
                await _count_from(row, now)
        await notices.post(told, now)

    await atomically(write)
    for row in rows:
        await _judge_anew(services, row)
    services.wake.ring(OUTBOX)


async def _count_from(row: Outgoing, now: dt.datetime) -> None:
    """As `_handed_over`, within a transaction of the models."""
    mail = Message.filter(id=row.message_id)
    await Recipient.filter(id=row.recipient_id, handed_over_at=None).update(handed_over_at=now)
    await mail.filter(handed_over_at=None).update(handed_over_at=now)
    await mail.filter(Q(armed_by=None) | Q(armed_by="sent")).update(armed_at=now, armed_by="provider")
    await mail.update(revision=F("revision") + 1)
    await Card.filter(message_id=row.message_id).update(dirty_at=now)


async def note_later(services: Services, rows: Sequence[Outgoing], words: str) -> None:
    """Refused for now, not reached, or nobody there to send it: tried again after a while, for five days."""
    now = services.now()
    ended = [row for row in rows if _is_over(row, now)]

    async def write() -> None:
        for row in rows:
            if row not in ended:
                await Outgoing.filter(id=row.id, state="waiting").update(
                    attempts=row.attempts + 1, last_error=words[:_LONGEST], leased_by=None, leased_until=None,
                    next_at=now + pause(row.attempts + 1),
                )  # fmt: skip
        for row in ended:
            await _fail(row, words, now, notices.expired(row, await _message(row), words))
        await _redraw(rows, now)

    await atomically(write)
    services.wake.ring(OUTBOX)


def _is_over(row: Outgoing, now: dt.datetime) -> bool:
    return now - row.accepted_at >= GIVEN_UP_AFTER and row.attempts + 1 >= LEAST_ATTEMPTS


async def note_refused(services: Services, row: Outgoing, words: str) -> None:
    """The provider refused the copy for good."""
    now = services.now()

    async def write() -> None:
        await _fail(row, words, now, notices.failed(row, await _message(row), words))
        await _redraw([row], now)

    await atomically(write)
    services.wake.ring(OUTBOX)


async def note_lost(services: Services, row: Outgoing) -> None:
    """The mail is not in the spool any more."""
    now = services.now()

    async def write() -> None:
        await _fail(row, "its copy here is gone", now, notices.lost(row, await _message(row)))
        await _redraw([row], now)

    await atomically(write)
    services.wake.ring(OUTBOX)


async def _fail(row: Outgoing, words: str, now: dt.datetime, told: Notice) -> None:
    ended = await Outgoing.filter(id=row.id, state="waiting").update(
        state="failed", attempts=row.attempts + 1, last_error=words[:_LONGEST], leased_by=None,
        leased_until=None,
    )  # fmt: skip
    if not ended:
        return
    unsent = Recipient.filter(id=row.recipient_id, handed_over_at=None)
    if not row.maybe_sent and await unsent.update(bounced_at=now):
        await mark(row.recipient_id, bounce=words)
    await notices.post([told], now)


async def note_refused_login(services: Services, mailbox: Mailbox, words: str) -> None:
    """The provider does not let the user in: nothing of this mailbox is tried until it is connected anew."""
    now = services.now()

    async def write() -> None:
        if await Mailbox.filter(id=mailbox.id, failed_at=None).update(
            failed_at=now, failure=words[:_LONGEST], told_at=now
        ):
            await notices.post([notices.refused_login(mailbox, words, now)], now)

    await atomically(write)
    services.wake.ring(OUTBOX)


async def note_login(services: Services, mailbox: Mailbox) -> None:
    """A login worked; written once an hour."""
    now = services.now()
    if mailbox.checked_at is None or now - mailbox.checked_at > dt.timedelta(hours=1):
        await atomically(lambda: Mailbox.filter(id=mailbox.id).update(checked_at=now))


async def note_stopped(rows: Sequence[Outgoing], now: dt.datetime) -> None:
    """Their mailbox is disconnected: none is tried again. Within the caller's transaction."""
    ended = [
        row
        for row in rows
        if await Outgoing.filter(id=row.id, state="waiting").update(state="stopped", next_at=now)
    ]
    for row in ended:
        if await Recipient.filter(id=row.recipient_id, handed_over_at=None).exists():
            await mark(row.recipient_id, stopped=True)
    await _redraw(ended, now)


async def tell_unconnected(services: Services, row: Outgoing) -> None:
    """Nobody can send this: its mailbox is not connected any more. Told once for a mail."""
    await atomically(lambda: notices.post([notices.no_mailbox(row)], services.now()))
    services.wake.ring(OUTBOX)


async def tell_late(services: Services, rows: Sequence[Outgoing]) -> None:
    """Says once that these copies of one mail have not left in time."""
    now = services.now()

    async def write() -> None:
        late = [
            row
            for row in rows
            if await Outgoing.filter(id=row.id, state="waiting", told_late_at=None).update(told_late_at=now)
        ]
        if late:
            await notices.post([notices.late(late, await _message(late[0]))], now)
            await _redraw(late, now)

    await atomically(write)
    services.wake.ring(OUTBOX)


async def mark(recipient_id: int | None, **known: object) -> None:
    """Adds to what is known of a recipient, for the card. Within the caller's transaction."""
    person = await Recipient.filter(id=recipient_id).select_for_update().first()
    if person is not None:
        before = person.details if isinstance(person.details, dict) else {}
        await Recipient.filter(id=person.id).update(details={**before, **known})


async def _message(row: Outgoing) -> Message | None:
    return None if row.message_id is None else await Message.get_or_none(id=row.message_id)


async def _redraw(rows: Sequence[Outgoing], now: dt.datetime) -> None:
    """The mail's cards show something else now."""
    mails = {row.message_id for row in rows if row.message_id is not None}
    if mails:
        await Card.filter(message_id__in=list(mails)).update(dirty_at=now)
