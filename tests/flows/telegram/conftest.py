"""Worlds with a Telegram in them, reached both ways or by polling alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.database import DatabaseURL
from tests.fakes.telegram import FakeTelegram
from tests.flows.conftest import Line
from tests.flows.telegram.world import World, a_world


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram().serve() as one:
        yield one
        assert one.complaints == []


@pytest.fixture(params=["polling", "webhook"])
async def world(
    request: pytest.FixtureRequest, line: Line, sqlite_database: DatabaseURL, telegram: FakeTelegram
) -> AsyncIterator[World]:
    async with a_world(line, sqlite_database, telegram, request.param) as one:
        yield one


@pytest.fixture
async def polling_world(
    line: Line, sqlite_database: DatabaseURL, telegram: FakeTelegram
) -> AsyncIterator[World]:
    """For what has nothing to do with the way in."""
    async with a_world(line, sqlite_database, telegram, "polling") as one:
        yield one
