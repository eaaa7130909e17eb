from __future__ import annotations

import pytest

from bot.answered import remember_answer
from bot.chat import Button, Reply, Sent
from bot.presses import NOT_YOURS
from bot.slack.payloads import press
from models import Account, Alert, Card, Destination, Message
from tests import builders
from tests.bot.talk import Person
from tests.conftest import Clock


@pytest.fixture
async def group(alice: Person, bob: Person, clock: Clock) -> Destination:
    """A group with both, which is a destination of alice's."""
    return await builders.destination(alice.account, "telegram", "-100", private=False)


async def opens_policy(person: Person) -> str:
    return (await Account.get(id=person.account.id)).ring_opens


@pytest.mark.parametrize("kind", ["card", "ring"])
async def test_only_the_owner_acts_on_a_card_or_a_ring_in_a_group(
    alice: Person, bob: Person, group: Destination, clock: Clock, kind: str
):
    mail = await builders.mail(alice.account, clock())
    if kind == "card":
        await Card.create(message=mail, destination=group, remote_id="31", created_at=clock())
    else:
        await Alert.create(
            account=alice.account, destination=group, event_key="k", event="open", at=clock(),
            due_at=clock(), state="sent", remote_id="31",
        )  # fmt: skip
    on = {"place": alice.group(), "pressed_on": "31"}
    assert await bob.presses(f"mute {mail.code}", **on) == NOT_YOURS
    assert await bob.presses("settings opens none", **on) == NOT_YOURS
    assert await opens_policy(bob) == "all"
    await alice.presses(f"mute {mail.code}", **on)
    assert (await Message.get(id=mail.id)).muted


async def test_only_who_asked_acts_on_an_answer_in_a_group(alice: Person, bob: Person, group: Destination):
    place = alice.group()
    answer = Reply("I stay quiet.", buttons=((Button("Ring again", "mute off"),),), private=False)
    await remember_answer(place, answer, Sent("77"), alice.user_id)
    await bob.types("settings opens none")
    assert await bob.presses("settings opens all", place=place, pressed_on="77") == NOT_YOURS
    assert await opens_policy(bob) == "none"
    await alice.presses("settings opens first", place=place, pressed_on="77")
    assert await opens_policy(alice) == "first"


async def test_the_same_number_in_another_chat_is_another_message(alice: Person, group: Destination):
    answer = Reply("Help", buttons=((Button("Demo", "demo"),),), private=False)
    await remember_answer(alice.group("-200"), answer, Sent("77"), alice.user_id)
    reply = await alice.presses("settings opens first", place=alice.group(), pressed_on="77")
    assert reply == NOT_YOURS


async def test_in_a_private_chat_and_on_what_only_one_person_sees_every_press_acts(alice: Person):
    await alice.presses("settings opens first", pressed_on="5")
    assert await opens_policy(alice) == "first"
    await alice.presses("settings opens none", place=alice.group())
    assert await opens_policy(alice) == "none"


async def test_a_stranger_who_presses_gets_the_line_for_strangers(charlie: Person, group: Destination):
    reply = await charlie.presses("mute 1h", place=charlie.group(), pressed_on="31")
    assert "do not know you" in reply.title


@pytest.mark.parametrize(("ephemeral", "expected"), [(True, None), (False, "C1:7.1")])
def test_slack_tells_what_only_one_person_sees(ephemeral: bool, expected: str | None):
    body = {
        "type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1"}, "trigger_id": "t1",
        "channel": {"id": "C1"}, "actions": [{"type": "button", "value": "mute 1h"}],
        "container": {"message_ts": "7.1", "is_ephemeral": ephemeral, "channel_id": "C1"},
    }  # fmt: skip
    said = press(body)
    assert said is not None
    assert said.incoming.pressed_on == expected
