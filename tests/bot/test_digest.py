"""More than ten sounds in ten minutes: the rest is named in digests, never lost, never a flood."""

from __future__ import annotations

import datetime as dt

import pytest

from bot.chat import Kind, RefusedError
from bot.deliver import pending
from bot.render import Ring, digests
from models import Alert, Recipient
from tests import builders


async def opened_by(scene, *people: str) -> None:
    for person in people:
        mail = await builders.mail(scene.alice, scene.clock(), subject=f"Offer to {person}", to=(person,))
        await scene.due(mail=mail)


def people(count: int, begin: int = 0) -> list[str]:
    return [f"p{number}@acme.com" for number in range(begin, begin + count)]


async def test_ten_ring_and_from_the_eleventh_on_one_digest_names_each(scene):
    await opened_by(scene, *people(25))
    await scene.courier.deliver_once()
    assert len(scene.chat.posted) == 10
    scene.clock.advance(seconds=2)
    await scene.courier.deliver_once()
    digest = scene.chat.only(Kind.DIGEST)
    assert digest.reply.title == "15 more rings, in one message because there are so many:"
    for number, line in enumerate(digest.reply.lines, 10):
        assert line == f'"Offer to p{number}@acme.com" was opened by p{number}@acme.com'
    assert [one["recipient"] for one in digest.reply.data["alerts"]] == people(15, 10)
    assert await scene.states() == ["sent"] * 10 + ["folded"] * 15
    assert await pending(scene.services) == 0


async def test_further_ones_join_the_next_digest(scene):
    await opened_by(scene, *people(12))
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=2)
    await scene.courier.deliver_once()
    for number in range(12, 20):
        await opened_by(scene, *people(1, number))
        await scene.courier.deliver_once()
        scene.clock.advance(seconds=1)
    assert len(scene.chat.texts(kind=Kind.DIGEST)) == 1
    scene.clock.advance(seconds=15)
    await scene.courier.deliver_once()
    assert len(scene.chat.texts(kind=Kind.DIGEST)) == 2
    assert scene.chat.posted[-1].reply.title.startswith("8 more rings")


async def test_an_hour_of_noise_stays_bearable_and_every_ring_is_named(scene):
    named = 0
    for number in range(120):
        await opened_by(scene, *people(1, number))
        await scene.courier.deliver_once()
        scene.clock.advance(seconds=30)
    scene.clock.advance(minutes=11)
    await scene.courier.deliver_once()
    for one in scene.chat.posted:
        named += len(one.reply.data["alerts"]) if one.reply.kind is Kind.DIGEST else 1
    assert named == 120
    rung = sorted({one.sent_at for one in await Alert.all()})
    busiest = max(sum(begin <= at < begin + dt.timedelta(minutes=10) for at in rung) for begin in rung)
    assert busiest <= 20
    assert len(rung) < 80


async def test_ten_minutes_later_it_rings_one_by_one_again(scene):
    await opened_by(scene, *people(11))
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=2)
    await scene.courier.deliver_once()
    scene.clock.advance(minutes=10)
    await opened_by(scene, "late@acme.com")
    await scene.courier.deliver_once()
    assert scene.chat.posted[-1].reply.title == '"Offer to late@acme.com" was opened by late@acme.com'


async def test_another_destination_has_its_own_ten(scene):
    await opened_by(scene, *people(10))
    other = await builders.destination(scene.alice, "fake", "other")
    await scene.due(destination_id=other.id)
    await scene.courier.deliver_once()
    assert len(scene.chat.texts("other")) == 1


async def test_muted_alerts_do_not_count_as_noise(scene):
    await type(scene.alice).all().update(muted_until=scene.clock() + dt.timedelta(minutes=1))
    await opened_by(scene, *people(30))
    await scene.courier.deliver_once()
    scene.clock.advance(minutes=1)
    await opened_by(scene, "ana@acme.com")
    await scene.courier.deliver_once()
    assert scene.chat.texts() == ['"Offer to ana@acme.com" was opened by ana@acme.com']


async def test_a_digest_that_is_too_long_comes_in_parts_and_each_part_is_marked(scene):
    long = [f"{'p' * 50}{number}@acme.com" for number in range(90)]
    await opened_by(scene, *long)
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=2)
    await scene.courier.deliver_once()
    parts = [one for one in scene.chat.posted if one.reply.kind is Kind.DIGEST]
    assert len(parts) > 2
    assert all(len(one.reply.text) <= 3000 for one in parts)
    assert sum(len(one.reply.lines) for one in parts) == 80
    assert await pending(scene.services) == 0


async def test_a_digest_cut_short_goes_on_where_it_stopped(scene):
    await opened_by(scene, *[f"{'p' * 50}{number}@acme.com" for number in range(110)])
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=2)
    real = scene.chat.send
    parts = 0

    async def stops_after_one(place, reply, *, under=None):
        nonlocal parts
        parts += 1
        if parts == 2:
            scene.chat.try_later(after=1)
        return await real(place, reply, under=under)

    scene.chat.send = stops_after_one
    await scene.courier.deliver_once()
    assert 0 < (await scene.states()).count("waiting") < 100
    scene.clock.advance(seconds=30)
    await scene.courier.deliver_once()
    lines = [line for one in scene.chat.posted if one.reply.kind is Kind.DIGEST for line in one.reply.lines]
    assert len(lines) == len(set(lines)) == 100


async def test_a_refused_digest_goes_out_in_plain_words(scene):
    await opened_by(scene, *people(12))
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=2)
    scene.chat.fail(RefusedError("invalid_blocks"))
    await scene.courier.deliver_once()
    assert "p11@acme.com" in scene.chat.only(Kind.DIGEST).reply.title
    assert await pending(scene.services) == 0


async def test_what_a_digest_named_wrongly_is_corrected_in_it(scene):
    await opened_by(scene, *people(13))
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=2)
    await scene.courier.deliver_once()
    for number, text in ((11, "Correction: that was you."), (12, "Correction: that was a scanner.")):
        alert = await Alert.get(recipient__address=f"p{number}@acme.com")
        await Alert.filter(id=alert.id).update(fix_text=text)
        await scene.courier.deliver_once()
    digest = scene.chat.only(Kind.DIGEST)
    assert digest.shown.lines == (
        '"Offer to p10@acme.com" was opened by p10@acme.com',
        "Correction: that was you.",
        "Correction: that was a scanner.",
    )
    assert await pending(scene.services) == 0


def test_the_same_thing_again_and_again_is_one_line_with_its_counts():
    rings = [Ring("open", "k7m2qx", "Q3", "ana@acme.com", number) for number in (4, 5, 6, 9)]
    rings.append(Ring("open", "k7m2qx", "Q3", "bob@acme.com", 1))
    rings.append(Ring("open", "zzzzzz", "Q3", "ana@acme.com", 2))
    (part,) = digests(rings)
    assert part.reply.lines == (
        '"Q3" was opened by ana@acme.com (4th to 9th time)',
        '"Q3" was opened by bob@acme.com',
        '"Q3" was opened by ana@acme.com (2nd time)',
    )
    assert len(part.reply.data["alerts"]) == 6


async def test_a_flood_of_thousands_becomes_a_few_messages_at_once(scene):
    recipient = await Recipient.get()
    begin = {
        "account_id": scene.alice.id, "destination_id": scene.home.id, "message_id": scene.mail.id,
        "recipient_id": recipient.id, "event": "open", "at": scene.clock(), "due_at": scene.clock(),
    }  # fmt: skip
    await Alert.bulk_create(
        [Alert(event_key=f"flood{number}", ordinal=number, **begin) for number in range(1, 5001)]
    )
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=2)
    await scene.courier.deliver_once()
    assert await pending(scene.services) == 0
    texts = [line for one in scene.chat.posted if one.reply.kind is Kind.DIGEST for line in one.reply.lines]
    assert texts == [
        '"Q3 proposal" was opened by ana@acme.com (11th to 2010th time)',
        '"Q3 proposal" was opened by ana@acme.com (2011th to 4010th time)',
        '"Q3 proposal" was opened by ana@acme.com (4011th to 5000th time)',
    ]


def test_after_a_few_parts_the_rest_is_counted():
    rings = [Ring("open", f"c{number}", "s" * 60, f"p{number}@acme.com", 1) for number in range(1000)]
    parts = digests(rings)
    assert len(parts) == 5
    assert all(len(part.reply.text) <= 3000 for part in parts)
    assert sorted(position for part in parts for position in part.named) == list(range(1000))
    assert sum(len(part.reply.data["alerts"]) for part in parts) == 1000
    said = sum(len(part.reply.lines) for part in parts) - 1
    assert parts[-1].reply.lines[-1] == f"and {1000 - said} rings more; type list to see your mails"


def test_every_ring_is_named_by_exactly_one_part():
    rings = [
        Ring("click", f"c{number % 7}", "s" * 90, f"p{number}@acme.com", 1, "l" * 90) for number in range(200)
    ]
    parts = digests(rings)
    assert sorted(position for part in parts for position in part.named) == list(range(200))
    assert all(len(part.reply.text) <= 3000 for part in parts)


def test_one_endless_notice_is_cut_to_what_a_chat_takes():
    rings = [Ring("notice", facts={"text": "x" * 10_000, "fixed": None}) for _ in range(4)]
    assert all(len(part.reply.text) <= 3000 for part in digests(rings))


@pytest.mark.parametrize(
    ("ordinals", "times"),
    [((3,), "3rd time"), ((3, 4), "3rd and 4th time"), ((2, 3, 4), "2nd to 4th time")],
)
def test_the_same_thing_again_is_one_line_with_its_times(ordinals, times):
    (part,) = digests([Ring("open", "k7m2qx", "Q3", "ana@acme.com", ordinal) for ordinal in ordinals])
    assert part.reply.lines == (f'"Q3" was opened by ana@acme.com ({times})',)


def test_no_rings_make_no_digest():
    assert digests([]) == []
