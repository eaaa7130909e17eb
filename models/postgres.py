"""Tortoise's asyncpg client with transactions that always give their connection back to the pool.

The library's own context keeps the connection for ever when its BEGIN fails or is cancelled; five such
moments empty the pool and stop the process. And each of its queries is followed by a second round trip, in
which the pool asks the server to forget settings, cursors and locks of the session that nobody here makes.
Tortoise finds `client_class` through the engine name "models.postgres".
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionContextPooled
from tortoise.connection import ConnectionToken, get_connections


class _SafeContext(TransactionContextPooled):
    _token: ConnectionToken | None = None

    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        client: Any = self.client
        client._connection = await client._parent._pool.acquire()
        try:
            self._token = get_connections().set(self.connection_name, client)
            await client.begin()
        except BaseException:
            await self._leave()
            raise
        return client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        client: Any = self.client
        try:
            if client._finalized:
                return
            if exc_type is None:
                await client.commit()
            else:
                # Of two errors the first one counts: the connection may have gone away under the work.
                with suppress(Exception):
                    await client.rollback()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """The pool rolls back what is still open on the connection, or replaces a broken one."""
        if self._token is not None:
            get_connections().reset(self._token)
        client: Any = self.client
        if client._parent._pool is not None:
            await client._parent._pool.release(client._connection)  # goes on when cancelled


async def _leave_as_it_is(_connection: Any) -> None:
    """An open transaction was rolled back before this is asked."""


class SafePostgresClient(AsyncpgDBClient):
    async def create_pool(self, **options: Any) -> Any:
        return await asyncpg.create_pool(None, reset=_leave_as_it_is, **options)

    def _in_transaction(self) -> _SafeContext:
        return _SafeContext(TransactionWrapper(self), self._pool_init_lock)


client_class = SafePostgresClient
