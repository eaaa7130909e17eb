"""The webhook: only Telegram gets in, what is not stored is not taken, garbage is no error of ours."""

from __future__ import annotations

import asyncio
import time

import pytest

from bot.chat import Reply
from bot.telegram.webhook import BODY_LIMIT
from models import InboundEvent, InstanceState
from tests.bot.telegram import parts
from tests.bot.telegram.parts import ALICE
from tests.fakes.telegram_people import Chat


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
    await webhook_chat.stop()
    clock.now = clock.now.fromtimestamp(time.time(), clock.now.tzinfo)
    fake.webhook["info"] = {"last_error_date": int(time.time()), "last_error_message": "Connection refused"}
    await webhook_chat.start()
    await fake.wait_for(lambda: "Connection refused" in webhook_chat.health())
