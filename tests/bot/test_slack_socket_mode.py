"""The connection to Slack is replaced whenever it is not alive, and /healthz says what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot.slack import SlackChat
from models.database import DatabaseURL
from tests.bot.slack_parts import Recorder, slack_chat, slack_services
from tests.conftest import Clock
from tests.fakes import slack_faults as fake
from tests.fakes.slack import BOT_TOKEN, FakeSlack
from tests.fakes.slack_people import Deliverer, Person


@pytest.fixture
async def chat(
    slack: FakeSlack, clock: Clock, tmp_path: Path, sqlite_database: DatabaseURL
) -> AsyncIterator[SlackChat]:
    one = slack_chat(slack_services(slack, "socket", tmp_path, clock), Recorder())
    yield one
    await one.stop()


@pytest.fixture
def alice(slack: FakeSlack, clock: Clock) -> Person:
    return Person(Deliverer(slack, clock, None), "U0ALICE", "alice")


async def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def test_a_cut_connection_is_replaced(slack: FakeSlack, chat: SlackChat, alice: Person) -> None:
    await chat.start()
    await slack.until(lambda: slack.sockets)
    for round_ in range(2):
        old = slack.sockets[0]
        await old.close()
        await slack.until(lambda old=old: slack.sockets and slack.sockets[-1] is not old)
        assert (await alice.ask(f"list {round_}")).text == f"heard: list {round_}"


async def test_a_connection_that_slack_renews_is_followed(
    slack: FakeSlack, chat: SlackChat, alice: Person
) -> None:
    await chat.start()
    old = (await slack.until(lambda: slack.sockets))[0]
    await old.send_json({"type": "disconnect", "reason": "refresh_requested"})
    await slack.until(lambda: slack.sockets and slack.sockets[-1] is not old)
    assert (await alice.ask("list")).text == "heard: list"
    await eventually(lambda: chat.health() == "ok")


async def test_slack_away_at_the_start_is_waited_for(
    slack: FakeSlack, chat: SlackChat, alice: Person
) -> None:
    slack.fail("apps.connections.open", fake.status(503), fake.drop(), fake.error("internal_error"))
    await chat.start()
    assert chat.health() != "ok"
    await slack.until(lambda: slack.sockets)
    await eventually(lambda: chat.health() == "ok")
    assert (await alice.ask("list")).text == "heard: list"


async def test_a_wrong_token_is_named_until_it_is_right(slack: FakeSlack, chat: SlackChat) -> None:
    slack.tokens.clear()
    await chat.start()
    await eventually(lambda: "invalid_auth" in chat.health())
    assert BOT_TOKEN not in chat.health()


def test_a_process_that_only_takes_requests_waits_for_no_connection(chat: SlackChat) -> None:
    assert chat.health() == "ok"


async def test_a_stop_while_slack_hangs_does_not_wait_for_it(slack: FakeSlack, chat: SlackChat) -> None:
    slack.fail("apps.connections.open", fake.hang())
    slack.fail("auth.test", fake.hang())
    await chat.start()
    await slack.until(lambda: {"apps.connections.open", "auth.test"} <= {method for method, _ in slack.calls})
    async with asyncio.timeout(2):
        await chat.stop()


async def test_a_chat_can_be_started_again_after_a_stop(
    slack: FakeSlack, chat: SlackChat, alice: Person
) -> None:
    for text in ("one", "two"):
        await chat.start()
        assert (await alice.ask(text)).text == f"heard: {text}"
        await chat.stop()
        await slack.until(lambda: not slack.sockets)
