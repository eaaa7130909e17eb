"""Tortoise's SQLite client with transactions that take the write lock at once, and always give it back.

With the default deferred BEGIN two processes on one file fail about every second read-then-write transaction
with "database is locked", and no busy_timeout helps; BEGIN IMMEDIATE waits its turn instead. The library's
own context keeps the connection's lock for ever when its BEGIN fails or is cancelled (measured: 91 of 120
random cancellations). Tortoise finds `client_class` through the engine name "models.sqlite".
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import Any

from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
)
from tortoise.connection import ConnectionToken, get_connections
from tortoise.exceptions import IntegrityError, OperationalError


class _ImmediateTransaction(SqliteTransactionWrapper):
    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error

    async def commit(self) -> None:
        try:
            await super().commit()
        except sqlite3.IntegrityError as error:  # a deferred foreign key
            raise IntegrityError(error) from error
        except sqlite3.OperationalError as error:  # a full disk
            raise OperationalError(error) from error


class _SafeContext(SqliteTransactionContext):
    """Leaves the connection free and outside of a transaction, whatever failed or was cancelled."""

    _token: ConnectionToken | None = None

    async def __aenter__(self) -> Any:
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            self._token = get_connections().set(self.connection_name, self.connection)
            await self.connection.begin()
        except BaseException:
            await self._abandon()
            raise
        return self.connection

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        try:
            if exc_type is None and not self.connection._finalized:
                await self.connection.commit()
        except BaseException:
            await self._abandon()
            raise
        if exc_type is not None:
            await self._abandon()
        else:
            self._leave()

    async def _abandon(self) -> None:
        """Rolls back. A BEGIN or COMMIT that still runs in the connection's thread comes first there."""
        rollback = asyncio.ensure_future(_roll_back(self.connection._connection))
        rollback.add_done_callback(lambda _: self._trxlock.release())
        self._reset()
        await asyncio.shield(rollback)

    def _leave(self) -> None:
        self._reset()
        self._trxlock.release()

    def _reset(self) -> None:
        if self._token is not None:
            get_connections().reset(self._token)


async def _roll_back(raw: Any) -> None:
    # Does nothing outside of a transaction; a connection that is gone has none.
    with suppress(sqlite3.Error, ValueError, AttributeError):
        await raw.rollback()


class ImmediateSqliteClient(SqliteClient):
    def _in_transaction(self) -> _SafeContext:
        return _SafeContext(_ImmediateTransaction(self), self._lock)


client_class = ImmediateSqliteClient
