"""The standing connection: polling that loses nothing, the menu, and what /healthz says about it."""

from __future__ import annotations

import asyncio

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from bot.access import bot_name
from bot.chat import Reply
from bot.commands import COMMANDS
from bot.telegram import intake, polling
from bot.telegram.lease import LASTS, PollLease
from models import InboundEvent
from models.database import open_database, parse_database_url
from tests.bot.telegram import parts
from tests.bot.telegram.parts import ALICE
from tests.fakes.telegram import BOT
from tests.fakes.telegram_faults import Fault, answer_dropped, broken, flood, hanging
from tests.fakes.telegram_people import Chat

pytestmark = pytest.mark.usefixtures("short_pauses")


async def test_the_menu_is_the_registry_and_is_sent_once(fake, polled):
    for _ in range(2):
        async with polled():
            await fake.polled()
    assert [one["command"] for one in fake.commands] == [one.verb for one in COMMANDS if not one.hidden]
    assert fake.count("setMyCommands") == fake.count("setMyShortDescription") == 1


async def test_a_menu_that_is_refused_keeps_nobody_from_being_answered(fake, polled):
    fake.faults["setMyCommands"].append(flood(3600))
    async with polled():
        await fake.say(ALICE, "/list")
        await fake.message(ALICE, "you said")


async def test_invitations_learn_what_the_bot_is_called(fake, polling_chat):
    await fake.polled(1)
    assert await bot_name("telegram") == BOT["username"]


async def test_polling_takes_a_webhook_away_and_asks_only_for_what_it_understands(fake, polled):
    fake.webhook = {"url": "https://old.example/"}
    async with polled():
        await fake.polled()
    assert fake.webhook == {}
    asked = next(given for name, given in fake.calls if name == "getUpdates")
    assert asked["allowed_updates"] == '["message", "callback_query", "my_chat_member"]'


async def test_a_webhook_set_behind_our_back_is_taken_away_again(fake, polling_chat, monkeypatch):
    await fake.polled(1)
    fake.webhook = {"url": "https://old.example/"}
    await fake.wait_for(lambda: not fake.webhook)
    await fake.say(ALICE, "/list")
    await fake.message(ALICE, "you said")


async def test_what_could_not_be_stored_is_not_confirmed_and_comes_again(
    fake, polling_chat, script, monkeypatch
):
    real, failures = intake.first_time, [OSError("disk full"), OSError("disk full")]

    async def failing(*arguments):
        if failures:
            raise failures.pop()
        return await real(*arguments)

    monkeypatch.setattr(intake, "first_time", failing)
    await fake.say(ALICE, "/list")
    await fake.wait_for(lambda: not failures)
    assert fake.confirmed == 0
    await fake.message(ALICE, "you said: list")
    assert script.texts == ["list"]


async def test_an_id_is_stored_before_telegram_may_forget_the_update(fake, polling_chat):
    await fake.say(ALICE, "/list")
    await fake.wait_for(lambda: fake.confirmed)
    stored = await InboundEvent.get(platform="telegram")
    assert stored.event_id == f"{BOT['id']}:{fake.confirmed - 1}"


async def test_after_a_restart_an_unconfirmed_update_does_not_act_again(fake, polled, script):
    async with polled():
        await fake.say(ALICE, "/list")
        await fake.message(ALICE, "you said")
    update = {"update_id": fake.confirmed - 1 if fake.confirmed else 700_000_000}
    fake._pending.insert(0, {**update, "message": fake._message(Chat(ALICE.id), ALICE.json, "/list")})
    async with polled():
        await fake.say(ALICE, "/help")
        await fake.message(ALICE, "you said: help")
    assert script.texts == ["list", "help"]


async def test_a_poll_that_fails_is_followed_by_another(fake, polled):
    fake.faults["getUpdates"].extend([broken(502), flood(0), Fault(raw=b"<html>"), answer_dropped()])
    async with polled() as chat:
        await fake.say(ALICE, "/list")
        await fake.message(ALICE, "you said", patience=20)
        await fake.wait_for(lambda: chat.health() == "ok")


async def test_a_poll_that_hangs_is_cut_and_seen_in_health(
    fake, script, tmp_path, clock, sqlite_database, monkeypatch
):
    monkeypatch.setattr(polling, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr("bot.telegram.transport.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("bot.telegram.connection.SILENCE_SECONDS", 0.05)
    fake.faults["getUpdates"].append(hanging())
    chat = parts.build(parts.services(fake, tmp_path, clock), script, hold=0)
    await chat.start()
    await fake.wait_for(lambda: fake.count("getUpdates") == 1)
    await asyncio.sleep(0.1)
    assert "not answered" in chat.health()
    await fake.say(ALICE, "/list")
    await fake.message(ALICE, "you said")
    await chat.stop()


async def test_a_server_without_long_polling_is_not_asked_without_end(
    fake, script, tmp_path, clock, sqlite_database
):
    fake.long_polling = False
    chat = parts.build(parts.services(fake, tmp_path, clock), script)
    await chat.start()
    await fake.wait_for(lambda: fake.count("getUpdates") == 1)
    await asyncio.sleep(0.6)
    assert fake.count("getUpdates") <= 3
    await chat.stop()


async def test_a_wrong_token_is_told_in_plain_words_and_never_shown(
    fake, script, tmp_path, clock, sqlite_database, caplog
):
    given = parts.services(fake, tmp_path, clock, TELEGRAM_BOT_TOKEN="4242:wrong")
    chat = parts.build(given, script)
    await chat.start()
    while "TELEGRAM_BOT_TOKEN" not in chat.health():
        await asyncio.sleep(0.01)
    await asyncio.wait_for(chat.stop(), 2)
    assert "4242:wrong" not in caplog.text


async def test_another_program_with_the_same_token_is_told(fake, polled):
    fake.faults["getUpdates"].append(Fault(409, "Conflict: terminated by other getUpdates request"))
    async with polled() as chat:
        await fake.wait_for(lambda: "another program" in chat.health())


async def test_starting_does_not_wait_for_telegram(fake, polled):
    fake.faults["getMe"].extend([broken(502), hanging()])
    async with polled() as chat:
        assert chat.health() == "connecting to Telegram"
        await fake.wait_for(lambda: fake.count("getMe") == 2)
        await asyncio.wait_for(chat.stop(), 6)


async def test_stopping_finishes_the_answer_under_way(fake, polled, script):
    begun = asyncio.Event()

    async def slow(incoming):
        begun.set()
        await asyncio.sleep(0.2)
        return Reply(title="finished", private=False)

    script.answer = slow
    async with polled():
        await fake.say(ALICE, "/list")
        await begun.wait()
    assert [one.text for one in fake.shown(ALICE)] == ["finished"]


async def test_stopping_lets_a_message_under_way_hear_its_answer(fake, polled):
    async with polled() as chat:
        fake.faults["sendMessage"].append(Fault(slow=0.3, works=True))
        sending = asyncio.ensure_future(chat.send(parts.place(ALICE), Reply(title="ring")))
        await fake.wait_for(lambda: fake.count("sendMessage"))
    assert (await sending).remote_id == str(fake.shown(ALICE)[0].id)


async def test_one_of_several_workers_polls_and_another_takes_over(database, fake, script, tmp_path, clock):
    """On SQLite there is one process, which needs no lease; the row itself works on both."""
    given = parts.services(fake, tmp_path, clock)
    first, second = PollLease(given, "4242"), PollLease(given, "4242")
    assert [await first.hold(), await second.hold(), await first.hold()] == [True, False, True]
    assert await PollLease(given, "other bot").hold()
    clock.now += LASTS
    assert not await second.hold()
    clock.advance(seconds=1)
    assert [await second.hold(), await first.hold()] == [True, False]
    await second.release()
    assert await first.hold()


async def test_two_workers_on_postgresql_do_not_cut_each_other_off(
    postgres_url, fake, script, tmp_path, clock, monkeypatch
):
    monkeypatch.setattr(polling, "_STANDBY_PAUSE", 0.05)
    EXECUTOR_CACHE.clear()
    async with open_database(parse_database_url(postgres_url)):
        async with (
            parts.polling(fake, tmp_path, clock, script) as first,
            parts.polling(fake, tmp_path, clock, script) as second,
        ):
            await fake.wait_for(
                lambda: fake.count("getUpdates") and first.health() == second.health() == "ok"
            )
            await fake.polled(2)
            assert fake.conflicts == 0
            await first.stop()
            await fake.say(ALICE, "/list")
            await fake.message(ALICE, "you said")
            await second.stop()
        assert fake.conflicts == 0
