"""Every hit is on a disk before it is answered: in the database, or else in the journal.

The web handlers call `record`; the answer goes out when the hit's commit is done. When that took longer than
`patience`, failed, or older hits still wait in the journal, the hit goes to the journal, and the answer
follows its fsync. When the journal cannot be written either, the reader is served all the same, and
`hits_lost` counts the hit unless its commit still comes. Nothing here classifies or looks anything up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from models.wake import HITS
from models.writer import RawHit, WriterDownError
from tracker.hits.journal import Journal
from tracker.services import Services

log = logging.getLogger(__name__)

PATIENCE = 0.25  # seconds that the database may take
JOURNAL_PATIENCE = 5.0  # seconds that a disk may take before the reader is served without it
_TICK = 0.025
_RETRY = (0.1, 0.25, 0.5, 1.0)  # seconds between tries to replay the journal

Answer = Callable[[], None]


class _Pending:
    """A hit on its way to the disk, over one way or both."""

    __slots__ = ("answer", "failed", "hit", "journaled", "recorder", "since")

    def __init__(self, recorder: Recorder, hit: RawHit, answer: Answer) -> None:
        self.recorder = recorder
        self.hit = hit
        self.answer: Answer | None = answer  # None: answered
        self.since = monotonic()
        self.failed = 0  # ways that failed
        self.journaled = False  # handed to the journal

    def committed(self, error: Exception | None) -> None:
        """The writer's word."""
        if error is None:
            recorder = self.recorder
            if not recorder.ringing:  # once for all hits of a commit
                recorder.ringing = True
                asyncio.get_running_loop().call_soon(recorder.ring)
            self.send()
        elif self.journaled:
            self.fail()
        else:
            self.failed = 1
            self.to_journal()

    def to_journal(self) -> None:
        self.journaled = True
        self.recorder.journal.append(self.hit, self.synced)
        self.recorder.wake_drain()

    def synced(self, error: Exception | None) -> None:
        """The journal's word."""
        if error is not None:
            self.fail()
        self.send()

    def fail(self) -> None:
        self.failed += 1
        if self.failed == 2:
            self.recorder.hits_lost += 1

    def send(self) -> None:
        answer, self.answer = self.answer, None
        if answer is not None:
            try:
                answer()
            except Exception:  # one reader's connection is not the others' concern
                log.exception("an answer could not be sent")


class Recorder:
    """One for each process that answers requests. `hits_lost`: answered, but on no disk."""

    def __init__(self, services: Services, journal: Journal, *, patience: float = PATIENCE) -> None:
        self.journal = journal
        self.hits_lost = 0
        self.hits_recorded = 0
        self.ringing = False
        self._writer = services.writer
        self._wake = services.wake
        self._patience = patience
        self._pending: deque[_Pending] = deque()  # handed to the writer or held, oldest first
        self._held: list[_Pending] | None = None  # not None: the journal is about to be empty
        self._ticking = False
        self._need = asyncio.Event()
        self._drainer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes over what dead processes left; hits go to the journal until that is replayed."""
        await self.journal.start()
        self._drainer = asyncio.create_task(self._drain_for_ever(), name="journal")
        if self.journal.waiting:
            log.warning("the journal holds %d hits of an earlier run", self.journal.waiting)
            self._need.set()

    async def stop(self) -> None:
        """Waits until everything under way is on a disk. The listeners are closed by now."""
        while any(one.answer is not None for one in self._pending):  # noqa: ASYNC110, hits have no event
            await asyncio.sleep(_TICK)
        if self._drainer is not None:
            self._drainer.cancel()
            with suppress(asyncio.CancelledError):
                await self._drainer
        await self.journal.stop()

    def record(self, hit: RawHit, answer: Answer) -> None:
        """Calls `answer` in the event loop when the hit is on a disk. Never raises, never blocks."""
        self.hits_recorded += 1
        one = _Pending(self, hit, answer)
        if self._held is not None:
            self._held.append(one)
        elif self.journal.waiting:
            one.failed = 1  # the writer does not know of it: only the journal can keep it
            one.to_journal()
        else:
            self._writer.record(hit, one.committed)
        pending = self._pending
        while pending and pending[0].answer is None:
            pending.popleft()
        pending.append(one)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(_TICK, self._tick)

    async def recorded(self, hit: RawHit) -> None:
        """Returns when the hit is on a disk, in the end always."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answer() -> None:
            if not future.done():
                future.set_result(None)

        self.record(hit, answer)
        await future

    def ring(self) -> None:
        self.ringing = False
        self._wake.ring(HITS)

    def wake_drain(self) -> None:
        self._need.set()

    def _tick(self) -> None:
        """Looks after the oldest hits: those that waited too long take the other way."""
        pending = self._pending
        now = monotonic()
        while pending and pending[0].answer is None:
            pending.popleft()
        for one in pending:
            if now - one.since < self._patience:
                break
            if one.answer is None:
                continue
            if not one.journaled:
                one.to_journal()
            elif now - one.since > JOURNAL_PATIENCE:
                one.send()
        self._ticking = bool(pending)
        if pending:
            asyncio.get_running_loop().call_later(_TICK, self._tick)

    async def _drain_for_ever(self) -> None:
        tries = 0
        while True:
            await self._need.wait()
            self._need.clear()
            try:
                await self.journal.drain(self._store, self._hold)
            except (WriterDownError, OSError) as error:
                log.debug("the journal cannot be replayed yet: %s", error)
                tries += 1
            except Exception:
                log.exception("the journal's replay failed; it is tried again")
                tries = len(_RETRY)
            else:
                tries = 0
            self._release(to_writer=tries == 0)
            if tries:
                self._need.set()
                await asyncio.sleep(_RETRY[min(tries, len(_RETRY)) - 1])

    async def _store(self, hits: Sequence[RawHit]) -> None:
        await self._writer.record_many(hits)
        self.ring()

    def _hold(self) -> None:
        if self._held is None:
            self._held = []

    def _release(self, *, to_writer: bool) -> None:
        """Sends held hits on their way: they came after everything that was in the journal."""
        held, self._held = self._held or [], None
        for one in held:
            if one.journaled:
                one.fail()
            elif to_writer:
                self._writer.record(one.hit, one.committed)
            else:
                one.failed = 1
                one.to_journal()
