"""How sums are brought up to date by one process at a time: marks that say what is stale, and the turn.

Called by rollups.py and person_sums.py beside it. Whoever folds reads its marks, works, and deletes exactly
those in the same transaction, which stands and falls with the turn: somebody who folded meanwhile undoes it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

from models.writer import Statement, WriterDownError
from tracker.hits.cases import among, listed
from tracker.services import Services

MARKS = 10_000  # read at once: many of them name the same people, or the same busy mail
TRIES = 5

_TURN = "sums.turn"
NEW_STATE = "INSERT INTO instance_state (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
# A NOT NULL column is set to null where somebody else had the turn meanwhile: that undoes the transaction.
_TAKE = "UPDATE instance_state SET value = CASE WHEN value = ? THEN ? END WHERE key = ?"


async def read_marks(
    services: Services, column: str, account_id: int | None, most: int
) -> dict[int, list[int]]:
    """Up to `most` of what is marked, with the ids of its marks: as many as stand in the oldest rows."""
    mine, arguments = ("", ()) if account_id is None else (" AND account_id = ?", (account_id,))
    rows = await services.writer.fetch(
        f"SELECT id, {column} FROM stale WHERE {column} IS NOT NULL{mine} "  # noqa: S608, names of ours
        "ORDER BY id LIMIT ?",
        (*arguments, 4 * most),
    )
    found: dict[int, list[int]] = {}
    for number, marked in rows:
        if marked in found or len(found) < most:
            found.setdefault(marked, []).append(number)
    return found


def unmark(marks: Mapping[int, list[int]]) -> Statement:
    """Only the marks that were read: a mail that changes meanwhile is marked again."""
    numbers = [number for ones in marks.values() for number in ones]
    return Statement(f"DELETE FROM stale WHERE {among('id')}", [(listed(numbers),)])  # noqa: S608


async def take_turn(services: Services) -> Statement:
    """What has to stand first in a transaction, so that only one of those who read now gets through."""
    rows = await services.writer.fetch("SELECT value FROM instance_state WHERE key = ?", (_TURN,))
    if not rows:
        await services.writer.apply([Statement(NEW_STATE, [(_TURN, "0")])])
        return await take_turn(services)
    return Statement(_TAKE, [(rows[0][0], str(int(rows[0][0]) + 1), _TURN)])


async def is_applied(services: Services, statements: Sequence[Statement], attempt: int) -> bool:
    """False where somebody else had the turn: it has to be read afresh."""
    try:
        await services.writer.apply(statements)
    except WriterDownError:
        raise
    except Exception:
        if attempt == TRIES - 1:
            raise
        await asyncio.sleep(random.uniform(0, 0.05) * (attempt + 1))  # noqa: S311, spreads retries
        return False
    return True
