import datetime as dt
import itertools

from models import Hit, Link
from tests import builders
from tracker.insights.stats import Stats, stats

_uids = (f"{number:032x}" for number in itertools.count(1))


async def hit(message, at, verdict):
    link = await Link.filter(message=message).first()
    await Hit.create(uid=next(_uids), at=at, kind=link.kind, link=link, message=message, verdict=verdict)


async def test_totals_rates_and_classes_of_an_account(database, clock):
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    old = await builders.mail(alice, clock() - dt.timedelta(days=40), opens=9)
    opened = await builders.mail(alice, clock(), opens=3, replied_at=clock())
    await builders.mail(alice, clock(), clicks=2)
    await builders.mail(alice, clock(), links=())
    await builders.mail(alice, clock(), mode="off", links=())
    theirs = await builders.mail(bob, clock(), opens=5, clicks=5)
    for message, verdict in (
        (old, "bot"),
        (opened, "human"),
        (opened, "human"),
        (opened, None),
        (theirs, "human"),
    ):
        await hit(message, clock(), verdict)
    month = await stats(alice, clock() - dt.timedelta(days=30))
    assert (month.mails, month.opened, month.clicked, month.with_links, month.replied) == (3, 2, 1, 2, 1)
    assert (month.opens, month.clicks) == (3, 2)
    assert (month.open_rate, month.click_rate) == (2 / 3, 1 / 2)
    assert month.classes == {"human": 2, "unjudged": 1}
    ever = await stats(alice)
    assert (ever.mails, ever.opens, ever.classes["bot"]) == (4, 12, 1)


async def test_without_mails_there_are_no_rates(database, clock):
    alice = await builders.account("alice", clock())
    assert await stats(alice, clock()) == Stats(since=clock())
    assert (await stats(alice)).open_rate is None
    assert (await stats(alice)).click_rate is None
