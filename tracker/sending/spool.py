"""The spool: mails that were taken and are not yet all with the provider, one file each in DATA_DIR/spool.

The submission server puts them (tracker/sending/receiving.py), the relay reads and removes them. A file has
its name only once the mail is on disk, in the file or in the journal (tracker/sending/journal.py): a 250
follows it, and a crash leaves whole mails or none. The first line of a file is the envelope as JSON;
everything after it is the mail.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import itertools
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from models.columns import from_micros, to_micros
from tracker.sending.journal import UNREADY, Journal, sync_directory, write_all
from tracker.settings import Settings

T = TypeVar("T")

LEAST_FREE = 64 * 1024 * 1024  # bytes of disk that stay free
LOOK_SECONDS = 1.0  # between two looks at it
THREADS = 8  # that many fsyncs at a time share one commit of the file system
SMALL = 512 * 1024  # bytes of a mail that goes through the journal
TOGETHER = 32  # mails that become safe in one step
QUIET_SECONDS = 2.0  # without a mail, after which files are made safe and the journal is emptied
_STALE = 3600.0  # seconds after which what is unready is what a crash left
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SpoolFullError(Exception):
    """There is no room for the mail; its sender tries again later."""


class SpoolFaultError(Exception):
    """The file is none that this spool wrote."""


@dataclass(frozen=True)
class Envelope:
    """Whose mail it is and where it goes. `sender` is empty for the null sender (read receipts).

    `network` and `device` say where it came from, as tracker/hits/facts.py does for hits.
    """

    account_id: int
    mailbox_id: int
    sender: str
    recipients: tuple[str, ...]
    arrived: dt.datetime
    network: str | None = None
    device: str | None = None


def lock_of(settings: Settings) -> Path:
    """The file that the relay of a DATA_DIR holds locked for as long as it works."""
    return settings.data_dir / "relay.lock"


class Spool:
    """The mails that wait in `directory`. Names sort by arrival."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._numbers = itertools.count()
        self._threads = ThreadPoolExecutor(THREADS, "spool")
        self._keeper = ThreadPoolExecutor(1, "spool-journal")
        self._journal = Journal(directory)
        self._waiting: list[tuple[Callable[[], tuple[Envelope, bytes]], asyncio.Future[str]]] = []
        self._keeping: asyncio.Task[None] | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._looked_at = float("-inf")
        self._free = 0
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal.recover()
        self._sweep()

    def _sweep(self) -> None:
        """Takes away what a crash left behind; another process may be writing what is younger."""
        for path in self.directory.glob(f"*{UNREADY}"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE:
                    path.unlink()

    def has_room(self, size: int = 0) -> bool:
        """Whether a mail of that many bytes fits on the disk, as it was within the last second."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._free = shutil.disk_usage(self.directory).free
        return self._free >= LEAST_FREE + size

    async def put(self, envelope: Envelope, content: bytes) -> str:
        """The mail's name, once it is on disk. Raises SpoolFullError, OSError."""
        if len(content) > SMALL:
            return await self.run(lambda: self.begin(envelope).finish(content))
        return await self.keep(lambda: (envelope, content))

    async def keep(self, make: Callable[[], tuple[Envelope, bytes]]) -> str:
        """The name of a small mail, once it is on disk with those that come at the same time.

        `make` is called in a thread. Raises what it raises, SpoolFullError, OSError.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        self._waiting.append((make, done))
        if self._keeping is None:
            self._keeping = loop.create_task(self._keep_waiting())
        return await done

    async def _keep_waiting(self) -> None:
        """Puts what queued up on disk, until nothing is left."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                results = await loop.run_in_executor(self._keeper, self._keep, [make for make, _ in some])
                for (_, done), result in zip(some, results, strict=True):
                    if done.done():
                        continue
                    done.set_result(result) if isinstance(result, str) else done.set_exception(result)
                if self._journal.is_full:
                    self._threads.submit(self._journal.settle)
        finally:
            self._keeping = None
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = loop.call_later(QUIET_SECONDS, self._threads.submit, self._journal.settle)

    def _keep(self, makes: Sequence[Callable[[], tuple[Envelope, bytes]]]) -> list[str | Exception]:
        """The mails' names, or what was wrong."""
        results: list[str | Exception] = []
        mails: list[tuple[str, bytes]] = []
        for make in makes:
            try:
                envelope, content = make()
                name = self._name(envelope)
                mails.append((name, _write_envelope(envelope) + content))
                results.append(name)
            except Exception as error:  # of this mail alone
                results.append(error)
        try:
            if mails:
                with _full_is_said():
                    self._journal.keep(mails)
        except (OSError, SpoolFullError) as error:
            return [error if isinstance(one, str) else one for one in results]
        return results

    def _name(self, envelope: Envelope) -> str:
        number = next(self._numbers) % 0x1000000
        return f"{to_micros(envelope.arrived):015x}-{number:06x}-{secrets.token_hex(4)}"

    async def run(self, work: Callable[[], T]) -> T:
        """Runs work on files off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def begin(self, envelope: Envelope) -> Unready:
        """A mail that is still coming in. Blocks; so do its methods. Raises SpoolFullError, OSError."""
        unready = Unready(self, self._name(envelope))
        unready.write(_write_envelope(envelope))
        return unready

    def names(self) -> list[str]:
        """What waits, oldest first."""
        return sorted(name for name in os.listdir(self.directory) if not name.startswith("."))  # noqa: PTH208, half the time

    def read(self, name: str) -> tuple[Envelope, bytes]:
        """A mail that waits. Raises FileNotFoundError, SpoolFaultError. Blocks."""
        head, line_end, content = (self.directory / name).read_bytes().partition(b"\n")
        if not line_end:
            raise SpoolFaultError(name)
        return _read_envelope(head, name), content

    def remove(self, name: str) -> None:
        """The mail need not be kept any more; one that is gone already is no fault."""
        (self.directory / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Ends the threads once what they hold is done."""
        if self._quiet is not None:
            self._quiet.cancel()
        self._keeper.shutdown()
        self._threads.shutdown()
        self._journal.close()


def envelopes(directory: Path) -> Iterator[tuple[str, Envelope]]:
    """The mails that wait in a spool, which need not be there, by their names. Blocks."""
    try:
        names = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    for name in names:
        with suppress(OSError, SpoolFaultError), (directory / name).open("rb") as file:
            yield name, _read_envelope(file.readline(), name)


def count_waiting(directory: Path) -> int:
    """How many mails wait in a spool, which need not be there. Blocks."""
    try:
        with os.scandir(directory) as entries:
            return sum(not one.name.startswith(".") for one in entries)
    except OSError:
        return 0


class Unready:
    """A file that has no name yet: `finish` gives it one, `discard` leaves nothing of it."""

    def __init__(self, spool: Spool, name: str) -> None:
        self._final = spool.directory / name
        self._path = spool.directory / f".{name}{UNREADY}"
        with _full_is_said():
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, piece: bytes) -> None:
        """Appends; nothing is left behind where that fails."""
        try:
            with _full_is_said():
                write_all(self._file, piece)
        except BaseException:
            self.discard()
            raise

    def finish(self, piece: bytes = b"") -> str:
        """Appends the last piece; the mail's name, once file and directory are on disk."""
        self.write(piece)
        try:
            with _full_is_said():
                os.fsync(self._file)
                self._path.rename(self._final)
        except BaseException:
            self.discard()
            raise
        self._close()
        try:
            sync_directory(self._final.parent)
        except BaseException:
            self._final.unlink(missing_ok=True)  # it is not said to be there, so it must not be
            raise
        return self._final.name

    def discard(self) -> None:
        """As if it had never been; also after a failure, and more than once."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


@contextmanager
def _full_is_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SpoolFullError from error
        raise


def _write_envelope(envelope: Envelope) -> bytes:
    fields = {**vars(envelope), "arrived": to_micros(envelope.arrived)}
    return json.dumps(fields).encode() + b"\n"


def _read_envelope(line: bytes, name: str) -> Envelope:
    try:
        fields = json.loads(line)
        fields["recipients"] = tuple(map(str, fields["recipients"]))
        fields["arrived"] = from_micros(fields["arrived"])
        return Envelope(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise SpoolFaultError(name) from error
