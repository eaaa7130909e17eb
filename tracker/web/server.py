"""Listening and stopping: one port, the lean protocol in front, and an end that cuts nobody off.

`serve` is used by `bot/__main__` and by the tests; it knows nothing of what the application does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from tracker.web.entrance import Entrance
from tracker.web.keys import INTAKE, RECORDER, UNDER_WAY
from tracker.web.lean import Door

KEEPALIVE_SECONDS = 15.0  # the framework's default of an hour is an invitation
STOP_SECONDS = 8.0  # platforms kill after 10 to 30
BACKLOG = 1024


_THEIR_FAULTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


class _OwnFaults(logging.Filter):
    """Lets pass what went wrong here, not what strangers send: their garbage would flood the log.

    And without the client's address, which the framework puts first.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Error handling request from"):
            record.msg, record.args = "Error handling a request", ()
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, _THEIR_FAULTS)


_log = logging.getLogger("tracker.web.http")
_log.addFilter(_OwnFaults())


@dataclass(frozen=True)
class Listener:
    port: int  # as bound: asked for 0, the system chose one


@asynccontextmanager
async def serve(
    app: web.Application, host: str, port: int, *, lean: bool = True, stop_seconds: float = STOP_SECONDS
) -> AsyncIterator[Listener]:
    """Listens while the block runs. At its end requests under way are answered before anything is closed.

    Raises OSError when the port cannot be bound.
    """
    runner = web.AppRunner(
        app,
        access_log=None,  # it prints paths, which hold tokens
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=2.0,
        lingering_time=2.0,
        logger=_log,
    )
    await runner.setup()
    try:
        assert runner.server is not None
        loop = asyncio.get_running_loop()
        bound = await loop.create_server(runner.server, host, port, backlog=BACKLOG, start_serving=not lean)
        door = Door(app[INTAKE], app[RECORDER], runner.server) if lean else None
        entrances = [Entrance(door, _listening(one.fileno())) for one in bound.sockets] if door else []
        try:
            yield Listener(bound.sockets[0].getsockname()[1])
        finally:
            for entrance in entrances:
                entrance.close()
            bound.close()
            if door is not None:
                await door.stop(stop_seconds)
            await _settle(app, stop_seconds)
    finally:
        await runner.cleanup()


def _listening(bound: int) -> socket.socket:
    """Listens on a socket that the loop has bound, and that is not its own to read from."""
    one = socket.socket(fileno=os.dup(bound))
    one.setblocking(False)
    one.listen(BACKLOG)
    return one


async def _settle(app: web.Application, seconds: float) -> None:
    """Waits until no request is being answered, and a moment more for the last bytes."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    await asyncio.sleep(0.05)  # accepted just now, not yet read
    while app[UNDER_WAY].count and loop.time() < until:  # noqa: ASYNC110, many may end
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
