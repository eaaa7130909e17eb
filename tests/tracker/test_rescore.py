import datetime as dt
import random

import pytest

from models import Alert, Card, Hit, Message, Recipient
from models.columns import to_micros
from tests.conftest import Clock
from tests.tracker.judging import APPLE, GMAIL, SAFARI, Court, check_sums, court
from tracker.hits import own_devices
from tracker.hits.arming import arm
from tracker.hits.rescore import Change, rescore
from tracker.hits.verdicts import Verdict


@pytest.fixture
async def room(database, clock: Clock):
    async with court(database, clock) as opened:
        yield opened


async def told(room: Court, device: str) -> None:
    await own_devices.learn(room.services, room.alice.id, device, "told")


async def test_a_device_told_to_be_ones_own_takes_its_hits_out(room: Court):
    mail = await room.mail()
    pixel = await room.pixel(mail)
    uids = []
    for device in ("mine", "hers", "mine", "hers"):
        room.clock.advance(minutes=2)
        uids.append(await room.request(pixel, SAFARI, device=device))
    await room.judge_all()
    await told(room, "mine")
    changes = await rescore(room.services, mail.id)
    assert changes == [
        Change(uid, "human", Verdict.SENDER, "own-device") for uid in (uids[0], uids[2])
    ]  # fmt: skip
    assert [hit.ordinal for hit in await Hit.all().order_by("id")] == [None, 1, None, 2]
    assert await room.rung() == [("open", 1), ("open", 2)]
    await check_sums()
    assert await rescore(room.services, mail.id) == []


async def test_what_was_taken_out_wrongly_counts_and_rings_again(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=2)
    uid = await room.request(await room.pixel(mail), SAFARI, device="hers")
    await room.judge_all()
    await told(room, "hers")
    await rescore(room.services, mail.id)
    assert (await Alert.get(event_key=uid)).state == "withdrawn"
    from models import OwnDevice

    await OwnDevice.all().delete()
    changes = await rescore(room.services, mail.id)
    assert [str(change.after) for change in changes] == ["human"]
    assert (await Alert.get(event_key=uid)).state == "waiting"
    await check_sums()


async def test_a_correction_that_did_not_go_out_is_dropped_when_the_hit_counts_after_all(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=2)
    uid = await room.request(await room.pixel(mail), SAFARI, device="hers")
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="1")
    await told(room, "hers")
    await rescore(room.services, mail.id)
    assert (await Alert.get(event_key=uid)).fix_text is not None
    from models import OwnDevice

    await OwnDevice.all().delete()
    await rescore(room.services, mail.id)
    alert = await Alert.get(event_key=uid)
    assert (alert.state, alert.fix_text) == ("sent", None)


async def test_what_rang_lately_says_the_number_that_its_hit_has_now(room: Court):
    mail = await room.mail()
    uids = []
    for minutes, device in ((2, "mine"), (2, "hers"), (30, "hers"), (2, "hers")):
        room.clock.advance(minutes=minutes)
        uids.append(await room.request(await room.pixel(mail), SAFARI, device=device))
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="1")
    await Alert.filter(event_key=uids[3]).update(state="folded")
    await told(room, "mine")
    await rescore(room.services, mail.id)
    rung = {one.event_key: (one.ordinal, one.fix_text) for one in await Alert.all()}
    assert rung[uids[0]][1]
    assert [rung[uid] for uid in uids[1:]] == [(2, None), (2, ""), (3, "")]  # the second is no news any more


async def test_a_hit_that_comes_late_moves_the_numbers_that_rang(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    uid = await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="1")
    late = room.clock() - dt.timedelta(minutes=2)
    await room.request(await room.pixel(mail), GMAIL, at=late)
    await room.judge_all()
    alert = await Alert.get(event_key=uid)
    assert (alert.ordinal, alert.fix_text) == (2, "")


async def test_confirmation_goes_with_the_click_that_gave_it(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=1)
    load = await room.request(await room.pixel(mail), APPLE)
    room.clock.advance(minutes=1)
    mine = await room.request(await room.link(mail), SAFARI, device="mine")
    room.clock.advance(minutes=5)
    hers = await room.request(await room.link(mail), SAFARI, device="hers")
    await room.judge_all()
    assert (await Hit.get(uid=load)).confirmed_by == mine
    await told(room, "mine")
    await rescore(room.services, mail.id)
    assert (await Hit.get(uid=load)).confirmed_by == hers
    await told(room, "hers")
    await rescore(room.services, mail.id)
    assert (await Hit.get(uid=load)).confirmed_by is None


@pytest.mark.parametrize("seed", range(6))
async def test_what_clicks_confirm_comes_out_the_same_when_judged_anew(room: Court, seed: int):
    """In any order of arrival, in any sittings, with scans among the clicks."""
    chance = random.Random(seed)
    mail = await room.mail(links=("https://acme.com/1", "https://acme.com/2"))
    pixel, links = await room.pixel(mail), [await room.link(mail), await room.link(mail, 2)]
    begin = room.clock.advance(minutes=5)
    for number in range(40):
        at = begin + dt.timedelta(seconds=chance.randrange(3600))
        network = f"198.51.{number}.0/24"
        if chance.random() < 0.6:
            await room.request(pixel, APPLE, at=at, network=network)
        else:
            await room.request(chance.choice(links), SAFARI, at=at, network=network)
            if chance.random() < 0.3:  # the other link at once: a scan, which takes its word back
                await room.request(
                    links[number % 2], SAFARI, at=at + dt.timedelta(seconds=1), network=network
                )
        if chance.random() < 0.4:
            room.clock.advance(seconds=1)
            await room.judge.judge_once()
    await room.judge_all()
    told = dict(await Hit.all().values_list("uid", "confirmed_by"))
    assert any(told.values())
    await Hit.all().update(confirmed_by=None, rules="old")
    await Hit.filter(kind="open").update(reason="strange")
    await rescore(room.services, mail.id)
    assert dict(await Hit.all().values_list("uid", "confirmed_by")) == told


async def test_what_a_reply_confirmed_stays_confirmed(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=1)
    load = await room.request(await room.pixel(mail), APPLE)
    await room.judge_all()
    await Hit.all().update(confirmed_by="reply:7")
    room.clock.advance(minutes=1)
    await room.request(await room.link(mail), SAFARI, device="mine")
    await room.judge_all()
    await told(room, "mine")
    await rescore(room.services, mail.id)
    assert (await Hit.get(uid=load)).confirmed_by == "reply:7"


async def test_counters_that_went_wrong_are_set_right(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), GMAIL)
    await room.request(await room.link(mail), SAFARI)
    await room.judge_all()
    await Message.all().update(opens=9, last_open_at=None)
    await Recipient.all().update(total_clicks=0)
    await mail.links.all().update(counted=5)
    assert await rescore(room.services, mail.id) == []
    await check_sums()


async def test_hits_that_wait_to_be_judged_are_left_to_the_judge(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), GMAIL)
    assert await rescore(room.services, mail.id) == []
    assert await Hit.filter(judged_at=None).count() == 1
    await room.judge_all()
    await check_sums()


async def test_a_mail_without_hits_or_without_row_is_nothing_to_do(room: Court):
    mail = await room.mail()
    assert await rescore(room.services, mail.id) == []
    assert await rescore(room.services, 10**12) == []


async def test_judging_anew_while_the_judge_works_loses_nothing(room: Court, monkeypatch):
    mail = await room.mail()
    pixel = await room.pixel(mail)
    room.clock.advance(minutes=2)
    await room.request(pixel, SAFARI, device="mine")
    await room.judge_all()
    await told(room, "mine")
    fetch = room.services.writer.fetch
    arrives = iter([True])

    async def judging_meanwhile(sql, arguments=()):
        rows = await fetch(sql, arguments)
        if next(arrives, False):
            room.clock.advance(minutes=2)
            await room.request(pixel, GMAIL)
            await room.judge_all()
        return rows

    monkeypatch.setattr(room.services.writer, "fetch", judging_meanwhile)
    await rescore(room.services, mail.id)
    assert await room.verdicts(mail) == ["sender", "proxied"]
    await check_sums()


async def test_the_card_follows(room: Court):
    mail = await room.mail(armed=False)
    card = await Card.create(message=mail, destination=room.chat, created_at=room.clock())
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    await Card.all().update(dirty_at=None)
    room.clock.advance(minutes=2)
    await arm(room.services, mail, room.clock() - dt.timedelta(seconds=1), "capture")
    await card.refresh_from_db()
    assert to_micros(card.dirty_at) == to_micros(room.clock())
    assert (await Message.get(id=mail.id)).last_event_at is None


async def test_what_came_before_the_mail_recorded_less_stays_counted(room: Court):
    mail = await room.mail()
    pixel = await room.pixel(mail)
    room.clock.advance(hours=1)
    await room.request(pixel, SAFARI)
    await room.judge_all()
    room.clock.advance(minutes=5)
    await Message.all().update(mode="off", details={"mode_since": to_micros(room.clock())})
    assert await rescore(room.services, mail.id) == []
    room.clock.advance(minutes=5)
    await room.request(pixel, SAFARI)  # as if it had been on its way
    await room.judge_all()
    assert await room.verdicts(mail) == ["human", "unknown"]
    assert (await Message.get()).opens == 1
