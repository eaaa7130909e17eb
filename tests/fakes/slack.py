"""A Slack on loopback: Web API, response URLs, uploads and Socket Mode, with a transcript of every channel.

Every payload is checked against Slack's limits (slack_rules); what breaks them is answered `invalid_blocks`
and remembered in `violations`, which must stay empty. Faults can be queued for each method: wait (429), fail
(500), say an error, hang, or do the work and lose the answer. It delivers what people do as Slack does: over
the socket with envelopes to acknowledge, or as signed requests.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.slack_faults import Fault
from tests.fakes.slack_rules import (
    buttons_of,
    copyable_of,
    faults_of_post,
    faults_of_update,
    faults_of_view,
    shown_text,
)

BOT_TOKEN = "xoxb-bot"
APP_TOKEN = "xapp-app"
TEAM = "T0ACME"
BOT_USER = "U0BOT"


@dataclass
class Post:
    """A message as somebody sees it in Slack."""

    channel: str
    ts: str
    payload: dict[str, Any]
    only_for: str | None = None  # ephemeral
    edits: list[dict[str, Any]] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What stands there now."""
        return shown_text(self.payload)

    @property
    def thread(self) -> str | None:
        return self.payload.get("thread_ts")

    @property
    def copyable(self) -> list[str]:
        return copyable_of(self.payload)

    @property
    def buttons(self) -> dict[str, dict[str, Any]]:
        return buttons_of(self.payload)


class FakeSlack:
    """State and handlers; `running_slack` serves it."""

    def __init__(self) -> None:
        self.url = ""
        self.posts: list[Post] = []
        self.violations: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.channels = {"C0SALES": "sales"}
        self.members = {"U0ALICE": "alice", "U0BOB": "bob", "U0CHARLIE": "charlie"}
        self.views: list[dict[str, Any]] = []
        self.used_triggers: set[str] = set()
        self.uploads: dict[str, tuple[str, bytes]] = {}
        self.sockets: list[web.WebSocketResponse] = []
        self.connected = asyncio.Event()
        self.acks: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.response_urls: dict[str, tuple[str, str]] = {}  # id → channel, user
        self.tokens = {BOT_TOKEN}
        self.refuse_sockets = False
        self._released = asyncio.Event()
        self._changed = asyncio.Event()
        self._clock = itertools.count(1)

    # What a test reads.

    @staticmethod
    def private_channel(user: str) -> str:
        return "D" + user[1:]

    def transcript(self, channel: str, viewer: str | None = None) -> list[Post]:
        """The messages of a channel in order, as `viewer` sees them (all ephemeral ones without)."""
        return [
            post
            for post in self.posts
            if post.channel == channel and (not post.only_for or viewer in (None, post.only_for))
        ]

    def texts(self, channel: str, viewer: str | None = None) -> list[str]:
        return [post.text for post in self.transcript(channel, viewer)]

    async def until(self, holds: Callable[[], Any], seconds: float = 60) -> Any:
        """Waits for the next changes until `holds()` is true, and gives what it gave."""
        async with asyncio.timeout(seconds):
            while not (found := holds()):
                self._changed.clear()
                if not (found := holds()):
                    await self._changed.wait()
        return found

    def changed(self) -> None:
        self._changed.set()

    def fail(self, method: str, *faults: Fault) -> None:
        """The next requests of this method go wrong, one for each fault; "response" is the response URLs."""
        self.faults[method].extend(faults)

    # The Web API.

    async def api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        payload = await _payload(request)
        self.calls.append((method, payload))
        fault = self.faults[method].popleft() if self.faults[method] else None
        if fault is not None and (answer := await self._go_wrong(fault, request)) is not None:
            return answer
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ({APP_TOKEN} if method == "apps.connections.open" else self.tokens):
            return _refuse("invalid_auth")
        handler = getattr(self, "_" + method.replace(".", "_"), None)
        answer = handler(payload) if handler else _refuse("unknown_method")
        self.changed()
        if fault is not None and fault.kind == "lose":
            _cut(request)
        return answer

    async def _go_wrong(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        if fault.kind == "wait":
            headers = {"Retry-After": str(fault.value)}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        if fault.kind == "status":
            return web.Response(
                status=fault.value, text="<html>upstream error</html>", content_type="text/html"
            )
        if fault.kind == "error":
            return _refuse(fault.value)
        if fault.kind == "hang":
            self.changed()
            await self._released.wait()
        if fault.kind in ("drop", "hang"):
            _cut(request)
            return web.Response()
        return None

    def _auth_test(self, payload: dict[str, Any]) -> web.Response:
        return _ok(team_id=TEAM, team="Acme", user="mailbell", user_id=BOT_USER, bot_id="B0BOT", url=self.url)

    def _apps_connections_open(self, payload: dict[str, Any]) -> web.Response:
        if self.refuse_sockets:
            return _refuse("internal_error")
        return _ok(url=self.url.replace("http://", "ws://") + "/socket?ticket=1")

    def _channel(self, name: str) -> str | None:
        """The channel that a `channel` argument means: a user's id opens the private chat."""
        if name in self.members:
            return self.private_channel(name)
        known = {*self.channels, *(self.private_channel(user) for user in self.members)}
        return name if name in known else None

    def _check(self, faults: list[str]) -> web.Response | None:
        self.violations += faults
        return _refuse("invalid_blocks") if faults else None

    def _new(self, channel: str, payload: dict[str, Any], only_for: str | None = None) -> Post:
        post = Post(channel, f"1772442000.{next(self._clock):06d}", payload, only_for)
        self.posts.append(post)
        return post

    def _find(self, payload: dict[str, Any], key: str = "ts") -> Post | None:
        found = (one for one in self.posts if (one.channel, one.ts) == (payload["channel"], payload[key]))
        return next(found, None)

    def _chat_postMessage(self, payload: dict[str, Any]) -> web.Response:
        channel = self._channel(payload.get("channel", ""))
        if channel is None:
            return _refuse("channel_not_found")
        if refused := self._check(faults_of_post(payload)):
            return refused
        if "thread_ts" in payload:
            if self._find({**payload, "channel": channel}, "thread_ts") is None:
                return _refuse("thread_not_found")
            if payload.get("reply_broadcast") is not True:
                self.violations.append("a thread reply that is not sent to the channel notifies nobody")
        post = self._new(channel, payload)
        return _ok(channel=channel, ts=post.ts, message={"text": payload.get("text", "")})

    def _chat_postEphemeral(self, payload: dict[str, Any]) -> web.Response:
        channel = self._channel(payload.get("channel", ""))
        if channel is None or payload.get("user") not in self.members:
            return _refuse("channel_not_found" if channel is None else "user_not_in_channel")
        if refused := self._check(faults_of_post(payload)):
            return refused
        return _ok(message_ts=self._new(channel, payload, payload["user"]).ts)

    def _chat_update(self, payload: dict[str, Any]) -> web.Response:
        post = self._find(payload)
        if post is None or post.only_for:
            return _refuse("message_not_found")
        if refused := self._check(faults_of_update(payload)):
            return refused
        post.edits.append(post.payload)
        post.payload = {**post.payload, **{k: payload[k] for k in ("text", "blocks") if k in payload}}
        return _ok(channel=post.channel, ts=post.ts)

    def _chat_delete(self, payload: dict[str, Any]) -> web.Response:
        post = self._find(payload)
        if post is None:
            return _refuse("message_not_found")
        self.posts.remove(post)
        return _ok(ts=post.ts)

    def _conversations_open(self, payload: dict[str, Any]) -> web.Response:
        user = payload.get("users", "")
        if user not in self.members:
            return _refuse("user_not_found")
        return _ok(channel={"id": self.private_channel(user)})

    def _users_info(self, payload: dict[str, Any]) -> web.Response:
        name = self.members.get(payload.get("user", ""))
        if name is None:
            return _refuse("user_not_found")
        return _ok(user={"id": payload["user"], "name": name, "profile": {"display_name": name.title()}})

    def _views_open(self, payload: dict[str, Any]) -> web.Response:
        trigger = payload.get("trigger_id", "")
        if not trigger or trigger in self.used_triggers:
            return _refuse("exchanged_trigger_id")
        self.used_triggers.add(trigger)
        if refused := self._check(faults_of_view(payload["view"])):
            return refused
        view = {**payload["view"], "id": f"V{len(self.views) + 1}", "state": {"values": {}}}
        self.views.append(view)
        return _ok(view=view)

    def _files_getUploadURLExternal(self, payload: dict[str, Any]) -> web.Response:
        if not payload.get("filename") or int(payload.get("length") or 0) < 1:
            return _refuse("invalid_arguments")
        name = f"F{len(self.uploads) + 1}"
        self.uploads[name] = (payload["filename"], b"")
        return _ok(file_id=name, upload_url=f"{self.url}/upload/{name}")

    def _files_completeUploadExternal(self, payload: dict[str, Any]) -> web.Response:
        channel = payload.get("channel_id", "")
        if channel not in self.channels and not channel.startswith("D"):
            return _refuse("channel_not_found")
        files = [self.uploads[one["id"]] for one in json.loads(payload["files"])]
        post = self._new(channel, {"text": ""})
        post.files += files
        return _ok(files=json.loads(payload["files"]))

    # Beside the Web API.

    async def upload(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.uploads[name] = (self.uploads[name][0], await request.read())
        return web.Response(text="OK")

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """A response URL: good for 5 answers, visible to one person."""
        fault = self.faults["response"].popleft() if self.faults["response"] else None
        if fault is not None and (answer := await self._go_wrong(fault, request)) is not None:
            return answer
        channel, user = self.response_urls[request.match_info["name"]]
        payload = await request.json()
        if faults := faults_of_post(payload):
            self.violations += faults
            return web.json_response({"ok": False, "error": "invalid_blocks"}, status=400)
        only_for = None if payload.get("response_type") == "in_channel" else user
        self._new(channel, payload, only_for)
        self.changed()
        if fault is not None and fault.kind == "lose":
            _cut(request)
        return web.Response(text="ok")

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        await socket.send_json({"type": "hello", "num_connections": len(self.sockets)})
        self.connected.set()
        self.changed()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    answer = json.loads(message.data)
                    waiting = self.acks.pop(answer["envelope_id"], None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(answer)
        finally:
            self.sockets.remove(socket)
            if not self.sockets:
                self.connected.clear()
            self.changed()
        return socket

    def release(self) -> None:
        """Ends every hanging request."""
        self._released.set()


async def _payload(request: web.Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query)
    if request.content_type == "application/json":
        return dict(await request.json())
    return {**request.query, **{k: v for k, v in (await request.post()).items()}}  # noqa: C416


def _ok(**fields: Any) -> web.Response:
    return web.json_response({"ok": True, **fields})


def _refuse(code: str) -> web.Response:
    return web.json_response({"ok": False, "error": code})


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


@asynccontextmanager
async def running_slack(slack: FakeSlack | None = None) -> AsyncIterator[FakeSlack]:
    """A fake Slack on a free port; at the end nothing may have broken Slack's limits."""
    slack = slack or FakeSlack()
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/api/{method}", slack.api)
    app.router.add_post("/upload/{name}", slack.upload)
    app.router.add_post("/respond/{name}", slack.respond)
    app.router.add_get("/socket", slack.socket)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    slack.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield slack
    finally:
        slack.release()
        for socket in list(slack.sockets):
            await socket.close()
        await runner.cleanup()
    assert slack.violations == []
