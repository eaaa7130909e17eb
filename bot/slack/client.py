"""The calls to Slack's Web API that mailbell makes; every one raises only ChatError.

One HTTP session with time-outs for all of them, and no retry inside a call: the outbox decides when to send
again (bot/deliver), a person's answer is repeated by bot/slack/answers.py. Previews are off in every post,
because Slack's unfurler would fetch tracked addresses and make false hits.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat import ChatError, NoAnswerError, RefusedError, Sent, TryLaterError
from bot.slack.errors import chat_error, seconds_asked

# The SDK logs whole payloads at debug level, and takes an unset level for debug.
sdk_log = logging.getLogger("mailbell.slack.sdk")
sdk_log.setLevel(logging.CRITICAL)

TokenOf = Callable[[str], str]  # Slack team → its bot token
NO_PREVIEWS = {"unfurl_links": False, "unfurl_media": False}


class SlackClient:
    """Slack's Web API for every team whose token `token_of` knows."""

    def __init__(self, api_url: str, token_of: TokenOf, *, seconds: float = 15.0) -> None:
        """`seconds`: how long an answer may take before it counts as none."""
        self.api_url = api_url if api_url.endswith("/") else api_url + "/"
        self._token_of = token_of
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None
        self._clients: dict[str, AsyncWebClient] = {}
        self.closed = False

    @property
    def session(self) -> aiohttp.ClientSession:
        """The shared session; opened when first used. Raises TryLaterError after `close`."""
        if self.closed:
            raise TryLaterError("mailbell is stopping")
        if self._session is None or self._session.closed:
            timeout = aiohttp.ClientTimeout(total=self._seconds, sock_connect=min(5.0, self._seconds))
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
            self._clients.clear()
        return self._session

    def web_client(self, token: str) -> AsyncWebClient:
        """The SDK's client for a token, on the shared session, without its own retries."""
        session = self.session
        found = self._clients.get(token)
        if found is None:
            found = AsyncWebClient(
                token=token, base_url=self.api_url, timeout=max(1, int(self._seconds)), session=session,
                logger=sdk_log, retry_handlers=[],
            )  # fmt: skip
            if _on_loopback(self.api_url):
                found.proxy = None  # the SDK ignores NO_PROXY
            self._clients[token] = found
        return found

    def open(self) -> None:
        """Calls work again after `close`; at first they do anyway."""
        self.closed = False

    async def close(self) -> None:
        """Closes the session; what asks for it later is told to try again."""
        self.closed = True
        if self._session is not None:
            await self._session.close()

    async def call(self, team: str, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """One request with a JSON body; Slack's answer. Raises ChatError."""
        return await self._asked(self.web_client(self._token_of(team)), method, json=payload)

    async def _asked(self, client: AsyncWebClient, method: str, **how: Any) -> dict[str, Any]:
        try:
            # The SDK's own time-out does not count on a shared session with a slow body.
            async with asyncio.timeout(self._seconds):
                answer = await client.api_call(method, **how)
        except Exception as error:
            raise chat_error(error) from error
        return answer.data if isinstance(answer.data, dict) else {}

    async def authenticate(self, team: str = "") -> dict[str, Any]:
        """Who the bot is: `team_id`, `user_id`, `user` (its name), `bot_id`."""
        return await self.call(team, "auth.test", {})

    async def post(
        self, team: str, channel: str, shown: dict[str, Any], *, thread: str | None = None
    ) -> Sent:
        """Posts to a channel, or to a user id: that opens the private chat with the bot.

        In a thread the message is also sent to the channel, so that it notifies.
        """
        payload = {"channel": channel, **shown, **NO_PREVIEWS, "mrkdwn": False}
        if thread is not None:
            payload |= {"thread_ts": thread, "reply_broadcast": True}
        answer = await self.call(team, "chat.postMessage", payload)
        return Sent(f"{answer['channel']}:{answer['ts']}")

    async def update(self, team: str, channel: str, ts: str, shown: dict[str, Any]) -> None:
        """Replaces a message of ours; what has not changed is no error."""
        await self.call(team, "chat.update", {"channel": channel, "ts": ts, **shown})

    async def whisper(self, team: str, channel: str, user: str, shown: dict[str, Any]) -> None:
        """Shows a message to one user of a channel only."""
        payload = {"channel": channel, "user": user, **shown, **NO_PREVIEWS}
        await self.call(team, "chat.postEphemeral", payload)

    async def respond(self, url: str, shown: dict[str, Any]) -> None:
        """Answers a command or a press at its response URL, visible to who typed or pressed only.

        It works in channels that the bot is not in. The SDK's own does not raise on a 500.
        """
        payload = {"response_type": "ephemeral", "replace_original": False, **shown, **NO_PREVIEWS}
        try:
            async with self.session.post(url, json=payload) as answer:
                text = (await answer.content.read(1000)).decode("utf-8", "replace")
                headers, status = dict(answer.headers), answer.status
        except Exception as error:
            raise chat_error(error) from error
        if status == 429:
            raise TryLaterError("Slack asked us to wait", seconds_asked(headers))
        if status >= 500:
            raise NoAnswerError(f"the response URL answered {status}")
        if status >= 400:
            raise RefusedError(f"the response URL answered {status} {text[:80]}")

    async def open_form(self, team: str, trigger: str, view: dict[str, Any]) -> None:
        """Opens a modal; the trigger is good for 3 seconds after the command or press."""
        await self.call(team, "views.open", {"trigger_id": trigger, "view": view})

    async def private_channel(self, team: str, user: str) -> str:
        """The id of the private chat between the bot and a user."""
        answer = await self.call(team, "conversations.open", {"users": user})
        return str(answer["channel"]["id"])

    async def user_name(self, team: str, user: str) -> str:
        """How the user is called in Slack; the id where Slack does not say."""
        client = self.web_client(self._token_of(team))
        try:
            found = (await self._asked(client, "users.info", http_verb="GET", params={"user": user}))["user"]
        except (ChatError, KeyError):
            return user
        profile = found.get("profile") or {}
        return str(profile.get("display_name") or profile.get("real_name") or found.get("name") or user)

    async def upload(self, team: str, channel: str, name: str, content: bytes) -> None:
        """Puts a file into a channel, in Slack's three steps: ask for an address, send, complete."""
        client = self.web_client(self._token_of(team))
        query = {"filename": name, "length": len(content)}
        place = await self._asked(client, "files.getUploadURLExternal", http_verb="GET", params=query)
        try:
            async with self.session.post(str(place["upload_url"]), data=io.BytesIO(content)) as answer:
                await answer.read()
                status, headers = answer.status, dict(answer.headers)
        except Exception as error:
            raise chat_error(error) from error
        if status == 429:
            raise TryLaterError("Slack asked us to wait", seconds_asked(headers))
        if status != 200:
            raise NoAnswerError(f"the upload was answered with {status}")
        files = json.dumps([{"id": place["file_id"], "title": name}])
        await self._asked(
            client, "files.completeUploadExternal", data={"files": files, "channel_id": channel}
        )


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")
