"""Hits that come in a crowd: as safe as rows of their own, and rows a moment later, in order and once."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from models import Account, Hit, Link, Pack, Recipient
from models.backup import backup, restore
from models.database import DatabaseURL, open_database, parse_database_url
from models.sqlite_file import Checkpoints
from models.sqlite_packs import CROWD, SOME
from models.sqlite_store import SqliteStore
from models.sqlite_writer import SqliteWriter
from models.writer import RawHit
from tests import builders
from tests.conftest import Clock
from tests.tracker.running import raw_hit, recorded


@pytest.fixture
async def pixel(sqlite_database: DatabaseURL, clock: Clock) -> Link:
    message = await builders.mail(await builders.account("alice", clock()), clock())
    return await Link.get(message=message, kind="open")


@pytest.fixture
def path(sqlite_database: DatabaseURL) -> Path:
    assert sqlite_database.path is not None
    return sqlite_database.path


@pytest.fixture
def store(path: Path) -> SqliteStore:
    """What the writer's thread does, without the thread: nothing happens but what the test asks for."""
    one = SqliteStore(str(path), Checkpoints(str(path)))
    one.settle()
    return one


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[SqliteWriter]:
    one = SqliteWriter(path)
    await one.start()
    yield one
    await one.stop()


def crowd(link: Link, first: int = 0, count: int = CROWD) -> list[RawHit]:
    return [raw_hit(link.token, first + number) for number in range(count)]


@contextmanager
def commits(path: Path) -> Iterator[Callable[[], int]]:
    """How many transactions the database's log holds more than at the beginning: each ends in a frame."""

    def count() -> int:
        log = Path(f"{path}-wal").read_bytes()
        size = 24 + int.from_bytes(log[8:12], "big")  # a frame; its bytes 4 to 7 say whether it is the last
        return sum(log[at + 4 : at + 8] != bytes(4) for at in range(32, len(log), size))

    before = count()
    yield lambda: count() - before


async def stored() -> list[int]:
    """The numbers of the hits that are rows, in their order."""
    return [int(str(uid), 16) for uid in await Hit.all().order_by("id").values_list("uid", flat=True)]


async def test_a_crowd_is_in_the_database_with_one_row_and_becomes_rows_in_order(
    store: SqliteStore, pixel: Link
) -> None:
    store.write_hits(crowd(pixel))
    assert (await Pack.get()).count == CROWD
    assert await stored() == []
    store.settle()
    assert await stored() == list(range(CROWD))
    hit = await Hit.first()
    assert hit is not None
    assert (hit.link_id, hit.message_id, hit.recipient_id) == (pixel.id, pixel.message_id, pixel.recipient_id)
    assert (hit.method, hit.network, hit.device, hit.headers, hit.purpose) == (
        "GET", "203.0.113.0/24", "d" * 32, None, None,
    )  # fmt: skip
    assert not await Pack.exists()


async def test_who_comes_after_a_crowd_stays_behind_it(store: SqliteStore, pixel: Link) -> None:
    store.write_hits(crowd(pixel))
    store.write_hits(crowd(pixel, CROWD, 1))
    while store.settle() is not None:
        pass
    store.write_hits(crowd(pixel, CROWD + 1, 1))
    assert await stored() == list(range(CROWD + 2))


async def test_few_hits_are_rows_at_once(store: SqliteStore, pixel: Link) -> None:
    store.write_hits(crowd(pixel, count=CROWD - 1))
    assert len(await stored()) == CROWD - 1
    assert not await Pack.exists()


async def test_rows_are_made_as_soon_as_no_hit_waits(writer: SqliteWriter, pixel: Link) -> None:
    answers = await asyncio.gather(*(recorded(writer, hit) for hit in crowd(pixel, count=3 * SOME)))
    assert set(answers) == {None}
    while len(await stored()) < 3 * SOME:
        await asyncio.sleep(0.005)
    assert await stored() == list(range(3 * SOME))
    assert not await Pack.exists()


async def test_what_a_killed_run_left_is_rows_when_the_next_one_starts(
    store: SqliteStore, path: Path, pixel: Link
) -> None:
    store.write_hits(crowd(pixel))
    store.close()
    writer = SqliteWriter(path)
    await writer.start()
    assert await recorded(writer, raw_hit(pixel.token, CROWD)) is None
    await writer.stop()
    assert await stored() == list(range(CROWD + 1))


async def test_who_reads_gets_rows_whatever_another_process_left(
    store: SqliteStore, writer: SqliteWriter, pixel: Link
) -> None:
    for first in range(0, 3 * SOME, SOME):
        store.write_hits(crowd(pixel, first, SOME))
    await writer.settle()
    assert await stored() == list(range(3 * SOME))


async def test_a_hit_that_was_journaled_too_is_a_row_once(store: SqliteStore, pixel: Link) -> None:
    store.write_hits(crowd(pixel))
    with_one_more = crowd(pixel, count=CROWD + 1)
    store.write_hits(with_one_more)
    while store.settle() is not None:
        pass
    assert await stored() == list(range(CROWD + 1))


async def test_two_processes_that_make_rows_of_one_pack_make_them_once(
    store: SqliteStore, path: Path, pixel: Link
) -> None:
    store.write_hits(crowd(pixel, count=200))
    both = [SqliteWriter(path), SqliteWriter(path)]
    await asyncio.gather(*(one.start() for one in both))
    await asyncio.gather(*(one.settle() for one in both))
    await asyncio.gather(*(one.stop() for one in both))
    assert await stored() == list(range(200))


async def test_nothing_is_kept_of_who_opted_out_in_between(store: SqliteStore, pixel: Link) -> None:
    store.write_hits(crowd(pixel))
    await Link.filter(id=pixel.id).update(recording=False)
    store.settle()
    assert await stored() == []
    assert not await Pack.exists()


async def test_hits_are_their_recipients_of_now(store: SqliteStore, pixel: Link) -> None:
    store.write_hits(crowd(pixel))
    bob = await Recipient.create(message_id=pixel.message_id, address="bob@acme.com")
    await Link.filter(id=pixel.id).update(recipient_id=bob.id)
    store.settle()
    assert set(await Hit.all().values_list("recipient_id", flat=True)) == {bob.id}


async def test_a_crowd_with_made_up_tokens_leaves_no_trace(store: SqliteStore, pixel: Link) -> None:
    store.write_hits([raw_hit(f"{number:022d}", number) for number in range(CROWD)])
    assert not await Pack.exists()
    store.write_hits([raw_hit(pixel.token, number, kind="click") for number in range(CROWD)])
    assert not await Pack.exists()


async def test_a_crowd_of_programs_that_nobody_knew_is_one_commit(
    store: SqliteStore, path: Path, pixel: Link
) -> None:
    with closing(sqlite3.connect(path)) as other:
        seen = "SELECT (SELECT count(*) FROM agent), (SELECT count(*) FROM pack)"
        strangers = [raw_hit(pixel.token, number, agent=f"Program/{number}") for number in range(CROWD)]
        broken = raw_hit(pixel.token, CROWD, agent="Program/\ud800")
        with commits(path) as count:
            store.write_hits([*strangers, broken])
        assert count() == 1
        assert other.execute(seen).fetchone() == (CROWD, 1)
        with commits(path) as count:
            store.write_hits(crowd(pixel, 100))
            store.write_hits([raw_hit(pixel.token, 200, agent="Program/3")])
        assert count() == 2
    store.settle()
    assert await stored() == [*range(CROWD + 1), *range(100, 100 + CROWD), 200]


async def test_what_others_change_is_seen_by_the_next_commit(store: SqliteStore, pixel: Link) -> None:
    store.write_hits(crowd(pixel, 0, 1))
    await Link.filter(id=pixel.id).update(recording=False)
    store.write_hits(crowd(pixel, 1, 1))
    await Link.filter(id=pixel.id).update(recording=True)
    store.write_hits(crowd(pixel, 2, 1))
    assert await stored() == [0, 2]


async def test_a_pack_that_cannot_be_read_holds_up_no_other(
    store: SqliteStore, pixel: Link, caplog: pytest.LogCaptureFixture
) -> None:
    await Pack.create(hits="[[", count=3)
    store.write_hits([raw_hit(pixel.token, 0, network="\ud800"), *crowd(pixel, 1)])
    with caplog.at_level(logging.ERROR):
        while store.settle() is not None:
            pass
    assert await stored() == list(range(1, CROWD + 1))
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the hits of pack 1 cannot be read and are dropped",
        "a hit cannot be stored and is dropped",
    ]


async def test_a_locked_database_is_tried_again(
    store: SqliteStore, path: Path, pixel: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.sqlite_store.BUSY_MILLISECONDS", 1)
    monkeypatch.setattr("models.sqlite_writer.RETRY", 0.01)
    store.write_hits(crowd(pixel))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer = SqliteWriter(path)
        await writer.start()
        assert await recorded(writer, raw_hit(pixel.token, CROWD)) is not None
        other.execute("ROLLBACK")
    while len(await stored()) < CROWD:
        await asyncio.sleep(0.005)
    await writer.stop()
    assert await stored() == list(range(CROWD))


async def test_a_backup_made_meanwhile_is_rows_where_it_is_restored(
    store: SqliteStore, path: Path, pixel: Link, postgres_url: str, tmp_path: Path
) -> None:
    store.write_hits(crowd(pixel))
    await backup(DatabaseURL("sqlite", path=path), tmp_path / "saved")
    for url in (parse_database_url(postgres_url), DatabaseURL("sqlite", path=tmp_path / "other.db")):
        await restore(url, tmp_path / "saved")
        async with open_database(url):
            assert await stored() == list(range(CROWD))
            assert await Account.all().count() == 1
            assert not await Pack.exists()
