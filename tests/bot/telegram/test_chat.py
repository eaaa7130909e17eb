"""TelegramChat sends and edits through the real library and HTTP, and draws every failure as a ChatError."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket

import pytest
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)

from bot.chat import (
    Button,
    GoneError,
    Kind,
    LostError,
    NoAnswerError,
    Place,
    RefusedError,
    Reply,
    TryLaterError,
)
from bot.telegram import transport
from bot.telegram.errors import translate
from tests.bot.telegram import parts
from tests.bot.telegram.parts import ALICE
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_faults import Fault, answer_dropped, blocked, broken, flood, hanging, migrated

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
GROUP = Place("telegram", "-100500", thread_id="7", private=False)


@pytest.fixture
async def fake():
    async with FakeTelegram().serve() as server:
        yield server


@pytest.fixture
async def chat(fake, tmp_path, clock):
    """A chat that was never started: sending needs no connection of its own."""
    one = parts.build(parts.services(fake, tmp_path, clock), parts.Script())
    yield one
    await one.stop()


CARD = Reply(
    title='"Q3 proposal" <!channel> *x* </a>', lines=("ana@acme.com · sent",), kind=Kind.CARD,
    buttons=((Button("Details", "show k7m2qx"), Button("Mute", "mute k7m2qx")),),
)  # fmt: skip
RING = Reply(title='"Q3 proposal" was opened by ana@acme.com', kind=Kind.ALERT)


async def test_a_card_arrives_as_it_was_meant_and_a_ring_refers_to_it(fake, chat):
    card = await chat.send(parts.place(ALICE), CARD)
    await chat.send(parts.place(ALICE), RING, under=card.remote_id)
    shown, ring = fake.shown(ALICE)
    assert shown.text == CARD.text
    assert [one["text"] for one in shown.buttons] == ["Details", "Mute"]
    assert ring.reply_to == shown.id == int(card.remote_id)
    assert not ring.silent
    assert fake.complaints == []


async def test_a_ring_without_its_card_rings_all_the_same(fake, chat):
    await chat.send(parts.place(ALICE), RING, under="999999")
    await chat.send(parts.place(ALICE), RING, under="no id of Telegram")
    assert len(fake.shown(ALICE)) == 2


async def test_a_topic_of_a_group_is_kept(fake, chat):
    await chat.send(GROUP, RING)
    assert fake.shown(-100500)[0].thread == 7


async def test_an_edit_changes_text_and_buttons_in_place(fake, chat):
    card = await chat.send(parts.place(ALICE), CARD)
    await chat.edit(parts.place(ALICE), card.remote_id, Reply(title="opened ×3", kind=Kind.CARD))
    (shown,) = fake.shown(ALICE)
    assert (shown.text, shown.buttons, shown.edits) == ("opened ×3", [], 1)


async def test_an_edit_that_changes_nothing_is_fine(fake, chat):
    card = await chat.send(parts.place(ALICE), CARD)
    await chat.edit(parts.place(ALICE), card.remote_id, CARD)
    assert fake.shown(ALICE)[0].edits == 0


async def test_a_deleted_card_is_lost(fake, chat):
    for remote_id in ("424242", "C1:17.3"):
        with pytest.raises(LostError):
            await chat.edit(parts.place(ALICE), remote_id, CARD)


async def test_a_long_answer_comes_in_order_with_its_buttons_under_the_last(fake, chat):
    lines = tuple(f"{number} {'x' * 90}" for number in range(100))
    sent = await chat.send(parts.place(ALICE), Reply(lines=lines, buttons=((Button("More", "list 2"),),)))
    shown = fake.shown(ALICE)
    assert "\n".join(one.text for one in shown) == "\n".join(lines)
    assert [bool(one.buttons) for one in shown] == [False] * (len(shown) - 1) + [True]
    assert int(sent.remote_id) == shown[0].id


async def test_pictures_and_exports_come_as_such(fake, chat):
    await chat.send(parts.place(ALICE), Reply(title="Best time <b>", file=("best.png", PNG)))
    await chat.send(parts.place(ALICE), Reply(title="Export", file=("hits.csv", b"a,b\n1,2\n")))
    picture, export = fake.shown(ALICE)
    assert (picture.text, picture.file) == ("Best time <b>", ("best.png", PNG))
    assert export.file == ("hits.csv", b"a,b\n1,2\n")
    assert [name for name, _ in fake.calls] == ["sendPhoto", "sendDocument"]
    assert fake.complaints == []


async def test_a_text_too_long_for_a_caption_stands_above_its_file(fake, chat):
    await chat.send(parts.place(ALICE), Reply(lines=("x" * 1500,), file=("hits.csv", b"a")))
    text, file = fake.shown(ALICE)
    assert text.text == "x" * 1500
    assert (file.text, file.file) == ("", ("hits.csv", b"a"))


async def test_429_says_how_long_to_wait(fake, chat):
    fake.faults["sendMessage"].append(flood(17))
    with pytest.raises(TryLaterError) as caught:
        await chat.send(parts.place(ALICE), RING)
    assert caught.value.after == 17
    assert fake.shown(ALICE) == []


async def test_429_without_a_time_waits_all_the_same(fake, chat):
    fake.faults["sendMessage"].append(Fault(429, "slow down"))
    with pytest.raises(TryLaterError) as caught:
        await chat.send(parts.place(ALICE), RING)
    assert caught.value.after > 0


async def test_5xx_and_unreadable_answers_may_have_been_shown(fake, chat):
    for fault in (broken(500), broken(502), broken(504), Fault(raw=b"<html>"), Fault(raw=b'{"ok": true}'),
                  Fault(raw=b'{"ok": true, "result": true}'), Fault(raw=b"[]")):  # fmt: skip
        fake.faults["sendMessage"].append(fault)
        with pytest.raises(NoAnswerError):
            await chat.send(Place("telegram", str(len(fake.calls) + 1)), RING)


async def test_a_dropped_answer_is_no_answer_though_it_was_shown(fake, chat):
    fake.faults["sendMessage"].append(answer_dropped())
    with pytest.raises(NoAnswerError):
        await chat.send(parts.place(ALICE), RING)
    assert len(fake.shown(ALICE)) == 1


async def test_a_call_that_hangs_ends(fake, chat, monkeypatch):
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)
    fake.faults["sendMessage"].append(hanging())
    with pytest.raises(NoAnswerError):
        await chat.send(parts.place(ALICE), RING)


async def test_blocked_is_gone_for_good(fake, chat):
    fake.faults["sendMessage"].append(blocked())
    with pytest.raises(GoneError):
        await chat.send(parts.place(ALICE), RING)


async def test_a_migrated_group_names_its_new_id(fake, chat):
    fake.faults["sendMessage"].append(migrated(-1007))
    with pytest.raises(GoneError) as caught:
        await chat.send(GROUP, RING)
    assert caught.value.moved_to == "-1007"


async def test_where_nobody_listens_nothing_was_shown(fake, tmp_path, clock):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fake.url = f"http://127.0.0.1:{port}/bot"
    chat = parts.build(parts.services(fake, tmp_path, clock), parts.Script())
    with pytest.raises(TryLaterError) as caught:
        await chat.send(parts.place(ALICE), RING)
    assert "4242" not in str(caught.value)
    await chat.stop()


async def test_after_the_stop_nothing_goes_out(fake, chat):
    await chat.stop()
    with pytest.raises(TryLaterError):
        await chat.send(parts.place(ALICE), RING)
    assert fake.calls == []


async def test_too_many_messages_at_once_are_put_off_before_telegram_has_to(fake, chat):
    for _ in range(20):
        await chat.send(GROUP, RING)
    with pytest.raises(TryLaterError) as caught:
        await chat.send(GROUP, RING)
    assert 50 < caught.value.after <= 60
    assert fake.count("sendMessage") == 20


async def test_a_chat_that_hangs_holds_up_no_other(fake, chat):
    fake.faults["sendMessage"].append(hanging())
    stuck = asyncio.ensure_future(chat.send(parts.place(ALICE), RING))
    await fake.wait_for(lambda: fake.count("sendMessage") == 1)
    await asyncio.wait_for(chat.send(parts.place(parts.BOB), RING), 2)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck


@pytest.mark.parametrize(
    ("error", "drawn"),
    [
        (BadRequest("Chat not found"), GoneError),
        (BadRequest("PEER_ID_INVALID"), GoneError),
        (BadRequest("Message thread not found"), GoneError),
        (BadRequest("Not enough rights to send text messages to the chat"), GoneError),
        (BadRequest("Message to edit not found"), LostError),
        (BadRequest("MESSAGE_ID_INVALID"), LostError),
        (BadRequest("Can't parse entities: unexpected end tag"), RefusedError),
        (BadRequest("BUTTON_DATA_INVALID"), RefusedError),
        (Forbidden("Forbidden: user is deactivated"), GoneError),
        (Forbidden("Forbidden: bot was kicked from the group chat"), GoneError),
        (ChatMigrated(-1007), GoneError),
        (InvalidToken(), TryLaterError),
        (Conflict("terminated by other getUpdates request"), TryLaterError),
        (TelegramError("Invalid server response"), NoAnswerError),
    ],
)
def test_every_refusal_says_what_to_do(error, drawn):
    assert type(translate(error)) is drawn


@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
@pytest.mark.parametrize("wait", [9, dt.timedelta(seconds=9)])
def test_the_librarys_own_retry_after_is_understood_in_both_its_forms(wait):
    error = translate(RetryAfter(wait))
    assert isinstance(error, TryLaterError)
    assert error.after == 9


def test_a_refused_token_is_explained_without_showing_it():
    assert "TELEGRAM_BOT_TOKEN" in str(translate(InvalidToken("The token `4242:abc` was rejected")))
    assert "abc" not in str(translate(InvalidToken("The token `4242:abc` was rejected")))
