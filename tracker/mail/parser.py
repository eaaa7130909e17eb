"""Parses captured mails in processes of their own, so that a hostile one costs nobody else anything.

Called by tracker/mail/capture.py. A process that takes too long, or dies of a mail, is replaced; the mail
counts as seen. The processes begin at the first mail and get nothing of ours but the mail and the address
of this instance.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from tracker.mail import parsing
from tracker.mail.parsing import ANSWER, SIZE, Parsed

SECONDS = 4.0  # for one mail
PROCESSES = 2
_STARTING = 10.0  # more for the first mail of a process
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from tracker.mail.parsing import serve; serve()"


class Parser:
    """A few parsing processes. `parse` never raises but for cancellation; `close` ends them."""

    def __init__(self, public_url: str, processes: int = PROCESSES, seconds: float = SECONDS) -> None:
        self._url = public_url.encode()
        self._seconds = seconds
        self._free: asyncio.Queue[asyncio.subprocess.Process | None] = asyncio.Queue()
        for _ in range(processes):
            self._free.put_nowait(None)

    async def parse(self, raw: bytes) -> Parsed:
        """What the mail says; with `fault` where it took too long or broke its parser."""
        process = await self._free.get()
        sound = False
        try:
            allowed = self._seconds
            if process is None or process.returncode is not None:
                process = await self._start()
                allowed += _STARTING
            async with asyncio.timeout(allowed):
                parsed = await self._ask(process, raw)
            sound = True
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError, TypeError, KeyError) as error:
            parsed = Parsed(fault="took too long" if isinstance(error, TimeoutError) else "parser died")
        finally:
            if not sound and process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            self._free.put_nowait(process if sound else None)
        return parsed

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", _PROGRAM, str(Path(parsing.__file__).parents[2]), env={},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def _ask(self, process: asyncio.subprocess.Process, raw: bytes) -> Parsed:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(SIZE.pack(len(self._url), len(raw)) + self._url + raw)
        await process.stdin.drain()
        (length,) = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
        return Parsed.from_json(await process.stdout.readexactly(length))

    async def close(self) -> None:
        """Ends the processes that are free; call it when nothing is being parsed any more."""
        while not self._free.empty():
            process = self._free.get_nowait()
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
