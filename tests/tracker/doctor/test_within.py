"""The doctor looks inside: database, disk, what waits; and a check that fails stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from models import Outgoing
from models.writer import WriterDownError
from tests import builders
from tests.conftest import Clock
from tests.tracker.doctor.findings import states
from tests.tracker.page_services import services as plain_services
from tests.tracker.site import Site
from tracker.doctor import examine, within
from tracker.doctor.findings import About, Finding, Visit
from tracker.services import Services


async def test_all_is_well_inside(site: Site, clock: Clock) -> None:
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "telegram", "1", off_at=clock(), off_reason="bot was blocked")
    visit = Visit(site.services)
    found = await examine.examine(
        visit, [within.check_database, within.check_disk, within.check_backlog, within.check_processes]
    )
    assert {one.state for one in found} == {"ok"}
    (gone,) = await within.check_destinations(visit)
    assert (gone.state, "bot was blocked" in gone.said) == ("note", True)
    assert [one.state for one in await within.check_lists(visit)] == ["ok"]
    clock.advance(days=400)
    assert [one.state for one in await within.check_lists(visit)] == ["note"]


async def test_what_waits_for_too_long_is_told(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await builders.account("alice", clock())
    await Outgoing.create(
        account=alice,
        spool="one",
        sender="a@b.c",
        address="ana@acme.com",
        next_at=clock(),
        accepted_at=clock(),
    )
    assert states(await within.check_backlog(Visit(site.services)))["outgoing"] == "ok"
    clock.advance(minutes=16)
    assert states(await within.check_backlog(Visit(site.services)))["outgoing"] == "wrong"
    monkeypatch.setattr(within, "LEAST_FREE", 1 << 60)
    assert states(await within.check_disk(Visit(site.services)))["disk"] == "wrong"


async def test_a_database_that_takes_nothing_is_told(clock: Clock, tmp_path: Path) -> None:
    class Down:
        async def apply(self, _: object) -> None:
            raise WriterDownError("disk full")

    services = plain_services(clock, tmp_path)
    visit = Visit(Services(services.settings, Down(), services.wake, clock))  # type: ignore[arg-type]
    (found,) = await within.check_database(visit)
    assert "disk full" in found.said


async def test_a_check_that_fails_or_hangs_does_not_stop_the_others(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check_fails(visit: Visit) -> Sequence[Finding]:
        raise ValueError("secret")

    async def check_hangs(visit: Visit) -> Sequence[Finding]:
        await asyncio.sleep(0.5)
        return []

    async def check_fine(visit: Visit) -> Sequence[Finding]:
        return [About("fine", "Fine").ok("yes")]

    monkeypatch.setattr(examine, "SECONDS", 0.05)
    told: list[Finding] = []
    checks = [check_fails, check_hangs, check_fine]
    found = await examine.examine(Visit(plain_services(clock, tmp_path)), checks, told.append)
    assert [one.state for one in found] == ["wrong", "wrong", "ok"]
    assert told == found
    assert "secret" not in found[0].said
    await asyncio.gather(*examine._late)
