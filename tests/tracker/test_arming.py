import datetime as dt

import pytest

from models import Alert, Hit, Message
from tests.conftest import Clock
from tests.tracker.judging import CHROME, GMAIL, SAFARI, Court, check_sums, court
from tracker.hits.arming import arm, armed_since, copy_page_shown
from tracker.hits.evidence import SECOND, MailFacts


@pytest.fixture
async def room(sqlite_database, clock: Clock):
    async with court(sqlite_database, clock) as opened:
        yield opened


def test_a_mail_counts_from_its_arming_less_the_skew_of_two_clocks():
    assert armed_since(MailFacts("compose", "full", 0, 60 * SECOND, 30 * SECOND)) == 28 * SECOND
    assert armed_since(MailFacts("compose", "full", 0, 60 * SECOND)) == 60 * SECOND


async def test_a_mail_arms_itself_and_counts_from_then_on(room: Court):
    mail = await room.mail(armed=False)
    pixel = await room.pixel(mail)
    for seconds in (10, 49, 2):
        room.clock.advance(seconds=seconds)
        await room.request(pixel, GMAIL)
    await room.judge_all()
    assert await room.verdicts(mail) == ["sender", "sender", "proxied"]


async def test_the_senders_press_arms_at_once(room: Court):
    mail = await room.mail(armed=False)
    pixel = await room.pixel(mail)
    room.clock.advance(seconds=5)
    await room.request(pixel, CHROME)
    room.clock.advance(seconds=5)
    assert await arm(room.services, mail, room.clock(), "sent") == []
    assert (mail.armed_by, mail.armed_at) == ("sent", room.clock())
    room.clock.advance(seconds=3)
    await room.request(pixel, SAFARI)
    await room.judge_all()
    assert await room.verdicts(mail) == ["sender", "human"]
    assert await room.rung() == [("open", 1)]


async def test_a_late_press_takes_nothing_away_that_counted(room: Court):
    mail = await room.mail(armed=False)
    room.clock.advance(minutes=3)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    room.clock.advance(minutes=3)
    assert await arm(room.services, mail, room.clock(), "sent") == []
    assert await room.verdicts(mail) == ["human"]
    assert mail.armed_by == "sent"


async def test_the_mails_own_copy_takes_back_what_was_composing_and_corrects_what_rang(room: Court):
    mail = await room.mail(armed=False)
    pixel = await room.pixel(mail)
    room.clock.advance(minutes=2)
    early = await room.request(pixel, SAFARI)
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="5")
    room.clock.advance(minutes=2)
    sent_at = room.clock()
    room.clock.advance(minutes=2)
    later = await room.request(pixel, SAFARI)
    await room.judge_all()
    changes = await arm(room.services, mail, sent_at, "capture")
    assert [change.uid for change in changes] == [early]
    assert await room.verdicts(mail) == ["sender", "human"]
    rung = await Alert.get(event_key=early)
    assert (
        rung.fix_text == "Correction, “Q3 proposal”: that was you, composing or previewing, not ana@acme.com."
    )
    waiting = await Alert.get(event_key=later)
    assert (waiting.state, waiting.ordinal) == ("waiting", 1)
    await check_sums()
    assert await arm(room.services, mail, room.clock(), "sent") == []
    assert (await Message.get(id=mail.id)).armed_by == "capture"


@pytest.mark.parametrize(("minutes_ago", "rings"), [(3, True), (30, False)])
async def test_a_hit_that_counts_after_all_rings_only_while_it_is_news(room: Court, minutes_ago, rings):
    mail = await room.mail(armed=False)
    pixel = await room.pixel(mail)
    await copy_page_shown(room.services, mail)
    room.clock.advance(seconds=20)
    sent_at = room.clock()
    room.clock.advance(seconds=20)
    await room.request(pixel, GMAIL)
    await room.judge_all()
    assert await room.rung() == []
    room.clock.advance(minutes=minutes_ago)
    await arm(room.services, mail, sent_at, "capture")
    assert await room.verdicts(mail) == ["proxied"]
    assert await room.rung() == ([("open", 1)] if rings else [])
    await check_sums()


async def test_a_copy_dated_in_the_future_or_before_the_mail_was_made_is_not_believed(room: Court):
    made = room.clock()
    mail, other = await room.mail(armed=False), await room.mail(armed=False)
    room.clock.advance(minutes=1)
    await arm(room.services, mail, room.clock() + dt.timedelta(hours=3), "capture")
    assert mail.armed_at == room.clock()
    await arm(room.services, other, made - dt.timedelta(days=300), "capture")
    assert other.armed_at == made


async def test_showing_the_copy_page_puts_arming_off_until_something_counted(room: Court):
    mail = await room.mail(armed=False)
    room.clock.advance(seconds=50)
    await copy_page_shown(room.services, mail)
    expected = room.clock() + dt.timedelta(seconds=60)
    assert (await Message.get(id=mail.id)).arms_at == mail.arms_at == expected
    room.clock.advance(seconds=70)
    await room.request(await room.pixel(mail), GMAIL)
    await room.judge_all()
    await copy_page_shown(room.services, mail)
    assert (await Message.get(id=mail.id)).arms_at == mail.arms_at == expected


async def test_showing_the_copy_page_of_a_sent_mail_changes_nothing(room: Court):
    mail = await room.mail()
    arms_at = mail.arms_at
    room.clock.advance(minutes=5)
    await copy_page_shown(room.services, mail)
    assert (await Message.get(id=mail.id)).arms_at == arms_at


async def test_with_no_waiting_time_a_mail_counts_at_once(sqlite_database, clock: Clock):
    async with court(sqlite_database, clock, arm_after_seconds=0) as room:
        mail = await room.mail(armed=False)
        await Message.filter(id=mail.id).update(arms_at=clock())
        await room.request(await room.pixel(mail), GMAIL)
        await room.judge_all()
        assert await room.verdicts(mail) == ["proxied"]


async def test_arming_during_judging_is_not_overlooked(room: Court, monkeypatch):
    mail = await room.mail(armed=False)
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), SAFARI)
    room.clock.advance(minutes=2)
    apply = room.services.writer.apply
    armed = iter([True])

    async def arming_meanwhile(statements):
        if next(armed, False):
            await arm(room.services, mail, room.clock(), "capture")
        return await apply(statements)

    monkeypatch.setattr(room.services.writer, "apply", arming_meanwhile)
    await room.judge_all()
    assert await room.verdicts(mail) == ["sender"]
    assert await Alert.all().count() == 0
    assert (await Hit.all())[0].reason == "before-sending"
    await check_sums()


async def test_a_look_at_the_copy_page_takes_no_open_back_that_waits_to_be_judged(room: Court):
    """The mail had armed itself; its first open and the look at the page come at the same moment."""
    mail = await room.mail(armed=False)
    room.clock.advance(minutes=5)
    await room.request(await room.pixel(mail), SAFARI)
    await copy_page_shown(room.services, mail)
    await room.judge_all()
    assert await room.verdicts(mail) == ["human"]
