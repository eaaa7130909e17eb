"""The writer's transactions on SQLite: hits as they came, the work of others, and rows made of packs.

Used by the writer's thread only (models/sqlite_writer.py), which decides what is done when. Whatever raises
is handed to `recover`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from models import sqlite_packs
from models.sqlite_bulk import execute
from models.sqlite_file import Checkpoints, connect, is_busy, is_down
from models.sqlite_hits import HitRows, Links
from models.writer import RawHit, Statement, WriterDownError

BUSY_MILLISECONDS = 1000
SLICE = 0.004  # seconds that other work may go on while hits wait


class Job:
    """Work other than hits as they come: statements of one transaction, and whom to tell."""

    __slots__ = ("future", "hits", "statements")

    def __init__(
        self,
        future: asyncio.Future[list[int]],
        statements: Sequence[Statement] = (),
        hits: Sequence[RawHit] = (),
    ) -> None:
        self.future = future
        self.statements = statements
        self.hits = hits


Outcome = tuple[Job, list[int] | Exception | None]


class SqliteStore:
    """Two connections that write. `has_packs`: what comes now belongs behind hits that are no rows yet."""

    def __init__(self, path: str, checkpoints: Checkpoints) -> None:
        self.has_packs = True  # perhaps: of an earlier run
        self._path = path
        self._checkpoints = checkpoints
        self._hits: sqlite3.Connection | None = None
        self._jobs: sqlite3.Connection | None = None
        self._links: Links | None = None
        self._rows = HitRows()

    def write_hits(self, hits: Sequence[RawHit]) -> None:
        """One commit. A crowd goes into a pack, and so does what comes while there are packs."""
        connection = self._hits or self._open()
        assert self._links is not None
        if self.has_packs or len(hits) >= sqlite_packs.CROWD:
            # Mostly one statement, which is a transaction by itself: the interpreter lock changes hands once
            # for all of it. Whether its links still record is asked again when rows are made of it.
            rows = self._rows.make(connection, self._links, hits)
            sqlite_packs.put(connection, rows)
            self._commit(connection, 4)
            self.has_packs = self.has_packs or bool(rows)
            return
        connection.execute("BEGIN IMMEDIATE")
        rows = self._rows.make(connection, self._links, hits)
        self._rows.insert(connection, rows)
        self._commit(connection, len(rows))

    def settle(self) -> int | None:
        """One transaction that makes rows of some packs; the id of the last one, None when none was left."""
        connection = self._hits or self._open()
        connection.execute("BEGIN IMMEDIATE")
        last = sqlite_packs.settle(connection, self._rows)
        self._commit(connection, 0 if last is None else sqlite_packs.SOME)
        self.has_packs = last is not None
        return last

    def work(self, jobs: deque[Job], outcomes: list[Outcome]) -> None:
        """One transaction for as many jobs as the slice allows, each added to `outcomes`."""
        until = time.monotonic() + SLICE
        outcomes.append((jobs.popleft(), None))
        if self._jobs is None:
            self._open()
        connection = self._jobs
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        rows = 0
        while True:
            job, _ = outcomes[-1]
            outcomes[-1] = (job, self._do(connection, job))
            rows += len(job.hits) + sum(len(statement.rows) for statement in job.statements)
            if not jobs or time.monotonic() > until:
                break
            outcomes.append((jobs.popleft(), None))
        self._commit(connection, rows)

    def recover(self, error: Exception) -> WriterDownError:
        """Undoes the transaction; after anything but a busy lock the connections are made anew."""
        sound = is_busy(error)
        self._rows.rolled_back()
        try:
            for connection in (self._hits, self._jobs):
                if connection is not None and connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error:
            sound = False
        if not sound:
            self.close()
        return WriterDownError(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        for connection in (self._hits, self._jobs):
            with suppress(sqlite3.Error):
                if connection is not None:
                    connection.close()
        self._hits = self._jobs = self._links = None

    def _open(self) -> sqlite3.Connection:
        """Opens both connections. Hits take their foreign keys from the link that they name: checking them
        again costs a third of the insert. Other work is checked.
        """
        self._jobs = connect(self._path)
        self._jobs.execute("PRAGMA foreign_keys=ON")
        self._hits = connect(self._path)
        self._links = Links(self._hits)
        for connection in (self._hits, self._jobs):
            connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        return self._hits

    def _commit(self, connection: sqlite3.Connection, rows: int) -> None:
        if connection.in_transaction:
            connection.execute("COMMIT")
        self._rows.committed()
        self._checkpoints.committed(rows)

    def _do(self, connection: sqlite3.Connection, job: Job) -> list[int] | Exception:
        """A job in its own savepoint: its fault undoes nothing but itself."""
        connection.execute("SAVEPOINT job")
        try:
            if job.hits:
                rows = self._rows.make(connection, Links(connection), job.hits)
                if self.has_packs:
                    sqlite_packs.put(connection, rows)
                else:
                    self._rows.insert(connection, rows)
            changed = [execute(connection, one) for one in job.statements]
        except Exception as error:
            if is_down(error) or not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return error
        connection.execute("RELEASE job")
        return changed
