"""Long polling: asks Telegram for updates for as long as the process runs.

The library's Updater confirms updates that it holds in memory only; this one asks for the next ones after the
ids of the last are stored. A call that hangs is cut and its connection dropped, and `silent_for` tells how
long Telegram has said nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from telegram import Bot
from telegram.error import Conflict, TelegramError, TimedOut

from bot.chat import TryLaterError
from bot.telegram.errors import translate
from bot.telegram.incoming import ALLOWED_UPDATES
from bot.telegram.intake import Intake, UnreadableUpdateError
from bot.telegram.lease import PollLease
from bot.telegram.transport import AiohttpRequest
from bot.telegram.waiting import pause, unless
from bot.telegram.webhook import unregister

log = logging.getLogger(__name__)

LONG_POLL_SECONDS = 10
_GRACE_SECONDS = 10.0  # how much later than asked for an answer may come
_EMPTY_PAUSE = 0.5  # after an empty answer that came at once: a server without long polling
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_CONFLICT_PAUSE = 3.0
_STANDBY_PAUSE = 5.0
CONFLICT = "another program reads this bot's updates; stop it, or use another bot"


class PollingBot(Bot):
    """The library's Bot, with updates as they came: one that it cannot read must not hide the others."""

    __slots__ = ()

    async def raw_updates(self, offset: int | None, hold: float) -> list[Any]:
        """Updates from `offset` on, which confirms those before; waits up to `hold` seconds for one."""
        wanted = {"offset": offset, "timeout": int(hold), "allowed_updates": list(ALLOWED_UPDATES)}
        answer: object = await self._post("getUpdates", wanted, read_timeout=hold + _GRACE_SECONDS)
        return answer if isinstance(answer, list) else []


class Poller:
    """`run` until `stopping` is set."""

    def __init__(
        self, bot: PollingBot, transport: AiohttpRequest, intake: Intake, lease: PollLease, *, hold: float
    ) -> None:
        self._bot = bot
        self._transport = transport
        self._intake = intake
        self._lease = lease
        self._hold = hold
        self._offset: int | None = None
        self._answered = time.monotonic()
        self.trouble = ""

    @property
    def silent_for(self) -> float:
        """Seconds since getUpdates last returned."""
        return time.monotonic() - self._answered

    async def run(self, stopping: asyncio.Event) -> None:
        """Polls, and goes on after every failure: the longer it lasts, the longer the pauses."""
        failures = 0
        while not stopping.is_set():
            try:
                wait = await self._round(stopping)
                failures, self.trouble = 0, ""
            except Exception as error:
                failures += 1
                wait = await self._explain(error, failures)
            if wait:
                await pause(stopping, wait)
        if self._lease.needed:
            await self._lease.release()

    async def _round(self, stopping: asyncio.Event) -> float:
        """One call, if it is our turn; seconds to wait before the next."""
        if self._lease.needed and not await self._lease.hold():
            self._answered = time.monotonic()  # another worker polls, and speaks for the bot
            return _STANDBY_PAUSE
        began = time.monotonic()
        updates = await unless(stopping, self._ask)
        await self._take(updates or [])
        quick = not updates and time.monotonic() - began < _EMPTY_PAUSE
        return _EMPTY_PAUSE if quick else 0.0

    async def _ask(self) -> list[Any]:
        updates = await self._bot.raw_updates(self._offset, self._hold)
        self._answered = time.monotonic()
        return updates

    async def _take(self, updates: list[Any]) -> None:
        """Stores each id, then moves the offset: the next call confirms what is stored, never more."""
        for raw in updates:
            try:
                await self._intake.take(raw)
            except UnreadableUpdateError:
                log.warning("Telegram sent something that is no update")
                continue
            self._offset = int(raw["update_id"]) + 1

    async def _explain(self, error: Exception, failures: int) -> float:
        """Notes what is wrong, for /healthz; how long to wait before the next try, in seconds."""
        wait = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 8))
        if isinstance(error, Conflict):
            self.trouble = CONFLICT
            with suppress(TelegramError):
                await unregister(self._bot)  # a webhook forbids polling
            return max(wait, _CONFLICT_PAUSE)
        if not isinstance(error, TelegramError):
            log.exception("taking Telegram's updates failed")
            self.trouble = "updates cannot be stored"
            return wait
        if isinstance(error, TimedOut):
            await self._transport.reset()
        known = translate(error)
        self.trouble = str(known)
        if failures in (1, 10, 100):
            log.warning("polling Telegram: %s", known)
        after = known.after if isinstance(known, TryLaterError) else None
        return max(wait, after or 0.0)
