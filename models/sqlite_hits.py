"""How hits are put into SQLite: many rows in one statement, unknown tokens falling out in the insert itself.

Used by the writer's thread only, inside its transaction.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence
from functools import lru_cache

from models.sqlite_file import is_row_fault
from models.writer import RawHit, agent_id

log = logging.getLogger(__name__)

CHUNK = 64  # hits of one statement
WIDTH = len(RawHit._fields)
KNOWN_AGENTS = 10_000  # user agents that need no insert…
KNOWN_SECONDS = 600.0  # …for so long: clean-up may delete one that nothing refers to any more

# What is missing is bound as an empty text or zero: Python's module takes three times as long over a None.
_HEAD = (
    "INSERT OR IGNORE INTO hit (uid, at, kind, link_id, message_id, recipient_id,"
    " method, purpose, agent_id, network, network_label, device, headers)"
    " SELECT v.column1, v.column2, l.kind, l.id, l.message_id, l.recipient_id,"
    " v.column4, nullif(v.column5, ''), nullif(v.column6, 0), nullif(v.column7, ''), nullif(v.column8, ''),"
    " nullif(v.column9, ''), nullif(v.column10, '') FROM (VALUES "
)
# CROSS JOIN keeps the order of arrival. Unknown tokens find no link and fall out.
_TAIL = ") v CROSS JOIN link l WHERE l.token = v.column3 AND l.recording AND v.column11 IN ('', l.kind)"
_INSERT_AGENT = "INSERT OR IGNORE INTO agent (id, text) VALUES (?, ?)"


class HitInsert:
    """Inserts hits over one connection; remembers which user agents are stored for sure."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._fresh: dict[str, int] = {}  # inserted, not yet committed
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
        texts: dict[str, int] = {}
        values: list[str | int] = []
        known = self._known
        for uid, at, token, method, purpose, agent, network, label, device, headers, kind in hits:
            number = 0
            if agent is not None:
                number = known.get(agent) or texts.setdefault(agent, agent_id(agent))
            values += (
                uid, at, token, method, purpose or "", number,
                network or "", label or "", device or "", headers or "", kind or "",
            )  # fmt: skip
        if texts:
            connection.executemany(_INSERT_AGENT, [(number, text) for text, number in texts.items()])
            self._fresh |= texts
        for begin in range(0, len(values), CHUNK * WIDTH):
            part = values[begin : begin + CHUNK * WIDTH]
            connection.execute(_insert_of(len(part) // WIDTH), part)


@lru_cache(maxsize=CHUNK)
def _insert_of(rows: int) -> str:
    """One statement for many rows: the interpreter lock changes hands once for all, not for each of them."""
    return _HEAD + ",".join([f"({','.join('?' * WIDTH)})"] * rows) + _TAIL
