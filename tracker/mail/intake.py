"""Copies that come faster than they are understood: put on disk at once, understood in their turn.

Called by tracker/mail/smtp.py. A lone copy is understood before its client hears 250, as always; under load
what it says is written down first, many copies in one commit, and `run` does the rest. What a process did not
get to, the next one does. No body is ever written.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from tortoise.expressions import Subquery

from models import Account, Captured
from models.columns import clean_text, to_micros
from models.database import DATABASE_FAULTS
from models.writer import Statement, WriterDownError
from tracker.mail.addresses import CaptureBox
from tracker.mail.capture import take_copy
from tracker.mail.draft import read_address
from tracker.mail.parsing import Parsed
from tracker.pace import Pace
from tracker.services import Services

MOST_AT_ONCE = 30  # copies a second that are understood before their clients hear of it
MOST_REMEMBERED = 2_000  # noted copies in memory; more wait on the disk alone
SWEEP_SECONDS = 30.0  # after this long a noted copy is anybody's
TRIES, PAUSE = 5, 0.2  # seconds; to write them down

_NOTE = (
    "INSERT INTO captured (account_id, key, state, from_address, facts, at) VALUES (?, ?, 'noted', ?, ?, ?) "
    "ON CONFLICT (account_id, key) DO NOTHING"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Noted:
    """A copy that is on disk, and not understood yet."""

    box: CaptureBox
    parsed: Parsed
    key: str
    arrived: dt.datetime

    def row(self) -> tuple[int, str, str | None, str, int]:
        facts = json.dumps({"mail": self.parsed.to_json(), "tag": clean_text(self.box.tag)})
        sender = read_address(self.parsed.sender)
        return self.box.account_id, self.key, sender, facts, to_micros(self.arrived)


class Intake:
    """What came, between the line and its meaning. `run` must run beside it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._pace = Pace(MOST_AT_ONCE)
        self._batch: list[tuple[Noted, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._noted: deque[Noted] = deque()
        self._bell = asyncio.Event()
        self._broken: set[str] = set()  # keys of copies that a fault of ours stops
        self._are_more = False  # on the disk, than in memory
        self._stopping = False

    async def take(self, box: CaptureBox, parsed: Parsed, key: str, arrived: dt.datetime) -> None:
        """The copy is on disk when this returns. Raises RefusedMailError, and what the database raises."""
        busy = self._pace.is_busy
        self._pace.note()
        if box.is_public or parsed.doubled or not (busy or self._noted):
            await take_copy(self._services, box, parsed, key, arrived)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch.append((Noted(box, parsed, key, arrived), done))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        """Writes what queued up, all in one commit, until nothing is left."""
        try:
            while self._batch:
                batch, self._batch = self._batch, []
                await self._write(batch)
        finally:
            self._flushing = None

    async def _write(self, batch: list[tuple[Noted, asyncio.Future[None]]]) -> None:
        rows = [noted.row() for noted, _ in batch]
        fault: Exception | None = None
        for _ in range(TRIES):
            try:
                await self._services.writer.apply([Statement(_NOTE, rows)])
                fault = None
                break
            except WriterDownError as error:  # held up by who writes just now, most of the time
                fault = error
                await asyncio.sleep(PAUSE)
            except Exception as error:  # each of those who wait hears of it
                fault = error
                break
        for noted, done in batch:
            if fault is None and len(self._noted) < MOST_REMEMBERED:
                self._noted.append(noted)
            elif fault is None:
                self._are_more = True
            if not done.done():
                done.set_result(None) if fault is None else done.set_exception(fault)
        self._bell.set()

    async def run(self) -> None:
        """Understands what is noted, here or by a process that is gone, until `stop`."""
        self._are_more = True
        while not self._stopping:
            self._bell.clear()
            while self._noted and not self._stopping:
                await self._understand(self._noted.popleft())
            if self._are_more:
                self._noted.extend(await self._left(self._services.now()))
                self._are_more = len(self._noted) >= MOST_REMEMBERED
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._bell.wait()
            if not self._noted:
                longer = dt.timedelta(seconds=SWEEP_SECONDS)
                self._noted.extend(await self._left(self._services.now() - longer))

    def stop(self) -> None:
        """`run` ends after the copy that it holds; the others stay on the disk."""
        self._stopping = True
        self._bell.set()

    async def _left(self, until: dt.datetime) -> list[Noted]:
        """Copies that were noted until then and that nobody understood, or not to the end, oldest first."""
        try:
            rows = await Captured.filter(
                account_id__in=Subquery(Account.all().values("id")), state__in=("noted", "arming"),
                at__lte=until,
            ).order_by("id").limit(MOST_REMEMBERED)  # fmt: skip
        except DATABASE_FAULTS:
            return []
        return [noted for row in rows if row.key not in self._broken and (noted := _read(row))]

    async def _understand(self, noted: Noted) -> None:
        """One copy; while others come in, it leaves them most of the time."""
        began = asyncio.get_running_loop().time()
        try:
            await take_copy(self._services, noted.box, noted.parsed, noted.key, noted.arrived, noted=True)
        except (*DATABASE_FAULTS, WriterDownError):
            log.warning("the database does not answer, a noted copy waits")
            self._noted.appendleft(noted)
            await asyncio.sleep(1)
        except Exception as error:  # a fault of ours: the others must not wait for it
            self._broken.add(noted.key)
            log.error("a noted copy was not understood", exc_info=error)
        await self._services.pace.rest(began)


def _read(row: Captured) -> Noted | None:
    facts = row.facts if isinstance(row.facts, dict) else {}
    try:
        parsed = Parsed.from_json(str(facts.get("mail")))
    except (ValueError, KeyError, TypeError):
        return None
    box = CaptureBox(row.account_id, is_public=False, tag=str(facts.get("tag", "")))
    return Noted(box, parsed, row.key, row.at)
