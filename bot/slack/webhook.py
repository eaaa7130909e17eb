"""POST /slack/events: what Slack sends over HTTP, checked on its raw bytes before anything reads it.

Mounted into the web role by SlackChat.add_routes. The body is bounded in size and time; an unsigned request
costs no parsing and never a traceback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

from bot.slack.signature import body_fault, header_fault
from tracker.services import Clock

log = logging.getLogger(__name__)

PATH = "/slack/events"
BODY_SECONDS = 5.0


class Webhook:
    """The handler of Slack's requests; `app` gives the bolt application."""

    def __init__(
        self, secret: str, app: Callable[[], AsyncApp], now: Clock, stopping: Callable[[], bool]
    ) -> None:
        self._secret = secret
        self._app = app
        self._now = now
        self._stopping = stopping

    async def receive(self, request: web.Request) -> web.Response:
        """200 when Slack's event was taken; 401 or 400 for what is not Slack's, 413, 408 for bad bodies."""
        timestamp = request.headers.get("X-Slack-Request-Timestamp")
        signature = request.headers.get("X-Slack-Signature")
        fault = header_fault(timestamp, signature, self._now())
        if fault is not None:
            return web.Response(status=fault.status, text=fault.text)
        assert timestamp is not None
        assert signature is not None
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()  # bounded by the application's client_max_size
        except TimeoutError:
            return web.Response(status=408, text="the body came too slowly")
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text="the body is too large")
        except web.RequestPayloadError:
            return web.Response(status=400, text="the body cannot be read")
        fault = body_fault(self._secret, timestamp, signature, body)
        if fault is not None:
            return web.Response(status=fault.status, text=fault.text)
        if self._stopping():  # Slack sends an event again, and tells who typed a command
            return web.Response(status=503, text="restarting")
        return await self._dispatch(request, body)

    async def _dispatch(self, request: web.Request, body: bytes) -> web.Response:
        headers: dict[str, str | Sequence[str]] = dict(request.headers.items())
        try:
            asked = AsyncBoltRequest(body=body.decode(), query=request.query_string, headers=headers)
        except (ValueError, TypeError, AttributeError):  # bolt takes every body for an object
            return web.Response(status=400, text="the body cannot be read")
        answer = await self._app().async_dispatch(asked)
        if answer.status == 404:  # bolt's word for "nobody listens to this": Slack must not send it again
            return web.Response()
        return await to_aiohttp_response(answer)
