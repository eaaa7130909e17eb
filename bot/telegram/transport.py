"""The Bot API over aiohttp: the one HTTP stack of this process, for python-telegram-bot.

The library brings its own over httpx; this replaces it for polling, sending and files. It tells "nothing was
sent" from "no answer came", which decides whether a message may be sent again without a double.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
from telegram.error import BadRequest, NetworkError, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
UPLOAD_SECONDS = 60.0
_PAUSE = 5.0  # what to wait after a 429 that names no time


class UnsentError(NetworkError):
    """The connection was never made: the request cannot have had any effect."""


class FloodError(TelegramError):
    """429: Telegram asks to wait `seconds`. The library's own RetryAfter warns whenever it is read."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many requests; Telegram asks to wait {seconds:g} s")
        self.seconds = seconds


class AiohttpRequest(BaseRequest):
    """One session, opened at the first request; after `shutdown` nothing goes out until `initialize`."""

    __slots__ = ("_idle", "_session", "_shut", "_under_way")

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._shut = False
        self._under_way = 0
        self._idle = asyncio.Event()

    @property
    def read_timeout(self) -> float:
        return ANSWER_SECONDS

    async def initialize(self) -> None:
        self._shut = False

    async def shutdown(self) -> None:
        """Ends everything at once, also requests under way."""
        self._shut = True
        await self.reset()

    async def finish(self, seconds: float) -> None:
        """Begins nothing new, and lets requests under way hear their answer: a cut one would go twice."""
        self._shut = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._under_way:
                    self._idle.clear()
                    await self._idle.wait()
        await self.reset()

    async def reset(self) -> None:
        """Drops every connection, also those that hang; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *args: Any, **limits: Any
    ) -> tuple[int, bytes]:
        """Status and body. Raises UnsentError, TimedOut, FloodError, NetworkError: the URL never inside."""
        if self._shut:
            raise UnsentError("the chat is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession()
        answer_in = (args or (limits.get("read_timeout"),))[0]
        seconds = answer_in if isinstance(answer_in, int | float) else ANSWER_SECONDS
        if request_data is not None and request_data.contains_files:
            seconds = max(seconds, UPLOAD_SECONDS)
        timeout = aiohttp.ClientTimeout(total=CONNECT_SECONDS + seconds, connect=CONNECT_SECONDS)
        self._under_way += 1
        try:
            async with self._session.request(method, url, data=_body(request_data), timeout=timeout) as got:
                return _checked(got, await got.read())
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise UnsentError(f"cannot connect to Telegram ({type(error).__name__})") from None
        except TimeoutError:
            raise TimedOut(f"Telegram gave no answer within {seconds:g} s") from None
        except aiohttp.ClientError as error:
            raise NetworkError(f"the connection to Telegram broke ({type(error).__name__})") from None
        finally:
            self._under_way -= 1
            self._idle.set()

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The answer's object. The library's own logs the whole text of an unreadable one."""
        try:
            answer = json.loads(payload)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise TelegramError("Telegram's answer is no JSON object")
        return answer


def _body(request_data: RequestData | None) -> aiohttp.FormData | None:
    if request_data is None:
        return None
    form = aiohttp.FormData()
    for name, value in request_data.json_parameters.items():
        form.add_field(name, value)
    for name, (filename, content, mime) in request_data.multipart_data.items():
        form.add_field(name, content, filename=filename, content_type=mime)
    return form


def _checked(answer: aiohttp.ClientResponse, body: bytes) -> tuple[int, bytes]:
    """Takes out what the library's own reading of the status would blur."""
    if answer.status == 429:
        raise FloodError(_seconds_to_wait(answer, body))
    if answer.status == 413:
        raise BadRequest("the file is too large for Telegram")
    if answer.status >= 500:
        raise NetworkError(f"Telegram answered {answer.status}")
    return answer.status, body


def _seconds_to_wait(answer: aiohttp.ClientResponse, body: bytes) -> float:
    try:
        return float(json.loads(body)["parameters"]["retry_after"])
    except (ValueError, KeyError, TypeError):
        pass
    try:
        return float(answer.headers["Retry-After"])
    except (ValueError, KeyError):
        return _PAUSE
