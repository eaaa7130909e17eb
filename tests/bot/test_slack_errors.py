"""Slack's refusals in the words of bot/chat.py, asked for real over HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest

from bot.chat import ChatError, GoneError, LostError, NoAnswerError, RefusedError, Reply, TryLaterError
from bot.slack.blocks import message
from bot.slack.client import SlackClient
from bot.slack.errors import seconds_asked
from tests.fakes import slack_faults as fake
from tests.fakes.slack import BOT_TOKEN, TEAM, FakeSlack
from tests.fakes.slack_faults import Fault

HELLO = message(Reply(title="hello"))


@pytest.fixture
async def client(slack: FakeSlack) -> AsyncIterator[SlackClient]:
    one = SlackClient(f"{slack.url}/api/", lambda team: BOT_TOKEN, seconds=0.5)
    yield one
    await one.close()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (fake.wait(7), TryLaterError),
        (fake.error("ratelimited"), TryLaterError),
        (fake.status(500), NoAnswerError),
        (fake.status(503), NoAnswerError),
        (fake.error("internal_error"), NoAnswerError),
        (fake.hang(), NoAnswerError),
        (fake.drop(), NoAnswerError),
        (fake.lose(), NoAnswerError),
        (fake.error("is_archived"), GoneError),
        (fake.error("channel_not_found"), GoneError),
        (fake.error("not_in_channel"), GoneError),
        (fake.error("account_inactive"), GoneError),
        (fake.error("token_revoked"), GoneError),
        (fake.error("user_disabled"), GoneError),
        (fake.error("cannot_dm_bot"), GoneError),
        (fake.error("thread_not_found"), LostError),
        (fake.error("cant_update_message"), LostError),
        (fake.error("invalid_blocks"), RefusedError),
        (fake.error("msg_too_long"), RefusedError),
        (fake.error("invalid_auth"), TryLaterError),  # the operator's to mend; nothing is lost meanwhile
        (fake.error("missing_scope"), TryLaterError),
    ],
)
async def test_each_failure_says_what_to_do(
    slack: FakeSlack, client: SlackClient, fault: Fault, expected: type[ChatError]
) -> None:
    slack.fail("chat.postMessage", fault)
    with pytest.raises(ChatError) as caught:
        await client.post(TEAM, "U0ALICE", HELLO)
    assert type(caught.value) is expected
    assert len([method for method, _ in slack.calls if method == "chat.postMessage"]) == 1


async def test_slack_says_how_long_to_wait(slack: FakeSlack, client: SlackClient) -> None:
    slack.fail("chat.postMessage", fake.wait(7))
    with pytest.raises(TryLaterError) as caught:
        await client.post(TEAM, "U0ALICE", HELLO)
    assert caught.value.after == 7


async def test_nothing_was_sent_when_slack_cannot_be_reached() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = SlackClient(f"http://127.0.0.1:{taken.getsockname()[1]}/api", lambda team: BOT_TOKEN)
        with pytest.raises(TryLaterError):
            await client.post(TEAM, "U0ALICE", HELLO)
        await client.close()


async def test_a_lost_answer_is_no_answer_though_the_message_stands(
    slack: FakeSlack, client: SlackClient
) -> None:
    slack.fail("chat.postMessage", fake.lose())
    with pytest.raises(NoAnswerError):
        await client.post(TEAM, "U0ALICE", HELLO)
    assert slack.texts("D0ALICE") == ["hello"]


async def test_an_edit_of_a_lost_message_says_so(slack: FakeSlack, client: SlackClient) -> None:
    with pytest.raises(LostError):
        await client.update(TEAM, "D0ALICE", "1.2", HELLO)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(fake.wait(3), TryLaterError), (fake.status(500), NoAnswerError), (fake.status(404), RefusedError),
     (fake.drop(), NoAnswerError)],
)  # fmt: skip
async def test_a_response_url_that_fails_is_noticed(
    slack: FakeSlack, client: SlackClient, fault: Fault, expected: type[ChatError]
) -> None:
    slack.response_urls["r"] = ("C0SALES", "U0ALICE")
    slack.fail("response", fault)
    with pytest.raises(expected):
        await client.respond(f"{slack.url}/respond/r", HELLO)
    await client.respond(f"{slack.url}/respond/r", HELLO)
    assert slack.texts("C0SALES", "U0ALICE") == ["hello"]
    assert slack.texts("C0SALES", "U0BOB") == []


async def test_a_file_arrives_whole(slack: FakeSlack, client: SlackClient) -> None:
    await client.upload(TEAM, "D0ALICE", "heat.png", b"\x89PNG" * 1000)
    assert slack.transcript("D0ALICE")[0].files == [("heat.png", b"\x89PNG" * 1000)]


@pytest.mark.parametrize(
    ("value", "seconds"), [("30", 30.0), ("soon", None), ("-1", None), ("99999999999999", 3600.0), ("", None)]
)
def test_a_strange_retry_after_is_bounded(value: str, seconds: float | None) -> None:
    assert seconds_asked({"retry-after": value}) == seconds
