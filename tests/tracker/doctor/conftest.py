"""A whole instance for the doctor to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from models.database import DatabaseURL
from tests.conftest import Clock
from tests.tracker.site import Site, open_site
from tracker.hits.judge import Judge
from tracker.mail.smtp import capture_mail


@pytest.fixture
async def site(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Site]:
    """On loopback, with its capture port and its judge."""
    port, capture = unused_port(), unused_port()
    async with (
        open_site(
            sqlite_database, clock, tmp_path, port=port, base_url=f"http://127.0.0.1:{port}",
            capture_port=capture, submission_port=None, submissions_port=None, allow_private_upstream=True,
        ) as one,
        capture_mail(one.services, "127.0.0.1", capture),
    ):  # fmt: skip
        judge = asyncio.create_task(Judge(one.services).run())
        yield one
        judge.cancel()
        await asyncio.gather(judge, return_exceptions=True)
