"""What a reply, a bounce, an open and a click do to each kind of reminder."""

from __future__ import annotations

import datetime as dt

import pytest

from models import Link, Person, Recipient, Reminder
from models.database import atomically
from tests.conftest import Clock
from tests.tracker.reminders.desk import Desk
from tracker.reminders.conditions import Action, State, look
from tracker.reminders.ordering import (
    settle_reminders,
)

DAY = dt.timedelta(days=1)


def test_the_rule_says_what_becomes_of_each_condition(clock: Clock):
    now = clock()
    seen = State(opened_at=now - DAY, clicked_at=now - DAY)

    def action(kind: str, state: State) -> Action:
        return look(kind, state, now, after=lambda at: at + DAY, waited=False, since=now - DAY).action

    kinds = ("always", "noreply", "noopen", "open", "click")
    fire, end, wait = Action.FIRE, Action.END, Action.WAIT
    assert [action(kind, State()) for kind in kinds] == [fire, fire, fire, wait, wait]
    assert [action(kind, seen) for kind in kinds] == [fire, fire, end, fire, fire]
    for state in (State(replied=True), State(bounced=True), State(opened_at=now, replied=True)):
        assert [action(kind, state) for kind in kinds] == [fire, end, end, end, end]


@pytest.mark.parametrize("kind", ["noreply", "noopen", "open", "click"])
async def test_a_reply_ends_every_condition(desk: Desk, kind: str):
    await desk.remind(f"{kind} 2d")
    await desk.replies()
    assert await desk.pass_days(2) == 0
    assert await desk.ended() == ["reply"]


async def test_what_comes_whatever_happened_comes_after_a_reply_too(desk: Desk):
    await desk.remind("2d")
    await desk.replies()
    assert await desk.pass_days(2) == 1


@pytest.mark.parametrize("kind", ["noreply", "noopen", "open", "click"])
async def test_a_bounce_ends_every_condition(desk: Desk, kind: str):
    await desk.remind(f"{kind} 2d")
    await Recipient.filter(message_id=desk.mail.id).update(bounced_at=desk.clock())
    assert await desk.pass_days(2) == 0
    assert await desk.ended() == ["bounce"]


async def test_a_reply_ends_open_reminders_at_once_where_it_is_noted(desk: Desk):
    await desk.remind("noreply 2d")
    await desk.remind("2d")
    await desk.replies()
    await desk.mail.refresh_from_db()
    assert await atomically(lambda: settle_reminders(desk.mail, desk.clock())) == 1
    assert await desk.ended() == ["reply", None]


async def test_an_open_or_a_click_ends_a_wait_for_an_open(desk: Desk):
    await desk.remind("noopen 2d")
    await desk.clicks()  # a click opens
    assert await desk.pass_days(2) == 0
    assert await desk.ended() == ["met"]


async def test_opened_without_a_reply_rings_at_its_time(desk: Desk):
    await desk.remind("opened 2d")
    desk.clock.advance(days=1)
    await desk.opens()
    assert await desk.pass_days(1) == 1
    assert (await desk.rung())[0]["kind"] == "open"


async def test_what_is_opened_later_gets_its_time_from_the_open_on(desk: Desk):
    await desk.remind("opened 2d")
    assert await desk.pass_days(3) == 0  # not opened yet: goes on waiting
    await desk.opens()
    assert await desk.pass_days(1.9) == 0
    assert await desk.pass_days(0.1) == 1


async def test_waiting_for_an_open_that_never_comes_ends(desk: Desk):
    await desk.remind("clicked 20d")
    for _ in range(4):
        assert await desk.pass_days(20) == 0
    assert await desk.ended() == ["met"]


async def test_opened_by_a_fixed_day_is_looked_at_on_that_day_only(desk: Desk):
    await desk.remind("opened friday 9am")
    assert await desk.pass_days(4) == 0
    assert await desk.ended() == ["met"]


async def test_where_apple_loads_the_pictures_a_reply_is_waited_for_and_it_says_so(desk: Desk):
    await desk.remind("noopen 2d")
    await Recipient.filter(message_id=desk.mail.id).update(loaded_at=desk.clock())
    assert await desk.pass_days(2) == 1
    (facts,) = await desk.rung()
    assert (facts["kind"], facts["was_kind"]) == ("noreply", "noopen")
    assert "Apple Mail" in facts["doubt"]
    row = await Reminder.get()
    assert (row.kind, row.was_kind) == ("noreply", "noopen")


async def test_where_opens_are_known_to_say_nothing_it_is_switched_when_it_is_ordered(desk: Desk):
    learned = {"mails": 5, "privacy": 5, "seen": 0}
    await Person.create(account=desk.alice, address="ana@acme.com", created_at=desk.clock(), learned=learned)
    row = await desk.remind("noopen 2d")
    assert (row.kind, row.was_kind) == ("noreply", "noopen")
    await Link.filter(message_id=desk.mail.id, kind="open").delete()
    assert (await desk.remind("noopen 3d")).was_kind == "noopen"


async def test_a_switched_one_that_is_there_already_does_not_ring_twice(desk: Desk):
    await desk.remind("noopen 2d")
    await desk.remind("noreply 2d")
    await Recipient.filter(message_id=desk.mail.id).update(loaded_at=desk.clock())
    assert await desk.pass_days(2) == 1
