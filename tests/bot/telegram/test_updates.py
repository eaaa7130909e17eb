"""What people write and press is heard once, by polling and by webhook, and answered where it may be seen."""

from __future__ import annotations

import asyncio

import pytest

from bot.chat import Button, Kind, Place, Reply
from tests.bot.telegram import parts
from tests.bot.telegram.parts import ALICE, BOB, CHARLIE
from tests.fakes.telegram import BOT
from tests.fakes.telegram_faults import answer_dropped, blocked, broken, flood
from tests.fakes.telegram_people import Chat

GROUP = Chat(-100500, "Sales")


@pytest.fixture(params=["polling", "webhook"])
def chat(request):
    """The same behaviour both ways."""
    return request.getfixturevalue(f"{request.param}_chat")


async def test_a_command_is_heard_and_answered(fake, chat, script):
    await fake.say(ALICE, "/track ana@acme.com Q3")
    await fake.message(ALICE, "you said: track ana@acme.com Q3")
    assert script.heard[0].is_command
    assert chat.health() == "ok"


async def test_plain_text_is_heard_in_a_private_chat(fake, chat, script):
    await fake.say(ALICE, "ana@acme.com Q3")
    await fake.message(ALICE, "you said")
    assert not script.heard[0].is_command


async def test_an_update_delivered_three_times_acts_once(fake, chat, script):
    await fake.say(ALICE, "/list", times=3)
    await fake.say(ALICE, "/help")
    await fake.message(ALICE, "you said: help")
    assert script.texts == ["list", "help"]
    assert len(fake.shown(ALICE, "you said: list")) == 1


async def test_a_press_delivered_three_times_acts_once_and_is_acknowledged(fake, chat, script):
    shown = await chat.send(
        parts.place(ALICE), Reply(title="card", buttons=((Button("Mute", "mute k7m2qx"),),))
    )
    query = await fake.press(ALICE, fake.shown(ALICE)[0], "Mute", times=3)
    await fake.wait_for(lambda: query in fake.answered)
    answer = await fake.message(ALICE, "you said: mute k7m2qx")
    assert script.texts == ["mute k7m2qx"]
    assert answer.reply_to == int(shown.remote_id)
    assert script.heard[0].pressed_on == shown.remote_id


async def test_one_chats_updates_are_handled_in_order_and_another_chat_does_not_wait(fake, chat, script):
    free = asyncio.Event()

    async def slow(incoming):
        if incoming.text == "slow":
            await free.wait()
        return Reply(title=f"done {incoming.text}", private=False)

    script.answer = slow
    await fake.say(ALICE, "/slow")
    await fake.say(ALICE, "/next")
    await fake.say(BOB, "/quick")
    await fake.message(BOB, "done quick")
    assert script.texts == ["slow", "quick"]
    free.set()
    await fake.message(ALICE, "done next")
    assert [one.text for one in fake.shown(ALICE)] == ["done slow", "done next"]


async def test_a_fault_of_ours_ends_nothing(fake, chat, script):
    async def fail(incoming):
        if incoming.text == "boom":
            raise RuntimeError("a fault")
        return Reply(title="fine", private=False)

    script.answer = fail
    await fake.say(ALICE, "/boom")
    await fake.say(ALICE, "/next")
    await fake.message(ALICE, "fine")


async def test_an_update_that_the_library_cannot_read_holds_up_none(fake, chat, script):
    await fake.deliver({"message": {"text": "/list"}})
    await fake.deliver({"callback_query": {"id": 7}})
    await fake.deliver({"message": "nonsense"})
    await fake.say(ALICE, "/next")
    await fake.message(ALICE, "you said: next")


async def test_in_a_group_addresses_stay_private(fake, chat, script):
    async def answer(incoming):
        return Reply(title="ana@acme.com opened it")

    script.answer = answer
    asked = await fake.say(ALICE, "/show k7m2qx", GROUP)
    await fake.message(ALICE, "ana@acme.com opened it")
    line = await fake.message(GROUP.id, "private chat")
    assert line.reply_to == asked
    assert "acme" not in line.text
    assert len(fake.shown(GROUP.id)) == 1


async def test_who_never_pressed_start_is_told_how_in_the_group(fake, chat, script):
    async def answer(incoming):
        return Reply(title="ana@acme.com opened it")

    script.answer = answer
    fake.gone.add(CHARLIE.id)
    await fake.say(CHARLIE, "/show k7m2qx", GROUP)
    line = await fake.message(GROUP.id, "press Start")
    assert f"t.me/{BOT['username']}" in line.text
    assert "acme" not in line.text


async def test_in_a_group_talk_is_not_heard_and_a_public_answer_refers_to_the_question(fake, chat, script):
    await fake.say(ALICE, "ana@acme.com is nice", GROUP)
    topic = Chat(GROUP.id, "Sales", topic=5)
    asked = await fake.say(ALICE, f"/help@{BOT['username']}", topic)
    answer = await fake.message(GROUP.id, "you said: help")
    assert script.texts == ["help"]
    assert (answer.reply_to, answer.thread) == (asked, 5)


async def test_a_press_in_a_group_answers_the_presser_alone(fake, chat, script):
    async def refuse(incoming):
        return Reply(title="That mail is not yours.", kind=Kind.ERROR)

    script.answer = refuse
    card = Reply(title="card", buttons=((Button("Mute", "mute k7m2qx"),),))
    await chat.send(Place("telegram", str(GROUP.id), private=False), card)
    query = await fake.press(CHARLIE, fake.shown(GROUP.id)[0], "Mute", chat=GROUP)
    await fake.wait_for(lambda: query in fake.answered)
    assert fake.answered[query] == "That mail is not yours."
    assert len(fake.shown(GROUP.id)) == 1
    assert fake.shown(CHARLIE) == []


async def test_a_slow_command_does_not_leave_the_button_spinning(fake, chat, script, monkeypatch):
    monkeypatch.setattr("bot.telegram.answers._SPINNER_SECONDS", 0.05)
    free = asyncio.Event()

    async def slow(incoming):
        await free.wait()
        return Reply(title="here it is", private=False)

    script.answer = slow
    await chat.send(parts.place(ALICE), Reply(title="card", buttons=((Button("Details", "show x"),),)))
    query = await fake.press(ALICE, fake.shown(ALICE)[0], "Details")
    await fake.wait_for(lambda: query in fake.answered)
    free.set()
    await fake.message(ALICE, "here it is")


async def test_a_press_that_says_nothing_is_acknowledged_all_the_same(fake, chat, script):
    async def silent(incoming):
        return None

    script.answer = silent
    await chat.send(parts.place(ALICE), Reply(title="card", buttons=((Button("Details", "show x"),),)))
    query = await fake.press(ALICE, fake.shown(ALICE)[0], "Details")
    await fake.wait_for(lambda: query in fake.answered)
    await fake.deliver(
        {
            "callback_query": {
                "id": "77",
                "from": ALICE.json,
                "chat_instance": "1",
                "inline_message_id": "1",
                "data": "x",
            }
        }
    )
    await fake.wait_for(lambda: "77" in fake.answered)


@pytest.mark.parametrize("fault", [flood(0), broken(502), answer_dropped()], ids=["429", "502", "dropped"])
async def test_an_answer_is_said_again_when_telegram_did_not_take_it(fake, chat, fault):
    fake.faults["sendMessage"].append(fault)
    await fake.say(ALICE, "/list")
    await fake.wait_for(lambda: fake.count("sendMessage") == 2)
    await fake.message(ALICE, "you said: list")


async def test_an_answer_to_somebody_who_blocked_us_is_dropped(fake, chat, script):
    fake.faults["sendMessage"].append(blocked())
    await fake.say(ALICE, "/list")
    await fake.say(BOB, "/list")
    await fake.message(BOB, "you said: list")
    assert fake.shown(ALICE) == []
