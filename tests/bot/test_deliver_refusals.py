"""What a chat can answer: wait, gone, moved, refused, nothing at all. No ring is lost over it."""

from __future__ import annotations

import asyncio
import datetime as dt

from bot.chat import GoneError, Kind, LostError, NoAnswerError, RefusedError
from bot.deliver import Courier, pending
from models import Alert, Card, Destination
from models.wake import OUTBOX
from tests import builders
from tests.fakes.chat import Failure


async def test_a_chat_that_asks_to_wait_is_left_alone_until_then(scene):
    await scene.due()
    scene.chat.try_later(after=30)
    await scene.courier.deliver_once()
    home = await scene.home_now()
    assert (
        scene.clock() + dt.timedelta(seconds=30)
        <= home.wait_until
        <= scene.clock() + dt.timedelta(seconds=34)
    )
    assert home.failures == 1
    assert (await Alert.get()).attempts == 1
    scene.clock.advance(seconds=29)
    await scene.courier.deliver_once()
    assert len(scene.chat.calls) == 1
    scene.clock.advance(seconds=5)
    await scene.courier.deliver_once()
    assert len(scene.chat.texts()) == 1
    home = await scene.home_now()
    assert (home.failures, home.wait_until) == (0, None)


async def test_waiting_grows_with_each_failure_up_to_ten_minutes(on_sqlite):
    scene = on_sqlite
    await scene.due()
    scene.chat.fail(NoAnswerError("cut"), times=12)
    waits = []
    for _ in range(12):
        await scene.courier.deliver_once()
        wait = (await scene.home_now()).wait_until - scene.clock()
        waits.append(wait.total_seconds())
        scene.clock.advance(seconds=wait.total_seconds())
    assert waits[0] <= 2
    assert 300 <= waits[-1] <= 600
    assert waits[5] > waits[1]
    await scene.courier.deliver_once()
    assert await scene.states() == ["sent"]


async def test_a_lost_answer_rings_once_more_and_no_more(scene):
    await scene.due()
    scene.chat.lose_answer()
    await scene.courier.deliver_once()
    assert await scene.states() == ["waiting"]
    scene.clock.advance(seconds=3)
    await scene.courier.deliver_once()
    await scene.courier.deliver_once()
    assert len(scene.chat.texts()) == 2
    assert await scene.states() == ["sent"]


async def test_a_chat_that_never_answers_counts_as_no_answer(on_sqlite):
    scene = on_sqlite
    await scene.due()
    scene.chat.failures.append(Failure(hangs=True))
    courier = Courier(scene.services, {"fake": scene.chat}, call_seconds=0.05)
    await courier.deliver_once()
    assert (await Alert.get()).last_error.startswith("NoAnswerError: no answer within")
    assert (await scene.home_now()).wait_until > scene.clock()


async def test_a_hanging_chat_delays_no_other_destination(scene):
    for number in range(5):
        home = await builders.destination(scene.alice, "fake", f"hanging{number}")
        await scene.due(destination_id=home.id)
    await scene.due()
    scene.chat.always = Failure(hangs=True, matches=lambda call, place, reply: "hanging" in place.chat_id)
    working = asyncio.ensure_future(scene.courier.run())
    try:
        async with asyncio.timeout(3):  # the hanging calls would take five seconds
            while not scene.chat.texts("alice-chat"):
                scene.chat.called.clear()
                await scene.chat.called.wait()
                await asyncio.sleep(0)
            scene.chat.posted.clear()
            await scene.due(ordinal=2)
            scene.services.wake.ring(OUTBOX)
            while not scene.chat.texts("alice-chat"):
                await asyncio.sleep(0.01)
    finally:
        scene.chat.always = None
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_a_dead_destination_is_switched_off_and_another_chat_says_what_was_lost(scene):
    away = await builders.destination(scene.alice, "fake", "away", title="sales")
    await scene.due(destination_id=away.id)
    await scene.due("click", destination_id=away.id, due_at=scene.clock() + dt.timedelta(seconds=10))
    scene.chat.fail(GoneError("is_archived"))
    await scene.courier.deliver_once()
    dead = await Destination.get(id=away.id)
    assert (dead.off_at, dead.off_reason, dead.leased_by) == (scene.clock(), "is_archived", None)
    assert await scene.states() == ["dropped", "dropped", "waiting"]
    await scene.courier.deliver_once()
    (text,) = scene.chat.texts("alice-chat")
    assert 'Your Fake chat "sales" takes no messages any more (is_archived)' in text
    assert "2 rings did not get there" in text
    assert '"Q3 proposal" was opened by ana@acme.com' in text
    assert "clicked" in text


async def test_the_owner_learns_of_bobs_dead_chat_but_nothing_of_bobs_mail(scene):
    bob = await builders.account("bob", scene.clock())
    away = await builders.destination(bob, "fake", "bob-chat")
    secret = await builders.mail(bob, scene.clock(), subject="Salary", to=("eve@acme.com",))
    await scene.due(mail=secret, destination_id=away.id)
    scene.chat.fail(GoneError("bot was blocked"))
    await scene.courier.deliver_once()
    await scene.courier.deliver_once()
    (text,) = scene.chat.texts("alice-chat")
    assert "The Fake chat of bob takes no messages any more (bot was blocked)" in text
    assert "1 ring did not get there" in text
    assert "Salary" not in text
    assert "eve@acme.com" not in text
    notice = await Alert.get(event="notice")
    assert notice.account_id == scene.alice.id


async def test_a_dead_destination_without_any_other_just_goes_off(scene):
    await scene.due()
    scene.chat.fail(GoneError("blocked"))
    await scene.courier.deliver_once()
    assert await scene.states() == ["dropped"]
    assert (await scene.home_now()).off_at is not None
    assert await pending(scene.services) == 0


async def test_a_group_that_moved_is_followed(scene):
    await scene.due()
    scene.chat.fail(GoneError("migrated", moved_to="new-chat"))
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=3)
    await scene.courier.deliver_once()
    assert scene.chat.texts("new-chat") == ['"Q3 proposal" was opened by ana@acme.com']
    assert (await scene.home_now()).chat_id == "new-chat"


async def test_a_group_that_moved_to_a_known_one_ends_without_a_word(scene):
    await builders.destination(scene.alice, "fake", "new-chat")
    await scene.due()
    scene.chat.fail(GoneError("migrated", moved_to="new-chat"))
    await scene.courier.deliver_once()
    await scene.courier.deliver_once()
    assert (await scene.home_now()).off_at is not None
    assert scene.chat.posted == []


async def test_a_refused_ring_goes_out_in_plain_words(scene):
    await scene.due(facts={"after": 60, "client": "Outlook"})
    scene.chat.fail(RefusedError("invalid_blocks"))
    await scene.courier.deliver_once()
    (message,) = scene.chat.posted
    assert message.reply.buttons == ()
    assert "was opened by ana@acme.com" in message.reply.title
    assert await scene.states() == ["sent"]


async def test_a_ring_that_is_refused_in_any_form_is_dropped_and_the_next_one_goes_on(scene):
    await scene.due()
    await scene.due(ordinal=2)
    scene.chat.fail(RefusedError("no_text"), times=2)
    await scene.courier.deliver_once()
    assert await scene.states() == ["dropped", "sent"]
    assert (await Alert.all().order_by("id").first()).last_error == "no_text"


async def test_a_fault_of_the_chats_own_is_tried_again_but_not_for_ever(on_sqlite):
    scene = on_sqlite
    await scene.due()
    await scene.due(ordinal=2)
    scene.chat.always = Failure(KeyError("ts"), matches=lambda call, place, reply: "2nd" not in reply.title)
    for _ in range(6):
        await scene.courier.deliver_once()
        scene.clock.advance(minutes=10)
    assert await scene.states() == ["dropped", "sent"]


async def test_a_ring_whose_card_was_deleted_comes_under_a_new_card(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    scene.chat.delete("m1")
    await scene.due()
    await scene.courier.deliver_once()
    card, ring = scene.chat.posted
    assert card.reply.kind is Kind.CARD
    assert ring.under == card.remote_id == (await Card.get()).remote_id


async def test_a_lost_message_that_is_not_a_card_is_no_reason_to_stop(scene):
    await scene.due()
    scene.chat.fail(LostError("thread_not_found"))
    await scene.courier.deliver_once()
    assert await scene.states() == ["sent"]


async def test_a_library_that_cancels_its_own_call_does_not_stop_the_courier(on_sqlite):
    scene = on_sqlite
    scene.chat.fail(asyncio.CancelledError())
    working = asyncio.ensure_future(scene.courier.run())
    try:
        await scene.due()
        scene.services.wake.ring(OUTBOX)
        async with asyncio.timeout(10):
            while not scene.chat.texts():
                scene.services.wake.ring(OUTBOX)
                await asyncio.sleep(0.01)
        assert not working.done()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
