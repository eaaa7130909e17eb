"""Copies that wait: those of a mail, who sends them, and when somebody has to look at them again.

Called by the relay (tracker/sending/relay.py), which alone decides who works on what.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from models import Mailbox, Outgoing
from tracker.sending import outcomes
from tracker.sending.notices import LATE_AFTER
from tracker.services import Services


async def copies_of(names: Collection[str]) -> dict[str, list[Outgoing]]:
    """The copies of each of these mails; none where there are no rows."""
    found: dict[str, list[Outgoing]] = {name: [] for name in names}
    for row in await Outgoing.filter(spool__in=list(names)).order_by("id") if names else []:
        found[row.spool].append(row)
    return found


async def recover(services: Services, waiting: Sequence[Outgoing]) -> None:
    """Copies that were about to end when something stopped: the provider may have them."""
    lost = [row for row in waiting if row.leased_by is not None]
    if lost:
        await outcomes.note_maybe_sent(services, lost, "stopped while it waited for the answer")
        await Outgoing.filter(id__in=[row.id for row in lost], state="waiting").update(next_at=services.now())


async def mailbox_of(row: Outgoing) -> int | None:
    """The mailbox that sends it; another one with this address where that one is gone."""
    if row.mailbox_id is not None:
        return row.mailbox_id
    other = await Mailbox.get_or_none(account_id=row.account_id, address=row.sender.lower())
    return None if other is None else other.id


async def give_up(services: Services, rows: Sequence[Outgoing], words: str) -> Sequence[Outgoing]:
    """Tries those of a mail's waiting copies in vain that waited too long, for `words`; what waits on."""
    now = services.now()
    over = [row for row in rows if now - row.accepted_at >= outcomes.GIVEN_UP_AFTER]
    if due := [row for row in over if outcomes.is_due(row, now)]:
        # Each such look counts as a try: a clock that jumps ahead gives nothing up.
        await outcomes.note_later(services, due, words)
    ids = [row.id for row in rows]
    return await Outgoing.filter(id__in=ids, state="waiting") if over else rows


async def next_look(services: Services, name: str) -> dt.datetime | None:
    """When to look at the mail again, and says what is late; None for a mail that is done."""
    now = services.now()
    rows = await Outgoing.filter(spool=name, state="waiting")
    untold = [row for row in rows if row.told_late_at is None and row.attempts]
    late = [row for row in untold if now - row.accepted_at >= LATE_AFTER]
    if late:
        await outcomes.tell_late(services, late)
    times = [row.next_at for row in rows]
    times += [row.accepted_at + LATE_AFTER for row in untold if row not in late]
    return min(times, default=None)
