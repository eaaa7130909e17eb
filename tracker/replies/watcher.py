"""Watches people's mailboxes for replies by IMAP: one lease and one connection for each.

Run by the worker (bot/process.py). A mailbox is watched while it is switched on and its login works; a login
that the provider refuses is told once, and not tried again until the mailbox is connected anew. What came
while nobody watched is found by its number (RFC 3501, UID), or after the numbering began anew by its day.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import random
import secrets
import time
from contextlib import suppress
from functools import partial

from tortoise.expressions import Q

from models import Mailbox
from models.database import DATABASE_FAULTS, atomically
from models.writer import WriterDownError
from tracker.mail.parser import Parser
from tracker.replies.watch import GoneError, Watch
from tracker.replies.watched import BELL, note_fault, refuse
from tracker.sending.hosts import HostError
from tracker.sending.upstream import LoginError, UpstreamError
from tracker.services import Services

MOST_WATCHED = 100  # of one process; each holds a thread and a connection
LOOK_SECONDS = 20.0  # between two looks for mailboxes that nobody watches
LEASE = dt.timedelta(seconds=60)
RENEW_SECONDS = 20.0
TURN_SECONDS = 60.0  # for each mailbox, where there are more than can be watched at once
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 900.0
FINE_SECONDS = 60.0  # a connection that held for so long begins anew with the first pause
STOP_SECONDS = 3.0

log = logging.getLogger(__name__)


class Watcher:
    """All mailboxes that this process watches."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._watched: dict[int, asyncio.Task[None]] = {}
        self._began: dict[int, float] = {}  # when each had its last turn here
        self._pauses: dict[int, tuple[float, float]] = {}  # mailbox → until when (monotonic), how long
        self._parser = Parser(services.settings.public_url, processes=1)
        self._is_crowded = False

    async def run(self) -> None:
        """Watches for ever. Ends only by cancellation, within seconds; no fault stops it."""
        try:
            while True:
                try:
                    await self._look()
                except DATABASE_FAULTS as error:
                    log.warning("the database does not answer, mailboxes wait: %s", type(error).__name__)
                await self._services.wake.wait(BELL, LOOK_SECONDS)
        finally:
            tasks = list(self._watched.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_SECONDS)
            await self._parser.close()

    async def _look(self) -> None:
        """Begins to watch what is switched on and free, and leaves what was switched off."""
        now, beat = self._services.now(), time.monotonic()
        wanted = await Mailbox.filter(imap_on=True, imap_failed_at__isnull=True, imap_host__not_isnull=True)
        ids = {one.id for one in wanted}
        for number in self._watched.keys() - ids:
            self._watched[number].cancel()
        free = [
            one
            for one in wanted
            if one.id not in self._watched
            and self._pauses.get(one.id, (0.0, 0.0))[0] <= beat
            and (one.leased_by == self._name or _is_free(one.leased_until, now))
        ]
        free.sort(key=lambda one: self._began.get(one.id, 0.0))
        room = MOST_WATCHED - len(self._watched)
        self._is_crowded = len(free) > room
        for mailbox in free[:room]:
            if await self._claim(mailbox.id):
                task = asyncio.create_task(self._watch(mailbox.id), name=f"mailbox {mailbox.id}")
                self._watched[mailbox.id], self._began[mailbox.id] = task, beat
                task.add_done_callback(partial(self._forget, mailbox.id))

    def _forget(self, number: int, _: asyncio.Task[None]) -> None:
        self._watched.pop(number, None)

    async def _claim(self, number: int) -> bool:
        """The lease, or more of it: whoever's conditional update changes the row has it."""
        now = self._services.now()
        row = Mailbox.filter(
            Q(leased_until__isnull=True) | Q(leased_until__lte=now)
            | Q(leased_until__gt=now + 2 * LEASE) | Q(leased_by=self._name),
            id=number, imap_on=True, imap_failed_at__isnull=True,
        )  # fmt: skip
        until = now + LEASE
        return bool(await atomically(lambda: row.update(leased_by=self._name, leased_until=until)))

    async def _watch(self, number: int) -> None:
        """One mailbox, until it fails, is switched off, or somebody else has the lease."""
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keep(number))
                await Watch(self._services, self._parser, number, self._turn).run()
                keeping.cancel()
            self._pauses.pop(number, None)
        except* GoneError:
            pass
        except* Exception as several:
            await self._fail(number, several, time.monotonic() - began)
        finally:
            await self._release(number)

    def _turn(self) -> float | None:
        """How many seconds each mailbox may take, where others wait."""
        return TURN_SECONDS if self._is_crowded else None

    async def _keep(self, number: int) -> None:
        """Renews the lease while the mailbox is watched; ends the watching where that is over."""
        held_until = time.monotonic() + LEASE.total_seconds()
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                if not await self._claim(number):
                    raise GoneError
                held_until = time.monotonic() + LEASE.total_seconds()
            except DATABASE_FAULTS:
                if time.monotonic() + RENEW_SECONDS >= held_until:
                    raise GoneError from None

    async def _release(self, number: int) -> None:
        with suppress(*DATABASE_FAULTS):
            mine = Mailbox.filter(id=number, leased_by=self._name)
            await atomically(lambda: mine.update(leased_by=None, leased_until=None))

    async def _fail(self, number: int, error: BaseException, lasted: float) -> None:
        """What becomes of a mailbox that could not be watched: told, or tried again later and later."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if not isinstance(error, (UpstreamError, HostError, *DATABASE_FAULTS, WriterDownError)):
            log.error("watching a mailbox failed", exc_info=error)
        with suppress(*DATABASE_FAULTS):
            if isinstance(error, LoginError):
                await refuse(self._services, number, str(error))
            elif isinstance(error, (UpstreamError, HostError)):
                await note_fault(number, str(error))
        _, before = self._pauses.get(number, (0.0, 0.0))
        pause = FIRST_PAUSE if lasted > FINE_SECONDS else min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * before))
        self._pauses[number] = time.monotonic() + pause, pause
        log.info("a mailbox is watched again in %.0f s: %s", pause, type(error).__name__)
        late = pause * random.uniform(1.0, 1.3)  # noqa: S311, spreads those that one server sent away
        asyncio.get_running_loop().call_later(late, self._services.wake.ring, BELL)


def _is_free(leased_until: dt.datetime | None, now: dt.datetime) -> bool:
    """Whether a lease is over; one that lasts longer than any was made before the clock was put back."""
    return leased_until is None or leased_until <= now or leased_until > now + 2 * LEASE
