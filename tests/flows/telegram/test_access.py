"""Who may do what in Telegram, in private and in groups."""

from __future__ import annotations

import re

import pytest

from models import Account, Destination, Message
from tests.flows.telegram.world import ALICE, BOB, CHARLIE, MAIL, NETWORKS, SALES, World, tracked


async def test_the_claim_code_in_a_deep_link_makes_the_owner(world: World) -> None:
    account = await Account.get()
    assert account.is_owner
    assert (await Destination.get()).chat_id == str(ALICE.id)


async def test_a_stranger_gets_one_polite_line_and_changes_nothing(world: World) -> None:
    answer = await world.track()
    for deed in ("/list", MAIL, f"/mute {(await Message.get()).code}", "/start 234567892345"):
        line = await world.ask(deed, CHARLIE)
        assert "I do not know you yet" in line.text
        assert "\n" not in line.text
    await world.telegram.press_data(CHARLIE, line, world.cards()[0].button("Mute"))
    await world.telegram.wait_for(lambda: len(world.telegram.shown(CHARLIE)) == 5)
    assert "I do not know you yet" in world.telegram.shown(CHARLIE)[-1].text
    assert await Message.all().count() == 1
    assert not (await Message.get()).muted
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)


async def test_a_colleague_cannot_act_on_somebody_elses_mail(world: World) -> None:
    invitation = await world.ask("/invite")
    code = re.search(r"\?start=(\w+)", invitation.text)
    assert code is not None, invitation.text
    await world.ask(f"/start {code[1]}", BOB)
    await world.track()
    card = world.cards()[0]
    since = len(world.telegram.shown(BOB))
    await world.telegram.press_data(BOB, world.telegram.shown(BOB)[0], card.button("Mute"))
    await world.telegram.wait_for(lambda: len(world.telegram.shown(BOB)) > since)
    assert "Q3" not in world.telegram.shown(BOB)[-1].text
    assert not (await Message.get()).muted


async def test_a_strangers_press_in_a_group_is_answered_to_them_alone(polling_world: World) -> None:
    world = polling_world
    await world.ring_in_sales()
    await world.track()
    await world.telegram.wait_for(lambda: world.cards(SALES.id))
    query = await world.telegram.press(CHARLIE, world.cards(SALES.id)[0], "Mute", chat=SALES)
    await world.telegram.wait_for(lambda: query in world.telegram.answered)
    assert "I do not know you yet" in world.telegram.answered[query]
    assert len(world.telegram.shown(SALES.id)) == 1
    assert not (await Message.get()).muted


async def test_what_holds_addresses_is_answered_privately_when_asked_for_in_a_group(world: World) -> None:
    await world.track()
    asked = await world.telegram.say(ALICE, "/list", SALES)
    line = await world.telegram.message(SALES.id, "private chat")
    assert line.reply_to == asked
    assert "acme" not in str(world.telegram.shown(SALES.id))
    await world.telegram.wait_for(
        lambda: [one for one in world.telegram.shown(ALICE)[-1:] if "Q3 proposal" in one.text]
    )


@pytest.mark.parametrize(
    "subject", ["<!channel> *x* </a>", '<a href="https://evil.example">pay</a> &lt;', "@charlie `x` <b>"]
)
async def test_a_hostile_subject_is_shown_as_it_is_and_does_nothing(
    polling_world: World, subject: str
) -> None:
    world = polling_world
    answer = await world.track(f"/track ana@acme.com {subject}")
    await world.opened(tracked(answer)[0], NETWORKS[0])
    ring = await world.ring(1)
    stored = (await Message.get()).subject
    assert f'"{stored}" was opened' in ring.text.replace("\u2060", "")
    assert stored in world.cards()[0].text.replace("\u2060", "")
    for shown in world.telegram.shown(ALICE):
        assert not [one for one in shown.entities if one[0] == "a" and "evil" in one[2]]
        assert not re.search(r"(?<![\w@.])@charlie", shown.text)
