"""How hits become rows of SQLite: what their tokens stand for, and many rows in one statement.

Used by the writer's thread only (models/sqlite_writer.py), inside its transactions (models/sqlite_store.py).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from models.sqlite_file import is_row_fault
from models.writer import RawHit, agent_id

log = logging.getLogger(__name__)

CHUNK = 64  # hits of one statement
KNOWN_AGENTS = 10_000  # user agents that need no insert…
KNOWN_SECONDS = 600.0  # …for so long: clean-up may delete one that nothing refers to any more
KNOWN_LINKS = 50_000

# uid, at, kind, link_id, message_id, recipient_id, method, purpose, agent_id, network, network_label, device,
# headers. What is missing is an empty text or zero: Python's module takes three times as long over a None.
Row = Sequence[Any]
_COLUMNS = (
    "uid, at, kind, link_id, message_id, recipient_id, method, purpose, agent_id, network, network_label, "
    "device, headers"
)
_MARKS = (
    "(?,?,?,?,?,nullif(?,0),?,nullif(?,''),nullif(?,0),nullif(?,''),nullif(?,''),nullif(?,''),nullif(?,''))"
)
_INSERT_AGENT = "INSERT OR IGNORE INTO agent (id, text) VALUES (?, ?)"
_LINKS = (
    "SELECT token, id, kind, message_id, ifnull(recipient_id, 0) FROM link "
    "WHERE token IN (SELECT value FROM json_each(?)) AND recording"
)

Link = tuple[int, str, int, int]  # id, kind, message_id, recipient_id or 0


class Links:
    """What tokens stand for, remembered until another connection than this one's changes the database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[str, Link | None] = {}
        self._version = -1

    def of(self, tokens: Iterable[str]) -> dict[str, Link | None]:
        """For each token its link; None where nothing is to be recorded.

        Whoever needs that to hold until a commit asks inside its transaction.
        """
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        known = self._known
        if version != self._version or len(known) > KNOWN_LINKS:
            known.clear()
            self._version = version
        missing = {token for token in tokens if token not in known}
        if missing:
            known.update(dict.fromkeys(missing))
            found = self._connection.execute(_LINKS, (json.dumps(list(missing)),))
            known.update((token, tuple(link)) for token, *link in found)
        return known


class HitRows:
    """Makes rows of hits and inserts them; remembers which user agents are stored for sure."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._fresh: dict[str, int] = {}  # inserted, not yet committed
        self._known_since = 0.0

    def make(self, connection: sqlite3.Connection, links: Links, hits: Sequence[RawHit]) -> list[Row]:
        """The rows to store, in order: unknown tokens and links that do not record fall out.

        User agents that are new are stored now, in a transaction that the caller commits.
        """
        found = links.of([hit[2] for hit in hits])
        texts: dict[str, int] = {}
        known = self._known
        rows: list[Row] = []
        for uid, at, token, method, purpose, agent, network, label, device, headers, kind in hits:
            link = found[token]
            if link is None or (kind is not None and kind != link[1]):
                continue
            number = 0
            if agent is not None:
                number = known.get(agent) or texts.setdefault(agent, agent_id(agent))
            row = (
                uid, at, link[1], link[0], link[2], link[3], method, purpose or "", number,
                network or "", label or "", device or "", headers or "",
            )  # fmt: skip
            rows.append(row)
        if texts and not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")  # one commit for all of them
        for text, number in texts.items():
            self._store_agent(connection, text, number)
        return rows

    def insert(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Raises what the database raises; a row that can never be stored is logged and dropped."""
        try:
            self._insert(connection, rows)
        except Exception as error:
            if not is_row_fault(error) or not connection.in_transaction:
                raise
        else:
            return
        # One row is to blame: the others must not suffer. Those already in are ignored this time.
        for row in rows:
            try:
                self._insert(connection, [row])
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

    def _store_agent(self, connection: sqlite3.Connection, text: str, number: int) -> None:
        try:
            connection.execute(_INSERT_AGENT, (number, text))
        except Exception as error:
            if not is_row_fault(error) or not connection.in_transaction:
                raise
            log.error("a user agent cannot be stored: %s", type(error).__name__)
        else:
            self._fresh[text] = number

    @staticmethod
    def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        for begin in range(0, len(rows), CHUNK):
            part = rows[begin : begin + CHUNK]
            connection.execute(_insert_of(len(part)), [value for row in part for value in row])


@lru_cache(maxsize=CHUNK)
def _insert_of(rows: int) -> str:
    """One statement for many rows: the interpreter lock changes hands once for all, not for each of them."""
    return f"INSERT OR IGNORE INTO hit ({_COLUMNS}) VALUES " + ",".join([_MARKS] * rows)  # noqa: S608
