"""A fake Telegram, a scripted conversation, and chats that poll it or are called by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from bot.telegram import TelegramChat
from models.database import DatabaseURL
from tests.bot.telegram import parts
from tests.conftest import Clock
from tests.fakes.telegram import FakeTelegram

Polled = Callable[..., AbstractAsyncContextManager[TelegramChat]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    async with parts.running_telegram() as server:
        yield server


@pytest.fixture
def script() -> parts.Script:
    return parts.Script()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    parts.shorten_pauses(monkeypatch)


@pytest.fixture
def polled(
    fake: FakeTelegram,
    script: parts.Script,
    tmp_path: Path,
    clock: Clock,
    sqlite_database: DatabaseURL,
    short_pauses: None,
) -> Polled:
    """Starts a chat that polls: `async with polled() as chat`."""
    return partial(parts.polling, fake, tmp_path, clock, script)


@pytest.fixture
async def polling_chat(polled: Polled) -> AsyncIterator[TelegramChat]:
    async with polled() as chat:
        yield chat


@pytest.fixture
async def webhook_chat(
    fake: FakeTelegram,
    script: parts.Script,
    tmp_path: Path,
    clock: Clock,
    sqlite_database: DatabaseURL,
    short_pauses: None,
) -> AsyncIterator[TelegramChat]:
    async with parts.web_role(fake, tmp_path, clock, script) as chat:
        yield chat
