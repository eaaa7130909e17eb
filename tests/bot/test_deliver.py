"""From the outbox to the chat: at least once, in order, whatever the chat or the process does."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from bot.chat import GoneError, Kind, LostError, NoAnswerError, RefusedError
from bot.deliver import Courier, oldest_alert_seconds, pending, release_stale_leases
from models import Account, Alert, Card, Destination, Link, Message, Person, Recipient
from models.wake import OUTBOX
from models.writer import WriterDownError
from tests import builders
from tests.bot.delivery import scene_on
from tests.fakes.chat import Failure, FakeChat
from tracker.mail.forget import forget_message
from tracker.mail.traces import FORGOTTEN


@pytest.fixture
async def scene(database, clock, tmp_path):
    """On both engines: everything here is about rows and their order."""
    async with scene_on(database, clock, tmp_path) as built:
        yield built


@pytest.fixture
async def on_sqlite(sqlite_database, clock, tmp_path):
    async with scene_on(sqlite_database, clock, tmp_path) as built:
        yield built


async def test_an_open_rings_once_and_is_marked(scene):
    await scene.due(facts={"after": 7200, "client": "Gmail", "via": "Gmail", "who": "ana@acme.com"})
    assert await scene.courier.deliver_once() == 1
    assert scene.chat.texts() == ['"Q3 proposal" was opened by ana@acme.com']
    assert scene.chat.posted[0].reply.lines == ("2 hours after sending · via Gmail",)
    alert = await Alert.get()
    assert (alert.state, alert.remote_id, alert.sent_at) == ("sent", "m1", scene.clock())
    assert await scene.courier.deliver_once() == 0


async def test_the_card_is_posted_first_and_the_ring_refers_to_it(scene):
    await scene.dirty_card()
    await scene.due()
    await scene.courier.deliver_once()
    card, ring = scene.chat.posted
    assert card.reply.kind is Kind.CARD
    assert ring.under == card.remote_id
    row = await Card.get()
    assert (row.remote_id, row.dirty_at, row.posted_at) == (card.remote_id, None, scene.clock())


async def test_rings_keep_their_order(scene):
    for number in (1, 2, 3):
        await scene.due(ordinal=number)
    await scene.courier.deliver_once()
    assert scene.chat.texts() == [
        '"Q3 proposal" was opened by ana@acme.com',
        '"Q3 proposal" was opened by ana@acme.com (2nd time)',
        '"Q3 proposal" was opened by ana@acme.com (3rd time)',
    ]


async def test_a_held_click_waits_until_it_is_due(scene):
    link = await Link.get(kind="click")
    await scene.due("click", due_at=scene.clock() + dt.timedelta(seconds=10), link_id=link.id)
    await scene.courier.deliver_once()
    assert scene.chat.posted == []
    assert await pending(scene.services) == 1
    scene.clock.advance(seconds=10)
    await scene.courier.deliver_once()
    assert scene.chat.texts() == ['"Q3 proposal": ana@acme.com clicked acme.com/deck']
    assert await pending(scene.services) == 0


async def test_a_click_that_was_withdrawn_while_held_never_rings(scene):
    alert = await scene.due("click", due_at=scene.clock() + dt.timedelta(seconds=10))
    await Alert.filter(id=alert.id).update(state="withdrawn")
    scene.clock.advance(seconds=11)
    assert await scene.courier.deliver_once() == 0
    assert scene.chat.posted == []


async def test_an_alert_that_was_withdrawn_while_it_was_being_sent_is_corrected_in_place(scene):
    alert = await scene.due()
    real = scene.chat.send

    async def judged_meanwhile(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        await Alert.filter(id=alert.id).update(state="withdrawn")
        return sent

    scene.chat.send = judged_meanwhile
    await scene.courier.deliver_once()
    assert scene.chat.texts() == [
        'Correction: "Q3 proposal" was opened by ana@acme.com does not count any more; it was judged anew.'
    ]
    assert len(scene.chat.posted) == 1
    assert await pending(scene.services) == 0


# What a chat can answer.


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


# The process and the database.


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


# Mutes.


@pytest.mark.parametrize(
    "what", ["account", "destination", "message", "message for good", "person", "person for good"]
)
async def test_a_mute_silences_the_ring_while_the_card_goes_on(scene, what):
    later = scene.clock() + dt.timedelta(hours=1)
    await Person.create(account=scene.alice, address="ana@acme.com", created_at=scene.clock())
    changes = {
        "account": Account.filter(id=scene.alice.id).update(muted_until=later),
        "destination": Destination.filter(id=scene.home.id).update(muted_until=later),
        "message": Message.filter(id=scene.mail.id).update(muted_until=later),
        "message for good": Message.filter(id=scene.mail.id).update(muted=True),
        "person": Person.all().update(muted_until=later),
        "person for good": Person.all().update(muted=True),
    }
    await changes[what]
    await scene.dirty_card()
    await scene.opens(1)
    await scene.due()
    await scene.courier.deliver_once()
    assert await scene.states() == ["silenced"]
    assert scene.chat.texts() == []
    assert "opened ×1" in scene.chat.only(Kind.CARD).shown.text


async def test_a_mute_that_ended_rings_again(scene):
    await Account.all().update(muted_until=scene.clock() + dt.timedelta(hours=1))
    scene.clock.advance(hours=1)
    await scene.due()
    await scene.courier.deliver_once()
    assert await scene.states() == ["sent"]


async def test_bobs_mute_of_ana_is_his_own(scene):
    bob = await builders.account("bob", scene.clock())
    await Person.create(account=bob, address="ana@acme.com", muted=True, created_at=scene.clock())
    await scene.due()
    await scene.courier.deliver_once()
    assert await scene.states() == ["sent"]


async def test_a_notice_is_not_muted(scene):
    await Account.all().update(muted_until=scene.clock() + dt.timedelta(hours=1))
    await scene.due("notice", None, message_id=None, recipient_id=None, facts={"text": "Mind this."})
    await scene.courier.deliver_once()
    assert scene.chat.texts() == ["Mind this."]


# Corrections.


async def test_what_rang_wrongly_is_corrected_in_place(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    assert await pending(scene.services) == 1
    await scene.courier.deliver_once()
    (message,) = scene.chat.posted
    assert message.shown.title == "Correction: that was you."
    assert (await Alert.get()).fix_text is None
    assert await pending(scene.services) == 0


async def test_a_correction_of_a_deleted_message_is_left_alone(scene):
    await scene.due()
    await scene.courier.deliver_once()
    scene.chat.delete("m1")
    await Alert.all().update(fix_text="Correction: that was you.")
    await scene.courier.deliver_once()
    assert scene.chat.posted == []
    assert await pending(scene.services) == 0


async def test_a_correction_that_cannot_be_edited_in_is_said(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    scene.chat.fail(RefusedError("edit_window_closed"))
    await scene.courier.deliver_once()
    assert scene.chat.texts()[-1] == "Correction: that was you."
    assert await pending(scene.services) == 0


async def test_a_correction_waits_for_a_chat_that_is_busy(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    scene.chat.try_later(after=5)
    await scene.courier.deliver_once()
    assert (await Alert.get()).fix_text is not None
    scene.clock.advance(seconds=6)
    await scene.courier.deliver_once()
    assert scene.chat.texts() == ["Correction: that was you."]


# What operators see.


async def test_health_tells_how_long_the_oldest_alert_has_been_due(scene):
    assert await oldest_alert_seconds(scene.services) is None
    await scene.due()
    await scene.due(due_at=scene.clock() + dt.timedelta(minutes=5))
    scene.clock.advance(seconds=90)
    assert await oldest_alert_seconds(scene.services) == 90
    assert await oldest_alert_seconds(scene.services, {"slack"}) is None
    assert await pending(scene.services, {"fake"}) == 2
    assert await pending(scene.services, {"slack"}) == 0


async def test_a_chat_that_this_process_does_not_speak_is_left_alone(scene):
    console = await builders.destination(scene.alice, "console", "console")
    await scene.due(destination_id=console.id)
    assert await scene.courier.deliver_once() == 0
    assert await scene.states() == ["waiting"]


async def test_alerts_of_a_chat_that_was_switched_off_do_not_go_out(scene):
    await scene.due()
    await Destination.all().update(off_at=scene.clock())
    assert await scene.courier.deliver_once() == 0
    assert await pending(scene.services) == 0


async def test_a_lost_message_that_is_not_a_card_is_no_reason_to_stop(scene):
    await scene.due()
    scene.chat.fail(LostError("thread_not_found"))
    await scene.courier.deliver_once()
    assert await scene.states() == ["sent"]


async def test_two_chats_are_served_by_one_courier(scene):
    other = FakeChat("other")
    home = await builders.destination(scene.alice, "other", "alice-there")
    await scene.due()
    await scene.due(destination_id=home.id)
    courier = scene.another_courier({"fake": scene.chat, "other": other})
    assert await courier.deliver_once() == 2
    assert other.texts() == scene.chat.texts()


async def test_a_recipient_who_was_erased_still_rings_as_someone(scene):
    await scene.due(facts={"who": "someone of 3"}, recipient_id=None)
    await Recipient.all().delete()
    await scene.courier.deliver_once()
    assert scene.chat.texts() == ['"Q3 proposal" was opened by someone of 3']


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


async def test_a_correction_that_always_fails_does_not_keep_cards_waiting_for_ever(on_sqlite):
    scene = on_sqlite
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    await scene.dirty_card()
    scene.chat.always = Failure(KeyError("ts"), matches=lambda call, place, reply: call == "edit")
    for _ in range(6):
        await scene.courier.deliver_once()
        scene.clock.advance(minutes=10)
    assert await pending(scene.services) == 0
    assert len(scene.chat.texts(kind=Kind.CARD)) == 1


# What is forgotten.


async def test_a_forgotten_mail_is_replaced_in_every_message_that_was_about_it(scene):
    await scene.dirty_card()
    await scene.due()
    await scene.due(ordinal=2)
    await scene.courier.deliver_once()
    await forget_message(scene.services, scene.alice, scene.mail.code)
    assert await pending(scene.services) > 0
    await scene.courier.deliver_once()
    assert [one.shown.text for one in scene.chat.posted] == [FORGOTTEN] * 3
    assert not any(one.shown.buttons for one in scene.chat.posted)
    assert await pending(scene.services) == 0
    assert await scene.courier.deliver_once() == 0


async def test_many_replacements_let_a_ring_through(scene):
    other = await builders.mail(scene.alice, scene.clock(), subject="Other")
    for number in range(1, 26):
        await Alert.create(
            account=scene.alice, destination=scene.home, message=scene.mail, event_key=f"old{number}",
            event="open", at=scene.clock(), due_at=scene.clock(), state="sent", remote_id=f"old{number}",
        )  # fmt: skip
    await forget_message(scene.services, scene.alice, scene.mail.code)
    await scene.courier.deliver_once()
    edits = len(scene.chat.calls)
    assert edits < 25
    await scene.due(mail=other)
    await scene.courier.deliver_once()
    assert scene.chat.calls[edits][0] == "send"
    assert await pending(scene.services) == 0


async def test_a_ring_that_was_on_its_way_while_its_mail_was_forgotten_is_replaced(scene):
    await scene.dirty_card()
    await scene.due()
    real = scene.chat.send

    async def forgotten_meanwhile(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        if reply.kind is Kind.ALERT:
            await forget_message(scene.services, scene.alice, scene.mail.code)
        return sent

    scene.chat.send = forgotten_meanwhile
    await scene.courier.deliver_once()
    await scene.courier.deliver_once()
    assert [one.shown.text for one in scene.chat.posted] == [FORGOTTEN] * 2
    assert await pending(scene.services) == 0


async def test_a_card_that_was_on_its_way_while_its_mail_was_forgotten_is_replaced(scene):
    await scene.dirty_card()
    await scene.due()
    real = scene.chat.send

    async def forgotten_meanwhile(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        await forget_message(scene.services, scene.alice, scene.mail.code)
        return sent

    scene.chat.send = forgotten_meanwhile
    for _ in range(3):
        await scene.courier.deliver_once()
    assert {one.shown.text for one in scene.chat.posted} == {FORGOTTEN}
    assert await pending(scene.services) == 0


async def test_a_card_that_was_being_edited_while_its_mail_was_forgotten_is_replaced(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=5)
    await scene.opens(1)
    real = scene.chat.edit

    async def forgotten_meanwhile(place, remote_id, reply):
        await forget_message(scene.services, scene.alice, scene.mail.code)
        await real(place, remote_id, reply)

    scene.chat.edit = forgotten_meanwhile
    for _ in range(3):
        await scene.courier.deliver_once()
    assert scene.chat.only(Kind.CARD).shown.text == FORGOTTEN


async def test_a_forgotten_mail_vanishes_from_a_digest_and_the_others_stay(scene):
    other = await builders.mail(scene.alice, scene.clock(), subject="Other")
    for number in range(1, 11):
        await scene.due(ordinal=number, mail=other)
    for mail in (scene.mail, other, scene.mail):
        await scene.due(mail=mail)
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=5)
    await scene.courier.deliver_once()
    digest = scene.chat.only(Kind.DIGEST)
    assert "Q3 proposal" in digest.shown.text
    await forget_message(scene.services, scene.alice, scene.mail.code)
    await scene.courier.deliver_once()
    assert "Q3 proposal" not in digest.shown.text
    assert digest.shown.lines == (FORGOTTEN, '"Other" was opened by ana@acme.com')
    await forget_message(scene.services, scene.alice, other.code)
    await scene.courier.deliver_once()
    assert digest.shown.text == FORGOTTEN


async def test_what_a_chat_will_not_edit_is_not_told_anew(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await forget_message(scene.services, scene.alice, scene.mail.code)
    scene.chat.fail(RefusedError("too old"))
    await scene.courier.deliver_once()
    assert len(scene.chat.posted) == 1
    assert await pending(scene.services) == 0
