"""Telegram as a Chat: sends, edits, and brings in what people say, by polling or by webhook.

bot/deliver sends rings and cards through `send` and `edit`; bot/process.py starts and stops it and mounts
`add_routes` in the web role, where it also answers without having been started. It keeps no message and
repeats none: the outbox does. Polling is the default, TELEGRAM_WEBHOOK_SECRET makes it a webhook.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from telegram import LinkPreviewOptions, Message, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import TelegramError

from bot.chat import Kind, LostError, NoAnswerError, Place, Reply, Sent, TryLaterError
from bot.telegram.answers import Answers, Step
from bot.telegram.connection import Connection
from bot.telegram.errors import is_unchanged, translate
from bot.telegram.incoming import PLATFORM
from bot.telegram.intake import Intake
from bot.telegram.keyboard import keyboard
from bot.telegram.pace import PATIENCE, Pace
from bot.telegram.polling import LONG_POLL_SECONDS, PollingBot
from bot.telegram.text import CAPTION_LIMIT, Rendered, fits, render
from bot.telegram.transport import AiohttpRequest
from bot.telegram.webhook import PATH, Webhook
from tracker.services import Services

if TYPE_CHECKING:
    from bot.conversation import Conversation

T = TypeVar("T")
log = logging.getLogger(__name__)

# Edited, and referred to, as one message.
_WHOLE = (Kind.CARD, Kind.ALERT, Kind.DIGEST)
_PICTURES = (".png", ".jpg", ".jpeg")
_PICTURE_BYTES = 10 * 1024 * 1024
_FINISH_SECONDS = 2.0
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


class TelegramChat:
    """The Chat of Telegram (bot/chat.py). `hold` is how long one getUpdates waits, in seconds."""

    platform = PLATFORM

    def __init__(
        self, services: Services, conversation: Conversation, *, hold: float = LONG_POLL_SECONDS
    ) -> None:
        settings = services.settings
        assert settings.telegram_bot_token is not None
        self._transport = AiohttpRequest()
        self._bot = PollingBot(
            settings.telegram_bot_token.get_secret_value(),
            base_url=settings.telegram_api_url,
            request=self._transport,
            get_updates_request=self._transport,
        )
        self._pace = Pace()
        self._intake = Intake(services, conversation, self._bot, Answers(self))
        self._connection = Connection(services, self._bot, self._transport, self._intake, hold)
        secret = settings.telegram_webhook_secret
        self._webhook = Webhook(secret.get_secret_value(), self._intake) if secret else None

    def add_routes(self, app: web.Application) -> None:
        """Mounts the webhook, if there is one, and answers what came in before the application closes."""
        if self._webhook is not None:
            app.router.add_post(PATH, self._webhook.handle)
            app.on_cleanup.append(lambda _: self._finish())

    async def start(self) -> None:
        """Begins to connect; it goes on in the background, also while Telegram cannot be reached."""
        await self._transport.initialize()
        self._intake.open()
        self._connection.start()

    async def stop(self) -> None:
        """Takes nothing in any more, finishes the answers under way, closes the connections."""
        await self._connection.stop()
        await self._finish()

    async def _finish(self) -> None:
        await self._intake.close()
        await self._transport.finish(_FINISH_SECONDS)

    def health(self) -> str:
        """Says "ok", or what is wrong in a few words."""
        return self._connection.trouble or "ok"

    @property
    def address(self) -> str:
        """Where people find the bot."""
        return f"https://t.me/{self._intake.username}" if self._intake.username else "a chat with me"

    async def send(self, place: Place, reply: Reply, *, under: str | None = None) -> Sent:
        """Posts the reply, in several messages where it is long; the id is that of the first."""
        sent = [await step() for step in self.steps(place, reply, under)]
        return sent[0]

    def steps(self, place: Place, reply: Reply, under: str | None) -> list[Step]:
        """The calls that post the reply, in order, so that each can be repeated by itself."""
        if reply.file is not None and fits(reply, CAPTION_LIMIT):
            return [partial(self._post_file, place, reply.file, render(reply), under)]
        rendered = render(reply, whole=reply.kind in _WHOLE)
        *first, last = rendered.pieces
        pieces = [Rendered((text,)) for text in first] + [Rendered((last,), rendered.keys)]
        steps: list[Step] = [
            partial(self._post, place, piece, None if at else under) for at, piece in enumerate(pieces)
        ]
        if reply.file is not None:
            steps.append(partial(self._post_file, place, reply.file, Rendered(("",)), None))
        return steps

    async def _post(self, place: Place, piece: Rendered, under: str | None) -> Sent:
        await self._wait_turn(place.chat_id)
        call = self._bot.send_message(
            place.chat_id,
            piece.pieces[0],
            parse_mode=ParseMode.HTML,
            link_preview_options=_NO_PREVIEW,
            reply_markup=keyboard(piece.keys),
            message_thread_id=_number(place.thread_id),
            reply_parameters=_referring(under),
        )
        return _sent(await _call(call))

    async def _post_file(
        self, place: Place, file: tuple[str, bytes], piece: Rendered, under: str | None
    ) -> Sent:
        await self._wait_turn(place.chat_id)
        name, content = file
        is_picture = name.lower().endswith(_PICTURES) and len(content) <= _PICTURE_BYTES
        send = self._bot.send_photo if is_picture else self._bot.send_document
        call = send(
            place.chat_id,
            content,
            filename=name,
            caption=piece.pieces[0] or None,
            parse_mode=ParseMode.HTML,
            reply_markup=keyboard(piece.keys),
            message_thread_id=_number(place.thread_id),
            reply_parameters=_referring(under),
        )
        return _sent(await _call(call))

    async def edit(self, place: Place, remote_id: str, reply: Reply) -> None:
        """Replaces a message's text and buttons. That it shows exactly this already is fine."""
        message_id = _number(remote_id)
        if message_id is None:
            raise LostError(f"{remote_id} is no message of Telegram")
        await self._wait_turn(place.chat_id, edit=True)
        rendered = render(reply, whole=True)
        call = self._bot.edit_message_text(
            rendered.pieces[0],
            place.chat_id,
            message_id,
            parse_mode=ParseMode.HTML,
            link_preview_options=_NO_PREVIEW,
            reply_markup=keyboard(rendered.keys),
        )
        await _call(call)

    async def acknowledge(self, query_id: str, text: str = "") -> None:
        """Ends the spinner on a pressed button; a text pops up, for the presser alone."""
        await _call(self._bot.answer_callback_query(query_id, text or None, show_alert=bool(text)))

    async def _wait_turn(self, chat_id: str, *, edit: bool = False) -> None:
        """Keeps Telegram's pace: waits up to a second, or sends the caller away until later."""
        wait = self._pace.book(chat_id, edit=edit)
        if wait > PATIENCE:
            raise TryLaterError("this chat had many messages just now", after=wait)
        if wait:
            await asyncio.sleep(wait)


async def _call(work: Awaitable[T]) -> T | None:
    """Awaits a call to the Bot API; only ChatErrors come out. None: an edit that changed nothing."""
    try:
        return await work
    except TelegramError as error:
        if is_unchanged(error):
            return None
        raise translate(error) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # A 200 whose body is not what the Bot API promises: the message may be there.
        raise NoAnswerError(f"Telegram's answer cannot be read ({type(error).__name__})") from error


def _sent(message: object) -> Sent:
    if not isinstance(message, Message):
        raise NoAnswerError("Telegram named no message")
    return Sent(str(message.message_id))


def _referring(under: str | None) -> ReplyParameters | None:
    message_id = _number(under or "")
    return ReplyParameters(message_id, allow_sending_without_reply=True) if message_id else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None
