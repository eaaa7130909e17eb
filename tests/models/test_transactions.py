"""Whoever hangs up, whatever fails: the database stays usable."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

import asyncpg
import pytest
from tortoise import connections
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.exceptions import IntegrityError, OperationalError
from tortoise.transactions import in_transaction

from models import Account, InstanceState
from models.database import DatabaseURL, atomically, open_database, parse_database_url
from tests.models.every_table import MOMENT

SECONDS = 20
_calls = itertools.count(1)


async def _write() -> None:
    await Account.create(name="bob", created_at=MOMENT)
    await Account.filter(name="bob").count()


async def _read() -> None:
    await Account.filter(name="alice").first()


async def _in_the_librarys_way() -> None:
    async with in_transaction():
        await _write()


async def _fetch_or_make() -> None:
    await InstanceState.get_or_create(key=f"k{random.randrange(50)}", defaults={"value": "v"})


async def _in_bulk() -> None:
    await Account.bulk_create([Account(name="many", created_at=MOMENT) for _ in range(5)])


async def _inside_atomically() -> None:
    await atomically(_write)


WAYS: tuple[Callable[[], Awaitable[None]], ...] = (
    _inside_atomically,
    _read,
    _in_the_librarys_way,
    _fetch_or_make,
    _in_bulk,
)


async def _cancel_at_random(rounds: int, seed: int) -> None:
    """Cancels calls at any of their steps, several at once, some of them twice."""
    dice = random.Random(seed)
    for _ in range(rounds // 4):
        tasks = [asyncio.ensure_future(dice.choice(WAYS)()) for _ in range(4)]
        for task in dice.sample(tasks, 4):
            for _ in range(dice.choice((0, 0, 1, 2, 3, 5, 8, 13))):
                await asyncio.sleep(0)
            if dice.random() < 0.3:
                await asyncio.sleep(dice.random() * 0.002)
            task.cancel()
            if dice.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SECONDS)


async def _works() -> None:
    """Many at once get through: no lock is held, no connection of the pool is lost."""
    name = f"works {next(_calls)}"  # what was cancelled may still be finishing, and counts as bob

    async def write() -> None:
        await Account.create(name=name, created_at=MOMENT)

    await asyncio.wait_for(asyncio.gather(*(atomically(write) for _ in range(20))), SECONDS)
    assert await Account.filter(name=name).count() == 20
    await asyncio.wait_for(asyncio.gather(*(way() for way in WAYS)), SECONDS)


async def test_cancelled_callers_leave_the_database_usable(database):
    await _cancel_at_random(300, seed=1)
    await _works()


@pytest.mark.long
async def test_ten_thousand_cancelled_callers_leave_the_database_usable(database):
    await _cancel_at_random(10_000, seed=2)
    await _works()


async def test_what_was_begun_for_a_caller_is_done_when_the_caller_is_gone(database):
    began, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        await go_on.wait()
        await Account.create(name="carol", created_at=MOMENT)

    caller = asyncio.create_task(atomically(work))
    await began.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not await _exists_soon("carol", at_once=database.is_sqlite is False)
    go_on.set()
    await atomically(_write)
    async with asyncio.timeout(SECONDS):  # on PostgreSQL the other connection may be first
        while not await Account.filter(name="carol").exists():
            await asyncio.sleep(0.01)


async def _exists_soon(name: str, at_once: bool = True) -> bool:
    """On SQLite a reader waits for the transaction: there is nothing to see before its end."""
    return at_once and await Account.filter(name=name).exists()


async def test_closing_waits_for_transactions_under_way(database_url: str):
    EXECUTOR_CACHE.clear()
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        for _ in range(20):
            await Account.create(name="last", created_at=MOMENT)

    async with open_database(parse_database_url(database_url)):
        caller = asyncio.create_task(atomically(work))
        await began.wait()
        caller.cancel()
    async with open_database(parse_database_url(database_url)):
        assert await Account.filter(name="last").count() == 20


async def test_a_failing_transaction_leaves_nothing_and_the_next_one_works(database):
    async def fails() -> None:
        await InstanceState.create(key="one", value="1")
        await InstanceState.create(key="one", value="2")

    with pytest.raises(IntegrityError):
        await atomically(fails)
    assert not await InstanceState.all().exists()
    await _works()


async def test_a_transaction_within_a_transaction_is_one(database):
    async def inner() -> None:
        await InstanceState.create(key="inner", value="")

    async def outer() -> None:
        await atomically(inner)
        raise LookupError("changed my mind")

    with pytest.raises(LookupError):
        await atomically(outer)
    assert not await InstanceState.all().exists()
    await _works()


async def test_a_lock_held_outside_costs_one_call_and_nothing_after(sqlite_url: str, monkeypatch):
    monkeypatch.setattr("models.database.BUSY_MILLISECONDS", 100)
    url = parse_database_url(sqlite_url)
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        with closing(sqlite3.connect(url.path, isolation_level=None)) as outside:
            outside.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                with pytest.raises(OperationalError, match="locked"):
                    await asyncio.wait_for(atomically(_write), SECONDS)
                with pytest.raises(OperationalError, match="locked"):
                    async with in_transaction():
                        raise AssertionError("it must not get here")
            # The context is the ordinary connection again: a reader is not sent into a dead transaction.
            assert await asyncio.wait_for(Account.all().count(), SECONDS) == 0
            assert type(connections.get("default")).__name__ == "ImmediateSqliteClient"
            outside.execute("ROLLBACK")
        await _works()


async def test_a_commit_that_fails_leaves_no_transaction_open(sqlite_database: DatabaseURL):
    """As on a full disk: deferred foreign keys make a COMMIT fail just so."""
    connection = connections.get("default")

    async def work() -> None:
        await connections.get("default").execute_query("PRAGMA defer_foreign_keys=ON")
        await connections.get("default").execute_query(
            "INSERT INTO identity (account_id, platform, user_id, created_at) VALUES (999, 'slack', 'U', 0)"
        )

    with pytest.raises(IntegrityError):
        await atomically(work)
    assert connection._connection.in_transaction is False
    await _works()


async def _end_all_connections(url: DatabaseURL) -> None:
    outside = await asyncpg.connect(**url.credentials)
    await outside.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await outside.close()


async def test_a_postgres_that_restarts_is_used_again(postgres_url: str):
    """More often than the pool has connections, idle ones and those in a transaction."""
    url = parse_database_url(postgres_url)
    EXECUTOR_CACHE.clear()
    async with open_database(url):

        async def interrupted() -> None:
            await _write()
            await _end_all_connections(url)
            await _write()

        for _ in range(8):
            told = asyncio.gather(atomically(interrupted), return_exceptions=True)
            (error,) = await asyncio.wait_for(told, SECONDS)
            assert isinstance(error, Exception)  # the driver has several words for it
            await _end_all_connections(url)
            await asyncio.wait_for(
                asyncio.gather(*(atomically(_write) for _ in range(6)), return_exceptions=True), SECONDS
            )
        await _works()


async def test_a_begin_that_fails_gives_its_connection_back(postgres_url: str, monkeypatch):
    url = parse_database_url(postgres_url)
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        from tortoise.backends.asyncpg.client import TransactionWrapper

        async def refuse(self: object) -> None:
            raise OSError("no")

        with monkeypatch.context() as patched:
            patched.setattr(TransactionWrapper, "begin", refuse)
            for _ in range(12):
                with pytest.raises(OSError, match="no"):
                    await asyncio.wait_for(atomically(_write), SECONDS)
        await _works()


async def test_a_query_on_postgres_is_the_last_thing_its_connection_asked(postgres_url: str):
    """Nothing follows it that would cost another way to the server."""
    url = parse_database_url(postgres_url)
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        await Account.all().count()
        outside = await asyncpg.connect(**url.credentials)
        asked = await outside.fetch(
            "SELECT query FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND query <> ''"
        )
        await outside.close()
    assert [one["query"] for one in asked] == ['SELECT COUNT(*) FROM "account"']
