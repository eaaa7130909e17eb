"""The SQLite file itself: how the writer's connections are opened, what its errors mean, and checkpoints.

Automatic checkpoints run inside a commit and stall it for 17 to 30 ms; so they are off, and a thread with a
connection of its own moves pages from the WAL into the file beside the commits.
Used by models/sqlite_writer.py only; the ORM's connection is set up in models/database.py.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

# Frames (pages) in the WAL from which on it is moved into the file and begun anew. A WAL that only grows is
# slow: each new block of it is allocated, zeroed and journaled by the file system.
LARGE = 12_000
QUIET_SECONDS = 2.0


def connect(path: str) -> sqlite3.Connection:
    """A connection whose transactions are begun by hand. It never creates the file."""
    uri = f"{Path(path).absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what is forgotten must not be found in the file
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA temp_store=MEMORY")  # else each savepoint makes a file
        connection.execute("PRAGMA cache_size=-16000")
    except BaseException:
        connection.close()
        raise
    return connection


def is_down(error: BaseException) -> bool:
    """Whether the database is at fault, and not a row or a statement."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError):
        return False
    if isinstance(error, sqlite3.OperationalError):  # SQLITE_ERROR is bad SQL
        return getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
    return isinstance(error, sqlite3.Error | OSError | MemoryError)


def is_row_fault(error: BaseException) -> bool:
    """Whether one row's values can never be stored, whatever the database's state."""
    return isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | UnicodeError | OverflowError)


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds the write lock: the connection itself is fine."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Checkpoints:
    """Keeps the WAL small: begun anew whenever it is large, truncated after a quiet while."""

    def __init__(self, path: str, interval: float = 0.1) -> None:
        self._path = path
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._committed_at = time.monotonic()
        self._frames = 1  # guessed: what was committed since the WAL began anew
        self._dirty = True

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="sqlite-checkpoint", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, with a last checkpoint. Blocks."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def committed(self, rows: int) -> None:
        """The writer committed something. Cheap, from any thread."""
        self._committed_at = time.monotonic()
        self._frames += 4 + 4 * rows
        self._dirty = True

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            stopping = self._stop.wait(self._interval)
            mode = "TRUNCATE" if stopping else self._mode()
            if mode:
                try:
                    connection = connection or connect(self._path)
                    self._checkpoint(connection, mode)
                except sqlite3.Error as error:
                    log.debug("checkpoint put off: %s", error)
                    with suppress(sqlite3.Error):
                        if connection is not None:
                            connection.close()
                    connection = None
            if stopping:
                break
        if connection is not None:
            connection.close()

    def _mode(self) -> str | None:
        if self._frames > LARGE:
            return "RESTART"
        quiet = time.monotonic() - self._committed_at > QUIET_SECONDS
        return "TRUNCATE" if quiet and self._dirty else None

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> None:
        # PASSIVE beside the commits, and once more for what was committed meanwhile; commits then wait only
        # for the little that is left. Short: a last step that waits for a reader would hold them up.
        connection.execute("PRAGMA busy_timeout=20")
        self._dirty = False
        for step in ("PASSIVE", "PASSIVE", mode):
            busy, frames, _ = connection.execute(f"PRAGMA wal_checkpoint({step})").fetchone()
            if step == "PASSIVE" and mode == "RESTART" and frames < LARGE:
                self._frames = frames  # fewer than guessed
                return
        if busy:
            self._dirty = True
        else:
            self._frames = 0
