"""Lines in and out of the process's own stdin and stdout, without a thread and without blocking the loop.

Used by bot/console.py only. The descriptors stay in blocking mode: a terminal shares it between stdin, stdout
and the shell behind them, so setting it would break others. Instead nothing is read or written before the
system says that it will not block; what has no such state (a file, /dev/null) never blocks.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

CHUNK = 4096  # what a pipe that can be written takes at once (PIPE_BUF)
LONGEST_LINE = 1 << 20


class OutputGoneError(Exception):
    """Nobody reads stdout any more."""


class LineReader:
    """Lines of a descriptor, one by one; nothing is read ahead of the line that is asked for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._ended = False

    async def line(self) -> str | None:
        """The next line without its end, or None at the end of input. What is too long is cut."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0 or (self._ended and self._buffer):
                line = bytes(self._buffer[:end]) if end >= 0 else bytes(self._buffer)
                del self._buffer[: len(line) + 1]
                return line[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
            if self._ended:
                return None
            if len(self._buffer) > LONGEST_LINE:
                del self._buffer[LONGEST_LINE:]
            await self._read()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        await _until_ready(self._descriptor, loop.add_reader, loop.remove_reader)
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:  # somebody else took it
            return
        except OSError:  # the terminal hung up
            data = b""
        self._buffer += data
        self._ended = not data


class LineWriter:
    """Writes whole texts to a descriptor, one after the other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._turn = asyncio.Lock()
        self._unfinished = b""  # of a text whose caller gave up half way: no line may begin inside another
        self.gone = False

    async def write(self, text: str) -> None:
        """Returns once the system took all of it. Raises OutputGoneError, then and ever after."""
        async with self._turn:
            await self._write_all(self._unfinished)
            await self._write_all(text.encode("utf-8", "replace"))

    async def _write_all(self, data: bytes) -> None:
        rest = data
        try:
            while rest:
                if self.gone:
                    raise OutputGoneError
                await self._until_writable()
                try:
                    rest = rest[os.write(self._descriptor, rest[:CHUNK]) :]
                except BlockingIOError:
                    await asyncio.sleep(0.01)  # another program made the terminal non-blocking
                except OSError as error:
                    self.gone = True
                    raise OutputGoneError(str(error)) from error
        finally:
            begun = len(rest) < len(data) or data is self._unfinished
            self._unfinished = rest if begun else b""

    async def _until_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(0):
            loop = asyncio.get_running_loop()
            await _until_ready(self._descriptor, loop.add_writer, loop.remove_writer)


async def _until_ready(
    descriptor: int,
    add: Callable[[int, Callable[[], None]], object],
    remove: Callable[[int], object],
) -> None:
    """Waits until the descriptor can be used; at once for what is always ready."""
    ready = asyncio.Event()
    try:
        add(descriptor, ready.set)
    except OSError:  # epoll refuses files and devices such as /dev/null: they never block
        await asyncio.sleep(0)  # and may never end: others have their turn
        return
    try:
        await ready.wait()
    finally:
        remove(descriptor)
