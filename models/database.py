"""Opening and closing the database, and transactions that survive a cancelled caller.

`open_database` is called once by each process (and by tests); everything else uses the models directly.
Migrations are in models/migrate.py: nothing here changes a schema.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
from tortoise import Tortoise, connections
from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError
from tortoise.transactions import in_transaction

T = TypeVar("T")

BUSY_MILLISECONDS = 5000

# What the driver raises while PostgreSQL is away.
POSTGRES_FAULTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that the server cut between two queries
    OSError,
    TimeoutError,
)
# What the models raise while the database is away or locked; Tortoise translates only some of it.
DATABASE_FAULTS = (DBConnectionError, OperationalError, TransactionManagementError, *POSTGRES_FAULTS)


class DatabaseURLError(ValueError):
    """The DATABASE_URL cannot be used; the text says why and what to write instead."""


class ServiceRunningError(Exception):
    """Another process serves this SQLite database already; the text says what to do."""


@dataclass(frozen=True)
class DatabaseURL:
    """A parsed DATABASE_URL: a SQLite file, or PostgreSQL credentials in asyncpg's words."""

    engine: str  # sqlite | postgres
    path: Path | None = None
    credentials: dict[str, Any] = field(default_factory=dict, repr=False)  # holds the password

    @property
    def is_sqlite(self) -> bool:
        return self.engine == "sqlite"


def parse_database_url(url: str) -> DatabaseURL:
    """`sqlite:///relative`, `sqlite:////absolute` or `postgres://user:password@host:port/name?sslmode=…`.

    Raises DatabaseURLError with the remedy. The library's own parser misreads `sslmode` and encoded names.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise DatabaseURLError("write [ and ] in user name or password as %5B and %5D") from None
    if parts.scheme == "sqlite":
        # sqlite::memory: and a path that ends in a slash name no file.
        named = url.startswith("sqlite:///") and not parts.path.endswith("/")
        if not named or parts.query or parts.fragment:
            raise DatabaseURLError("write sqlite:///relative/file.db or sqlite:////absolute/file.db")
        return DatabaseURL("sqlite", path=Path(unquote(parts.path[1:])))
    if parts.scheme in ("postgres", "postgresql"):
        return DatabaseURL("postgres", credentials=_postgres_credentials(url))
    raise DatabaseURLError("it must begin with sqlite:/// or postgres://")


def _postgres_credentials(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    try:
        port = parts.port or 5432
    except ValueError as error:
        raise DatabaseURLError("the port must be a number from 1 to 65535") from error
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise DatabaseURLError("the database name is missing: postgres://user:password@host/NAME")
    credentials: dict[str, Any] = {
        "host": query.pop("host", None) or parts.hostname or "localhost",
        "port": port,
        "user": unquote(parts.username or "") or None,
        "password": unquote(parts.password or "") or None,
        "database": name,
    }
    mode = query.pop("sslmode", "prefer")
    modes = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
    if mode not in modes:
        raise DatabaseURLError(f"sslmode={mode} is unknown; use one of {', '.join(modes)}")
    credentials["ssl"] = _ssl(mode, query.pop("sslrootcert", None))
    if query.pop("pgbouncer", "") == "true":
        credentials["statement_cache_size"] = 0
    for ignored in ("application_name", "connect_timeout", "channel_binding", "target_session_attrs"):
        query.pop(ignored, None)
    if query:
        raise DatabaseURLError(f"the option {next(iter(query))} is unknown; remove it")
    return credentials


def _ssl(mode: str, root: str | None) -> ssl.SSLContext | str:
    """The driver's `ssl`. As in libpq, a root certificate is checked, and the host only by verify-full."""
    if root is None or mode in ("disable", "allow", "prefer"):
        return mode
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
    except (OSError, ssl.SSLError):
        raise DatabaseURLError(f"sslrootcert={root} is no readable certificate file") from None
    context.check_hostname = mode == "verify-full"
    return context


def tortoise_config(url: DatabaseURL, *, foreign_keys: bool = True, pool: int = 5) -> dict[str, Any]:
    """The dict that Tortoise.init takes. `foreign_keys=False` is for migrations only (SQLite)."""
    connection: dict[str, Any]
    if url.is_sqlite:
        connection = {
            "engine": "models.sqlite",
            "credentials": {
                "file_path": str(url.path),
                "journal_mode": "WAL",
                "synchronous": "FULL",
                "busy_timeout": BUSY_MILLISECONDS,
                "secure_delete": "ON",  # what is forgotten must not be found in the file
                "journal_size_limit": 64 * 1024 * 1024,
                "foreign_keys": "ON" if foreign_keys else "OFF",
            },
        }
    else:
        sizes = {"minsize": 1, "maxsize": pool}
        connection = {"engine": "models.postgres", "credentials": {**url.credentials, **sizes}}
    app = {"models": ["models"], "default_connection": "default", "migrations": "models.migrations"}
    return {"connections": {"default": connection}, "apps": {"models": app}}


@asynccontextmanager
async def open_database(url: DatabaseURL) -> AsyncIterator[None]:
    """The models work inside this block. The schema must be there already (models/migrate.py).

    Leaving it waits for transactions that are still under way.
    """
    await Tortoise.init(config=tortoise_config(url))
    try:
        # Connect now: a reader cancelled while the library connects for it would keep a lock for ever.
        await connections.get("default").execute_query("SELECT 1")
        yield
    finally:
        here = asyncio.get_running_loop()
        await asyncio.gather(*(one for one in _under_way if one.get_loop() is here), return_exceptions=True)
        await Tortoise.close_connections()


def is_sqlite() -> bool:
    """Whether the open database is SQLite."""
    return bool(connections.get("default").capabilities.dialect == "sqlite")


async def forget_traces_on_disk() -> None:
    """Has SQLite's log moved into its file, and removes the backups that migrations left beside it.

    Deleted rows are overwritten there (secure_delete); the log and older copies would still hold them. On
    PostgreSQL the server's own vacuum does it in time, and backups are its owner's.
    """
    connection = connections.get("default")
    if not is_sqlite():
        return
    for _ in range(50):  # a reader may hold it up for a moment
        done = await connection.execute_query_dict("PRAGMA wal_checkpoint(TRUNCATE)")
        if not done[0]["busy"]:
            break
        await asyncio.sleep(0.1)
    _, rows = await connection.execute_query("PRAGMA database_list")
    for row in rows:
        path = Path(row["file"])
        for backup in path.parent.glob(f"{path.name}.before-migrate.*"):
            backup.unlink(missing_ok=True)


_under_way: set[asyncio.Task[Any]] = set()


async def atomically(work: Callable[[], Awaitable[T]]) -> T:
    """Runs `work()` in one transaction, to its end even when the caller is cancelled meanwhile.

    So what the caller's user asked for happens wholly, whoever hangs up; the transaction has a task of its
    own. (The library's own transactions, cancelled while they start, also keep the SQLite lock for ever:
    models/sqlite.py.) No network call and no create_task inside `work`.
    """

    async def transaction() -> T:
        async with in_transaction():
            return await work()

    task = asyncio.ensure_future(transaction())
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return await asyncio.shield(task)


def take_file_lock(path: Path) -> int | None:
    """Locks `path` (made when missing) for this process: a descriptor to close, or None when it is taken.

    The lock goes with the process, however it ends; the file stays, and means nothing by itself.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def why_read_only(path: Path) -> str | None:
    """What SQLite says where it may not write the file at `path`; None where it may, or is busy just now."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as probe:
            probe.execute("BEGIN IMMEDIATE")  # succeeds on what can only be read
            probe.execute("CREATE TABLE writing_is_tried (id)")
            probe.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return str(error) if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY else None
    return None


@contextmanager
def hold_service_lock(path: Path) -> Iterator[None]:
    """Inside this block no other service process can take the SQLite database at `path`.

    Raises ServiceRunningError when one has it. Short commands (export, backup…) do not ask for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.service.lock")
    descriptor = take_file_lock(beside)
    if descriptor is None:
        owner = beside.read_text().strip() or "unknown"
        raise ServiceRunningError(
            f"another mailbell (process {owner}) serves {path}: stop it first, or use PostgreSQL, "
            "which any number of processes can share"
        )
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
