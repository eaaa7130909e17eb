"""The spool's journal: many small mails are safe with one write to the disk, where each file would take two.

Called by tracker/sending/spool.py. A mail is written to its file and, together with all that came at the same
time, to the journal; only the journal is waited for. Files are made safe later, when it is quiet, and the
journal is emptied. What a loss of power took of the files, the next start restores out of the journal.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import secrets
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MOST_BYTES = 32 * 1024 * 1024  # of one segment; a full one is settled while the next one is written
MOST_SPARE = 2
UNREADY = ".part"

_ENTRY = struct.Struct(">4sHII")  # magic, length of the name, of the mail, checksum of both
_MAGIC = b"MAIL"
_BOOT = Path("/proc/sys/kernel/random/boot_id")

log = logging.getLogger(__name__)


def write_all(file: int, data: bytes) -> None:
    """Writes to the end, however often the system takes only a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@dataclass
class _Segment:
    """A file of the journal, locked for as long as its process lives, and the mails that it answers for."""

    path: Path
    file: int
    size: int
    names: list[str] = field(default_factory=list)


class Journal:
    """The journal beside the spool's directory. All methods block; they may be called by several threads."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._directory = spool.with_name(f"{spool.name}.journal")
        self._writing = threading.Lock()
        self._settling = threading.Lock()
        self._active: _Segment | None = None
        self._full: list[_Segment] = []
        self._spare: list[_Segment] = []

    def keep(self, mails: Sequence[tuple[str, bytes]]) -> None:
        """Files of these names with these bytes, safe when it returns. Raises OSError: none is there."""
        with self._writing:
            try:
                for name, content in mails:
                    self._write_file(name, content)
                segment = self._append(mails)
                segment.names += [name for name, _ in mails]
                for name, _ in mails:
                    self._unready(name).rename(self._spool / name)
            except BaseException:
                for name, _ in mails:
                    self._unready(name).unlink(missing_ok=True)
                raise

    @property
    def is_full(self) -> bool:
        """Whether there is a segment that waits to be settled."""
        return bool(self._full)

    def _unready(self, name: str) -> Path:
        return self._spool / f".{name}{UNREADY}"

    def _write_file(self, name: str, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(self._unready(name), flags, 0o600)
        try:
            write_all(file, content)
        finally:
            os.close(file)

    def _append(self, mails: Sequence[tuple[str, bytes]]) -> _Segment:
        segment = self._active = self._active or self._open()
        data = b"".join(_entry(name.encode(), content) for name, content in mails)
        try:
            write_all(segment.file, data)
            os.fsync(segment.file)
        except BaseException:
            self._active = None  # what is in it now nobody knows: it answers for what it answered for before
            self._full.append(segment)
            with suppress(OSError):
                os.ftruncate(segment.file, segment.size)
            raise
        segment.size += len(data)
        if segment.size >= MOST_BYTES:
            self._active = None
            self._full.append(segment)
        return segment

    def _open(self) -> _Segment:
        """A segment with nothing in it."""
        if self._spare:
            return self._spare.pop()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / secrets.token_hex(8)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = _begin(file)
            sync_directory(self._directory)
        except BaseException:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        return _Segment(path, file, size)

    def settle(self) -> None:
        """Makes the files safe that are still there, and empties the journal. What fails comes again."""
        with self._settling:
            with self._writing:
                if self._active is not None and self._active.names:
                    self._full.append(self._active)
                    self._active = None
                full = list(self._full)
            for segment in full:
                try:
                    sync_files(self._spool, segment.names)
                    os.ftruncate(segment.file, 0)
                    size = _begin(segment.file)
                except OSError:
                    log.exception("the spool's journal is kept: its mails are not safe without it yet")
                    return
                with self._writing:
                    self._full.remove(segment)
                    segment.names, segment.size = [], size
                    if len(self._spare) < MOST_SPARE:
                        self._spare.append(segment)
                    else:
                        _drop(segment)

    def close(self) -> None:
        """Leaves no journal behind, but for mails that are not safe without it."""
        self.settle()
        with self._writing:
            for segment in [*self._spare, *([self._active] if self._active else [])]:
                _drop(segment)
            self._spare, self._active = [], None
        with suppress(OSError):
            self._directory.rmdir()

    def recover(self) -> None:
        """Restores what journals of processes that are gone answer for; those of living ones are theirs."""
        with suppress(FileNotFoundError):
            for path in sorted(self._directory.iterdir()):
                file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._recover(file)
                    path.unlink(missing_ok=True)
                os.close(file)

    def _recover(self, file: int) -> None:
        """Only a loss of power takes of a file what was in it. What the relay is done with, it knows."""
        with os.fdopen(os.dup(file), "rb") as journal:
            boot = journal.readline().strip()
            mails = dict(_entries(journal.read()))
        if not boot or boot != _boot():
            for name, content in mails.items():
                self._unready(name).unlink(missing_ok=True)
                self._write_file(name, content)
                self._unready(name).rename(self._spool / name)
        sync_files(self._spool, list(mails))


def sync_files(directory: Path, names: Sequence[str]) -> None:
    """Waits until the files that are still there are on disk. Raises OSError."""
    for begins, name in itertools.product((True, False), names):
        try:
            file = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if begins:  # to write all of them, so that they share what the file system does for one
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                os.fsync(file)
        finally:
            os.close(file)
    sync_directory(directory)


def _begin(file: int) -> int:
    head = _boot() + b"\n"
    write_all(file, head)
    return len(head)


def _boot() -> bytes:
    """What differs after the machine has started anew; empty where it cannot be known."""
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""


def _drop(segment: _Segment) -> None:
    segment.path.unlink(missing_ok=True)
    os.close(segment.file)


def _entry(name: bytes, content: bytes) -> bytes:
    return (
        _ENTRY.pack(_MAGIC, len(name), len(content), zlib.crc32(content, zlib.crc32(name))) + name + content
    )


def _entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The mails of a journal up to where it breaks off: nobody was told that those after it are safe."""
    at = 0
    while len(head := data[at : at + _ENTRY.size]) == _ENTRY.size:
        magic, for_name, for_content, checksum = _ENTRY.unpack(head)
        at += _ENTRY.size
        name, content = data[at : at + for_name], data[at + for_name : at + for_name + for_content]
        at += for_name + for_content
        if (
            magic != _MAGIC
            or len(content) != for_content
            or zlib.crc32(content, zlib.crc32(name)) != checksum
        ):
            return
        yield name.decode(), content
