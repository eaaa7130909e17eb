"""What updates say, read into the words of bot/chat.py."""

from __future__ import annotations

from typing import Any

import pytest
from telegram import Bot, Update

from bot.chat import Incoming, Place
from bot.telegram.incoming import Moved, Said, Standing, read

ALICE = {"id": 11, "is_bot": False, "first_name": "Alice", "last_name": "Liddell"}
PRIVATE = {"id": 11, "type": "private", "first_name": "Alice"}
GROUP = {"id": -100500, "type": "supergroup", "title": "Sales"}
NEWS = {"id": -100900, "type": "channel", "title": "News"}
# Who copies every channel's posts into the channel's discussion group: one id for all channels there are.
TELEGRAM = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
BOT = {"id": 4242, "is_bot": True, "first_name": "mailbell"}


def update(**content: Any) -> Update:
    return Update.de_json({"update_id": 1, **content}, Bot("4242:x"))


def message(text: str | None, chat: dict[str, Any] = PRIVATE, sender: Any = ALICE, **more: Any) -> Update:
    inner = {"message_id": 7, "date": 1, "chat": chat, "from": sender, **more}
    return update(message=inner if text is None else {**inner, "text": text})


def heard(one: Update) -> Incoming:
    said = read(one, "mailbell_bot")
    assert isinstance(said, Said)
    return said.incoming


def test_a_command_loses_its_slash():
    incoming = heard(message("/track ana@acme.com Q3 proposal"))
    assert incoming == Incoming(
        place=Place("telegram", "11"), user_id="11", user_name="Alice Liddell",
        text="track ana@acme.com Q3 proposal",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("/track@Mailbell_Bot a@b.c", "track a@b.c"),
        ("/start k7m2qx", "start k7m2qx"),
        ("/TRACK a@b.c", "track a@b.c"),
        ("/track\na@b.c\nhello", "track a@b.c\nhello"),
        ("/list", "list"),
    ],
)
def test_commands_in_all_their_spellings(typed, text):
    incoming = heard(message(typed))
    assert (incoming.text, incoming.is_command) == (text, True)


def test_plain_text_counts_in_a_private_chat():
    incoming = heard(message("ana@acme.com Q3 https://acme.com/deck"))
    assert not incoming.is_command


def test_a_path_is_plain_text():
    assert not heard(message("/home/ana is my desk")).is_command


@pytest.mark.parametrize(
    "ignored",
    [
        message("hello everybody", GROUP),
        message("/track@other_bot a@b.c", GROUP),
        message("/track a@b.c", sender=BOT),
        message("/track a@b.c", sender=None),
        message(None),
        update(edited_message={"message_id": 7, "date": 1, "chat": PRIVATE, "from": ALICE, "text": "/list"}),
        update(channel_post={"message_id": 7, "date": 1, "chat": GROUP, "text": "/list"}),
        message("/claim abcd2345efgh", GROUP, TELEGRAM, sender_chat=NEWS, is_automatic_forward=True),
        message("/list", GROUP, sender_chat=GROUP),
        update(),
    ],
    ids=[
        "talk",
        "other bot",
        "a bot",
        "nobody",
        "a picture",
        "edited",
        "channel",
        "a channel's copy",
        "an anonymous admin",
        "unknown",
    ],
)
def test_what_is_not_meant_for_us_is_nothing(ignored):
    assert read(ignored, "mailbell_bot") is None


def test_a_group_command_knows_its_topic():
    place = heard(message("/list", GROUP, message_thread_id=5, is_topic_message=True)).place
    assert place == Place("telegram", "-100500", thread_id="5", private=False, title="Sales")


def test_a_thread_of_plain_replies_is_no_topic():
    assert heard(message("/list", GROUP, message_thread_id=5)).place.thread_id == ""


def press(**query: Any) -> Update:
    base = {"id": "99", "from": ALICE, "chat_instance": "1"}
    return update(callback_query={**base, **query})


def test_a_press_names_action_and_message():
    shown = {"message_id": 31, "date": 1, "chat": GROUP, "from": BOT, "text": "card"}
    said = read(press(message=shown, data="mute k7m2qx 1h"), "mailbell_bot")
    assert isinstance(said, Said)
    assert (said.query_id, said.incoming.pressed_on, said.incoming.text) == ("99", "31", "mute k7m2qx 1h")
    assert said.incoming.is_button
    assert not said.incoming.place.private


def test_a_press_on_a_message_too_old_to_be_seen_still_counts():
    said = read(press(message={"message_id": 31, "date": 0, "chat": PRIVATE}, data="show k7m2qx"), "x")
    assert isinstance(said, Said)
    assert said.incoming.pressed_on == "31"


def test_a_press_without_message_or_action_is_nothing():
    assert read(press(inline_message_id="1", data="x"), "x") is None
    assert (
        read(press(message={"message_id": 31, "date": 1, "chat": PRIVATE}, game_short_name="x"), "x") is None
    )


def member(status: str, chat: dict[str, Any] = PRIVATE, **more: Any) -> Update:
    new = {"user": BOT, "status": status, **({"until_date": 0} if status == "kicked" else {}), **more}
    old = {"user": BOT, "status": "member"}
    return update(
        my_chat_member={
            "chat": chat,
            "from": ALICE,
            "date": 1,
            "old_chat_member": old,
            "new_chat_member": new,
        }
    )


@pytest.mark.parametrize(
    ("change", "may_write"),
    [(member("kicked"), False), (member("left", GROUP), False), (member("member"), True)],
)
def test_blocked_kicked_and_let_in_again(change, may_write):
    standing = read(change, "x")
    assert isinstance(standing, Standing)
    assert standing.may_write is may_write


def test_a_group_that_became_a_supergroup_is_told():
    assert read(message(None, GROUP, migrate_to_chat_id=-1007), "x") == Moved("-100500", "-1007")
