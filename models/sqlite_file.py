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

LARGE = 16 * 1024 * 1024  # bytes of WAL from which on pages are moved while commits go on
HUGE = 256 * 1024 * 1024  # from here on commits wait until the WAL can begin anew
QUIET_SECONDS = 2.0


def connect(path: str) -> sqlite3.Connection:
    """A connection whose transactions are begun by hand. It never creates the file."""
    uri = f"{Path(path).absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
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
    """Keeps the WAL small: PASSIVE while it is large, TRUNCATE once nothing was committed for a while."""

    def __init__(self, path: str, interval: float = 0.5) -> None:
        self._path = path
        self._interval = interval
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._committed_at = time.monotonic()
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

    def committed(self) -> None:
        """The writer committed something. Cheap, from any thread."""
        self._committed_at = time.monotonic()
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

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> None:
        # Short: a checkpoint that waits for a reader would hold up the writer meanwhile.
        connection.execute(f"PRAGMA busy_timeout={50 if mode == 'TRUNCATE' else 0}")
        # PASSIVE once more: what was committed meanwhile is little, and the WAL may then begin anew.
        for step in ("PASSIVE", "PASSIVE", mode)[mode == "PASSIVE" :]:
            busy, _, _ = connection.execute(f"PRAGMA wal_checkpoint({step})").fetchone()
        if mode == "TRUNCATE" and not busy:
            self._dirty = False

    def _mode(self) -> str | None:
        try:
            size = Path(f"{self._path}-wal").stat().st_size
        except OSError:
            return None
        quiet = time.monotonic() - self._committed_at > QUIET_SECONDS
        if size and ((quiet and self._dirty) or size > HUGE):
            return "TRUNCATE"
        return "PASSIVE" if size > LARGE else None
