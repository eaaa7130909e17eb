"""Calls to a chat, each under the lease, each with a time limit, each ending in a ChatError that we know."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot.chat import Chat, ChatError, NoAnswerError, Place, Reply, Sent
from bot.deliver.leases import Lease

T = TypeVar("T")

CALL_SECONDS = 20.0

log = logging.getLogger(__name__)


class UnexpectedError(NoAnswerError):
    """A fault in a chat's code or in ours. It may have been shown; if it keeps coming, the words are why."""


class Line:
    """The way to one destination, as a turn uses it."""

    def __init__(self, chat: Chat, place: Place, lease: Lease, seconds: float = CALL_SECONDS) -> None:
        self._chat = chat
        self._place = place
        self._lease = lease
        self._seconds = seconds

    async def send(self, reply: Reply, under: str | None = None) -> Sent:
        """Posts. Raises ChatError or LeaseLostError."""
        return await self._call(lambda: self._chat.send(self._place, reply, under=under))

    async def edit(self, remote_id: str, reply: Reply) -> None:
        """Replaces in place. Raises ChatError or LeaseLostError."""
        await self._call(lambda: self._chat.edit(self._place, remote_id, reply))

    async def _call(self, work: Callable[[], Awaitable[T]]) -> T:
        await self._lease.keep()
        try:
            async with asyncio.timeout(self._seconds):
                return await work()
        except ChatError:
            raise
        except TimeoutError as error:
            raise NoAnswerError(f"no answer within {self._seconds:.0f} s") from error
        except Exception as error:
            log.error("%s failed in a way of its own: %s", self._place.platform, describe(error))
            raise UnexpectedError(type(error).__name__) from error


def describe(error: BaseException) -> str:
    """An error for the log: its class and where it came from, never its text (it may hold an address)."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
