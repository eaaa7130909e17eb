"""Socket Mode: our own connection to Slack, built anew whenever it is not alive.

slack_sdk's client repeats a failed connect for ever with a single-use address, so it is supervised: what does
not connect in time, or is found dead, is closed and replaced, with growing pauses. Started and stopped by
bot/slack/chat.py; what arrives goes to the bolt application.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat import ChatError, TryLaterError
from bot.slack.client import sdk_log
from bot.slack.errors import chat_error

log = logging.getLogger(__name__)

PING_SECONDS = 10.0
CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 2.0
LOOK_SECONDS = 0.5
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0


class SocketMode:
    """One supervised connection. `connected` is set while it is alive."""

    def __init__(
        self, app_token: str, build_app: Callable[[], AsyncApp], web_client: Callable[[], AsyncWebClient]
    ) -> None:
        self._app_token = app_token
        self._build_app = build_app
        self._web_client = web_client
        self._task: asyncio.Task[None] | None = None
        self._why = "connecting"
        self.connected = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Closes the connection; what was delivered before is being worked on already."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def health(self) -> str:
        return "ok" if self.connected.is_set() else f"Socket Mode: {self._why}"

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            since = time.monotonic()
            wait = None
            try:
                await self._hold_connection()
            except ChatError as error:
                self._why = str(error)
                wait = error.after if isinstance(error, TryLaterError) else None
            except Exception as error:
                self._why = f"{type(error).__name__}"
                log.debug("Socket Mode", exc_info=True)
            finally:
                self.connected.clear()
            if time.monotonic() - since > LONGEST_PAUSE:
                pause = FIRST_PAUSE  # it worked for a while
            wait = max(pause, min(wait or 0.0, 300.0))
            log.warning("Slack: Socket Mode is down (%s), again in %.1f s", self._why, wait)
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _hold_connection(self) -> None:
        """One connection from its begin to its end; returns or raises when it is dead."""
        handler = AsyncSocketModeHandler(
            self._build_app(), self._app_token, sdk_log, self._web_client(), ping_interval=PING_SECONDS
        )
        client = handler.client
        client.proxy = self._web_client().proxy
        client.default_auto_reconnect_enabled = False  # replaced by us; a "disconnect" is still followed
        try:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    opened = await self._web_client().apps_connections_open(app_token=self._app_token)
                    client.wss_uri = str(opened["url"])
                    await client.connect()  # type: ignore[no-untyped-call]
            except Exception as error:
                raise chat_error(error) from error
            self.connected.set()
            log.info("Slack: connected in Socket Mode")
            await self._watch(handler)
        finally:
            self.connected.clear()
            await asyncio.shield(_close(handler))

    async def _watch(self, handler: AsyncSocketModeHandler) -> None:
        """Returns when the connection is dead and the SDK does not replace it at Slack's own request."""
        lost_at: float | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await handler.client.is_connected():
                lost_at = None
                self.connected.set()
                continue
            self.connected.clear()
            lost_at = lost_at or time.monotonic()
            replacing = handler.client.connect_operation_lock.locked()
            if not replacing or time.monotonic() - lost_at > CONNECT_SECONDS:
                self._why = "the connection ended"
                return


async def _close(handler: AsyncSocketModeHandler) -> None:
    """Closes the connection and waits for the SDK's own tasks, which it only cancels."""
    client = handler.client
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(CLOSE_SECONDS):  # a dead peer answers no closing
            await handler.close_async()  # type: ignore[no-untyped-call]
    tasks = (client.message_processor, client.current_session_monitor, client.message_receiver)
    left = [one for one in tasks if one is not None]
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await client.aiohttp_client_session.close()
