"""Packs: hits that come faster than rows can be written for each, stored together until there is time.

A row of its own costs a hit a page in each of the table's indexes before its answer may go out. Of a crowd
that comes within one commit, the commit therefore takes one row for all of them, which is as safe; the rows
of `hit` are made of it a moment later: when no hit waits, when somebody wants to read them
(`Writer.settle`), or when the writer starts again after a crash. Used by the writer's thread only
(models/sqlite_writer.py), inside its transaction.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence

from models.sqlite_hits import HitRows, Row

log = logging.getLogger(__name__)

CROWD = 24  # hits of one commit that are worth a pack
SOME = 500  # hits that are made rows of in one transaction

_PUT = "INSERT INTO pack (hits, count) VALUES (?, ?)"
_TAKE = "SELECT id, hits, count FROM pack ORDER BY id"
_DROP = "DELETE FROM pack WHERE id <= ?"
NEWEST = "SELECT max(id) FROM pack"
# Whoever asked in between that nothing is recorded of them is obeyed.
_RECORDING = (
    "SELECT id, ifnull(recipient_id, 0) FROM link WHERE id IN (SELECT value FROM json_each(?)) AND recording"
)
_LINK, _RECIPIENT = 3, 5  # places in a row
_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def put(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Stores the rows as one."""
    if rows:
        connection.execute(_PUT, (_encode(rows), len(rows)))


def settle(connection: sqlite3.Connection, into: HitRows) -> int | None:
    """Makes rows of the oldest packs, in order; the id of the last one, or None where no pack was left.

    A hit that is a row already stays one.
    """
    rows: list[list[object]] = []
    last: int | None = None
    for number, hits, count in connection.execute(_TAKE):
        if rows and len(rows) + count > SOME:
            break
        rows += _decode(number, hits)
        last = number
    if last is not None:
        wanted = json.dumps(list({row[_LINK] for row in rows}))
        recipients = dict(connection.execute(_RECORDING, (wanted,)).fetchall())
        kept = [row for row in rows if row[_LINK] in recipients]
        for row in kept:
            row[_RECIPIENT] = recipients[row[_LINK]]
        into.insert(connection, kept)
        connection.execute(_DROP, (last,))
    return last


def settle_all(connection: sqlite3.Connection) -> None:
    """The same for all packs of a database that nobody else uses."""
    connection.execute("BEGIN IMMEDIATE")
    while settle(connection, HitRows()) is not None:
        pass
    connection.execute("COMMIT")


def _decode(number: int, hits: str) -> list[list[object]]:
    try:
        rows: list[list[object]] = json.loads(hits)
    except ValueError:
        log.error("the hits of pack %d cannot be read and are dropped", number)
        return []
    return rows
