"""What is kept no longer than it is needed: hits, finished alerts, seen events, learned devices.

Called by tracker/schedule.py and the short command `retention`; an audit line says what went. Counters,
mails, links and their targets stay: what people were told stays true, and a link in somebody's mailbox goes
on working. Deletes little by little, so that hits that arrive meanwhile wait for none of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from models.columns import to_micros
from models.writer import Statement, Writer
from tracker.audit import note
from tracker.hits.cases import among, listed
from tracker.services import Services

BATCH = 500
EVENTS_KEPT = dt.timedelta(days=7)  # no chat delivers an event again after a day


@dataclass(frozen=True)
class Kept:
    """A table, and the rows of it that may go. Both statements take the oldest moment to be kept."""

    table: str
    moment: str  # the column that tells the age
    finished: str = "1 = 1"  # what else must be true of a row that goes
    for_days: int | None = None  # None: RETENTION_DAYS
    aging: bool = True  # whether a higher id means a later moment, more or less


KEPT = (
    Kept("hit", "at"),
    Kept("alert", "due_at", "state <> 'waiting'"),
    Kept("own_device", "seen_at", aging=False),  # a device is seen again and again
    # A device that somebody said is theirs is theirs for a day; what is no person stays none.
    Kept("taught", "at", "answer = 'me'", aging=False),
    Kept("reminder", "due_at", "done_at IS NOT NULL OR fired_at IS NOT NULL", aging=False),
    # What was held or seen and belongs to no mail; what is of a mail goes with it.
    Kept("captured", "at", "message_id IS NULL"),
    Kept("inbound_event", "at", for_days=EVENTS_KEPT.days),
    Kept("outgoing", "accepted_at", "state <> 'waiting'"),
)


# Sums by class (tracker/insights/rollups.py) hold what is deleted.
_STALE = (
    "INSERT INTO stale (account_id, message_id) SELECT DISTINCT m.account_id, m.id "
    "FROM hit h JOIN message m ON m.id = h.message_id WHERE {}"
)


async def enforce(services: Services, batch: int = BATCH) -> dict[str, int]:
    """Deletes what is older than RETENTION_DAYS (seen events: 7 days); rows deleted by table.

    Raises WriterDownError when the database does not answer: what is done stays done.
    """
    now = services.now()
    deleted = {}
    for kept in KEPT:
        days = services.settings.retention_days if kept.for_days is None else kept.for_days
        oldest = to_micros(now - dt.timedelta(days=days))
        deleted[kept.table] = await _sweep(services.writer, kept, oldest, batch)
    if any(deleted.values()):
        gone = {table: count for table, count in deleted.items() if count}
        await note(services, "retention", None, None, gone)
    return deleted


async def _sweep(writer: Writer, kept: Kept, oldest: int, batch: int) -> int:
    """Walks the rows by id, and where that is nearly their age stops at a page that holds nothing old.

    So no index on the moment is needed. A row out of its order (a hit from a journal replayed late) goes a
    little later, when the rows around it go.
    """
    deleted, last = 0, -(2**63)
    while True:
        page = await writer.fetch(
            f"SELECT id, CASE WHEN {kept.moment} < ? THEN 1 ELSE 0 END, "  # noqa: S608, texts of this file
            f"CASE WHEN {kept.finished} THEN 1 ELSE 0 END FROM {kept.table} WHERE id > ? ORDER BY id LIMIT ?",
            (oldest, last, batch),
        )
        if not page or (kept.aging and not any(old for _, old, _ in page)):
            return deleted
        deleted += await _delete(
            writer, kept, oldest, [row for row, old, finished in page if old and finished]
        )
        last = page[-1][0]


async def _delete(writer: Writer, kept: Kept, oldest: int, ids: Sequence[int]) -> int:
    if not ids:
        return 0
    sql = f"DELETE FROM {kept.table} WHERE id = ? AND {kept.moment} < ? AND {kept.finished}"  # noqa: S608
    delete = Statement(sql, [(row, oldest) for row in ids])
    if kept.table != "hit":
        return sum(await writer.apply([delete]))
    _, deleted = await writer.apply([Statement(_STALE.format(among("h.id")), [(listed(ids),)]), delete])
    return deleted
