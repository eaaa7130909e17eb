"""Rings arrive whatever Telegram does: floods, cuts, blocks, groups that move, cards that vanish."""

from __future__ import annotations

import asyncio

import pytest

from bot.telegram import transport
from models import Alert, Destination, Message
from tests.fakes import telegram_faults as fake
from tests.fakes.telegram_faults import Fault
from tests.fakes.telegram_people import Chat
from tests.flows.telegram.world import ALICE, MAIL, NETWORKS, SALES, World, tracked


async def test_the_same_update_three_times_acts_once(world: World) -> None:
    await world.telegram.say(ALICE, f"/track {MAIL}", times=3)
    await world.telegram.wait_for(lambda: world.answers() and world.cards())
    await world.ask("/help", times=3)
    query = await world.telegram.press(ALICE, world.cards()[0], "Mute", times=3)
    await world.telegram.wait_for(lambda: query in world.telegram.answered)
    await world.ask("/list")
    assert await Message.all().count() == 1
    assert (len(world.answers()), len(world.cards())) == (1, 1)
    assert (await Message.get()).muted


@pytest.mark.parametrize(
    "faults",
    [
        [fake.flood(1)],
        [fake.broken(500)],
        [fake.hanging()],
        [fake.answer_dropped()],
        [fake.answer_dropped(), fake.flood(1), fake.broken(503)],
    ],
    ids=["429", "500", "hang", "answer dropped", "all at once"],
)
async def test_every_ring_arrives_whatever_telegram_does(
    polling_world: World, faults: list[Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: doubled only where an answer was lost."""
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 1.0)
    world = polling_world
    answer = await world.track()
    world.telegram.faults["sendMessage"].extend(faults)
    await world.opened(tracked(answer)[0], *NETWORKS)

    def all_there() -> bool:
        texts = "\n".join(one.text for one in world.rings())
        return all(words in texts for words in ("ana@acme.com\n", "(2nd time)", "(3rd time)"))

    async with asyncio.timeout(60):
        while not all_there():
            world.bell.pass_time(seconds=2)
            await asyncio.sleep(0.1)
    assert 3 <= len(world.rings()) <= 3 + sum(one.works or one.hang for one in faults)
    await world.card_says("opened ×3")
    assert await Alert.filter(state="sent").count() == 3


async def test_a_lost_card_is_posted_anew_and_rings_go_on(polling_world: World) -> None:
    world = polling_world
    answer = await world.track()
    lost = world.cards()[0]
    world.telegram.chats[ALICE.id].remove(lost)
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)
    card = await world.card_says("opened ×1")
    assert card.id != lost.id


async def test_who_blocks_the_bot_is_switched_off_and_told_elsewhere(world: World) -> None:
    """alice rings in private and in a group; she blocks the bot, then lets it in again."""
    await world.ring_in_sales()
    answer = await world.track()
    await world.telegram.wait_for(lambda: world.cards(SALES.id))
    await world.telegram.change_member(Chat(ALICE.id), ALICE, "kicked")
    await world.telegram.message(SALES.id, "switched it off")
    assert (await Destination.get(chat_id=str(ALICE.id))).off_at is not None
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.telegram.wait_for(lambda: world.rings(SALES.id))
    assert world.rings() == []
    await world.telegram.change_member(Chat(ALICE.id), ALICE, "member")
    for _ in range(200):
        if (await Destination.get(chat_id=str(ALICE.id))).off_at is None:
            break
        await asyncio.sleep(0.02)
    await world.opened(tracked(answer)[0], NETWORKS[1])
    assert "(2nd time)" in (await world.ring(1)).text


async def test_a_403_at_a_ring_switches_off_and_others_go_on(polling_world: World) -> None:
    world = polling_world
    await world.ring_in_sales()
    answer = await world.track()
    await world.telegram.wait_for(lambda: world.cards(SALES.id))
    world.telegram.gone.add(SALES.id)
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)
    await world.telegram.message(ALICE, "switched it off")
    assert (await Destination.get(chat_id=str(SALES.id))).off_at is not None


async def test_a_group_that_became_a_supergroup_goes_on_ringing(polling_world: World) -> None:
    world = polling_world
    await world.ring_in_sales(-99)
    world.telegram.moved[-99] = -1007
    answer = await world.track()
    await world.opened(tracked(answer)[0], NETWORKS[0])
    async with asyncio.timeout(60):
        while not world.rings(-1007):
            world.bell.pass_time(seconds=2)
            await asyncio.sleep(0.1)
    assert (await Destination.get(title="Sales")).chat_id == "-1007"
