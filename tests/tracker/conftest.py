"""The courtrooms and post offices of the tracker's tests; what furnishes otherwise has its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.database import DatabaseURL
from tests.conftest import Clock
from tests.tracker.judging import Court, court
from tests.tracker.posting import Post, post_office


@pytest.fixture
async def room(database: DatabaseURL, clock: Clock) -> AsyncIterator[Court]:
    async with court(database, clock) as opened:
        yield opened


@pytest.fixture
async def lite(sqlite_database: DatabaseURL, clock: Clock) -> AsyncIterator[Court]:
    """For what has nothing to do with the engine."""
    async with court(sqlite_database, clock) as opened:
        yield opened


@pytest.fixture
async def post(database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Post]:
    async with post_office(database, clock, tmp_path) as opened:
        yield opened


@pytest.fixture
async def sqlite_post(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Post]:
    """For what has nothing to do with the engine."""
    async with post_office(sqlite_database, clock, tmp_path) as opened:
        yield opened
