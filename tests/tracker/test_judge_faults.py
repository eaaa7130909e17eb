"""A judge whose database fails or whose mail is gone: nothing is lost, doubled or held up."""

import asyncio
import datetime as dt
from typing import Any

import pytest

from models import Alert, Hit, Message
from models.writer import Statement, WriterDownError
from tests.tracker.judging import Court, check_sums
from tracker.hits.judge import MOST_ASIDE


async def test_a_crash_between_reading_and_writing_loses_and_doubles_nothing(room: Court, monkeypatch):
    mail = await room.mail()
    room.clock.advance(minutes=1)
    for minutes in range(3):
        await room.request(await room.pixel(mail), at=room.clock() + dt.timedelta(minutes=2 * minutes))
    apply = room.services.writer.apply
    answers = iter(["down", "lost"])

    async def failing(statements: Any) -> list[int]:
        fate = next(answers, None)
        if fate == "down":
            raise WriterDownError("gone")
        changed = await apply(statements)
        if fate == "lost":
            raise WriterDownError("the answer got lost")
        return changed

    monkeypatch.setattr(room.services.writer, "apply", failing)
    for _ in range(2):
        with pytest.raises(WriterDownError):
            await room.judge.judge_once()
    assert await room.judge.judge_once() == 0
    assert [ordinal for _, ordinal in await room.rung()] == [1, 2, 3]
    await check_sums()


async def test_when_no_mail_can_be_judged_the_judge_waits_instead_of_spinning(
    lite: Court, monkeypatch, caplog
):
    for number in range(MOST_ASIDE + 5):
        mail = await lite.mail(to=(f"p{number}@acme.com",))
        await lite.request(await lite.pixel(mail))

    async def failing(statements: Any) -> list[int]:
        raise ValueError("no")

    apply = lite.services.writer.apply
    monkeypatch.setattr(lite.services.writer, "apply", failing)
    task = asyncio.create_task(lite.judge.run())
    async with asyncio.timeout(20):
        while "judging failed" not in caplog.text:
            await asyncio.sleep(0.02)
    assert len(caplog.records) <= 2 * (MOST_ASIDE + 5)
    monkeypatch.setattr(lite.services.writer, "apply", apply)
    async with asyncio.timeout(20):
        while await Hit.filter(judged_at=None).exists():
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_judge_survives_a_database_that_is_away_and_a_mail_it_cannot_judge(
    lite: Court, monkeypatch, caplog
):
    broken, fine = await lite.mail(), await lite.mail(to=("ben@acme.com",))
    lite.clock.advance(minutes=1)
    for mail in (broken, fine):
        await lite.request(await lite.pixel(mail))
    apply = lite.services.writer.apply
    down = iter([True])

    async def failing(statements: list[Statement]) -> list[int]:
        if next(down, False):
            raise WriterDownError("away")
        if any(row[-1] == broken.id for one in statements if "message" in one.sql for row in one.rows):
            raise ValueError("no")
        return await apply(statements)

    monkeypatch.setattr(lite.services.writer, "apply", failing)
    task = asyncio.create_task(lite.judge.run())
    async with asyncio.timeout(10):
        while await Hit.filter(message_id=fine.id, judged_at=None).exists():
            await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await Hit.filter(message_id=broken.id, judged_at=None).count() == 1
    assert "could not be judged" in caplog.text


async def test_a_ring_of_the_bell_starts_judging_and_wakes_delivery(lite: Court):
    mail = await lite.mail()
    lite.clock.advance(minutes=1)
    task = asyncio.create_task(lite.judge.run())
    await asyncio.sleep(0.05)
    await lite.request(await lite.pixel(mail))
    lite.services.wake.ring("hits")
    assert await lite.services.wake.wait("outbox", 5)
    assert await lite.rung() == [("open", 1)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_mail_deleted_while_it_is_judged_holds_up_nobody(room: Court, monkeypatch):
    doomed, fine = await room.mail(), await room.mail(to=("ben@acme.com",))
    room.clock.advance(minutes=1)
    for mail in (doomed, fine):
        await room.request(await room.pixel(mail))
    apply = room.services.writer.apply

    async def deleting(statements: Any) -> list[int]:
        await Message.filter(id=doomed.id).delete()
        return await apply(statements)

    monkeypatch.setattr(room.services.writer, "apply", deleting)
    await room.judge_all()
    assert (await Message.get(id=fine.id)).opens == 1
    assert await Alert.all().count() == 1
