"""What strangers send behind a request's head costs nothing, and whoever wants it waits for a while only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.conversation import Conversation
from bot.slack import SlackChat
from bot.telegram import TelegramChat
from models import InboundEvent, OptOut
from models.database import DatabaseURL
from models.wake import Wake
from tests.tracker.running import Tracker, running, writer_for
from tracker.services import Services
from tracker.settings import load
from tracker.web import pages

CHATS = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_SIGNING_SECRET": "0123456789abcdef",
    "TELEGRAM_BOT_TOKEN": "4242:AAfake_token-of-no_use",
    "TELEGRAM_WEBHOOK_SECRET": "s3cret",
}
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture
async def tracker(sqlite_database: DatabaseURL, tmp_path: Path) -> AsyncIterator[Tracker]:
    """With both chats' webhooks mounted."""
    settings = load({"SECRET_KEY": "0123456789abcdef", "DATA_DIR": str(tmp_path), **CHATS}, tmp_path)
    services = Services(settings, writer_for(sqlite_database), Wake())
    nobody = Conversation(services)
    chats = (SlackChat(services, nobody), TelegramChat(services, nobody))

    def mount(app: object) -> None:
        for chat in chats:
            chat.add_routes(app)  # type: ignore[arg-type]

    async with running(sqlite_database, tmp_path, more=mount, environment=CHATS) as one:
        yield one


async def begin(tracker: Tracker, path: str, head: bytes, body: bytes = b"") -> tuple[bytes, float]:
    """The status line that answers a POST, and after how many seconds it came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker.port)
    started = time.perf_counter()
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + head + b"\r\n" + body)
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.transport.abort()
    return line.removeprefix(b"HTTP/1.1 ")[:3], time.perf_counter() - started


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/telegram/webhook", b"401"),
        ("/slack/events", b"401"),
        ("/nowhere", b"404"),
        ("/c/" + "a" * 22, b"405"),
        ("/o/" + "a" * 22 + ".gif", b"405"),
        ("/healthz", b"405"),
    ],
)
async def test_strangers_are_answered_before_their_body_arrives(
    tracker: Tracker, path: str, status: bytes
) -> None:
    answered, seconds = await begin(tracker, path, b"Content-Length: 200000\r\n", b"the rest never comes")
    assert answered == status
    assert seconds < 1
    assert await InboundEvent.all().count() == 0


async def test_a_form_that_does_not_arrive_is_cut(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "BODY_SECONDS", 0.2)
    assert (await begin(tracker, "/", FORM + b"Content-Length: 100\r\n", b"who=ana"))[0] == b"408"
    assert await OptOut.all().count() == 0


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 90000\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"2000\r\n" + b"x" * 0x2000 + b"\r\n"),
        (b"Content-Length: 15\r\nContent-Encoding: gzip\r\n", b"who=ana@acme.com"),
    ],
    ids=["too long by its own word", "longer and longer", "not what it says"],
)
async def test_a_form_that_is_none_of_ours_is_refused_at_once(
    tracker: Tracker, head: bytes, body: bytes
) -> None:
    answered, seconds = await begin(tracker, "/", FORM + head, body)
    assert answered == b"400"
    assert seconds < 1
    assert await OptOut.all().count() == 0


async def test_a_form_in_pieces_is_read_whole(tracker: Tracker) -> None:
    pieces = b"4\r\nwho=\r\nc\r\nana@acme.com\r\n0\r\n\r\n"
    assert (await begin(tracker, "/", FORM + b"Transfer-Encoding: chunked\r\n", pieces))[0] == b"200"
    assert await OptOut.all().count() == 1


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("/telegram/webhook", b"X-Telegram-Bot-Api-Secret-Token: s3cret\r\n"),
        ("/slack/events", b"X-Slack-Request-Timestamp: %d\r\nX-Slack-Signature: v0=" + b"0" * 64 + b"\r\n"),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_no_fault_of_ours(
    tracker: Tracker, path: str, head: bytes
) -> None:
    if b"%d" in head:
        head = head % int(time.time())
    behind = b"Content-Length: 5\r\nContent-Encoding: gzip\r\n"
    assert (await begin(tracker, path, head + behind, b"hello"))[0] == b"400"
