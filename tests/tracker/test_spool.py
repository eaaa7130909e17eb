"""The spool: what it says is there is on disk, whole, and nothing is left of what is not."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Clock
from tracker.sending import spool as spool_module
from tracker.sending.spool import SMALL, Envelope, Spool, SpoolFaultError, SpoolFullError


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def envelope(clock: Clock, **more: object) -> Envelope:
    given = {"sender": "alice@home.example", "recipients": ("ana@acme.com",), "arrived": clock(), **more}
    return Envelope(account_id=1, mailbox_id=2, **given)  # type: ignore[arg-type]


async def test_what_is_put_is_read_as_it_was(spool: Spool, clock: Clock):
    given = envelope(
        clock, recipients=("ana@acme.com", "jürgen@bücher.example"), network="10.0.0.0/24", device="d" * 32
    )
    content = b"\n\0\r\n{}\xff" * 1000
    name = await spool.put(given, content)
    assert spool.read(name) == (given, content)
    assert len(name) <= 64


async def test_names_come_oldest_first(spool: Spool, clock: Clock):
    names = []
    for _ in range(20):
        names.append(await spool.put(envelope(clock), b"x"))
        if len(names) % 3 == 0:
            clock.advance(hours=1)
    assert spool.names() == names
    assert Spool(spool.directory).names() == names


async def test_many_at_a_time_are_all_there(spool: Spool, clock: Clock):
    names = await asyncio.gather(*(spool.put(envelope(clock), b"%d" % number) for number in range(50)))
    assert sorted(names) == spool.names()
    assert {spool.read(name)[1] for name in names} == {b"%d" % number for number in range(50)}


async def test_what_is_removed_is_gone_and_may_be_removed_again(spool: Spool, clock: Clock):
    name = await spool.put(envelope(clock), b"x")
    spool.remove(name)
    spool.remove(name)
    assert spool.names() == []
    with pytest.raises(FileNotFoundError):
        spool.read(name)


async def test_a_mail_has_its_name_only_when_it_is_on_disk(spool: Spool, clock: Clock, monkeypatch):
    seen: list[tuple[str, list[str]]] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        kind = "directory" if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir() else "file"
        seen.append((kind, spool.names()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    small = await spool.put(envelope(clock), b"x")
    assert seen == [("directory", []), ("file", [])]  # both of the journal
    seen.clear()
    large = await spool.put(envelope(clock), b"x" * 2 * SMALL)
    assert seen == [("file", [small]), ("directory", [small, large])]


async def test_mails_that_come_together_are_on_disk_in_few_steps(spool: Spool, clock: Clock, monkeypatch):
    steps: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append(file), real(file)))
    names = await asyncio.gather(*(spool.put(envelope(clock), b"x") for _ in range(30)))
    assert (len(steps), spool.names()) == (2, sorted(names))


@pytest.mark.parametrize("failing", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
async def test_a_failing_disk_leaves_nothing_behind(
    spool: Spool, clock: Clock, monkeypatch, failing: str, number: int
):
    def fail(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(SpoolFullError if number == errno.ENOSPC else OSError):
        await spool.put(envelope(clock), b"x")
    assert list(spool.directory.iterdir()) == []
    monkeypatch.undo()
    await spool.put(envelope(clock), b"x")


@pytest.mark.parametrize("size", [1, 2 * SMALL])
async def test_a_directory_that_cannot_be_made_safe_takes_the_mail_back(
    spool: Spool, clock: Clock, monkeypatch, size: int
):
    real = os.fsync

    def fail(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(errno.EIO, "no")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no"):
        await spool.put(envelope(clock), b"x" * size)
    assert list(spool.directory.iterdir()) == []


async def test_what_a_crash_left_is_swept_but_not_what_is_being_written(spool: Spool, clock: Clock):
    unready = spool.begin(envelope(clock))
    old = spool.begin(envelope(clock))
    (path,) = [one for one in spool.directory.iterdir() if old._path == one]
    long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=2)).timestamp()
    os.utime(path, (long_ago, long_ago))
    assert Spool(spool.directory).names() == []
    assert not path.exists()
    old.discard()
    name = unready.finish(b"x")
    assert spool.names() == [name]


async def test_nobody_else_may_read_what_waits(spool: Spool, clock: Clock):
    name = await spool.put(envelope(clock), b"x")
    assert spool.directory.stat().st_mode & 0o777 == 0o700
    assert (spool.directory / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"x", b"{}\n", b"[]\nx", b'{"account_id": 1}\nx', b"\xff\nx"])
async def test_a_file_of_somebody_else_is_no_mail(spool: Spool, content: bytes):
    (spool.directory / "0-0-0").write_bytes(content)
    with pytest.raises(SpoolFaultError):
        spool.read("0-0-0")


async def test_room_is_what_is_left_above_the_reserve(spool: Spool, monkeypatch):
    assert spool.has_room()
    assert not spool.has_room(1 << 62)
    monkeypatch.setattr(spool_module, "LEAST_FREE", 1 << 62)
    assert not spool.has_room()
