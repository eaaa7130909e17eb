"""A tracker inside the test: real database, real writer, real port. Its parts can be replaced one by one."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

from models.database import DatabaseURL
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import RawHit, Writer
from tracker.hits.journal import Journal
from tracker.hits.record import Recorder
from tracker.services import Services, utc_now
from tracker.settings import load
from tracker.web.app import build_app
from tracker.web.server import serve


def writer_for(url: DatabaseURL) -> Writer:
    if url.is_sqlite:
        assert url.path is not None
        return SqliteWriter(url.path)
    return PostgresWriter(url.credentials, Wake())


def raw_hit(token: str, number: int, **more: Any) -> RawHit:
    facts: dict[str, Any] = {
        "uid": f"{number:032x}", "at": 1_700_000_000_000_000 + number, "token": token, "method": "GET",
        "purpose": None, "agent": "Mozilla/5.0 (test)", "network": "203.0.113.0/24", "network_label": None,
        "device": "d" * 32, "headers": None, **more,
    }  # fmt: skip
    return RawHit(**facts)


async def recorded(writer: Writer, hit: RawHit) -> Exception | None:
    """What the writer says of one hit."""
    future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    writer.record(hit, future.set_result)
    return await future


@dataclass
class Tracker:
    services: Services
    recorder: Recorder
    app: web.Application
    port: int
    client: ClientSession

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def running(
    url: DatabaseURL,
    folder: Path,
    *,
    lean: bool = True,
    writer: Writer | None = None,
    wake: Wake | None = None,
    now: Callable[[], dt.datetime] = utc_now,
    environment: dict[str, str] | None = None,
    **build: Any,
) -> AsyncIterator[Tracker]:
    settings = load(
        {"SECRET_KEY": "0123456789abcdef", "DATA_DIR": str(folder), **(environment or {})}, folder
    )
    writer = writer or writer_for(url)
    await writer.start()
    services = Services(settings, writer, wake or Wake(), now)
    recorder = Recorder(services, Journal(folder / "journal"))
    app = build_app(services, recorder, **build)
    try:
        async with (
            serve(app, "127.0.0.1", 0, lean=lean) as listener,
            ClientSession(connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar()) as client,
        ):
            yield Tracker(services, recorder, app, listener.port, client)
    finally:
        await writer.stop()
