"""No look-up on hits reads them all: what the judge asks takes as long among ten million as among ten.

Every query and statement is caught on its way to the database while hits are judged, judged anew, taught and
replayed beside 20,000 others, and its plan is read on both engines.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from tortoise import connections

from models import Account, Hit, Link, Message, postgres_bulk, sqlite_bulk
from models.database import DatabaseURL
from models.postgres_bulk import translate
from models.writer import Statement, Writer
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, SAFARI, Court, court
from tracker.hits import past, teaching
from tracker.hits.judge import Judge
from tracker.hits.reclassify import Span, reclassify
from tracker.hits.rescore import rescore
from tracker.hits.taught import ME
from tracker.services import Services

MAILS, HITS_EACH = 200, 100

UNJUDGED, BY_MAIL, BY_VIEW = "idx_hit_unjudged", "idx_hit_message", "idx_hit_view"
BY_ID = "hit_pkey"
# A piece of each look-up, and the index that it must use.
WANTED = {
    "FROM hit WHERE judged_at IS NULL": UNJUDGED,
    "h.at BETWEEN w.since AND w.until AND h.ordinal IS NOT NULL": BY_VIEW,
    "h.reason IN ('told-me', 'told-machine')": BY_MAIL,
    "AND h.verdict <> 'duplicate' ORDER BY h.at DESC": BY_MAIL,
    "h.at BETWEEN w.since AND w.until AND h.kind = 'click'": BY_MAIL,
    "message_id, recipient_id, ordinal FROM hit": BY_MAIL,
    "h.at >= w.since AND h.kind = 'open'": BY_MAIL,
    "h.judged_at IS NOT NULL ORDER BY h.message_id": BY_MAIL,
    "SELECT DISTINCT message_id FROM hit": BY_MAIL,
    "EXISTS (SELECT 1 FROM hit h WHERE h.message_id = m.id": BY_MAIL,
    "UPDATE hit SET verdict": BY_ID,
    "UPDATE hit SET confirmed_by = ? WHERE message_id": BY_MAIL,
    "UPDATE hit SET confirmed_by = ? WHERE id": BY_ID,
    "LIMIT 1) END WHERE message_id": BY_MAIL,
    "LIMIT 1) END WHERE id": BY_ID,
    "c.state = 'reply') WHERE message_id": BY_MAIL,
    "c.state = 'reply') WHERE id": BY_ID,
    "UPDATE hit SET ordinal": BY_ID,
}  # fmt: skip


class Listening:
    """The writer, with every query and statement about hits noted."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.asked: dict[str, Sequence[Any]] = {}
        self.bulk: dict[str, Sequence[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.asked.setdefault(sql, arguments)
        return await self._writer.fetch(sql, arguments)

    async def apply(self, statements: Sequence[Statement]) -> list[int]:
        for one in statements:
            (self.bulk if one.bulk else self.asked).setdefault(one.sql, one.rows[0])
        return await self._writer.apply(statements)

    @property
    def about_hits(self) -> dict[str, Sequence[Any]]:
        found = {**self.asked, **self.bulk}
        return {sql: found[sql] for sql in found if re.search(r"\bhit\b", sql)}


@pytest.fixture
async def room(database, clock: Clock):
    async with court(database, clock) as opened:
        await _many_hits(clock)
        opened.services = Services(
            opened.services.settings, Listening(opened.services.writer), opened.services.wake, clock
        )
        opened.judge = Judge(opened.services)
        yield opened


async def _many_hits(clock: Clock) -> None:
    """Bob's, judged; half of them from the view that alice's mails are read with."""
    bob: Account = await builders.account("bob", clock())
    mails = [
        Message(account_id=bob.id, code=f"f{n}", origin="list", created_at=clock(), arms_at=clock())
        for n in range(MAILS)
    ]
    await Message.bulk_create(mails)
    ids = list(await Message.all().order_by("id").values_list("id", flat=True))
    links = [Link(token=f"{n:022d}", kind="open", message_id=n, created_at=clock()) for n in ids]
    await Link.bulk_create(links)
    pixels = dict(await Link.all().values_list("message_id", "id"))
    sent = clock() - dt.timedelta(minutes=30)
    hits = [
        Hit(
            uid=f"f{number:031x}", at=sent + dt.timedelta(milliseconds=50 * number), kind="open",
            message_id=mail, link_id=pixels[mail], network="203.0.113.0/24", agent_id=number % 2,
            verdict="human", reason="browser", rules="1", ordinal=number // MAILS + 1, judged_at=sent,
        )
        for number in range(MAILS * HITS_EACH)
        for mail in [ids[number % MAILS]]
    ]  # fmt: skip
    await Hit.bulk_create(hits, batch_size=1000)
    await connections.get("default").execute_script("ANALYZE")


async def _a_day_in_court(room: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opens, repeats, clicks, a scan, a late hit, a lesson, a replay: all that hits are looked up for."""
    mail = await room.mail(links=("https://acme.com/1", "https://acme.com/2"), ring_opens="important")
    pixel, one, two = await room.pixel(mail), await room.link(mail), await room.link(mail, 2)
    room.clock.advance(minutes=5)
    uid = await room.request(pixel, device="mine")
    await room.judge_all()
    for agent in (APPLE, SAFARI, CHROME):
        room.clock.advance(seconds=10)
        await room.request(pixel, agent)
        await room.judge_all()
    for number in range(4):
        room.clock.advance(minutes=2)
        await room.request(pixel, SAFARI, network=f"198.51.{number}.0/24")
        await room.judge_all()
    for link in (one, two, one):
        await room.request(link, CHROME, at=room.clock.advance(seconds=7))
        await room.judge_all()
    room.clock.advance(minutes=5)
    for link in (one, two):
        await room.request(link, CHROME, at=room.clock.advance(seconds=1))
        await room.judge_all()
    await room.request(one, CHROME, at=room.clock.advance(minutes=5))
    await room.judge_all()
    for agent in (APPLE, SAFARI):
        await room.request(
            pixel, agent, at=room.clock() - dt.timedelta(minutes=15), network="198.51.100.0/24"
        )
    await room.judge_all()
    lesson = await teaching.teach(room.services, room.alice, await Hit.get(uid=uid), ME)
    await teaching.apply(room.services, lesson)
    monkeypatch.setattr(past, "MANY_CLICKS", 0)
    for link in (pixel, one):
        await room.request(link, CHROME, at=room.clock.advance(seconds=5))
    await room.judge_all()
    await Hit.filter(message_id=mail.id).update(verdict="unknown", confirmed_by="x", ordinal=None)
    await rescore(room.services, mail.id)
    span = Span(account_id=room.alice.id, since=0)
    await reclassify(room.services, span)


async def _sqlite_plan(sql: str, arguments: Sequence[Any]) -> str:
    _, rows = await connections.get("default").execute_query(f"EXPLAIN QUERY PLAN {sql}", list(arguments))
    return "\n".join(row["detail"] for row in rows)


async def _postgres_plans(
    url: DatabaseURL, sql: str, arguments: Sequence[Any], *, bulk: bool = False
) -> list[str]:
    """The plan for these arguments, and the one that the server keeps for all. `bulk`: for many such rows."""
    connection = await asyncpg.connect(**url.credentials)
    try:
        if bulk:
            types = (await connection.prepare(translate(sql))).get_parameters()
            sql = postgres_bulk.joined(translate(sql), tuple(one.name for one in types))
            arguments = [[one] * 4 for one in arguments]
        rows = await connection.fetch(f"EXPLAIN {translate(sql)}", *arguments)
        kept = await connection.fetch(f"EXPLAIN (GENERIC_PLAN) {translate(sql)}", *arguments)
    finally:
        await connection.close()
    return ["\n".join(row[0] for row in one) for one in (rows, kept)]


def _index_of(sql: str) -> str:
    found = [index for piece, index in WANTED.items() if piece in sql]
    assert len(found) == 1, f"say in WANTED which index this one uses: {sql}"
    return found[0]


async def test_every_look_up_on_hits_uses_its_index(
    room: Court, database: DatabaseURL, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _a_day_in_court(room, monkeypatch)
    heard = room.services.writer
    assert isinstance(heard, Listening)
    asked = heard.about_hits
    missing = [piece for piece in WANTED if not any(piece in sql for sql in asked)]
    assert not missing, "the day in court never asked this"
    for sql, arguments in asked.items():
        index = _index_of(sql)
        if not database.is_sqlite:
            plans = await _postgres_plans(database, sql, arguments)
            if sql in heard.bulk:
                plans += await _postgres_plans(database, sql, arguments, bulk=True)
            for plan in plans:
                assert "Seq Scan on hit" not in plan, f"{sql}\n{plan}"
                by_id = index == BY_ID and UNJUDGED in plan  # it holds the ids, and fewer
                assert index in plan or by_id, f"{sql}\n{plan}"
            continue
        plans = [await _sqlite_plan(sql, arguments)]
        if sql in heard.bulk:
            many = sqlite_bulk.joined(sql, 4, len(arguments))
            plans.append(await _sqlite_plan(many, list(arguments) * 4))
        for plan in plans:
            scans = [line for line in plan.splitlines() if re.match(r"SCAN (hit|h|c)\b", line)]
            assert [line for line in scans if UNJUDGED not in line and line != "SCAN h"] == [], (
                f"{sql}\n{plan}"
            )
            assert ("INTEGER PRIMARY KEY" if index == BY_ID else index) in plan, f"{sql}\n{plan}"
