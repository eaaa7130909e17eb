"""The writer for SQLite: one thread with its own connection, one commit for all that is waiting.

The event loop gathers hits until it has read all that was there, and hands them over together; what comes
while a commit runs goes into the next one. A lone hit is committed at once, and under load there is at most
one commit each half millisecond (measured: committing whenever the thread is free makes every hit a commit of
its own and halves the rate). A crowd of hits is stored as one row, of which rows are made when there is time:
models/sqlite_packs.py. `synchronous=FULL`: what was reported done is on the disk.

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
from typing import Any, TypeVar

from models.sqlite_file import Checkpoints, connect, is_busy, is_down
from models.sqlite_packs import NEWEST
from models.sqlite_store import Job, Outcome, SqliteStore
from models.writer import Done, RawHit, Statement, WriterDownError

log = logging.getLogger(__name__)

LIMIT = 20_000  # hits that may wait; more than this is refused at once and goes to the journal
PAUSE = 0.0005  # seconds from one commit's beginning to the next one's, while hits keep coming
LULL = 0.01  # seconds without a hit in which rows are made of packs…
RETRY = 1.0  # …and to the next try, when that failed
FETCH_SECONDS = 10.0

T = TypeVar("T")


_Batch = tuple[list[RawHit], list[Done]]


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
        self._jobs: deque[Job] = deque()
        self._settlers: list[asyncio.Future[int | None]] = []
        self._bell = threading.Lock()  # free: rung
        self._bell.acquire()
        self._stopping = False
        self._reading: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self._checkpoints = Checkpoints(self._path)
        self._store = SqliteStore(self._path, self._checkpoints)
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
            await self._submit(Job(asyncio.get_running_loop().create_future(), hits=hits))

    async def settle(self) -> None:
        ((newest,),) = await self.fetch(NEWEST)
        done: int | None = 0
        while newest is not None and done is not None and done < newest:
            if self._thread is None or self._stopping:
                raise WriterDownError("the writer is closed")
            future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
            self._settlers.append(future)
            self._ring()
            done = await asyncio.shield(future)

    async def apply(self, statements: Sequence[Statement]) -> list[int]:
        return await self._submit(Job(asyncio.get_running_loop().create_future(), statements))

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

    async def _submit(self, job: Job) -> list[int]:
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
        failed = not self._settle_all()
        while True:
            patience = -1.0
            if self._store.has_packs:
                patience = RETRY if failed else LULL
            if not self._bell.acquire(timeout=patience):
                failed = not self._settle_all()
                continue
            rest = last + self._pause - time.monotonic()
            if rest > 0 and not self._stopping:
                time.sleep(rest)
            last = time.monotonic()
            self._cycle()
            if self._stopping and not (self._batches or self._jobs or self._settlers):
                break
        self._settle_all()
        self._close()

    def _cycle(self) -> None:
        """Commits everything that is queued now: hits first, then other work for as long as its slice is."""
        while self._batches or self._jobs or self._settlers:
            if self._batches:
                hits, answers = self._batches.popleft()
                while self._batches:
                    more, others = self._batches.popleft()
                    hits += more
                    answers += others
                _, failure = self._attempt(self._store.write_hits, hits)
                self._tell(self._finish_hits, answers, failure)
            if self._settlers:
                futures, self._settlers = self._settlers, []
                last, failure = self._attempt(self._store.settle)
                self._tell(self._finish_settling, futures, last, failure)
            if self._jobs:
                outcomes: list[Outcome] = []
                _, failure = self._attempt(self._store.work, self._jobs, outcomes)
                if failure is not None:
                    outcomes = [(job, failure) for job, _ in outcomes]
                self._tell(self._finish_jobs, outcomes)
            elif self._pause:
                break  # hits that came meanwhile gather for a moment

    def _settle_all(self) -> bool:
        """Makes rows of packs until none is left or something else is to be done; False when it failed."""
        while self._store.has_packs and not (self._batches or self._jobs):
            if self._attempt(self._store.settle)[1] is not None:
                return False
        return True

    def _attempt(self, work: Callable[..., T], *arguments: Any) -> tuple[T | None, WriterDownError | None]:
        try:
            return work(*arguments), None
        except Exception as error:
            return None, self._store.recover(error)

    def _close(self) -> None:
        self._store.close()
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
    def _finish_settling(
        futures: Sequence[asyncio.Future[int | None]], last: int | None, failure: Exception | None
    ) -> None:
        for future in futures:
            if not future.done():
                if failure is None:
                    future.set_result(last)
                else:
                    future.set_exception(failure)

    @staticmethod
    def _finish_jobs(outcomes: list[Outcome]) -> None:
        for job, outcome in outcomes:
            if job.future.done():
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome or [])
