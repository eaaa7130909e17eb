from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.chat import Reply
from bot.render import Ring, ring
from models import Account, Alert, Captured, Destination, Message, Recipient
from models.columns import to_micros
from models.database import DatabaseURL
from tests.bot.talk import Person
from tests.conftest import Clock
from tests.tracker.judging import Court, court
from tracker.mail.forget import forget_message
from tracker.quiet import Quiet
from tracker.reminders.ordering import order_reminder
from tracker.reminders.orders import parse_order
from tracker.summaries import tell_due


@pytest.fixture
async def room(database: DatabaseURL, clock: Clock) -> AsyncIterator[Court]:
    """Alice in Madrid wants a summary at 8:30; it is Monday, 9:00 UTC, an hour and a half after it."""
    async with court(database, clock) as found:
        await Account.filter(id=found.alice.id).update(timezone="Europe/Madrid")
        await want(found, morning={"at": "08:30"})
        await found.alice.refresh_from_db()
        yield found


async def want(room: Court, **wanted: Any) -> None:
    since = {"since": to_micros(room.clock())}
    kept = {name: {**value, **since} for name, value in wanted.items()}
    await Account.filter(id=room.alice.id).update(preferences=kept)


async def opens(room: Court, mail: Message, times: int) -> None:
    for _ in range(times):
        room.clock.advance(minutes=5)
        await room.request(await room.pixel(mail))
    await room.judge_all()


async def replies(room: Court, mail: Message) -> None:
    """As a reply is noted."""
    now = room.clock()
    await Captured.create(
        account=room.alice,
        key=f"k{mail.id}",
        state="reply",
        message=mail,
        from_address="ana@acme.com",
        at=now,
    )
    await Message.filter(id=mail.id).update(replied_at=now, last_event_at=now)


def tomorrow(room: Court, hour: int, minute: int = 0) -> None:
    room.clock.now = dt.datetime(2026, 3, 3, hour, minute, tzinfo=dt.UTC)


async def summaries() -> list[Reply]:
    rows = await Alert.filter(event__in=("morning", "weekly")).order_by("id")
    return [ring(Ring(one.event, facts=one.facts)) for one in rows]


async def test_in_the_morning_it_tells_what_happened_and_what_to_do(room: Court):
    mail, other = await room.mail(), await room.mail(subject="Lunch", to=("bob@acme.com",))
    await opens(room, mail, 3)
    await opens(room, other, 4)
    await replies(room, mail)
    await order_reminder(room.services, room.alice, other, parse_order("tomorrow 14:00 call him"))
    tomorrow(room, 7, 29)
    assert await tell_due(room.services) == 0
    tomorrow(room, 7, 30)  # 8:30 in Madrid
    assert await tell_due(room.services) == 1
    (reply,) = await summaries()
    assert reply.title == "Good morning! 7 opens of 2 mails and 1 reply since yesterday."
    assert reply.lines == (
        f'Answer ana@acme.com, who replied to "Q3 proposal" ({mail.code})',
        f'Reminder: "Lunch" ({other.code}) · call him · at 14:00',
        f'Hot: bob@acme.com opened "Lunch" ({other.code}) ×4',
        f'Seen: "Lunch" ({other.code}) opened ×4, "Q3 proposal" ({mail.code}) opened ×3',
    )
    assert [one.action for one in reply.buttons[0]] == ["reminders", "list opened", "stats 7d"]


async def test_of_many_workers_one_tells_and_nobody_tells_it_again(room: Court):
    await opens(room, await room.mail(), 1)
    tomorrow(room, 8)
    told = await asyncio.gather(*(tell_due(room.services) for _ in range(8)))
    assert sum(told) == 1
    room.clock.advance(hours=-1)  # the clock goes back
    assert await tell_due(room.services) == 0
    room.clock.advance(hours=2)
    assert await tell_due(room.services) == 0
    assert len(await summaries()) == 1


async def test_a_day_with_nothing_to_tell_has_no_message(room: Court):
    await room.mail()
    tomorrow(room, 8)
    assert await tell_due(room.services) == 0
    assert await summaries() == []


async def test_what_was_ordered_after_todays_time_begins_tomorrow(room: Court):
    await opens(room, await room.mail(), 1)
    assert await tell_due(room.services) == 0


async def test_a_process_that_was_down_for_hours_tells_late_but_not_in_the_evening(room: Court):
    await opens(room, await room.mail(), 1)
    tomorrow(room, 13)
    assert await tell_due(room.services) == 1
    room.clock.now += dt.timedelta(days=1, hours=6)
    await opens(room, await room.mail(), 1)
    assert await tell_due(room.services) == 0


async def test_after_quiet_days_the_morning_tells_of_all_of_them(room: Court):
    await Account.filter(id=room.alice.id).update(quiet_hours=Quiet(None, frozenset({5, 6})).stored)
    room.clock.now = dt.datetime(2026, 3, 6, 7, 30, tzinfo=dt.UTC)  # Friday
    await opens(room, await room.mail(), 1)
    assert await tell_due(room.services) == 1
    room.clock.now = dt.datetime(2026, 3, 7, 7, 30, tzinfo=dt.UTC)
    await opens(room, await room.mail(), 2)
    assert await tell_due(room.services) == 0
    room.clock.now = dt.datetime(2026, 3, 9, 7, 30, tzinfo=dt.UTC)
    assert await tell_due(room.services) == 1
    assert "3 opens of 2 mails in the last 3 days" in (await summaries())[-1].title


async def test_on_the_day_the_clocks_change_it_comes_once_at_the_same_time(room: Court):
    for day, hour in ((28, 7), (29, 6), (30, 6)):
        room.clock.now = dt.datetime(2026, 3, day, hour - 1, 0, tzinfo=dt.UTC)
        await opens(room, await room.mail(), 1)
        room.clock.now = dt.datetime(2026, 3, day, hour, 29, tzinfo=dt.UTC)
        assert await tell_due(room.services) == 0
        room.clock.advance(minutes=1)
        assert await tell_due(room.services) == 1


async def test_the_week_is_told_on_its_day(room: Court):
    await want(room, weekly={"at": "09:00", "day": 0})
    mail = await room.mail()
    await room.mail(subject="Lunch")
    await opens(room, mail, 2)
    room.clock.now = dt.datetime(2026, 3, 8, 9, tzinfo=dt.UTC)
    assert await tell_due(room.services) == 0
    room.clock.now = dt.datetime(2026, 3, 9, 8, tzinfo=dt.UTC)
    assert await tell_due(room.services) == 1
    (reply,) = await summaries()
    assert reply.title == "Your week: 2 mails sent, 1 of them opened and 2 opens of 1 mail."


async def test_it_goes_where_digests_go(room: Court):
    await Destination.filter(id=room.chat.id).update(purpose="opens")
    await opens(room, await room.mail(), 1)
    tomorrow(room, 8)
    assert await tell_due(room.services) == 0


async def test_a_forgotten_mail_is_forgotten_in_summaries_too(room: Court):
    mail = await room.mail()
    await opens(room, mail, 1)
    tomorrow(room, 8)
    await tell_due(room.services)
    await Alert.filter(event="morning").update(state="sent", remote_id="7")
    await forget_message(room.services, room.alice, mail.code)
    (trace,) = await Alert.filter(remote_id="7")
    assert (trace.event, trace.facts) == ("notice", None)
    assert trace.fix_text
    assert not await Recipient.all().exists()


async def test_settings_order_and_end_summaries(alice: Person, clock: Clock):
    async def kept() -> Any:
        return (await Account.get(id=alice.account.id)).preferences

    assert "8:30" in (await alice.types("settings morning 8:30")).title
    assert (await kept())["morning"]["at"] == "08:30"
    assert "Monday at 09:00" in (await alice.types("settings weekly monday 9am")).title
    assert (await kept())["weekly"] == {"at": "09:00", "day": 0, "since": to_micros(clock())}
    shown = (await alice.types("settings")).text
    assert "morning: a summary at 08:30" in shown
    assert "weekly: a digest on Monday at 09:00" in shown
    for wrong in ("settings morning 25", "settings weekly 9am", "settings weekly soon"):
        assert (await alice.types(wrong)).kind == "error"
    await alice.types("settings morning off")
    await alice.types("settings weekly off")
    assert not {"morning", "weekly"} & (await kept()).keys()
