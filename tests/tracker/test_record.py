"""An answer goes out when its hit is on a disk, and within half a second whatever the database does."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from models.wake import HITS, Wake
from models.writer import Done, RawHit, Statement, WriterDownError
from tests.tracker.running import raw_hit
from tracker.hits.journal import Journal, read_journal
from tracker.hits.record import Recorder
from tracker.services import Services


class FickleWriter:
    """A database in the test's hand: `mode` is up, stuck (no answer) or down (an error at once)."""

    def __init__(self) -> None:
        self.mode = "up"
        self.stored: list[RawHit] = []
        self.stuck: list[tuple[RawHit, Done]] = []
        self.queued = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def record(self, hit: RawHit, done: Done) -> None:
        if self.mode == "stuck":
            self.stuck.append((hit, done))
        else:
            asyncio.get_running_loop().call_soon(self._finish, hit, done)

    def _finish(self, hit: RawHit, done: Done) -> None:
        if self.mode == "down":
            done(WriterDownError("down"))
            return
        self._store([hit])
        done(None)

    def _store(self, some: Sequence[RawHit]) -> None:
        known = {one.uid for one in self.stored}
        self.stored += [one for one in some if one.uid not in known]

    def come_back(self, *, with_the_queue: bool) -> None:
        self.mode = "up"
        stuck, self.stuck = self.stuck, []
        for hit, done in stuck:
            if with_the_queue:
                self._store([hit])
            done(None if with_the_queue else WriterDownError("lost"))

    async def record_many(self, hits: Sequence[RawHit]) -> None:
        if self.mode != "up":
            raise WriterDownError(self.mode)
        await asyncio.sleep(0)
        self._store(hits)

    async def apply(self, statements: Sequence[Statement]) -> list[int]:
        raise NotImplementedError

    async def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError


@pytest.fixture
def writer() -> FickleWriter:
    return FickleWriter()


@pytest.fixture
def services(writer: FickleWriter) -> Services:
    return Services(cast(Any, None), writer, Wake())


def hit(number: int) -> RawHit:
    return raw_hit("t" * 22, number)


def numbers(hits: Sequence[RawHit]) -> list[int]:
    return [int(one.uid, 16) for one in hits]


async def drained(recorder: Recorder) -> None:
    async with asyncio.timeout(10):
        while recorder.journal.waiting:
            await asyncio.sleep(0.01)


async def test_a_hit_is_answered_after_its_commit_and_wakes_the_judge(
    services: Services, writer: FickleWriter, tmp_path: Path
) -> None:
    recorder = Recorder(services, Journal(tmp_path))
    await recorder.start()
    answered: list[int] = []
    recorder.record(hit(1), lambda: answered.append(len(writer.stored)))
    assert answered == []
    assert await services.wake.wait(HITS, 1)
    assert answered == [1]
    assert recorder.journal.waiting == 0
    await recorder.stop()


@pytest.mark.parametrize("mode", ["stuck", "down"])
async def test_without_a_database_the_journal_answers_in_time(
    services: Services, writer: FickleWriter, tmp_path: Path, mode: str
) -> None:
    recorder = Recorder(services, Journal(tmp_path))
    await recorder.start()
    writer.mode = mode
    started = time.monotonic()
    await asyncio.gather(*(recorder.recorded(hit(number)) for number in range(100)))
    assert time.monotonic() - started < 0.5
    assert numbers(list(read_journal(tmp_path))) == list(range(100))
    started = time.monotonic()
    await recorder.recorded(hit(100))  # known to be away: it is not waited for again
    assert time.monotonic() - started < 0.2
    assert writer.stored == []

    writer.come_back(with_the_queue=False)
    await drained(recorder)
    await recorder.recorded(hit(101))
    assert numbers(writer.stored) == list(range(102))
    assert recorder.hits_lost == 0
    await recorder.stop()
    assert list(tmp_path.iterdir()) == []


async def test_a_commit_that_comes_late_is_not_stored_twice(
    services: Services, writer: FickleWriter, tmp_path: Path
) -> None:
    recorder = Recorder(services, Journal(tmp_path))
    await recorder.start()
    writer.mode = "stuck"
    await asyncio.gather(*(recorder.recorded(hit(number)) for number in range(10)))
    writer.come_back(with_the_queue=True)
    await drained(recorder)
    assert numbers(writer.stored) == list(range(10))
    await recorder.stop()


async def test_new_hits_queue_up_behind_the_journal_and_the_journal_gets_empty_all_the_same(
    services: Services, writer: FickleWriter, tmp_path: Path
) -> None:
    """Hits that never stop coming, thousands a second, must not keep the journal from ever being empty."""
    recorder = Recorder(services, Journal(tmp_path))
    await recorder.start()
    writer.mode = "down"
    await asyncio.gather(*(recorder.recorded(hit(number)) for number in range(2000)))
    count, stop = 2000, False
    answers = []

    async def keep_coming() -> None:
        nonlocal count
        while not stop:
            for _ in range(4):
                answers.append(asyncio.ensure_future(recorder.recorded(hit(count))))
                count += 1
            await asyncio.sleep(0.001)

    coming = asyncio.create_task(keep_coming())
    writer.come_back(with_the_queue=False)
    await drained(recorder)
    stop = True
    await coming
    await asyncio.gather(*answers)
    assert numbers(writer.stored) == list(range(count))
    await recorder.stop()


async def test_what_a_dead_process_left_comes_first(
    services: Services, writer: FickleWriter, tmp_path: Path
) -> None:
    dead = Recorder(services, Journal(tmp_path))
    await dead.start()
    writer.mode = "down"
    await asyncio.gather(*(dead.recorded(hit(number)) for number in range(3)))
    await dead.stop()

    recorder = Recorder(services, Journal(tmp_path))
    await recorder.start()
    await recorder.recorded(hit(3))
    writer.mode = "up"
    await drained(recorder)
    await recorder.recorded(hit(4))
    assert numbers(writer.stored) == [0, 1, 2, 3, 4]
    await recorder.stop()
    assert list(tmp_path.iterdir()) == []


async def test_with_no_disk_at_all_the_reader_is_served_and_the_loss_is_told(
    services: Services, writer: FickleWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, block: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    recorder = Recorder(services, Journal(tmp_path))
    await recorder.start()
    real = os.pwrite
    monkeypatch.setattr("os.pwrite", full)
    writer.mode = "down"
    started = time.monotonic()
    await asyncio.gather(*(recorder.recorded(hit(number)) for number in range(5)))
    assert time.monotonic() - started < 0.5
    assert recorder.hits_lost == 5

    writer.mode = "stuck"
    await asyncio.gather(*(recorder.recorded(hit(number)) for number in range(5, 8)))
    assert recorder.hits_lost == 5  # their commits may still come
    writer.come_back(with_the_queue=True)
    assert recorder.hits_lost == 5
    writer.mode = "stuck"
    await recorder.recorded(hit(8))
    writer.come_back(with_the_queue=False)
    assert recorder.hits_lost == 6
    monkeypatch.setattr("os.pwrite", real)
    await recorder.recorded(hit(9))
    assert numbers(writer.stored) == [5, 6, 7, 9]
    await recorder.stop()


async def test_one_answer_that_fails_harms_no_other(services: Services, tmp_path: Path) -> None:
    recorder = Recorder(services, Journal(tmp_path))
    await recorder.start()

    def broken() -> None:
        raise RuntimeError("the connection is gone")

    recorder.record(hit(1), broken)
    await recorder.recorded(hit(2))
    await recorder.stop()
