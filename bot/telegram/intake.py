"""Takes updates from polling and from the webhook, once each, and acts on them in the order of each chat.

An update counts as taken when its id is stored; only then may it be confirmed to Telegram, which forgets it.
The work follows in tasks of its own, so that nobody waits for somebody else's command. Bad updates are logged
without their content and forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from telegram import Update

from bot.access import bot_name
from bot.inbound import first_time
from bot.telegram.answers import Answers
from bot.telegram.destinations import note_moved, note_standing
from bot.telegram.incoming import PLATFORM, Moved, Said, Standing, read
from tracker.services import Services

if TYPE_CHECKING:
    from telegram import Bot

    from bot.conversation import Conversation

log = logging.getLogger(__name__)

DRAIN_SECONDS = 4.0


class UnreadableUpdateError(ValueError):
    """Not an update: there is nothing to store."""


class ClosedError(Exception):
    """We take nothing in any more; another process, or the next one, will."""


class Intake:
    def __init__(self, services: Services, conversation: Conversation, bot: Bot, answers: Answers) -> None:
        self._services = services
        self._conversation = conversation
        self._bot = bot
        self._answers = answers
        self._bot_id = bot.token.partition(":")[0]
        self._last: dict[str, asyncio.Task[None]] = {}  # the newest work of each chat
        self._closed = False
        self.username = ""  # the bot's own, once it is known

    async def take(self, raw: object) -> bool:
        """Stores the update's id and begins the work; False when it was taken before.

        Raises UnreadableUpdateError, or what the database raises: then nothing was taken.
        """
        update_id = raw.get("update_id") if isinstance(raw, Mapping) else None
        if self._closed:
            raise ClosedError("stopping")
        if not isinstance(raw, Mapping) or type(update_id) is not int:
            raise UnreadableUpdateError("an update without update_id")
        if not await first_time(PLATFORM, f"{self._bot_id}:{update_id}", self._services.now()):
            return False
        chat = _chat_of(raw)
        task = asyncio.create_task(self._act(raw, self._last.get(chat)))
        self._last[chat] = task
        task.add_done_callback(lambda done: self._forget(chat, done))
        return True

    def open(self) -> None:
        """Takes updates, from the start or again after `close`."""
        self._closed = False

    async def close(self) -> None:
        """Takes nothing more, and waits for the work under way."""
        self._closed = True
        if self._last:
            await asyncio.wait(list(self._last.values()), timeout=DRAIN_SECONDS)

    def _forget(self, chat: str, task: asyncio.Task[None]) -> None:
        if self._last.get(chat) is task:
            del self._last[chat]

    async def _act(self, raw: Mapping[str, Any], before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            update = Update.de_json(dict(raw), self._bot)
            self.username = self.username or await bot_name(PLATFORM) or ""
            event = read(update, self.username)
            match event:
                case Said():
                    await self._answers.give(event, self._conversation.handle(event.incoming))
                case Standing():
                    await note_standing(self._services, event)
                case Moved():
                    await note_moved(self._services, event)
                case None:
                    if update.callback_query is not None:
                        await self._answers.acknowledge(update.callback_query.id)
        except Exception:
            # One update must not end the others. Its content is somebody's words: not in the log.
            log.exception("update %s could not be handled", raw.get("update_id"))


def _chat_of(raw: Mapping[str, Any]) -> str:
    """The chat's id, before anything is checked; updates of one chat are handled in their order."""
    inner = raw.get("message") or raw.get("callback_query") or raw.get("my_chat_member")
    if isinstance(inner, Mapping):
        message = inner.get("message", inner)
        chat = message.get("chat") if isinstance(message, Mapping) else None
        if isinstance(chat, Mapping):
            return str(chat.get("id"))
    return ""
