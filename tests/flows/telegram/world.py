"""A running mailbell with a Telegram beside it, and the people who write, press and read there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.telegram import TelegramChat
from models import Account, Destination
from models.database import DatabaseURL
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.fakes.telegram_people import Chat, Person, Shown
from tests.flows.conftest import READERS, Bell, Line

MAIL = "ana@acme.com Q3 proposal https://acme.com/deck"
NETWORKS = tuple(READERS)
ALICE, BOB, CHARLIE = Person(11, "alice"), Person(12, "bob"), Person(13, "charlie")
SALES = Chat(-100500, "Sales")


class World:
    """A running mailbell, a Telegram, and the people in it; alice has claimed the instance."""

    def __init__(self, bell: Bell, telegram: FakeTelegram) -> None:
        self.bell = bell
        self.telegram = telegram

    async def ask(self, text: str, person: Person = ALICE, *, times: int = 1) -> Shown:
        """The next message that the person sees after writing."""
        since = len(self.telegram.shown(person))
        await self.telegram.say(person, text, times=times)
        await self.telegram.wait_for(lambda: len(self.telegram.shown(person)) > since)
        return self.telegram.shown(person)[since]

    async def track(self, text: str = f"/track {MAIL}") -> Shown:
        """alice tracks a mail, and it is sent: the answer with pixel and links. Its card is there."""
        since, cards = len(self.telegram.shown(ALICE)), len(self.cards())
        await self.telegram.say(ALICE, text)
        await self.telegram.wait_for(lambda: self.answers(since) and len(self.cards()) > cards)
        self.bell.pass_time(seconds=120)
        return self.answers(since)[0]

    def answers(self, since: int = 0) -> list[Shown]:
        return [one for one in self.telegram.shown(ALICE)[since:] if tracked(one)]

    def cards(self, chat: int | Person = ALICE) -> list[Shown]:
        return [one for one in self.telegram.shown(chat) if re.match(r'".*" \(\w{6}\)', one.text)]

    def rings(self, chat: int | Person = ALICE) -> list[Shown]:
        return [
            one for one in self.telegram.shown(chat) if re.match(r'"[^\n]*(was opened|clicked)', one.text)
        ]

    async def ring(self, count: int) -> Shown:
        """The ring with this number, counted from one."""
        await self.telegram.wait_for(lambda: len(self.rings()) >= count)
        return self.rings()[count - 1]

    async def card_says(self, words: str) -> Shown:
        """The card with these words, once there is one."""

        def found() -> Shown | None:
            return next((one for one in self.cards() if words in one.text), None)

        try:
            return await self.bell.until_drawn(found)
        except TimeoutError:
            shown = [one.text for one in self.telegram.shown(ALICE)]
            raise AssertionError(f"no card says {words!r}: {shown}") from None

    async def ring_in_sales(self, chat_id: int = SALES.id) -> None:
        """alice's mails ring in the group Sales as well."""
        account = await Account.get()
        await Destination.create(
            account_id=account.id, platform="telegram", chat_id=str(chat_id), title="Sales", private=False,
            created_at=self.bell.clock(),
        )  # fmt: skip

    async def opened(self, pixel: str, *networks: str) -> None:
        """People open the mail, two minutes apart."""
        for network in networks:
            assert (await self.bell.read(pixel, network)).status == 200
            await asyncio.sleep(0.05)
            self.bell.pass_time(minutes=2)


def tracked(shown: Shown) -> list[str]:
    """Pixel and links, as they stand there to be copied."""
    return [text for text in shown.styled("code") if re.search(r"/[oc]/[\w-]{22}", text)]


@asynccontextmanager
async def a_world(
    line: Line, database: DatabaseURL, telegram: FakeTelegram, way: str
) -> AsyncIterator[World]:
    settings = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.url}
    if way == "webhook":
        settings["TELEGRAM_WEBHOOK_SECRET"] = "s3cret"
    async with line(database, lambda *parts: TelegramChat(*parts, hold=1), **settings) as bell:
        telegram.reach = bell.address
        await telegram.wait_for(
            lambda: telegram.webhook if way == "webhook" else telegram.count("getUpdates")
        )
        world = World(bell, telegram)
        welcome = await world.ask(f"/start {bell.claim_code}")
        assert "I do not know you" not in welcome.text
        yield world
