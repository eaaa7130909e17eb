"""The standing connection to Telegram of a worker: who the bot is, its menu, then polling or the webhook.

bot/telegram/chat.py starts and stops it. It never gives up: while Telegram cannot be reached it tries again,
and `trouble` says what is wrong, for /healthz. A menu that Telegram refuses keeps nobody from being answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from telegram.error import BadRequest, TelegramError

from bot.access import remember_bot_name
from bot.chat import TryLaterError
from bot.telegram.errors import translate
from bot.telegram.incoming import PLATFORM
from bot.telegram.intake import Intake
from bot.telegram.lease import PollLease
from bot.telegram.menu import publish
from bot.telegram.polling import Poller, PollingBot
from bot.telegram.transport import AiohttpRequest
from bot.telegram.waiting import pause
from bot.telegram.webhook import register, unregister
from tracker.services import Services

log = logging.getLogger(__name__)

SILENCE_SECONDS = 90.0
_CHECK_SECONDS = 300.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_STOP_SECONDS = 2.0


class Connection:
    def __init__(
        self, services: Services, bot: PollingBot, transport: AiohttpRequest, intake: Intake, hold: float
    ) -> None:
        self._services = services
        self._bot = bot
        self._transport = transport
        self._intake = intake
        secret = services.settings.telegram_webhook_secret
        self._secret = secret.get_secret_value() if secret else None
        lease = PollLease(services, bot.token.partition(":")[0])
        self._poller = Poller(bot, transport, intake, lease, hold=hold)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """What is wrong in a few words, or nothing. A process that only serves the web has no connection."""
        if self._task is None or self._trouble:
            return self._trouble
        if self._secret is None and self._poller.silent_for > SILENCE_SECONDS:
            return f"Telegram has not answered for {self._poller.silent_for:.0f} s"
        return self._poller.trouble

    def start(self) -> None:
        self._stopping.clear()
        self._trouble = "connecting to Telegram"
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends it. Cuts a call that hangs by its connection: cancelling could hit a row being stored."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is not None:
            done, _ = await asyncio.wait([task], timeout=_STOP_SECONDS)
            if not done:
                await self._transport.shutdown()
                await asyncio.wait([task], timeout=_STOP_SECONDS)
        self._trouble = "stopped"

    async def _run(self) -> None:
        try:
            if not await self._insist(self._introduce):
                return
            if self._secret is None:
                if await self._insist(lambda: unregister(self._bot)):
                    await self._poller.run(self._stopping)
            else:
                await self._watch_webhook(self._secret)
        except Exception:
            log.exception("the connection to Telegram ended")
            self._trouble = "the connection ended by a fault of mailbell; restart it, and see the log"

    async def _introduce(self) -> None:
        me = await self._bot.get_me()
        self._intake.username = me.username or ""
        await remember_bot_name(PLATFORM, self._intake.username)
        from bot.commands import COMMANDS

        try:
            await publish(self._bot, COMMANDS)
        except TelegramError as error:
            log.warning("Telegram's command menu was not set: %s", translate(error))

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Does it, again and again until it succeeds; False when we are stopping first."""
        failures = 0
        while not self._stopping.is_set():
            try:
                await work()
            except Exception as error:
                failures += 1
                wait = self._explain(error, failures)
                await pause(self._stopping, wait)
            else:
                self._trouble = ""
                return True
        return False

    def _explain(self, error: Exception, failures: int) -> float:
        wait = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 8))
        if not isinstance(error, TelegramError):
            log.exception("connecting to Telegram failed", exc_info=error)
            self._trouble = "connecting failed; see the log"
            return wait
        known = translate(error)
        said = str(known)
        if isinstance(error, BadRequest) and self._secret is not None:
            said = f"Telegram refuses the webhook: {error.message}"
        if said != self._trouble:
            log.warning("connecting to Telegram: %s", said)
        self._trouble = said
        after = known.after if isinstance(known, TryLaterError) else None
        return max(wait, after or 0.0)

    async def _watch_webhook(self, secret: str) -> None:
        """Registers the webhook, and looks every five minutes whether it still stands and works."""
        while await self._insist(lambda: register(self._services, self._bot, secret)):
            self._trouble = await self._complaint()
            await pause(self._stopping, _CHECK_SECONDS)

    async def _complaint(self) -> str:
        """What Telegram says about reaching us, if it failed within the last minutes."""
        try:
            info = await self._bot.get_webhook_info()
        except TelegramError:
            return ""  # the next registration tells, or passes
        at = info.last_error_date
        if at is None or (self._services.now() - at).total_seconds() > 2 * _CHECK_SECONDS:
            return ""
        return f"Telegram cannot reach the webhook: {info.last_error_message}"
