"""Ninety simulated days through the real judge: what is said of readers is what was planted in them."""

from __future__ import annotations

import datetime as dt
import itertools
import random

import pytest

from models import Account, Link, Message, Person, Recipient
from models.columns import to_micros
from models.database import DatabaseURL
from models.writer import RawHit
from tests import builders
from tests.conftest import Clock
from tests.tracker.habits import END, SENDERS, Reader, Sent, near, share, simulate
from tests.tracker.judging import APPLE, CHROME, GMAIL, Court, court
from tracker.insights.best import LEAST_OPENS, Best, NotEnough
from tracker.insights.habits import habits_of, habits_of_all
from tracker.insights.people import lists
from tracker.insights.person_sums import keep_people
from tracker.insights.rollups import keep
from tracker.keys import new_token

_uids = (f"s{number:031x}" for number in itertools.count(1))
_codes = (f"s{number:05d}" for number in itertools.count(1))


async def play(room: Court, readers: list[Reader]) -> dict[str, Account]:
    """Accounts by name, with all mails sent, opened, judged and answered; it is their last day."""
    accounts = {
        sender.name: await builders.account(sender.name, room.clock(), timezone=sender.zone)
        for sender in SENDERS
    }
    hits: list[RawHit] = []
    for reader in readers:
        account = accounts[reader.sender.name]
        own_zone = reader.zone if reader.zone != reader.sender.zone else None
        person = await Person.create(
            account=account, address=reader.address, timezone=own_zone, created_at=room.clock()
        )
        hits += await _post(account, person, reader)
    hits.sort(key=lambda hit: hit.at)
    for start in range(0, len(hits), 1000):
        await room.services.writer.record_many(hits[start : start + 1000])
    room.clock.now = END
    await room.judge_all()
    for reader in readers:
        await _answer(reader)
    await keep(room.services)
    await keep_people(room.services)
    return accounts


async def _post(account: Account, person: Person, reader: Reader) -> list[RawHit]:
    """The reader's mails as rows, each with a pixel of its own; what loads it."""
    messages, links = [], []
    for sent in reader.mails:
        message = Message(
            account_id=account.id, code=next(_codes), subject="Offer", origin="send", created_at=sent.at,
            arms_at=sent.at, armed_at=sent.at,
        )  # fmt: skip
        messages.append(message)
    await Message.bulk_create(messages)
    codes = [one.code for one in messages]
    rows = {one.code: one for one in await Message.filter(code__in=codes)}
    await Recipient.bulk_create(
        Recipient(message_id=rows[code].id, person_id=person.id, address=reader.address) for code in codes
    )
    of_mail = {one.message_id: one.id for one in await Recipient.filter(person_id=person.id)}
    hits: list[RawHit] = []
    for code, sent in zip(codes, reader.mails, strict=True):
        token, message = new_token(), rows[code]
        links.append(
            Link(
                token=token,
                kind="open",
                message_id=message.id,
                recipient_id=of_mail[message.id],
                created_at=sent.at,
            )
        )
        hits += _loads(token, reader, sent)
    await Link.bulk_create(links)
    return hits


def _loads(token: str, reader: Reader, sent: Sent) -> list[RawHit]:
    """Of a reader with Apple Mail the proxy's by night, whatever the person does; else their own looks."""
    chance = random.Random(token)
    agent, moments = _agent(reader), sent.opens
    if reader.apple:
        agent, moments = APPLE, [sent.at + dt.timedelta(hours=chance.uniform(1, 12))]
    return [
        RawHit(
            next(_uids), to_micros(at), token, "GET", None, agent, "203.0.113.0/24", None, None, None, "open"
        )
        for at in moments
    ]


def _agent(reader: Reader) -> str:
    return GMAIL if len(reader.address) % 2 else CHROME


def _views(reader: Reader) -> int:
    """Two looks within a minute are one view; through a provider's proxy within ten seconds."""
    gap, views = dt.timedelta(seconds=10 if _agent(reader) == GMAIL else 60), 0
    for sent in [] if reader.apple else reader.mails:
        last = None
        for at in sent.opens:
            if last is None or at - last > gap:
                views, last = views + 1, at
    return views


async def _answer(reader: Reader) -> None:
    copies = await Recipient.filter(address=reader.address).order_by("id")
    for copy, sent in zip(copies, reader.mails, strict=True):
        if sent.replied is not None and not reader.apple:
            await Recipient.filter(id=copy.id).update(replied_at=sent.replied)
            await Message.filter(id=copy.message_id).update(replied_at=sent.replied)


async def check(room: Court, readers: list[Reader]) -> tuple[list[bool], list[bool]]:
    """For each reader with enough opens: whether `best`, and whether a histogram, has the planted hour."""
    accounts = await play(room, readers)
    ours, plain = [], []
    for reader in readers:
        found = (await habits_of(room.services, accounts[reader.sender.name], reader.address)).found
        opens = found.opens if isinstance(found, NotEnough) else found.grid.opens
        assert opens == _views(reader), "each view counts, and Apple's loads never do"
        if opens < LEAST_OPENS:
            assert isinstance(found, NotEnough), "it refuses under the minimum"
            continue
        assert isinstance(found, Best)
        ours.append(near(found.hour, reader.hour))
        plain.append(near(reader.histogram(), reader.hour))
    for name, account in accounts.items():
        told = await lists(room.services, account, most=100)
        planted = {one.address for one in readers if one.ignores and one.sender.name == name}
        assert {one.address for one in told.people["ignores"]} == planted
        general = (await habits_of_all(room.services, account)).found
        assert isinstance(general, Best)
    said = f"best {share(ours):.0%}, a histogram {share(plain):.0%} of {len(ours)} readers"
    print(f"the planted hour: {said}")  # noqa: T201
    return ours, plain


async def test_in_a_small_simulation_best_finds_what_a_histogram_misses(
    sqlite_database: DatabaseURL, clock: Clock
):
    async with court(sqlite_database, clock) as room:
        ours, plain = await check(room, simulate(1, 20))
    assert len(ours) >= 12
    assert share(ours) >= 0.9
    assert share(plain) < share(ours)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_in_ninety_days_of_forty_readers_best_finds_nine_of_ten_and_a_histogram_not_half(
    database: DatabaseURL, clock: Clock, seed: int
):
    async with court(database, clock) as room:
        ours, plain = await check(room, simulate(seed))
    assert len(ours) >= 30
    assert share(ours) >= 0.9
    assert share(plain) <= 0.5
