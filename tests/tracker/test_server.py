"""What the listener says of what comes in: nothing of strangers' garbage, and nobody's address."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from models.database import DatabaseURL
from tests.tracker.running import Tracker, running
from tracker.web import hits

_GARBAGE = [
    b"GET /o/x.gif HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nand gone",
    b"\x16\x03\x01\x00\xa5\x01\x00",
    b"GET / HTTP/9\r\n\r\n",
]


async def _send(tracker: Tracker, data: bytes) -> bytes:
    """Sends, waits a moment for the answer, and hangs up without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    writer.write(data)
    await writer.drain()
    answer = b""
    try:
        async with asyncio.timeout(0.5):
            answer = await reader.read(65536)
    except TimeoutError:
        pass
    writer.transport.abort()
    return answer


@pytest.mark.parametrize("garbage", _GARBAGE)
async def test_strangers_garbage_does_not_fill_the_log(
    sqlite_database: DatabaseURL, tmp_path: Path, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    caplog.set_level(logging.INFO)
    async with running(sqlite_database, tmp_path) as tracker:
        answer = await _send(tracker, garbage)
    assert b"500" not in answer[:20]
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_fault_of_ours_is_logged_without_the_clients_address(
    sqlite_database: DatabaseURL,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hits, "describe", lambda *_: 1 / 0)
    async with running(sqlite_database, tmp_path, lean=False) as tracker:
        path = f"/o/{'a' * 22}.gif"
        await _send(tracker, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert "Error handling a request" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "127.0.0.1" not in caplog.text
