"""kill -9 under load: every hit that was answered is in the database or the journal, once."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models import Agent, Hit, Link, Pack
from models.database import DatabaseURL, open_database, parse_database_url
from tests import builders
from tests.conftest import Clock
from tracker.hits.journal import read_journal

Running = tuple[asyncio.subprocess.Process, int]
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def tracker_process(url: str, folder: Path, lean: bool = True) -> AsyncIterator[Running]:
    """A tracker of its own, and its port. It is gone at the end, by whatever means."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.processes.tracker_server", url, str(folder), "0", "lean" if lean else "ordinary"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        assert line.startswith(b"ready "), line
        yield process, int(line.split()[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Crowd:
    """Readers that ask again and again, each time as somebody else; knows who was answered."""

    def __init__(self, links: list[Link]) -> None:
        self.paths = [f"/o/{one.token}.gif" if one.kind == "open" else f"/c/{one.token}" for one in links]
        self.answered: list[str] = []
        self._names = (f"reader-{number}" for number in itertools.count())

    async def ask(self, port: int, *, keep: bool) -> None:
        """One reader, until the server is gone. `keep`: one connection for all requests."""
        try:
            while True:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    for _ in range(50 if keep else 1):
                        name = next(self._names)
                        path = random.choice(self.paths)
                        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {name}\r\n\r\n"
                        writer.write(head.encode())
                        answer = await reader.readuntil(b"\r\n\r\n")
                        assert answer[9:12] in (b"200", b"302"), answer
                        if answer[9:12] == b"200":
                            await reader.readexactly(43)
                        self.answered.append(name)
                finally:
                    writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return


async def rounds(url: str, database: DatabaseURL, folder: Path, clock: Clock, count: int) -> None:
    message = await builders.mail(await builders.account("alice", clock()), clock())
    crowd = Crowd(await Link.filter(message=message))
    for number in range(count):
        async with tracker_process(url, folder, lean=number % 3 != 2) as (process, port):
            readers = [asyncio.create_task(crowd.ask(port, keep=one % 2 == 0)) for one in range(24)]
            await asyncio.sleep(random.uniform(0.3, 0.8))
            lock = None
            if database.path is not None and number % 2:  # then what is answered is in the journal
                lock = sqlite3.connect(database.path, isolation_level=None, timeout=5)
                lock.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(random.uniform(0.3, 0.6))
            process.send_signal(signal.SIGKILL)
            await process.wait()
            if lock is not None:
                lock.close()
            await asyncio.gather(*readers)
        await all_there(crowd, folder)
    async with tracker_process(url, folder) as (process, port):
        async with asyncio.timeout(30):
            while list(read_journal(folder / "journal")):
                await asyncio.sleep(0.05)
        process.terminate()
        assert await process.wait() == 0
    assert len(crowd.answered) > 50 * count
    agents = dict(await Agent.all().values_list("id", "text"))
    found = Counter(agents[number] for number in await Hit.all().values_list("agent_id", flat=True))
    assert not set(crowd.answered) - set(found)
    assert max(found.values()) == 1


async def all_there(crowd: Crowd, folder: Path) -> None:
    agents = dict(await Agent.all().values_list("id", "text"))
    found = {agents[number] for number in await Hit.all().values_list("agent_id", flat=True)}
    for pack in await Pack.all():  # a crowd that is no rows yet
        found |= {agents[agent_id] for *_, agent_id, _, _, _, _ in json.loads(pack.hits)}
    found |= {hit.agent for hit in read_journal(folder / "journal")}
    assert not set(crowd.answered) - found


async def test_one_kill_loses_nothing_that_was_answered(
    sqlite_url: str, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> None:
    await rounds(sqlite_url, sqlite_database, tmp_path, clock, 2)


@pytest.mark.long
async def test_ten_kills_on_sqlite_lose_nothing_that_was_answered(
    sqlite_url: str, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> None:
    await rounds(sqlite_url, sqlite_database, tmp_path, clock, 10)


@pytest.mark.long
async def test_three_kills_on_postgres_lose_nothing_that_was_answered(
    postgres_url: str, tmp_path: Path, clock: Clock
) -> None:
    EXECUTOR_CACHE.clear()
    database = parse_database_url(postgres_url)
    async with open_database(database):
        await rounds(postgres_url, database, tmp_path, clock, 3)
