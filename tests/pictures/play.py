"""The conversation in the pictures, played through the real line in each chat: typed, opened, clicked, told.

`play` gives a chat's tape and the web pages that belong to it. The clock stands still but where the
script moves it, so that every run tells the same; only tokens and codes differ.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tortoise.backends.base.executor import EXECUTOR_CACHE

from bot.slack import SlackChat
from bot.telegram import TelegramChat, pace
from models import Alert, Message
from models.database import DatabaseURL, open_database
from tests.conftest import Clock, build_schema
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, running_slack
from tests.fakes.slack_people import Deliverer
from tests.fakes.slack_people import Person as SlackPerson
from tests.fakes.telegram import TOKEN
from tests.fakes.telegram_people import Person as TelegramPerson
from tests.flows.conftest import READERS, Bell, running_line
from tests.pictures.tape import Entry, Tape, TapedSlack, TapedTelegram
from tracker.reminders.firing import fire_due
from tracker.sending.tickets import make_ticket

DESKTOP, PHONE, LAPTOP = READERS
ALICES_BROWSER = {
    "X-Forwarded-For": "192.0.2.201",
    "User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15",
}
MORE = (
    "/track bob@acme.com, carol@acme.com Lunch on Friday",
    "/track dan@example.com Invoice 2026-014 https://pay.example.com/014",
    "/track erin@example.com Contract draft https://example.com/contract",
)
UNFURLER = {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}


@dataclass
class Scene:
    """A chat on the stage: the running line, the tape, and alice's hands."""

    bell: Bell
    tape: Tape
    deliver: Callable[[str], Awaitable[object]]  # what she types
    press: Callable[[str], Awaitable[object]]  # a button of the newest message that has it

    async def say(self, text: str, answers: int = 1) -> Entry:
        """She types; the first of as many messages as come back."""
        self.tape.add(said=text)
        return await self.hears(lambda: self.deliver(text), answers)

    async def hears(self, act: Callable[[], Awaitable[object]], answers: int = 1) -> Entry:
        since = len(self.tape.entries)
        await act()
        await self.bell.until(lambda: len(self.tape.entries) >= since + answers)
        return self.tape.entries[since]

    def at(self, time: str) -> None:
        """Later that day."""
        hour, _, minute = time.partition(":")
        now = self.bell.clock.now.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        assert now >= self.bell.clock.now
        self.bell.clock.now = now
        self.bell.wake_up()

    async def shows(self, words: str) -> None:
        """Waits for a message with these words, seconds pass: cards are edited, clicks held, in steps."""

        def found() -> bool:
            shown = any(words in str(one.payload) for one in self.tape.entries)
            if not shown:
                self.bell.pass_time(seconds=0.25)
            return shown

        await self.bell.until(found, seconds=30)

    async def track(self, text: str) -> list[str]:
        """Tracks a mail and says that it is sent: copy page, pixel, links."""
        since = len(self.tape.entries)
        await self.say(text, answers=2)
        shown = str(_answer_first(self.tape.entries[since:])[1].payload)
        found = [re.search(rf"https://bell\.example/{kind}/[\w.-]+", shown) for kind in "moc"]
        return [one[0] for one in found if one]


@dataclass(frozen=True)
class Played:
    """What came of it: the messages, and the pages as the web server gave them."""

    tape: Tape
    copy_page: str
    privacy_page: str
    connect_page: str


Stage = Callable[[Path, DatabaseURL, Clock], AbstractAsyncContextManager[Scene]]


@asynccontextmanager
async def on_slack(folder: Path, database: DatabaseURL, clock: Clock) -> AsyncIterator[Scene]:
    slack = TapedSlack(Tape(clock))
    async with running_slack(slack):
        settings = {
            "SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": f"{slack.url}/api/",
        }  # fmt: skip
        async with running_line(folder, clock, database, SlackChat, **settings) as bell:
            alice = SlackPerson(Deliverer(slack, clock, None), "U0ALICE", "alice")

            async def press(label: str) -> None:
                await alice.press([one for one in alice.sees() if label in one.buttons][-1], label)

            await bell.until(slack.connected.is_set)
            scene = Scene(bell, slack.tape, lambda text: alice.command(text.removeprefix("/track ")), press)
            await scene.say(f"/track claim {bell.claim_code}")
            yield scene


@asynccontextmanager
async def on_telegram(folder: Path, database: DatabaseURL, clock: Clock) -> AsyncIterator[Scene]:
    telegram = TapedTelegram(Tape(clock))
    alice = TelegramPerson(11, "alice")
    async with telegram.serve():
        settings = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.url}
        async with running_line(folder, clock, database, _telegram_chat, **settings) as bell:

            async def press(label: str) -> None:
                shown = [one for one in telegram.shown(alice) if label in [b["text"] for b in one.buttons]]
                await telegram.press(alice, shown[-1], label)

            await telegram.wait_for(lambda: telegram.count("getUpdates"))
            scene = Scene(bell, telegram.tape, lambda text: telegram.say(alice, text), press)
            await scene.say(f"/start {bell.claim_code}")
            yield scene
        assert telegram.complaints == []


def _telegram_chat(*parts: object) -> TelegramChat:
    return TelegramChat(*parts, hold=1)  # type: ignore[arg-type]


async def play(stage: Stage) -> Played:
    """The whole conversation in one chat, in a database of its own."""
    clock = Clock()
    EXECUTOR_CACHE.clear()
    # Telegram's pace is for whoever answers in seconds what took this play's people a day.
    with tempfile.TemporaryDirectory() as folder, patch.object(pace, "_PRIVATE", (1000, 1.0)):
        database = DatabaseURL("sqlite", path=Path(folder) / "mailbell.db")
        await build_schema(database)
        async with open_database(database), stage(Path(folder), database, clock) as scene:
            return await _conversation(scene)


async def _conversation(scene: Scene) -> Played:
    bell, tape = scene.bell, scene.tape
    scene.at("09:01")
    page, pixel, link = await scene.track("/track ana@acme.com Q3 proposal https://acme.com/deck")
    copy_page = await (await bell.read(page, **ALICES_BROWSER)).text()
    privacy_page = await (await bell.read(bell.address + "/")).text()
    alice = (await Message.all().select_related("account").order_by("id"))[0].account
    connect_page = await (await bell.read(await make_ticket(bell.services, alice))).text()
    await scene.hears(lambda: scene.press("Sent"))
    for number, (time, network) in enumerate((("09:17", DESKTOP), ("11:40", PHONE), ("15:05", LAPTOP)), 1):
        scene.at(time)
        await scene.hears(lambda network=network: bell.read(pixel, network))
        await scene.shows(f"opened ×{number}")
    scene.at("15:06")
    await bell.read(link, LAPTOP)
    await scene.shows("clicked acme.com/deck")
    await scene.shows("opened ×3 · clicked")
    typed, answer, *rest = _answer_first(tape.entries[2:])  # after the claim and its welcome
    tape.keep("track", [typed, answer])
    tape.keep("ring", rest)
    await _many(scene, pixel, link)
    await _peace(scene, pixel)
    return Played(tape, copy_page, privacy_page, connect_page)


async def _many(scene: Scene, pixel: str, link: str) -> None:
    """More mails, a link preview that does not count, more opens than anybody wants to hear; questions."""
    scene.at("15:30")
    pixels = [pixel, *[(await scene.track(line))[1] for line in MORE]]
    await scene.bell.read(link, PHONE, **UNFURLER)
    scene.at("16:00")
    networks = tuple(READERS)
    for turn in range(5):
        agent = READERS[networks[(turn + turn // 3) % 3]]
        for one in pixels:
            await scene.bell.read(one, networks[turn % 3], **{"User-Agent": agent})
    await scene.bell.until(lambda: scene.bell.services.writer.queued == 0)
    await scene.shows("more rings")
    await scene.shows("opened ×8")
    digest = len(scene.tape.entries) - 1
    scene.at("16:30")
    await scene.say(_as_command(scene, "list"))
    newest = await Message.all().order_by("id").first()
    assert newest is not None
    await scene.say(_as_command(scene, f"show {newest.code}"))
    await scene.say(_as_command(scene, "stats domains"))
    scene.tape.keep("cards", scene.tape.entries[digest:])


async def _peace(scene: Scene, pixel: str) -> None:
    """A reminder is ordered and a night is quiet; in the morning she is told, and days later reminded."""
    begin, bell = len(scene.tape.entries), scene.bell
    mail = await Message.all().order_by("id").first()
    assert mail is not None
    await scene.say(_as_command(scene, f"remind {mail.code} noreply 3 working days"))
    await scene.say(_as_command(scene, "settings quiet 20:00-8:00"))
    scene.at("22:00")
    for network in READERS:
        await bell.read(pixel, network)
        bell.pass_time(minutes=20)
    await scene.shows("opened ×11")
    while await Alert.filter(state="waiting", due_at__lte=bell.clock.now).exists():  # not held yet
        await asyncio.sleep(0.02)
    bell.clock.now = bell.clock.now.replace(hour=8, minute=0) + dt.timedelta(days=1)
    bell.wake_up()
    await scene.shows("While you were away")
    bell.clock.now = bell.clock.now.replace(hour=16, minute=30) + dt.timedelta(days=2)
    await fire_due(bell.services)
    bell.wake_up()
    await scene.shows("Reminder: no reply")
    scene.tape.keep("reminders", scene.tape.entries[begin:])


def _answer_first(entries: list[Entry]) -> list[Entry]:
    """What was typed, its answer, and the others. The card may overtake the answer: it goes another way."""
    answer = next(one for one in entries if "/m/" in str(one.payload))
    return [entries[0], answer, *[one for one in entries[1:] if one is not answer]]


def _as_command(scene: Scene, text: str) -> str:
    return f"/track {text}" if scene.bell.chat.platform == "slack" else f"/{text}"
