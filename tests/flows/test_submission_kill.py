"""kill -9 while mail comes in to be sent: every mail that got its 250 is in the spool, and whole."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from models.database import DatabaseURL, open_database, parse_database_url
from tests import builders
from tests.conftest import Clock
from tests.processes.mailbell import free_port, mailbell
from tests.tracker.sending import Talk, mail, mailbox, trusting
from tracker.sending.spool import Spool


class Writers:
    """People who send mail after mail; knows which of them got a 250."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self._numbers = itertools.count()

    async def write(self, port: int) -> None:
        """One of them, until the server is gone."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
            talk = Talk(reader, writer)
            try:
                await talk.answer()
                answer = await talk.log_in()
                assert answer[:3] in ("235", ""), answer
                while await self._send(talk):
                    pass
            finally:
                writer.transport.abort()

    async def _send(self, talk: Talk) -> bool:
        number = next(self._numbers)
        await talk.begin()
        answer = await talk.say(content(number) + b".")
        if answer.startswith("250"):
            self.taken.add(number)
        assert answer[:3] in ("250", "421", ""), answer
        return answer.startswith("250")


def content(number: int) -> bytes:
    """A mail; every fifth is large enough to be written while it comes in."""
    return mail(number, text="x" * 70 + "\n" + ("y" * 70 + "\n") * (10_000 if number % 5 == 0 else 10))


def spooled(folder: Path) -> dict[int, bytes]:
    """The mails in the spool by their number."""
    spool = Spool(folder / "data" / "spool")
    found = [spool.read(name)[1] for name in spool.names()]
    spool.close()
    numbers = [re.search(rb"Message-ID: <(\d+)@", one) for one in found]
    return {int(number[1]): one for number, one in zip(numbers, found, strict=True) if number}


async def rounds(url: str, folder: Path, clock: Clock, count: int) -> None:
    await mailbox(await builders.account("alice", clock()), clock)  # its provider's port is closed
    port = free_port()
    settings = {"SUBMISSIONS_PORT": str(port), "DATABASE_URL": url, "ALLOW_PRIVATE_UPSTREAM": "true"}
    writers = Writers()
    for _ in range(count):
        async with mailbell(folder, "--json", **settings) as bell:
            await bell.wait_for_error("taking mail to send on")
            async with writing(writers, port):
                await asyncio.sleep(random.uniform(0, 0.3))
                await bell.end(signal.SIGKILL)
        found = spooled(folder)
        assert writers.taken <= set(found)
        assert all(found[number] == content(number) for number in found)
    async with mailbell(folder, "--json", **settings) as bell:
        await bell.wait_for_error("taking mail to send on")
        async with writing(writers, port):
            assert await bell.end() == 0
        assert "Traceback" not in "\n".join(bell.errors)
    assert writers.taken <= set(spooled(folder))


@asynccontextmanager
async def writing(writers: Writers, port: int) -> AsyncIterator[None]:
    """Eight people write; inside the block some of what they wrote has been taken. It ends when they do."""
    before = len(writers.taken)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(writers.write(port))
        while len(writers.taken) < before + 20:
            await asyncio.sleep(0.01)
        yield


async def test_one_kill_loses_nothing_that_got_250(
    sqlite_url: str, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> None:
    await rounds(sqlite_url, tmp_path, clock, 1)


@pytest.mark.long
async def test_ten_kills_lose_nothing_that_got_250(
    sqlite_url: str, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> None:
    await rounds(sqlite_url, tmp_path, clock, 10)


@pytest.mark.long
async def test_three_kills_on_postgres_lose_nothing_that_got_250(
    postgres_url: str, tmp_path: Path, clock: Clock
) -> None:
    async with open_database(parse_database_url(postgres_url)):
        await rounds(postgres_url, tmp_path, clock, 3)
