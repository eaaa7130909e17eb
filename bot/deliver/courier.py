"""The courier: finds destinations with something due and serves them side by side, each on its own.

`run` is one of the worker's endless jobs, started by `__main__`; `deliver_once` is one round of it.
A chat that hangs keeps its own destinations waiting, never another chat's.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import os
import secrets
import socket
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bot.chat import Chat
from bot.deliver import outbox
from bot.deliver.cards import Cards, Pace
from bot.deliver.leases import Lease, claim, release_stale_leases
from bot.deliver.line import CALL_SECONDS, Line, describe
from bot.deliver.outbox import Work
from bot.deliver.storing import DatabaseDown
from bot.deliver.turn import Turn
from models.wake import OUTBOX
from tracker.services import Services

POLL_SECONDS = 2.0
AT_ONCE = 100  # destinations of one platform served at the same time
REST = dt.timedelta(seconds=1)  # after the database failed, or a fault of ours
DRAIN_SECONDS = 8.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Later:
    """Until when this process leaves a destination's alerts or cards alone."""

    alerts: dt.datetime | None = None
    cards: dt.datetime | None = None


class Courier:
    """Brings the outbox to the chats. Any number of them share a PostgreSQL database."""

    def __init__(
        self, services: Services, chats: Mapping[str, Chat], *, call_seconds: float = CALL_SECONDS
    ) -> None:
        self._services = services
        self._chats = chats
        self._call_seconds = call_seconds
        self._holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(6)}"
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        self._serving: dict[int, asyncio.Task[int]] = {}
        self._later: dict[int, _Later] = {}
        self._pace = Pace()
        self._seen: dt.datetime | None = None  # the clock, when work was looked for
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Delivers for ever. Cancelled, it finishes the calls under way, then ends."""
        wake = asyncio.ensure_future(self._services.wake.wait(OUTBOX, POLL_SECONDS))
        try:
            await self._free_stale_leases()
            while True:
                pause = await self._start_turns()
                await asyncio.wait(
                    {wake, *self._serving.values()}, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                if wake.done():
                    wake = asyncio.ensure_future(self._services.wake.wait(OUTBOX, POLL_SECONDS))
        finally:
            wake.cancel()
            await self._drain()

    async def deliver_once(self) -> int:
        """One round: serves whatever is due now, and waits for all of it; messages shown or edited."""
        work = await self._find_work()
        return sum(await asyncio.gather(*(self._serve(one) for one in work)))

    async def _free_stale_leases(self) -> None:
        try:
            await release_stale_leases(self._services)
        except DatabaseDown as error:
            log.warning("leases could not be read: %s", type(error).__name__)  # they run out by themselves

    async def _start_turns(self) -> float:
        """Starts a task for each destination that needs one; seconds until something else is due."""
        self._serving = {id_: task for id_, task in self._serving.items() if not task.done()}
        try:
            for work in await self._find_work():
                if work.destination_id not in self._serving:
                    self._serving[work.destination_id] = asyncio.ensure_future(self._serve(work))
            return await self._pause()
        except DatabaseDown as error:
            log.warning("the outbox cannot be read: %s", type(error).__name__)
        except Exception as error:
            log.error("looking into the outbox failed: %s", describe(error))
        await asyncio.sleep(REST.total_seconds())
        return POLL_SECONDS

    async def _pause(self) -> float:
        """Until the next held alert, the next waiting destination, or the next card's edit."""
        now = self._services.now()
        moments = [await outbox.next_due(self._services)]
        moments += [one for later in self._later.values() for one in (later.alerts, later.cards)]
        waits = [(one - now).total_seconds() for one in moments if one is not None and one > now]
        return min([POLL_SECONDS, *(max(one, 0.01) for one in waits)])

    async def _find_work(self) -> list[Work]:
        now = self._services.now()
        if self._seen is None or now < self._seen:
            await outbox.hasten(self._services)
            self._later.clear()
        self._seen = now
        work = await outbox.find_work(self._services, self._chats.keys(), self._holder)
        return [one for one in work if self._may_serve(one)]

    def _may_serve(self, work: Work) -> bool:
        later, now = self._later.get(work.destination_id, _Later()), self._services.now()
        alerts = work.alerts and (later.alerts is None or later.alerts <= now)
        cards = work.cards and (later.cards is None or later.cards <= now)
        return alerts or work.fixes or cards

    async def _serve(self, work: Work) -> int:
        """One turn for one destination; never raises, but for a cancelled task."""
        rest = self._services.now() + REST
        try:
            async with self._slots[work.platform]:
                lease = await claim(self._services, self._holder, work.destination_id)
                if lease is None:
                    return 0
                try:
                    return await self._take_turn(work, lease)
                finally:
                    with contextlib.suppress(*DatabaseDown):
                        await lease.release()
        except DatabaseDown as error:
            log.warning("a turn ended early, the database failed: %s", type(error).__name__)
            self._later[work.destination_id] = _Later(rest, rest)
        except Exception as error:
            log.error("a turn failed: %s", describe(error))
            self._later[work.destination_id] = _Later(rest, rest)
        return 0

    async def _take_turn(self, work: Work, lease: Lease) -> int:
        target = await outbox.load_target(self._services, work.destination_id)
        if target is None:
            return 0
        line = Line(self._chats[work.platform], target.place, lease, self._call_seconds)
        cards = Cards(self._services, line, target, self._pace, self._stopping)
        turn = Turn(self._services, target, line, cards, self._stopping)
        await turn.run()
        self._pace.forget_old(self._services.now())
        self._later.pop(work.destination_id, None)
        if turn.later or cards.later:
            self._later[work.destination_id] = _Later(turn.later, cards.later)
        return turn.rung + cards.drawn

    async def _drain(self) -> None:
        """Lets the calls under way end, so that what they showed is marked."""
        self._stopping.set()
        tasks = [task for task in self._serving.values() if not task.done()]
        if tasks:
            _, hanging = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
