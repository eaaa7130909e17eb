"""Tortoise's SQLite client with transactions that take the write lock at once.

With the default deferred BEGIN two processes on one file fail about every second read-then-write transaction
with "database is locked", and no busy_timeout helps; BEGIN IMMEDIATE waits its turn instead.
Tortoise finds `client_class` through the engine name "models.sqlite".
"""

from __future__ import annotations

import sqlite3
from typing import Any

from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
)
from tortoise.exceptions import TransactionManagementError


class _ImmediateTransaction(SqliteTransactionWrapper):
    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise TransactionManagementError(str(error)) from error


class _SafeContext(SqliteTransactionContext):
    """Gives the connection's lock back when BEGIN itself fails; the library's own keeps it for ever."""

    async def __aenter__(self) -> Any:
        try:
            return await super().__aenter__()
        except BaseException:
            if hasattr(self, "token"):
                from tortoise.connection import get_connections

                get_connections().reset(self.token)
            self._trxlock.release()
            raise


class ImmediateSqliteClient(SqliteClient):
    def _in_transaction(self) -> _SafeContext:
        return _SafeContext(_ImmediateTransaction(self), self._lock)


client_class = ImmediateSqliteClient
