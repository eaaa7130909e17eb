"""Parses captured mails in processes of their own, so that a hostile one costs nobody else anything.

Called by tracker/mail/capture.py. A process that takes too long, or dies of a mail, is replaced; the mail
counts as seen. The processes begin at the first mail and get nothing of ours but the mail and the address
of this instance.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tracker.mail import parsing
from tracker.mail.parsing import ANSWER, COUNT, SIZE, Parsed
from tracker.mail.processes import Processes

SECONDS = 4.0  # for one mail
PROCESSES = 2
SMALL = 64 * 1024  # bytes of a mail that may go to a process together with others
TOGETHER = 8
_STARTING = 10.0  # more for the first mail of a process
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from tracker.mail.parsing import serve; serve()"


class Parser:
    """A few parsing processes. `parse` never raises but for cancellation; `close` ends them."""

    def __init__(self, public_url: str, processes: int = PROCESSES, seconds: float = SECONDS) -> None:
        self._url = public_url.encode()
        self._seconds = seconds
        root = str(Path(parsing.__file__).parents[2])
        self._processes = Processes(processes, _STARTING, _PROGRAM, root)
        self._most = processes
        self._waiting: deque[tuple[bytes, asyncio.Future[Parsed]]] = deque()
        self._askers: set[asyncio.Task[None]] = set()

    async def parse(self, raw: bytes) -> Parsed:
        """What the mail says; with `fault` where it took too long or broke its parser."""
        if len(raw) > SMALL:
            return await self._alone(raw)
        done: asyncio.Future[Parsed] = asyncio.get_running_loop().create_future()
        self._waiting.append((raw, done))
        if len(self._askers) < self._most:
            self._askers.add(asyncio.create_task(self._ask_all()))
        return await done

    async def _ask_all(self) -> None:
        try:
            await self._ask_waiting()
        finally:
            # At once, not by a callback: whoever was answered just now may come first with another mail, and
            # would wait for ever for somebody who has gone.
            self._askers.discard(asyncio.current_task())

    async def _ask_waiting(self) -> None:
        """Small mails that queued up go to a process together, until there are none."""
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            raws = [raw for raw, _ in some]
            try:
                answers = await self._processes.ask(lambda process: self._ask(process, raws), self._seconds)  # noqa: B023, awaited here
            except Exception:  # by one of them: each by itself, so that it costs the others nothing but time
                answers = [await self._alone(raw) for raw in raws]
            for (_, done), parsed in zip(some, answers, strict=True):
                if not done.done():
                    done.set_result(parsed)

    async def _alone(self, raw: bytes) -> Parsed:
        try:
            (parsed,) = await self._processes.ask(lambda process: self._ask(process, [raw]), self._seconds)
        except Exception as error:  # nobody may wait for ever
            return Parsed(fault="took too long" if isinstance(error, TimeoutError) else "parser died")
        return parsed

    async def _ask(self, process: asyncio.subprocess.Process, raws: Sequence[bytes]) -> list[Parsed]:
        assert process.stdin is not None
        assert process.stdout is not None
        mails = (SIZE.pack(len(self._url), len(raw)) + self._url + raw for raw in raws)
        process.stdin.write(COUNT.pack(len(raws)) + b"".join(mails))
        await process.stdin.drain()
        (length,) = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
        given = (await process.stdout.readexactly(length)).splitlines()
        if len(given) != len(raws):
            raise ValueError("an answer to something else")
        return [Parsed.from_json(one) for one in given]

    async def close(self) -> None:
        """Ends the processes that are free; call it when nothing is being parsed any more."""
        await self._processes.close()
