"""mailbell as a real process: `python -m bot` in a directory of its own, talked to as scripts do."""

from __future__ import annotations

import asyncio
import atexit
import functools
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.database import DatabaseURL
from models.migrate import migrate

ROOT = Path(__file__).parent.parent.parent


def _ports() -> Iterator[int]:
    """Ports of this process alone, each once: what was given but is not listened at yet is nobody else's."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = 20_000 + int(worker) % 6 * 2000
    ports = list(range(first, first + 2000))
    random.SystemRandom().shuffle(ports)
    return itertools.cycle(ports)


_PORTS = _ports()


def free_port() -> int:
    """A port that nothing listens at, and that the system gives to no outgoing connection meanwhile."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(port: int, **more: str) -> dict[str, str]:
    """What a process gets: this test's settings and nothing of the machine's own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ports = {"CAPTURE_PORT": "", "SUBMISSION_PORT": "", "SUBMISSIONS_PORT": ""}
    return {**kept, **ports, "PORT": str(port), "PYTHONPATH": str(ROOT), **more}


@dataclass
class Mailbell:
    """A running process; every JSON line of its stdout is kept in `lines`."""

    process: asyncio.subprocess.Process
    port: int
    lines: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        self._readers = [asyncio.create_task(self._read_lines()), asyncio.create_task(self._read_errors())]

    async def _read_lines(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            async with self._news:
                self.lines.append(json.loads(raw))
                self._news.notify_all()

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            async with self._news:
                self.errors.append(raw.decode().rstrip())
                self._news.notify_all()

    async def say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        await self.process.stdin.drain()

    async def wait_for(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """The first JSON line that is wanted, now or as it comes; else what the process said last."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    for line in self.lines:
                        if wanted(line):
                            return line
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError([*self.lines[-5:], *self.errors[-20:]]) from None

    async def wait_for_error(self, part: str, seconds: float = 60) -> str:
        """The first line of stderr that holds `part`."""
        async with asyncio.timeout(seconds), self._news:
            while True:
                for line in self.errors:
                    if part in line:
                        return line
                await self._news.wait()

    async def end(self, number: int = signal.SIGTERM, seconds: float = 20) -> int:
        """Sends the signal and waits; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
        await asyncio.gather(*self._readers)
        return code


@functools.cache
def _template() -> Path:
    folder = tempfile.mkdtemp(prefix="mbdb")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "mailbell.db"


async def _give_database(path: Path) -> None:
    """A database with the newest schema at `path`, where there is none: made once, then copied."""
    if path.exists():
        return
    await migrate(DatabaseURL("sqlite", path=_template()))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy(_template(), path)


@asynccontextmanager
async def mailbell(
    directory: Path, *arguments: str, port: int | None = None, from_nothing: bool = False, **settings: str
) -> AsyncIterator[Mailbell]:
    """`python -m bot …` in `directory`; killed at the end if the test has not ended it.

    Unless it starts `from_nothing`, its database is there already, which saves the time of making one.
    """
    port = port or free_port()
    if not from_nothing and "DATABASE_URL" not in settings:
        await _give_database(directory / settings.get("DATA_DIR", "data") / "mailbell.db")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error::ResourceWarning", "-m", "bot", *arguments,
        cwd=directory, env=environment(port, **settings), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    running = Mailbell(process, port)
    running.begin()
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await asyncio.gather(*running._readers, return_exceptions=True)
        if process.stdin is not None:
            process.stdin.close()
