"""Sums never drift: whatever happened to mails and hits, they are what a recount of the rows gives."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections import Counter
from dataclasses import replace

import pytest

from models import Account, HourSum, MailSum, Message, PersonSum, Recipient, Stale
from models import Person as PersonRow
from models.columns import to_micros
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, Court, court, make_writer
from tracker import retention
from tracker.hits.reclassify import reclassify
from tracker.hits.rescore import rescore
from tracker.insights import folding, people
from tracker.insights import stats as figures
from tracker.insights.people import Reading, lists, person
from tracker.insights.person_sums import keep_people
from tracker.insights.rollups import SUMS, fold, keep, look_around, shares
from tracker.insights.stale import mark_stale
from tracker.insights.stats import stats
from tracker.mail.forget import forget_message
from tracker.mail.forget_person import forget_person

ADDRESSES = ("ana@acme.com", "ben@acme.com", "eva@other.org")


class History:
    """Alice's account, and what may happen to it, in an order that the seed decides."""

    def __init__(self, room: Court, seed: int) -> None:
        self.room, self.services, self.chance = room, room.services, random.Random(seed)

    async def happen(self) -> None:
        events = (
            self.send, self.send, self.read, self.read, self.read, self.judge, self.judge, self.fold,
            self.rescore, self.reclassify, self.answer, self.forget, self.forget_person, self.sweep,
        )  # fmt: skip
        await self.chance.choice(events)()
        self.room.clock.advance(minutes=self.chance.choice((1, 7, 45, 600)))

    async def send(self) -> None:
        to = tuple(self.chance.sample(ADDRESSES, self.chance.choice((1, 1, 2))))
        mode = self.chance.choice(("full", "full", "off"))
        mail = await self.room.mail(to=to, mode=mode)
        for one in await Recipient.filter(message=mail):
            known, _ = await PersonRow.get_or_create(
                {"created_at": self.room.clock()}, account=self.room.alice, address=one.address
            )
            await Recipient.filter(id=one.id).update(person_id=known.id)

    async def _mail(self) -> Message | None:
        mails = await Message.filter(origin="compose").order_by("id")
        return self.chance.choice(mails) if mails else None

    async def read(self) -> None:
        mail = await self._mail()
        if mail is not None:
            link = await (self.room.pixel(mail) if self.chance.random() < 0.7 else self.room.link(mail))
            for _ in range(self.chance.choice((1, 1, 3))):
                agent = self.chance.choice((GMAIL, APPLE, CHROME, "python-requests/2", None))
                network = f"198.51.{self.chance.randrange(3)}.0/24"
                await self.room.request(link, agent, network=network)

    async def judge(self) -> None:
        await self.room.judge_all()

    async def fold(self) -> None:
        await fold(self.services)

    async def rescore(self) -> None:
        mail = await self._mail()
        if mail is not None:
            later = self.room.clock() - dt.timedelta(minutes=self.chance.randrange(60))
            await Message.filter(id=mail.id).update(armed_at=later, revision=mail.revision + 1)
            await rescore(self.services, mail.id)

    async def reclassify(self) -> None:
        await reclassify(self.services, anew=True)

    async def answer(self) -> None:
        """Nobody marks it here: it is found."""
        mail = await self._mail()
        if mail is not None:
            at = self.room.clock()
            await Message.filter(id=mail.id).update(replied_at=at)
            await Recipient.filter(message_id=mail.id).update(replied_at=at)

    async def forget(self) -> None:
        mail = await self._mail()
        if mail is not None and self.chance.random() < 0.3:
            await forget_message(self.services, self.room.alice, mail.code)

    async def forget_person(self) -> None:
        if self.chance.random() < 0.2:
            await forget_person(self.services, self.room.alice, self.chance.choice(ADDRESSES))

    async def sweep(self) -> None:
        if self.chance.random() < 0.3:
            self.room.clock.advance(days=12)
            await retention.enforce(self.services, 3)


async def recount(services) -> dict[tuple[int, int], list[int]]:
    """By account and hour what the rows give now, without hours in which all is naught."""
    rows = await services.writer.fetch(shares("m.id > ?"), (0, 0))
    found: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        key = (row[1], row[2])
        found[key] = [one + more for one, more in zip(found.get(key, [0] * len(SUMS)), row[4:], strict=True)]
    return {key: sums for key, sums in found.items() if any(sums)}


async def kept() -> dict[tuple[int, int], list[int]]:
    found = {(row.account_id, row.hour): [getattr(row, name) for name in SUMS] for row in await HourSum.all()}
    return {key: sums for key, sums in found.items() if any(sums)}


async def settle(services) -> None:
    """Runs the duties until they have looked at everything once more."""
    for _ in range(3):
        await look_around(services)
        await keep(services)
        await keep_people(services)


async def check(room: Court) -> None:
    await settle(room.services)
    assert await kept() == await recount(room.services)
    assert await Stale.all().count() == 0
    assert await MailSum.all().count() == await Message.all().count()
    now = to_micros(room.clock())
    for row in await PersonSum.all().prefetch_related("person"):
        wanted, _ = await person(room.services, room.alice, row.person.address)
        got = Reading(
            row.person.address, row.mails, row.tracked, row.opened, row.answered, row.opens, row.clicks,
            row.unseen, wanted.delay, _micros(row.sent_at), _micros(row.first_at), _micros(row.seen_at),
            wanted.third,
        )  # fmt: skip
        assert got == wanted
        hot = [bool(third and third > now - people.HOT) for third in (_micros(row.third_at), wanted.third)]
        assert hot[0] == hot[1]


def _micros(at: dt.datetime | None) -> int | None:
    return None if at is None else to_micros(at)


@pytest.mark.parametrize("seed", range(6))
async def test_sums_are_what_a_recount_gives_whatever_happened(
    database: DatabaseURL, clock: Clock, seed: int
):
    async with court(database, clock, retention_days=10) as room:
        history = History(room, seed)
        for _ in range(25):
            await history.happen()
        await check(room)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 140))
async def test_sums_never_drift_in_long_histories(sqlite_database: DatabaseURL, clock: Clock, seed: int):
    async with court(sqlite_database, clock, retention_days=10) as room:
        history = History(room, seed)
        for number in range(150):
            await history.happen()
            if number % 50 == 49:
                await check(room)


async def test_two_processes_that_fold_at_once_count_nothing_twice(database: DatabaseURL, clock: Clock):
    async with court(database, clock) as room:
        mails = [await room.mail() for _ in range(20)]
        for mail in mails:
            await room.request(await room.pixel(mail))
        await room.judge_all()
        other = make_writer(database)
        await other.start()
        beside = replace(room.services, writer=other)
        work = [fold(one) for one in (room.services, beside) * 3]
        await asyncio.gather(*work, keep_people(room.services), keep_people(beside))
        await other.stop()
        assert await kept() == await recount(room.services)
        (row,) = await HourSum.all()
        assert (row.mails, row.opened, row.human) == (20, 20, 20)


async def test_what_changes_while_it_is_folded_is_folded_again(database: DatabaseURL, clock: Clock):
    async with court(database, clock) as room:
        mail = await room.mail()
        await mark_stale(room.alice.id, [mail.id])
        marks = await folding.read_marks(room.services, "message_id", None, 10)
        await room.request(await room.pixel(mail))
        await room.judge_all()  # marks it again
        await room.services.writer.apply(folding.in_turn(folding.unmark(marks)))
        assert await Stale.filter(message_id=mail.id).count() == 1
        await fold(room.services)
        assert await kept() == await recount(room.services)


async def test_figures_from_sums_are_those_from_rows(
    database: DatabaseURL, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    async with court(database, clock, arm_after_seconds=0) as room:
        history = History(room, 7)
        for _ in range(40):
            await history.happen()
        services, now = room.services, room.clock()
        await settle(services)
        spans = [None, now - dt.timedelta(days=30), now - dt.timedelta(hours=7, minutes=13)]
        for since in spans:
            from_rows = await stats(room.alice, since)
            with monkeypatch.context() as patch:
                patch.setattr(figures, "SMALL", 0)
                from_sums = await stats(room.alice, since, services)
            assert Counter(from_sums.classes) == Counter(from_rows.classes)
            assert {**vars(from_sums), "classes": {}} == {**vars(from_rows), "classes": {}}
        by_rows = await lists(services, room.alice)
        monkeypatch.setattr(people, "SMALL", 0)
        by_sums = await lists(services, room.alice)
        assert by_sums.readers == by_rows.readers
        assert by_sums.answers_seen == by_rows.answers_seen
        for name in people.STANDINGS:
            assert {one.address for one in by_sums.people[name]} == {
                one.address for one in by_rows.people[name]
            }


async def test_an_account_with_many_mails_sees_what_was_just_marked(
    sqlite_database: DatabaseURL, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(figures, "SMALL", 0)
    async with court(sqlite_database, clock) as room:
        mail = await room.mail()
        await keep(room.services)
        assert (await stats(room.alice, None, room.services)).opens == 0
        await room.request(await room.pixel(mail))
        await room.judge_all()
        assert (await stats(room.alice, None, room.services)).opens == 1


async def test_days_are_those_of_the_account_and_none_is_left_out(
    sqlite_database: DatabaseURL, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    async with court(sqlite_database, clock) as room:
        zone = dt.timezone(dt.timedelta(hours=-5))
        await room.mail()
        clock.advance(hours=18)  # 3:00 UTC: still the same day there
        await builders.mail(room.alice, clock(), opens=2, clicks=1)
        clock.advance(days=2)
        since = clock() - dt.timedelta(days=3)
        await keep(room.services)
        for most in (figures.SMALL, 0):
            monkeypatch.setattr(figures, "SMALL", most)
            found = await figures.days(room.services, room.alice, since, zone, clock())
            assert [(one.day.day, one.mails, one.opened, one.clicked) for one in found] == [
                (1, 0, 0, 0), (2, 2, 1, 1), (3, 0, 0, 0), (4, 0, 0, 0),
            ]  # fmt: skip


async def test_an_account_that_goes_leaves_no_sums(sqlite_database: DatabaseURL, clock: Clock):
    async with court(sqlite_database, clock) as room:
        await room.mail()
        await keep(room.services)
        await Account.filter(id=room.alice.id).delete()
        await settle(room.services)
        assert await kept() == {}
        assert await MailSum.all().count() == 0
