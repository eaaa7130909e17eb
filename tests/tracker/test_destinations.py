from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models import Alert, Card, Destination
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import Court, court
from tracker.destinations import PURPOSES, choose, wants, wants_cards
from tracker.mail.binding import post_cards
from tracker.reminders.firing import fire_due
from tracker.reminders.ordering import order_reminder
from tracker.reminders.orders import parse_order


@pytest.fixture
async def room(database: DatabaseURL, clock: Clock) -> AsyncIterator[Court]:
    """Alice's private chat takes replies and reminders, a channel takes opens."""
    async with court(database, clock) as found:
        await Destination.filter(id=found.chat.id).update(purpose="replies,reminders")
        await builders.destination(found.alice, "slack", "C1", private=False, purpose="opens")
        yield found


def test_an_empty_purpose_takes_everything_and_each_word_what_it_says():
    events = ("open", "click", "hot", "revived", "reply", "bounce", "reminder", "morning", "weekly", "notice")
    assert all(wants(None, one) and wants("", one) for one in events)
    took = {purpose: [one for one in events if wants(purpose, one)] for purpose in PURPOSES}
    assert took == {
        "opens": ["open", "click", "hot", "revived"],
        "replies": ["reply", "bounce"],
        "reminders": ["reminder"],
        "digests": ["morning", "weekly"],
    }
    assert [wants_cards(one) for one in PURPOSES] == [True, True, False, False]
    assert len(",".join(PURPOSES)) <= 32, "what the column holds"


def test_a_notice_or_a_reminder_always_gets_somewhere():
    private, channel = Destination(purpose="opens", private=True), Destination(purpose="opens", private=False)
    assert choose([private, channel], "notice") == [private]
    assert choose([channel], "reminder") == [channel]
    assert choose([channel], "reply") == []
    both = Destination(purpose=None, private=False)
    assert choose([private, both], "notice") == [both]


async def test_opens_ring_in_the_channel_that_is_for_them(room: Court):
    mail = await room.mail()
    await room.request(await room.pixel(mail))
    await room.judge_all()
    (alert,) = await Alert.all().select_related("destination")
    assert alert.destination.chat_id == "C1"
    assert await Card.filter(message_id=mail.id).count() == 2


async def test_reminders_ring_in_the_chat_that_is_for_them(room: Court):
    mail = await room.mail()
    await order_reminder(room.services, room.alice, mail, parse_order("1h"))
    room.clock.advance(hours=1)
    assert await fire_due(room.services) == 1
    (alert,) = await Alert.all()
    assert alert.destination_id == room.chat.id


async def test_cards_stand_where_mails_are_told_of(room: Court):
    mail = await room.mail()
    await Destination.filter(id=room.chat.id).update(purpose="reminders")
    await post_cards(mail, await Destination.all(), room.clock())
    (card,) = await Card.all().select_related("destination")
    assert card.destination.chat_id == "C1"


async def test_the_third_open_within_a_day_says_hot_once_where_every_open_rings(room: Court):
    mail = await room.mail()
    for _ in range(5):
        room.clock.advance(hours=2)
        await room.request(await room.pixel(mail))
        await room.judge_all()
    room.clock.advance(days=20)
    await room.request(await room.pixel(mail))
    await room.judge_all()
    alerts = await Alert.all().order_by("id")
    assert [one.event for one in alerts] == ["open"] * 6
    assert [bool(one.facts.get("hot")) for one in alerts] == [False, False, True, False, False, False]
    assert [one.facts.get("silent_days") for one in alerts] == [None] * 5 + [20]
