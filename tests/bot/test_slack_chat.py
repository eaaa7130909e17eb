"""What people type and press in Slack reaches the conversation once, and the answer reaches them.

The conversation is a recorder here (its own tests are elsewhere); Slack, the database, both ways in and the
HTTP in between are real. Each test runs over Socket Mode and over signed HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.chat import Button, Incoming, Kind, LostError, Place, Reply, TryLaterError
from models import Alert, Destination
from models.database import DatabaseURL
from models.sqlite_writer import SqliteWriter
from tests import builders
from tests.bot.slack_parts import ALICE, SALES, Recorder, World, serving, slack_chat, slack_services
from tests.conftest import Clock
from tests.fakes import slack_faults as fake
from tests.fakes.slack import BOT_TOKEN, TEAM, FakeSlack
from tests.fakes.slack_people import Deliverer, leave


@pytest.fixture(params=["socket", "http"])
async def world(
    request: pytest.FixtureRequest,
    slack: FakeSlack,
    clock: Clock,
    tmp_path: Path,
    sqlite_database: DatabaseURL,
) -> AsyncIterator[World]:
    recorder = Recorder()
    assert sqlite_database.path is not None
    writer = SqliteWriter(sqlite_database.path)
    await writer.start()
    services = slack_services(slack, request.param, tmp_path, clock, writer)
    chat = slack_chat(services, recorder)
    async with serving(chat) as url:
        await chat.start()
        deliverer = Deliverer(slack, clock, None if request.param == "socket" else url)
        yield World(slack, chat, recorder, deliverer)
        await chat.stop()
    await writer.stop()


async def test_a_command_is_answered_in_the_private_chat(world: World) -> None:
    post = await world.alice.ask("ana@acme.com Q3 <b> & https://acme.com/?a=1&b=2")
    assert post.text == "heard: ana@acme.com Q3 <b> & https://acme.com/?a=1&b=2"
    assert post.only_for is None
    heard = world.recorder.heard[0]
    assert heard == Incoming(ALICE, "U0ALICE", "alice", "ana@acme.com Q3 <b> & https://acme.com/?a=1&b=2")


async def test_plain_text_to_the_bot_is_heard_with_the_persons_name(world: World) -> None:
    await world.alice.say("ana@acme.com Q3")
    await world.alice.answer(0)
    assert world.recorder.heard == [Incoming(ALICE, "U0ALICE", "Alice", "ana@acme.com Q3", is_command=False)]


async def test_in_a_channel_only_who_asked_sees_the_answer(world: World) -> None:
    post = await world.alice.ask("list", channel="C0SALES")
    assert post.only_for == "U0ALICE"
    assert world.bob.sees("C0SALES") == []
    assert world.recorder.heard[0].place == Place("slack", "C0SALES", TEAM, private=False, title="sales")


async def test_in_a_chat_with_a_colleague_the_answer_goes_to_the_bots_own_chat(world: World) -> None:
    """Posting into a chat between two people would show one's mail to the other."""
    await world.alice.command("list", channel="D0BOB")
    post = await world.alice.answer(0)
    assert post.text == "heard: list"
    pointer = await world.alice.answer(0, "D0BOB")
    assert pointer.only_for == "U0ALICE"
    assert "private chat" in pointer.text
    assert world.recorder.heard[0].place == ALICE


async def test_a_pressed_button_is_its_action_on_that_message(world: World) -> None:
    buttons = ((Button("Mute", "mute k7m2qx"),),)
    sent = await world.chat.send(ALICE, Reply(title="Q3", buttons=buttons, kind=Kind.CARD))
    await world.alice.press(world.alice.sees()[0], "Mute")
    await world.alice.answer(1)
    heard = world.recorder.heard[0]
    assert (heard.text, heard.is_button, heard.pressed_on) == ("mute k7m2qx", True, sent.remote_id)
    assert heard.place == ALICE


async def test_a_button_pressed_in_a_channel_answers_who_pressed_it(world: World) -> None:
    await world.chat.send(SALES, Reply(title="Q3", buttons=((Button("Mute", "mute k7m2qx"),),)))
    await world.bob.press(world.bob.sees("C0SALES")[0], "Mute")
    post = await world.bob.answer(1, "C0SALES")
    assert post.only_for == "U0BOB"
    assert world.recorder.heard[0].place.chat_id == "C0SALES"


async def test_the_same_event_three_times_acts_once(world: World) -> None:
    await world.chat.send(ALICE, Reply(title="Q3", buttons=((Button("Mute", "mute k7m2qx"),),)))
    for deed in (
        world.alice.command("list", times=3),
        world.alice.say("hello", times=3),
        world.alice.press(world.alice.sees()[0], "Mute", times=3),
    ):
        assert [ack.status for ack in await deed] == [200] * 3
    await world.alice.answer(3)
    await world.chat.stop()
    assert sorted(one.text for one in world.recorder.heard) == ["hello", "list", "mute k7m2qx"]
    assert len(world.alice.sees()) == 4


async def test_the_same_words_said_again_are_heard_again(world: World) -> None:
    await world.alice.ask("list")
    await world.alice.ask("list")
    assert len(world.recorder.heard) == 2


async def test_slack_is_answered_before_the_work_is_done(world: World) -> None:
    go = asyncio.Event()

    async def slowly() -> None:
        await go.wait()

    world.recorder.before = slowly
    acks = await world.alice.command("list")
    assert acks[0].status == 200
    assert world.alice.sees() == []
    go.set()
    await world.alice.answer(0)


async def test_a_stop_finishes_what_people_asked_for(world: World) -> None:
    begun = asyncio.Event()

    async def slowly() -> None:
        begun.set()
        await asyncio.sleep(0.3)

    world.recorder.before = slowly
    await world.alice.command("list")
    await begun.wait()
    await world.chat.stop()
    assert [post.text for post in world.alice.sees()] == ["heard: list"]


async def test_after_a_stop_nothing_is_sent_and_nothing_is_lost(world: World) -> None:
    await world.chat.stop()
    with pytest.raises(TryLaterError):
        await world.chat.send(ALICE, Reply(title="opened"))
    await world.chat.start()
    await world.chat.send(ALICE, Reply(title="opened"))
    assert world.slack.texts("D0ALICE") == ["opened"]


@pytest.mark.parametrize(
    "more",
    [
        {"bot_id": "B0BOT"},
        {"subtype": "message_changed"},
        {"subtype": "bot_message"},
        {"hidden": True},
        {"channel_type": "channel"},
        {"user": "USLACKBOT"},
        {"text": ""},
    ],
)
async def test_messages_that_nobody_typed_are_ignored(world: World, more: dict[str, Any]) -> None:
    assert (await world.alice.say("list", **more))[0].status == 200
    await world.alice.ask("people")
    assert [one.text for one in world.recorder.heard] == ["people"]


async def test_what_mailbell_does_not_know_is_acknowledged_and_left_alone(world: World) -> None:
    odd: list[tuple[str, dict[str, Any]]] = [
        ("interactive", {"type": "block_actions", "actions": [{"action_id": "x", "type": "users_select"}]}),
        ("interactive", {"type": "shortcut", "callback_id": "x"}),
        ("interactive", {"type": "message_action", "callback_id": "x"}),
        ("interactive", {"type": "view_closed", "view": {"callback_id": "x", "type": "modal"}}),
        ("interactive", {"type": "view_submission", "view": {"callback_id": "x", "type": "modal"}}),
        ("events_api", {"type": "event_callback", "event_id": "E1", "event": {"type": "app_home_opened"}}),
        ("events_api", {"type": "event_callback", "event_id": "E2", "event": {"type": "message"}}),
    ]
    for kind, payload in odd:
        whole = {"team": {"id": TEAM}, "team_id": TEAM, "user": {"id": "U0ALICE"}, **payload}
        assert (await world.deliverer.deliver(kind, whole))[0].status == 200, payload
    assert world.recorder.heard == []


async def test_an_answer_survives_slacks_stumbling(world: World) -> None:
    world.slack.fail("chat.postMessage", fake.wait(0), fake.status(500), fake.drop())
    await world.alice.say("list")
    assert (await world.alice.answer(0)).text == "heard: list"


async def test_a_private_chat_that_is_closed_to_us_still_gets_its_answer(world: World) -> None:
    """An answer to a command can go the way the command came."""
    world.slack.fail("chat.postMessage", fake.error("messages_tab_disabled"))
    post = await world.alice.ask("list")
    assert (post.text, post.only_for) == ("heard: list", "U0ALICE")


async def test_a_response_url_that_fails_is_replaced_by_the_private_chat(world: World) -> None:
    world.slack.fail("response", fake.status(404))
    await world.alice.command("list", channel="C0SALES")
    assert (await world.alice.answer(0)).text == "heard: list"


async def test_who_asks_hears_of_a_failure_on_our_side(world: World) -> None:
    world.recorder.answers = [RuntimeError("boom")]
    post = await world.alice.ask("list")
    assert "failed on my side" in post.text
    assert "boom" not in post.text


async def test_a_file_follows_its_message(world: World) -> None:
    world.recorder.answers = [Reply(title="Best time", file=("best.png", b"\x89PNG"))]
    await world.alice.command("best")
    post = await world.alice.answer(1)
    assert world.alice.sees()[0].text == "Best time"
    assert post.files == [("best.png", b"\x89PNG")]


async def test_a_file_asked_for_in_a_channel_goes_to_the_private_chat(world: World) -> None:
    world.recorder.answers = [Reply(title="Export", file=("hits.csv", b"a,b"))]
    pointer = await world.alice.ask("export", channel="C0SALES")
    assert "private chat" in pointer.text
    assert world.alice.sees()[1].files == [("hits.csv", b"a,b")]


async def test_a_ring_stands_in_the_cards_thread_and_in_the_channel(world: World) -> None:
    card = await world.chat.send(ALICE, Reply(title="Q3", kind=Kind.CARD))
    await world.chat.send(ALICE, Reply(title="opened", kind=Kind.ALERT), under=card.remote_id)
    first, second = world.alice.sees()
    assert second.thread == first.ts
    assert second.payload["reply_broadcast"] is True


async def test_a_card_is_edited_in_place_also_with_what_it_shows_already(world: World) -> None:
    card = await world.chat.send(ALICE, Reply(title="Q3", kind=Kind.CARD))
    for _ in range(2):
        await world.chat.edit(ALICE, card.remote_id, Reply(title="Q3", lines=("opened ×3",), kind=Kind.CARD))
    assert [post.text for post in world.alice.sees()] == ["Q3\nopened ×3"]
    assert len(card.remote_id) <= 64


async def test_a_lost_card_says_so(world: World) -> None:
    card = await world.chat.send(ALICE, Reply(title="Q3", kind=Kind.CARD))
    world.slack.posts.clear()
    with pytest.raises(LostError):
        await world.chat.edit(ALICE, card.remote_id, Reply(title="Q3"))
    with pytest.raises(LostError):
        await world.chat.send(ALICE, Reply(title="opened"), under=card.remote_id)


async def test_blocks_that_slack_refuses_become_plain_words(world: World) -> None:
    world.slack.fail("chat.postMessage", fake.error("invalid_blocks"))
    await world.chat.send(ALICE, Reply(title="<!channel> opened"))
    assert "blocks" not in world.alice.sees()[0].payload
    assert world.alice.sees()[0].payload["text"] == "&lt;!channel&gt; opened"


@pytest.mark.parametrize(
    ("event", "off"),
    [
        ({"type": "app_uninstalled"}, True),
        ({"type": "tokens_revoked", "tokens": {"bot": ["U0BOT"]}}, True),
        ({"type": "tokens_revoked", "tokens": {"oauth": ["U0ALICE"]}}, False),
    ],
)
async def test_a_team_that_throws_us_out_is_switched_off(
    world: World, clock: Clock, event: dict[str, Any], off: bool
) -> None:
    alice = await builders.account("alice", clock(), owner=True)
    here = await builders.destination(alice, "slack", "U0ALICE", workspace=TEAM)
    elsewhere = await builders.destination(alice, "slack", "U0ALICE", workspace="T0OTHER")
    assert (await leave(world.deliverer, event))[0].status == 200
    await world.chat.stop()
    assert ((await Destination.get(id=here.id)).off_at is not None) is off
    assert (await Destination.get(id=elsewhere.id)).off_at is None
    assert await Alert.filter(destination_id=elsewhere.id, event="notice").exists() is off


@pytest.mark.parametrize(
    ("reason", "back"), [("the user was deactivated", True), ("switched off by you", False)]
)
async def test_somebody_who_is_back_writes_and_it_rings_again(
    world: World, clock: Clock, reason: str, back: bool
) -> None:
    alice = await builders.account("alice", clock(), owner=True)
    await builders.identity(alice, "slack", "U0ALICE", workspace=TEAM)
    here = await builders.destination(
        alice, "slack", "U0ALICE", workspace=TEAM, off_at=clock(), off_reason=reason
    )
    await world.alice.ask("list")
    await world.chat.stop()
    assert ((await Destination.get(id=here.id)).off_at is None) is back


async def test_the_environments_own_slack_settings_are_not_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bolt reads SLACK_* by itself, and keeps installations in files when it finds a client id."""
    for name in ("BOT_TOKEN", "CLIENT_ID", "CLIENT_SECRET", "SIGNING_SECRET", "VERIFICATION_TOKEN"):
        monkeypatch.setenv(f"SLACK_{name}", f"foreign-{name}")
    app = world.chat._build_app()
    assert app.client.token == BOT_TOKEN
    assert (await world.alice.ask("list")).text == "heard: list"


def test_nothing_of_a_payload_is_logged() -> None:
    for name in ("mailbell.slack.sdk", "mailbell.slack.bolt"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
