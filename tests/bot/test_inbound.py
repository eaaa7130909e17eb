import asyncio

from bot.inbound import first_time
from tests.conftest import Clock


async def test_an_event_delivered_three_times_is_new_once(database, clock: Clock):
    seen = [await first_time("slack", "Ev123", clock()) for _ in range(3)]
    assert seen == [True, False, False]


async def test_of_many_deliveries_at_once_one_is_the_first(database, clock: Clock):
    seen = await asyncio.gather(*(first_time("telegram", "77", clock()) for _ in range(20)))
    assert seen.count(True) == 1


async def test_the_platforms_do_not_mix(database, clock: Clock):
    assert await first_time("slack", "1", clock())
    assert await first_time("telegram", "1", clock())


async def test_long_and_odd_ids_are_remembered_too(database, clock: Clock):
    for name in ("x" * 300, "a\x00b", "\ud800", "x" * 300 + "y"):
        assert await first_time("slack", name, clock())
        assert not await first_time("slack", name, clock())


async def test_a_cancelled_delivery_leaves_the_database_usable(database, clock: Clock):
    for number in range(30):
        task = asyncio.create_task(first_time("slack", f"E{number}", clock()))
        for _ in range(number % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.wait_for(first_time("slack", "after", clock()), 10)
