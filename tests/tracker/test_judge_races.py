"""Several judges, any order, any batches: every hit is judged once, and in the end the same."""

import asyncio
import datetime as dt
import itertools
import random
from contextlib import AsyncExitStack
from dataclasses import replace

from models import Alert, Hit, Link, Message
from models.database import open_database, parse_database_url
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI, Court, check_sums, court, make_writer
from tracker.hits import past
from tracker.hits.judge import Judge
from tracker.hits.rescore import rescore
from tracker.hits.shares import Shares


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
        await shares[1].keep()
        clock.advance(hours=-3)  # what both noted is of the future now
        await shares[2].keep()
        assert shares[2].condition() == ("", ())
