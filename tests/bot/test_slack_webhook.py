"""/slack/events takes what Slack signed, and survives everything else."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bot.slack.signature import signed
from models.database import DatabaseURL
from tests.bot.slack_parts import Recorder, serving, slack_chat, slack_services
from tests.conftest import Clock
from tests.fakes.slack import FakeSlack
from tests.fakes.slack_people import SIGNING_SECRET


@pytest.fixture
async def events_url(
    slack: FakeSlack, clock: Clock, tmp_path: Path, sqlite_database: DatabaseURL
) -> AsyncIterator[str]:
    """The route of a chat that was never started, as in the web role."""
    async with serving(slack_chat(slack_services(slack, "http", tmp_path, clock), Recorder())) as url:
        yield url


async def post_raw(url: str, body: bytes | io.BytesIO, headers: dict[str, str]) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.text()


def signed_headers(clock: Clock, body: bytes) -> dict[str, str]:
    stamp = str(int(clock().timestamp()))
    return {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signed(SIGNING_SECRET, stamp, body),
        "Content-Type": "application/json",
    }


async def test_slacks_challenge_is_answered(events_url: str, clock: Clock) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "c4a11e", "token": "old"}).encode()
    code, text = await post_raw(events_url, body, signed_headers(clock, body))
    assert code == 200
    assert "c4a11e" in text


@pytest.mark.parametrize("broken", [b"{", b"payload=%7B", b"\xff\xfe", b"[]", b"null", b'"x"', b""])
async def test_a_signed_body_that_cannot_be_read_is_no_error_of_ours(
    events_url: str, clock: Clock, broken: bytes
) -> None:
    code, _ = await post_raw(events_url, broken, signed_headers(clock, broken))
    assert code < 500


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Slack-Request-Timestamp": "abc", "X-Slack-Signature": "v0=00"},
        {"X-Slack-Request-Timestamp": "9" * 5000, "X-Slack-Signature": "v0=00"},
        {"X-Slack-Request-Timestamp": "1772442000", "X-Slack-Signature": "v0=é"},
        {"X-Slack-Request-Timestamp": "1772442000", "X-Slack-Signature": "v0=" + "0" * 64},
    ],
)
async def test_unsigned_garbage_is_refused_without_a_traceback(
    events_url: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"type": "event_callback"}).encode()
    code, text = await post_raw(events_url, body, headers)
    assert code in (400, 401)
    assert "Traceback" not in text
    assert caplog.records == []


async def test_a_replayed_request_is_too_old_after_five_minutes(events_url: str, clock: Clock) -> None:
    body = b'{"type": "url_verification", "challenge": "x"}'
    headers = signed_headers(clock, body)
    clock.advance(seconds=301)
    assert (await post_raw(events_url, body, headers))[0] == 401


async def test_a_huge_body_is_cut_off(events_url: str, clock: Clock) -> None:
    body = b"x" * (1024 * 1024 + 1)
    headers = signed_headers(clock, body)
    assert (await post_raw(events_url, io.BytesIO(body), headers))[0] == 413


async def test_a_chat_that_stops_asks_slack_to_come_again(
    slack: FakeSlack, clock: Clock, tmp_path: Path, sqlite_database: DatabaseURL
) -> None:
    chat = slack_chat(slack_services(slack, "http", tmp_path, clock), Recorder())
    async with serving(chat) as url:
        await chat.stop()
        body = b'{"type": "event_callback", "event_id": "E1", "event": {"type": "message"}}'
        assert (await post_raw(url, body, signed_headers(clock, body)))[0] == 503


async def test_without_a_signing_secret_there_is_no_route(
    slack: FakeSlack, clock: Clock, tmp_path: Path
) -> None:
    async with serving(slack_chat(slack_services(slack, "socket", tmp_path, clock), Recorder())) as url:
        assert (await post_raw(url, b"{}", {}))[0] == 404
