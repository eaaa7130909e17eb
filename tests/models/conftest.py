"""Databases that nothing has been done to yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.database import DatabaseURL, parse_database_url
from tests.models.migrating import empty


@pytest.fixture
def fresh(tmp_path: Path) -> DatabaseURL:
    return DatabaseURL("sqlite", path=tmp_path / "deep" / "down" / "mailbell.db")


@pytest.fixture
async def bare_url(database_url: str, fresh: DatabaseURL) -> DatabaseURL:
    """A database of each engine without any table."""
    url = parse_database_url(database_url)
    if url.is_sqlite:
        return fresh
    await empty(url)
    return url
