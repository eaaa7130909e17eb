"""The whole line in one process: real database, writer, tracker over HTTP, judge, courier, and a chat.

`line` starts it around any chat: `async with line(factory, …) as bell`. The clock is the test's; a reader of
a mail comes from an address of their own, through a trusted proxy, as on a hosting platform.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from bot.access import open_claim_code
from bot.chat import Chat
from bot.conversation import Conversation
from bot.deliver import Courier
from models.database import DatabaseURL
from models.postgres_wake import PostgresWake
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import HITS, OUTBOX, Wake
from models.writer import Writer
from tests.conftest import Clock
from tests.flows.browser import chromium
from tracker.hits.journal import Journal
from tracker.hits.judge import Judge
from tracker.hits.record import Recorder
from tracker.services import Services
from tracker.settings import load
from tracker.web.app import build_app
from tracker.web.server import serve

# Three people's browsers, from three networks.
READERS = {
    "203.0.113.7": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/137.0.0.0 Safari/537.36",
    "198.51.100.23": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "192.0.2.99": "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0",
}

ChatFactory = Callable[[Services, Conversation], Chat]


@dataclass
class Bell:
    """A running mailbell in the test's hands."""

    services: Services
    conversation: Conversation
    courier: Courier
    chat: Chat
    clock: Clock
    address: str  # where the web server listens
    claim_code: str

    def pass_time(self, **by: float) -> None:
        """Moves the clock, and wakes whoever sleeps by it."""
        self.clock.advance(**by)
        self.wake_up()

    def wake_up(self) -> None:
        self.services.wake.ring(HITS)
        self.services.wake.ring(OUTBOX)

    async def read(self, url: str, network: str = "203.0.113.7", **headers: str) -> aiohttp.ClientResponse:
        """Somebody with a browser asks for a pixel, a link or a page of ours; the answer, unfollowed."""
        path = urlsplit(url).path
        sent = {"User-Agent": READERS[network], "X-Forwarded-For": network, **headers}
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.address + path, headers=sent, allow_redirects=False) as answer,
        ):
            await answer.read()
            return answer

    async def until(self, holds: Callable[[], Any], seconds: float = 60) -> Any:
        """Waits until `holds()`, for things that no event announces; gives what it gave."""
        async with asyncio.timeout(seconds):
            while not (found := holds()):
                await asyncio.sleep(0.02)
        return found

    async def until_drawn(self, shown: Callable[[], Any]) -> Any:
        """Waits for what a card shows. Cards are edited in steps of the clock, so time passes meanwhile."""

        def look() -> Any:
            if not (found := shown()):
                self.pass_time(seconds=0.25)
            return found

        return await self.until(look)


Line = Callable[..., AbstractAsyncContextManager[Bell]]


async def _writer_for(url: DatabaseURL) -> tuple[Wake, Writer]:
    if url.path is not None:
        return Wake(), SqliteWriter(url.path)
    wake = PostgresWake(url.credentials)
    return wake, PostgresWriter(url.credentials, wake)


@asynccontextmanager
async def running_line(
    folder: Path, clock: Clock, database: DatabaseURL, factory: ChatFactory, **settings: str
) -> AsyncIterator[Bell]:
    """Everything, started around the chat that `factory` makes; `database` is open."""
    data = folder / "data"
    given = {
        "DATA_DIR": str(data),
        "BASE_URL": "https://bell.example",
        "SECRET_KEY": "k" * 40,
        "TRUSTED_PROXIES": "127.0.0.1",
        **settings,
    }
    data.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        wake, writer = await _writer_for(database)
        for part in (wake, writer):
            await part.start()
            stack.push_async_callback(part.stop)
        services = Services(load(given, folder), writer, wake, clock)
        conversation = Conversation(services)
        chat = factory(services, conversation)
        app = build_app(
            services,
            Recorder(services, Journal(data / "journal")),
            chat_health=lambda: {chat.platform: chat.health()},
            more=getattr(chat, "add_routes", None),
        )
        listener = await stack.enter_async_context(serve(app, "127.0.0.1", 0, stop_seconds=2))
        courier = Courier(services, {chat.platform: chat}, call_seconds=3)
        for work in (Judge(services).run(), courier.run()):
            await stack.enter_async_context(_in_background(work))
        await chat.start()
        stack.push_async_callback(chat.stop)
        code = await open_claim_code(services)
        assert code is not None
        address = f"http://127.0.0.1:{listener.port}"
        yield Bell(services, conversation, courier, chat, clock, address, code)


@pytest.fixture
def line(tmp_path: Path, clock: Clock) -> Line:
    """Starts everything: `line(database, chat_factory, NAME=value…)`; the values are settings."""
    return partial(running_line, tmp_path, clock)


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with chromium() as launched:
        yield launched


@asynccontextmanager
async def _in_background(work: Any) -> AsyncIterator[None]:
    """A failure of the judge or the courier fails the test."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
