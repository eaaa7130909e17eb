"""A post office for tests: alice's connected mailbox, a spool, a relay, and a provider on loopback."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from models import Alert, Link, Mailbox, Message, Outgoing
from models.database import DatabaseURL
from tests.conftest import Clock
from tests.servers.provider import Provider, running_provider
from tests.tracker.judging import Court, court
from tracker.sending import relay
from tracker.sending.credentials import encrypt
from tracker.sending.mailboxes import RELAY_BELL
from tracker.sending.relay import Relay
from tracker.sending.spool import Envelope, Spool

HOME = "alice@home.example"
PASSWORD = "the provider's password"
HTML = '<html><body><p>Größe <a href="https://acme.com/deck">the deck</a></p></body></html>'


def written(
    *to: str, html: str | None = HTML, number: str = "1", date: Any = None, **more: str
) -> EmailMessage:
    """A mail as alice's program writes it."""
    message = EmailMessage()
    message["From"] = f"Alice <{HOME}>"
    message["To"] = ", ".join(to or ("Ana <ana@acme.com>",))
    message["Subject"] = more.pop("subject", "Q3 proposal")
    message["Message-ID"] = f"<{number}@home.example>"
    message["Date"] = email.utils.format_datetime(date) if date else "Mon, 02 Mar 2026 09:00:00 +0000"
    for name, value in more.items():
        message[name.replace("_", "-")] = value
    message.set_content("See the HTML part\n")
    if html is not None:
        message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def wire(message: EmailMessage | bytes) -> bytes:
    raw = message if isinstance(message, bytes) else message.as_bytes()
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Post:
    """What a test of the relay holds in its hands."""

    def __init__(self, room: Court, provider: Provider, folder: Path) -> None:
        self.room = room
        self.services = room.services
        self.clock = room.clock
        self.provider = provider
        self.spool = Spool(folder / "spool")
        self.relay = Relay(self.services, self.spool)
        self.mailbox: Mailbox
        self._running: asyncio.Task[None] | None = None

    async def open(self, security: str = "none", host: str = "127.0.0.1") -> None:
        self.mailbox = await Mailbox.create(
            account=self.room.alice, address=HOME, provider="other", username=HOME,
            secret=encrypt(self.services, PASSWORD), smtp_host=host, smtp_port=self.provider.port,
            smtp_security=security, created_at=self.clock(),
        )  # fmt: skip

    def start(self) -> None:
        self._running = asyncio.create_task(self.relay.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        self._running = None

    async def stop_at_once(self) -> None:
        """Without the time that copies on their way get."""
        drain, relay.DRAIN_SECONDS = relay.DRAIN_SECONDS, 0.05
        try:
            await self.stop()
        finally:
            relay.DRAIN_SECONDS = drain

    async def restart(self) -> None:
        """As another process would begin."""
        await self.stop()
        self.relay = Relay(self.services, self.spool)
        self.start()

    async def put(self, message: EmailMessage | bytes, *to: str, **more: Any) -> str:
        """What the submission server does with a mail; then the relay hears of it."""
        given = {"network": None, "device": None, "sender": HOME, **more}
        envelope = Envelope(
            account_id=self.room.alice.id, mailbox_id=self.mailbox.id, recipients=to or ("ana@acme.com",),
            arrived=self.clock(), **given,
        )  # fmt: skip
        name = await self.spool.put(envelope, wire(message))
        self.relay.hurry(name)
        return name

    def pass_time(self, **by: float) -> None:
        self.clock.advance(**by)
        self.services.wake.ring(RELAY_BELL)

    async def settled(self, *states: str, seconds: float = 60) -> list[Outgoing]:
        """The copies, once their states are these."""
        async with asyncio.timeout(seconds):
            while True:
                rows = await Outgoing.all().order_by("id")
                if sorted(row.state for row in rows) == sorted(states):
                    return rows
                await asyncio.sleep(0.01)

    async def tried(self, attempts: int, address: str = "ana@acme.com", seconds: float = 60) -> Outgoing:
        """The copy, once it was tried that often."""
        async with asyncio.timeout(seconds):
            while True:
                row = await Outgoing.get_or_none(address=address)
                if row is not None and row.attempts >= attempts and row.leased_by is None:
                    return row
                await asyncio.sleep(0.01)

    async def spool_empty(self, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while self.spool.names():
                await asyncio.sleep(0.01)

    async def told(self) -> list[str]:
        return [row.facts["text"] for row in await Alert.filter(event="notice").order_by("id")]

    async def until_told(self, words: str, seconds: float = 60) -> str:
        async with asyncio.timeout(seconds):
            while True:
                for text in await self.told():
                    if words in text:
                        return text
                await asyncio.sleep(0.01)

    async def mail(self) -> Message:
        return await Message.get()

    async def links(self, address: str) -> dict[str, str]:
        """Token by what it is: "pixel", or the target."""
        rows = await Link.filter(recipient__address=address)
        return {row.target or "pixel": row.token for row in rows}


@asynccontextmanager
async def post_office(
    database: DatabaseURL, clock: Clock, folder: Path, *, running: bool = True, **provider: Any
) -> AsyncIterator[Post]:
    settings = {"data_dir": folder, "allow_private_upstream": True, "capture_domain": "in.bell.example"}
    async with running_provider(**provider) as server, court(database, clock, **settings) as room:
        post = Post(room, server, folder)
        await post.open()
        if running:
            post.start()
        try:
            yield post
        finally:
            await post.stop()
            post.spool.close()
