"""Services for tests of the pages, of mail and of insights: real settings, the test's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from models.database import DatabaseURL
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Writer
from tests.conftest import Clock
from tracker.services import Services
from tracker.settings import Settings

KEY = "a key that only tests know"


def services(clock: Clock, tmp_path: Path = Path("unused"), **settings: Any) -> Services:
    """What these parts need; nothing of theirs goes through the writer, so any use of it fails the test."""
    given = {"data_dir": tmp_path, "secret_key": KEY, "base_url": "https://track.example", **settings}
    return Services(Settings.model_validate(given), cast(Writer, None), Wake(), clock)


@asynccontextmanager
async def writing_services(
    database: DatabaseURL, clock: Clock, tmp_path: Path, **settings: Any
) -> AsyncIterator[Services]:
    """The same with the real writer of the engine, started."""
    writer = SqliteWriter(database.path) if database.path else PostgresWriter(database.credentials, Wake())
    await writer.start()
    try:
        yield replace(services(clock, tmp_path, **settings), writer=writer)
    finally:
        await writer.stop()
