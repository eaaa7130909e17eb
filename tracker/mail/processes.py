"""A few processes that work on mails one at a time, so that a hostile mail costs nobody else anything.

Used by tracker/mail/parser.py and tracker/sending/editor.py, which know what to say to a process. One that
takes too long, or dies of a mail, is replaced. They begin with the first mail, and get an empty environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from typing import TypeVar

_MOST_BUFFERED = 1 << 20

Answer = TypeVar("Answer")


class Processes:
    """At most `count` of them run `code`, a Python program of its own, with the arguments."""

    def __init__(self, count: int, starting: float, code: str, *arguments: str) -> None:
        self._starting = starting
        self._command = (sys.executable, "-I", "-c", code, *arguments)
        self._free: asyncio.LifoQueue[Process | None] = asyncio.LifoQueue()
        for _ in range(count):
            self._free.put_nowait(None)

    async def ask(self, talk: Callable[[Process], Awaitable[Answer]], seconds: float) -> Answer:
        """What `talk` with a free process gives. The first mail of a process has `starting` seconds more.

        Raises TimeoutError, OSError, and what `talk` raises; the process it talked with is gone then.
        """
        process = await self._free.get()
        sound = False
        try:
            if process is None or process.returncode is not None:
                process = await self._start()
                seconds += self._starting
            async with asyncio.timeout(seconds):
                answer = await talk(process)
            sound = True
            return answer
        finally:
            if not sound and process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            self._free.put_nowait(process if sound else None)

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._command, env={}, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_MOST_BUFFERED
        )

    async def close(self) -> None:
        """Ends the processes that are free; call it when no mail is being worked on any more."""
        while not self._free.empty():
            process = self._free.get_nowait()
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
