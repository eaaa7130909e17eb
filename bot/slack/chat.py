"""Slack as a Chat: posts, edits, threads, and what people type and press there.

`__main__` builds it; bot/deliver sends cards and alerts through it. Socket Mode runs when SLACK_APP_TOKEN is
set, the route /slack/events is mounted when SLACK_SIGNING_SECRET is; both may be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from aiohttp import web
from slack_bolt.app.async_app import AsyncApp

from bot.access import remember_bot_name
from bot.chat import ChatError, NoAnswerError, Place, RefusedError, Reply, Sent, TryLaterError
from bot.conversation import Conversation
from bot.slack.answers import Answers, patiently
from bot.slack.background import Background
from bot.slack.blocks import message
from bot.slack.client import SlackClient
from bot.slack.listeners import Listeners
from bot.slack.socket_mode import SocketMode
from bot.slack.webhook import PATH, Webhook
from tracker.services import Services

log = logging.getLogger(__name__)

DRAIN_SECONDS = 8.0
# Slack will not have the blocks: the words alone still ring.
BAD_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})


class SlackChat:
    """Implements bot.chat.Chat for Slack."""

    platform = "slack"

    def __init__(self, services: Services, conversation: Conversation, *, seconds: float = 15.0) -> None:
        """`seconds`: how long Slack may take for one answer; less than a courier waits."""
        self._services = services
        settings = services.settings
        if settings.slack_bot_token is None:
            raise ValueError("SLACK_BOT_TOKEN is not set")
        self._token = settings.slack_bot_token.get_secret_value()
        self._client = SlackClient(settings.slack_api_url, self._token_of, seconds=seconds)
        self._background = Background()
        answers = Answers(self._client, self.send)
        self._listeners = Listeners(services, conversation.handle, self._client, answers, self._background)
        self._app: AsyncApp | None = None
        self._socket: SocketMode | None = None
        if settings.slack_app_token is not None:
            token = settings.slack_app_token.get_secret_value()
            self._socket = SocketMode(token, self._build_app, lambda: self._client.web_client(self._token))
        self._token_fault: str | None = None
        self._check: asyncio.Task[None] | None = None

    def _token_of(self, team: str) -> str:  # noqa: ARG002, one workspace; several look it up by team here
        return self._token

    def _build_app(self) -> AsyncApp:
        return self._listeners.build_app(self._token_of)

    async def start(self) -> None:
        """Connects in the background: Slack being away delays no start."""
        if self._services.settings.slack_client_id is not None:
            log.warning("SLACK_CLIENT_ID: several workspaces are not served yet; SLACK_BOT_TOKEN's one is")
        self._client.open()
        self._check = asyncio.create_task(self._check_token())
        if self._socket is not None:
            self._socket.start()

    async def stop(self) -> None:
        """Takes nothing more in, finishes what people asked for, closes the connections."""
        if self._check is not None:
            self._check.cancel()
            with suppress(asyncio.CancelledError):
                await self._check
            self._check = None
        if self._socket is not None:
            await self._socket.stop()
        await self._background.drain(DRAIN_SECONDS)
        await self._client.close()

    async def _check_token(self) -> None:
        """Asks Slack who we are, until it answers; what is wrong with the token stands in /healthz."""
        wait = 1.0
        while True:
            after = None
            try:
                who = await self._client.authenticate()
                self._token_fault = None
                if name := str(who.get("user") or ""):
                    await remember_bot_name(self.platform, name)
                return
            except ChatError as error:
                self._token_fault = f"{error}"
                log.warning("Slack does not take SLACK_BOT_TOKEN: %s", error)
                after = error.after if isinstance(error, TryLaterError) else None
            except Exception as error:
                log.warning("the bot's name was not stored: %s", type(error).__name__)
            await asyncio.sleep(max(wait, after or 0.0))
            wait = min(wait * 2, 300.0)

    def add_routes(self, app: web.Application) -> None:
        """Mounts /slack/events when SLACK_SIGNING_SECRET is set; the chat need not be started for it."""
        secret = self._services.settings.slack_signing_secret
        if secret is None:
            return
        webhook = Webhook(
            secret.get_secret_value(), self._http_app, self._services.now, lambda: self._client.closed
        )
        app.router.add_post(PATH, webhook.receive)

        async def drained(_: web.Application) -> AsyncIterator[None]:
            yield
            await self._background.drain(DRAIN_SECONDS)
            await self._client.close()

        app.cleanup_ctx.append(drained)

    def _http_app(self) -> AsyncApp:
        if self._app is None:
            self._app = self._build_app()
        return self._app

    async def send(self, place: Place, reply: Reply, *, under: str | None = None) -> Sent:
        """Posts to a channel, or to a user's private chat with the bot. Remote ids are "channel:ts"."""
        team, channel, thread = place.workspace, place.chat_id, None
        if under is not None:
            channel, thread = _parts(under)
        if reply.file is not None and not reply.text.strip():
            channel = await self._client.private_channel(team, channel) if place.private else channel
            await self._client.upload(team, channel, *reply.file)
            return Sent(f"{channel}:file")
        sent = await self._post(team, channel, replace(reply, file=None), thread)
        if reply.file is not None:
            await self._attach(team, sent, *reply.file)
        return sent

    async def _post(self, team: str, channel: str, reply: Reply, thread: str | None) -> Sent:
        shown = message(reply)
        try:
            return await self._client.post(team, channel, shown, thread=thread)
        except RefusedError as error:
            if str(error) not in BAD_BLOCKS:
                raise
            log.error("Slack refused a message's blocks (%s): its text is sent alone", error)
            return await self._client.post(team, channel, {"text": shown["text"]}, thread=thread)
        except KeyError as error:
            raise NoAnswerError("Slack's answer names no message") from error

    async def _attach(self, team: str, sent: Sent, name: str, content: bytes) -> None:
        """A file after its message. The message stands already: a failure is told, never posted twice."""
        channel = sent.remote_id.partition(":")[0]
        try:
            await patiently(lambda: self._client.upload(team, channel, name, content))
        except ChatError as error:
            log.warning("Slack did not take a file: %s", error)
            told = Reply(title=f"The file {name} could not be uploaded: Slack says {error}.")
            await self._client.post(team, channel, message(told))

    async def edit(self, place: Place, remote_id: str, reply: Reply) -> None:
        channel, ts = _parts(remote_id)
        await self._client.update(place.workspace, channel, ts, message(reply))

    def health(self) -> str:
        """Says "ok", or what is wrong: the token, or the connection."""
        if self._token_fault is not None:
            return f"the bot token: {self._token_fault}"
        if self._socket is None or self._check is None:  # a process that only takes requests starts no chat
            return "ok"
        return self._socket.health()


def _parts(remote_id: str) -> tuple[str, str]:
    """Channel and ts of a message of ours."""
    channel, _, ts = remote_id.partition(":")
    return channel, ts
