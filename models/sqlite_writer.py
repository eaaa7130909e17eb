"""The writer for SQLite: one thread with its own connection, one commit for all that is waiting.

Whatever queues up while a commit runs goes into the next one; a lone hit is committed at once, and under load
there is about one commit each millisecond (measured: committing whenever the thread is free makes every hit
a commit of its own and halves the rate). `synchronous=FULL`: what was reported done is on the disk.

Reads have a connection of their own, which WAL never blocks. Checkpoints: models/sqlite_file.py.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.sqlite_file import Checkpoints, connect, is_busy, is_down
from models.sqlite_hits import HitInsert
from models.writer import Done, RawHit, Statement, WriterDownError

log = logging.getLogger(__name__)

LIMIT = 20_000  # hits that may wait; more than this is refused at once and goes to the journal
PAUSE = 0.001  # seconds from one commit's beginning to the next one's, while hits keep coming
BUSY_MILLISECONDS = 1000
SLICE = 0.004  # seconds that other work may take out of a commit that hits wait for
FETCH_SECONDS = 10.0


class _Job:
    """Work other than hits: statements of one transaction, and whom to tell."""

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


_Outcome = tuple[_Job, list[int] | Exception | None]


class SqliteWriter:
    """See models/writer.py for what each call promises."""

    def __init__(self, path: Path | str, *, limit: int = LIMIT, pause: float = PAUSE) -> None:
        self._path = str(path)
        self._limit = limit
        self._pause = pause
        self._hits: deque[tuple[RawHit, Done]] = deque()
        self._jobs: deque[_Job] = deque()
        self._writing = 0  # hits in the commit that runs now
        self._bell = threading.Semaphore(0)
        self._rung = False
        self._stopping = False
        self._connection: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._inserts = HitInsert()
        self._thread: threading.Thread | None = None
        self._checkpoints = Checkpoints(self._path)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="sqlite-read")
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sqlite-write", daemon=True)
        self._thread.start()
        self._checkpoints.start()

    async def stop(self) -> None:
        """Commits what is queued, then closes."""
        if self._thread is None:
            return
        self._stopping = True
        self._ring()
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 0.5)
        self._thread = None
        await asyncio.to_thread(self._checkpoints.stop)
        self._readers.shutdown(wait=False, cancel_futures=True)

    @property
    def queued(self) -> int:
        return len(self._hits) + self._writing

    def record(self, hit: RawHit, done: Done) -> None:
        if len(self._hits) >= self._limit or self._thread is None:
            done(WriterDownError("the queue is full"))
            return
        self._hits.append((hit, done))
        if not self._rung:
            self._ring()

    async def record_many(self, hits: Sequence[RawHit]) -> None:
        if hits:
            await self._submit(_Job(asyncio.get_running_loop().create_future(), hits=hits))

    async def apply(self, statements: Sequence[Statement]) -> list[int]:
        return await self._submit(_Job(asyncio.get_running_loop().create_future(), statements))

    async def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers, self._read, sql, arguments)
        except sqlite3.Error as error:
            if not is_down(error):
                raise
            raise WriterDownError(str(error)) from error
        except RuntimeError as error:  # the executor is shut down
            raise WriterDownError("the writer is closed") from error

    async def _submit(self, job: _Job) -> list[int]:
        if self._thread is None or self._stopping:
            raise WriterDownError("the writer is closed")
        self._jobs.append(job)
        self._ring()
        return await asyncio.shield(job.future)

    def _ring(self) -> None:
        self._rung = True
        self._bell.release()

    # What follows runs in the writer's thread, but for `_finish` and the readers' `_read`.

    def _run(self) -> None:
        last = 0.0
        while True:
            self._bell.acquire()
            rest = last + self._pause - time.monotonic()
            if rest > 0 and not self._stopping:
                time.sleep(rest)
            last = time.monotonic()
            self._rung = False
            self._cycle()
            if self._stopping and not self._hits and not self._jobs:
                break
        self._close()

    def _cycle(self) -> None:
        """Commits everything that is queued now, hits first."""
        while self._hits or self._jobs:
            # Taken one by one: only `append` and `popleft` are safe beside the other thread.
            hits = [self._hits.popleft() for _ in range(len(self._hits))]
            self._writing = len(hits)
            outcomes: list[_Outcome] = []
            failure: Exception | None = None
            try:
                self._commit(hits, outcomes)
            except Exception as error:
                failure = self._recover(error)
                outcomes = [(job, failure) for job, _ in outcomes]
            self._writing = 0
            self._tell(self._finish, [done for _, done in hits], failure, outcomes)
            if not self._jobs:
                break

    def _commit(self, hits: list[tuple[RawHit, Done]], outcomes: list[_Outcome]) -> None:
        """One transaction: all `hits`, then as many jobs as the slice allows, each added to `outcomes`."""
        until = time.monotonic() + SLICE
        jobs = self._jobs
        try:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
        except Exception:
            outcomes += [(jobs.popleft(), None) for _ in range(len(jobs))]
            raise
        if hits:
            self._inserts.insert(connection, [hit for hit, _ in hits])
        while jobs:
            job = jobs.popleft()
            outcomes.append((job, None))
            outcomes[-1] = (job, self._work(connection, job))
            if time.monotonic() > until:
                break
        connection.execute("COMMIT")
        self._inserts.committed()
        self._checkpoints.committed()

    def _work(self, connection: sqlite3.Connection, job: _Job) -> list[int] | Exception:
        """A job in its own savepoint: its fault undoes nothing but itself."""
        connection.execute("SAVEPOINT job")
        try:
            if job.hits:
                self._inserts.insert(connection, job.hits)
            changed = [connection.executemany(one.sql, one.rows).rowcount for one in job.statements]
        except Exception as error:
            if is_down(error) or not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return error
        connection.execute("RELEASE job")
        return changed

    def _recover(self, error: Exception) -> Exception:
        """Undoes the transaction; after anything but a busy lock the connection is made anew."""
        sound = is_busy(error)
        self._inserts.rolled_back()
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            sound = False
        if not sound:
            self._close_writing()
        return WriterDownError(f"{type(error).__name__}: {error}")

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._path)
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        connection.execute("PRAGMA foreign_keys=ON")
        self._connection = connection
        return connection

    def _close_writing(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
        self._connection = None

    def _close(self) -> None:
        self._close_writing()
        with suppress(sqlite3.Error, RuntimeError):
            self._readers.submit(self._close_reading).result(timeout=1)

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _read(self, sql: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._reading is None:
            self._reading = connect(self._path)
            self._reading.execute("PRAGMA query_only=ON")
        until = time.monotonic() + FETCH_SECONDS
        self._reading.set_progress_handler(lambda: int(time.monotonic() > until), 10_000)
        try:
            return self._reading.execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            if is_down(error) and not is_busy(error):
                self._close_reading()
            raise

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, *arguments)

    @staticmethod
    def _finish(answers: list[Done], failure: Exception | None, outcomes: list[_Outcome]) -> None:
        """In the event loop: tells everybody whose rows are now on the disk, or not."""
        for done in answers:
            done(failure)
        for job, outcome in outcomes:
            if job.future.done():
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome or [])
