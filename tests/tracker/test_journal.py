"""The spool's journal: what was said to be on disk is there after a loss of power, and nothing else is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tracker.sending import journal as journal_module
from tracker.sending.journal import Journal

MAILS = [("1", b"one" * 1000), ("2", b""), ("3", b"\0\r\n\xff")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "spool"
    made.mkdir()
    return made


@pytest.fixture
def restart(monkeypatch: pytest.MonkeyPatch):
    """Lets the process that kept mails be gone, and perhaps the power; then another one begins."""

    def begin(journal: Journal, folder: Path, *, power_lost: bool = False) -> None:
        if power_lost:
            for path in folder.iterdir():  # a file system keeps names longer than contents
                path.write_bytes(b"")
            monkeypatch.setattr(journal_module, "_boot", lambda: b"another")
        for segment in [journal._active, *journal._full, *journal._spare]:
            if segment is not None:
                os.close(segment.file)
        Journal(folder).recover()

    return begin


def found(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def journals(folder: Path) -> list[Path]:
    beside = folder.with_name("spool.journal")
    return list(beside.iterdir()) if beside.exists() else []


def test_a_loss_of_power_takes_nothing(folder: Path, restart):
    journal = Journal(folder)
    for mail in MAILS:
        journal.keep([mail])
    restart(journal, folder, power_lost=True)
    assert (found(folder), journals(folder)) == (dict(MAILS), [])


def test_a_process_that_dies_brings_nothing_back_that_was_sent(folder: Path, restart):
    journal = Journal(folder)
    journal.keep(MAILS)
    (folder / "1").unlink()
    restart(journal, folder)
    assert (found(folder), journals(folder)) == (dict(MAILS[1:]), [])


@pytest.mark.parametrize("cut", [1, 4, 20])
def test_a_mail_that_was_not_written_to_its_end_was_never_taken(folder: Path, restart, cut: int):
    journal = Journal(folder)
    journal.keep(MAILS[:2])
    journal.keep([("4", b"x" * 10)])
    (path,) = journals(folder)
    os.truncate(path, path.stat().st_size - cut)
    (folder / "4").unlink()
    restart(journal, folder, power_lost=True)
    assert found(folder) == dict(MAILS[:2])


def test_what_is_settled_is_never_restored(folder: Path, restart):
    journal = Journal(folder)
    journal.keep(MAILS[:1])
    journal.settle()
    (folder / "1").unlink()
    journal.keep(MAILS[1:])
    restart(journal, folder, power_lost=True)
    assert found(folder) == dict(MAILS[1:])


def test_what_cannot_be_made_safe_stays_in_the_journal(folder: Path, restart, monkeypatch, caplog):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "no")

    journal = Journal(folder)
    journal.keep(MAILS)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        journal.settle()
    assert "not safe" in caplog.text
    restart(journal, folder, power_lost=True)
    assert found(folder) == dict(MAILS)


def test_a_mail_that_did_not_get_on_disk_is_not_restored(folder: Path, restart, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "no")

    journal = Journal(folder)
    journal.keep(MAILS[:1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no"):
            journal.keep(MAILS[1:])
    assert found(folder) == dict(MAILS[:1])
    journal.keep([("4", b"four")])
    restart(journal, folder, power_lost=True)
    assert found(folder) == {**dict(MAILS[:1]), "4": b"four"}


def test_the_journal_of_a_living_process_is_left_alone(folder: Path):
    journal = Journal(folder)
    journal.keep(MAILS)
    Journal(folder).recover()
    assert len(journals(folder)) == 1
    journal.close()
    assert (found(folder), journals(folder)) == (dict(MAILS), [])


def test_a_full_journal_is_settled_while_the_next_one_is_written(folder: Path, restart, monkeypatch):
    monkeypatch.setattr(journal_module, "MOST_BYTES", 1000)
    journal = Journal(folder)
    for mail in MAILS:
        journal.keep([mail])
    assert journal.is_full
    journal.settle()
    assert not journal.is_full
    restart(journal, folder, power_lost=False)
    assert found(folder) == dict(MAILS)
