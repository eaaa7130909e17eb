"""The cast of the bot's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.conversation import Conversation
from models.database import DatabaseURL
from tests.bot import talk
from tests.conftest import Clock
from tracker.services import Services


@pytest.fixture
def bot_services(tmp_path: Path, clock: Clock) -> Services:
    return talk.services(tmp_path, clock)


@pytest.fixture
def conversation(bot_services: Services) -> Conversation:
    return Conversation(bot_services)


@pytest.fixture
async def alice(sqlite_database: DatabaseURL, conversation: Conversation, clock: Clock) -> talk.Person:
    return await talk.join(talk.Person(conversation, "alice"), clock, owner=True)


@pytest.fixture
async def bob(sqlite_database: DatabaseURL, conversation: Conversation, clock: Clock) -> talk.Person:
    return await talk.join(talk.Person(conversation, "bob"), clock)


@pytest.fixture
async def charlie(sqlite_database: DatabaseURL, conversation: Conversation) -> talk.Person:
    return talk.Person(conversation, "charlie")
