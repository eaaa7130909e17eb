"""Each reminder rings when it is due, once, whatever clocks, processes and chats do meanwhile."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import suppress

from models import Reminder
from tests.tracker.reminders.desk import Desk
from tracker.reminders.firing import fire_due, seconds_to_next
from tracker.schedule import Duty, run_schedule
from tracker.services import Services

DAY = dt.timedelta(days=1)


async def test_a_reminder_rings_when_it_is_due_and_not_before(both: Desk):
    await both.remind("3d call her")
    assert await seconds_to_next(both.services) == 3 * 86_400
    assert await both.pass_days(2.99) == 0
    assert await both.pass_days(0.01) == 1
    (facts,) = await both.rung()
    assert (facts["kind"], facts["own"], facts["late"]) == ("always", "call her", None)
    assert await both.pass_days(1) == 0
    assert await seconds_to_next(both.services) is None


async def test_of_many_workers_at_once_one_fires(both: Desk):
    for text in ("3d", "noreply 3d", "noopen 3d"):
        await both.remind(text)
    both.clock.advance(days=3)
    fired = await asyncio.gather(*(fire_due(both.services) for _ in range(8)))
    assert sum(fired) == 3
    assert len(await both.rung()) == 3


async def test_after_a_day_without_a_process_it_comes_once_and_says_that_it_is_late(both: Desk):
    await both.remind("noreply 2d")
    assert await both.pass_days(3) == 1
    (facts,) = await both.rung()
    assert facts["late"] == 86_400
    assert await fire_due(both.services) == 0


async def test_a_clock_that_goes_back_an_hour_fires_nothing_twice(both: Desk):
    await both.remind("2h")
    await both.remind("3h")
    both.clock.advance(hours=2)
    assert await fire_due(both.services) == 1
    both.clock.advance(hours=-1)
    assert await fire_due(both.services) == 0
    both.clock.advance(hours=1)
    assert await fire_due(both.services) == 0
    both.clock.advance(hours=1)
    assert await fire_due(both.services) == 1
    assert len(await both.rung()) == 2


async def test_a_summer_time_change_moves_nothing_on_the_wall(desk: Desk):
    desk.clock.now = dt.datetime(2026, 3, 27, 8, 0, tzinfo=dt.UTC)
    desk.alice.timezone = "Europe/Madrid"
    row = await desk.remind("3d")
    assert row.due_at == dt.datetime(2026, 3, 30, 7, 0, tzinfo=dt.UTC)  # 9:00 in summer
    desk.clock.now = row.due_at - dt.timedelta(seconds=1)
    assert await fire_due(desk.services) == 0
    desk.clock.advance(seconds=1)
    assert await fire_due(desk.services) == 1


async def test_one_of_before_orders_were_kept_still_rings(desk: Desk):
    now = desk.clock()
    await Reminder.create(
        account=desk.alice, message=desk.mail, kind="open", due_at=now + DAY, created_at=now
    )
    assert await desk.pass_days(1) == 0
    await desk.opens()
    assert await desk.pass_days(1) == 1


async def test_without_a_chat_it_waits_and_comes_late(desk: Desk):
    from models import Destination

    await desk.remind("1d")
    await Destination.all().update(off_at=desk.clock())
    assert await desk.pass_days(1) == 0
    await Destination.all().update(off_at=None)
    assert await desk.pass_days(1) == 1
    assert (await desk.rung())[0]["late"] == 86_400


async def test_a_duty_that_knows_its_next_time_is_run_then(desk: Desk):
    runs: list[int] = []
    twice = asyncio.Event()

    async def work(services: Services) -> None:
        runs.append(1)
        if len(runs) == 2:
            twice.set()

    async def until(services: Services) -> float | None:
        return 0.0 if len(runs) == 1 else None

    schedule = asyncio.create_task(run_schedule(desk.services, [Duty("one", 3600, work, until)]))
    async with asyncio.timeout(20):
        await twice.wait()
    schedule.cancel()
    with suppress(asyncio.CancelledError):
        await schedule
    assert len(runs) == 2
