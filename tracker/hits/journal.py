"""Where hits go while the database does not answer: an fsynced file beside it, replayed in order, once.

Recorder (record.py) appends and drains; the export reads with `read_journal`. Each process has a file of its
own; files of dead processes (nobody holds their lock) are taken over at the start. Nothing here waits for the
database, and nothing blocks the event loop: the files are touched in one thread only.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from models.writer import Done, RawHit
from tracker.hits.journal_file import RESERVE, SUFFIX, JournalFile, read_file

T = TypeVar("T")

log = logging.getLogger(__name__)

BATCH = 500  # hits replayed in one transaction
LIMIT = 20_000  # hits that may wait for the disk

Store = Callable[[Sequence[RawHit]], Awaitable[None]]


class JournalDownError(Exception):
    """The journal cannot be written either."""


class Journal:
    """The journal of one process, in `directory`; `reserve` bytes are taken at the start."""

    def __init__(self, directory: Path, *, reserve: int = RESERVE) -> None:
        self._directory = directory
        self._reserve = reserve
        self._file: JournalFile | None = None
        self._left_behind: list[JournalFile] = []
        self._queue: list[tuple[RawHit, Done]] = []
        self._flushing: asyncio.Future[Exception | None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.waiting = 0  # hits that are in here and not in the database, those being written included

    async def start(self) -> None:
        """Takes the reserve, and the files that dead processes left. Never fails: a full disk may free up."""
        found = await self._in_thread(self._open)
        self.waiting += found

    async def stop(self) -> None:
        """Writes what is queued; an emptied file is removed, any other stays for the next start."""
        while self._flushing is not None:
            await asyncio.wait([self._flushing])
            await asyncio.sleep(0)
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    def append(self, hit: RawHit, done: Done) -> None:
        """Queues a hit; in the event loop `done(None)` follows when it is on the disk, else `done(error)`."""
        if len(self._queue) >= LIMIT:
            done(JournalDownError("too many hits wait for the disk"))
            return
        self.waiting += 1
        self._queue.append((hit, done))
        if self._flushing is None:
            self._flush()

    async def drain(self, store: Store, nearly: Callable[[], None] = lambda: None) -> None:
        """Hands all hits to `store`, oldest first, until none is left; raises what `store` raises.

        `nearly` is called when few are left: hold new hits back then, or they keep the journal from ever
        being empty.
        """
        while self._left_behind:
            file = self._left_behind[0]
            await self._drain_file(file, store, None)
            self._left_behind.pop(0)
            await self._in_thread(partial(file.close, remove=True))
        while self.waiting:
            if self._file is not None:
                await self._drain_file(self._file, store, nearly)
            if self._flushing is not None:
                await asyncio.wait([self._flushing])
            await asyncio.sleep(0)

    async def _drain_file(self, file: JournalFile, store: Store, nearly: Callable[[], None] | None) -> None:
        while True:
            hits, offset = await self._in_thread(partial(file.read, BATCH))
            if not hits:
                return
            if nearly is not None and self.waiting <= 2 * BATCH:
                nearly()
            await store(hits)
            await self._in_thread(partial(file.advance, offset))
            self.waiting -= len(hits)

    def _flush(self) -> None:
        batch, self._queue = self._queue, []
        loop = asyncio.get_running_loop()
        self._flushing = loop.run_in_executor(self._thread, self._write, [hit for hit, _ in batch])
        self._flushing.add_done_callback(lambda future: self._flushed(batch, future))

    def _flushed(self, batch: list[tuple[RawHit, Done]], future: asyncio.Future[Exception | None]) -> None:
        self._flushing = None
        if self._queue:
            self._flush()
        error = future.exception() if future.exception() is not None else future.result()
        if error is not None:
            self.waiting -= len(batch)
            error = JournalDownError(str(error))
        for _, done in batch:
            done(error)

    # What follows runs in the journal's thread.

    def _write(self, hits: list[RawHit]) -> Exception | None:
        try:
            if self._file is None:
                self._file = JournalFile.create(self._directory, self._reserve)
            self._file.append(hits)
        except (OSError, ValueError) as error:
            if not (isinstance(error, OSError) and error.errno == errno.ENOSPC):
                log.error("the journal cannot be written: %s", error)
            return error
        return None

    def _open(self) -> int:
        found = 0
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            JournalFile.sweep(self._directory)
            for path in sorted(self._directory.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime):
                file = JournalFile.take_over(path)
                if file is None:
                    continue
                hits = sum(1 for _ in read_file(path))
                if hits:
                    self._left_behind.append(file)
                    found += hits
                else:
                    file.close(remove=True)
            self._file = JournalFile.create(self._directory, self._reserve)
        except OSError as error:
            log.error("the journal has no reserve: %s", error)
        return found

    def _close(self) -> None:
        for file in self._left_behind:
            file.close()
        self._left_behind.clear()
        if self._file is not None:
            self._file.close(remove=not self._file.read(1)[0])
            self._file = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def read_journal(directory: Path) -> Iterator[RawHit]:
    """What all journals in `directory` hold that may not be in the database yet; safe beside a service.

    A hit that is being replayed this very moment may be in both: compare uids.
    """
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        yield from read_file(path)
