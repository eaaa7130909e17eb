"""Reads and edits mails in processes of their own, with a time limit: no mail holds up the event loop.

Called by the relay. A process that takes too long or dies of a mail is replaced, and that mail goes as its
sender wrote it. The processes begin at the first mail; they know nothing of ours but this instance's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tracker
from tracker.mail.parsing import Parsed
from tracker.mail.rewrite import without_bcc
from tracker.sending.editing import (
    ANSWER,
    ASKED,
    FAULT,
    CopyEdits,
    CopyPlan,
    Examined,
    read_copies,
    read_examined,
)

SECONDS = 5.0  # for one mail of a usual size
SECONDS_FOR_MB = 0.5  # more for each MB of it
PROCESSES = 2
_STARTING = 15.0  # more for the first mail of a process
_MEMORY = 3 << 30
_BROKEN = (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError, TypeError, KeyError)

log = logging.getLogger(__name__)


class Editor:
    """A few processes. Its questions raise nothing but cancellation; `close` ends the processes."""

    def __init__(self, base_url: str, processes: int = PROCESSES, seconds: float = SECONDS) -> None:
        self._base_url = base_url
        self._seconds = seconds
        self._free: asyncio.LifoQueue[asyncio.subprocess.Process | None] = asyncio.LifoQueue()
        for _ in range(processes):
            self._free.put_nowait(None)

    async def examine(self, raw: bytes) -> Examined:
        """What the mail is; with a fault where that took too long."""
        try:
            return read_examined(await self._ask({"do": "examine"}, raw))
        except _BROKEN as error:
            log.warning("a mail could not be examined (%s); it goes as it is", type(error).__name__)
            return Examined(Parsed(fault=_said(error)), FAULT)

    async def edit_copies(
        self, raw: bytes, plans: Sequence[CopyPlan], targets: Mapping[str, str]
    ) -> list[CopyEdits]:
        """The edits of each plan's copy; on a fault those of the mail as it came, without its Bcc header."""
        given = [(plan.pixel_url, dict(plan.links)) for plan in plans]
        try:
            copies = read_copies(
                await self._ask({"do": "edit", "plans": given, "targets": dict(targets)}, raw)
            )
            if len(copies) != len(plans):
                raise ValueError("an answer to something else")
        except _BROKEN as error:
            log.warning("a mail could not be edited (%s); it goes as it is", type(error).__name__)
            return [CopyEdits(without_bcc(raw), FAULT) for _ in plans]
        return copies

    async def _ask(self, question: dict[str, Any], raw: bytes) -> Any:
        process = await self._free.get()
        sound = False
        try:
            megabytes = len(raw) / 1_000_000
            allowed = self._seconds + SECONDS_FOR_MB * megabytes * (1 + len(question.get("plans", ())))
            if process is None or process.returncode is not None:
                process = await self._start()
                allowed += _STARTING
            async with asyncio.timeout(allowed):
                given = await self._exchange(process, {**question, "base_url": self._base_url}, raw)
            sound = True
            return given
        finally:
            if not sound and process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            self._free.put_nowait(process if sound else None)

    async def _start(self) -> asyncio.subprocess.Process:
        root = str(Path(tracker.__file__).parents[1])
        code = (
            f"import sys, resource; sys.path.insert(0, {root!r}); "
            f"resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY})); "
            "from tracker.sending.editing import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
        )
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", code, env={},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 20,
        )  # fmt: skip

    async def _exchange(
        self, process: asyncio.subprocess.Process, question: Mapping[str, Any], raw: bytes
    ) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = json.dumps(question).encode()
        process.stdin.write(ASKED.pack(len(asked), len(raw)) + asked)
        process.stdin.write(raw)
        await process.stdin.drain()
        (length,) = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
        return json.loads(await process.stdout.readexactly(length))

    async def close(self) -> None:
        """Ends the processes that are free; call it when no mail is being worked on any more."""
        while not self._free.empty():
            process = self._free.get_nowait()
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


def _said(error: Exception) -> str:
    return "took too long" if isinstance(error, TimeoutError) else "its parser died"
