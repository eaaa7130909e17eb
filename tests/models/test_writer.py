"""The writer's promises, on both engines: stored once, told after the commit, and back by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import asyncpg
import pytest

from models import Agent, Hit, Link, postgres_writer
from models.database import DatabaseURL, parse_database_url
from models.postgres_bulk import translate
from models.postgres_wake import PostgresWake
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import HITS, Wake
from models.writer import Statement, Writer, WriterDownError, agent_id
from tests import builders
from tests.conftest import Clock
from tests.tracker.running import raw_hit, recorded, writer_for

_SET = "INSERT INTO instance_state (key, value) VALUES (?, ?)"


@pytest.fixture
async def writer(database: DatabaseURL) -> AsyncIterator[Writer]:
    one = writer_for(database)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def links(database: DatabaseURL, clock: Clock) -> list[Link]:
    """Pixel and link of a mail to ana."""
    message = await builders.mail(await builders.account("alice", clock()), clock())
    return await Link.filter(message=message).order_by("position")


async def test_a_hit_is_stored_with_all_its_facts(writer: Writer, links: list[Link]) -> None:
    hit = raw_hit(links[0].token, 1, purpose="prefetch", network_label="x", headers='{"accept":"*/*"}')
    assert await recorded(writer, hit) is None
    stored = await Hit.get()
    assert (stored.uid, stored.kind, stored.method, stored.purpose) == (hit.uid, "open", "GET", "prefetch")
    assert (stored.link_id, stored.message_id) == (links[0].id, links[0].message_id)
    assert stored.recipient_id == links[0].recipient_id
    assert stored.recipient_id is not None
    assert (stored.network, stored.network_label, stored.device) == (hit.network, "x", hit.device)
    assert stored.headers == {"accept": "*/*"}
    assert stored.judged_at is None
    assert hit.agent is not None
    assert (await Agent.get(id=stored.agent_id)).text == hit.agent
    assert stored.agent_id == agent_id(hit.agent)


async def test_a_hit_replayed_is_stored_once(writer: Writer, links: list[Link]) -> None:
    hit = raw_hit(links[0].token, 1)
    assert await recorded(writer, hit) is None
    assert await recorded(writer, hit) is None
    await writer.record_many([hit, raw_hit(links[0].token, 2), hit])
    assert await Hit.all().order_by("id").values_list("uid", flat=True) == [f"{1:032x}", f"{2:032x}"]


async def test_what_is_no_hit_of_ours_falls_out_silently(writer: Writer, links: list[Link]) -> None:
    await Link.filter(id=links[1].id).update(recording=False)
    assert await recorded(writer, raw_hit("x" * 22, 1)) is None  # unknown
    assert await recorded(writer, raw_hit(links[1].token, 2)) is None  # opted out
    assert await recorded(writer, raw_hit(links[0].token, 3, kind="click")) is None  # a pixel is no link
    await writer.record_many([raw_hit("y" * 22, 4), raw_hit(links[0].token, 5, kind="open")])
    assert await Hit.all().values_list("uid", flat=True) == [f"{5:032x}"]


async def test_hits_are_stored_in_order_of_arrival_whatever_the_batches(
    writer: Writer, links: list[Link]
) -> None:
    """523 hits make chunks of every size; a slow commit makes batches of any length."""
    told: list[Exception | None] = []
    for number in range(523):
        writer.record(raw_hit(links[number % 2].token, number), told.append)
        if number % 50 == 0:
            await asyncio.sleep(0.001)
    while len(told) < 523:
        await asyncio.sleep(0)
    assert set(told) == {None}
    await writer.settle()
    uids = await Hit.all().order_by("id").values_list("uid", flat=True)
    assert uids == [f"{number:032x}" for number in range(523)]
    assert writer.queued == 0


async def test_a_hit_is_in_the_database_when_its_answer_may_go_out(writer: Writer, links: list[Link]) -> None:
    for number in range(5):
        assert await recorded(writer, raw_hit(links[0].token, number)) is None
        rows = await writer.fetch("SELECT count(*) FROM hit WHERE kind = ?", ("open",))
        assert rows == [(number + 1,)]


async def test_a_row_that_cannot_be_stored_harms_no_other(writer: Writer, links: list[Link]) -> None:
    """Facts are cleaned at arrival; should one get through, it takes nothing along."""
    broken = raw_hit(links[0].token, 1, network="\ud800")
    answers = await asyncio.gather(
        *(recorded(writer, one) for one in (raw_hit(links[0].token, 0), broken, raw_hit(links[0].token, 2)))
    )
    assert answers == [None, None, None]
    await writer.record_many([raw_hit(links[0].token, 3), broken])
    assert await Hit.all().order_by("id").values_list("at", flat=True)
    assert await Hit.all().count() == 3


async def test_statements_tell_how_many_rows_each_changed(writer: Writer, database: DatabaseURL) -> None:
    changed = await writer.apply(
        [
            Statement(_SET, [("a", "1"), ("b", "what?"), ("c", "3")]),
            Statement("UPDATE instance_state SET value = ? WHERE key = ?", [("x", "a"), ("y", "nobody")]),
            Statement("DELETE FROM instance_state WHERE value <> '?' AND key IN (?, ?)", [("a", "b")]),
        ]
    )
    assert changed == [3, 1, 2]
    assert await writer.fetch("SELECT key, value FROM instance_state") == [("c", "3")]


async def test_many_rows_together_do_what_they_do_one_by_one(writer: Writer, links: list[Link]) -> None:
    """Numbers, texts, JSON and nothing; rows that are there already, rows that are not there."""
    await writer.record_many([raw_hit(links[0].token, number) for number in range(1, 10)])
    ids = [row[0] for row in await writer.fetch("SELECT id FROM hit ORDER BY id")]
    verdict = (
        "UPDATE hit SET verdict = ?, ordinal = ?, details = ?, judged_at = ? WHERE id = ? AND kind = 'open'"
    )
    keep = f"{_SET} ON CONFLICT (key) DO UPDATE SET value = 'again: ' || excluded.value"
    named = "INSERT INTO stale (account_id, message_id) VALUES (?, 7)"
    rows = [("human", n, '{"it\'s": "?"}', n, id_) for n, id_ in enumerate([*ids[:7], 10**9])]
    seen = []
    for bulk in (False, True):
        await writer.apply(
            [Statement("UPDATE hit SET verdict = NULL", [()]), Statement(_SET, [("a", "old")])]
        )
        changed = await writer.apply(
            [
                Statement(verdict, [*rows, ("bot", None, None, None, ids[7])], bulk),
                Statement(keep, [(key, "new") for key in "abcde"], bulk),
                Statement(named, [(number,) for number in range(5)], bulk),
            ]
        )
        tables = [
            await writer.fetch(sql)
            for sql in (
                "SELECT verdict, ordinal, CAST(details AS TEXT), judged_at FROM hit ORDER BY id",
                "SELECT key, value FROM instance_state ORDER BY key",
                "SELECT account_id, message_id FROM stale ORDER BY account_id",
            )
        ]
        seen.append((changed, tables))
        await writer.apply(
            [Statement("DELETE FROM instance_state", [()]), Statement("DELETE FROM stale", [()])]
        )
    assert seen[0] == seen[1]
    assert seen[0][0] == [8, 5, 5]


async def test_a_wrong_statement_fails_alone_and_as_itself(writer: Writer, links: list[Link]) -> None:
    wrong = writer.apply([Statement(_SET, [("a", "1")]), Statement(_SET, [("b", "2"), ("b", "3")])])
    right = writer.apply([Statement(_SET, [("c", "4")])])
    hit = recorded(writer, raw_hit(links[0].token, 1))
    results = await asyncio.gather(wrong, right, hit, return_exceptions=True)
    assert isinstance(results[0], sqlite3.IntegrityError | asyncpg.IntegrityConstraintViolationError)
    assert results[1:] == [[1], None]
    assert await writer.fetch("SELECT key FROM instance_state") == [("c",)]
    with pytest.raises((sqlite3.OperationalError, asyncpg.UndefinedTableError)):
        await writer.apply([Statement("DELETE FROM nothing WHERE a = ?", [(1,)])])


async def test_foreign_keys_hold_for_statements(writer: Writer, database: DatabaseURL) -> None:
    sql = "INSERT INTO own_device (account_id, device, source, seen_at) VALUES (?, ?, ?, ?)"
    orphan = Statement(sql, [(99, "d", "told", 1)])
    with pytest.raises((sqlite3.IntegrityError, asyncpg.ForeignKeyViolationError)):
        await writer.apply([orphan])


async def test_the_database_stays_usable_when_callers_vanish(writer: Writer, links: list[Link]) -> None:
    """A thousand callers, cancelled at any moment: each statement is stored whole or not at all."""
    tasks = []
    for number in range(1000):
        statement = Statement(_SET, [(f"{number}a", "1"), (f"{number}b", "2")])
        tasks.append(asyncio.create_task(writer.apply([statement])))
        if number % 7 == 0:
            await asyncio.sleep(0)
        if number % 3 == 0:
            tasks[-1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await writer.apply([Statement(_SET, [("last", "1")])]) == [1]
    halves = await writer.fetch("SELECT count(*) FROM instance_state WHERE key <> ?", ("last",))
    assert halves[0][0] % 2 == 0
    assert halves[0][0] >= 1300


async def test_stopping_commits_what_is_queued(database: DatabaseURL, links: list[Link]) -> None:
    writer = writer_for(database)
    await writer.start()
    told: list[Exception | None] = []
    for number in range(300):
        writer.record(raw_hit(links[0].token, number), told.append)
    await writer.stop()
    await asyncio.sleep(0)
    assert told == [None] * 300
    assert await Hit.all().count() == 300
    with pytest.raises(WriterDownError):
        await writer.apply([Statement(_SET, [("late", "1")])])


async def test_a_full_queue_refuses_at_once(sqlite_database: DatabaseURL) -> None:
    assert sqlite_database.path is not None
    writer = SqliteWriter(sqlite_database.path, limit=10)
    await writer.start()
    lock = sqlite3.connect(sqlite_database.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        told: list[Exception | None] = []
        for number in range(12):
            writer.record(raw_hit("x" * 22, number), told.append)
        assert [type(one) for one in told] == [WriterDownError, WriterDownError]
    finally:
        lock.close()
        await writer.stop()


async def test_a_locked_database_is_told_and_forgotten_once_it_is_free(
    sqlite_database: DatabaseURL, clock: Clock
) -> None:
    assert sqlite_database.path is not None
    message = await builders.mail(await builders.account("alice", clock()), clock())
    token = (await Link.filter(message=message, kind="open").get()).token
    writer = SqliteWriter(sqlite_database.path)
    await writer.start()
    lock = sqlite3.connect(sqlite_database.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    try:
        assert isinstance(await recorded(writer, raw_hit(token, 1)), WriterDownError)
        with pytest.raises(WriterDownError):
            await writer.apply([Statement(_SET, [("a", "1")])])
        assert time.monotonic() - started < 4
        assert await writer.fetch("SELECT count(*) FROM hit") == [(0,)]  # readers are never locked out
        lock.execute("ROLLBACK")
        assert await recorded(writer, raw_hit(token, 2)) is None
        assert await writer.apply([Statement(_SET, [("a", "1")])]) == [1]
    finally:
        lock.close()
        await writer.stop()
    assert await Hit.all().count() == 1


async def test_the_wal_is_emptied_when_nothing_happens(sqlite_database: DatabaseURL, clock: Clock) -> None:
    assert sqlite_database.path is not None
    writer = SqliteWriter(sqlite_database.path)
    await writer.start()
    wal = sqlite_database.path.with_name(sqlite_database.path.name + "-wal")
    try:
        await writer.apply([Statement(_SET, [(f"{number}", "x" * 2000) for number in range(500)])])
        assert wal.stat().st_size > 500_000
        async with asyncio.timeout(10):
            while wal.stat().st_size:
                await asyncio.sleep(0.05)
    finally:
        await writer.stop()


async def test_postgres_is_found_again_after_its_connections_were_cut(
    postgres_url: str, postgres_server: str
) -> None:
    wake = Wake()
    writer = PostgresWriter(parse_database_url(postgres_url).credentials, wake)
    await writer.start()
    try:
        assert await recorded(writer, raw_hit("x" * 22, 1)) is None
        assert await wake.wait(HITS, 1)
        await writer.apply([Statement(_SET, [("a", "1")])])
        other = await asyncpg.connect(postgres_server)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'"
        )
        await other.close()
        outcomes = []
        async with asyncio.timeout(10):
            while True:
                outcomes.append(await recorded(writer, raw_hit("x" * 22, 2)))
                if outcomes[-1] is None:
                    break
                await asyncio.sleep(0.05)
        with suppress(WriterDownError):
            await writer.apply([Statement(_SET, [("b", "1")])])
        assert await writer.apply([Statement(_SET, [("c", "1")])]) == [1]
    finally:
        await writer.stop()


@contextmanager
def hanging_up(server: str) -> Iterator[None]:
    """Meanwhile the server cuts all connections of our databases, again and again, at any moment."""
    done = threading.Event()
    name = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'"

    async def cut() -> None:
        connection = await asyncpg.connect(server)
        while not done.is_set():
            await connection.execute(name)
            await asyncio.sleep(0.011)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(cut()))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("pause", [0.0, 0.007], ids=["busy", "now and then idle"])
async def test_a_connection_that_postgres_cut_is_the_databases_fault_and_made_anew(
    postgres_url: str, postgres_server: str, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut just before a statement, the driver calls it a fault of ours: "cannot switch to state"."""
    monkeypatch.setattr(postgres_writer, "_BACK_OFF", 0.0)
    writer = PostgresWriter(parse_database_url(postgres_url).credentials, Wake())
    await writer.start()
    stored, down = 0, 0
    try:
        with hanging_up(postgres_server):
            until = time.monotonic() + 3
            while time.monotonic() < until:
                try:
                    rows = [(f"{stored + down}-{number}", "1") for number in range(3)]
                    await writer.apply([Statement(_SET, rows[:2]), Statement(_SET, rows[2:])])
                    stored += 1
                    await writer.fetch("SELECT 1")
                except WriterDownError:
                    down += 1
                await asyncio.sleep(pause)
        assert stored > 10
        assert down > 10
        for attempt in ("last", "very last"):  # the newest connection may have been cut
            with suppress(WriterDownError):
                await writer.apply([Statement(_SET, [(attempt, "1")])])
            outcome = await recorded(writer, raw_hit("x" * 22, 1))
        assert outcome is None
        assert await writer.fetch("SELECT value FROM instance_state WHERE key = ?", ["very last"]) == [("1",)]
    finally:
        await writer.stop()


async def test_wake_ups_are_heard_again_after_their_connections_were_cut(
    postgres_url: str, postgres_server: str
) -> None:
    credentials = parse_database_url(postgres_url).credentials
    here, there = PostgresWake(credentials), PostgresWake(credentials)
    for wake in (here, there):
        await wake.start()
    try:
        with hanging_up(postgres_server):
            until = time.monotonic() + 1
            while time.monotonic() < until:
                here.ring(HITS)
                await asyncio.sleep(0.001)
        while await there.wait(HITS, 3.5):  # it rings when it listens again
            pass
        here.ring(HITS)
        assert await there.wait(HITS, 10)
    finally:
        for wake in (here, there):
            await wake.stop()


def test_placeholders_are_translated_outside_quotes_only() -> None:
    assert translate("SELECT ? FROM a WHERE b = '?' AND c = ?") == "SELECT $1 FROM a WHERE b = '?' AND c = $2"
