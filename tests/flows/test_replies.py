"""Replies seen in a real mailbox and through the capture address, from the mail that was sent to its card."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email.utils
import signal
import smtplib
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.chat import Kind
from models import Account, Alert, Captured, Link, Mailbox, Message, OwnAddress, Recipient, Reminder
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.fakes.chat import FakeChat
from tests.flows.conftest import Bell, Line
from tests.processes.mailbell import free_port, mailbell
from tests.servers.dovecot import PASSWORD, Dovecot, dovecot
from tests.tracker.returned_mails import AWAY, BOUNCES, DELAYS
from tracker.mail.addresses import capture_addresses
from tracker.mail.smtp import capture_mail
from tracker.mail.tracked import pixel_url
from tracker.reminders.firing import fire_due
from tracker.replies import session, watch, watcher, wire
from tracker.replies.watched import BELL, check_imap, set_watching
from tracker.replies.watcher import Watcher
from tracker.sending import upstream
from tracker.sending.credentials import Credentials, Server, encrypt
from tracker.sending.upstream import CertificateError, LaterError, LoginError
from tracker.settings import load

HOME = "alice@home.example"
ID = "q3@home.example"


class Office:
    """Alice with her chat, her mailbox at a real server, and a mail of hers to Ana."""

    def __init__(self, bell: Bell, imap: Dovecot) -> None:
        self.bell = bell
        self.imap = imap
        self.chat: FakeChat = bell.chat  # type: ignore[assignment]
        self.alice: Account
        self.mailbox: Mailbox
        self.mail: Message

    async def open(self, **more: Any) -> None:
        now = self.bell.clock()
        self.alice = await builders.account("alice", now, owner=True)
        await builders.destination(self.alice, "fake", "1")
        await OwnAddress.create(account_id=self.alice.id, address=HOME, created_at=now)
        given = {
            "provider": "other", "username": HOME, "secret": encrypt(self.bell.services, PASSWORD),
            "smtp_host": "localhost", "smtp_port": 1, "smtp_security": "tls", "imap_host": "localhost",
            "imap_port": self.imap.port, "imap_security": "starttls", "created_at": now, **more,
        }  # fmt: skip
        self.mailbox = await Mailbox.create(account_id=self.alice.id, address=HOME, **given)
        self.mail = await builders.mail(self.alice, now, message_id_header=ID, sent_at=now, from_address=HOME)

    async def watch(self) -> None:
        """Switches the watching on, and waits until somebody is there."""
        assert await set_watching(self.bell.services, self.alice, HOME, True)
        await self.watched()

    async def watched(self) -> None:
        """Until the watcher is logged in and waits."""
        seen = self.bell.clock()
        await until(lambda: Mailbox.filter(id=self.mailbox.id, imap_seen_at__gte=seen).exists())

    def answer(self, number: int = 1, sender: str = "Ana <ana@acme.com>", **headers: str) -> str:
        more = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
        date = self.bell.clock().strftime("%a, %d %b %Y %H:%M:%S +0000")
        return (
            f"From: {sender}\nTo: {HOME}\nSubject: Re: Q3 proposal\nMessage-ID: <{number}@acme.com>\n"
            f"Date: {date}\nIn-Reply-To: <{ID}>\n{more}\nGladly!\n"
        )

    async def rung(self, event: str, count: int = 1) -> list[Alert]:
        await until(lambda: Alert.filter(event=event, state="sent").count(), count)
        return await Alert.filter(event=event)

    async def card(self, part: str) -> str:
        """The card once it shows `part`."""

        def shown() -> str | None:
            self.bell.pass_time(seconds=1)  # a card is edited every few seconds at the most
            texts = [one.shown.text for one in self.chat.posted if one.reply.kind is Kind.CARD]
            return next((text for text in texts if part in text), None)

        try:
            return str(await self.bell.until(shown))
        except TimeoutError:
            raise AssertionError([one.shown.text for one in self.chat.posted]) from None


async def until(holds: Callable[[], Any], wanted: object = None, seconds: float = 20) -> None:
    """Waits for a row to be so."""
    async with asyncio.timeout(seconds):
        while not (found := await holds()) or (wanted is not None and found != wanted):
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(watcher, "LONGEST_PAUSE", 0.2)


@pytest.fixture
async def imap(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dovecot]:
    async with dovecot(HOME) as running:
        trusting = running.certificates.for_client()
        monkeypatch.setattr(upstream, "tls_context", lambda: trusting)
        yield running


@pytest.fixture
async def office(line: Line, sqlite_database: DatabaseURL, imap: Dovecot) -> AsyncIterator[Office]:
    async with line(
        sqlite_database, lambda *_: FakeChat(), ALLOW_PRIVATE_UPSTREAM="true", CAPTURE_PORT=str(free_port())
    ) as bell:
        found = Office(bell, imap)
        await found.open()
        yield found


@asynccontextmanager
async def watching(office: Office) -> AsyncIterator[Watcher]:
    """A worker that watches mailboxes; it must end within seconds."""
    made = Watcher(office.bell.services)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        async with asyncio.timeout(5):
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def read_thrice(office: Office) -> None:
    """Ana opens the mail three times, on three days."""
    pixel = pixel_url(office.bell.services, await Link.get(message_id=office.mail.id, kind="open"))
    for number in range(3):
        office.bell.pass_time(hours=17)
        await office.bell.read(pixel)
        await office.rung("open", number + 1)


async def order(office: Office) -> None:
    now = office.bell.clock()
    for kind, days in (("noreply", 3), ("open", 4)):
        await Reminder.create(
            account_id=office.alice.id, message_id=office.mail.id, kind=kind, created_at=now,
            due_at=now + dt.timedelta(days=days),
        )  # fmt: skip


async def check_story(office: Office) -> None:
    """The mail is answered; nothing comes back to it."""
    (alert,) = await office.rung("reply")
    assert not alert.facts.get("guessed")
    assert 'ana@acme.com replied to "Q3 proposal"' in office.chat.texts()
    card = await office.card("replied after 2 d 3 h")
    assert "ana@acme.com: sent · opened ×3 · replied after 2 d 3 h" in card
    assert [one.ended_because for one in await Reminder.all()] == ["reply", "reply"]
    office.bell.pass_time(days=10)
    assert await fire_due(office.bell.services) == 0
    assert not await Alert.filter(event="reminder").exists()


async def test_a_mail_is_sent_opened_thrice_and_answered_as_the_mailbox_shows(office: Office):
    office.imap.deliver(HOME, office.answer(99, "Bob <bob@x.example>"))  # from before it was watched
    async with watching(office):
        await order(office)
        await office.watch()
        await read_thrice(office)
        office.imap.deliver(HOME, "From: news@x.example\nSubject: Offers\nMessage-ID: <5@x>\n\nBuy\n")
        office.imap.deliver(HOME, office.answer())
        await check_story(office)
    assert (await Captured.get()).via == "imap"  # and nothing is kept of any other mail
    mailbox = await Mailbox.get()
    assert (mailbox.leased_by, mailbox.imap_next) == (None, 4)
    new = office.imap.folder / "mail" / HOME
    flags = [path.name.partition(":2,")[2] for path in (*new.glob("new/*"), *new.glob("cur/*"))]
    assert not any("S" in one for one in flags)  # nothing was marked as read


async def test_a_mail_is_sent_opened_thrice_and_answered_as_the_capture_address_hears(office: Office):
    both = await capture_addresses(office.bell.services, office.alice)
    assert both is not None
    port = free_port()

    def post(raw: str, sender: str = "ana@acme.com") -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail(sender, [both[1]], raw)

    async with capture_mail(office.bell.services, "127.0.0.1", port):
        await order(office)
        await read_thrice(office)
        for number, raw in enumerate((*AWAY.values(), *DELAYS.values())):
            own = raw.replace("{id}", ID).replace("<a1@acme.com>", f"<a{number}@acme.com>")
            await asyncio.to_thread(post, own, "")
        assert not await Alert.filter(event__in=("reply", "bounce")).exists()
        await asyncio.to_thread(post, office.answer())
        await check_story(office)
        with pytest.raises(smtplib.SMTPDataError):
            await asyncio.to_thread(post, "From: eve@x.example\nSubject: Re: Q3 proposal\n\nhi\n")
        async with watching(office):  # and the same mail in the mailbox is no other one
            await office.watch()
            office.imap.deliver(HOME, office.answer())
            await until(lambda: Mailbox.filter(imap_next=2).exists())
    assert await Alert.filter(event="reply").count() == 1


async def test_what_machines_write_is_no_reply_in_a_mailbox_either(office: Office):
    async with watching(office):
        await office.watch()
        languages = ("English, Exchange", "German, words alone", "French", "Spanish", "Italian")
        for number, name in enumerate((*languages, "a ticket system")):
            raw = AWAY[name].replace("{id}", ID).replace("<a1@acme.com>", f"<a{number}@acme.com>")
            office.imap.deliver(HOME, raw)
        await until(lambda: Captured.filter(state="auto").count(), len(languages) + 1)
        await office.card("auto-reply only")
        office.imap.deliver(HOME, DELAYS["sendmail"].replace("{id}", ID))
        await office.card("delivery delayed")
        assert not await Alert.exists()
        assert (await Message.get()).replied_at is None


@pytest.mark.parametrize("name", ["postfix, RFC 3464", "qmail", "Exchange Online", "Exim", "Gmail"])
async def test_a_bounce_in_the_mailbox_marks_the_recipient(office: Office, name: str):
    raw, why = BOUNCES[name]
    async with watching(office):
        await office.watch()
        office.imap.deliver(HOME, raw.replace("{id}", ID))
        (alert,) = await office.rung("bounce")
        assert why in alert.facts["why"]
        await office.card("did not arrive")
    assert (await Recipient.get()).bounced_at


class Wire:
    """Between the watcher and the server: it can be cut, and it can fall silent."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = free_port()
        self.silent = False
        self.opened = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._writers -= {writer, back}

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def stretched(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await asyncio.sleep(0)


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


async def test_a_private_server_is_not_contacted(line: Line, sqlite_database: DatabaseURL, imap: Dovecot):
    async with line(sqlite_database, lambda *_: FakeChat()) as bell:
        office = Office(bell, imap)
        await office.open(imap_on=True)
        async with watching(office):
            await until(lambda: Mailbox.filter(imap_failure__contains="private network").exists())
    assert "Login" not in imap.said


async def test_a_login_is_checked_for_the_connect_page(imap: Dovecot, monkeypatch: pytest.MonkeyPatch):
    good = Credentials(HOME, PASSWORD)
    for security, port in (("starttls", imap.port), ("tls", imap.port_tls), ("none", imap.port)):
        await check_imap(Server("localhost", port, security), good)
    with pytest.raises(LoginError, match="Authentication failed"):
        await check_imap(Server("localhost", imap.port_tls, "tls"), Credentials(HOME, "wrong"))
    with pytest.raises(LoginError):
        await check_imap(Server("localhost", imap.port_tls, "tls"), Credentials(HOME, "grüße"))
    with pytest.raises(LaterError):
        await check_imap(Server("localhost", free_port(), "tls"), good)
    monkeypatch.undo()
    with pytest.raises(CertificateError):
        await check_imap(Server("localhost", imap.port_tls, "tls"), good)


NO_IMAP = {
    "nothing": [b""],
    "HTTP": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "a goodbye": [b"* BYE too busy\r\n"],
    "a huge literal": [b"* OK hi\r\n", b"* CAPABILITY {4000000000}\r\n"],
    "a line without end": [b"* OK hi\r\n", b"* CAPABILITY " + b"a" * 21_000_000],
    "other tags": [b"* OK hi\r\n", b"x999 OK\r\n"],
    "no capabilities": [b"* OK hi\r\n", b"* \xff\xfe\r\n\x00\r\n"],
    "login without inbox": [b"* PREAUTH hi\r\n", b"* CAPABILITY IMAP4rev1\r\nTAG OK\r\n"],
}


@pytest.mark.parametrize("name", NO_IMAP)
async def test_a_server_that_speaks_no_imap_is_out_of_reach_and_no_more(name: str, monkeypatch):
    monkeypatch.setattr(wire, "COMMAND_SECONDS", 2)
    greeting, *answers = NO_IMAP[name]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(greeting)
            for answer in answers:
                line = await reader.readline()
                writer.write(answer.replace(b"TAG", line.split()[0] if line.split() else b""))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LaterError):
            await check_imap(Server("127.0.0.1", port, "none"), Credentials(HOME, PASSWORD))
    finally:
        server.close()


async def test_a_token_logs_in_as_well_as_a_password(imap: Dovecot):
    server = Server("localhost", imap.port_tls, "tls")
    await check_imap(server, Credentials(HOME, imap.token(HOME), "xoauth2"))
    for bad in (imap.token("eve@home.example"), imap.token(HOME, -60), "garbage"):
        with pytest.raises(LoginError, match="Authentication failed"):
            await check_imap(server, Credentials(HOME, bad, "xoauth2"))


async def test_watching_is_switched_for_ones_own_mailbox_only(office: Office):
    services, bob = office.bell.services, await builders.account("bob", office.bell.clock())
    assert await set_watching(services, bob, HOME, True) is None
    assert await set_watching(services, office.alice, "no address", True) is None
    assert not (await Mailbox.get()).imap_on
    await Mailbox.all().update(imap_host=None)
    with pytest.raises(LookupError):
        await set_watching(services, office.alice, HOME, True)


async def test_hostile_mail_in_the_mailbox_hurts_nobody(office: Office, clock: Clock):
    async with watching(office):
        await office.watch()
        office.imap.deliver(HOME, b"Subject: " + b"a" * 60_000 + b"\n\nx")
        office.imap.deliver(
            HOME,
            b"From: MAILER-DAEMON@x\nContent-Type: multipart/report; boundary=b\n\n" + b"--b\n\nx\n" * 9_000,
        )
        office.imap.deliver(HOME, b"From: \xff\xfe\x00@\x80\nMessage-ID: <\xff>\n\n\x00")
        office.imap.deliver(HOME, b"")
        office.imap.deliver(HOME, office.answer())
        await office.rung("reply")
    assert (await Mailbox.get()).imap_next == 6


def _in_file(folder: Path, sql: str, *values: object) -> Any:
    """One statement on the file of a running process; the first column of what it found."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "mailbell.db", timeout=20)) as file, file:
        row = file.execute(sql, values).fetchone()
    return row and row[0]


async def test_a_process_that_is_killed_misses_nothing_and_one_that_is_told_to_ends_in_time(
    tmp_path: Path, imap: Dovecot
):
    given = {"ALLOW_PRIVATE_UPSTREAM": "true", "SSL_CERT_FILE": str(imap.certificates.authority)}
    async with mailbell(tmp_path, "--json", **given) as bell:
        await bell.say("track ana@acme.com Q3 proposal")
        await bell.wait_for(lambda line: line["kind"] == "reply")
        key = (tmp_path / "data" / "secret_key").read_text().strip()
        secret = encrypt(load({"SECRET_KEY": key, "DATA_DIR": str(tmp_path / "data")}, tmp_path), PASSWORD)
        sent = int(time.time() * 1e6) - 60_000_000
        _in_file(
            tmp_path, "UPDATE message SET message_id_header = ?, sent_at = ?, created_at = ?", ID, sent, sent
        )
        _in_file(
            tmp_path,
            "INSERT INTO mailbox (account_id, address, provider, username, secret, created_at, smtp_host, "
            "smtp_port, smtp_security, imap_on, imap_host, imap_port, imap_security) "
            "SELECT id, ?, 'other', ?, ?, 0, 'x', 1, 'tls', 1, 'localhost', ?, 'tls' FROM account",
            HOME, HOME, secret, imap.port_tls,
        )  # fmt: skip
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
