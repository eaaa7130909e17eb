"""The cast of the bot's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.conversation import Conversation
from models.database import DatabaseURL
from models.sqlite_writer import SqliteWriter
from tests.bot import talk
from tests.bot.delivery import Scene, scene_on
from tests.conftest import Clock
from tests.fakes.slack import FakeSlack, running_slack
from tracker.services import Services


@pytest.fixture
async def bot_services(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Services]:
    """With a writer where the test is about SQLite alone; commands themselves write through the models."""
    if "sqlite_database" not in request.fixturenames:
        yield talk.services(tmp_path, clock)
        return
    url: DatabaseURL = request.getfixturevalue("sqlite_database")
    assert url.path is not None
    writer = SqliteWriter(url.path)
    await writer.start()
    yield talk.services(tmp_path, clock, writer)
    await writer.stop()


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


@pytest.fixture
async def scene(database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Scene]:
    """On both engines: delivery is about rows and their order."""
    async with scene_on(database, clock, tmp_path) as built:
        yield built


@pytest.fixture
async def on_sqlite(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Scene]:
    """The same for what has nothing to do with the engine."""
    async with scene_on(sqlite_database, clock, tmp_path) as built:
        yield built


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with running_slack() as one:
        yield one
