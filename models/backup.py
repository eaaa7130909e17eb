"""Everything an instance knows, in one file, and back: `backup` and `restore`.

The file is a SQLite database with mailbell's own schema, whatever engine it was saved from: so it can be
restored on the other one, which is the way from SQLite to PostgreSQL. Saving works beside running services,
from one snapshot, with flat memory. Who calls it: the short commands. Nothing here overwrites a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg

from models.database import DatabaseURL
from models.migrate import MigrationError, applied_migrations, migrate, pending
from models.rows import (
    RowsError,
    copy_from_postgres,
    copy_to_postgres,
    copy_to_sqlite,
    count_rows,
    postgres_counts,
    tables_of,
)
from models.sqlite_packs import settle_all

Progress = Callable[[str, int, int], None]


class BackupError(Exception):
    """Nothing was saved, or nothing was restored; the text says why and what to do."""


def _quiet(_table: str, _done: int, _total: int) -> None: ...


async def backup(url: DatabaseURL, file: Path, progress: Progress = _quiet) -> None:
    """Saves the database to `file`, which must not exist; it appears when it is complete, mode 0600.

    `progress(table, rows done, rows in all)` may be called from another thread. Raises BackupError.
    """
    with _explained(file):
        if not await applied_migrations(url):
            raise BackupError("there is nothing to save: the database is not set up yet")
        with _new_file(file) as part:
            if url.path is not None:
                await asyncio.to_thread(_save_sqlite, url.path, part, progress)
            else:
                await _save_postgres(url, part, progress)


async def restore(
    url: DatabaseURL, file: Path, *, force: bool = False, progress: Progress = _quiet
) -> dict[str, int]:
    """Fills the database from a backup of either engine, in one transaction; rows restored by table.

    Sets up a database that is not there yet. One that holds rows is refused unless `force`, which replaces
    all of them. A backup of an older version is brought to this one first. Raises BackupError.
    """
    with _explained(file):
        async with _readable(file, url) as source:
            if await applied_migrations(url) and await pending(url):
                raise BackupError("the database is of an older version: run migrate first")
            await migrate(url)
            if url.path is not None:
                return await asyncio.to_thread(_load_sqlite, url.path, source, force, progress)
            return await _load_postgres(url, source, force, progress)


def _save_sqlite(path: Path, part: Path, progress: Progress) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as live:
        live.execute("VACUUM INTO ?", (str(part),))
    with contextlib.closing(sqlite3.connect(part)) as saved:
        for table, rows in count_rows(saved, tables_of(saved)).items():
            progress(table, rows, rows)


async def _save_postgres(url: DatabaseURL, part: Path, progress: Progress) -> None:
    """An archive with the schema that the source has now, which may be older than the code."""
    applied = await applied_migrations(url)
    await pending(url)  # refuses a newer database
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=".mailbell-") as scratch:
        archive = Path(scratch) / "archive.db"
        await migrate(DatabaseURL("sqlite", path=archive), up_to=max(applied))
        with contextlib.closing(sqlite3.connect(archive, isolation_level=None)) as target:
            target.execute("PRAGMA journal_mode=OFF")
            target.execute("PRAGMA synchronous=OFF")
            connection = await asyncpg.connect(**url.credentials, timeout=10)
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    await copy_from_postgres(connection, target, progress)
            finally:
                await connection.close()
            if target.execute("PRAGMA foreign_key_check").fetchone():
                raise BackupError("the database holds rows that refer to nothing")
            target.execute("VACUUM INTO ?", (str(part),))


@contextlib.asynccontextmanager
async def _readable(file: Path, target: DatabaseURL) -> AsyncIterator[Path]:
    """The backup as of today: the file itself, or for the time of the block a copy that was brought to it."""
    with contextlib.closing(_open_archive(file)) as archive:
        mine = "SELECT 1 FROM sqlite_master WHERE name = 'tortoise_migrations'"
        if archive.execute(mine).fetchone() is None:
            raise BackupError(f"{file} is no backup of mailbell")
        if archive.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise BackupError(f"{file} is damaged")
    is_old = bool(await pending(DatabaseURL("sqlite", path=file)))
    if not is_old and not _has_packs(file):
        yield file
        return
    beside = target.path.parent if target.path else None
    if beside is not None:
        beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".mailbell-") as scratch:
        copy = Path(scratch) / "archive.db"
        with contextlib.closing(_open_archive(file)) as archive:
            archive.execute("VACUUM INTO ?", (str(copy),))
        if is_old:
            await migrate(DatabaseURL("sqlite", path=copy))
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as archive:
            settle_all(archive)
        yield copy


def _has_packs(file: Path) -> bool:
    """Whether it was made at a moment when hits came in a crowd: PostgreSQL would not make rows of these."""
    with contextlib.closing(_open_archive(file)) as archive:
        return bool(archive.execute("SELECT count(*) FROM pack").fetchone()[0])


def _open_archive(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(_read_only(file), uri=True, timeout=30)


def _read_only(file: Path) -> str:
    return f"{file.absolute().as_uri()}?mode=ro"


def _load_sqlite(path: Path, source: Path, force: bool, progress: Progress) -> dict[str, int]:
    opened = sqlite3.connect(path.absolute().as_uri(), uri=True, isolation_level=None, timeout=30)
    with contextlib.closing(opened) as live:
        live.execute("PRAGMA synchronous=FULL")
        live.execute("ATTACH ? AS archive", (_read_only(source),))
        live.execute("BEGIN IMMEDIATE")
        try:
            tables = tables_of(live, "archive")
            _check_empty(count_rows(live, tables, "main"), force)
            restored = copy_to_sqlite(live, tables, progress)
            live.execute("COMMIT")
        except BaseException:
            if live.in_transaction:
                live.execute("ROLLBACK")
            raise
    return restored


async def _load_postgres(url: DatabaseURL, source: Path, force: bool, progress: Progress) -> dict[str, int]:
    connection = await asyncpg.connect(**url.credentials, timeout=10)
    try:
        with contextlib.closing(_open_archive(source)) as archive:
            tables = tables_of(archive)
            async with connection.transaction():
                names = ", ".join(f'"{table.name}"' for table in tables)
                await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
                _check_empty(await postgres_counts(connection, tables), force)
                return await copy_to_postgres(connection, archive, tables, progress)
    finally:
        await connection.close()


def _check_empty(counts: dict[str, int], force: bool) -> None:
    held = sum(counts.values())
    if held and not force:
        raise BackupError(
            f"the database holds {held} rows already: restore into an empty one, "
            "or add --force to replace all of them"
        )


@contextlib.contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """A name beside `file` to write to; at the end it becomes `file`, on disk, if that is still free."""
    if file.exists():  # said before the work rather than after it
        raise BackupError(f"{file} exists already: name a new file")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield part
        os.fsync(descriptor)
        _publish(part, file)
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)


def _publish(part: Path, file: Path) -> None:
    try:
        os.link(part, file)  # unlike a rename, refuses what exists
    except FileExistsError:
        raise BackupError(f"{file} exists already: name a new file") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        part.rename(file)  # a file system without hard links


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Everything that can go wrong, as BackupError."""
    try:
        yield
    except (MigrationError, RowsError) as error:
        raise BackupError(str(error)) from error
    except OSError as error:
        raise BackupError(f"{error.filename or file}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise BackupError(f"{file}: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BackupError(f"the database refused: {error}") from error
