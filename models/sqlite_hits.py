"""How hits are put into SQLite: many rows in one statement, unknown tokens falling out in the insert itself.

Used by the writer's thread only, inside its transaction.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from models.sqlite_file import is_row_fault
from models.writer import RawHit, agent_id

log = logging.getLogger(__name__)

CHUNKS = (64, 16, 4, 1)
KNOWN_AGENTS = 50_000  # user agents that need no insert…
KNOWN_SECONDS = 600.0  # …for so long: clean-up may delete one that nothing refers to any more

_HEAD = (
    "INSERT OR IGNORE INTO hit (uid, at, kind, link_id, message_id, recipient_id,"
    " method, purpose, agent_id, network, network_label, device, headers)"
    " SELECT v.column1, v.column2, l.kind, l.id, l.message_id, l.recipient_id,"
    " v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, v.column10 FROM (VALUES "
)
# CROSS JOIN keeps the order of arrival. Unknown tokens find no link and fall out.
_TAIL = (
    ") v CROSS JOIN link l WHERE l.token = v.column3 AND l.recording"
    " AND (v.column11 IS NULL OR v.column11 = l.kind)"
)
# One statement for many rows: the interpreter lock changes hands once for each statement, not for each row.
_INSERT = {size: _HEAD + ",".join(["(?,?,?,?,?,?,?,?,?,?,?)"] * size) + _TAIL for size in CHUNKS}
_INSERT_AGENT = "INSERT OR IGNORE INTO agent (id, text) VALUES (?, ?)"


class HitInsert:
    """Inserts hits over one connection; remembers which user agents are stored for sure."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._fresh: set[int] = set()  # inserted, not yet committed
        self._known_since = 0.0

    def insert(self, connection: sqlite3.Connection, hits: Sequence[RawHit]) -> None:
        """Raises what the database raises; a row that can never be stored is logged and dropped."""
        try:
            self._insert(connection, hits)
        except Exception as error:
            if not is_row_fault(error) or not connection.in_transaction:
                raise
        else:
            return
        # One row is to blame: the others must not suffer. Those already in are ignored this time.
        for hit in hits:
            try:
                self._insert(connection, [hit])
            except Exception as error:
                if not is_row_fault(error) or not connection.in_transaction:
                    raise
                log.error("a hit cannot be stored and is dropped: %s", type(error).__name__)

    def committed(self) -> None:
        """What was inserted is on the disk."""
        if self._fresh:
            self._known |= self._fresh
            self._fresh.clear()
        now = time.monotonic()
        if len(self._known) > KNOWN_AGENTS or now - self._known_since > KNOWN_SECONDS:
            self._known.clear()
            self._known_since = now

    def rolled_back(self) -> None:
        """What was inserted is gone again."""
        self._fresh.clear()

    def _insert(self, connection: sqlite3.Connection, hits: Sequence[RawHit]) -> None:
        texts: dict[int, str] = {}
        values: list[tuple[Any, ...]] = []
        known = self._known
        for hit in hits:
            number = None
            if hit.agent is not None:
                number = agent_id(hit.agent)
                if number not in known:
                    texts[number] = hit.agent
            values.append((*hit[:5], number, *hit[6:]))
        if texts:
            connection.executemany(_INSERT_AGENT, texts.items())
            self._fresh |= texts.keys()
        begin, total = 0, len(values)
        for size in CHUNKS:
            while total - begin >= size:
                rows = values[begin : begin + size]
                connection.execute(_INSERT[size], [value for row in rows for value in row])
                begin += size
