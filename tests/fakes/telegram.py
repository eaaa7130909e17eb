"""A Telegram of our own on loopback: the Bot API over real HTTP, with people who write, press and block.

It keeps every chat's messages as a person would see them, answers each wrong payload as Telegram does (400)
and remembers it in `complaints`, delivers updates by long polling or by webhook, and can fail in every way
that bot/chat.py tells apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from tests.fakes.telegram_faults import Fault
from tests.fakes.telegram_people import Chat, Person, Shown
from tests.fakes.telegram_rules import METHODS, Parsed, Refusal, body, check

T = TypeVar("T")

TOKEN = "4242:AAfake_token-of-no_use"
BOT = {"id": 4242, "is_bot": True, "first_name": "mailbell", "username": "mailbell_test_bot"}
PATIENCE = 60.0


class FakeTelegram:
    def __init__(self) -> None:
        self.chats: defaultdict[int, list[Shown]] = defaultdict(list)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.complaints: list[str] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.answered: dict[str, str] = {}  # callback query → pop-up text
        self.gone: set[int] = set()  # chats that blocked the bot
        self.moved: dict[int, int] = {}  # groups that became supergroups
        self.webhook: dict[str, Any] = {}
        self.commands: list[dict[str, str]] = []
        self.deliveries: list[int] = []  # statuses that our webhook answered
        self.confirmed = 0
        self.long_polling = True
        self.url = ""
        self.reach = ""  # where our webhook really listens, when its public address is another one
        self._pending: list[dict[str, Any]] = []
        self._ids = itertools.count(100)
        self._update_ids = itertools.count(700_000_000)
        self._changed = asyncio.Condition()
        self._hanging = asyncio.Event()
        self._polls = 0
        self.conflicts = 0

    # What people do

    async def say(self, person: Person, text: str, chat: Chat | None = None, *, times: int = 1) -> int:
        """Somebody writes; the id of their message. `times`: how often Telegram delivers it."""
        chat = chat or Chat(person.id)
        message = self._message(chat, person.json, text)
        await self._deliver({"message": message}, times)
        return int(message["message_id"])

    async def press(
        self, person: Person, shown: Shown, button: str, *, chat: Chat | None = None, times: int = 1
    ) -> str:
        """Somebody presses a button, by its label; the id of the query, which has to be answered."""
        return await self.press_data(person, shown, shown.button(button), chat=chat, times=times)

    async def press_data(
        self, person: Person, shown: Shown, data: str, *, chat: Chat | None = None, times: int = 1
    ) -> str:
        query_id = str(next(self._ids))
        message = self._message(chat or Chat(shown.chat_id), BOT, shown.text)
        message["message_id"] = shown.id
        query = {"id": query_id, "from": person.json, "message": message, "data": data, "chat_instance": "1"}
        await self._deliver({"callback_query": query}, times)
        return query_id

    async def change_member(self, chat: Chat, person: Person, status: str) -> None:
        """The bot is kicked (blocked), left, or a member again."""
        new: dict[str, Any] = {"user": BOT, "status": status}
        if status == "kicked":
            new["until_date"] = 0
        (self.gone.add if status in ("kicked", "left") else self.gone.discard)(chat.id)
        old = {"user": BOT, "status": "member"}
        change = {
            "chat": chat.json, "from": person.json, "date": int(time.time()),
            "old_chat_member": old, "new_chat_member": new,
        }  # fmt: skip
        await self._deliver({"my_chat_member": change}, 1)

    async def deliver(self, content: dict[str, Any], times: int = 1) -> None:
        """Any update at all."""
        await self._deliver(content, times)

    def _message(self, chat: Chat, sender: dict[str, Any], text: str) -> dict[str, Any]:
        message: dict[str, Any] = {
            "message_id": next(self._ids), "date": int(time.time()), "chat": chat.json, "from": sender,
            "text": text,
        }  # fmt: skip
        if chat.topic is not None:
            message |= {"message_thread_id": chat.topic, "is_topic_message": True}
        if text.startswith("/"):
            word = text.split()[0]
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(word)}]
        return message

    async def _deliver(self, content: dict[str, Any], times: int) -> None:
        update = {"update_id": next(self._update_ids), **content}
        kind = next(iter(content))
        if self.webhook and kind not in (self.webhook.get("allowed_updates") or [kind]):
            return
        if not self.webhook:
            self._pending += [update] * times
            await self._notify()
            return
        for _ in range(times):
            self.deliveries.append(await self.post(update))

    async def post(self, update: object, *, secret: str | None = None, raw: bytes | None = None) -> int:
        """Hands an update to our webhook; the status that it answered."""
        given = self.webhook["secret_token"] if secret is None else secret
        headers = {"X-Telegram-Bot-Api-Secret-Token": given, "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                _elsewhere(self.webhook["url"], self.reach),
                headers=headers,
                **({"json": update} if raw is None else {"data": io.BytesIO(raw)}),
            ) as answer,
        ):
            return answer.status

    # What tests look at

    def shown(self, chat: int | Person, containing: str = "") -> list[Shown]:
        """The bot's messages in a chat, oldest first."""
        chat_id = chat.id if isinstance(chat, Person) else chat
        return [one for one in self.chats[chat_id] if containing in one.text]

    async def wait_for(self, look: Callable[[], T], patience: float = PATIENCE) -> T:
        """What `look` returns once it is true; asked again after every call of the bot, and now and then."""
        try:
            async with asyncio.timeout(patience), self._changed:
                while not (found := look()):
                    await _briefly(self._changed)
                return found
        except TimeoutError:
            seen = {chat: [one.text for one in shown] for chat, shown in self.chats.items()}
            raise AssertionError(
                f"it did not happen; shown: {seen}; complaints: {self.complaints}; "
                f"our webhook answered {self.deliveries}"
            ) from None

    async def message(self, chat: int | Person, containing: str, patience: float = PATIENCE) -> Shown:
        """The newest message in that chat that holds these words, once it is there."""
        return (await self.wait_for(lambda: self.shown(chat, containing), patience))[-1]

    async def polled(self, times: int = 1) -> None:
        """Once the bot asked for updates that many times more: what it had before is taken."""
        goal = self.count("getUpdates") + times
        await self.wait_for(lambda: self.count("getUpdates") >= goal)

    def count(self, method: str) -> int:
        return sum(1 for name, _ in self.calls if name == method)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # The Bot API

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeTelegram]:
        app = web.Application(client_max_size=60 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/bot"
        try:
            yield self
        finally:
            self._hanging.set()
            await self._notify()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if request.match_info["token"] != TOKEN:
            return _error(401, "Unauthorized")
        if method not in METHODS:
            self.complaints.append(f"{method}: no such method")
            return _error(404, "Not Found")
        given = dict((await request.post()).items())
        self.calls.append((method, given))
        fault = self.faults[method].popleft() if self.faults[method] else None
        if fault is not None and not fault.works:
            await self._notify()
            if fault.hang:
                await self._hanging.wait()
            if fault.raw is not None:
                return web.Response(body=fault.raw)
            return _error(fault.status, fault.description, fault.parameters)
        try:
            result = await getattr(self, f"_{method}")(check(method, given))
        except Refusal as refusal:
            if str(refusal) not in _EXPECTED:
                self.complaints.append(f"{method}: {refusal}: {given}")
            return _error(400, f"Bad Request: {refusal}")
        except MovedError as error:
            return _error(400, "Bad Request: group chat was upgraded", {"migrate_to_chat_id": error.args[0]})
        except BlockedError:
            return _error(403, "Forbidden: bot was blocked by the user")
        except ConflictError as error:
            self.conflicts += 1
            return _error(409, f"Conflict: {error}")
        finally:
            await self._notify()
        if fault is not None and fault.slow:
            await asyncio.sleep(fault.slow)
        elif fault is not None:
            assert request.transport is not None
            request.transport.abort()  # the work is done, the answer gets lost
        return web.json_response({"ok": True, "result": result})

    async def _getMe(self, values: dict[str, Any]) -> Any:
        return {**BOT, "can_join_groups": True, "can_read_all_group_messages": False}

    async def _getUpdates(self, values: dict[str, Any]) -> Any:
        if self.webhook:
            raise ConflictError("can't use getUpdates method while webhook is active")
        offset = values.get("offset", 0)
        self.confirmed = max(self.confirmed, offset)
        self._forget(offset)
        kinds = values.get("allowed_updates")
        self._polls += 1
        mine = self._polls
        if self.long_polling and values.get("timeout"):
            try:
                async with asyncio.timeout(values["timeout"]), self._changed:
                    self._changed.notify_all()
                    while not self._pending and not self._hanging.is_set():
                        await self._changed.wait()
                        if self._polls != mine:
                            raise ConflictError("terminated by other getUpdates request")
            except TimeoutError:
                pass
        batch = self._pending[: values.get("limit", 100)]
        return [one for one in batch if not kinds or (set(one) - {"update_id"}) & set(kinds)]

    def _forget(self, offset: int) -> None:
        """Drops what was confirmed; of an update that is delivered several times, one copy each time."""
        kept, seen = [], set()
        for one in self._pending:
            if one["update_id"] < offset and one["update_id"] not in seen:
                seen.add(one["update_id"])
            else:
                kept.append(one)
        self._pending = kept

    async def _setWebhook(self, values: dict[str, Any]) -> Any:
        self.webhook = values if values["url"] else {}
        return True

    async def _deleteWebhook(self, values: dict[str, Any]) -> Any:
        self.webhook = {}
        return True

    async def _getWebhookInfo(self, values: dict[str, Any]) -> Any:
        return {
            "url": self.webhook.get("url", ""), "has_custom_certificate": False, "pending_update_count": 0,
            **self.webhook.get("info", {}),
        }  # fmt: skip

    async def _setMyCommands(self, values: dict[str, Any]) -> Any:
        self.commands = values["commands"]
        return True

    async def _setMyDescription(self, values: dict[str, Any]) -> Any:
        return True

    async def _setMyShortDescription(self, values: dict[str, Any]) -> Any:
        return True

    async def _sendMessage(self, values: dict[str, Any]) -> Any:
        return self._show(values, body(values))

    async def _sendPhoto(self, values: dict[str, Any]) -> Any:
        return self._show(values, body(values), values["photo"])

    async def _sendDocument(self, values: dict[str, Any]) -> Any:
        return self._show(values, body(values), values["document"])

    def _show(self, values: dict[str, Any], parsed: Parsed, file: Any = None) -> dict[str, Any]:
        chat_id = self._reached(values)
        referred = values.get("reply_parameters")
        target = referred["message_id"] if referred else None
        if referred and not referred.get("allow_sending_without_reply"):
            raise Refusal("message to be replied not found")
        shown = Shown(
            id=next(self._ids), chat_id=chat_id, text=parsed.text.strip(), entities=parsed.entities,
            buttons=_buttons(values), reply_to=target, thread=values.get("message_thread_id"),
            file=(file.filename, file.file.read()) if file else None, markup=values.get("reply_markup"),
            silent=values.get("disable_notification", False),
        )  # fmt: skip
        self.chats[chat_id].append(shown)
        return self._as_message(shown)

    async def _editMessageText(self, values: dict[str, Any]) -> Any:
        chat_id = self._reached(values)
        parsed = body(values)
        found = [one for one in self.chats[chat_id] if one.id == values["message_id"]]
        if not found:
            raise Refusal("message to edit not found")
        shown = found[0]
        new = (parsed.text.strip(), parsed.entities, values.get("reply_markup"))
        if new == (shown.text, shown.entities, shown.markup):
            raise Refusal(_UNCHANGED)
        shown.text, shown.entities, shown.markup = new
        shown.buttons = _buttons(values)
        shown.edits += 1
        return self._as_message(shown)

    def _reached(self, values: dict[str, Any]) -> int:
        chat_id = int(values["chat_id"])
        if chat_id in self.gone:
            raise BlockedError
        if chat_id in self.moved:
            raise MovedError(self.moved[chat_id])
        return chat_id

    async def _answerCallbackQuery(self, values: dict[str, Any]) -> Any:
        if len(values.get("text", "")) > 200:
            raise Refusal("MESSAGE_TOO_LONG")
        self.answered[values["callback_query_id"]] = values.get("text", "")
        return True

    def _as_message(self, shown: Shown) -> dict[str, Any]:
        return {
            "message_id": shown.id, "date": int(time.time()), "chat": Chat(shown.chat_id, "Sales").json,
            "from": BOT, "text": shown.text,
        }  # fmt: skip


class BlockedError(Exception):
    pass


class MovedError(Exception):
    pass


class ConflictError(Exception):
    pass


_UNCHANGED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
# Answers that belong to the play, not to a mistake of ours.
_EXPECTED = {"message to edit not found", _UNCHANGED}


async def _briefly(changed: asyncio.Condition) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await changed.wait()


def _elsewhere(url: str, base: str) -> str:
    return base + urlsplit(url).path if base else url


def _buttons(values: dict[str, Any]) -> list[dict[str, Any]]:
    markup = values.get("reply_markup") or {"inline_keyboard": []}
    return [one for row in markup["inline_keyboard"] for one in row]


def _error(status: int, description: str, parameters: dict[str, Any] | None = None) -> web.Response:
    answer: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        answer["parameters"] = parameters
    return web.json_response(answer, status=status)
