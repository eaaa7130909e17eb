"""What judging a hit brings about: a verdict, a number, a ring, a card."""

import datetime as dt
import json

from models import Alert, Card, Hit, Message, Person, Recipient
from models.columns import to_micros
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import APPLE, GMAIL, SAFARI, Court, check_sums, court
from tracker.hits import own_devices
from tracker.hits.arming import arm
from tracker.hits.rules import RULES_VERSION


async def test_an_open_rings_once_in_each_chat_with_what_is_known(room: Court):
    await builders.destination(room.alice, "slack", "U1")
    off = await builders.destination(room.alice, "slack", "C9")
    off.off_at = room.clock()
    await off.save()
    mail = await room.mail()
    room.clock.advance(minutes=3)
    uid = await room.request(await room.pixel(mail), GMAIL)
    await room.judge_all()
    alerts = await Alert.all()
    assert len(alerts) == 2
    for alert in alerts:
        assert (alert.event, alert.ordinal, alert.event_key) == ("open", 1, uid)
        assert (alert.at, alert.due_at, alert.state) == (room.clock(), room.clock(), "waiting")
        assert alert.facts == {
            "who": "ana@acme.com", "client": "Gmail", "via": "Gmail", "after": 180, "label": None
        }  # fmt: skip
        assert alert.link_id is None
    hit = await Hit.get(uid=uid)
    assert (hit.verdict, hit.reason, hit.rules) == ("proxied", "image-proxy", RULES_VERSION)
    assert (hit.client, hit.ordinal, hit.judged_at) == ("Gmail", 1, room.clock())
    await check_sums()


async def test_a_click_is_held_ten_seconds_and_numbered_by_link(room: Court):
    mail = await room.mail(links=("https://acme.com/deck", "https://acme.com/price"))
    room.clock.advance(minutes=1)
    for position, wait in ((1, 60), (2, 120), (1, 180)):
        room.clock.advance(seconds=wait)
        await room.request(await room.link(mail, position))
        await room.judge_all()
    alerts = await Alert.all().order_by("id")
    assert [(alert.event, alert.ordinal) for alert in alerts] == [("click", 1), ("click", 1), ("click", 2)]
    assert alerts[0].due_at == alerts[0].at + dt.timedelta(seconds=10)
    assert alerts[1].facts["label"] == "acme.com/price"
    assert [hit.ordinal for hit in await Hit.all().order_by("id")] == [1, 2, 3]
    await check_sums()


async def test_a_burst_withdraws_the_click_that_waited_and_corrects_the_one_that_rang(room: Court):
    mail = await room.mail(links=("https://acme.com/deck", "https://acme.com/price"))
    room.clock.advance(minutes=5)
    first = await room.request(await room.link(mail, 1))
    await room.judge_all()
    await builders.destination(room.alice, "slack", "U1")
    assert await room.rung() == [("click", 1)]
    room.clock.advance(seconds=1)
    await room.request(await room.link(mail, 2), SAFARI, network="198.51.100.0/24")
    await room.judge_all()
    assert await room.verdicts(mail) == ["scanner", "scanner"]
    assert await room.rung() == []
    assert (await Alert.get(event_key=first)).state == "withdrawn"
    await check_sums()


async def test_a_rung_click_that_was_a_scan_is_corrected_in_place(room: Court):
    mail = await room.mail(links=("https://acme.com/deck", "https://acme.com/price"))
    room.clock.advance(minutes=5)
    first = await room.request(await room.link(mail, 1))
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="7")
    room.clock.advance(seconds=1)
    await room.request(await room.link(mail, 2))
    await room.judge_all()
    alert = await Alert.get(event_key=first)
    assert alert.state == "sent"
    assert alert.fix_text == "Correction, “Q3 proposal”: that was a security scan, not ana@acme.com."
    await check_sums()


async def test_a_click_confirms_what_apple_loaded_before_it_until_it_proves_a_scan(room: Court):
    mail = await room.mail(links=("https://a.com", "https://b.com"))
    room.clock.advance(minutes=1)
    load = await room.request(await room.pixel(mail), APPLE)
    room.clock.advance(minutes=1)
    click = await room.request(await room.link(mail, 1), SAFARI)
    await room.judge_all()
    assert (await Hit.get(uid=load)).confirmed_by == click
    assert (await Hit.get(uid=load)).verdict == "privacy"
    room.clock.advance(seconds=1)
    await room.request(await room.link(mail, 2), SAFARI)
    await room.judge_all()
    assert (await Hit.get(uid=load)).confirmed_by is None
    room.clock.advance(minutes=5)
    second = await room.request(await room.link(mail, 2), SAFARI)
    await room.judge_all()
    assert (await Hit.get(uid=load)).confirmed_by == second
    person = await Recipient.get(message_id=mail.id)
    assert person.loaded_at is not None
    assert person.opens == 0
    await check_sums()


async def test_a_load_that_arrives_after_its_click_is_confirmed_too(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=2)
    click = await room.request(await room.link(mail), SAFARI)
    await room.judge_all()
    load = await room.request(await room.pixel(mail), APPLE, at=room.clock() - dt.timedelta(seconds=30))
    later = await room.request(await room.pixel(mail), APPLE, at=room.clock() + dt.timedelta(seconds=1))
    await room.judge_all()
    assert (await Hit.get(uid=load)).confirmed_by == click
    assert (await Hit.get(uid=later)).confirmed_by is None
    await check_sums()


async def test_a_hit_replayed_late_gets_its_right_number_and_time(room: Court):
    mail = await room.mail()
    pixel = await room.pixel(mail)
    room.clock.advance(minutes=30)
    start = room.clock()
    for minutes in (10, 20):
        await room.request(pixel, at=start + dt.timedelta(minutes=minutes))
    await room.judge_all()
    late = await room.request(pixel, at=start + dt.timedelta(minutes=5))
    between = await room.request(pixel, at=start + dt.timedelta(minutes=15))
    await room.judge_all()
    assert (await Hit.get(uid=late)).ordinal == 1
    assert (await Hit.get(uid=between)).ordinal == 3
    assert (await Alert.get(event_key=between)).ordinal == 3
    assert (await Message.get(id=mail.id)).first_open_at == start + dt.timedelta(minutes=5)
    await check_sums()


async def test_several_who_share_a_pixel_are_someone_of_them(room: Court):
    mail = await room.mail(to=("ana@acme.com", "ben@acme.com", "cleo@acme.com"))
    room.clock.advance(minutes=1)
    await room.request(await room.pixel(mail))
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail))
    await room.judge_all()
    alerts = await Alert.all().order_by("id")
    assert [alert.ordinal for alert in alerts] == [1, 2]
    assert alerts[0].facts["who"] == "someone of 3"
    assert alerts[0].recipient_id is None
    await check_sums()


async def test_cards_of_a_list_come_with_the_first_counted_hit(room: Court):
    mail = await room.mail()
    mail.origin = "list"
    await mail.save(update_fields=["origin"])
    pixel = await room.pixel(mail)
    room.clock.advance(minutes=1)
    await room.request(pixel, APPLE)
    await room.judge_all()
    assert await Card.all().count() == 0
    room.clock.advance(minutes=1)
    await room.request(pixel, GMAIL)
    await room.judge_all()
    card = await Card.get(message_id=mail.id)
    assert (card.destination_id, card.dirty_at) == (room.chat.id, room.clock())


async def test_a_card_is_drawn_anew_when_something_shows_and_left_alone_otherwise(room: Court):
    mail = await room.mail()
    card = await Card.create(message=mail, destination=room.chat, created_at=room.clock())
    room.clock.advance(minutes=1)
    await room.request(await room.pixel(mail), "curl/8.0")
    await room.judge_all()
    await card.refresh_from_db()
    assert card.dirty_at is None
    room.clock.advance(minutes=1)
    await room.request(await room.pixel(mail), APPLE)
    await room.judge_all()
    await card.refresh_from_db()
    assert card.dirty_at == room.clock()


async def test_a_repeat_of_a_view_rings_nothing_and_names_its_original(room: Court):
    mail = await room.mail()
    pixel = await room.pixel(mail)
    room.clock.advance(minutes=2)
    first = await room.request(pixel)
    await room.judge_all()
    again = await room.request(pixel, at=room.clock() + dt.timedelta(milliseconds=5))
    await room.judge_all()
    hit = await Hit.get(uid=again)
    assert (hit.verdict, hit.reason, hit.folded_into, hit.ordinal) == ("duplicate", "repeat", first, None)
    assert await room.rung() == [("open", 1)]
    await check_sums()


async def test_the_policy_of_the_mail_stands_above_the_persons_and_the_accounts(lite: Court):
    lite.alice.ring_opens = "none"
    await lite.alice.save()
    await Person.create(
        account=lite.alice, address="ana@acme.com", created_at=lite.clock(), ring_opens="first"
    )
    quiet = await lite.mail(to=("ben@acme.com",))
    first = await lite.mail()
    everything = await lite.mail(ring_opens="all")
    for _ in range(3):
        lite.clock.advance(minutes=2)
        for mail in (quiet, first, everything):
            await lite.request(await lite.pixel(mail))
        await lite.judge_all()
    by_mail = [(alert.message_id, alert.ordinal) for alert in await Alert.all().order_by("message_id", "id")]
    assert by_mail == [(first.id, 1), (everything.id, 1), (everything.id, 2), (everything.id, 3)]


async def test_only_what_is_important_rings_a_mail_that_gets_hot_and_one_that_comes_back(room: Court):
    room.alice.ring_opens = "important"
    await room.alice.save()
    mail = await room.mail()
    pixel = await room.pixel(mail)
    for hours in (1, 1, 1, 1, 24 * 20):
        room.clock.advance(hours=hours)
        await room.request(pixel)
        await room.judge_all()
    alerts = await Alert.all().order_by("id")
    assert [(alert.event, alert.ordinal) for alert in alerts] == [("open", 1), ("hot", 3), ("revived", 5)]
    assert alerts[2].facts["silent_days"] == 20


async def test_a_backlog_rings_hot_as_if_it_had_come_one_by_one(lite: Court):
    lite.alice.ring_opens = "important"
    await lite.alice.save()
    mail = await lite.mail()
    for hours in range(1, 6):
        await lite.request(await lite.pixel(mail), at=lite.clock() + dt.timedelta(hours=hours))
    await lite.judge_all()
    assert [event for event, _ in await lite.rung()] == ["open", "hot"]


async def test_the_senders_own_device_does_not_ring_but_in_a_trial(sqlite_database, clock: Clock):
    for base_url, expected in (("https://t.example", "sender"), ("http://localhost:8080", "human")):
        async with court(sqlite_database, clock, base_url=base_url) as room:
            mail = await room.mail()
            await own_devices.learn(room.services, room.alice.id, "d1", "copy-page")
            clock.advance(minutes=3)
            await room.request(await room.pixel(mail), device="d1")
            await room.request(await room.pixel(mail), SAFARI, device="d2", network="192.0.2.0/24")
            await room.judge_all()
            assert await room.verdicts(mail) == [expected, "human"]


async def test_nobody_elses_device_is_ones_own(lite: Court):
    bob = await builders.account("bob", lite.clock())
    await own_devices.learn(lite.services, bob.id, "d1", "told")
    mail = await lite.mail()
    lite.clock.advance(minutes=3)
    await lite.request(await lite.pixel(mail), device="d1")
    await lite.judge_all()
    assert await lite.verdicts(mail) == ["human"]


async def test_details_are_json_that_people_can_query(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=1)
    uid = await room.request(await room.pixel(mail), purpose="prefetch")
    await room.judge_all()
    details = (await Hit.get(uid=uid)).details
    assert (json.loads(details) if isinstance(details, str) else details) == {"purpose": "prefetch"}


async def test_arming_takes_the_senders_own_look_out_of_the_counters(room: Court):
    mail = await room.mail(armed=False)
    room.clock.advance(seconds=90)
    uid = await room.request(await room.pixel(mail))
    await room.judge_all()
    assert await room.verdicts(mail) == ["human"]
    room.clock.advance(minutes=5)
    changes = await arm(room.services, mail, room.clock() - dt.timedelta(minutes=1), "capture")
    assert [(change.uid, change.before, str(change.after)) for change in changes] == [
        (uid, "human", "sender")
    ]
    assert (await Alert.get(event_key=uid)).state == "withdrawn"
    assert to_micros((await Message.get(id=mail.id)).armed_at) == to_micros(
        room.clock() - dt.timedelta(minutes=1)
    )
    await check_sums()
