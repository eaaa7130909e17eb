"""Reads and edits mails in processes of their own, with a time limit: no mail holds up the event loop.

Called by the relay. A process that takes too long or dies of a mail is replaced, and that mail goes as its
sender wrote it. The processes begin at the first mail; they know nothing of ours but this instance's address.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tracker
from tracker.mail.parsing import Parsed
from tracker.mail.processes import Processes
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
_PROGRAM = """
import sys, resource
sys.path.insert(0, sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
from tracker.sending.editing import serve
serve(sys.stdin.buffer, sys.stdout.buffer)
"""
_BROKEN = (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError, TypeError, KeyError)

log = logging.getLogger(__name__)


class Editor:
    """A few processes. Its questions raise nothing but cancellation; `close` ends the processes."""

    def __init__(self, base_url: str, processes: int = PROCESSES, seconds: float = SECONDS) -> None:
        self._base_url = base_url
        self._seconds = seconds
        root = str(Path(tracker.__file__).parents[1])
        self._processes = Processes(processes, _STARTING, _PROGRAM, root, str(_MEMORY))

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
        asked = {**question, "base_url": self._base_url}
        megabytes = len(raw) / 1_000_000
        allowed = self._seconds + SECONDS_FOR_MB * megabytes * (1 + len(question.get("plans", ())))
        return await self._processes.ask(lambda process: self._exchange(process, asked, raw), allowed)

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
        await self._processes.close()


def _said(error: Exception) -> str:
    return "took too long" if isinstance(error, TimeoutError) else "its parser died"
