"""Mail opened and not answered: a reminder rings, is put off, and ends with a reply. And a quiet night."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from bot.chat import Incoming, Kind, Place, Reply
from models import Alert, Message, Reminder
from models.database import DatabaseURL
from tests.fakes.chat import FakeChat
from tests.flows.conftest import Bell, Line
from tests.flows.office import until
from tests.flows.test_bcc import deliver, written
from tests.processes.mailbell import free_port, mailbell
from tracker.reminders.firing import fire_due

HOME = Place("fake", chat_id="alice")


async def say(bell: Bell, text: str, *, button: bool = False) -> Reply:
    reply = await bell.conversation.handle(Incoming(HOME, "alice", "alice", text, is_button=button))
    assert reply is not None
    return reply


async def tracked(bell: Bell) -> tuple[str, str]:
    """A mail that was sent: its code, and its pixel's address."""
    await say(bell, f"claim {bell.claim_code}")
    reply = await say(bell, "track ana@acme.com Q3 proposal")
    code = str(reply.data["message"])
    await say(bell, f"sent {code}")
    bell.pass_time(minutes=2)
    return code, str(reply.data["pixel_url"])


def rings(chat: FakeChat) -> list[str]:
    return [one.reply.title for one in chat.posted if one.reply.kind in (Kind.ALERT, Kind.DIGEST)]


async def press(bell: Bell, chat: FakeChat, text: str) -> Reply:
    """Presses the newest button with this text."""
    for one in reversed(chat.posted):
        for button in (button for row in one.shown.buttons for button in row):
            if button.text == text:
                return await say(bell, button.action, button=True)
    raise AssertionError(f"no button {text!r}")


async def later(bell: Bell, **by: float) -> None:
    """Time passes, and the worker looks at reminders as its schedule has it."""
    bell.pass_time(**by)
    await fire_due(bell.services)
    bell.wake_up()


async def test_a_reminder_rings_is_put_off_and_ends_with_a_reply(line: Line, sqlite_database: DatabaseURL):
    chat = FakeChat()
    async with line(sqlite_database, lambda *_: chat) as bell:
        code, pixel = await tracked(bell)
        await bell.until(lambda: chat.texts(kind=Kind.CARD))
        offer = await press(bell, chat, "Remind me ▾")
        await say(bell, offer.buttons[0][0].action, button=True)  # no reply in 3 working days
        for _ in range(3):
            await bell.read(pixel)
            bell.pass_time(hours=1)
        await bell.until(lambda: len(rings(chat)) == 3)
        assert "hot now" in chat.posted[-1].reply.text
        await later(bell, days=3)
        await bell.until(lambda: len(rings(chat)) == 4)
        assert rings(chat)[-1] == 'Reminder: no reply to "Q3 proposal" from ana@acme.com yet'
        assert "late" in chat.posted[-1].reply.text  # it was due three hours ago
        await press(bell, chat, "Snooze 1d")
        await later(bell, hours=23)
        await later(bell, hours=1)
        await bell.until(lambda: len(rings(chat)) == 5)
        await press(bell, chat, "Snooze 1d")
        await press(bell, chat, "Replied")
        await later(bell, days=2)
        assert (await say(bell, "reminders")).title == "No reminders wait."
        assert (await Reminder.get()).ended_because == "reply"
        await bell.until_drawn(lambda: "replied" in chat.only(Kind.CARD).shown.text)
        assert (await Message.get(code=code)).replied_at is not None
        assert len(rings(chat)) == 5


async def test_opens_of_a_night_are_one_message_in_the_morning(line: Line, sqlite_database: DatabaseURL):
    chat = FakeChat()
    async with line(sqlite_database, lambda *_: chat) as bell:
        _, pixel = await tracked(bell)
        await bell.until(lambda: chat.texts(kind=Kind.CARD))  # at night none would be posted
        await say(bell, "settings quiet 20:00-8:00")
        bell.clock.now = bell.clock().replace(hour=21)
        for number in range(40):
            await bell.read(pixel, ("203.0.113.7", "198.51.100.23", "192.0.2.99")[number % 3])
            bell.pass_time(minutes=10)
        await bell.until_drawn(lambda: "opened ×40" in chat.only(Kind.CARD).shown.text)
        morning = dt.datetime(2026, 3, 3, 8, tzinfo=dt.UTC)
        await until(lambda: Alert.filter(due_at=morning).count(), 40)  # the card shows them earlier
        assert rings(chat) == []
        bell.clock.now = morning
        bell.wake_up()
        await bell.until(lambda: rings(chat))
        assert rings(chat) == ["While you were away: 40 opens of 1 mail."]
        assert "ana@acme.com opened ×40, hot" in chat.posted[-1].reply.text
        await bell.courier.deliver_once()
        assert await Alert.filter(state="folded").count() == 40
        assert len(rings(chat)) == 1


async def test_a_real_process_rings_what_a_tag_ordered_and_says_that_it_is_late(tmp_path):
    port = free_port()
    async with mailbell(tmp_path, "--json", CAPTURE_PORT=str(port)) as bell:
        await bell.say("capture")
        reply = await bell.wait_for(lambda one: one["kind"] == "reply")
        name, _, domain = reply["capture_address"].partition("@")
        raw = written("", subject="Lunch", date=time.time() - 2 * 86_400)
        await deliver(bell, port, f"{name}+noreply1d@{domain}", raw)
        notice = await bell.wait_for(lambda one: one.get("event") == "notice")
        assert "I remind you of it: if nobody replies, in 1 day." in notice["text"]
        rung = await bell.wait_for(lambda one: one.get("event") == "reminder", 60)
        assert 'Reminder: no reply to "Lunch" from ana@acme.com yet' in rung["text"]
        assert "This comes a day late" in rung["text"]
        assert await bell.end() == 0
        assert len([one for one in bell.lines if one.get("event") == "reminder"]) == 1


@pytest.mark.long
async def test_a_real_process_rings_in_time(tmp_path):
    async with mailbell(tmp_path, "--json") as bell:
        await bell.say("track ana@acme.com Q3 proposal")
        reply = await bell.wait_for(lambda one: one["kind"] == "reply")
        await bell.say(f"remind {reply['message']} 1 minute call her")
        await bell.wait_for(lambda one: one.get("reminder"))
        rung = await bell.wait_for(lambda one: one.get("event") == "reminder", 100)
        assert "late" not in rung["text"]
        assert "call her" in rung["text"]
        assert await bell.end() == 0
