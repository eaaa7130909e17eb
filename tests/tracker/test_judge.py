import asyncio
import datetime as dt
import itertools
import json
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from models import Alert, Card, Hit, Link, Message, Person, Recipient
from models.columns import to_micros
from models.database import open_database, parse_database_url
from models.writer import Statement, WriterDownError
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI, Court, check_sums, court, make_writer
from tracker.hits import own_devices, past
from tracker.hits.arming import arm
from tracker.hits.judge import MOST_ASIDE, Judge
from tracker.hits.rescore import rescore
from tracker.hits.rules import RULES_VERSION
from tracker.hits.shares import Shares


@pytest.fixture
async def room(database, clock: Clock):
    async with court(database, clock) as opened:
        yield opened


@pytest.fixture
async def lite(sqlite_database, clock: Clock):
    async with court(sqlite_database, clock) as opened:
        yield opened


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


async def test_judging_twice_changes_nothing(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=1)
    await room.request(await room.pixel(mail))
    await room.judge_all()
    room.clock.advance(minutes=5)
    assert await room.judge.judge_once() == 0
    assert await Judge(room.services).judge_once() == 0
    assert await Alert.all().count() == 1
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


async def test_a_crash_between_reading_and_writing_loses_and_doubles_nothing(room: Court, monkeypatch):
    mail = await room.mail()
    room.clock.advance(minutes=1)
    for minutes in range(3):
        await room.request(await room.pixel(mail), at=room.clock() + dt.timedelta(minutes=2 * minutes))
    apply = room.services.writer.apply
    answers = iter(["down", "lost"])

    async def failing(statements: Any) -> list[int]:
        fate = next(answers, None)
        if fate == "down":
            raise WriterDownError("gone")
        changed = await apply(statements)
        if fate == "lost":
            raise WriterDownError("the answer got lost")
        return changed

    monkeypatch.setattr(room.services.writer, "apply", failing)
    for _ in range(2):
        with pytest.raises(WriterDownError):
            await room.judge.judge_once()
    assert await room.judge.judge_once() == 0
    assert [ordinal for _, ordinal in await room.rung()] == [1, 2, 3]
    await check_sums()


async def test_two_judges_at_once_judge_everything_once(room: Court):
    mails = [await room.mail(links=("https://a.com", "https://b.com")) for _ in range(4)]
    room.clock.advance(minutes=1)
    generator = random.Random(7)
    for number in range(120):
        mail = generator.choice(mails)
        link = await (room.pixel(mail) if generator.random() < 0.6 else room.link(mail, 1 + number % 2))
        await room.request(
            link, at=room.clock() + dt.timedelta(seconds=number * 7), network=f"10.0.{number % 3}.0/24"
        )
    judges = [Judge(room.services), Judge(room.services), room.judge]

    async def drain(judge: Judge) -> None:
        while await judge.judge_once(limit=17):
            await asyncio.sleep(0)

    await asyncio.gather(*map(drain, judges))
    assert await Hit.filter(judged_at=None).count() == 0
    keys = [(alert.event_key, alert.event) for alert in await Alert.all()]
    assert len(keys) == len(set(keys)) == await Hit.filter(verdict__in=["human", "proxied"]).count()
    await check_sums()


async def test_judges_of_several_processes_never_both_succeed_with_one_mail(postgres_url, clock: Clock):
    url = parse_database_url(postgres_url)
    async with open_database(url), court(url, clock) as room, AsyncExitStack() as stack:
        mails = [await room.mail(links=("https://a.com", "https://b.com")) for _ in range(5)]
        clock.advance(minutes=1)
        generator = random.Random(5)
        judges = []
        for _ in range(3):
            writer = make_writer(url)
            await writer.start()
            stack.push_async_callback(writer.stop)
            judges.append(Judge(replace(room.services, writer=writer)))
        for number in range(300):
            mail = generator.choice(mails)
            link = await (room.pixel(mail) if generator.random() < 0.6 else room.link(mail, 1 + number % 2))
            at = clock() + dt.timedelta(seconds=number * 5)
            await room.request(link, at=at, network=f"10.0.{number % 3}.0/24")

        async def drain(judge: Judge) -> None:
            while await judge.judge_once(limit=9):
                await rescore(room.services, generator.choice(mails).id)

        await asyncio.gather(*map(drain, judges))
        assert await Hit.filter(judged_at=None).count() == 0
        keys = {(alert.event_key, alert.event) for alert in await Alert.filter(state="waiting")}
        assert len(keys) == await Hit.filter(verdict__in=["human", "proxied"]).count()
        await check_sums()


async def test_whatever_the_order_and_the_batches_judging_anew_changes_nothing(room: Court):
    generator = random.Random(11)
    agents = [CHROME, SAFARI, GMAIL, APPLE, None, "curl/8", "Strange/1"]
    for _round in range(4):
        mail = await room.mail(links=("https://a.com", "https://b.com", "https://c.com"))
        links = await Link.filter(message_id=mail.id).order_by("position")
        start = room.clock.advance(minutes=2)
        for _ in range(80):
            at = start + dt.timedelta(milliseconds=generator.randrange(0, 90_000))
            await room.request(
                generator.choice([links[0], *links]), generator.choice(agents), at=at,
                network=f"10.0.{generator.randrange(2)}.0/24",
                label=generator.choice([None, None, None, "hosting"]),
            )  # fmt: skip
            if generator.random() < 0.2:
                room.clock.advance(seconds=1)
                await room.judge.judge_once(limit=generator.randrange(1, 9))
        await room.judge_all()
        await check_sums([mail.id])
        before = await Hit.filter(message_id=mail.id).order_by("id").values()
        assert {hit["verdict"] for hit in before} >= {"human", "scanner", "duplicate", "privacy"}
        assert await rescore(room.services, mail.id) == []
        assert await Hit.filter(message_id=mail.id).order_by("id").values() == before
        revision = (await Message.get(id=mail.id)).revision
        await rescore(room.services, mail.id)
        assert (await Message.get(id=mail.id)).revision == revision


async def test_a_mail_under_fire_is_judged_from_its_newest_clicks(room: Court, monkeypatch):
    monkeypatch.setattr(past, "MANY_CLICKS", 10)
    monkeypatch.setattr(past, "NEWEST_CLICKS", 4)
    mail = await room.mail(links=("https://a.com", "https://b.com"))
    first, second = await room.link(mail, 1), await room.link(mail, 2)
    room.clock.advance(minutes=5)
    for number in range(30):
        room.clock.advance(milliseconds=300)
        await room.request(second if number % 2 else first, network=f"10.0.{number}.0/24")
        await room.judge.judge_once()
    assert await room.verdicts(mail) == ["scanner"] * 30
    room.clock.advance(minutes=1)
    await room.request(first, SAFARI)
    await room.judge_all()
    assert (await room.verdicts(mail))[-1] == "human"
    await check_sums()
    assert await rescore(room.services, mail.id) == []


async def test_when_no_mail_can_be_judged_the_judge_waits_instead_of_spinning(
    lite: Court, monkeypatch, caplog
):
    for number in range(MOST_ASIDE + 5):
        mail = await lite.mail(to=(f"p{number}@acme.com",))
        await lite.request(await lite.pixel(mail))

    async def failing(statements: Any) -> list[int]:
        raise ValueError("no")

    apply = lite.services.writer.apply
    monkeypatch.setattr(lite.services.writer, "apply", failing)
    task = asyncio.create_task(lite.judge.run())
    async with asyncio.timeout(20):
        while "judging failed" not in caplog.text:
            await asyncio.sleep(0.02)
    assert len(caplog.records) <= 2 * (MOST_ASIDE + 5)
    monkeypatch.setattr(lite.services.writer, "apply", apply)
    async with asyncio.timeout(20):
        while await Hit.filter(judged_at=None).exists():
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_which_mail_is_judged_first_does_not_matter(lite: Court):
    outcomes = []
    for order in itertools.permutations(range(3)):
        mails = [await lite.mail(links=("https://a.com", "https://b.com")) for _ in range(3)]
        at = lite.clock.advance(minutes=5)
        for index in order:
            for seconds, position in ((0, 1), (30, 1), (31, 2), (90, 1)):
                link = await lite.link(mails[index], position)
                await lite.request(link, at=at + dt.timedelta(seconds=seconds))
        await lite.judge_all()
        outcomes.append([await lite.verdicts(mail) for mail in mails])
    assert all(outcome == outcomes[0] for outcome in outcomes)


async def test_the_judge_survives_a_database_that_is_away_and_a_mail_it_cannot_judge(
    lite: Court, monkeypatch, caplog
):
    broken, fine = await lite.mail(), await lite.mail(to=("ben@acme.com",))
    lite.clock.advance(minutes=1)
    for mail in (broken, fine):
        await lite.request(await lite.pixel(mail))
    apply = lite.services.writer.apply
    down = iter([True])

    async def failing(statements: list[Statement]) -> list[int]:
        if next(down, False):
            raise WriterDownError("away")
        if any(row[-1] == broken.id for one in statements if "message" in one.sql for row in one.rows):
            raise ValueError("no")
        return await apply(statements)

    monkeypatch.setattr(lite.services.writer, "apply", failing)
    task = asyncio.create_task(lite.judge.run())
    async with asyncio.timeout(10):
        while await Hit.filter(message_id=fine.id, judged_at=None).exists():
            await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await Hit.filter(message_id=broken.id, judged_at=None).count() == 1
    assert "could not be judged" in caplog.text


async def test_a_ring_of_the_bell_starts_judging_and_wakes_delivery(lite: Court):
    mail = await lite.mail()
    lite.clock.advance(minutes=1)
    task = asyncio.create_task(lite.judge.run())
    await asyncio.sleep(0.05)
    await lite.request(await lite.pixel(mail))
    lite.services.wake.ring("hits")
    assert await lite.services.wake.wait("outbox", 5)
    assert await lite.rung() == [("open", 1)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_mail_deleted_while_it_is_judged_holds_up_nobody(room: Court, monkeypatch):
    doomed, fine = await room.mail(), await room.mail(to=("ben@acme.com",))
    room.clock.advance(minutes=1)
    for mail in (doomed, fine):
        await room.request(await room.pixel(mail))
    apply = room.services.writer.apply

    async def deleting(statements: Any) -> list[int]:
        await Message.filter(id=doomed.id).delete()
        return await apply(statements)

    monkeypatch.setattr(room.services.writer, "apply", deleting)
    await room.judge_all()
    assert (await Message.get(id=fine.id)).opens == 1
    assert await Alert.all().count() == 1


async def test_judges_of_one_database_share_its_mails(postgres_url, clock: Clock):
    url = parse_database_url(postgres_url)
    async with open_database(url), court(url, clock) as room:
        shares = [Shares(room.services) for _ in range(3)]
        for one in shares:
            await one.keep()
        clock.advance(seconds=1)
        for one in shares:
            await one.keep()
        conditions = {one.condition() for one in shares}
        assert conditions == {("AND message_id % 3 = ?", (place,)) for place in range(3)}
        await shares[0].leave()
        clock.advance(seconds=1)
        for one in shares[1:]:
            await one.keep()
        assert {one.condition()[1] for one in shares[1:]} == {(0,), (1,)}
        clock.advance(seconds=10)
        await shares[2].keep()
        assert shares[2].condition() == ("", ())


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
