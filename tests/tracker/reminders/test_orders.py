"""What is ordered, put off, done, moved with its owner, and forgotten with its mail."""

from __future__ import annotations

import datetime as dt

import pytest

from models import Account, Alert, Message, Recipient, Reminder
from models.database import atomically
from tests import builders
from tests.tracker.reminders.desk import Desk
from tracker.mail.forget import forget_message
from tracker.reminders.firing import fire_due
from tracker.reminders.ordering import (
    add_reminder,
    finish,
    move_zone,
    snooze,
)
from tracker.reminders.orders import parse_order
from tracker.reminders.times import WhenError, parse_when
from tracker.retention import enforce

DAY = dt.timedelta(days=1)


async def test_ordered_twice_it_is_one_reminder(desk: Desk):
    first, again = await desk.remind("friday 9am"), await desk.remind("friday 9am")
    assert first.id == again.id
    ana = await Recipient.get(message_id=desk.mail.id)
    other = await desk.remind("friday 9am", recipient_id=ana.id)
    assert other.id != first.id
    assert await desk.pass_days(4) == 2


async def test_a_time_that_is_over_is_refused_but_a_tag_of_an_old_mail_comes_at_once(desk: Desk):
    with pytest.raises(WhenError, match="over"):
        await desk.remind("2026-01-01")
    with pytest.raises(WhenError, match="years"):
        await desk.remind("2036-01-01")
    order = parse_order("1d")
    sent = desk.clock() - 3 * DAY
    await atomically(
        lambda: add_reminder(desk.alice, desk.mail, order, desk.clock(), start=sent, source="tag")
    )
    assert await fire_due(desk.services) == 1
    assert (await desk.rung())[0]["late"] == 2 * 86_400


async def test_put_off_it_rings_again_and_every_time_once(both: Desk):
    row = await both.remind("noreply 1d")
    assert await both.pass_days(1) == 1
    await snooze(both.services, both.alice, [row.id], parse_when("1d"))
    assert await fire_due(both.services) == 0
    assert await both.pass_days(1) == 1
    assert len(await both.rung()) == 2
    await finish(both.services, both.alice, [row.id])
    assert await both.pass_days(9) == 0


async def test_put_off_while_it_is_being_fired_it_does_not_ring(desk: Desk):
    from tracker.reminders.firing import fire

    row = await desk.remind("1d")
    desk.clock.advance(days=1)
    await snooze(desk.services, desk.alice, [row.id], parse_when("1d"))
    assert not await fire(row, desk.clock())


async def test_wall_clock_reminders_move_with_their_owner_and_the_others_stay(desk: Desk):
    wall = await desk.remind("friday 9am")
    length, fixed = await desk.remind("5h"), await desk.remind("3d")
    await Account.filter(id=desk.alice.id).update(timezone="America/New_York")
    account = await Account.get(id=desk.alice.id)
    assert await atomically(lambda: move_zone(account)) == 1
    moved = await Reminder.get(id=wall.id)
    assert moved.due_at == dt.datetime(2026, 3, 6, 14, 0, tzinfo=dt.UTC)
    assert (await Reminder.get(id=length.id)).due_at == length.due_at
    assert (await Reminder.get(id=fixed.id)).due_at == fixed.due_at
    assert await atomically(lambda: move_zone(account)) == 0


async def test_a_forgotten_mail_takes_its_reminders_along(both: Desk):
    await both.remind("1d")
    await both.pass_days(1)
    await both.remind("noreply 1d")
    await forget_message(both.services, both.alice, both.mail.code)
    assert not await Reminder.all().exists()
    assert not await Alert.filter(event="reminder").exists()


async def test_ended_reminders_are_kept_no_longer_than_hits(desk: Desk):
    await desk.remind("1d")
    waits = await desk.remind("clicked 1d")
    await desk.pass_days(1)
    desk.clock.advance(days=200)
    assert (await enforce(desk.services))["reminder"] == 1
    assert (await Reminder.get()).id == waits.id


@pytest.mark.parametrize("kind", ["noreply", "noopen", "open", "click"])
async def test_what_cannot_happen_any_more_is_refused_with_what_still_comes(desk: Desk, kind: str):
    await desk.replies()
    with pytest.raises(WhenError, match="answered already"):
        await desk.remind(f"{kind} 2d", await Message.get(id=desk.mail.id))
    assert (await desk.remind("2d")).kind == "always"


async def test_a_mail_that_was_opened_gets_no_reminder_that_it_was_not(desk: Desk):
    await desk.opens()
    with pytest.raises(WhenError, match="opened already: type noreply"):
        await desk.remind("noopen 2d", await Message.get(id=desk.mail.id))
    assert (await desk.remind("noreply 2d")).kind == "noreply"


async def test_many_move_with_their_owner_and_none_takes_the_moment_of_another(both: Desk, monkeypatch):
    monkeypatch.setattr("tracker.reminders.ordering._AT_ONCE", 2)
    mails = [await builders.mail(both.alice, both.clock()) for _ in range(3)]
    for mail in mails:
        for text in ("noreply friday 9am", "noreply friday 3pm"):
            await both.remind(text, mail)
    account = await Account.get(id=both.alice.id)
    account.timezone = "America/Chicago"  # 9:00 there is 15:00 UTC, where the other one was
    assert await atomically(lambda: move_zone(account)) == 6
    hours = [(one.due_at + dt.timedelta(seconds=1)).hour for one in await Reminder.all().order_by("id")]
    assert hours == [15, 21] * 3
