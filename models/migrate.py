"""The only way a schema changes: the library's migrations, behind a guard.

On SQLite a locked database is copied, the copy is migrated and checked, and then copied back in one
transaction; a dated backup stays beside the file. On PostgreSQL everything is one transaction under an
advisory lock. So a failure or a kill at any moment leaves the database as it was before. Who calls it: the
`migrate` command, models/migrate_apart.py and models/backup.py. Nothing else may run migrations.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import os
import pkgutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
from tortoise import Tortoise, connections
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.context import TortoiseContext
from tortoise.migrations.executor import MigrationTarget
from tortoise.transactions import in_transaction

from models.database import DatabaseURL, take_file_lock, tortoise_config
from models.sqlite_schema import KeepingExecutor

PACKAGE = "models.migrations"
BACKUPS_KEPT = 3
LOCK_SECONDS = 600  # another process that migrates a big database takes minutes
IN_USE_SECONDS = 5.0  # for a short command to end that has the file open
_ADVISORY_LOCK = 0x6D61696C62656C6C  # "mailbell"
_APPLIED = "SELECT name FROM tortoise_migrations WHERE app = 'models'"


class MigrationError(Exception):
    """The database could not be brought to the newest schema, and is as it was; the text says why."""


class NewerDatabaseError(MigrationError):
    """The database was made by a newer mailbell than this one."""


async def pending(url: DatabaseURL, *, package: str = PACKAGE) -> list[str]:
    """Names of the migrations that the database lacks, oldest first; a database not there lacks all.

    Changes nothing. Raises NewerDatabaseError when it has some that this code does not know, and
    MigrationError when it cannot be read.
    """
    known = known_migrations(package)
    applied = await applied_migrations(url)
    if unknown := sorted(applied - set(known)):
        raise NewerDatabaseError(
            f"the database was made by a newer mailbell (it has {unknown[-1]}): start that version, "
            "or restore a backup made before"
        )
    return [name for name in known if name not in applied]


async def is_current(url: DatabaseURL) -> bool:
    """Whether the schema is exactly what this code needs. Raises as `pending` does."""
    return not await pending(url)


async def migrate(
    url: DatabaseURL, backup_to: Path | None = None, *, package: str = PACKAGE, up_to: str | None = None
) -> list[str]:
    """Brings the database to the newest schema (or to `up_to`); names of what was applied.

    Waits for another process that migrates. On SQLite a backup is kept when there was something to lose, at
    `backup_to` or beside the file (the newest 3); no other process may have the file open meanwhile.
    Raises MigrationError; the database is then as it was.
    """
    work = _migrate_sqlite if url.is_sqlite else _migrate_postgres
    return await work(url, backup_to, package, up_to)


def known_migrations(package: str = PACKAGE) -> list[str]:
    """Names of the migrations in the code, oldest first."""
    modules = pkgutil.iter_modules(import_module(package).__path__)
    return sorted(one.name for one in modules if not one.ispkg and one.name[0] not in "_~")


async def applied_migrations(url: DatabaseURL) -> set[str]:
    """Names of the migrations that the database has; none when it is not there yet."""
    if url.path is not None:
        return _applied_sqlite(url.path)
    async with _postgres(url) as connection:
        if await connection.fetchval("SELECT to_regclass('tortoise_migrations')") is None:
            return set()
        return {row["name"] for row in await connection.fetch(_APPLIED)}


def _applied_sqlite(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with _sqlite_errors(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
        with contextlib.closing(connection):
            if not _has_tables(connection, "tortoise_migrations"):
                return set()
            return {name for (name,) in connection.execute(_APPLIED)}


def _has_tables(connection: sqlite3.Connection, like: str = "%") -> bool:
    found = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name LIKE ?"
    return connection.execute(found, (like,)).fetchone() is not None


async def _migrate_sqlite(
    url: DatabaseURL, backup_to: Path | None, package: str, up_to: str | None
) -> list[str]:
    path = url.path
    assert path is not None
    _make_directory(path.parent)
    async with _turn(path):
        if not _wanted(await pending(url, package=package), up_to):
            return []
        # From here to the end nothing else works in this process: that the loop waits hurts nobody, and
        # no connection is ever used by two threads.
        with _sqlite_errors(path), _exclusive(path) as live, _working_file(path) as copy:
            orphans = _orphans(live)
            if _has_tables(live):
                _keep_backup(live, path, backup_to)
            live.execute("VACUUM INTO ?", (str(copy),))
            applied = await _run(DatabaseURL("sqlite", path=copy), package, up_to)
            _copy_back(copy, live, orphans)
            return applied


async def _migrate_postgres(
    url: DatabaseURL, _backup_to: Path | None, package: str, up_to: str | None
) -> list[str]:
    if not _wanted(await pending(url, package=package), up_to):
        return []
    return await _run(url, package, up_to)


def _wanted(names: list[str], up_to: str | None) -> list[str]:
    return [name for name in names if up_to is None or name <= up_to]


@contextlib.contextmanager
def _garbage_kept() -> Iterator[None]:
    """The library makes every model anew for each step, 1,300 classes in all.

    Collecting garbage meanwhile costs more than the migration itself (1.4 s without, 3 to 6 s with it).
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _run(url: DatabaseURL, package: str, up_to: str | None) -> list[str]:
    """Runs the library's migrations; on PostgreSQL all of them in one transaction, or none."""
    with _garbage_kept():
        return await _run_all(url, package, up_to)


async def _run_all(url: DatabaseURL, package: str, up_to: str | None) -> list[str]:
    config = tortoise_config(url, foreign_keys=False, pool=1)
    config["apps"]["models"]["migrations"] = package
    applied: list[str] = []

    def progress(event: str, _app: str, name: str) -> None:
        if event == "apply_done":
            applied.append(name)

    async def apply(connection: Any) -> None:
        executor = KeepingExecutor(connection, config["apps"])
        # Before anything is read: on PostgreSQL a question to a missing table ends the transaction.
        await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
        target = MigrationTarget("models", up_to or "__latest__")
        await executor.migrate([target], direction="forward", progress=progress)

    try:
        # A context of its own: a database that the caller has open stays open.
        async with TortoiseContext():
            await Tortoise.init(config=config, init_connections=False)
            if url.is_sqlite:
                await apply(connections.get("default"))
            else:
                async with in_transaction("default") as transaction:
                    await transaction.execute_query(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
                    await apply(transaction)
    except Exception as error:  # a migration may run any code
        raise MigrationError(f"a migration failed, the database is as it was: {error}") from error
    finally:
        EXECUTOR_CACHE.clear()  # kept by connection name, whatever the engine
    return applied


@contextlib.asynccontextmanager
async def _turn(path: Path) -> AsyncIterator[None]:
    """One process at a time, by a lock file beside the database."""
    beside = path.with_name(f"{path.name}.migrate.lock")
    until = asyncio.get_running_loop().time() + LOCK_SECONDS
    while (descriptor := take_file_lock(beside)) is None:
        if asyncio.get_running_loop().time() > until:
            raise MigrationError(f"another process has been migrating {path} for {LOCK_SECONDS} s")
        await asyncio.sleep(0.1)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, open for nobody else; made when it is not there."""
    new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, timeout=IN_USE_SECONDS)
    try:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        if new:
            path.chmod(0o600)
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _working_file(path: Path) -> Iterator[Path]:
    """A name beside the database for the copy; nothing of it is left afterwards."""
    working = path.with_name(f".{path.name}.migrating")

    def remove() -> None:
        for ending in ("", "-wal", "-shm", "-journal"):
            working.with_name(working.name + ending).unlink(missing_ok=True)

    remove()  # what a kill left behind
    try:
        yield working
    finally:
        remove()


def _keep_backup(live: sqlite3.Connection, path: Path, backup_to: Path | None) -> None:
    """Saves the database as it is before, and forgets all but the newest backups of this kind."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    file = backup_to or path.with_name(f"{path.name}.before-migrate.{stamp}")
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    live.execute("VACUUM INTO ?", (str(file),))
    for old in sorted(path.parent.glob(f"{path.name}.before-migrate.*"))[:-BACKUPS_KEPT]:
        old.unlink()


def _orphans(connection: sqlite3.Connection) -> set[tuple[Any, ...]]:
    return set(connection.execute("PRAGMA foreign_key_check"))


def _copy_back(copy: Path, live: sqlite3.Connection, orphans: set[tuple[Any, ...]]) -> None:
    """Checks the migrated copy, then makes it the database, in one transaction."""
    with contextlib.closing(sqlite3.connect(copy)) as migrated:
        lost = _orphans(migrated) - orphans
        if lost:
            tables = ", ".join(sorted({f"{row[0]} without {row[2]}" for row in lost}))
            raise MigrationError(f"a migration left rows that refer to nothing ({tables})")
        migrated.backup(live)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MigrationError(f"{directory} cannot be made: {error.strerror}") from error


@contextlib.contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "locked" in str(error):
            text = f"{path} is in use by another process: stop it, then try again"
        else:
            text = f"{path}: {error}"
        raise MigrationError(text) from error
    except OSError as error:
        raise MigrationError(f"{error.filename or path}: {error.strerror}") from error


@contextlib.asynccontextmanager
async def _postgres(url: DatabaseURL) -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(**url.credentials, timeout=10)
        try:
            yield connection
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        why = str(error) or type(error).__name__
        raise MigrationError(
            f"the database cannot be used: {why}; see that it runs, and that DATABASE_URL leads to it"
        ) from error
