"""Alice with a chat, a mail that left, and reminders: what the tests of reminders share."""

from __future__ import annotations

from typing import Any

from models import Account, Alert, Message, Recipient, Reminder
from tests import builders
from tests.conftest import Clock
from tracker.reminders.firing import fire_due
from tracker.reminders.ordering import (
    order_reminder,
)
from tracker.reminders.orders import parse_order
from tracker.services import Services


class Desk:
    """Alice with a chat, a mail to Ana that left at 9:00 on Monday, and reminders."""

    def __init__(self, services: Services, clock: Clock) -> None:
        self.services, self.clock = services, clock
        self.alice: Account
        self.mail: Message

    async def open(self, **more: Any) -> None:
        self.alice = await builders.account("alice", self.clock(), **more)
        await builders.destination(self.alice, "telegram", "1")
        self.mail = await builders.mail(self.alice, self.clock())

    async def remind(self, text: str, mail: Message | None = None, **more: Any) -> Reminder:
        return await order_reminder(self.services, self.alice, mail or self.mail, parse_order(text), **more)

    async def pass_days(self, days: float) -> int:
        """How many reminders rang after so many days."""
        self.clock.advance(days=days)
        return await fire_due(self.services)

    async def rung(self) -> list[dict[str, Any]]:
        return [one.facts for one in await Alert.filter(event="reminder").order_by("id")]

    async def opens(self, mail: Message | None = None) -> None:
        mail = mail or self.mail
        now = self.clock()
        await Recipient.filter(message_id=mail.id).update(opens=1, first_open_at=now, last_open_at=now)
        await Message.filter(id=mail.id).update(opens=1, first_open_at=now, last_open_at=now)

    async def clicks(self) -> None:
        now = self.clock()
        await Message.filter(id=self.mail.id).update(clicks=1, first_click_at=now, last_click_at=now)

    async def replies(self) -> None:
        await Message.filter(id=self.mail.id).update(replied_at=self.clock())

    async def ended(self) -> list[str | None]:
        return [one.ended_because for one in await Reminder.all().order_by("id")]
