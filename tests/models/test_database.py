import asyncio

from models import Account
from models.database import atomically
from tests.conftest import Clock


async def test_a_moment_comes_back_as_it_was_stored(database, clock: Clock):
    await Account.create(name="alice", created_at=clock())
    found = await Account.filter(created_at__lte=clock(), created_at__gte=clock()).get()
    assert found.created_at == clock()
    assert found.muted_until is None


async def test_moments_are_compared_across_time_zones(database, clock: Clock):
    import datetime as dt

    await Account.create(name="alice", created_at=clock())
    east = (clock() + dt.timedelta(minutes=1)).astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert await Account.filter(created_at__lt=east).count() == 1


async def test_a_cancelled_caller_leaves_the_database_usable(database, clock: Clock):
    async def work() -> None:
        await Account.create(name="bob", created_at=clock())

    for delay in range(40):
        task = asyncio.create_task(atomically(work))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(atomically(work), 10)
    assert await Account.filter(name="bob").exists()
