"""A reminder that every new mail gets, where its account wants one."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from models import Message, Reminder
from tests import builders
from tests.tracker.reminders.desk import Desk
from tracker.reminders.defaults import apply_defaults, set_default
from tracker.reminders.ordering import (
    MOST_OF_MAIL,
    finish,
)
from tracker.reminders.orders import parse_order

DAY = dt.timedelta(days=1)


async def test_every_mail_gets_what_its_account_wants_once(both: Desk):
    before = both.mail
    both.clock.advance(minutes=1)
    await set_default(both.alice.id, parse_order("noreply 3 working days"), both.clock())
    mail = await builders.mail(both.alice, both.clock())
    own = await builders.mail(both.alice, both.clock(), subject="Own")
    unsent = await builders.mail(both.alice, both.clock(), armed=False)
    demo = await builders.mail(both.alice, both.clock())
    await Message.filter(id=demo.id).update(origin="demo")
    off = await builders.mail(both.alice, both.clock(), mode="off")
    await both.remind("noreply 1d", own)
    made = await asyncio.gather(*(apply_defaults(both.services) for _ in range(4)))
    assert sum(made) == 1
    (row,) = await Reminder.filter(source="default")
    assert (row.message_id, row.kind) == (mail.id, "noreply")
    assert row.due_at == both.clock() + 3 * DAY
    both.clock.advance(seconds=61)
    assert await apply_defaults(both.services) == 1  # it armed itself
    assert await apply_defaults(both.services) == 0
    assert not await Reminder.filter(message_id__in=[before.id, demo.id, off.id]).exists()
    assert await Reminder.filter(message_id=unsent.id).exists()


async def test_many_mails_at_once_all_get_their_default(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tracker.reminders.defaults.BATCH", 3)
    await set_default(desk.alice.id, parse_order("noreply 1d"), desk.clock())
    for _ in range(10):
        await builders.mail(desk.alice, desk.clock())
    assert await apply_defaults(desk.services) == 11


async def test_a_default_that_is_done_does_not_come_back(desk: Desk):
    await set_default(desk.alice.id, parse_order("noreply 1d"), desk.clock())
    await builders.mail(desk.alice, desk.clock())
    assert await apply_defaults(desk.services) == 2  # also the mail of that very moment
    rows = await Reminder.all()
    await finish(desk.services, desk.alice, [one.id for one in rows])
    assert await apply_defaults(desk.services) == 0


async def test_a_mail_that_is_full_of_reminders_keeps_no_other_mail_from_its_default(desk: Desk):
    for days in range(1, MOST_OF_MAIL + 1):
        await desk.remind(f"{days}d")
    other = await builders.mail(desk.alice, desk.clock())
    await set_default(desk.alice.id, parse_order("noreply 3 working days"), desk.clock())
    assert await apply_defaults(desk.services) == 1
    (row,) = await Reminder.filter(source="default")
    assert row.message_id == other.id
