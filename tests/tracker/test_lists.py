import datetime as dt

import pytest

from models import Recipient
from tests import builders
from tracker.insights.lists import count_messages, find_message, list_messages, search_messages


async def subjects(account, *arguments, **more) -> list[str]:
    return [message.subject for message in await list_messages(account, *arguments, **more)]


async def test_a_mail_is_found_by_its_code_and_never_for_somebody_else(database, clock):
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    mail = await builders.mail(alice, clock())
    assert await find_message(alice, f" {mail.code.upper()} ") == mail
    assert await find_message(bob, mail.code) is None
    assert await search_messages(bob, mail.code) == []
    assert await find_message(alice, "") is None


async def test_mails_are_found_by_words_of_subject_and_recipient(database, clock):
    alice = await builders.account("alice", clock())
    await builders.mail(alice, clock(), subject="Q3 proposal", to=("ana@acme.com",))
    await builders.mail(alice, clock.advance(minutes=1), subject="Größe 100%", to=("dan@other.example",))
    last = await builders.mail(
        alice, clock.advance(minutes=1), subject="Lunch", to=("ana@acme.com", "b@c.de")
    )
    await Recipient.filter(message=last, address="b@c.de").update(name="Bob Miller")
    assert await subjects(alice) == ["Lunch", "Größe 100%", "Q3 proposal"]
    for text, expected in (
        ("ACME", ["Lunch", "Q3 proposal"]),
        ("acme proposal", ["Q3 proposal"]),
        ("größe", ["Größe 100%"]),
        ("100%", ["Größe 100%"]),
        ("%", ["Größe 100%"]),
        ("_", []),
        ("miller lunch", ["Lunch"]),
        ("nothing like it", []),
    ):
        assert await subjects(alice, text=text) == expected, text
        assert await count_messages(alice, text=text) == len(expected)
        assert [one.subject for one in await search_messages(alice, text)] == expected


async def test_each_filter_lists_its_mails(database, clock):
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    await builders.mail(bob, clock(), subject="bob's", opens=1, clicks=1, muted=True)
    await builders.mail(alice, clock(), subject="untouched")
    await builders.mail(alice, clock(), subject="opened", opens=2)
    await builders.mail(alice, clock(), subject="clicked", clicks=1)
    await builders.mail(alice, clock(), subject="linkless", links=())
    await builders.mail(alice, clock(), subject="muted", muted=True)
    hour = dt.timedelta(hours=1)
    await builders.mail(alice, clock(), subject="for an hour", opens=1, clicks=1, muted_until=clock() + hour)
    await builders.mail(alice, clock(), subject="no more", opens=1, clicks=1, muted_until=clock() - hour)
    for which, expected in (
        ("unopened", {"untouched", "linkless", "muted"}),
        ("opened", {"opened", "clicked", "for an hour", "no more"}),
        ("clicked", {"clicked", "for an hour", "no more"}),
        ("unclicked", {"untouched", "opened", "muted"}),
        ("muted", {"muted", "for an hour"}),
    ):
        assert set(await subjects(alice, which, now=clock())) == expected, which
        assert await count_messages(alice, which, now=clock()) == len(expected)


async def test_pages_follow_each_other_and_hold_recipients_in_order(sqlite_database, clock):
    alice = await builders.account("alice", clock())
    for number in range(5):
        await builders.mail(alice, clock(), subject=str(number), to=("z@a.com", "a@a.com"))
    assert await subjects(alice, limit=2) == ["4", "3"]
    assert await subjects(alice, limit=2, offset=4) == ["0"]
    (message,) = await list_messages(alice, limit=1)
    assert [one.address for one in message.recipients] == ["z@a.com", "a@a.com"]


@pytest.mark.parametrize("text", ["'", '"', "\\", "%%", "a" * 500, "x " * 50, "\u202e", "\ud800", "\x00"])
async def test_odd_words_are_just_not_found(database, clock, text):
    alice = await builders.account("alice", clock())
    await builders.mail(alice, clock())
    assert await find_message(alice, text) is None
    if text != "\x00":  # of which nothing is left to look for
        assert await subjects(alice, text=text) == []
