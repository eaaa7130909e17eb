"""The watcher of mailboxes survives what networks, servers and people do, and misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email.utils
import signal
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from models import Alert, Captured, Mailbox
from models.database import DatabaseURL
from tests.fakes.chat import FakeChat
from tests.flows.conftest import Line
from tests.flows.office import HOME, ID, Office, Wire, open_office, until, watching
from tests.processes.mailbell import mailbell
from tests.servers.dovecot import PASSWORD, Dovecot, dovecot
from tracker.replies import session, watch, watcher, wire
from tracker.replies.watched import BELL, set_watching
from tracker.sending import upstream
from tracker.sending.credentials import encrypt
from tracker.settings import load


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(watcher, "LONGEST_PAUSE", 0.2)


async def test_the_watcher_survives_a_connection_that_is_dropped(office: Office):
    async with Wire(office.imap.port).stretched() as line, watching(office):
        await Mailbox.all().update(imap_port=line.port)
        await office.watch()
        for number in range(3):
            line.cut()
            office.imap.deliver(HOME, office.answer(number))
            await office.rung("reply", number + 1)
    assert line.opened >= 4
    assert not await Alert.filter(event="notice").exists()


async def test_the_watcher_notices_a_server_that_says_nothing_any_more(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watch, "IDLE_SECONDS", 0.5)
    for module in (wire, session):
        monkeypatch.setattr(module, "COMMAND_SECONDS", 0.5)
    async with Wire(office.imap.port).stretched() as line, watching(office):
        await Mailbox.all().update(imap_port=line.port)
        await office.watch()
        line.silent = True
        opened = line.opened
        await office.bell.until(lambda: line.opened > opened)
        line.silent = False
        office.imap.deliver(HOME, office.answer())
        await office.rung("reply")


async def test_the_watcher_survives_a_restart_of_the_server_and_misses_nothing(office: Office):
    async with watching(office):
        await office.watch()
        await office.imap.stop()
        office.imap.deliver(HOME, office.answer())
        await until(lambda: Mailbox.filter(imap_failure__not_isnull=True).exists())
        await office.imap.start()
        await office.rung("reply")
        await until(lambda: Mailbox.filter(imap_failure__isnull=True).exists())
    assert not await Alert.filter(event="notice").exists()


async def test_what_came_while_no_process_ran_is_found(office: Office):
    async with watching(office):
        await office.watch()
    office.imap.deliver(HOME, office.answer())
    async with watching(office):
        await office.rung("reply")


async def test_what_came_while_the_mailbox_was_numbered_anew_is_found(office: Office):
    async with watching(office):
        await office.watch()
    # The server stamps arrivals with the real clock, while the mailbox was last seen by the test's.
    await Mailbox.all().update(imap_seen_at=dt.datetime.now(dt.UTC))
    before = (await Mailbox.get()).imap_validity
    office.imap.deliver(HOME, office.answer())
    await Mailbox.all().update(imap_validity=(before or 0) - 1, imap_next=500)
    async with watching(office):
        await office.rung("reply")
        await until(lambda: Mailbox.filter(imap_validity=before, imap_next=2).exists())


async def test_a_wrong_password_is_told_once_with_what_to_do(office: Office):
    office.imap.add_user(HOME, "changed")
    async with watching(office):
        assert await set_watching(office.bell.services, office.alice, HOME, True)
        (alert,) = await office.rung("notice")
        assert "Type connect to connect it again" in alert.facts["text"]
        assert PASSWORD not in alert.facts["text"]
        assert "Authentication failed" in alert.facts["text"]
        tries = office.imap.said.count("auth failed")
        for _ in range(10):
            office.bell.services.wake.ring(BELL)
            await asyncio.sleep(0.05)
        assert office.imap.said.count("auth failed") == tries
        # Connected anew, it is watched again.
        changed = encrypt(office.bell.services, "changed")
        await Mailbox.all().update(secret=changed, imap_failed_at=None, imap_failure=None, imap_told_at=None)
        office.bell.services.wake.ring(BELL)
        await office.watched()
        office.imap.deliver(HOME, office.answer())
        await office.rung("reply")
    assert await Alert.filter(event="notice").count() == 1


async def test_a_password_that_is_changed_while_it_is_watched_is_told_at_the_next_login(office: Office):
    async with watching(office):
        await office.watch()
        office.imap.add_user(HOME, "changed")
        await office.imap.stop()
        await office.imap.start()
        await office.rung("notice")
    assert (await Mailbox.get()).imap_failed_at


async def test_a_mailbox_that_is_switched_off_is_left_alone(office: Office):
    async with watching(office) as made:
        await office.watch()
        assert await set_watching(office.bell.services, office.alice, HOME, False)
        await office.bell.until(lambda: not made._watched)
        office.imap.deliver(HOME, office.answer())
        assert not await Captured.exists()
        await office.watch()  # what came meanwhile is none of our business
        office.imap.deliver(HOME, office.answer(2))
        await office.rung("reply")
    assert await Captured.all().count() == 1


async def test_two_workers_watch_a_mailbox_once(office: Office):
    async with Wire(office.imap.port).stretched() as line, watching(office), watching(office):
        await Mailbox.all().update(imap_port=line.port)
        await office.watch()
        for _ in range(5):
            office.bell.services.wake.ring(BELL)
            await asyncio.sleep(0.05)
        assert line.opened == 1
        office.imap.deliver(HOME, office.answer())
        await office.rung("reply")


async def test_the_lease_of_a_worker_that_died_is_taken_over(office: Office):
    later = office.bell.clock() + dt.timedelta(seconds=30)
    await Mailbox.all().update(imap_on=True, leased_by="gone", leased_until=later)
    async with watching(office) as made:
        office.bell.services.wake.ring(BELL)
        await asyncio.sleep(0.2)
        assert not made._watched
        office.bell.clock.advance(seconds=31)
        office.bell.services.wake.ring(BELL)
        await office.watched()


async def test_several_mailboxes_are_watched_at_once(office: Office):
    others = [f"alice{number}@home.example" for number in range(8)]
    for address in others:
        office.imap.add_user(address)
        row = await Mailbox.get(address=HOME)
        row.id, row._saved_in_db, row.address, row.username = None, False, address, address  # type: ignore[assignment]
        await row.save(force_create=True)
    async with watching(office) as made:
        await Mailbox.all().update(imap_on=True)
        office.bell.services.wake.ring(BELL)
        await until(lambda: Mailbox.filter(imap_next__not_isnull=True).count(), 9)
        assert len(made._watched) == 9
        for number, address in enumerate(others):
            office.imap.deliver(address, office.answer(number))
        await office.rung("reply", 8)


async def test_where_more_are_to_be_watched_than_can_be_they_take_turns(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watcher, "MOST_WATCHED", 1)
    monkeypatch.setattr(watcher, "TURN_SECONDS", 0.2)
    monkeypatch.setattr(watcher, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watch, "IDLE_SECONDS", 0.2)
    office.imap.add_user("bob@home.example")
    row = await Mailbox.get(address=HOME)
    row.id, row._saved_in_db, row.address, row.username = None, False, "bob@home.example", "bob@home.example"  # type: ignore[assignment]
    await row.save(force_create=True)
    async with watching(office):
        await Mailbox.all().update(imap_on=True)
        office.bell.services.wake.ring(BELL)
        await until(lambda: Mailbox.filter(imap_next__not_isnull=True).count(), 2)
        for number, address in enumerate((HOME, "bob@home.example")):
            office.imap.deliver(address, office.answer(number))
        await office.rung("reply", 2)


async def test_a_server_that_says_that_it_is_still_there_tells_nothing_new(
    line: Line, sqlite_database: DatabaseURL, monkeypatch: pytest.MonkeyPatch
):
    async with dovecot(HOME, notify="1 s") as server:
        trusting = server.certificates.for_client()
        monkeypatch.setattr(upstream, "tls_context", lambda: trusting)
        async with open_office(line, sqlite_database, server) as office, watching(office):
            searched: list[int] = []
            real = session.Session.find_new
            monkeypatch.setattr(
                session.Session, "find_new", lambda self, uid: searched.append(uid) or real(self, uid)
            )
            await office.watch()
            await asyncio.sleep(2.5)  # in which it says so twice
            assert len(searched) == 1
            server.deliver(HOME, office.answer())
            await office.rung("reply")


async def test_a_server_without_idle_is_asked_from_time_to_time(
    line: Line, sqlite_database: DatabaseURL, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.2)
    async with dovecot(HOME, idle=False) as server:
        trusting = server.certificates.for_client()
        monkeypatch.setattr(upstream, "tls_context", lambda: trusting)
        async with line(sqlite_database, lambda *_: FakeChat(), ALLOW_PRIVATE_UPSTREAM="true") as bell:
            office = Office(bell, server)
            await office.open()
            async with watching(office):
                await office.watch()
                office.imap.deliver(HOME, office.answer())
                await office.rung("reply")


async def test_a_server_that_never_answers_holds_up_no_end(office: Office):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        await Mailbox.all().update(imap_port=deaf.getsockname()[1], imap_on=True)
        async with watching(office) as made:  # which says itself that it ends in time
            await office.bell.until(lambda: made._watched)


def _in_file(folder: Path, sql: str, *values: object) -> Any:
    """One statement on the file of a running process; the first column of what it found."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "mailbell.db", timeout=20)) as file, file:
        row = file.execute(sql, values).fetchone()
    return row and row[0]


def _connect(folder: Path, port: int) -> None:
    """A watched mailbox for whoever has an account, and a mail that left a minute ago."""
    key = (folder / "data" / "secret_key").read_text().strip()
    secret = encrypt(load({"SECRET_KEY": key, "DATA_DIR": str(folder / "data")}, folder), PASSWORD)
    sent = int(time.time() * 1e6) - 60_000_000
    _in_file(folder, "UPDATE message SET message_id_header = ?, sent_at = ?, created_at = ?", ID, sent, sent)
    _in_file(
        folder,
        "INSERT INTO mailbox (account_id, address, provider, username, secret, created_at, smtp_host, "
        "smtp_port, smtp_security, imap_on, imap_host, imap_port, imap_security) "
        "SELECT id, ?, 'other', ?, ?, 0, 'x', 1, 'tls', 1, 'localhost', ?, 'tls' FROM account",
        HOME, HOME, secret, port,
    )  # fmt: skip


async def test_a_process_that_is_killed_misses_nothing_and_one_that_is_told_to_ends_in_time(
    tmp_path: Path, imap: Dovecot
):
    given = {"ALLOW_PRIVATE_UPSTREAM": "true", "SSL_CERT_FILE": str(imap.certificates.authority)}
    async with mailbell(tmp_path, "--json", **given) as bell:
        await bell.say("track ana@acme.com Q3 proposal")
        await bell.wait_for(lambda line: line["kind"] == "reply")
        await bell.end(signal.SIGKILL)
    _connect(tmp_path, imap.port_tls)
    async with mailbell(tmp_path, "--json", **given) as bell:
        async with asyncio.timeout(60):
            while not _in_file(tmp_path, "SELECT imap_next FROM mailbox"):
                await asyncio.sleep(0.1)
        await bell.end(signal.SIGKILL)
    date = email.utils.formatdate(time.time())
    imap.deliver(
        HOME, f"From: ana@acme.com\nMessage-ID: <1@acme.com>\nDate: {date}\nIn-Reply-To: <{ID}>\n\nYes\n"
    )
    _in_file(tmp_path, "UPDATE mailbox SET leased_until = 0")  # as after a minute
    async with mailbell(tmp_path, "--json", **given) as bell:
        ring = await bell.wait_for(lambda line: line.get("event") == "reply", 60)
        assert ring["recipient"] == "ana@acme.com"
        begin = time.monotonic()
        assert await bell.end() == 0
        assert time.monotonic() - begin < 15  # seconds, on a machine that does much else
    assert not any("ana@acme.com" in line or HOME in line for line in bell.errors)
