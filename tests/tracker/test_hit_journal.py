"""The journal keeps what the database does not take: in order, once, through crashes and full disks."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.writer import RawHit, WriterDownError
from tests.tracker.running import raw_hit
from tracker.hits import journal_file
from tracker.hits.journal import Journal, JournalDownError, read_journal
from tracker.hits.journal_file import JournalFile


def hits(*numbers: int) -> list[RawHit]:
    return [raw_hit("t" * 22, number) for number in numbers]


class Database:
    """Takes what is replayed, or is down."""

    def __init__(self) -> None:
        self.stored: list[RawHit] = []
        self.down = False

    async def store(self, some: Sequence[RawHit]) -> None:
        if self.down:
            raise WriterDownError("down")
        self.stored += some


def test_what_is_appended_is_synced_before_it_counts_as_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    file = JournalFile.create(tmp_path)

    def sync(_: int) -> None:
        content = file.path.read_bytes()
        synced.append(sum(hit.uid.encode() in content for hit in hits(1, 2)))

    monkeypatch.setattr(os, "fdatasync", sync)
    file.append(hits(1, 2))
    assert synced == [2]
    file.close()


async def written(journal: Journal, some: list[RawHit]) -> list[Exception | None]:
    told: list[Exception | None] = []
    done = asyncio.Event()

    def answer(error: Exception | None) -> None:
        told.append(error)
        if len(told) == len(some):
            done.set()

    for one in some:
        journal.append(one, answer)
    await done.wait()
    return told


async def test_hits_come_back_in_order_and_once(tmp_path: Path) -> None:
    journal, database = Journal(tmp_path), Database()
    await journal.start()
    assert await written(journal, hits(*range(1200))) == [None] * 1200
    assert journal.waiting == 1200
    assert list(read_journal(tmp_path)) == hits(*range(1200))
    await journal.drain(database.store)
    assert database.stored == hits(*range(1200))
    assert journal.waiting == 0
    assert list(read_journal(tmp_path)) == []
    assert await written(journal, hits(5000)) == [None]
    assert list(read_journal(tmp_path)) == hits(5000)  # not what lies behind it from before
    await journal.drain(database.store)
    assert database.stored[1200:] == hits(5000)
    await journal.stop()
    assert list(tmp_path.iterdir()) == []


async def test_what_is_not_replayed_waits_for_the_next_start(tmp_path: Path) -> None:
    first, database = Journal(tmp_path), Database()
    await first.start()
    await written(first, hits(1, 2, 3))
    database.down = True
    with pytest.raises(WriterDownError):
        await first.drain(database.store)
    assert first.waiting == 3
    await first.stop()

    second = Journal(tmp_path)
    await second.start()
    assert second.waiting == 3
    await written(second, hits(4))
    database.down = False
    await second.drain(database.store)
    assert database.stored == hits(1, 2, 3, 4)
    await second.stop()
    assert list(tmp_path.iterdir()) == []


async def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    one, other, database = Journal(tmp_path), Journal(tmp_path), Database()
    await one.start()
    await written(one, hits(1))
    await other.start()
    assert other.waiting == 0
    await other.drain(database.store)
    assert database.stored == []
    assert list(read_journal(tmp_path)) == hits(1)
    await other.stop()
    await one.stop()


async def test_a_replay_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    journal, database = Journal(tmp_path), Database()
    await journal.start()
    await written(journal, hits(*range(1100)))

    async def twice(some: Sequence[RawHit]) -> None:
        await database.store(some)
        database.down = len(database.stored) >= 1000

    with pytest.raises(WriterDownError):
        await journal.drain(twice)
    assert journal.waiting == 100
    assert list(read_journal(tmp_path)) == hits(*range(1000, 1100))
    await journal.stop()


@pytest.mark.parametrize("cut", [1, 7, 9, 60])
def test_a_torn_last_record_is_ignored(tmp_path: Path, cut: int) -> None:
    file = JournalFile.create(tmp_path)
    file.append(hits(1, 2))
    end = file.end
    file.append(hits(3))
    with file.path.open("r+b") as raw:
        raw.seek(end + cut)
        raw.write(bytes(file.end - end - cut))
    assert list(read_journal(tmp_path)) == hits(1, 2)
    file.close()
    again = JournalFile.take_over(file.path)
    assert again is not None
    assert again.end == end
    again.append(hits(4))
    assert again.read(10)[0] == hits(1, 2, 4)
    again.close()


def test_a_flipped_byte_is_not_taken_for_a_hit(tmp_path: Path) -> None:
    file = JournalFile.create(tmp_path)
    file.append(hits(1, 2, 3))
    with file.path.open("r+b") as raw:
        raw.seek(4096 + 8 + 40)
        raw.write(b"\xff")
    assert list(read_journal(tmp_path)) == []
    file.close()


def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    stray = tmp_path / "stray.journal"
    stray.write_bytes(b"hello" * 1000)
    assert list(read_journal(tmp_path)) == []
    assert JournalFile.take_over(stray) is None
    assert stray.exists()


async def test_a_full_disk_still_takes_what_fits_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, database = Journal(tmp_path), Database()
    await journal.start()
    real, limit = os.pwrite, journal_file.RESERVE

    def full(descriptor: int, block: bytes, offset: int) -> int:
        if offset + len(block) > limit:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, block, offset)

    monkeypatch.setattr("os.pwrite", full)
    kept = 0
    for start in range(0, 20_000, 500):
        told = await written(journal, hits(*range(start, start + 500)))
        kept += told.count(None)
        if told[0] is not None:
            assert isinstance(told[0], JournalDownError)
            break
    assert kept >= 8000
    assert journal.waiting == kept
    await journal.drain(database.store)
    assert database.stored == hits(*range(kept))
    assert await written(journal, hits(1)) == [None]  # room again
    await journal.drain(database.store)
    await journal.stop()


async def test_a_start_on_a_full_disk_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def full(descriptor: int, block: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    journal = Journal(tmp_path)
    await journal.start()
    assert isinstance((await written(journal, hits(1)))[0], JournalDownError)
    assert journal.waiting == 0
    monkeypatch.setattr("os.pwrite", real)
    assert await written(journal, hits(2)) == [None]
    assert list(read_journal(tmp_path)) == hits(2)
    await journal.stop()


def test_a_file_without_an_owner_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "1-dead.new").write_bytes(b"")
    living = tmp_path / "2-living.new"
    living.write_bytes(b"")
    with living.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        JournalFile.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["2-living.new"]


async def test_hits_that_arrive_during_the_replay_are_replayed_too(tmp_path: Path) -> None:
    journal, database = Journal(tmp_path), Database()
    await journal.start()
    await written(journal, hits(0))
    more = iter(range(1, 20))
    told: list[Exception | None] = []

    async def store(some: Sequence[RawHit]) -> None:
        await database.store(some)
        for number in more:
            journal.append(raw_hit("t" * 22, number), told.append)
            break

    await journal.drain(store)
    assert database.stored == hits(*range(20))
    assert told == [None] * 19
    await journal.stop()
