"""The doctor's daily round: taken once, and told only when something broke or is mended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from models import Account, Alert, Destination, InstanceState
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.page_services import services as plain_services
from tracker.doctor import daily
from tracker.doctor.findings import About, Finding, Visit


async def test_the_daily_round_is_taken_once(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path
) -> None:
    bell = plain_services(clock, tmp_path)
    assert not await daily._take_turn(bell)
    clock.advance(minutes=59)
    assert not await daily._take_turn(bell)
    clock.advance(minutes=2)
    assert [await daily._take_turn(bell) for _ in range(3)] == [True, False, False]
    clock.advance(hours=23)
    assert not await daily._take_turn(bell)
    clock.advance(hours=2)
    assert await daily._take_turn(bell)
    clock.advance(days=-300)  # the clock is put back
    assert await daily._take_turn(bell)
    assert not await daily._take_turn(bell)
    assert await daily.look(plain_services(clock, tmp_path, base_url="http://localhost")) == "not due"


async def test_it_rings_when_something_broke_and_once_when_it_is_mended(
    database: DatabaseURL, clock: Clock, tmp_path: Path
) -> None:
    bell = plain_services(clock, tmp_path)
    alice = await builders.account("alice", clock(), owner=True)
    bob = await builders.account("bob", clock())
    for person, chat in ((alice, "1"), (bob, "2")):
        await builders.destination(person, "telegram", chat)
    disk = About("disk", "Disk").wrong("is full", "Make room.")
    login = About("mailbox-1", "bob@acme.com", bob.id).wrong("lets us in no more", "Type: connect new")

    async def texts(account: Account) -> list[str]:
        return [str(one.facts["text"]) for one in await Alert.filter(account_id=account.id).order_by("id")]

    assert await daily.tell(bell, {}) == 0
    assert await daily.tell(bell, {"disk": disk, "mailbox-1": login}) == 2
    assert ["Disk: is full. Make room." in one for one in await texts(alice)] == [True]
    assert ["bob@acme.com" in one for one in await texts(bob)] == [True]
    clock.advance(days=1)
    assert await daily.tell(bell, {"disk": disk, "mailbox-1": login}) == 0  # nothing new
    clock.advance(days=1)
    assert await daily.tell(bell, {"disk": disk}) == 1
    assert (await texts(bob))[-1] == "Works again: bob@acme.com."
    clock.advance(days=1)
    assert await daily.tell(bell, {}) == 1
    assert await daily.tell(bell, {}) == 0
    assert len(await texts(alice)) == 2
    clock.advance(days=1)
    assert await daily.tell(bell, {"disk": disk}) == 1  # broken anew


async def test_what_is_wrong_for_a_moment_only_is_not_told(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily, "AGAIN_SECONDS", 0)
    rounds = iter([True, False])

    async def check_shaky(visit: Visit) -> Sequence[Finding]:
        about = About("shaky", "Shaky")
        return [about.wrong("no", "") if next(rounds) else about.ok("yes")]

    assert await daily.find_broken(plain_services(clock, tmp_path), [check_shaky]) == {}


async def test_without_an_owner_whoever_came_first_hears_of_it(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path
) -> None:
    assert await daily._operators() == []
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "console", "console")
    assert await daily._operators() == [alice.id]
    assert not await InstanceState.exists()
    assert await Destination.exists()
