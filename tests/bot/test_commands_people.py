"""people and best: what is known of a person, who stands out, and when to write."""

from __future__ import annotations

import datetime as dt
import io
import itertools

import pytest
from PIL import Image

from bot.chat import Kind
from models import Account, Habit, Hit, Link, Message, Person, Recipient
from tests import builders
from tests.bot import talk
from tests.bot.talk import actions
from tests.conftest import Clock
from tracker.insights import habits
from tracker.services import Services

_uids = (f"p{number:031x}" for number in itertools.count(1))


async def opened(
    mail: Message, *moments: dt.datetime, verdict: str = "human", replied: dt.datetime | None = None
) -> None:
    """Opens of the mail's only recipient, with the counters that the judge would write."""
    pixel = await Link.get(message=mail, kind="open")
    person = await Recipient.get(message=mail)
    for at in moments:
        await Hit.create(
            uid=next(_uids), at=at, kind="open", link=pixel, message=mail, recipient=person,
            verdict=verdict, judged_at=at, ordinal=1,
        )  # fmt: skip
    if verdict == "privacy":
        await Recipient.filter(id=person.id).update(loaded_at=moments[0], total_opens=len(moments))
    elif moments:
        await Recipient.filter(id=person.id).update(
            opens=len(moments), first_open_at=moments[0], last_open_at=moments[-1]
        )
    if replied is not None:
        await Recipient.filter(id=person.id).update(replied_at=replied)


async def read_at(
    account: Account, clock: Clock, address: str, hour: int, mails: int = 20, verdict: str = "human"
) -> None:
    """A mail a day at 14:00, opened the next day at `hour`; then it is the day after the last."""
    for _ in range(mails):
        sent = clock().replace(hour=14)
        mail = await builders.mail(account, sent, to=(address,))
        await opened(mail, (sent + dt.timedelta(days=1)).replace(hour=hour, minute=20), verdict=verdict)
        clock.advance(days=1)
    clock.advance(days=1)


async def test_best_says_in_one_sentence_when_to_write_and_shows_the_week(alice: talk.Person, clock: Clock):
    await read_at(alice.account, clock, "ana@acme.com", 9)
    await Person.create(account=alice.account, address="ana@acme.com", name="Ana Łuczak", created_at=clock())
    reply = await alice.types("best ana@acme.com")
    assert reply.title == "Write to Ana Łuczak any day around 9:00."
    assert "20 opens of 20 mails" in reply.lines[0]
    assert reply.file is not None
    name, content = reply.file
    picture = Image.open(io.BytesIO(content))
    assert (name, picture.format, picture.width) == ("best-time.png", "PNG", 1080)
    assert len(content) < 60_000
    assert (reply.data["hour"], reply.data["days"]) == (9, list(range(7)))
    assert "people ana@acme.com" in actions(reply)


async def test_best_refuses_under_the_minimum_and_says_how_much_is_missing(alice: talk.Person, clock: Clock):
    await read_at(alice.account, clock, "ana@acme.com", 9, mails=4)
    reply = await alice.types("best ana@acme.com")
    assert reply.title == "When to write to ana@acme.com: not enough yet."
    assert reply.lines[0].startswith("Not enough yet: 4 of 15 opens")
    assert reply.file is None


@pytest.mark.parametrize("verdict", ["privacy", "prefetch", "scanner", "duplicate", "sender", "unknown"])
async def test_what_no_person_opened_never_counts(alice: talk.Person, clock: Clock, verdict: str):
    await read_at(alice.account, clock, "ana@acme.com", 9, verdict=verdict)
    reply = await alice.types("best ana@acme.com")
    assert "0 of 15 opens" in reply.lines[0]


async def test_what_a_provider_fetches_at_view_counts(alice: talk.Person, clock: Clock):
    await read_at(alice.account, clock, "ana@acme.com", 9, verdict="proxied")
    assert (await alice.types("best ana@acme.com")).data["hour"] == 9


async def test_hours_are_the_persons_own_where_their_zone_is_known(alice: talk.Person, clock: Clock):
    await read_at(alice.account, clock, "ana@acme.com", 9)
    await Person.create(
        account=alice.account, address="ana@acme.com", timezone="Asia/Tokyo", created_at=clock()
    )
    reply = await alice.types("best ana@acme.com")
    assert reply.data["hour"] == 18
    assert "Asia/Tokyo" in reply.lines[-1]


async def test_best_in_general_is_about_all_readers_and_follows_the_zone(alice: talk.Person, clock: Clock):
    for name in ("ana", "ben", "eva"):
        began = clock()
        await read_at(alice.account, clock, f"{name}@acme.com", 9, mails=10)
        clock.now = began
    clock.advance(days=12)
    reply = await alice.types("best")
    assert reply.title == "Write any day around 9:00: most of your readers look then."
    assert await Habit.filter(account=alice.account).count() == 1
    await Account.filter(id=alice.account.id).update(timezone="Asia/Tokyo")
    assert (await alice.types("best")).data["hour"] == 18


async def test_the_first_opens_of_a_new_account_show_at_once(alice: talk.Person, clock: Clock):
    assert (await alice.types("best")).data["opens"] == 0
    await read_at(alice.account, clock, "ana@acme.com", 9, mails=3)
    assert (await alice.types("best")).data["opens"] == 3


async def test_what_is_usual_is_worked_out_from_time_to_time(
    alice: talk.Person, clock: Clock, bot_services: Services
):
    assert await habits.learn(bot_services) == 1
    assert await habits.learn(bot_services) == 0
    clock.advance(hours=7)
    assert await habits.learn(bot_services) == 1


async def test_best_of_nobody_and_of_another_ones_people(alice: talk.Person, bob: talk.Person, clock: Clock):
    await read_at(bob.account, clock, "ana@acme.com", 9)
    for text in ("best ana@acme.com", "people ana@acme.com"):
        reply = await alice.types(text)
        assert reply.kind is Kind.ERROR
        assert "no mail of yours to ana@acme.com" in reply.title
    assert "not enough yet" in (await alice.types("best")).title
    assert "is no address" in (await alice.types("best soon")).title


async def test_people_tells_all_about_one_person(alice: talk.Person, clock: Clock):
    for number in range(6):
        sent = clock()
        mail = await builders.mail(alice.account, sent, to=("ana@acme.com",), subject=f"Offer {number}")
        if number:
            await opened(mail, sent + dt.timedelta(hours=2), replied=clock() if number == 3 else None)
        clock.advance(days=1)
    reply = await alice.types("people ana@acme.com")
    assert reply.title == "ana@acme.com"
    assert "6 mails · opened: 5 (83%) – 5 opens · answered: 1 (17%)" in reply.lines
    assert "First open usually 2 hours after sending (median)." in reply.lines
    assert "Usual hours: not enough yet (5 of 15 opens)." in reply.lines
    assert any('"Offer 5"' in line and "opened ×1" in line for line in reply.lines)
    newest = await Message.filter(subject="Offer 5").first()
    assert newest is not None
    wanted = {f"remind {newest.code}", "mute ana@acme.com", "best ana@acme.com", "list ana@acme.com"}
    assert wanted <= set(actions(reply))


async def test_opens_that_cannot_be_seen_are_not_held_against_anybody(alice: talk.Person, clock: Clock):
    for verdict in ("human", "privacy", "privacy"):
        mail = await builders.mail(alice.account, clock(), to=("ana@acme.com",))
        await opened(mail, clock() + dt.timedelta(hours=1), verdict=verdict)
    await builders.mail(alice.account, clock(), to=("ana@acme.com",), mode="clicks")
    await builders.mail(alice.account, clock(), to=("ana@acme.com", "ben@acme.com"))
    clock.advance(days=1)
    reply = await alice.types("people ana@acme.com")
    assert "5 mails · opened: 1 of 1 where opens can be seen – 1 open · no answer seen" in reply.lines


async def test_people_lists_who_stands_out(alice: talk.Person, clock: Clock):
    async def reader(address: str, mails: int, reads: int, every: int = 1, **more: bool) -> None:
        for number in range(mails):
            at = clock() - dt.timedelta(days=60 - 2 * number)
            mail = await builders.mail(alice.account, at, to=(address,))
            if number < reads and number % every == 0:
                answered = at + dt.timedelta(hours=3) if more.get("answers") else None
                await opened(mail, at + dt.timedelta(hours=1), replied=answered)

    await reader("ignores@acme.com", 8, 8)
    await reader("answers@acme.com", 8, 8, answers=True)
    await reader("silent@acme.com", 8, 4)
    await reader("seldom@acme.com", 8, 2)
    await reader("half@acme.com", 16, 16, every=2)
    hot = await builders.mail(alice.account, clock() - dt.timedelta(days=1), to=("hot@acme.com",))
    await opened(hot, *(clock() - dt.timedelta(hours=hours) for hours in (5, 3, 1)))
    new = await builders.mail(alice.account, clock() - dt.timedelta(days=1), to=("new@acme.com",))
    await opened(new, clock() - dt.timedelta(hours=2))
    reply = await alice.types("people")
    assert reply.title == "7 people read your mail."
    assert reply.data["hot"] == ["hot@acme.com"]
    assert reply.data["ignores"] == ["ignores@acme.com"]
    assert reply.data["silent"] == ["silent@acme.com"]
    assert reply.data["new"] == ["new@acme.com"]
    assert "people hot@acme.com" in actions(reply)
    only = await alice.types("people silent")
    assert len(only.lines) == 2
    assert "silent@acme.com: 4 mails since without an open seen" in only.lines[1]


async def test_nobody_never_answers_where_no_answer_is_ever_seen(alice: talk.Person, clock: Clock):
    await read_at(alice.account, clock, "ana@acme.com", 9, mails=8)
    reply = await alice.types("people")
    assert reply.data["ignores"] == []
    assert any("I have seen no answer yet" in line for line in reply.lines)


async def test_people_of_an_empty_account_says_so(alice: talk.Person):
    assert (await alice.types("people")).title.startswith("I have seen nobody read your mail yet")
    assert (await alice.types("people hot")).title == "Nobody, just now."


async def test_a_mail_that_has_not_left_yet_is_told_from_none_at_all(alice: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock(), armed=False)
    reply = await alice.types("people ana@acme.com")
    assert (reply.kind, actions(reply)) == (Kind.ERROR, [])
    assert f"({mail.code}) does not count yet" in reply.title
    await alice.types(f"sent {mail.code}")
    assert (await alice.types("people ana@acme.com")).title == "ana@acme.com"
