"""The writer for SQLite: one thread with its own connection, one commit for all that is waiting.

The event loop gathers hits until it has read all that was there, and hands them over together; what comes
while a commit runs goes into the next one. A lone hit is committed at once, and under load there is at most
one commit a millisecond (measured: committing whenever the thread is free makes every hit a commit of its own
and halves the rate). `synchronous=FULL`: what was reported done is on the disk.

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

from models.sqlite_bulk import execute
from models.sqlite_file import Checkpoints, connect, is_busy, is_down
from models.sqlite_hits import HitInsert
from models.writer import Done, RawHit, Statement, WriterDownError

log = logging.getLogger(__name__)

LIMIT = 20_000  # hits that may wait; more than this is refused at once and goes to the journal
PAUSE = 0.001  # seconds from one commit's beginning to the next one's, while hits keep coming
BUSY_MILLISECONDS = 1000
SLICE = 0.004  # seconds that other work may go on while hits wait
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


_Batch = tuple[list[RawHit], list[Done]]
_Outcome = tuple[_Job, list[int] | Exception | None]


class SqliteWriter:
    """See models/writer.py for what each call promises."""

    def __init__(self, path: Path | str, *, limit: int = LIMIT, pause: float = PAUSE) -> None:
        self._path = str(path)
        self._limit = limit
        self._pause = pause
        self._hits: list[RawHit] = []  # being gathered…
        self._answers: list[Done] = []  # …and whom to tell of each
        self._gathered = 0  # hits when it was last looked
        self._until = 0.0
        self._queued = 0
        self._batches: deque[_Batch] = deque()  # handed to the thread
        self._jobs: deque[_Job] = deque()
        self._bell = threading.Lock()  # free: rung
        self._bell.acquire()
        self._stopping = False
        self._for_hits: sqlite3.Connection | None = None
        self._for_jobs: sqlite3.Connection | None = None
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
        self._hand_over()
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 0.5)
        self._thread = None
        await asyncio.to_thread(self._checkpoints.stop)
        self._readers.shutdown(wait=False, cancel_futures=True)

    @property
    def queued(self) -> int:
        return self._queued

    def record(self, hit: RawHit, done: Done) -> None:
        loop = self._loop
        if self._queued >= self._limit or self._stopping or loop is None:
            done(WriterDownError("the queue is full"))
            return
        self._queued += 1
        if not self._hits:
            self._gathered = 1
            self._until = loop.time() + self._pause
            loop.call_soon(self._gather)
        self._hits.append(hit)
        self._answers.append(done)

    def _gather(self) -> None:
        """Runs once in each turn of the loop, until one brought nothing new or they took too long."""
        loop, count = self._loop, len(self._hits)
        if loop is not None and count > self._gathered and loop.time() < self._until:
            self._gathered = count
            loop.call_soon(self._gather)
        elif count:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._hits:
            self._batches.append((self._hits, self._answers))
            self._hits, self._answers = [], []
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
        if self._bell.locked():
            self._bell.release()

    # What follows runs in the writer's thread, but for `_finish_…` and the readers' `_read`.

    def _run(self) -> None:
        last = 0.0
        while True:
            self._bell.acquire()
            rest = last + self._pause - time.monotonic()
            if rest > 0 and not self._stopping:
                time.sleep(rest)
            last = time.monotonic()
            self._cycle()
            if self._stopping and not self._batches and not self._jobs:
                break
        self._close()

    def _cycle(self) -> None:
        """Commits everything that is queued now: hits first, then other work for as long as its slice is."""
        while self._batches or self._jobs:
            if self._batches:
                hits, answers = self._batches.popleft()
                while self._batches:
                    more, others = self._batches.popleft()
                    hits += more
                    answers += others
                failure = self._attempt(self._commit_hits, hits)
                self._tell(self._finish_hits, answers, failure)
            if self._jobs:
                outcomes: list[_Outcome] = []
                failure = self._attempt(self._commit_jobs, outcomes)
                if failure is not None:
                    outcomes = [(job, failure) for job, _ in outcomes]
                self._tell(self._finish_jobs, outcomes)
            elif self._pause:
                break  # hits that came meanwhile gather for a moment

    def _attempt(self, work: Callable[[Any], None], argument: Any) -> WriterDownError | None:
        try:
            work(argument)
        except Exception as error:
            return self._recover(error)
        return None

    def _commit_hits(self, hits: list[RawHit]) -> None:
        connection = self._for_hits or self._open()
        connection.execute("BEGIN IMMEDIATE")
        self._inserts.insert(connection, hits)
        connection.execute("COMMIT")
        self._inserts.committed()
        self._checkpoints.committed(len(hits))

    def _commit_jobs(self, outcomes: list[_Outcome]) -> None:
        """One transaction for as many jobs as the slice allows, each added to `outcomes`."""
        until = time.monotonic() + SLICE
        outcomes.append((self._jobs.popleft(), None))
        if self._for_jobs is None:
            self._open()
        connection = self._for_jobs
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        rows = 0
        while True:
            job, _ = outcomes[-1]
            outcomes[-1] = (job, self._work(connection, job))
            rows += len(job.hits) + sum(len(statement.rows) for statement in job.statements)
            if not self._jobs or time.monotonic() > until:
                break
            outcomes.append((self._jobs.popleft(), None))
        connection.execute("COMMIT")
        self._inserts.committed()
        self._checkpoints.committed(rows)

    def _work(self, connection: sqlite3.Connection, job: _Job) -> list[int] | Exception:
        """A job in its own savepoint: its fault undoes nothing but itself."""
        connection.execute("SAVEPOINT job")
        try:
            if job.hits:
                self._inserts.insert(connection, job.hits)
            changed = [execute(connection, one) for one in job.statements]
        except Exception as error:
            if is_down(error) or not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return error
        connection.execute("RELEASE job")
        return changed

    def _recover(self, error: Exception) -> WriterDownError:
        """Undoes the transaction; after anything but a busy lock the connections are made anew."""
        sound = is_busy(error)
        self._inserts.rolled_back()
        try:
            for connection in (self._for_hits, self._for_jobs):
                if connection is not None and connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error:
            sound = False
        if not sound:
            self._close_writing()
        return WriterDownError(f"{type(error).__name__}: {error}")

    def _open(self) -> sqlite3.Connection:
        """Opens both writing connections. Hits take their foreign keys from the link that they join: checking
        them again costs a third of the insert. Other work is checked.
        """
        self._for_jobs = connect(self._path)
        self._for_jobs.execute("PRAGMA foreign_keys=ON")
        self._for_hits = connect(self._path)
        for connection in (self._for_hits, self._for_jobs):
            connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        return self._for_hits

    def _close_writing(self) -> None:
        for connection in (self._for_hits, self._for_jobs):
            with suppress(sqlite3.Error):
                if connection is not None:
                    connection.close()
        self._for_hits = self._for_jobs = None

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

    # In the event loop: tells everybody whose rows are now on the disk, or not.

    def _finish_hits(self, answers: list[Done], failure: Exception | None) -> None:
        self._queued -= len(answers)
        for done in answers:
            done(failure)

    @staticmethod
    def _finish_jobs(outcomes: list[_Outcome]) -> None:
        for job, outcome in outcomes:
            if job.future.done():
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome or [])
