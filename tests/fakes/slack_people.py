"""What people do in Slack, delivered as Slack delivers it: over the socket, or as signed HTTP requests.

Each deed can be delivered several times with the same payload, as Slack does when an answer got lost.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from bot.slack.signature import signed
from tests.conftest import Clock
from tests.fakes.slack import TEAM, FakeSlack, Post

SIGNING_SECRET = "0123456789abcdef0123456789abcdef"
ACK_SECONDS = 3.0


@dataclass(frozen=True)
class Ack:
    """What mailbell answered: the status of HTTP (200 for an acknowledged envelope) and the payload."""

    status: int
    payload: dict[str, Any] | None


class Deliverer:
    """Slack's side of the wire; `events_url` None means Socket Mode."""

    def __init__(self, slack: FakeSlack, clock: Callable[[], Any] | Clock, events_url: str | None) -> None:
        self.slack = slack
        self.clock = clock
        self.events_url = events_url
        self._numbers = itertools.count(1)

    def number(self) -> int:
        return next(self._numbers)

    async def deliver(self, kind: str, payload: dict[str, Any], times: int = 1) -> list[Ack]:
        """kind: slash_commands | interactive | events_api. All deliveries at once, 3 s for each."""
        send = self._over_socket if self.events_url is None else self._over_http
        return list(await asyncio.gather(*(send(kind, payload, attempt) for attempt in range(times))))

    async def _over_socket(self, kind: str, payload: dict[str, Any], attempt: int) -> Ack:
        envelope = f"envelope-{self.number()}"
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.slack.acks[envelope] = waiting
        async with asyncio.timeout(10):
            await self.slack.connected.wait()
        message = {
            "type": kind,
            "envelope_id": envelope,
            "payload": payload,
            "accepts_response_payload": True,
        }
        if attempt:
            message |= {"retry_attempt": attempt, "retry_reason": "timeout"}
        await self.slack.sockets[-1].send_json(message)
        answer = await asyncio.wait_for(waiting, ACK_SECONDS)
        return Ack(200, answer.get("payload"))

    async def _over_http(self, kind: str, payload: dict[str, Any], attempt: int) -> Ack:
        if kind == "events_api":
            body, content = json.dumps(payload), "application/json"
        elif kind == "interactive":
            body, content = urlencode({"payload": json.dumps(payload)}), "application/x-www-form-urlencoded"
        else:
            body, content = urlencode(payload), "application/x-www-form-urlencoded"
        timestamp = str(int(self.clock().timestamp()))
        headers = {
            "Content-Type": content,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signed(SIGNING_SECRET, timestamp, body.encode()),
        }
        if attempt:
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": "http_timeout"}
        assert self.events_url is not None
        timeout = aiohttp.ClientTimeout(total=ACK_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.events_url, data=body, headers=headers) as answer,
        ):
            text = await answer.text()
            return Ack(answer.status, json.loads(text) if text.startswith("{") else None)


class Person:
    """Somebody in the workspace, with hands on Slack."""

    def __init__(self, deliverer: Deliverer, user: str, name: str) -> None:
        self.deliverer = deliverer
        self.slack = deliverer.slack
        self.user = user
        self.name = name

    @property
    def private_channel(self) -> str:
        """Their chat with the bot."""
        return self.slack.private_channel(self.user)

    def sees(self, channel: str | None = None) -> list[Post]:
        return self.slack.transcript(channel or self.private_channel, self.user)

    async def answer(self, since: int, channel: str | None = None) -> Post:
        """The first new message after `since` were there."""
        await self.slack.until(lambda: len(self.sees(channel)) > since)
        return self.sees(channel)[since]

    async def command(self, text: str, *, channel: str | None = None, times: int = 1) -> list[Ack]:
        """`/track text`; in the private chat with the bot unless told otherwise."""
        channel = channel or self.private_channel
        payload = {
            "token": "old", "team_id": TEAM, "team_domain": "acme", "channel_id": channel,
            "channel_name": self.slack.channels.get(channel, "directmessage"), "user_id": self.user,
            "user_name": self.name, "command": "/track", "text": _as_typed(text), "api_app_id": "A1",
            "is_enterprise_install": "false", **self._ways_to_answer(channel),
        }  # fmt: skip
        return await self.deliverer.deliver("slash_commands", payload, times)

    async def ask(self, text: str, *, channel: str | None = None) -> Post:
        """A command and its answer."""
        since = len(self.sees(channel))
        await self.command(text, channel=channel)
        return await self.answer(since, channel)

    async def say(self, words: str, *, times: int = 1, **more: Any) -> list[Ack]:
        """Plain text to the bot, in their private chat."""
        number = self.deliverer.number()
        payload = {
            "token": "old", "team_id": TEAM, "api_app_id": "A1", "type": "event_callback",
            "event_id": f"Ev{number:09d}", "event_time": 1772442000,
            "authorizations": [{"team_id": TEAM, "user_id": "U0BOT", "is_bot": True}],
            "event": {
                "type": "message", "channel_type": "im", "channel": self.private_channel, "user": self.user,
                "text": _as_typed(words), "ts": f"1772442000.9{number:05d}", **more,
            },
        }  # fmt: skip
        return await self.deliverer.deliver("events_api", payload, times)

    async def press(self, post: Post, button: str, *, times: int = 1) -> list[Ack]:
        """A button of a message, by what stands on it."""
        element = post.buttons[button]
        payload = {
            "type": "block_actions", "api_app_id": "A1", "team": {"id": TEAM, "domain": "acme"},
            "user": {"id": self.user, "username": self.name, "name": self.name, "team_id": TEAM},
            "container": {"type": "message", "message_ts": post.ts, "channel_id": post.channel},
            "channel": {"id": post.channel, "name": self.slack.channels.get(post.channel, "directmessage")},
            "message": {"type": "message", "ts": post.ts, **post.payload},
            "actions": [{**element, "block_id": "b", "action_ts": "1772442000.1"}],
            **self._ways_to_answer(post.channel),
        }  # fmt: skip
        return await self.deliverer.deliver("interactive", payload, times)

    async def submit(self, view: dict[str, Any], answers: dict[str, str], *, times: int = 1) -> list[Ack]:
        """Fills in a modal and sends it."""
        values = {
            block["block_id"]: {
                block["element"]["action_id"]: {
                    "type": "plain_text_input",
                    "value": answers.get(block["block_id"]),
                }
            }
            for block in view["blocks"]
        }
        payload = {
            "type": "view_submission", "api_app_id": "A1", "team": {"id": TEAM, "domain": "acme"},
            "user": {"id": self.user, "username": self.name, "name": self.name, "team_id": TEAM},
            "trigger_id": f"trigger-{self.deliverer.number()}", "response_urls": [],
            "view": {**view, "state": {"values": values}},
        }  # fmt: skip
        return await self.deliverer.deliver("interactive", payload, times)

    def _ways_to_answer(self, channel: str) -> dict[str, str]:
        name = f"r{self.deliverer.number()}"
        self.slack.response_urls[name] = (channel, self.user)
        return {"response_url": f"{self.slack.url}/respond/{name}", "trigger_id": f"trigger-{name}"}


async def leave(deliverer: Deliverer, event: dict[str, Any]) -> list[Ack]:
    """An event about the app itself: app_uninstalled, tokens_revoked."""
    payload = {
        "token": "old", "team_id": TEAM, "api_app_id": "A1", "type": "event_callback",
        "event_id": f"Ev{deliverer.number():09d}", "event_time": 1772442000, "event": event,
    }  # fmt: skip
    return await deliverer.deliver("events_api", payload)


def _as_typed(text: str) -> str:
    """What Slack makes of typed text on its way to an app."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
