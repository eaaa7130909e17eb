"""Parts of the Telegram tests: a chat that talks with the fake Bot API, and a scripted conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.chat import Incoming, Place, Reply
from bot.conversation import Conversation
from bot.telegram import TelegramChat
from models.database import DatabaseURL
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Writer
from tests.conftest import Clock
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.fakes.telegram_people import Person
from tracker.services import Services
from tracker.settings import load

ALICE, BOB, CHARLIE = Person(11, "alice"), Person(12, "bob"), Person(13, "charlie")
SECRET = "s3cret-of-the_webhook"

Answer = Callable[[Incoming], Awaitable[Reply | None]]


class Script:
    """A conversation that notes what it heard and answers what the test says."""

    def __init__(self) -> None:
        self.heard: list[Incoming] = []
        self.answer: Answer = self._echo

    async def _echo(self, incoming: Incoming) -> Reply | None:
        return Reply(title=f"you said: {incoming.text}", private=False)

    async def handle(self, incoming: Incoming) -> Reply | None:
        self.heard.append(incoming)
        return await self.answer(incoming)

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.heard]


def services(
    fake: FakeTelegram, folder: Path, clock: Clock, writer: Writer | None = None, **more: str
) -> Services:
    settings = {
        "DATA_DIR": str(folder), "SECRET_KEY": "k" * 40, "BASE_URL": "http://127.0.0.1:8080",
        "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": fake.url, **more,
    }  # fmt: skip
    return Services(load(settings, folder), writer=cast(Writer, writer), wake=Wake(), now=clock)


def build(given: Services, script: Script, **more: Any) -> TelegramChat:
    return TelegramChat(given, cast(Conversation, script), **{"hold": 1, **more})


def place(of: Person) -> Place:
    return Place("telegram", str(of.id))


@asynccontextmanager
async def sqlite_writer(url: DatabaseURL) -> AsyncIterator[Writer]:
    assert url.path is not None
    writer = SqliteWriter(url.path)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


@asynccontextmanager
async def web_role(
    fake: FakeTelegram, folder: Path, clock: Clock, script: Script
) -> AsyncIterator[TelegramChat]:
    """A chat with its webhook route on a real server; Telegram (the fake) is told of it at start."""
    server = TestServer(web.Application())
    await server.start_server()
    port = server.port
    await server.close()
    url = f"http://127.0.0.1:{port}"
    given = services(fake, folder, clock, BASE_URL=url, TELEGRAM_WEBHOOK_SECRET=SECRET)
    chat = build(given, script)
    app = web.Application()
    chat.add_routes(app)
    server = TestServer(app, port=port)
    await server.start_server()
    await chat.start()
    try:
        await fake.wait_for(lambda: fake.webhook)
        yield chat
    finally:
        await chat.stop()
        await server.close()


@asynccontextmanager
async def running_telegram() -> AsyncIterator[FakeTelegram]:
    """A Telegram that at the end has nothing to complain about."""
    async with FakeTelegram().serve() as server:
        yield server
        assert server.complaints == []


@asynccontextmanager
async def polling(
    fake: FakeTelegram, folder: Path, clock: Clock, script: Script, writer: Writer | None = None
) -> AsyncIterator[TelegramChat]:
    """A chat that polls the fake."""
    chat = build(services(fake, folder, clock, writer), script)
    await chat.start()
    try:
        yield chat
    finally:
        await chat.stop()


def shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure the next try comes at once."""
    for name in ("polling._FIRST_PAUSE", "polling._CONFLICT_PAUSE", "connection._FIRST_PAUSE"):
        monkeypatch.setattr(f"bot.telegram.{name}", 0.01)
