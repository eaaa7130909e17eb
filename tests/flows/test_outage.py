"""The database locked, stopped, or without a disk, then free again: nobody waits, nothing is lost."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiohttp import ClientSession
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models import Agent, Hit, Link
from models.database import DatabaseURL, open_database, parse_database_url
from tests import builders
from tests.conftest import Clock
from tests.flows.test_kill import tracker_process


class Readers:
    """Open a pixel twenty times a second, and note how long each answer took."""

    def __init__(self, port: int, path: str) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.path = path
        self.took: list[float] = []
        self.names: list[str] = []
        self.health: list[dict[str, Any]] = []

    async def open(self, client: ClientSession) -> None:
        name = f"reader-{len(self.names)}"
        self.names.append(name)
        started = time.monotonic()
        async with client.get(self.base + self.path, headers={"User-Agent": name}) as answer:
            assert answer.status == 200
            assert len(await answer.read()) == 43
        self.took.append(time.monotonic() - started)

    async def look(self, client: ClientSession) -> dict[str, Any]:
        async with client.get(self.base + "/healthz") as answer:
            assert answer.status == 200
            report: dict[str, Any] = await answer.json()
        self.health.append(report)
        return report

    async def keep_opening(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        async with ClientSession() as client:
            while time.monotonic() < until:
                await asyncio.gather(*(self.open(client) for _ in range(5)))
                await self.look(client)
                await asyncio.sleep(0.2)

    async def recovered(self) -> None:
        async with asyncio.timeout(30), ClientSession() as client:
            while (await self.look(client))["status"] != "ok":
                await asyncio.sleep(0.1)


async def outage(
    readers: Readers, begin: Callable[[], None], end: Callable[[], None], seconds: float
) -> None:
    """Readers before, during and after what `begin` and `end` do; all are answered in time."""
    await readers.keep_opening(1)
    assert readers.health[-1]["status"] == "ok"
    begin()
    try:
        await readers.keep_opening(seconds)
        worst = readers.health[-1]
        assert worst["status"] == "degraded"
        assert worst["journal"] > 0
        assert worst["hits_lost"] == 0
    finally:
        end()
    await readers.recovered()
    await readers.keep_opening(1)
    assert readers.health[-1] == {**readers.health[-1], "status": "ok", "journal": 0, "hits_lost": 0}
    assert max(readers.took) < 0.5


async def all_stored_in_order(readers: Readers) -> None:
    """Each once. Five arrive together: their order is free, that of the fives is not."""
    agents = dict(await Agent.all().values_list("id", "text"))
    found = [agents[number] for number in await Hit.all().order_by("id").values_list("agent_id", flat=True)]
    assert sorted(found) == sorted(readers.names)
    fives = [readers.names.index(name) // 5 for name in found]
    late = sum(1 for before, after in pairwise(fives) if after < before)
    assert late <= 2  # hits under way when the outage began may be committed after it, before the journal's


async def pixel_of_a_mail(clock: Clock) -> str:
    message = await builders.mail(await builders.account("alice", clock()), clock())
    return f"/o/{(await Link.get(message=message, kind='open')).token}.gif"


async def locked(url: str, database: DatabaseURL, folder: Path, clock: Clock, seconds: float) -> None:
    assert database.path is not None
    pixel = await pixel_of_a_mail(clock)
    lock = sqlite3.connect(database.path, isolation_level=None, timeout=5)
    async with tracker_process(url, folder) as (_, port):
        readers = Readers(port, pixel)
        await outage(
            readers,
            lambda: void(lock.execute("BEGIN IMMEDIATE")),
            lambda: void(lock.execute("ROLLBACK")),
            seconds,
        )
    lock.close()
    await all_stored_in_order(readers)


def void(_: object) -> None: ...


async def test_a_lock_of_two_seconds_is_not_noticed_by_readers(
    sqlite_url: str, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> None:
    await locked(sqlite_url, sqlite_database, tmp_path, clock, 2)


@pytest.mark.long
async def test_a_lock_of_ten_seconds_is_not_noticed_by_readers(
    sqlite_url: str, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> None:
    await locked(sqlite_url, sqlite_database, tmp_path, clock, 10)


async def stopped(server: str, url: str, folder: Path, clock: Clock, seconds: float) -> None:
    """Every process of the server is stopped: connections hang, new ones too."""
    connection = await asyncpg.connect(server)
    postmaster = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).parent()
    await connection.close()
    assert postmaster is not None
    pixel = await pixel_of_a_mail(clock)
    halted: list[psutil.Process] = []

    def halt() -> None:
        halted.extend([postmaster, *postmaster.children(recursive=True)])
        for process in halted:
            process.suspend()

    def go_on() -> None:
        for process in reversed(halted):
            process.resume()

    async with tracker_process(url, folder) as (_, port):
        readers = Readers(port, pixel)
        await outage(readers, halt, go_on, seconds)
    await all_stored_in_order(readers)


async def test_postgres_stopped_for_three_seconds_is_not_noticed_by_readers(
    postgres_server: str, postgres_url: str, tmp_path: Path, clock: Clock
) -> None:
    EXECUTOR_CACHE.clear()
    async with open_database(parse_database_url(postgres_url)):
        await stopped(postgres_server, postgres_url, tmp_path, clock, 3)


@pytest.mark.long
async def test_postgres_stopped_for_thirty_seconds_is_not_noticed_by_readers(
    postgres_server: str, postgres_url: str, tmp_path: Path, clock: Clock
) -> None:
    EXECUTOR_CACHE.clear()
    async with open_database(parse_database_url(postgres_url)):
        await stopped(postgres_server, postgres_url, tmp_path, clock, 30)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a full disk is tested where a small disk can be mounted (as root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_is_not_noticed_by_readers(sqlite_url: str, tmp_path: Path, clock: Clock) -> None:
    with small_disk(tmp_path / "disk") as disk:
        file = disk / "mailbell.db"
        shutil.copy(sqlite_url.removeprefix("sqlite:///"), file)
        url = f"sqlite:///{file}"
        filler = disk / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as stuffing, suppress(OSError):
                while True:
                    stuffing.write(bytes(4096))

        EXECUTOR_CACHE.clear()
        async with open_database(parse_database_url(url)):
            pixel = await pixel_of_a_mail(clock)
            async with tracker_process(url, disk) as (_, port):
                readers = Readers(port, pixel)
                await outage(readers, fill, filler.unlink, 4)
            await all_stored_in_order(readers)
