"""Blocking work in a thread of its own that nobody has to wait for when the process ends.

asyncio's own threads are waited for at the end of a process, however long the other side of a connection
takes; these are not. Used for IMAP, whose library is synchronous.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


async def in_thread(work: Callable[..., T], *given: object, interrupt: Callable[[], None]) -> T:
    """What `work(*given)` returns or raises. Cancelled, it calls `interrupt` and does not wait."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, fault = None, None
        try:
            result = work(*given)
        except BaseException as error:  # handed to whoever waits
            fault = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=run, daemon=True, name="mailbox").start()
    try:
        return await done
    except asyncio.CancelledError:
        interrupt()
        raise
