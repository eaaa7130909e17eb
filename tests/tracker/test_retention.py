"""What is old goes, little by little; what people were told stays."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models import Account, Alert, Audit, Hit, InboundEvent, Link, Message, OwnDevice, Stale
from models.columns import to_micros
from models.database import DatabaseURL
from models.postgres_wake import PostgresWake
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Statement, Writer, WriterDownError
from tests import builders
from tests.conftest import Clock
from tracker.retention import enforce
from tracker.schedule import DUTIES, Duty, run_schedule
from tracker.services import Services
from tracker.settings import Settings
from tracker.table_sizes import table_sizes


@pytest.fixture
async def services(database: DatabaseURL, clock: Clock) -> AsyncIterator[Services]:
    wake: Wake
    writer: Writer
    if database.path is not None:
        wake, writer = Wake(), SqliteWriter(database.path)
    else:
        wake = PostgresWake(database.credentials)
        writer = PostgresWriter(database.credentials, wake)
    await writer.start()
    yield Services(settings=Settings(retention_days=180), writer=writer, wake=wake, now=clock)
    await writer.stop()


@pytest.fixture
async def mail(services: Services, clock: Clock) -> Message:
    alice = await builders.account("alice", clock(), owner=True)
    await builders.destination(alice, "console", "console")
    return await builders.mail(alice, clock() - dt.timedelta(days=400), opens=7, total_opens=9)


async def _hit(mail: Message, uid: str, at: dt.datetime) -> Hit:
    link = await Link.filter(message=mail, kind="open").get()
    return await Hit.create(uid=uid, at=at, kind="open", link=link, message=mail)


async def _alert(mail: Message, key: str, due: dt.datetime, **more: Any) -> Alert:
    to = await (await Account.get(name="alice")).destinations.all().get()  # type: ignore[attr-defined]
    return await Alert.create(
        account_id=mail.account_id, destination=to, message=mail, event_key=key, event="open",
        at=due, due_at=due, **more,
    )  # fmt: skip


async def test_hits_go_on_the_day_after_the_last_one_they_are_kept(
    services: Services, mail: Message, clock: Clock
):
    for days in (181, 180, 179):
        await _hit(mail, f"day {days}", clock() - dt.timedelta(days=days))
    assert (await enforce(services))["hit"] == 1
    assert sorted(await Hit.all().values_list("uid", flat=True)) == ["day 179", "day 180"]
    clock.advance(seconds=1)
    assert (await enforce(services))["hit"] == 1
    assert await Hit.all().values_list("uid", flat=True) == ["day 179"]


async def test_counters_mails_and_links_stay(services: Services, mail: Message, clock: Clock):
    await _hit(mail, "old", clock() - dt.timedelta(days=300))
    await enforce(services)
    assert not await Hit.all().exists()
    kept = await Message.get(id=mail.id)
    assert (kept.opens, kept.total_opens) == (7, 9)
    assert await Link.filter(message=mail).count() == 2


async def test_sums_of_mails_whose_hits_go_are_made_anew(services: Services, mail: Message, clock: Clock):
    await _hit(mail, "old", clock() - dt.timedelta(days=300))
    await Stale.all().delete()
    await enforce(services)
    assert await Stale.all().values_list("message_id", flat=True) == [mail.id]


async def test_alerts_that_still_wait_are_kept_and_finished_ones_go(
    services: Services, mail: Message, clock: Clock
):
    old = clock() - dt.timedelta(days=181)
    for state in ("waiting", "sent", "folded", "silenced", "withdrawn", "dropped"):
        await _alert(mail, f"old {state}", old, state=state)
    await _alert(mail, "new sent", clock(), state="sent")
    assert (await enforce(services))["alert"] == 5
    assert sorted(await Alert.all().values_list("event_key", flat=True)) == ["new sent", "old waiting"]


async def test_seen_events_go_after_a_week_whatever_the_setting(services: Services, clock: Clock):
    for hours in (1, 24 * 7 - 1, 24 * 7 + 1):
        await InboundEvent.create(
            platform="slack", event_id=f"{hours}", at=clock() - dt.timedelta(hours=hours)
        )
    assert (await enforce(services))["inbound_event"] == 1
    assert await InboundEvent.all().count() == 2


async def test_a_device_not_seen_for_long_is_forgotten_wherever_it_stands(
    services: Services, mail: Message, clock: Clock
):
    for number, days in enumerate((1, 2, 1, 300, 1)):
        await OwnDevice.create(
            account_id=mail.account_id, device=f"d{number}", source="told",
            seen_at=clock() - dt.timedelta(days=days),
        )  # fmt: skip
    assert (await enforce(services, batch=2))["own_device"] == 1
    assert sorted(await OwnDevice.all().values_list("device", flat=True)) == ["d0", "d1", "d2", "d4"]


async def test_many_rows_go_in_short_transactions(
    services: Services, mail: Message, clock: Clock, monkeypatch
):
    link = await Link.filter(message=mail, kind="open").get()
    old, new = to_micros(clock() - dt.timedelta(days=200)), to_micros(clock())
    insert = "INSERT INTO hit (uid, at, kind, link_id, message_id, method) VALUES (?, ?, 'open', ?, ?, 'GET')"
    rows = [(f"{n:032x}", old + n if n < 950 else new, link.id, mail.id) for n in range(1200)]
    await services.writer.apply([Statement(insert, rows)])
    sizes: list[int] = []
    apply = services.writer.apply

    async def watched(statements: Any) -> list[int]:
        sizes.append(len(statements[-1].rows))  # before it stands the mark of the mails that lose hits
        return await apply(statements)

    monkeypatch.setattr(services.writer, "apply", watched)
    assert (await enforce(services, batch=100))["hit"] == 950
    assert sizes == [100] * 9 + [50]
    assert await Hit.all().count() == 250
    sizes.clear()
    assert sum((await enforce(services, batch=100)).values()) == 0
    assert sizes == []


async def test_a_late_replayed_hit_goes_with_those_around_it(services: Services, mail: Message, clock: Clock):
    for number, days in enumerate((182, 170, 181, 169)):
        await _hit(mail, f"{number}", clock() - dt.timedelta(days=days))
    await enforce(services, batch=3)
    assert sorted(await Hit.all().values_list("uid", flat=True)) == ["1", "3"]


def _duty(work: Any, seconds: float = 0.001) -> Duty:
    return Duty("trial", seconds, work)


async def test_retention_is_a_duty(services: Services):
    assert [duty.name for duty in DUTIES if duty.work is enforce] == ["retention"]


@pytest.mark.parametrize(
    ("fault", "said", "level"),
    [
        (WriterDownError("locked"), "waits for the database (locked)", "WARNING"),
        (ValueError("odd"), "trial failed", "ERROR"),
    ],
)
async def test_a_duty_that_fails_is_logged_and_comes_again(
    services: Services, caplog: pytest.LogCaptureFixture, fault: Exception, said: str, level: str
):
    runs = 0
    enough = asyncio.Event()

    async def fails_twice(_: Services) -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise fault
        enough.set()

    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(run_schedule(services, [_duty(fails_twice)]))
        await asyncio.wait_for(enough.wait(), 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    told = [one for one in caplog.records if said in one.getMessage()]
    assert [one.levelname for one in told] == [level] * 2
    assert all((one.exc_info is None) == (level == "WARNING") for one in told)


async def test_a_slow_duty_delays_no_other(services: Services):
    other = asyncio.Event()

    async def hangs(_: Services) -> None:
        await other.wait()

    async def rings(_: Services) -> None:
        other.set()

    running = asyncio.create_task(run_schedule(services, [_duty(hangs), _duty(rings)]))
    await asyncio.wait_for(other.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_runs_while_the_process_ends_is_let_finish(services: Services):
    began, go_on, done = asyncio.Event(), asyncio.Event(), []

    async def slow(_: Services) -> None:
        began.set()
        await go_on.wait()
        done.append(True)

    running = asyncio.create_task(run_schedule(services, [_duty(slow, seconds=1000)]))
    await began.wait()
    running.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    assert done == [True]


async def test_a_schedule_between_two_runs_ends_at_once(services: Services):
    ran = asyncio.Event()

    async def quick(_: Services) -> None:
        ran.set()

    running = asyncio.create_task(run_schedule(services, [_duty(quick, seconds=10_000)]))
    await ran.wait()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 1)


async def test_what_went_is_on_record_without_a_name(services: Services, mail: Message, clock: Clock):
    await _hit(mail, "old", clock() - dt.timedelta(days=200))
    await enforce(services)
    await enforce(services)
    (line,) = await Audit.all()
    assert (line.action, line.digest, line.counts) == ("retention", None, {"hit": 1})


async def test_the_sizes_of_tables_are_told_with_the_days_after_which_rows_go(
    services: Services, mail: Message, clock: Clock
):
    await _hit(mail, "old", clock() - dt.timedelta(days=200))
    sizes = {one.name: one for one in await table_sizes(services)}
    assert (sizes["hit"].rows, sizes["hit"].days) == (1, 180)
    assert sizes["hit"].oldest == clock() - dt.timedelta(days=200)
    assert (sizes["message"].rows, sizes["message"].days) == (1, None)
    assert sizes["inbound_event"].days == 7
    assert all(one.size for one in sizes.values())
