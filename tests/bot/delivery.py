"""What the delivery tests share: services on a real writer, a courier, alerts as the judge writes them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.deliver import Courier
from models import Account, Alert, Card, Destination, Message, Recipient
from models.database import DatabaseURL
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Writer
from tests import builders
from tests.conftest import Clock
from tests.fakes.chat import FakeChat
from tracker.services import Services
from tracker.settings import Settings

_keys = itertools.count(1)


@asynccontextmanager
async def services_on(url: DatabaseURL, clock: Clock, directory: Path) -> AsyncIterator[Services]:
    """Services with the engine's own writer, on the test's clock."""
    wake = Wake()
    writer: Writer
    if url.is_sqlite:
        assert url.path is not None
        writer = SqliteWriter(url.path)
    else:
        writer = PostgresWriter(url.credentials, wake)
    await writer.start()
    try:
        yield Services(Settings(data_dir=directory), writer, wake, clock)
    finally:
        await writer.stop()


@dataclass
class Scene:
    """Alice with one chat, a mail to Ana, and a courier that serves the chat."""

    services: Services
    clock: Clock
    chat: FakeChat
    courier: Courier
    alice: Account
    home: Destination
    mail: Message
    others: dict[str, FakeChat] = field(default_factory=dict)

    async def due(self, event: str = "open", ordinal: int | None = 1, **more: object) -> Alert:
        """An alert as the judge writes it, due now unless told otherwise."""
        mail = more.pop("mail", self.mail)
        assert isinstance(mail, Message)
        recipient = await Recipient.filter(message_id=mail.id).first()
        row: dict[str, object] = {
            "account_id": mail.account_id,
            "destination_id": self.home.id,
            "message_id": mail.id,
            "recipient_id": recipient.id if recipient else None,
            "event_key": f"hit{next(_keys)}",
            "event": event,
            "ordinal": ordinal,
            "at": self.clock(),
            "due_at": self.clock(),
            **more,
        }
        return await Alert.create(**row)

    async def dirty_card(self, mail: Message | None = None, home: Destination | None = None) -> Card:
        """The card's row as `track` writes it."""
        return await Card.create(
            message=mail or self.mail, destination=home or self.home, dirty_at=self.clock(),
            created_at=self.clock(),
        )  # fmt: skip

    async def opens(self, count: int) -> None:
        """Ana's counted opens, as the judge writes them with the card."""
        await Recipient.filter(message_id=self.mail.id).update(opens=count, last_open_at=self.clock())
        await Message.filter(id=self.mail.id).update(opens=count, last_open_at=self.clock())
        await Card.filter(message_id=self.mail.id).update(dirty_at=self.clock())

    async def states(self) -> list[str]:
        return [one.state for one in await Alert.all().order_by("id")]

    async def home_now(self) -> Destination:
        return await Destination.get(id=self.home.id)

    def another_courier(self, chats: Mapping[str, FakeChat] | None = None) -> Courier:
        return Courier(self.services, chats or {self.chat.platform: self.chat}, call_seconds=5)


@asynccontextmanager
async def scene_on(url: DatabaseURL, clock: Clock, directory: Path) -> AsyncIterator[Scene]:
    async with services_on(url, clock, directory) as services:
        alice = await builders.account("alice", clock(), owner=True)
        home = await builders.destination(alice, "fake", "alice-chat")
        mail = await builders.mail(alice, clock())
        chat = FakeChat()
        courier = Courier(services, {"fake": chat}, call_seconds=5)
        yield Scene(services, clock, chat, courier, alice, home, mail)
