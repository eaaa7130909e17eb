"""The lean protocol against the framework alone: any bytes, in any pieces, get the same answer."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tracker.running import Tracker, running
from tests.tracker.test_record import FickleWriter
from tracker.web.lean import parse_head

PIXEL = b"GET /o/" + b"t" * 22 + b".gif HTTP/1.1\r\n"
HEADS = [
    b"Host: x\r\n",
    b"Host: a\r\nHost: b\r\n",
    b"Host:\r\n",
    b"Host: x y\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"User-Agent: Mozilla/5.0\r\n",
    b"User-Agent: \xff\xfe\r\n",
    b" folded: x\r\n",
    b"no colon\r\n",
    b"bad name: x\r\n",
    b"X-A: a\x00b\r\n",
    b"X-A: a\nb\r\n",
    b"X-A: a\rb\r\n",
    b": x\r\n",
    b"X" * 9000 + b": x\r\n",
    b"Range: bytes=0-1\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n",
    b"\r\n",
    b"\r\nabc",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
]
LINES = [
    PIXEL,
    PIXEL,
    PIXEL,
    PIXEL.replace(b"1.1", b"1.0"),
    PIXEL.replace(b"GET", b"HEAD"),
    PIXEL.replace(b"GET", b"POST"),
    PIXEL.replace(b"GET", b"get"),
    PIXEL.replace(b".gif", b""),
    PIXEL.replace(b"/o/", b"//o/"),
    PIXEL.replace(b" ", b"  "),
    PIXEL.replace(b"\r\n", b"\n"),
    PIXEL.replace(b"1.1", b"3.7"),
    PIXEL.replace(b"/o/", b"http://x/o/"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n",
    b"\x16\x03\x01\x02\x00\x01",
]
LAST = PIXEL + b"Host: x\r\nConnection: close\r\n\r\n"
messages = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(LINES), st.lists(st.sampled_from(HEADS), max_size=4)).map(
            lambda made: made[0] + b"".join(made[1]) + b"\r\n"
        ),
        st.binary(max_size=80),
        st.just(PIXEL + b"Host: x\r\n\r\n"),
    ),
    min_size=1,
    max_size=4,
).map(b"".join)


async def answer(tracker: Tracker, message: bytes, cuts: list[int]) -> list[bytes]:
    """The answers that come back, without their dates, until the connection ends or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    edges = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    received = b""
    try:
        for start, end in pairwise(edges):
            writer.write(message[start:end])
            await asyncio.sleep(0.001 if cuts else 0)
        writer.write(LAST)
        while data := await asyncio.wait_for(reader.read(65536), 0.2):
            received += data
    except OSError:  # includes the time-out
        pass
    finally:
        writer.close()
    plain = re.sub(rb"Date: [^\r]+", b"Date: -", received)
    return [part for part in re.split(rb"(?=HTTP/1\.[01] \d)", plain) if part]


def test_any_bytes_get_the_answer_of_the_framework(tmp_path: Path) -> None:
    """A connection that the server cuts may lose its last answers on either side; all others are compared."""
    compared = 0
    loop = asyncio.new_event_loop()
    stack: list[Any] = []

    async def start(lean: bool) -> Tracker:
        folder = tmp_path / str(lean)
        folder.mkdir()
        manager = running(cast(Any, None), folder, lean=lean, writer=cast(Any, FickleWriter()))
        stack.append(manager)
        return await manager.__aenter__()

    lean, ordinary = loop.run_until_complete(start(True)), loop.run_until_complete(start(False))

    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
    @given(messages, st.lists(st.integers(0, 400), max_size=3))
    def check(message: bytes, cuts: list[int]) -> None:
        one = loop.run_until_complete(answer(lean, message, cuts))
        other = loop.run_until_complete(answer(ordinary, message, cuts))
        shorter = min(len(one), len(other))
        assert one[:shorter] == other[:shorter]
        nonlocal compared
        compared += shorter

    try:
        check()
        assert compared > 250
    finally:
        for manager in stack:
            loop.run_until_complete(manager.__aexit__(None, None, None))
        loop.close()


@given(st.binary(max_size=300))
def test_no_head_makes_it_fail(raw: bytes) -> None:
    parse_head(raw)


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n",
        b"Host: x\r\nhost: y\r\n\r\n",
        b"Host: x\r\nContent-Length: 0\r\n\r\n",
        b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Host: x\r\nConnection: upgrade\r\n\r\n",
        b"Host: x\r\n folded\r\n\r\n",
        b"Host: x\r\nUser-Agent: \xc3\xa4\r\n\r\n",
        b"Host: x\nA: b\r\n\r\n",
    ],
)
def test_what_is_unusual_is_the_frameworks(head: bytes) -> None:
    assert parse_head(head) is None


def test_a_plain_head_is_understood() -> None:
    head = parse_head(
        b"Host: x:80\r\nUser-Agent:  Mozilla/5.0 \r\nX-Moz: prefetch\r\nConnection: close\r\n\r\n"
    )
    assert head is not None
    described, closing = head
    assert (described.agent, described.purpose, closing) == ("Mozilla/5.0", "prefetch", True)
