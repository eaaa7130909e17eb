"""Wake-ups that also reach the other processes, through PostgreSQL's LISTEN and NOTIFY.

A ring wakes this process at once, and is sent on once for all rings of the last few milliseconds. Without a
connection everybody falls back to polling: rings are never an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import asyncpg

from models.database import POSTGRES_FAULTS
from models.wake import Wake

log = logging.getLogger(__name__)

CHANNEL = "mailbell"
_GATHER = 0.002  # seconds in which rings become one
_TIMEOUT = 5.0
_LOOK = 5.0  # seconds between looks at whether the connection is still open
_RECONNECT = (0.2, 1.0, 3.0)


class PostgresWake(Wake):
    """`credentials` are asyncpg.connect's arguments, as in models.database.DatabaseURL."""

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        super().__init__()
        self._credentials = dict(credentials)
        self._connection: Any = None
        self._lost = asyncio.Event()  # of the connection
        self._unsent: set[str] = set()
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="wake-listen"),
            asyncio.create_task(self._send(), name="wake-send"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def ring(self, name: str) -> None:
        super().ring(name)
        self._unsent.add(name)
        self._more.set()

    async def _listen(self) -> None:
        """Holds one listening connection, and makes it anew whenever it is lost."""
        tries = 0
        while True:
            self._lost = lost = asyncio.Event()
            connection: Any = None
            try:
                connection = await asyncpg.connect(**self._credentials, timeout=_TIMEOUT)
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(CHANNEL, self._heard)
                self._connection, tries = connection, 0
                if self._unsent:
                    self._more.set()
                for name in list(self._events):
                    super().ring(name)  # what rang meanwhile was not heard
                # The driver does not tell of every end, such as one just before a statement.
                while not (lost.is_set() or connection.is_closed()):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK):
                            await lost.wait()
            except POSTGRES_FAULTS as error:
                log.debug("no wake-ups from other processes: %s", type(error).__name__)
            finally:
                self._connection = None
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(_RECONNECT[min(tries, len(_RECONNECT) - 1)])
            tries += 1

    def _heard(self, connection: Any, pid: int, channel: str, payload: str) -> None:  # noqa: ARG002
        if pid != connection.get_server_pid():
            super().ring(payload)

    async def _send(self) -> None:
        while True:
            await self._more.wait()
            await asyncio.sleep(_GATHER)
            self._more.clear()
            connection = self._connection
            if connection is None:
                continue  # sent when there is one
            names, self._unsent = self._unsent, set()
            try:
                for name in names:
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, name, timeout=_TIMEOUT)
            except POSTGRES_FAULTS:
                self._unsent |= names
                if connection is self._connection:
                    self._lost.set()
