"""How sums are brought up to date by one process at a time: marks that say what is stale, and the turn.

Called by rollups.py and person_sums.py beside it. Whoever folds reads its marks first; then one transaction
waits for its turn (a row that it locks), works everything out in the database, and deletes those marks.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.writer import Statement
from tracker.hits.cases import among, listed
from tracker.services import Services

MARKS = 10_000  # read at once: many of them name the same people, or the same busy mail

_TURN = "sums.turn"
NEW_STATE = "INSERT INTO instance_state (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
# Locks the row until the transaction ends.
_TAKE = "UPDATE instance_state SET value = value WHERE key = ?"


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


def in_turn(*statements: Statement) -> list[Statement]:
    """One transaction that waits until nobody else folds: each statement then sees what they left."""
    return [Statement(NEW_STATE, [(_TURN, "")]), Statement(_TAKE, [(_TURN,)]), *statements]
