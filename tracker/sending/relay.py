"""The relay: brings what is in the spool to the providers, and tries again until each copy is done.

Started by bot/process.py beside the submission server; one at a time works on a DATA_DIR. A mail is first
made into rows, then waits in its mailbox's lane. The rows say when the next try is; the clock is the
services' own, and a bell or a short poll only wakes the relay to look at it. A spool file goes once every
copy of its mail is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import os
from collections.abc import Iterator, Sequence

from models import Mailbox, Outgoing
from models.database import DATABASE_FAULTS, take_file_lock
from models.writer import WriterDownError
from tracker.keys import new_code
from tracker.sending import outcomes
from tracker.sending.deliveries import Line, deliver
from tracker.sending.editor import Editor
from tracker.sending.lane import Lane
from tracker.sending.mailboxes import RELAY_BELL
from tracker.sending.preparing import MOST_PREPARED, Preparer
from tracker.sending.spool import Spool, SpoolFaultError, lock_of
from tracker.sending.upstream import LoginError, UpstreamError
from tracker.sending.waiting import copies_of, give_up, mailbox_of, next_look, recover
from tracker.services import Services

MOST_CONNECTIONS = 20
MOST_OF_ONE = 3  # connections of one mailbox
MOST_LARGE = 4  # mails of more than LARGE bytes that are in memory at a time
LARGE = 4_000_000
POLL_SECONDS = 2.0
DRAIN_SECONDS = 10.0
DATABASE_PAUSE = dt.timedelta(seconds=2)
FAULT_PAUSE = dt.timedelta(minutes=1)
_FAULTS = (*DATABASE_FAULTS, WriterDownError)

log = logging.getLogger(__name__)


class Relay:
    """Sends what `spool` holds. `run` for ever; `hurry` for each mail that has just been taken."""

    def __init__(self, services: Services, spool: Spool) -> None:
        self._services = services
        self._spool = spool
        self._editor = Editor(services.settings.public_url)
        self._preparer = Preparer(services, spool, self._editor, self._keeping)
        self._owner = f"relay-{new_code(10)}"
        self._bell = asyncio.Event()
        self._looks = True  # whether to look for what nobody told of
        self._due: dict[str, dt.datetime] = {}  # when to look at a mail that nobody works on
        self._busy: set[str] = set()  # being prepared, or in a lane
        self._broken: set[str] = set()  # files that are no mails
        self._lanes: dict[int | None, Lane] = {}
        self._preparing: asyncio.Task[None] | None = None
        self._stopping = False
        self._connections = asyncio.Semaphore(MOST_CONNECTIONS)
        self._large = asyncio.Semaphore(MOST_LARGE)

    def hurry(self, name: str) -> None:
        """The mail `name` is in the spool: it is tried at once. Call it in the event loop."""
        if name not in self._busy:
            self._due[name] = self._services.now()
        self._bell.set()

    async def run(self) -> None:
        """Works until it is cancelled; then what is on its way gets a moment to arrive."""
        lock = await self._take_lock()
        listener = asyncio.create_task(self._listen())
        try:
            while True:
                self._bell.clear()
                if self._looks:
                    self._looks = False
                    await self._look()
                    await self._release_held()
                self._start_due()
                await self._bell.wait()
        finally:
            listener.cancel()
            await self._drain()
            os.close(lock)

    async def _take_lock(self) -> int:
        """One relay for a DATA_DIR: a claim of any other is of one that is dead."""
        path = lock_of(self._services.settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        while (lock := take_file_lock(path)) is None:  # noqa: ASYNC110, of another process
            await asyncio.sleep(POLL_SECONDS)
        return lock

    async def _listen(self) -> None:
        while True:
            await self._services.wake.wait(RELAY_BELL, POLL_SECONDS)
            self._looks = True
            self._bell.set()

    async def _look(self) -> None:
        """Finds mails that nobody told of: those from before a start, or put by another process."""
        names = await self._spool.run(self._spool.names)
        held = {name for lane in self._lanes.values() for name in lane.held}
        for name in names:
            if not (name in self._due or name in self._busy or name in held or name in self._broken):
                self._due[name] = self._services.now()
        for name in self._due.keys() - set(names):
            if name not in self._busy:
                del self._due[name]

    async def _release_held(self) -> None:
        """Mails whose mailbox is connected anew are due now."""
        ids = [lane.mailbox_id for lane in self._lanes.values() if lane.held and lane.mailbox_id is not None]
        if not ids:
            return
        with contextlib.suppress(*_FAULTS):
            held = set(
                await Mailbox.filter(id__in=ids, failed_at__not_isnull=True).values_list("id", flat=True)
            )
            for mailbox_id in set(ids) - held:
                lane = self._lanes[mailbox_id]
                # What is worked on just now is not to be entered into its lane once more.
                self._due |= dict.fromkeys(lane.held - self._busy, self._services.now())
                lane.held.clear()

    def _start_due(self) -> None:
        """Prepares the mails whose time has come, one bundle of them at a time."""
        now = self._services.now()
        if self._preparing is not None and not self._preparing.done():
            return
        ready = sorted(
            name
            for name, due in self._due.items()
            if due <= now or due > now + 2 * outcomes.LONGEST_PAUSE  # the clock was put back
        )[:MOST_PREPARED]
        if ready:
            for name in ready:
                del self._due[name]
            self._busy.update(ready)
            self._preparing = asyncio.create_task(self._prepare(ready))
            self._preparing.add_done_callback(lambda _: self._bell.set())

    async def _prepare(self, names: list[str]) -> None:
        """Makes sure that mails have their rows, and puts each into its mailbox's lane."""
        began = asyncio.get_running_loop().time()
        waiting = set(names)
        with self._keeping(*names):
            ready = {name: rows for name, rows in (await copies_of(names)).items() if rows}
            missing = [name for name in names if name not in ready]
            bundle = await self._preparer.bundle(missing)
            self._due |= dict.fromkeys(missing[len(bundle) :], self._services.now())
            ready |= await copies_of(await self._preparer.make_rows(bundle))
            for name in sorted(ready):
                if await self._enter_lane(name, ready[name]):
                    waiting.discard(name)
        self._busy -= waiting
        await self._services.pace.rest(began)

    async def _enter_lane(self, name: str, rows: Sequence[Outgoing]) -> bool:
        """Whether the mail with these copies waits in its lane now; one that is done goes."""
        waiting = [row for row in rows if row.state == "waiting"]
        if not waiting:
            await self._spool.run(lambda: self._spool.remove(name))
            return False
        await recover(self._services, waiting)
        mailbox_id = await mailbox_of(waiting[0])
        lane = self._lanes.setdefault(mailbox_id, Lane(mailbox_id))
        lane.names.append(name)
        self._man(lane)
        return True

    @contextlib.contextmanager
    def _keeping(self, *names: str) -> Iterator[None]:
        """Work on mails, which must not end the relay: what failed comes again."""
        try:
            yield
        except FileNotFoundError:
            pass
        except SpoolFaultError:
            log.error("the spool's file %s is no mail; it stays where it is", names[0])
            self._broken.update(names)
        except _FAULTS:
            log.warning("the database does not answer, mail waits in the spool")
            self._put_by(names)
        except Exception:
            log.exception("mail waits in the spool: a fault of ours")
            self._put_by(names, FAULT_PAUSE)

    def _put_by(self, names: tuple[str, ...], pause: dt.timedelta = DATABASE_PAUSE) -> None:
        waiting = {name for lane in self._lanes.values() for name in lane.names}
        again = self._services.now() + pause
        self._due |= {name: again for name in names if name not in waiting}

    def _man(self, lane: Lane) -> None:
        """One more connection for the lane, if it has work for it."""
        most = 1 if lane.down else MOST_OF_ONE
        if not self._stopping and len(lane.senders) < min(most, len(lane.names)):
            task = asyncio.create_task(self._send(lane))
            lane.senders.add(task)
            task.add_done_callback(lane.senders.discard)
            task.add_done_callback(lambda _: self._bell.set())

    async def _send(self, lane: Lane) -> None:
        """Works on the lane's mails with one connection, until there are none."""
        async with self._connections:
            line: Line | None = None
            try:
                while lane.names and not self._stopping:
                    line = await self._send_one(lane, line)
            finally:
                if line is not None:
                    await line.close()

    async def _send_one(self, lane: Lane, line: Line | None) -> Line | None:
        began = asyncio.get_running_loop().time()
        name = lane.names.popleft()
        lane.held.discard(name)
        with self._keeping(name):
            line = await self._work_on(lane, line, name)
        self._busy.discard(name)
        await self._services.pace.rest(began)
        return line

    async def _work_on(self, lane: Lane, line: Line | None, name: str) -> Line | None:
        now = self._services.now()
        rows = await Outgoing.filter(spool=name, state="waiting").order_by("id")
        due = [row for row in rows if outcomes.is_due(row, now)]
        mailbox = await Mailbox.get_or_none(id=lane.mailbox_id) if lane.mailbox_id is not None else None
        if mailbox is None or mailbox.failed_at is not None:
            await self._hold(lane, name, rows, mailbox)
            return line
        if due and not await lane.put_off(self._services, due):
            line = line or Line(self._services, mailbox)
            await line.use(mailbox)
            await self._deliver(lane, line, name, due)
        await self._settle(name)
        return line

    async def _deliver(self, lane: Lane, line: Line, name: str, due: list[Outgoing]) -> None:
        """Hands copies over, and remembers how the provider was found."""
        try:
            size = await self._spool.run(lambda: (self._spool.directory / name).stat().st_size)
            async with self._large if size > LARGE else contextlib.nullcontext():
                _, raw = await self._spool.run(lambda: self._spool.read(name))
                await deliver(line, self._editor, self._owner, due, raw)
            lane.found()
        except FileNotFoundError:
            for row in due:
                await outcomes.note_lost(self._services, row)
        except LoginError:
            pass  # it stands in the mailbox's row, which holds this mail and the next ones
        except UpstreamError as error:
            lane.not_found(self._services.now(), error)

    async def _hold(self, lane: Lane, name: str, rows: list[Outgoing], mailbox: Mailbox | None) -> None:
        """The mailbox is refused or gone: its mails wait for the user, but not for ever."""
        now = self._services.now()
        words = (mailbox and mailbox.failure) or "the mailbox is not connected"
        rest = await give_up(self._services, rows, words)
        if not rest:
            self._due[name] = now
            return
        if mailbox is None:
            await outcomes.tell_unconnected(self._services, rest[0])
            self._due[name] = now + dt.timedelta(minutes=1)
        else:
            lane.held.add(name)
            self._due[name] = now + outcomes.LONGEST_PAUSE

    async def _settle(self, name: str) -> None:
        """Removes the file of a mail that is done; else says when to look at it again."""
        due = await next_look(self._services, name)
        if due is None:
            await self._spool.run(lambda: self._spool.remove(name))
        else:
            self._due[name] = due

    async def _drain(self) -> None:
        """Lets copies that are on their way arrive; what is cut off is known by its claim."""
        self._stopping = True
        preparing = [self._preparing] if self._preparing is not None else []
        tasks = [*preparing, *(task for lane in self._lanes.values() for task in lane.senders)]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._editor.close()
