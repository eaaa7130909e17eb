"""One file of the journal: hits framed with length and checksum, in space that was taken beforehand.

Layout: two header slots (the newer valid one counts), then from byte 4096 on frames of length, CRC-32 and
JSON. A new generation makes all frames before it invalid, so that a drained file is emptied by one small
write; a torn last frame fails its checksum and ends the reading. Blocking: journal.py calls it in a thread.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from models.writer import RawHit

SUFFIX = ".journal"
RESERVE = 4 * 1024 * 1024  # bytes taken at the start: about 12,000 hits that a full disk still takes
_DATA = 4096
_ZEROS = bytes(256 * 1024)
_HEADER = struct.Struct("<4sQQI")
_FRAME = struct.Struct("<II")
_MAGIC = b"mbj1"
_LONGEST = 64 * 1024
_FIELDS = len(RawHit._fields)


class JournalFile:
    """An open, locked file. `end` and `drained` are byte offsets."""

    def __init__(self, path: Path, descriptor: int, generation: int, drained: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._generation = generation
        self.drained = drained
        self.end = drained
        self._slot = 0

    @classmethod
    def create(cls, directory: Path, reserve: int = RESERVE) -> JournalFile:
        """A new file with its reserve written out, so that later writes need no free space."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        unready = path.with_suffix(".new")
        descriptor = os.open(unready, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for offset in range(0, reserve, len(_ZEROS)):
                _write(descriptor, _ZEROS, offset)
            file = cls(path, descriptor, 1, _DATA)
            file._write_header()
            os.fsync(descriptor)
            unready.rename(path)  # only now others may take it for a dead process's: it is locked
            _sync_directory(directory)
        except BaseException:
            unready.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return file

    @classmethod
    def take_over(cls, path: Path) -> JournalFile | None:
        """The file of a process that is gone; None where the process lives or there is nothing to take."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        header = _read_header(descriptor)
        if header is None or os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            return None
        file = cls(path, descriptor, *header)
        for offset, _ in _frames(descriptor, file._generation, file.drained):
            file.end = offset
        return file

    @staticmethod
    def sweep(directory: Path) -> None:
        """Removes what a process left that died before its file was ready."""
        for path in directory.glob("*.new"):
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def append(self, hits: Sequence[RawHit]) -> None:
        """Adds the hits and syncs; OSError when they are not on the disk, and then the file is as before."""
        seed = crc32(self._generation.to_bytes(8, "little"))
        frames = []
        for hit in hits:
            payload = json.dumps(hit, separators=(",", ":")).encode()
            frames.append(_FRAME.pack(len(payload), crc32(payload, seed)) + payload)
        block = b"".join(frames)
        _write(self._descriptor, block, self.end)
        os.fdatasync(self._descriptor)
        self.end += len(block)

    def read(self, limit: int) -> tuple[list[RawHit], int]:
        """Up to `limit` hits that are not drained, and the offset behind them."""
        hits: list[RawHit] = []
        offset = self.drained
        for after, hit in _frames(self._descriptor, self._generation, offset, self.end):
            hits.append(hit)
            offset = after
            if len(hits) >= limit:
                break
        return hits, offset

    def advance(self, offset: int) -> None:
        """Everything before `offset` is in the database. An emptied file begins anew, and holds no token."""
        self.drained = offset
        if offset >= self.end:
            self._wipe(min(self.end, RESERVE))
            self._generation += 1
            self.drained = self.end = _DATA
            if os.fstat(self._descriptor).st_size > RESERVE:
                os.ftruncate(self._descriptor, RESERVE)
        self._write_header()

    def close(self, *, remove: bool = False) -> None:
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _wipe(self, end: int) -> None:
        """Writes zeros over what was drained: whoever is forgotten must not be found here."""
        for offset in range(_DATA, end, len(_ZEROS)):
            _write(self._descriptor, _ZEROS[: end - offset], offset)

    def _write_header(self) -> None:
        # Unsynced, in turns: a lost header means a second replay, which the hits' uids make harmless.
        body = _HEADER.pack(_MAGIC, self._generation, self.drained, 0)[:-4]
        self._slot ^= 512
        _write(self._descriptor, body + struct.pack("<I", crc32(body)), self._slot)


def read_file(path: Path) -> Iterator[RawHit]:
    """The undrained hits of a file that another process may be writing to; takes no lock, changes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        header = _read_header(descriptor)
        if header is not None:
            for _, hit in _frames(descriptor, *header):
                yield hit
    finally:
        os.close(descriptor)


def _frames(
    descriptor: int, generation: int, offset: int, end: int | None = None
) -> Iterator[tuple[int, RawHit]]:
    seed = crc32(generation.to_bytes(8, "little"))
    while end is None or offset < end:
        head = os.pread(descriptor, _FRAME.size, offset)
        if len(head) < _FRAME.size:
            return
        length, checksum = _FRAME.unpack(head)
        payload = os.pread(descriptor, length, offset + _FRAME.size) if 0 < length <= _LONGEST else b""
        if not payload or len(payload) < length or crc32(payload, seed) != checksum:
            return
        offset += _FRAME.size + length
        yield offset, RawHit(*json.loads(payload)[:_FIELDS])


def _read_header(descriptor: int) -> tuple[int, int] | None:
    """Generation and drained offset of the newer valid slot."""
    found = []
    for slot in (0, 512):
        raw = os.pread(descriptor, _HEADER.size, slot)
        if len(raw) == _HEADER.size and crc32(raw[:-4]) == int.from_bytes(raw[-4:], "little"):
            magic, generation, drained, _ = _HEADER.unpack(raw)
            if magic == _MAGIC:
                found.append((generation, drained))
    return max(found, default=None)


def _write(descriptor: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, offset)
        if written == 0:
            raise OSError(errno.ENOSPC, "nothing could be written")
        view, offset = view[written:], offset + written


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
