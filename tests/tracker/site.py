"""The web application on loopback with its real recorder and writer, for tests of the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from models.database import DatabaseURL
from tests.conftest import Clock
from tests.tracker.page_services import writing_services
from tracker.hits.journal import Journal
from tracker.hits.record import Recorder
from tracker.services import Services
from tracker.web.app import build_app

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass
class Site:
    """A running site: `client` sends requests as the browser of a person would."""

    services: Services
    client: TestClient[Any, Any]

    def path(self, url: str) -> str:
        """The path of one of our own public addresses."""
        return url.removeprefix(self.services.settings.public_url)


@asynccontextmanager
async def open_site(
    database: DatabaseURL, clock: Clock, folder: Path, port: int | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """The site, on a free port or the given one. `database` must be open."""
    async with writing_services(database, clock, folder, **settings) as running:
        server = TestServer(build_app(running, Recorder(running, Journal(folder / "journal"))), port=port)
        async with TestClient(server, headers={"User-Agent": BROWSER}) as client:
            yield Site(running, client)
