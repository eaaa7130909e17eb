"""A desk of Alice, on SQLite where the engine makes no difference, or on both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.database import DatabaseURL
from models.wake import Wake
from tests.conftest import Clock
from tests.tracker.judging import make_writer
from tests.tracker.reminders.desk import Desk
from tracker.services import Services
from tracker.settings import Settings


async def _desk(url: DatabaseURL, clock: Clock) -> AsyncIterator[Desk]:
    writer = make_writer(url)
    await writer.start()
    services = Services(
        Settings(secret_key="0123456789abcdef", data_dir=Path("unused")), writer, Wake(), clock
    )
    found = Desk(services, clock)
    await found.open()
    yield found
    await writer.stop()


@pytest.fixture
async def desk(sqlite_database: DatabaseURL, clock: Clock) -> AsyncIterator[Desk]:
    async for one in _desk(sqlite_database, clock):
        yield one


@pytest.fixture
async def both(database: DatabaseURL, clock: Clock) -> AsyncIterator[Desk]:
    async for one in _desk(database, clock):
        yield one
