"""From the full address to the stored label, and new lists taken over while the service runs."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models import Hit, Link
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.running import Tracker, running
from tracker.hits import facts
from tracker.web.intake import describe
from tracker.web.keys import INTAKE
from tracker.web.networks_watch import NetworkFiles, refresh, tell_old

HEAD = "# label: hosting\n# date: 2026-03-01\n"


@pytest.fixture(params=["lean", "ordinary"])
async def tracker(
    request: pytest.FixtureRequest, sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock
) -> AsyncIterator[Tracker]:
    environment = {"TRUSTED_PROXIES": "127.0.0.0/8"}
    lean = request.param == "lean"
    async with running(sqlite_database, tmp_path, lean=lean, now=clock, environment=environment) as one:
        yield one


@pytest.fixture
async def link(sqlite_database: DatabaseURL, clock: Clock) -> Link:
    message = await builders.mail(await builders.account("alice", clock()), clock())
    return await Link.get(message=message, kind="open")


async def label_from(tracker: Tracker, link: Link, address: str) -> str | None:
    """The label stored for a pixel request from `address`."""
    path = tracker.url(f"/o/{link.token}.gif")
    async with tracker.client.get(path, headers={"X-Forwarded-For": address}) as answer:
        assert answer.status == 200
        await answer.read()
    hit = await Hit.all().order_by("-id").first()
    assert hit is not None
    assert hit.network == facts.truncate(address)
    return hit.network_label


async def test_the_label_comes_from_the_full_address_and_only_the_cut_one_is_stored(
    tracker: Tracker, link: Link
) -> None:
    assert await label_from(tracker, link, "104.47.3.4") == "mail-filter/Exchange Online Protection"
    assert await label_from(tracker, link, "150.70.188.172") == "security/Trend Micro"
    assert await label_from(tracker, link, "2a01:4f8:1:2::3") == "hosting/Hetzner"
    assert await label_from(tracker, link, "203.0.113.9") is None


async def test_two_addresses_of_one_cut_network_can_have_different_labels(
    sqlite_database: DatabaseURL, tmp_path: Path, clock: Clock, link: Link
) -> None:
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "own.txt").write_text(HEAD + "[Half]\n6.6.6.0/25\n")
    environment = {"TRUSTED_PROXIES": "127.0.0.0/8"}
    async with running(sqlite_database, tmp_path, now=clock, environment=environment) as tracker:
        assert await label_from(tracker, link, "6.6.6.127") == "hosting/Half"
        assert await label_from(tracker, link, "6.6.6.128") is None


async def test_a_running_service_takes_a_new_list_over(tracker: Tracker, link: Link, tmp_path: Path) -> None:
    files = NetworkFiles(tmp_path)
    files.load()
    assert not await refresh(files, tracker.app[INTAKE])
    assert await label_from(tracker, link, "6.6.6.6") is None
    folder = tmp_path / "networks"
    folder.mkdir()
    (folder / "own.txt").write_text(HEAD + "[Mine]\n6.6.6.0/24\n")
    assert await refresh(files, tracker.app[INTAKE])
    assert await label_from(tracker, link, "6.6.6.6") == "hosting/Mine"  # asked before, so remembered
    assert not await refresh(files, tracker.app[INTAKE])

    (folder / "own.txt").write_text(HEAD + "[Mine]\n6.6.7.0/24\n")
    os.utime(folder / "own.txt", ns=(1, 1))  # whatever the file system's clock counts in
    assert await refresh(files, tracker.app[INTAKE])
    assert await label_from(tracker, link, "6.6.6.6") is None

    (folder / "own.txt").unlink()
    assert await refresh(files, tracker.app[INTAKE])
    assert await label_from(tracker, link, "6.6.7.7") is None
    assert await label_from(tracker, link, "104.47.3.4") == "mail-filter/Exchange Online Protection"


async def test_a_list_that_broke_does_not_take_the_others_along(
    tracker: Tracker, link: Link, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = NetworkFiles(tmp_path)
    files.load()
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "hosting-aws.txt").write_bytes(b"\x00\xff half a fi")
    assert await refresh(files, tracker.app[INTAKE])
    assert await label_from(tracker, link, "18.208.22.64") == "hosting/AWS"
    assert "hosting-aws.txt" in caplog.text


async def test_the_answer_is_the_same_from_every_network(tracker: Tracker, link: Link) -> None:
    answers = set()
    for address in ("104.47.3.4", "150.70.188.172", "5.9.1.1", "203.0.113.9", "nonsense"):
        path = tracker.url(f"/o/{link.token}.gif")
        async with tracker.client.get(path, headers={"X-Forwarded-For": address}) as answer:
            headers = tuple((name, value) for name, value in answer.headers.items() if name != "Date")
            answers.add((answer.status, headers, await answer.read()))
    assert len(answers) == 1


async def test_an_address_seen_before_costs_next_to_nothing(tracker: Tracker) -> None:
    intake = tracker.app[INTAKE]
    described = describe({"user-agent": "Firefox"}, ())
    for _ in range(3):
        assert intake.hit("open", "x", "5.9.1.1", described).network_label == "hosting/Hetzner"
    assert intake._origin.cache_info().hits >= 2


def test_old_lists_are_told_once_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    dates = {"hosting/A": dt.date(2026, 1, 1), "hosting/B": dt.date(2026, 6, 1), "x/C": dt.date(2025, 1, 1)}
    tell_old(dates, dt.date(2026, 2, 1))
    (record,) = caplog.records
    assert "1 of 3 network lists are older than 180 days (since 2025-01-01)" in record.getMessage()
    caplog.clear()
    tell_old(dates, dt.date(2025, 3, 1))
    assert caplog.records == []
