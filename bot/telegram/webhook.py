"""POST /telegram/webhook: Telegram hands us updates, and the registration that makes it do so.

The route answers 200 once the update's id is stored; on anything else Telegram delivers again. The secret is
compared in constant time before a byte of the body is read (the library's own example does not look at it).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging

from aiohttp import web
from telegram import Bot
from telegram.error import TelegramError

from bot.telegram.incoming import ALLOWED_UPDATES
from bot.telegram.intake import ClosedError, Intake, UnreadableUpdateError
from bot.telegram.state import recall, remember
from tracker.keys import keyed_hash
from tracker.services import Services

log = logging.getLogger(__name__)

PATH = "/telegram/webhook"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105, the header's name
BODY_LIMIT = 1024 * 1024
BODY_SECONDS = 10.0
_STATE = "telegram_webhook"


class Webhook:
    """The route, for the secret that we gave to Telegram."""

    def __init__(self, secret: str, intake: Intake) -> None:
        self._secret = secret.encode()
        self._intake = intake

    async def handle(self, request: web.Request) -> web.Response:
        """200: taken, now or before. 401: not from Telegram. 400, 408, 413: no update. 503: send it again."""
        given = request.headers.get(SECRET_HEADER, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._secret):
            return web.Response(status=401)
        body = await _read(request)
        if isinstance(body, web.Response):
            return body
        try:
            await self._intake.take(json.loads(body))
        except (UnreadableUpdateError, ValueError, RecursionError):
            return web.Response(status=400)
        except ClosedError:
            return web.Response(status=503, headers={"Retry-After": "5"})
        except Exception:
            # The database did not take the id: nothing was begun, and Telegram tries again.
            log.exception("a Telegram update could not be stored")
            return web.Response(status=503, headers={"Retry-After": "5"})
        return web.Response()


async def _read(request: web.Request) -> bytes | web.Response:
    """The body within its limits of size and time, or the answer that refuses it."""
    if (request.content_length or 0) > BODY_LIMIT:
        return web.Response(status=413)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError:
        return web.Response(status=408)
    except web.HTTPRequestEntityTooLarge:
        return web.Response(status=413)
    except web.RequestPayloadError:
        return web.Response(status=400)
    return body if len(body) <= BODY_LIMIT else web.Response(status=413)


async def register(services: Services, bot: Bot, secret: str) -> None:
    """Tells Telegram our address, unless it knows exactly this one, secret included. Raises TelegramError.

    Telegram never shows the secret that it has, so a keyed hash of what we last gave is kept.
    """
    url = services.settings.public_url + PATH
    given = " ".join((bot.token, url, secret, *ALLOWED_UPDATES))
    mark = keyed_hash(services.settings.key, "telegram webhook", given)
    if await _registered(bot) == url and await recall(_STATE) == mark:
        return
    await bot.set_webhook(url, allowed_updates=ALLOWED_UPDATES, secret_token=secret)
    await remember(_STATE, mark)
    log.info("Telegram delivers to %s", url)


async def unregister(bot: Bot) -> None:
    """Takes a webhook away, which would forbid polling; updates that wait are kept. Raises TelegramError."""
    await bot.delete_webhook(drop_pending_updates=False)


async def _registered(bot: Bot) -> str | None:
    """The address that Telegram delivers to now; None if it does not say."""
    try:
        return (await bot.get_webhook_info()).url
    except TelegramError:
        return None
