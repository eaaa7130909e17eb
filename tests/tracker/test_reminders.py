from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from models import Account, Alert, Link, Message, Person, Recipient, Reminder
from models.database import DatabaseURL, atomically
from models.wake import Wake
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import make_writer
from tracker.mail.forget import forget_message
from tracker.reminders.conditions import Action, State, look
from tracker.reminders.defaults import apply_defaults, set_default
from tracker.reminders.firing import fire_due, seconds_to_next
from tracker.reminders.ordering import (
    MOST_OF_MAIL,
    add_reminder,
    finish,
    move_zone,
    order_reminder,
    settle_reminders,
    snooze,
)
from tracker.reminders.orders import parse_order
from tracker.reminders.times import WhenError, parse_when
from tracker.retention import enforce
from tracker.schedule import Duty, run_schedule
from tracker.services import Services
from tracker.settings import Settings

DAY = dt.timedelta(days=1)


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


async def _desk(url: DatabaseURL, clock: Clock) -> AsyncIterator[Desk]:
    writer = make_writer(url)
    await writer.start()
    services = Services(
        Settings(secret_key="0123456789abcdef", data_dir=Path("unused")), writer, Wake(), clock
    )
    found = Desk(services, clock)
    await found.open()
    yield found
    await writer.stop()


@pytest.fixture
async def desk(sqlite_database: DatabaseURL, clock: Clock) -> AsyncIterator[Desk]:
    async for one in _desk(sqlite_database, clock):
        yield one


@pytest.fixture
async def both(database: DatabaseURL, clock: Clock) -> AsyncIterator[Desk]:
    async for one in _desk(database, clock):
        yield one


async def test_a_reminder_rings_when_it_is_due_and_not_before(both: Desk):
    await both.remind("3d call her")
    assert await seconds_to_next(both.services) == 3 * 86_400
    assert await both.pass_days(2.99) == 0
    assert await both.pass_days(0.01) == 1
    (facts,) = await both.rung()
    assert (facts["kind"], facts["own"], facts["late"]) == ("always", "call her", None)
    assert await both.pass_days(1) == 0
    assert await seconds_to_next(both.services) is None


async def test_of_many_workers_at_once_one_fires(both: Desk):
    for text in ("3d", "noreply 3d", "noopen 3d"):
        await both.remind(text)
    both.clock.advance(days=3)
    fired = await asyncio.gather(*(fire_due(both.services) for _ in range(8)))
    assert sum(fired) == 3
    assert len(await both.rung()) == 3


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


async def test_after_a_day_without_a_process_it_comes_once_and_says_that_it_is_late(both: Desk):
    await both.remind("noreply 2d")
    assert await both.pass_days(3) == 1
    (facts,) = await both.rung()
    assert facts["late"] == 86_400
    assert await fire_due(both.services) == 0


async def test_a_clock_that_goes_back_an_hour_fires_nothing_twice(both: Desk):
    await both.remind("2h")
    await both.remind("3h")
    both.clock.advance(hours=2)
    assert await fire_due(both.services) == 1
    both.clock.advance(hours=-1)
    assert await fire_due(both.services) == 0
    both.clock.advance(hours=1)
    assert await fire_due(both.services) == 0
    both.clock.advance(hours=1)
    assert await fire_due(both.services) == 1
    assert len(await both.rung()) == 2


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


async def test_a_summer_time_change_moves_nothing_on_the_wall(desk: Desk):
    desk.clock.now = dt.datetime(2026, 3, 27, 8, 0, tzinfo=dt.UTC)
    desk.alice.timezone = "Europe/Madrid"
    row = await desk.remind("3d")
    assert row.due_at == dt.datetime(2026, 3, 30, 7, 0, tzinfo=dt.UTC)  # 9:00 in summer
    desk.clock.now = row.due_at - dt.timedelta(seconds=1)
    assert await fire_due(desk.services) == 0
    desk.clock.advance(seconds=1)
    assert await fire_due(desk.services) == 1


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


async def test_one_of_before_orders_were_kept_still_rings(desk: Desk):
    now = desk.clock()
    await Reminder.create(
        account=desk.alice, message=desk.mail, kind="open", due_at=now + DAY, created_at=now
    )
    assert await desk.pass_days(1) == 0
    await desk.opens()
    assert await desk.pass_days(1) == 1


async def test_without_a_chat_it_waits_and_comes_late(desk: Desk):
    from models import Destination

    await desk.remind("1d")
    await Destination.all().update(off_at=desk.clock())
    assert await desk.pass_days(1) == 0
    await Destination.all().update(off_at=None)
    assert await desk.pass_days(1) == 1
    assert (await desk.rung())[0]["late"] == 86_400


async def test_every_mail_gets_what_its_account_wants_once(both: Desk):
    before = both.mail
    both.clock.advance(minutes=1)
    await set_default(both.alice.id, parse_order("noreply 3 working days"), both.clock())
    mail = await builders.mail(both.alice, both.clock())
    own = await builders.mail(both.alice, both.clock(), subject="Own")
    unsent = await builders.mail(both.alice, both.clock(), armed=False)
    demo = await builders.mail(both.alice, both.clock())
    await Message.filter(id=demo.id).update(origin="demo")
    await both.remind("noreply 1d", own)
    made = await asyncio.gather(*(apply_defaults(both.services) for _ in range(4)))
    assert sum(made) == 1
    (row,) = await Reminder.filter(source="default")
    assert (row.message_id, row.kind) == (mail.id, "noreply")
    assert row.due_at == both.clock() + 3 * DAY
    both.clock.advance(seconds=61)
    assert await apply_defaults(both.services) == 1  # it armed itself
    assert await apply_defaults(both.services) == 0
    assert not await Reminder.filter(message_id__in=[before.id, demo.id]).exists()
    assert await Reminder.filter(message_id=unsent.id).exists()


async def test_a_forgotten_mail_takes_its_reminders_along(both: Desk):
    await both.remind("1d")
    await both.pass_days(1)
    await both.remind("noreply 1d")
    await forget_message(both.services, both.alice, both.mail.code)
    assert not await Reminder.all().exists()
    assert not await Alert.filter(event="reminder").exists()


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


async def test_ended_reminders_are_kept_no_longer_than_hits(desk: Desk):
    await desk.remind("1d")
    waits = await desk.remind("clicked 1d")
    await desk.pass_days(1)
    desk.clock.advance(days=200)
    assert (await enforce(desk.services))["reminder"] == 1
    assert (await Reminder.get()).id == waits.id


async def test_a_duty_that_knows_its_next_time_is_run_then(desk: Desk):
    runs: list[int] = []
    twice = asyncio.Event()

    async def work(services: Services) -> None:
        runs.append(1)
        if len(runs) == 2:
            twice.set()

    async def until(services: Services) -> float | None:
        return 0.0 if len(runs) == 1 else None

    schedule = asyncio.create_task(run_schedule(desk.services, [Duty("one", 3600, work, until)]))
    async with asyncio.timeout(20):
        await twice.wait()
    schedule.cancel()
    with suppress(asyncio.CancelledError):
        await schedule
    assert len(runs) == 2


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


async def test_a_mail_that_is_full_of_reminders_keeps_no_other_mail_from_its_default(desk: Desk):
    for days in range(1, MOST_OF_MAIL + 1):
        await desk.remind(f"{days}d")
    other = await builders.mail(desk.alice, desk.clock())
    await set_default(desk.alice.id, parse_order("noreply 3 working days"), desk.clock())
    assert await apply_defaults(desk.services) == 1
    (row,) = await Reminder.filter(source="default")
    assert row.message_id == other.id
