"""/healthz tells the truth and never hangs; /metrics is not for strangers."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models import Alert, Link, Pack
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.running import Tracker, running
from tracker.web import health


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)


@pytest.fixture
def chats() -> dict[str, str]:
    return {"slack": "ok"}


@pytest.fixture
async def tracker(
    database: DatabaseURL, tmp_path: Path, clock: Clock, chats: dict[str, str]
) -> AsyncIterator[Tracker]:
    environment = {"METRICS_TOKEN": "open sesame"}
    async with running(
        database, tmp_path, now=clock, environment=environment, chat_health=lambda: chats
    ) as one:
        yield one


async def healthz(tracker: Tracker) -> dict[str, Any]:
    started = time.monotonic()
    async with tracker.client.get(tracker.url("/healthz")) as answer:
        assert answer.status == 200
        body: dict[str, Any] = await answer.json()
    assert time.monotonic() - started < 1
    return body


async def test_all_is_well(tracker: Tracker) -> None:
    assert await healthz(tracker) == {
        "status": "ok",
        "database": "ok",
        "journal": 0,
        "hits_lost": 0,
        "unjudged": 0,
        "spool": 0,
        "oldest_alert_seconds": None,
        "chats": {"slack": "ok"},
    }


async def test_mails_that_wait_to_be_sent_are_counted(tracker: Tracker, tmp_path: Path) -> None:
    spool = tracker.services.settings.data_dir / "spool"
    spool.mkdir()
    for name in ("1-1-1", "2-2-2", ".3-3-3.part"):
        (spool / name).write_bytes(b"x")
    assert (await healthz(tracker))["spool"] == 2


async def test_a_chat_in_trouble_is_told(tracker: Tracker, chats: dict[str, str]) -> None:
    chats["telegram"] = "the token was revoked"
    report = await healthz(tracker)
    assert (report["status"], report["chats"]["telegram"]) == ("degraded", "the token was revoked")


async def test_backlogs_are_counted(tracker: Tracker, clock: Clock) -> None:
    alice = await builders.account("alice", clock())
    message = await builders.mail(alice, clock())
    link = await Link.filter(message=message, kind="open").get()
    async with tracker.client.get(tracker.url(f"/o/{link.token}.gif")) as answer:
        assert answer.status == 200
    await Alert.create(
        account=alice,
        destination=await builders.destination(alice, "slack", "U1"),
        event_key="x",
        event="open",
        at=clock(),
        due_at=clock(),
    )
    await Pack.create(hits="[]", count=40)  # a crowd that is no rows yet
    clock.advance(seconds=90)
    report = await healthz(tracker)
    assert (report["unjudged"], report["oldest_alert_seconds"]) == (41, 90.0)


async def test_a_locked_database_is_told_at_once_and_forgotten_when_free(
    sqlite_database: DatabaseURL, tmp_path: Path
) -> None:
    async with running(sqlite_database, tmp_path) as tracker:
        assert sqlite_database.path is not None
        assert (await healthz(tracker))["database"] == "ok"
        lock = sqlite3.connect(sqlite_database.path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        report = await healthz(tracker)
        assert (report["status"], report["database"]) == ("degraded", "does not answer")
        lock.close()
        async with asyncio.timeout(5):
            while (await healthz(tracker))["status"] != "ok":
                await asyncio.sleep(0.05)


async def test_metrics_are_for_the_machine_itself_or_the_token(tracker: Tracker) -> None:
    async def ask(**headers: str) -> tuple[int, str]:
        async with tracker.client.get(tracker.url("/metrics"), headers=headers) as answer:
            return answer.status, await answer.text()

    status, text = await ask()
    assert status == 200
    assert "mailbell_hits_total 0.0" in text
    assert (await ask(**{"X-Forwarded-For": "203.0.113.9"}))[0] == 403  # through a proxy on this machine
    for name, value in (("X-Forwarded-Proto", "https"), ("Host", "bell.example"), ("Host", "[")):
        assert (await ask(**{name: value}))[0] == 403
    assert (await ask(Host="localhost:8080"))[0] == 200
    assert (await ask(Authorization="Bearer open sesame", **{"X-Forwarded-For": "203.0.113.9"}))[0] == 200
    assert (await ask(Authorization="Bearer wrong"))[0] == 403
    assert (await ask(Authorization="Bearer"))[0] == 403


async def test_an_alert_far_in_the_future_is_no_backlog(tracker: Tracker, clock: Clock) -> None:
    alice = await builders.account("alice", clock())
    await Alert.create(
        account=alice,
        destination=await builders.destination(alice, "slack", "U1"),
        event_key="x",
        event="click",
        at=clock(),
        due_at=clock.now.replace(year=2030),
    )
    assert (await healthz(tracker))["oldest_alert_seconds"] is None
