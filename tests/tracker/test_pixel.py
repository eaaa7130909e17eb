"""The pixel, by the lean protocol and by the ordinary application: the very same tests and answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models import Agent, Hit, Link, Message
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import CHROME
from tests.tracker.running import Tracker, running
from tracker.hits.judge import Judge
from tracker.web.hits import GIF

AGENT = "Mozilla/5.0 (Macintosh) Firefox/140.0"


@pytest.fixture(params=["lean", "ordinary"])
async def tracker(
    request: pytest.FixtureRequest, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> AsyncIterator[Tracker]:
    environment = {"TRUSTED_PROXIES": "127.0.0.0/8"}
    async with running(
        sqlite_database, tmp_path, lean=request.param == "lean", now=clock, environment=environment
    ) as one:
        yield one


@pytest.fixture
async def links(sqlite_database: DatabaseURL, clock: Clock) -> list[Link]:
    message = await builders.mail(await builders.account("alice", clock()), clock())
    return await Link.filter(message=message).order_by("position")


@pytest.fixture
def path(links: list[Link]) -> str:
    return f"/o/{links[0].token}.gif"


async def raw(tracker: Tracker, request: bytes, *, until: int = 1) -> bytes:
    """What comes back for exactly these bytes, until so many GIFs or the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    writer.write(request)
    answer = b""
    async with asyncio.timeout(5):
        while answer.count(GIF) < until:
            data = await reader.read(65536)
            if not data:
                break
            answer += data
    writer.close()
    return answer


def undated(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]+", b"Date: -", answer)


async def test_the_pixel_is_always_the_same_43_bytes(tracker: Tracker, path: str) -> None:
    assert len(GIF) == 43
    wanted: set[tuple[int, bytes, tuple[tuple[str, str], ...]]] = set()
    for address in (path, "/o/unknownunknownunknown12.gif", "/o/x.gif", "/o/", "/o/a/b", path + "?x=1"):
        for headers in ({}, {"If-None-Match": '"x"'}, {"Range": "bytes=0-1"}, {"If-Modified-Since": "x"}):
            async with tracker.client.get(tracker.url(address), headers=headers) as answer:
                sent = tuple((name, value) for name, value in answer.headers.items() if name != "Date")
                wanted.add((answer.status, await answer.read(), sent))
    assert len(wanted) == 1
    status, body, headers_sent = wanted.pop()
    assert (status, body) == (200, GIF)
    assert dict(headers_sent) == {
        "Content-Type": "image/gif",
        "Cache-Control": "no-store, no-cache, must-revalidate, max-age=0, private",
        "Server": "mailbell",
        "Content-Length": "43",
    }


async def test_no_byte_of_an_answer_tells_what_the_request_was_taken_for(
    tracker: Tracker, path: str, links: list[Link], clock: Clock
) -> None:
    """Scanners, previews, the sender and people get the same, but for the date."""
    requests = [
        "User-Agent: Mozilla/5.0 (via ggpht.com GoogleImageProxy)",
        "User-Agent: Mozilla/5.0",
        "User-Agent: Slackbot-LinkExpanding 1.0",
        "User-Agent: BarracudaCentral/1.0",
        "User-Agent: curl/8.5.0",
        f"User-Agent: {CHROME}",
        f"User-Agent: {CHROME}",
        f"User-Agent: {CHROME}\r\nSec-Purpose: prefetch",
        "X-Nothing: 1",
    ]
    await Message.all().update(armed_at=clock())
    for target in (path, f"/c/{links[1].token}"):
        answers = set()
        for headers in requests:
            clock.advance(hours=1 if headers != requests[6] else 0)
            head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n\r\n"
            answers.add(undated(await raw(tracker, head.encode(), until=9)))
        assert len(answers) == 1
    await Judge(tracker.services).judge_once()
    opens = {hit.verdict for hit in await Hit.filter(kind="open")}
    assert opens == {
        "proxied",
        "privacy",
        "unfurler",
        "scanner",
        "bot",
        "human",
        "duplicate",
        "prefetch",
        "unknown",
    }
    assert len({hit.verdict for hit in await Hit.filter(kind="click")}) > 5


async def test_an_open_is_stored_when_its_answer_is_out(
    tracker: Tracker, path: str, links: list[Link], clock: Clock
) -> None:
    headers = {
        "User-Agent": AGENT,
        "Sec-Purpose": "prefetch",
        "X-Forwarded-For": "6.6.6.6, 203.0.113.77",
        "Accept-Language": "de",
    }
    async with tracker.client.get(tracker.url(path), headers=headers) as answer:
        assert answer.status == 200
    hit = await Hit.get()
    assert (hit.kind, hit.link_id, hit.method, hit.at) == ("open", links[0].id, "GET", clock())
    assert (hit.network, hit.purpose) == ("203.0.113.0/24", "prefetch")
    assert hit.headers == {"accept": "*/*", "accept-language": "yes"}
    assert (await Agent.get(id=hit.agent_id)).text == AGENT
    assert hit.device is not None
    assert "203.0.113.77" not in repr(dict(hit))


async def test_head_is_answered_and_not_counted(tracker: Tracker, path: str) -> None:
    async with tracker.client.head(tracker.url(path)) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "43")
        assert await answer.read() == b""
    async with tracker.client.options(tracker.url(path)) as answer:
        assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    for method in ("POST", "PROPFIND", "DELETE"):
        async with tracker.client.request(method, tracker.url(path), data=b"x") as answer:
            assert answer.status == 405
    await Judge(tracker.services).judge_once()
    hits = await Hit.all().order_by("id")
    assert [hit.method for hit in hits] == ["HEAD", "OPTIONS", "POST", "PROPFIND", "DELETE"]
    assert {hit.verdict for hit in hits} == {"bot"}
    mail = await Message.get()
    assert (mail.opens, mail.total_opens) == (0, 5)


async def test_a_token_of_a_link_is_no_pixel(tracker: Tracker, links: list[Link]) -> None:
    async with tracker.client.get(tracker.url(f"/o/{links[1].token}.gif")) as answer:
        assert await answer.read() == GIF
    assert await Hit.all().count() == 0


async def test_an_opted_out_pixel_records_nothing(tracker: Tracker, path: str, links: list[Link]) -> None:
    await Link.filter(id=links[0].id).update(recording=False)
    async with tracker.client.get(tracker.url(path)) as answer:
        assert await answer.read() == GIF
    assert await Hit.all().count() == 0


async def test_a_connection_goes_on_after_anything(tracker: Tracker, path: str) -> None:
    """Plain requests, then one for the framework, then plain ones again, all on one connection."""
    plain = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    odd = f"GET {path}?q HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    for request in (plain, plain, odd, plain, plain):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await reader.readexactly(43) == GIF
    writer.close()
    assert await Hit.all().count() == 5


async def test_pipelined_requests_are_answered_in_turn(tracker: Tracker, path: str) -> None:
    one = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert (await raw(tracker, one * 20, until=20)).count(GIF) == 20
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    for _ in range(10):
        writer.write(one)
        await asyncio.sleep(0)
    answer = b""
    while answer.count(GIF) < 10:
        answer += await reader.read(65536)
    writer.close()
    assert await Hit.all().count() == 30


async def test_a_head_that_arrives_in_pieces_is_answered(tracker: Tracker, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    for byte in f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode():
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(43) == GIF
    writer.close()


@pytest.mark.parametrize(
    "behind",
    [
        b"Content-Length: 1000\r\n\r\nand the rest never comes",
        b"Content-Length: 900000\r\n\r\n" + b"x" * 900_000,
        b"Content-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello",
        b"Content-Length: 3\r\nContent-Type: multipart/form-data\r\n\r\nabc",
    ],
)
async def test_nothing_behind_the_head_keeps_a_pixel_from_its_answer(
    tracker: Tracker, path: str, behind: bytes
) -> None:
    answer = await raw(tracker, f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + behind)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(GIF)
    assert await Hit.all().count() == 1


async def test_a_connection_closes_when_the_client_wants_it(tracker: Tracker, path: str) -> None:
    answer = await raw(
        tracker, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(), until=9
    )
    assert answer.endswith(GIF)
    assert b"Connection: close" in answer
    old = await raw(tracker, f"GET {path} HTTP/1.0\r\n\r\n".encode(), until=9)
    assert old.endswith(GIF)
    assert await Hit.all().count() == 2


async def test_ten_thousand_vanished_clients_leave_it_working(tracker: Tracker, path: str) -> None:
    """They close at once, in the middle of a head, or before their answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async def vanish(number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
        writer.write(request[: (0, 9, len(request))[number % 3]])
        if number % 2:
            writer.transport.abort()
        else:
            writer.close()

    for start in range(0, 10_000, 100):
        await asyncio.gather(*(vanish(number) for number in range(start, start + 100)))
    async with tracker.client.get(tracker.url(path)) as answer:
        assert await answer.read() == GIF
    assert tracker.recorder.hits_lost == 0
    assert tracker.recorder.journal.waiting == 0
    assert await Hit.all().count() >= 1


async def test_a_stop_answers_what_is_under_way(
    sqlite_database: DatabaseURL, tmp_path: Path, path: str
) -> None:
    for lean in (True, False):
        connections = []
        async with running(sqlite_database, tmp_path, lean=lean) as tracker:
            for _ in range(50):
                reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                connections.append((reader, writer))
            await asyncio.sleep(0)
        for reader, writer in connections:
            assert (await reader.read()).endswith(GIF)
            writer.close()
