"""kill -9 while copies come in at the capture port: what got its 250 is understood once, if only later."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import smtplib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from tests.flows.test_bcc import send, written
from tests.processes.mailbell import free_port, mailbell

Query = Callable[[str], Awaitable[list[str]]]
NOTED = "SELECT key FROM captured WHERE state = 'noted'"
SUBJECTS = "SELECT subject FROM message WHERE origin = 'capture'"


async def rounds(folder: Path, count: int, query: Query, **settings: str) -> None:
    """Kills the process so many times; then one that is left alone finishes what the others left."""
    port = free_port()
    numbers, taken = itertools.count(1), set[int]()

    def load(to: str) -> None:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            while True:
                number = next(numbers)
                send(port, to, written("", number=number, subject=f"mail {number}"))
                taken.add(number)

    for _ in range(count):
        async with mailbell(folder, "--json", CAPTURE_PORT=str(port), **settings) as bell:
            await bell.say("capture")
            reply = await bell.wait_for(lambda line: line["kind"] == "reply")
            before = len(taken)
            clients = [
                asyncio.create_task(asyncio.to_thread(load, reply["capture_address"])) for _ in range(6)
            ]
            wanted = before + random.randrange(5, 120)
            async with asyncio.timeout(60):
                while len(taken) < wanted:
                    await asyncio.sleep(0.01)
            await bell.end(signal.SIGKILL)
            await asyncio.gather(*clients)
        there = len(set(await query(SUBJECTS))) + len(await query(NOTED))
        assert there >= len(taken)
    async with mailbell(folder, "--json", CAPTURE_PORT=str(port), **settings) as bell:
        await bell.say("help")
        await bell.wait_for(lambda line: line["kind"] == "reply")
        async with asyncio.timeout(120):
            while await query(NOTED):
                await asyncio.sleep(0.1)
        assert await bell.end() == 0
    subjects = await query(SUBJECTS)
    assert len(subjects) == len(set(subjects))
    assert {f"mail {number}" for number in taken} <= set(subjects)


@pytest.mark.long
async def test_ten_kills_on_sqlite_lose_no_mail_that_got_its_250(tmp_path: Path):
    async def query(sql: str) -> list[str]:
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / "mailbell.db", timeout=10)) as file:
            return [row[0] for row in file.execute(sql)]

    await rounds(tmp_path, 10, query)


@pytest.mark.long
async def test_three_kills_on_postgres_lose_no_mail_that_got_its_250(tmp_path: Path, postgres_url: str):
    connection = await asyncpg.connect(postgres_url)

    async def query(sql: str) -> list[str]:
        return [row[0] for row in await connection.fetch(sql)]

    try:
        await rounds(tmp_path, 3, query, DATABASE_URL=postgres_url)
    finally:
        await connection.close()
