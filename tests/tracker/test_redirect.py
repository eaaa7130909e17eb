"""A tracked link leads to exactly what was asked for, whatever happens to us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models import Hit, Link, Message
from models.database import DatabaseURL, open_database, parse_database_url
from models.postgres_wake import PostgresWake
from models.sqlite_writer import SqliteWriter
from models.wake import LINKS
from models.writer import WriterDownError
from tests import builders
from tests.conftest import Clock
from tests.tracker.running import Tracker, running
from tracker.keys import new_token
from tracker.mail.forget import forget_message
from tracker.web import hits


class ReadableOrNot(SqliteWriter):
    """Reads fail or hang on demand."""

    failing = False
    hanging = False
    reads = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.has_read, self.late = asyncio.Event(), asyncio.Event()
        self.late.set()

    async def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.reads += 1
        if self.hanging:
            await asyncio.sleep(60)
        if self.failing:
            raise WriterDownError("down")
        rows = await super().fetch(sql, arguments)
        if not self.late.is_set() and not self.has_read.is_set():
            self.has_read.set()
            await self.late.wait()
        return rows


@pytest.fixture
def writer(sqlite_database: DatabaseURL) -> ReadableOrNot:
    assert sqlite_database.path is not None
    return ReadableOrNot(sqlite_database.path)


@pytest.fixture
async def tracker(
    sqlite_database: DatabaseURL, tmp_path: Path, writer: ReadableOrNot
) -> AsyncIterator[Tracker]:
    async with running(sqlite_database, tmp_path, writer=writer) as one:
        yield one


async def link_to(target: str, clock: Clock) -> Link:
    message = await builders.mail(await builders.account("alice", clock()), clock(), links=(target,))
    return await Link.filter(message=message, kind="click").get()


async def raw(tracker: Tracker, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, header fields as sent, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    first, *fields = head.split("\r\n")
    return int(first.split()[1]), dict(field.split(": ", 1) for field in fields), body


@pytest.mark.parametrize(
    "target",
    [
        "https://acme.com/deck",
        "HTTPS://ACME.com:443/a/../b//c;x=1?q=a%2Fb+c%20d&q=%C3%A4&empty=#frag%2F",
        "https://acme.com/%7Euser/%e4?redirect=https://x.example/?a=1&b=2",
        "http://münchen.example/straße?q=ü",
        "https://acme.com/[a]{b}|c^`'\"<>\\",
    ],
)
async def test_it_leads_to_exactly_what_was_asked_for(tracker: Tracker, clock: Clock, target: str) -> None:
    link = await link_to(target, clock)
    status, fields, body = await raw(
        tracker, f"/c/{link.token}?url=https://evil.example&x=%0d%0aSet-Cookie:a"
    )
    assert (status, fields["Location"], body) == (302, target, "")
    assert fields["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in fields
    hit = await Hit.get()
    assert (hit.kind, hit.link_id) == ("click", link.id)


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "//evil.example",
        "https://a.example/\r\nSet-Cookie: a=1",
        "",
        "ftp://x/y",
        "data:x",
    ],
)
async def test_nothing_but_a_clean_web_address_is_ever_sent(
    tracker: Tracker, clock: Clock, target: str
) -> None:
    """Only such are stored; should another get there, it goes nowhere."""
    link = await link_to("https://acme.com", clock)
    await Link.filter(id=link.id).update(target=target)
    status, fields, _ = await raw(tracker, f"/c/{link.token}")
    assert (status, fields.get("Location")) == (404, None)


async def test_an_unknown_link_is_a_page_that_reflects_nothing(tracker: Tracker, clock: Clock) -> None:
    link = await link_to("https://acme.com", clock)
    pixel = await Link.filter(kind="open").get()
    bodies = set()
    for path in (
        f"/c/{new_token()}",
        "/c/<script>",
        "/c/",
        "/c/a/b",
        f"/c/{pixel.token}",
        f"/c/{link.token}/x",
    ):
        status, fields, body = await raw(tracker, path)
        assert (status, fields["Cache-Control"]) == (404, "no-store")
        bodies.add(body)
    assert len(bodies) == 1
    assert await Hit.all().count() == 0


async def test_head_leads_there_and_is_not_counted(tracker: Tracker, clock: Clock) -> None:
    link = await link_to("https://acme.com/deck", clock)
    for method in ("HEAD", "OPTIONS", "PROPFIND", "POST"):
        status, fields, _ = await raw(tracker, f"/c/{link.token}", method)
        assert status == {"HEAD": 302, "OPTIONS": 204}.get(method, 405)
        assert fields.get("Location") == ("https://acme.com/deck" if method == "HEAD" else None)
    assert [hit.method for hit in await Hit.all().order_by("id")] == ["HEAD", "OPTIONS", "PROPFIND", "POST"]


async def test_an_opted_out_link_still_leads_there_and_records_nothing(
    tracker: Tracker, clock: Clock
) -> None:
    link = await link_to("https://acme.com/deck", clock)
    await Link.filter(id=link.id).update(recording=False)
    assert (await raw(tracker, f"/c/{link.token}"))[0] == 302
    assert await Hit.all().count() == 0


async def test_a_deleted_mail_takes_its_links_along(
    tracker: Tracker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hits, "KNOWN_SECONDS", 0.0)
    link = await link_to("https://acme.com/deck", clock)
    assert (await raw(tracker, f"/c/{link.token}"))[0] == 302
    await link.delete()
    assert (await raw(tracker, f"/c/{link.token}"))[0] == 404


async def test_a_forgotten_mails_links_lead_nowhere_at_once(tracker: Tracker, clock: Clock) -> None:
    link, other = await link_to("https://acme.com/deck", clock), await link_to("https://acme.com/b", clock)
    for one in (link, other):
        assert (await raw(tracker, f"/c/{one.token}"))[0] == 302
    message = await Message.get(id=link.message_id).prefetch_related("account")
    await forget_message(tracker.services, message.account, message.code)
    assert (await raw(tracker, f"/c/{link.token}"))[0] == 404
    assert (await raw(tracker, f"/c/{other.token}"))[0] == 302


async def test_a_target_that_was_being_read_while_it_was_forgotten_is_not_kept(
    tracker: Tracker, clock: Clock, writer: ReadableOrNot
) -> None:
    link = await link_to("https://acme.com/deck", clock)
    message = await Message.get(id=link.message_id).prefetch_related("account")
    writer.late.clear()
    reading = asyncio.create_task(raw(tracker, f"/c/{link.token}"))
    await writer.has_read.wait()
    await forget_message(tracker.services, message.account, message.code)
    assert (await raw(tracker, f"/c/{link.token}"))[0] == 404
    writer.late.set()
    assert (await reading)[0] == 302  # it was asked before
    assert (await raw(tracker, f"/c/{link.token}"))[0] == 404


async def test_other_processes_hear_of_it_within_a_moment(
    postgres_url: str, clock: Clock, tmp_path: Path
) -> None:
    EXECUTOR_CACHE.clear()
    url = parse_database_url(postgres_url)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_database(url))
        here, there = PostgresWake(url.credentials), PostgresWake(url.credentials)
        for wake in (here, there):
            await wake.start()
            stack.push_async_callback(wake.stop)
            await wake.wait(LINKS, 10)  # rings once it hears the others
        one = await stack.enter_async_context(running(url, tmp_path / "1", wake=here))
        two = await stack.enter_async_context(running(url, tmp_path / "2", wake=there))
        link = await link_to("https://acme.com/deck", clock)
        message = await Message.get(id=link.message_id).prefetch_related("account")
        assert (await raw(two, f"/c/{link.token}"))[0] == 302
        await forget_message(one.services, message.account, message.code)
        async with asyncio.timeout(2):
            while (await raw(two, f"/c/{link.token}"))[0] != 404:
                await asyncio.sleep(0.01)


async def test_a_new_link_works_soon_after_it_was_asked_for_too_early(
    tracker: Tracker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hits, "UNKNOWN_SECONDS", 0.0)
    link = await link_to("https://acme.com/deck", clock)
    token, early = link.token, new_token()
    assert (await raw(tracker, f"/c/{early}"))[0] == 404
    await Link.filter(token=token).update(token=early)
    assert (await raw(tracker, f"/c/{early}"))[0] == 302


@pytest.mark.parametrize("fault", ["failing", "hanging"])
@pytest.mark.parametrize("cached_for", [60.0, 0.0])
async def test_without_a_database_known_links_lead_on_and_others_try_again(
    tracker: Tracker,
    clock: Clock,
    writer: ReadableOrNot,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    cached_for: float,
) -> None:
    monkeypatch.setattr(hits, "KNOWN_SECONDS", cached_for)
    known, other = await link_to("https://acme.com/a", clock), await link_to("https://acme.com/b", clock)
    assert (await raw(tracker, f"/c/{known.token}"))[0] == 302
    setattr(writer, fault, True)
    started = time.perf_counter()
    status, fields, _ = await raw(tracker, f"/c/{known.token}")
    assert (status, fields["Location"]) == (302, "https://acme.com/a")
    assert time.perf_counter() - started < 0.5
    status, fields, body = await raw(tracker, f"/c/{other.token}")
    assert (status, fields["Retry-After"]) == (503, "3")
    assert 'http-equiv="refresh"' in body
    assert time.perf_counter() - started < 1


async def test_a_crowd_asks_the_database_once(tracker: Tracker, clock: Clock, writer: ReadableOrNot) -> None:
    link = await link_to("https://acme.com/deck", clock)
    writer.reads = 0
    answers = await asyncio.gather(*(raw(tracker, f"/c/{link.token}") for _ in range(50)))
    assert {status for status, _, _ in answers} == {302}
    assert writer.reads == 1
    await writer.settle()
    assert await Hit.all().count() == 50
