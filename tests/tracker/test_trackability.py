"""What is said of somebody's side: only after several mails, only when it is mostly so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import Message, Person, Recipient
from tests import builders
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI, Court
from tracker.insights import sides
from tracker.insights.sides import known, learn, signs_of
from tracker.insights.trackability import LEAST, LEAST_PEOPLE, Side, Signs, side_of, side_of_domain, tell
from tracker.mail.forget import forget_message

APPLE_USER = Signs(mails=4, privacy=4, engaged=1)
IMAGES_BLOCKED = Signs(mails=3, engaged=3, blind=3)
GMAIL_USER = Signs(mails=5, seen=5, proxied=5, via="Gmail")
SCANNED = Signs(mails=4, scanned=3, seen=2)


@pytest.mark.parametrize(
    ("signs", "side"),
    [
        (Signs(), Side()),
        (Signs(mails=1, privacy=1), Side()),
        (APPLE_USER, Side(apple=True)),
        (Signs(mails=4, privacy=4, seen=4), Side()),
        (Signs(mails=10, privacy=2, seen=9), Side()),
        (Signs(mails=1, engaged=1, blind=1), Side()),
        (IMAGES_BLOCKED, Side(images_blocked=True)),
        (Signs(mails=4, engaged=3, blind=2, seen=1), Side()),
        (SCANNED, Side(scanner=True)),
        (Signs(mails=9, scanned=2, seen=9), Side()),
        (GMAIL_USER, Side(via="Gmail")),
        (Signs(mails=1, seen=1, proxied=1, via="Gmail"), Side()),
        (Signs(mails=5, scanned=5, privacy=5), Side(apple=True, scanner=True)),
    ],
)
def test_several_mails_tell_a_persons_side(signs: Signs, side: Side):
    assert side_of(signs) == side


def test_a_domain_is_what_nearly_all_of_its_people_are():
    assert side_of_domain([APPLE_USER] * 2) == Side()
    assert side_of_domain([APPLE_USER] * 3) == Side(apple=True)
    assert side_of_domain([APPLE_USER] * 3 + [GMAIL_USER] * 2) == Side()
    assert side_of_domain([SCANNED] * 3 + [Signs(mails=1, seen=1)] * 9) == Side(scanner=True)
    assert side_of_domain([GMAIL_USER] * 4) == Side(via="Gmail")
    assert side_of_domain([]) == Side()


def test_it_is_said_what_to_watch_instead():
    for side in (Side(apple=True), Side(images_blocked=True)):
        assert not side.opens_are_reliable
        assert "opens are not reliable here" in tell(side)[0]
        assert tell(side)[0].endswith("watch clicks and replies")
    assert "do not" not in " ".join(tell(Side(via="Gmail")))
    assert tell(Side()) == []


counts = st.integers(0, 6)


@given(
    st.builds(Signs, counts, counts, counts, counts, counts, counts, counts, st.sampled_from([None, "Gmail"]))
)
def test_whatever_was_seen_nothing_is_said_of_too_little(signs: Signs):
    side = side_of(signs)
    assert Signs.of(signs.row) == signs
    if max(signs.privacy, signs.blind, signs.scanned, signs.proxied) < LEAST:
        assert side == Side()
    assert side_of_domain([signs] * (LEAST_PEOPLE - 1)) == Side()
    assert not (side.apple and side.images_blocked)


@pytest.mark.parametrize("stored", [None, [], "x", {"mails": "many"}, {"seen": -3, "via": 7}])
def test_whatever_is_stored_can_be_read(stored: object):
    assert Signs.of(stored) == Signs()


async def opened(
    room: Court, address: str, *agents: str, mails: int = 2, click: bool = False
) -> list[Message]:
    """Mails to this address, each requested by these programs."""
    made = []
    for _ in range(mails):
        mail = await room.mail(to=(address,))
        person, _ = await Person.get_or_create(
            account=room.alice, address=address, defaults={"created_at": room.clock()}
        )
        await Recipient.filter(message_id=mail.id).update(person_id=person.id)
        for agent in agents:
            room.clock.advance(minutes=5)
            await room.request(await room.pixel(mail), agent)
        if click:
            room.clock.advance(minutes=5)
            await room.request(await room.link(mail), SAFARI)
        made.append(mail)
    await room.judge_all()
    return made


async def test_it_is_gathered_from_judged_hits(room: Court):
    await opened(room, "ana@acme.com", APPLE, click=True)
    await opened(room, "bo@b.org", GMAIL)
    await opened(room, "cy@c.net", click=True)
    await opened(room, "di@d.net", "Barracuda Sentinel (EE)", CHROME)
    found = await signs_of(room.alice.id, ["ana@acme.com", "bo@b.org", "cy@c.net", "di@d.net"])
    assert found["ana@acme.com"] == Signs(mails=2, privacy=2, engaged=2)
    assert found["bo@b.org"] == Signs(mails=2, seen=2, proxied=2, via="Gmail")
    assert found["cy@c.net"] == Signs(mails=2, engaged=2, blind=2)
    assert found["di@d.net"] == Signs(mails=2, seen=2, scanned=2)
    addresses = ["ana@acme.com", "bo@b.org", "cy@c.net", "di@d.net", "new@nowhere.com"]
    assert [(one.who, one.side) for one in await known(room.alice, addresses)] == [
        ("ana@acme.com", Side(apple=True)),
        ("bo@b.org", Side(via="Gmail")),
        ("cy@c.net", Side(images_blocked=True)),
        ("di@d.net", Side(scanner=True)),
    ]
    bob = await builders.account("bob", room.clock())
    assert await known(bob, addresses) == []


async def test_a_mail_without_a_pixel_proves_no_blocked_pictures(room: Court):
    mails = await opened(room, "cy@c.net", click=True)
    await Message.filter(id__in=[mail.id for mail in mails]).update(mode="clicks")
    assert await known(room.alice, ["cy@c.net"]) == []


async def test_what_was_learned_outlasts_the_hits_and_speaks_for_the_domain(room: Court):
    for name in ("ana", "bo", "cy"):
        await opened(room, f"{name}@acme.com", APPLE)
    assert await learn(room.services) == 3
    assert await learn(room.services) == 0
    for mail in await Message.all():
        await mail.hits.all().delete()
    found = await known(room.alice, ["ana@acme.com", "new@acme.com", "other@acme.com", "x@other.org"])
    assert [(one.who, one.side.apple) for one in found] == [("ana@acme.com", True), ("acme.com", True)]


async def test_what_waits_to_be_judged_is_learned_later(room: Court):
    mail = (await opened(room, "ana@acme.com", APPLE))[0]
    await room.request(await room.pixel(mail), GMAIL)
    assert await learn(room.services) == 1
    await room.judge_all()
    assert await learn(room.services) == 1
    person = await Person.get(address="ana@acme.com")
    assert Signs.of(person.learned) == Signs(mails=2, privacy=2, seen=1, proxied=1, via="Gmail")


async def test_of_many_hits_it_is_learned_in_steps(room: Court, monkeypatch: pytest.MonkeyPatch):
    """Also of more people than are looked at together."""
    monkeypatch.setattr(sides, "HITS", 2)
    monkeypatch.setattr(sides, "AT_ONCE", 1)
    for name in ("ana", "bo", "cy"):
        await opened(room, f"{name}@acme.com", APPLE)
    assert await learn(room.services) >= 3
    assert await learn(room.services) == 0
    for person in await Person.all():
        assert Signs.of(person.learned) == Signs(mails=2, privacy=2)
    monkeypatch.setattr(sides, "SECONDS", 0)
    await opened(room, "di@d.net", GMAIL)
    assert await learn(room.services) == 0, "the rest is for the next time"


async def test_with_a_forgotten_mail_goes_what_was_learned_from_it(room: Court):
    mail = (await opened(room, "ana@acme.com", APPLE))[0]
    await learn(room.services)
    await forget_message(room.services, room.alice, mail.code)
    assert (await Person.get(address="ana@acme.com")).learned is None
