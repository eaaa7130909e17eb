"""What the tests of Slack share: a recorder in place of the conversation, and the chat around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from aiohttp import web

from bot.chat import Incoming, Place, Reply
from bot.conversation import Conversation
from bot.slack import SlackChat
from models.wake import Wake
from models.writer import Writer
from tests.conftest import Clock
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, TEAM, FakeSlack
from tests.fakes.slack_people import SIGNING_SECRET, Deliverer, Person
from tracker.services import Services
from tracker.settings import Settings

ALICE = Place("slack", "U0ALICE", TEAM)
SALES = Place("slack", "C0SALES", TEAM, private=False)


class Recorder:
    """Stands for the conversation: keeps what was said, answers what it is told to."""

    def __init__(self) -> None:
        self.heard: list[Incoming] = []
        self.answers: list[Reply | Exception] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def handle(self, incoming: Incoming) -> Reply | None:
        self.heard.append(incoming)
        if self.before is not None:
            await self.before()
        if not self.answers:
            return Reply(title=f"heard: {incoming.text}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class World:
    """A Slack, a SlackChat connected to it, and the people in it."""

    def __init__(self, slack: FakeSlack, chat: SlackChat, recorder: Recorder, deliverer: Deliverer) -> None:
        self.slack = slack
        self.chat = chat
        self.recorder = recorder
        self.deliverer = deliverer
        self.alice = Person(deliverer, "U0ALICE", "alice")
        self.bob = Person(deliverer, "U0BOB", "bob")


def slack_settings(slack: FakeSlack, way: str, tmp_path: Path) -> Settings:
    values = {"slack_bot_token": BOT_TOKEN, "slack_api_url": f"{slack.url}/api/", "data_dir": str(tmp_path)}
    if way == "socket":
        values["slack_app_token"] = APP_TOKEN
    else:
        values["slack_signing_secret"] = SIGNING_SECRET
    return Settings.model_validate(values)


def slack_services(
    slack: FakeSlack, way: str, folder: Path, clock: Clock, writer: Writer | None = None
) -> Services:
    """Services of a chat over "socket" or "http"."""
    return Services(slack_settings(slack, way, folder), cast(Writer, writer), Wake(), clock)


def slack_chat(services: Services, recorder: Recorder, seconds: float = 2) -> SlackChat:
    """A chat whose conversation is the recorder."""
    return SlackChat(services, cast(Conversation, recorder), seconds=seconds)


@asynccontextmanager
async def serving(chat: SlackChat) -> AsyncIterator[str]:
    """The chat's route in a web application of its own; its address."""
    app = web.Application()
    chat.add_routes(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    await runner.cleanup()
