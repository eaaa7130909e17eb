"""Parses captured mails in processes of their own, so that a hostile one costs nobody else anything.

Called by tracker/mail/capture.py. A process that takes too long, or dies of a mail, is replaced; the mail
counts as seen. The processes begin at the first mail and get nothing of ours but the mail and the address
of this instance.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tracker.mail import parsing
from tracker.mail.parsing import ANSWER, SIZE, Parsed
from tracker.mail.processes import Processes

SECONDS = 4.0  # for one mail
PROCESSES = 2
_STARTING = 10.0  # more for the first mail of a process
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from tracker.mail.parsing import serve; serve()"


class Parser:
    """A few parsing processes. `parse` never raises but for cancellation; `close` ends them."""

    def __init__(self, public_url: str, processes: int = PROCESSES, seconds: float = SECONDS) -> None:
        self._url = public_url.encode()
        self._seconds = seconds
        root = str(Path(parsing.__file__).parents[2])
        self._processes = Processes(processes, _STARTING, _PROGRAM, root)

    async def parse(self, raw: bytes) -> Parsed:
        """What the mail says; with `fault` where it took too long or broke its parser."""
        try:
            return await self._processes.ask(lambda process: self._ask(process, raw), self._seconds)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError, TypeError, KeyError) as error:
            return Parsed(fault="took too long" if isinstance(error, TimeoutError) else "parser died")

    async def _ask(self, process: asyncio.subprocess.Process, raw: bytes) -> Parsed:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(SIZE.pack(len(self._url), len(raw)) + self._url + raw)
        await process.stdin.drain()
        (length,) = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
        return Parsed.from_json(await process.stdout.readexactly(length))

    async def close(self) -> None:
        """Ends the processes that are free; call it when nothing is being parsed any more."""
        await self._processes.close()
