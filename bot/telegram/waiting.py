"""Waiting that ends when the process stops: for an answer, or for time to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def unless(stopping: asyncio.Event, work: Callable[[], Awaitable[T]]) -> T | None:
    """What `work` returns, or None as soon as we are stopping: then it is cancelled.

    `work` must not touch the database: a cancelled query can leave a lock behind.
    """
    task = asyncio.ensure_future(work())
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stop.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Sleeps, but not into the stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
