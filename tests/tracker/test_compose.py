import asyncio

import pytest

from models import Card, Link, Message, Person, Recipient
from models.wake import OUTBOX
from tests import builders
from tests.tracker.page_services import KEY, services
from tracker.keys import unsign
from tracker.mail import compose
from tracker.mail.compose import DraftError, add_link, parse_draft, track, track_many, tracked_fields
from tracker.mail.opt_out import opt_out

LINE = "ana@acme.com Q3 proposal https://acme.com/deck"


async def test_a_draft_becomes_a_mail_with_pixel_links_and_a_card_in_each_chat(database, clock):
    alice = await builders.account("alice", clock(), owner=True)
    await builders.destination(alice, "slack", "U1")
    await builders.destination(alice, "telegram", "7")
    await builders.destination(alice, "telegram", "8", off_at=clock())
    running = services(clock)
    tracked = await track(running, alice, parse_draft(LINE))

    message = await Message.get(code=tracked.message.code)
    assert (message.subject, message.origin, message.mode) == ("Q3 proposal", "compose", "full")
    assert message.account_id == alice.id
    assert message.armed_at is None
    assert (message.arms_at - clock()).total_seconds() == 60
    ana = await Recipient.get(message=message).prefetch_related("person")
    assert (ana.address, ana.person.address, ana.person.account_id) == ("ana@acme.com", ana.address, alice.id)
    pixel, link = await Link.filter(message=message).order_by("position")
    assert (pixel.kind, pixel.target, pixel.recipient_id) == ("open", None, ana.id)
    assert (link.kind, link.target, link.recipient_id) == ("click", "https://acme.com/deck", ana.id)
    assert link.label == "acme.com/deck"
    assert tracked.pixel_url == f"https://track.example/o/{pixel.token}.gif"
    assert tracked.links == (("https://acme.com/deck", f"https://track.example/c/{link.token}"),)
    signed = tracked.copy_url.removeprefix("https://track.example/m/")
    assert unsign(KEY, "copy", signed) == message.code
    cards = await Card.filter(message=message).prefetch_related("destination")
    assert sorted(card.destination.chat_id for card in cards) == ["7", "U1"]
    assert all(card.dirty_at == clock() and card.remote_id is None for card in cards)
    assert await running.wake.wait(OUTBOX, 0.01)


async def test_several_recipients_share_pixel_and_links(database, clock):
    alice = await builders.account("alice", clock())
    tracked = await track(services(clock), alice, parse_draft("a@acme.com Bob <b@acme.com> hi https://a.com"))
    assert [link.recipient_id for link in await Link.filter(message=tracked.message)] == [None, None]
    people = await Recipient.filter(message=tracked.message).order_by("position")
    assert [(one.address, one.name) for one in people] == [("a@acme.com", ""), ("b@acme.com", "Bob")]


async def test_a_mail_needs_no_recipient_and_a_person_is_kept_once(database, clock):
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    running = services(clock)
    nobody = await track(running, alice, parse_draft("Q3 proposal"))
    assert await Recipient.filter(message=nobody.message).count() == 0
    assert (await Link.get(message=nobody.message)).recipient_id is None
    for text in ("ana@acme.com one", "Ana <ana@acme.com> two", "ANA@acme.com three"):
        await track(running, alice, parse_draft(text))
    await track(running, bob, parse_draft("ana@acme.com four"))
    assert (await Person.get(account=alice)).name == "Ana"
    assert await Person.filter(address="ana@acme.com").count() == 2


async def test_a_list_is_stored_in_one_go_without_cards(database, clock):
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "slack", "U1")
    drafts = [parse_draft(f"p{n % 7}@acme.com mail {n} https://acme.com/{n}") for n in range(40)]
    tracked = await track_many(services(clock), alice, drafts, origin="list")
    assert [one.message.subject for one in tracked] == [f"mail {n}" for n in range(40)]
    assert [one.links[0][0] for one in tracked] == [f"https://acme.com/{n}" for n in range(40)]
    assert await Card.all().count() == 0
    for one in tracked:
        recipient = await Recipient.get(message=one.message)
        assert {link.recipient_id for link in await Link.filter(message=one.message)} == {recipient.id}


async def test_a_code_that_is_taken_is_drawn_again(database, clock, monkeypatch):
    alice = await builders.account("alice", clock())
    taken = await builders.mail(alice, clock())
    codes = iter([taken.code, taken.code, "fresh2"])
    monkeypatch.setattr(compose, "new_code", lambda: next(codes))
    tracked = await track(services(clock), alice, parse_draft(LINE))
    assert tracked.message.code == "fresh2"
    assert await Recipient.filter(message=tracked.message).count() == 1


async def test_two_mails_to_a_new_person_at_once_make_one_person(database, clock):
    alice = await builders.account("alice", clock())
    running = services(clock)
    await asyncio.gather(*(track(running, alice, parse_draft(f"ana@acme.com {n}")) for n in range(8)))
    assert await Person.filter(account=alice).count() == 1
    assert await Message.filter(account=alice).count() == 8


@pytest.mark.parametrize("url", ["https://a.com/x?y=%20&z#f", "http://user:pw@a.com:81/ü", "HTTPS://A.com/"])
async def test_a_target_is_stored_exactly_as_asked_for(sqlite_database, clock, url):
    alice = await builders.account("alice", clock())
    tracked = await track(services(clock), alice, parse_draft(f"ana@acme.com {url}"))
    assert (await Link.get(message=tracked.message, kind="click")).target == url
    assert "pw" not in (await Link.get(message=tracked.message, kind="click")).label


async def test_an_opted_out_address_gets_working_links_that_record_nothing(database, clock):
    alice = await builders.account("alice", clock())
    running = services(clock)
    await opt_out(running, "Ana@Acme.com")
    tracked = await track(running, alice, parse_draft(f"{LINE} bob@acme.com"))
    assert [link.recording for link in await Link.filter(message=tracked.message)] == [False, False]
    people = {one.address: one.opted_out_at for one in await Recipient.filter(message=tracked.message)}
    assert people == {"ana@acme.com": clock(), "bob@acme.com": None}
    assert any("ana@acme.com opted out" in warning for warning in tracked.warnings)
    other = await track(running, alice, parse_draft("bob@acme.com hi https://a.com"))
    assert all(link.recording for link in await Link.filter(message=other.message))


async def test_clicks_only_makes_no_pixel_and_off_makes_nothing(sqlite_database, clock):
    running = services(clock)
    domains = {"domains": {"acme.com": "clicks", "law.example": "off", "odd.example": "nonsense"}}
    alice = await builders.account("alice", clock(), preferences=domains)
    for text, mode, kinds in (
        ("ana@eu.acme.com a https://a.com", "clicks", ["click"]),
        ("ana@acme.com bob@law.example b https://a.com", "off", []),
        ("ana@notacme.com c https://a.com", "full", ["open", "click"]),
        ("ana@odd.example d https://a.com", "full", ["open", "click"]),
    ):
        tracked = await track(running, alice, parse_draft(text))
        links = await Link.filter(message=tracked.message).order_by("position")
        assert (tracked.message.mode, [link.kind for link in links]) == (mode, kinds)
        assert (tracked.pixel_url is None) == ("open" not in kinds)
    bob = await builders.account("bob", clock(), mode="off")
    with pytest.raises(DraftError, match="switched off"):
        await add_link(running, bob, "https://a.com")


async def test_a_link_alone_is_a_mail_of_its_own(database, clock):
    alice = await builders.account("alice", clock())
    tracked = await add_link(services(clock), alice, "https://www.acme.com/deck/?a=1")
    assert (tracked.message.origin, tracked.message.subject) == ("link", "acme.com/deck")
    assert tracked.links[0][0] == "https://www.acme.com/deck/?a=1"


async def test_one_more_link_joins_a_mail_once(database, clock):
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    running = services(clock)
    mail = (await track(running, alice, parse_draft(LINE))).message
    first = await add_link(running, alice, "https://acme.com/price", mail)
    again = await add_link(running, alice, "https://acme.com/price", mail)
    assert first.links == again.links
    added = await Link.get(message=mail, target="https://acme.com/price")
    assert (added.position, added.recipient_id) == (2, (await Recipient.get(message=mail)).id)
    with pytest.raises(LookupError):
        await add_link(running, bob, "https://acme.com/price", mail)
    with pytest.raises(DraftError, match="notrack"):
        await add_link(running, alice, "https://acme.com/x#notrack", mail)
    with pytest.raises(DraftError, match="http"):
        await add_link(running, alice, "javascript:alert(1)", mail)


async def test_the_machine_readable_answer_has_exactly_the_promised_fields(sqlite_database, clock):
    alice = await builders.account("alice", clock())
    tracked = await track(services(clock), alice, parse_draft(LINE))
    assert tracked_fields(tracked) == {
        "message": tracked.message.code,
        "pixel_url": tracked.pixel_url,
        "copy_url": tracked.copy_url,
        "capture_address": f"{alice.capture_secret}@track.example",
        "links": [{"url": "https://acme.com/deck", "tracked_url": tracked.links[0][1]}],
    }
