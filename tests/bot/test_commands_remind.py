from __future__ import annotations

import datetime as dt

import pytest

from bot.chat import Kind
from models import Account, Card, Message, Recipient, Reminder
from models import Person as PersonRow
from tests import builders
from tests.bot.talk import Person, actions
from tests.conftest import Clock
from tracker.reminders.defaults import apply_defaults
from tracker.reminders.firing import fire_due
from tracker.services import Services

DAY = dt.timedelta(days=1)


@pytest.fixture
async def mail(alice: Person, clock: Clock) -> Message:
    return await builders.mail(alice.account, clock())


async def test_a_reminder_is_ordered_by_code_with_a_condition_and_words(
    alice: Person, mail: Message, clock: Clock
):
    reply = await alice.types(f"remind {mail.code} noreply 5 working days: call her")
    row = await Reminder.get()
    assert (row.kind, row.due_at, row.text, row.source) == (
        "noreply",
        clock() + 7 * DAY,
        "call her",
        "command",
    )
    assert f'"Q3 proposal" ({mail.code}): if nobody replies, Mon 9 Mar 09:00 UTC' in reply.title
    assert "call her" in reply.text
    assert "type capture" in reply.text, "how replies get here"
    assert "settings timezone" in reply.text
    assert actions(reply) == [f"done #{row.id}", "reminders"]


async def test_the_code_may_stand_last(alice: Person, mail: Message):
    await alice.types(f"remind friday 9am {mail.code}")
    assert (await Reminder.get()).due_at == dt.datetime(2026, 3, 6, 9, 0, tzinfo=dt.UTC)


async def test_an_address_means_the_newest_mail_there(alice: Person, mail: Message, clock: Clock):
    newer = await builders.mail(alice.account, clock(), to=("bob@acme.com", "ana@acme.com"), subject="Newer")
    reply = await alice.types("remind ana@acme.com friday 9am")
    row = await Reminder.get().select_related("recipient")
    assert (row.message_id, row.recipient.address) == (newer.id, "ana@acme.com")
    assert '"Newer" to ana@acme.com' in reply.title
    assert "No mail of yours went to" in (await alice.types("remind nobody@acme.com 3d")).title


async def test_a_code_alone_offers_choices_that_work(alice: Person, mail: Message, clock: Clock):
    clock.advance(minutes=30)
    reply = await alice.presses(f"remind {mail.code}")
    for action in actions(reply):
        assert len(action.encode()) <= 64
        assert "I remind you" in (await alice.presses(action)).title
    assert await Reminder.all().count() == len(actions(reply)) == 6


async def test_a_time_without_a_mail_is_not_guessed(alice: Person, mail: Message):
    reply = await alice.types("remind 3d")
    assert "Of which mail?" in reply.title
    assert not await Reminder.all().exists()
    await alice.presses(actions(reply)[0])
    assert (await Reminder.get()).message_id == mail.id


@pytest.mark.parametrize(
    "order", ["soon", "30m", "12/24", "noreplyy 3d", "2026-01-01", "3d 4d", "today 8:00"]
)
async def test_what_is_not_understood_says_what_to_type(alice: Person, mail: Message, order: str):
    reply = await alice.types(f"remind {mail.code} {order}")
    assert reply.kind == "error"
    assert not await Reminder.all().exists()


async def test_alone_it_explains_and_lists(alice: Person, mail: Message):
    empty = await alice.types("remind")
    assert "No reminders wait." in empty.title
    assert "settings remind noreply 3 working days" in empty.text
    await alice.types(f"remind {mail.code} 3d")
    full = await alice.types("remind")
    assert "1 reminder:" in full.title
    assert f'"Q3 proposal" ({mail.code}) · Thu 5 Mar 09:00' in full.text


async def test_the_list_has_what_rang_first_and_leaves_out_what_is_answered(
    alice: Person, mail: Message, clock: Clock, bot_services: Services
):
    answered = await builders.mail(alice.account, clock(), subject="Answered")
    for code in (mail.code, answered.code):
        await alice.types(f"remind {code} noreply 1d")
    await alice.types(f"remind {mail.code} 5d")
    clock.advance(days=1)
    await Message.filter(id=answered.id).update(replied_at=clock())
    await fire_due(bot_services)
    reply = await alice.types("reminders")
    assert reply.title == "2 reminders:"
    assert "rang today 09:00" in reply.lines[0]
    assert "Answered" not in reply.text


async def test_done_and_snooze_by_number_by_code_and_alone(
    alice: Person, mail: Message, clock: Clock, bot_services: Services
):
    await alice.types(f"remind {mail.code} 1d")
    row = await Reminder.get()
    assert (await alice.types("done")).kind == "error", "nothing rang yet"
    clock.advance(days=1)
    await fire_due(bot_services)
    reply = await alice.presses(f"snooze #{row.id} 1d")
    assert "Wed 4 Mar 09:00" in reply.title
    await row.refresh_from_db()
    assert (row.fired_at, row.due_at) == (None, clock() + DAY)
    await alice.types(f"snooze {mail.code} monday 9am")
    await row.refresh_from_db()
    assert row.due_at == dt.datetime(2026, 3, 9, 9, 0, tzinfo=dt.UTC)
    clock.advance(days=7)
    await fire_due(bot_services)
    await alice.types("done")
    await row.refresh_from_db()
    assert row.ended_because == "done"
    await alice.types(f"snooze #{row.id}")  # it comes back
    await row.refresh_from_db()
    assert (row.ended_because, row.due_at) == (None, clock() + DAY)
    assert (await alice.types(f"done {mail.code}")).title.startswith("Done: 1 reminder")
    assert (await alice.types(f"done {mail.code}")).kind == "error"


async def test_show_tells_what_waits_for_a_mail(alice: Person, mail: Message):
    await alice.types(f"remind {mail.code} noreply 3d call her")
    shown = (await alice.types(f"show {mail.code}")).text
    assert "Reminder: if nobody replies, Thu 5 Mar 09:00 – “call her”" in shown


async def test_nobody_touches_anothers_reminders(alice: Person, bob: Person, mail: Message):
    await alice.types(f"remind {mail.code} 1d")
    row = await Reminder.get()
    for text in (f"done #{row.id}", f"snooze #{row.id} 5d", f"done {mail.code}", f"remind {mail.code} 2d"):
        assert (await bob.types(text)).kind == "error"
    assert "No reminders" in (await bob.types("reminders")).title
    again = await Reminder.get()
    assert (again.due_at, again.done_at) == (row.due_at, None)


async def test_replied_marks_a_mail_and_ends_what_waits_and_can_be_taken_back(
    alice: Person, mail: Message, clock: Clock, bot_services: Services
):
    await Card.create(message=mail, destination_id=1, created_at=clock())
    await alice.types(f"remind {mail.code} noreply 3d")
    await alice.types(f"remind {mail.code} 3d")
    reply = await alice.presses(f"replied {mail.code}")
    assert reply.lines == ("1 reminder ended.",)
    await mail.refresh_from_db()
    ana = await Recipient.get(message_id=mail.id)
    assert mail.replied_at == ana.replied_at == clock()
    assert (await Card.get()).dirty_at == clock()
    assert "already" in (await alice.types(f"replied {mail.code}")).title
    clock.advance(hours=1)
    back = await alice.presses(actions(reply)[0])
    assert back.lines == ("1 reminder waits again.",)
    await mail.refresh_from_db()
    await ana.refresh_from_db()
    assert (mail.replied_at, ana.replied_at) == (None, None)
    assert await Reminder.filter(done_at=None).count() == 2


async def test_what_is_overdue_when_a_reply_is_taken_back_comes_at_once_and_late(
    alice: Person, mail: Message, clock: Clock, bot_services: Services
):
    await alice.types(f"remind {mail.code} noreply 1d")
    await alice.types(f"replied {mail.code}")
    clock.advance(days=2)
    assert await fire_due(bot_services) == 0
    refused = await alice.types(f"snooze #{(await Reminder.get()).id} 1d")
    assert f"type: remind {mail.code} 1d" in refused.title
    await alice.types(f"replied {mail.code} off")
    assert await fire_due(bot_services) == 1


async def test_a_reply_told_by_hand_ends_what_waits_for_one_of_several_too(alice: Person, clock: Clock):
    both = await builders.mail(alice.account, clock(), to=("bob@acme.com", "ana@acme.com"))
    await alice.types("remind ana@acme.com noreply 1d")
    reply = await alice.types(f"replied {both.code}")
    assert reply.lines == ("1 reminder ended.",)


async def test_a_reply_that_was_seen_is_not_taken_back(alice: Person, mail: Message, clock: Clock):
    await Message.filter(id=mail.id).update(replied_at=clock())
    assert "I saw the reply itself" in (await alice.types(f"replied {mail.code} off")).title
    await mail.refresh_from_db()
    assert mail.replied_at == clock()


async def test_where_opens_say_nothing_the_answer_says_so(alice: Person, mail: Message, clock: Clock):
    await PersonRow.create(
        account=alice.account, address="ana@acme.com", created_at=clock(),
        learned={"mails": 4, "privacy": 4, "seen": 0},
    )  # fmt: skip
    reply = await alice.types(f"remind {mail.code} noopen 2d")
    assert "if nobody replies" in reply.title
    assert "Apple Mail" in reply.text


async def test_every_mail_gets_what_settings_say(alice: Person, clock: Clock, bot_services: Services):
    reply = await alice.types("settings remind noreply 3 working days")
    assert "if nobody replies, in 3 working days" in reply.title
    mail = await builders.mail(alice.account, clock())
    await apply_defaults(bot_services)
    row = await Reminder.get()
    assert (row.message_id, row.source) == (mail.id, "default")
    assert "remind: every mail, if nobody replies" in (await alice.types("settings")).text
    assert (await alice.types("settings remind 24 Dec")).kind == "error"
    assert (await alice.types("settings remind soon")).kind == "error"
    await alice.types("settings remind off")
    await builders.mail(alice.account, clock())
    await apply_defaults(bot_services)
    assert await Reminder.all().count() == 1


async def test_a_new_time_zone_and_other_working_days_move_what_waits(alice: Person, mail: Message):
    await alice.types(f"remind {mail.code} friday 9am")
    await alice.types(f"remind {mail.code} 5 working days")
    reply = await alice.types("settings timezone New York")
    assert "2 reminders moved along." in reply.text
    wall, length = await Reminder.all().order_by("id")
    assert wall.due_at == dt.datetime(2026, 3, 6, 14, 0, tzinfo=dt.UTC)
    # The clocks of New York change on 8 March: the same time there is an hour earlier in UTC.
    assert length.due_at == dt.datetime(2026, 3, 9, 8, 0, tzinfo=dt.UTC)
    await alice.types("settings workdays sun-thu")
    await length.refresh_from_db()
    assert length.due_at == dt.datetime(2026, 3, 9, 8, 0, tzinfo=dt.UTC)
    await alice.types("settings workdays mon, wed")
    await length.refresh_from_db()
    assert length.due_at == dt.datetime(2026, 3, 18, 8, 0, tzinfo=dt.UTC)
    account = await Account.get(id=alice.account.id)
    assert account.preferences["workdays"] == [0, 2]


async def test_what_keeps_the_links_of_somebody_forgotten_is_no_mail_to_come_back_to(
    alice: Person, mail: Message, clock: Clock
):
    husk = await builders.mail(alice.account, clock(), subject="", to=(), mode="off", armed=False)
    await Message.filter(id=husk.id).update(origin="forgotten")
    reply = await alice.types("remind 3d")
    assert f"({mail.code})" in reply.text
    assert husk.code not in reply.text
    assert (await alice.types(f"show {husk.code}")).kind is Kind.ERROR
    asked = await alice.types("forget https://acme.com/deck")
    assert "say which" not in asked.text
