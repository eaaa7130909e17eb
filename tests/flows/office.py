"""Alice's office for tests of replies: her chat, her mailbox at a real server, a mail of hers, a watcher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bot.chat import Kind
from models import Account, Alert, Mailbox, Message, OwnAddress
from models.database import DatabaseURL
from tests import builders
from tests.fakes.chat import FakeChat
from tests.flows.conftest import Bell, Line
from tests.processes.mailbell import free_port
from tests.servers.dovecot import PASSWORD, Dovecot
from tracker.replies.watched import set_watching
from tracker.replies.watcher import Watcher
from tracker.sending.credentials import encrypt

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
            texts = [one.shown.text for one in self.chat.posted if one.reply.kind is Kind.CARD]
            return next((text for text in texts if part in text), None)

        try:
            return str(await self.bell.until_drawn(shown))
        except TimeoutError:
            raise AssertionError([one.shown.text for one in self.chat.posted]) from None


async def until(holds: Callable[[], Any], wanted: object = None, seconds: float = 60) -> None:
    """Waits for a row to be so."""
    async with asyncio.timeout(seconds):
        while not (found := await holds()) or (wanted is not None and found != wanted):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_office(line: Line, database: DatabaseURL, imap: Dovecot) -> AsyncIterator[Office]:
    """The office in a running mailbell that may contact servers on this machine."""
    given = {"ALLOW_PRIVATE_UPSTREAM": "true", "CAPTURE_PORT": str(free_port())}
    async with line(database, lambda *_: FakeChat(), **given) as bell:
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
