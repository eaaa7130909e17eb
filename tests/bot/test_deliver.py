"""From the outbox to the chat: in order, when due, and what operators see of it."""

from __future__ import annotations

import datetime as dt

import pytest

from bot.chat import Kind
from bot.deliver import oldest_alert_seconds, pending
from models import Account, Alert, Card, Destination, Link, Message, Person, Recipient
from tests import builders
from tests.fakes.chat import FakeChat


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
