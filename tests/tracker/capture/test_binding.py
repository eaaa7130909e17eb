"""A copy in BCC says what a mail is, when it left and to whom."""

from __future__ import annotations

import datetime as dt

from models import Alert, Captured, Card, Link, Message, OptOut, Recipient, Reminder
from tests.tracker.capture.copies import HOME, arrive, body_of, told, written
from tests.tracker.judging import SAFARI, Court, check_sums
from tracker.mail.opt_out import address_digest


async def test_the_copy_binds_arms_and_corrects(room: Court):
    mail = await room.mail(armed=False, subject="", to=())
    pixel = await room.pixel(mail)
    room.clock.advance(minutes=2)
    early = await room.request(pixel, SAFARI)
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="5")
    sent = room.clock.advance(minutes=2)
    room.clock.advance(seconds=30)
    later = await room.request(pixel, SAFARI)
    await room.judge_all()
    room.clock.advance(seconds=30)
    raw = written(room, await body_of(room, mail), date=sent, to="Ana <Ana@acme.com>")
    assert await arrive(room, raw) == "bound"
    mail = await Message.get(id=mail.id)
    assert (mail.subject, mail.armed_by, mail.armed_at, mail.sent_at) == (
        "Q3 proposal",
        "capture",
        sent,
        sent,
    )
    assert (mail.message_id_header, mail.from_address) == ("1@home.example", HOME)
    assert mail.captured_at == room.clock()
    assert await room.verdicts(mail) == ["sender", "human"]
    assert (await Alert.get(event_key=early)).fix_text
    assert (await Alert.get(event_key=later)).state in ("waiting", "sent")
    ana = await Recipient.get(message_id=mail.id)
    assert (ana.address, ana.name, ana.opens) == ("ana@acme.com", "Ana", 1)
    assert await Card.filter(message_id=mail.id, dirty_at__isnull=False).exists()
    await check_sums()


async def test_a_date_in_the_future_or_none_counts_as_the_arrival(room: Court):
    for number, date in (
        ("1", room.clock() + dt.timedelta(days=3)),
        ("2", dt.datetime(1980, 1, 1, tzinfo=dt.UTC)),
    ):
        mail = await room.mail(armed=False)
        room.clock.advance(minutes=1)
        await arrive(room, written(room, await body_of(room, mail), date=date, number=number))
        bound = await Message.get(id=mail.id)
        assert bound.armed_at == bound.sent_at == room.clock()


async def test_the_same_mail_again_changes_nothing(room: Court):
    mail = await room.mail(armed=False)
    raw = written(room, await body_of(room, mail))
    assert [await arrive(room, raw, "3d.what") for _ in range(3)] == ["bound"] * 3
    assert await Reminder.all().count() == 1
    assert await Captured.all().count() == 1
    assert len(await told()) == 1


async def test_a_mail_to_one_typed_and_several_written_shares_its_pixel(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    raw = written(
        room,
        await body_of(room, mail),
        to="ana@acme.com, bob@acme.com",
        date=room.clock.now - dt.timedelta(minutes=4),
    )
    assert await arrive(room, raw) == "bound"
    assert [one.address for one in await Recipient.all().order_by("position")] == [
        "ana@acme.com",
        "bob@acme.com",
    ]
    assert not await Link.filter(recipient_id__isnull=False).exists()
    assert [one.opens for one in await Recipient.all()] == [0, 0]
    assert (await Message.get(id=mail.id)).opens == 1


async def test_whoever_opted_out_is_not_recorded_in_a_mail_that_turns_out_to_be_theirs(room: Court):
    mail = await room.mail(to=())
    await OptOut.create(digest=address_digest(room.services, "ana@acme.com"), at=room.clock())
    await arrive(room, written(room, await body_of(room, mail)))
    assert not await Link.filter(recording=True).exists()
    assert (await Recipient.get()).opted_out_at


async def test_a_mail_without_tokens_is_watched_for_a_reply_and_says_so(room: Court):
    assert await arrive(room, written(room, subject="Lunch")) == "watched"
    mail = await Message.get()
    assert (mail.origin, mail.mode, mail.armed_by, mail.subject) == ("capture", "watch", "capture", "Lunch")
    assert await Card.filter(message_id=mail.id).count() == 1
    text = " ".join(await told())
    assert '"Lunch" is watched for a reply only' in text
    assert f"I take {HOME} as your address" in text


async def test_a_tag_orders_reminders_from_the_date_on_and_unclear_words_are_told(room: Court):
    mail = await room.mail()
    await arrive(room, written(room, await body_of(room, mail)), "noopen2d.noreply5d.blurb")
    rows = await Reminder.all().order_by("due_at")
    days = [(row.kind, (row.due_at - room.clock()).days) for row in rows]
    assert days == [("noopen", 2), ("noreply", 5)]
    assert "if no open is seen, in 2 days" in (await told())[0]
    assert "I did not understand +blurb" in (await told())[0]


async def test_off_stops_the_tracking_of_this_one(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    await arrive(
        room, written(room, await body_of(room, mail), date=room.clock() - dt.timedelta(minutes=4)), "off"
    )
    assert (await Message.get()).mode == "off"
    assert (await Message.get()).opens == 0
    assert not await Link.filter(recording=True).exists()
    assert await arrive(room, written(room, number="2"), "off") == "ignored"
    assert await Message.all().count() == 1


async def test_a_quoted_mail_that_left_before_is_not_bound_again(room: Court):
    mail = await room.mail(armed=False)
    await arrive(room, written(room, await body_of(room, mail)))
    room.clock.advance(days=1)
    raw = written(room, await body_of(room, mail), number="2", subject="Re: Q3 proposal")
    assert await arrive(room, raw) == "watched"
    assert (await Message.get(id=mail.id)).message_id_header == "1@home.example"
