"""Connections whose first request is answered before they have a transport."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from tests.tracker.running import Tracker, running
from tests.tracker.test_record import FickleWriter
from tracker.web.entrance import BURST, Entrance, First
from tracker.web.hits import GIF
from tracker.web.keys import INTAKE, RECORDER
from tracker.web.lean import Door

PIXEL = b"GET /o/" + b"t" * 22 + b".gif HTTP/1.1\r\nHost: x\r\n"
LAST = PIXEL + b"Connection: close\r\n\r\n"


def site(folder: Path, writer: FickleWriter) -> Any:
    return running(cast(Any, None), folder, writer=cast(Any, writer))


def door_of(tracker: Tracker) -> Door:
    return Door(tracker.app[INTAKE], tracker.app[RECORDER], lambda: asyncio.Protocol())


async def sent(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has its request in it before the server looks."""
    one = socket.create_connection(("127.0.0.1", port))
    one.sendall(data)
    return await asyncio.open_connection(sock=one)


async def test_more_than_a_burst_of_readers_at_once_are_all_answered(tmp_path: Path) -> None:
    writer = FickleWriter()
    async with site(tmp_path, writer) as tracker:
        connections = [await sent(tracker.port, LAST) for _ in range(BURST + 10)]
        answers = await asyncio.gather(*(reader.read() for reader, _ in connections))
        for _, one in connections:
            one.close()
    assert all(answer.endswith(GIF) and b"\r\nConnection: close\r\n" in answer for answer in answers)
    assert len(writer.stored) == BURST + 10
    assert {hit.network for hit in writer.stored} == {"127.0.0.0/24"}


async def test_a_connection_that_stays_is_answered_again(tmp_path: Path) -> None:
    writer = FickleWriter()
    async with site(tmp_path, writer) as tracker:
        reader, one = await sent(tracker.port, PIXEL + b"\r\n")
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(43) == GIF
            one.write(PIXEL + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(43) == GIF
        one.close()
    assert len(writer.stored) == 4


async def test_nobody_is_answered_before_the_commit_nor_cut_off_by_a_stop(tmp_path: Path) -> None:
    writer = FickleWriter()
    writer.mode = "stuck"
    async with site(tmp_path, writer) as tracker:
        reader, one = await sent(tracker.port, PIXEL + b"\r\n")
        while not writer.stuck:
            await asyncio.sleep(0)
        answer = asyncio.ensure_future(reader.read())
        await asyncio.sleep(0)
        assert not answer.done()
        asyncio.get_running_loop().call_later(0.01, lambda: writer.come_back(with_the_queue=True))
    told = await answer
    assert told.endswith(GIF)
    assert b"\r\nConnection: close\r\n" in told
    assert len(writer.stored) == 1
    one.close()


async def test_who_hung_up_meanwhile_is_recorded_and_forgotten(tmp_path: Path) -> None:
    writer = FickleWriter()
    writer.mode = "stuck"
    async with site(tmp_path, writer) as tracker:
        for data in (LAST, PIXEL + b"\r\n"):
            _, one = await sent(tracker.port, data)
            one.transport.abort()
        while len(writer.stuck) < 2:
            await asyncio.sleep(0)
        writer.come_back(with_the_queue=True)
    assert len(writer.stored) == 2


@pytest.mark.parametrize("closing", [True, False])
async def test_an_answer_that_does_not_fit_is_sent_when_there_is_room(tmp_path: Path, closing: bool) -> None:
    async with site(tmp_path, FickleWriter()) as tracker:
        door = door_of(tracker)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        entrance = Entrance(door, listening)
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += ours.send(b"x" * 1024)
        First(entrance, door, ours, closing).answer()
        reader, writer = await asyncio.open_connection(sock=theirs)
        await reader.readexactly(filled)
        answer = door.last_answer if closing else door.answer
        assert await reader.readexactly(len(answer)) == answer
        if closing:
            assert await reader.read() == b""
        writer.close()
        entrance.close()
        await door.stop(1)


class Scarce(socket.socket):
    """A listening socket of a process that has all files open that it may have, for one moment."""

    refused = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_a_file_left_it_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tracker.web.entrance._RETRY_SECONDS", 0.01)
    writer = FickleWriter()
    async with site(tmp_path, writer) as tracker:
        listening = Scarce()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        door = door_of(tracker)
        entrance = Entrance(door, listening)
        reader, one = await sent(listening.getsockname()[1], LAST)
        assert (await reader.read()).endswith(GIF)
        one.close()
        entrance.close()
        await door.stop(1)
    assert "no connection can be taken" in caplog.text
