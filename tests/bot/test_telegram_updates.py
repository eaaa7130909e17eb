"""Updates come in once each, by polling and by webhook, and answers go where they may be seen."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from bot.chat import Button, Kind, Place, Reply
from bot.telegram import polling
from bot.telegram.webhook import BODY_LIMIT
from models import Destination, Identity, InboundEvent, InstanceState
from models.columns import clean_text
from tests import builders
from tests.bot import telegram_parts as parts
from tests.bot.telegram_parts import ALICE, BOB, CHARLIE
from tests.fakes.telegram import (
    BOT,
    TOKEN,
    Chat,
    FakeTelegram,
    Fault,
    answer_dropped,
    blocked,
    broken,
    flood,
    hanging,
)

GROUP = Chat(-100500, "Sales")


@pytest.fixture
async def fake():
    async with FakeTelegram().serve() as server:
        yield server
        assert server.complaints == []


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    for name in ("polling._FIRST_PAUSE", "polling._CONFLICT_PAUSE", "connection._FIRST_PAUSE"):
        monkeypatch.setattr(f"bot.telegram.{name}", 0.01)


@pytest.fixture
def script():
    return parts.Script()


@pytest.fixture
def polled(fake, script, tmp_path, clock, sqlite_database):
    """A factory of chats that poll the fake."""

    @contextlib.asynccontextmanager
    async def start(writer=None):
        chat = parts.build(parts.services(fake, tmp_path, clock, writer), script)
        await chat.start()
        try:
            yield chat
        finally:
            await chat.stop()

    return start


@pytest.fixture
async def polling_chat(polled):
    async with polled() as chat:
        yield chat


@pytest.fixture
async def webhook_chat(fake, script, tmp_path, clock, sqlite_database):
    async with parts.web_role(fake, tmp_path, clock, script) as chat:
        yield chat


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


# The connection


async def test_the_menu_is_the_registry_and_is_sent_once(fake, polled):
    from bot.commands import COMMANDS

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
    from bot.access import bot_name

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
    from bot.telegram import intake

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


# The webhook


async def test_the_webhook_is_registered_with_its_secret_once(fake, webhook_chat, script, tmp_path, clock):
    assert fake.webhook["secret_token"] == parts.SECRET
    assert fake.webhook["allowed_updates"] == ["message", "callback_query", "my_chat_member"]
    assert parts.SECRET not in " ".join([one.value for one in await InstanceState.all()])
    await webhook_chat.stop()
    await webhook_chat.start()
    await fake.wait_for(lambda: fake.count("getWebhookInfo") >= 3)
    assert fake.count("setWebhook") == 1


async def test_a_new_secret_is_told_to_telegram(fake, webhook_chat, script, tmp_path, clock):
    url = fake.webhook["url"].removesuffix("/telegram/webhook")
    await webhook_chat.stop()
    given = parts.services(fake, tmp_path, clock, BASE_URL=url, TELEGRAM_WEBHOOK_SECRET="another-one")
    chat = parts.build(given, script)
    await chat.start()
    await fake.wait_for(lambda: fake.webhook["secret_token"] == "another-one")
    await chat.stop()


@pytest.mark.parametrize("secret", ["", "wrong", parts.SECRET + "x", "é", "\x80"])
async def test_who_does_not_know_the_secret_is_turned_away(fake, webhook_chat, script, secret):
    update = {"update_id": 1, "message": fake._message(Chat(ALICE.id), ALICE.json, "/list")}
    assert await fake.post(update, secret=secret) == 401
    assert script.heard == []
    assert await InboundEvent.all().count() == 0


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"", 400), (b"not json", 400), (b"[]", 400), (b"{}", 400), (b'{"update_id": "1"}', 400),
     (b"\xff\xfe", 400),
     (b"[" * 100_000, 400), (b" " * (BODY_LIMIT + 1), 413), (b'{"update_id": 5, "message": 7}', 200),
     (b'{"update_id": true}', 400)],
)  # fmt: skip
async def test_garbage_with_the_secret_is_no_server_error(fake, webhook_chat, raw, status):
    assert await fake.post(None, raw=raw) == status


async def test_a_body_that_never_ends_is_cut(fake, webhook_chat, monkeypatch):
    monkeypatch.setattr("bot.telegram.webhook.BODY_SECONDS", 0.2)
    address = fake.webhook["url"].split("/")[2]
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(
        b"POST /telegram/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        b"X-Telegram-Bot-Api-Secret-Token: " + parts.SECRET.encode() + b'\r\n\r\n{"update'
    )
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_while_nothing_can_be_stored_telegram_is_asked_to_come_again(
    fake, webhook_chat, script, monkeypatch
):
    async def fail(*arguments):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("bot.telegram.intake.first_time", fail)
        await fake.say(ALICE, "/list")
    assert fake.deliveries == [503]
    assert script.heard == []


async def test_after_the_stop_an_update_is_left_to_the_next_process(fake, webhook_chat, script):
    await webhook_chat.stop()
    await fake.say(ALICE, "/list")
    assert fake.deliveries == [503]
    assert await InboundEvent.all().count() == 0


async def test_an_update_is_confirmed_before_its_work_is_done(fake, webhook_chat, script):
    free = asyncio.Event()

    async def slow(incoming):
        await free.wait()
        return Reply(title="done", private=False)

    script.answer = slow
    await asyncio.wait_for(fake.say(ALICE, "/list"), 2)
    assert fake.deliveries == [200]
    free.set()
    await fake.message(ALICE, "done")


async def test_what_telegram_says_about_the_webhook_is_in_health(fake, webhook_chat, clock):
    import time

    await webhook_chat.stop()
    clock.now = clock.now.fromtimestamp(time.time(), clock.now.tzinfo)
    fake.webhook["info"] = {"last_error_date": int(time.time()), "last_error_message": "Connection refused"}
    await webhook_chat.start()
    await fake.wait_for(lambda: "Connection refused" in webhook_chat.health())


# What becomes of destinations


@pytest.fixture
async def known(sqlite_database, clock):
    """Alice's private chat and a group ring for her; bob is somebody else."""
    account = await builders.account("alice", clock(), owner=True)
    await builders.identity(account, "telegram", str(ALICE.id))
    private = await builders.destination(account, "telegram", str(ALICE.id))
    group = await builders.destination(account, "telegram", str(GROUP.id), private=False)
    return account, private, group


async def test_a_block_switches_the_chat_off_tells_the_owner_elsewhere_and_is_undone(
    fake, polled, sqlite_database, known
):
    from models import Alert

    _, private, group = known
    async with parts.sqlite_writer(sqlite_database) as writer, polled(writer):
        await fake.change_member(Chat(ALICE.id), ALICE, "kicked")
        while (row := await Destination.get(id=private.id)).off_at is None:
            await asyncio.sleep(0.01)
        assert "blocked" in row.off_reason
        assert (await Destination.get(id=group.id)).off_at is None
        notice = await Alert.get(destination_id=group.id)
        assert "switched it off" in notice.facts["text"]
        await fake.change_member(Chat(ALICE.id), ALICE, "member")
        while (await Destination.get(id=private.id)).off_at is not None:
            await asyncio.sleep(0.01)


async def test_letting_the_bot_in_again_does_not_undo_what_the_owner_switched_off(
    fake, polling_chat, known, clock
):
    _, private, group = known
    await Destination.filter(id=private.id).update(off_at=clock(), off_reason="removed by the owner")
    await Destination.filter(id=group.id).update(off_at=clock(), off_reason="the bot was blocked")
    await Identity.all().delete()
    await fake.change_member(Chat(ALICE.id), ALICE, "member")
    await fake.change_member(GROUP, ALICE, "member")
    await fake.say(ALICE, "/list")
    await fake.message(ALICE, "you said")
    assert (await Destination.get(id=private.id)).off_at is not None
    assert (await Destination.get(id=group.id)).off_at is not None


async def test_a_group_that_moved_keeps_ringing(fake, polling_chat, known):
    _, _, group = known
    message = fake._message(GROUP, ALICE.json, "")
    del message["text"]
    await fake.deliver({"message": {**message, "migrate_to_chat_id": -1007}})
    while (await Destination.get(id=group.id)).chat_id != "-1007":
        await asyncio.sleep(0.01)


def test_the_tests_use_no_real_token():
    assert TOKEN.startswith("4242:")
    assert clean_text(TOKEN) == TOKEN
