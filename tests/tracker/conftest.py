"""The courtrooms of the tracker's tests; a test file whose room is furnished otherwise has its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.database import DatabaseURL
from tests.conftest import Clock
from tests.tracker.judging import Court, court


@pytest.fixture
async def room(database: DatabaseURL, clock: Clock) -> AsyncIterator[Court]:
    async with court(database, clock) as opened:
        yield opened


@pytest.fixture
async def lite(sqlite_database: DatabaseURL, clock: Clock) -> AsyncIterator[Court]:
    """For what has nothing to do with the engine."""
    async with court(sqlite_database, clock) as opened:
        yield opened
