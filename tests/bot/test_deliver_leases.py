"""Processes that die, meet, or lose their database: each ring goes out, and as good as always once."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from bot.deliver import pending, release_stale_leases
from bot.deliver.leases import claim
from models import Account, Alert, Destination
from models.wake import OUTBOX
from models.writer import WriterDownError
from tests import builders
from tracker.quiet import Quiet, Span


async def test_a_worker_killed_between_sending_and_marking_rings_once_more_at_the_most(scene):
    await scene.due()
    real = scene.chat.send

    async def dies_after(place, reply, *, under=None):
        await real(place, reply, under=under)
        raise asyncio.CancelledError

    scene.chat.send = dies_after
    with pytest.raises(asyncio.CancelledError):
        await scene.courier.deliver_once()
    assert len(scene.chat.texts()) == 1
    assert await scene.states() == ["waiting"]
    await Destination.all().update(leased_by="dead", leased_until=scene.clock() + dt.timedelta(seconds=60))
    scene.chat.send = real
    scene.clock.advance(seconds=61)
    heir = scene.another_courier()
    await heir.deliver_once()
    await heir.deliver_once()
    assert len(scene.chat.texts()) == 2
    assert await scene.states() == ["sent"]


async def test_a_live_workers_destination_is_left_to_it(scene):
    await scene.due()
    await Destination.all().update(leased_by="alive", leased_until=scene.clock() + dt.timedelta(seconds=60))
    assert await scene.courier.deliver_once() == 0
    assert scene.chat.calls == []


async def test_a_lease_and_a_wait_of_a_clock_that_was_put_back_are_over(scene):
    await scene.due(at=scene.clock() - dt.timedelta(hours=9), due_at=scene.clock() - dt.timedelta(hours=9))
    soon = scene.clock() + dt.timedelta(seconds=60)
    await Destination.all().update(leased_by="dead", leased_until=soon, wait_until=soon)
    assert await scene.courier.deliver_once() == 0
    scene.clock.advance(hours=-3)
    assert await scene.courier.deliver_once() == 1
    assert await scene.states() == ["sent"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_held_click_rings_soon_when_the_clock_is_put_back(scene, restarted):
    await scene.courier.deliver_once()
    await scene.due("click", due_at=scene.clock() + dt.timedelta(seconds=10))
    scene.clock.advance(hours=-3)
    courier = scene.another_courier() if restarted else scene.courier
    assert await courier.deliver_once() == 1
    assert await scene.states() == ["sent"]


async def test_quiet_hours_hold_again_what_they_held_when_the_clock_is_put_back(scene):
    span = Quiet(Span(dt.time(0), dt.time(23))).stored
    await Account.all().update(quiet_hours=span)
    await scene.due()
    await scene.courier.deliver_once()
    scene.clock.advance(hours=-1)
    assert await scene.courier.deliver_once() == 0
    assert (await Alert.get()).due_at > scene.clock()
    await Account.all().update(quiet_hours=None)
    await scene.due()
    assert await scene.courier.deliver_once() == 1


async def test_a_worker_keeps_its_lease_when_the_clock_is_put_back_under_it(scene):
    home = await scene.home_now()
    lease = await claim(scene.services, "one", home.id)
    assert lease is not None
    scene.clock.advance(hours=-3)
    await lease.keep()
    assert await claim(scene.services, "two", home.id) is None


async def test_leases_of_a_dead_process_are_free_at_the_next_start(on_sqlite):
    scene = on_sqlite
    await scene.due()
    await Destination.all().update(leased_by="dead", leased_until=scene.clock() + dt.timedelta(seconds=60))
    assert await release_stale_leases(scene.services) == 1
    assert await scene.courier.deliver_once() == 1


async def test_a_lease_is_renewed_while_calls_take_long(scene):
    for number in range(1, 5):
        await scene.due(ordinal=number)
    real = scene.chat.send
    leases = []

    async def slow(place, reply, *, under=None):
        scene.clock.advance(seconds=19)
        leases.append((await scene.home_now()).leased_until)
        return await real(place, reply, under=under)

    scene.chat.send = slow
    await scene.courier.deliver_once()
    assert len(scene.chat.texts()) == 4
    assert leases[-1] > leases[0]
    assert all(lease > scene.clock() - dt.timedelta(seconds=60) for lease in leases)


async def test_a_worker_whose_lease_was_taken_over_sends_nothing_more(scene):
    await scene.due()
    await scene.due(ordinal=2)
    real = scene.chat.send

    async def robbed(place, reply, *, under=None):
        scene.clock.advance(seconds=61)
        await Destination.all().update(
            leased_by="thief", leased_until=scene.clock() + dt.timedelta(seconds=60)
        )
        return await real(place, reply, under=under)

    scene.chat.send = robbed
    await scene.courier.deliver_once()
    assert len(scene.chat.texts()) == 1
    assert (await scene.home_now()).leased_by == "thief"


async def test_two_couriers_never_ring_twice(scene):
    homes = [scene.home] + [
        await builders.destination(scene.alice, "fake", f"chat{number}") for number in range(9)
    ]
    for home in homes:
        for number in range(1, 6):
            await scene.due(ordinal=number, destination_id=home.id)
    couriers = [scene.courier, scene.another_courier()]
    while await pending(scene.services):
        await asyncio.gather(*(one.deliver_once() for one in couriers))
    texts = [(one.chat_id, one.reply.title) for one in scene.chat.posted]
    assert len(texts) == len(set(texts)) == 50
    for home in homes:
        assert scene.chat.texts(home.chat_id)[1].endswith("(2nd time)")
        assert scene.chat.texts(home.chat_id)[4].endswith("(5th time)")


async def test_what_was_shown_is_marked_although_the_database_was_away_for_a_moment(on_sqlite):
    scene = on_sqlite
    await scene.due()
    real_send, real_apply = scene.chat.send, scene.services.writer.apply
    refused = 0

    async def apply(statements):
        nonlocal refused
        if scene.chat.posted and refused < 2:
            refused += 1
            raise WriterDownError("disk full")
        return await real_apply(statements)

    scene.services.writer.apply = apply
    scene.chat.send = real_send
    await scene.courier.deliver_once()
    assert refused == 2
    assert len(scene.chat.texts()) == 1
    assert await scene.states() == ["sent"]


async def test_a_database_that_is_down_is_asked_again_and_the_ring_comes(on_sqlite):
    scene = on_sqlite
    await scene.due()
    real = scene.services.writer.fetch
    refused = 0

    async def fetch(sql, arguments=()):
        nonlocal refused
        if refused < 2:
            refused += 1
            raise WriterDownError("locked")
        return await real(sql, arguments)

    scene.services.writer.fetch = fetch
    working = asyncio.ensure_future(scene.courier.run())
    try:
        async with asyncio.timeout(10):
            await scene.chat.called.wait()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert await scene.states() == ["sent"]


async def test_run_is_woken_by_the_outbox_and_drains_when_it_is_cancelled(scene):
    working = asyncio.ensure_future(scene.courier.run())
    await asyncio.sleep(0)
    release = asyncio.Event()
    real = scene.chat.send

    async def slow(place, reply, *, under=None):
        scene.chat.called.set()
        await release.wait()
        return await real(place, reply, under=under)

    scene.chat.send = slow
    await scene.due()
    scene.services.wake.ring(OUTBOX)
    async with asyncio.timeout(5):
        await scene.chat.called.wait()
    working.cancel()
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await scene.states() == ["sent"]
    assert (await scene.home_now()).leased_by is None


async def test_an_alert_that_comes_while_its_destination_is_served_is_not_forgotten(scene):
    real = scene.chat.send
    arrived = asyncio.Event()

    async def more_comes(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        if not arrived.is_set():
            arrived.set()
            await scene.due(ordinal=2)
            scene.services.wake.ring(OUTBOX)
        return sent

    scene.chat.send = more_comes
    await scene.due()
    working = asyncio.ensure_future(scene.courier.run())
    try:
        async with asyncio.timeout(5):
            while len(scene.chat.texts()) < 2:
                await asyncio.sleep(0.01)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert await scene.states() == ["sent", "sent"]
