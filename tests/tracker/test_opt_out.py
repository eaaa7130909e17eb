from models import Card, Link, OptOut, Recipient
from tests import builders
from tests.tracker.page_services import services
from tracker.mail.compose import parse_draft, track
from tracker.mail.opt_out import opt_out, opt_out_by_token, opted_out


async def recording(message) -> list[bool]:
    return [link.recording for link in await Link.filter(message=message).order_by("position")]


async def test_an_address_stops_being_recorded_in_every_mail_at_once(database, clock):
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    await builders.destination(alice, "slack", "U1")
    running = services(clock)
    own = (await track(running, alice, parse_draft("ana@acme.com a https://a.com"))).message
    shared = (await track(running, bob, parse_draft("ana@acme.com dan@acme.com b https://a.com"))).message
    other = (await track(running, alice, parse_draft("dan@acme.com c https://a.com"))).message
    await Card.all().update(dirty_at=None)
    await opt_out(running, " ANA@acme.com".strip())
    assert await recording(own) == [False, False]
    assert await recording(shared) == [False, False]
    assert await recording(other) == [True, True]
    left = {one.address for one in await Recipient.filter(opted_out_at=clock())}
    assert left == {"ana@acme.com"}
    assert [card.message_id for card in await Card.filter(dirty_at=clock())] == [own.id]


async def test_only_a_keyed_hash_of_the_address_is_kept(database, clock):
    running = services(clock)
    for _ in range(2):
        await opt_out(running, "ana@acme.com")
    row = await OptOut.get()
    assert "ana" not in row.digest
    assert await opted_out(running, ["ana@acme.com", "dan@acme.com"]) == {"ana@acme.com"}
    assert await opted_out(services(clock, secret_key="some other long key"), ["ana@acme.com"]) == set()
    assert await opted_out(running, []) == set()


async def test_an_address_is_the_same_in_unicode_and_in_ascii(database, clock):
    alice = await builders.account("alice", clock())
    running = services(clock)
    mail = (await track(running, alice, parse_draft("ana@bücher.example hi"))).message
    await opt_out(running, "ana@xn--bcher-kva.example")
    assert await recording(mail) == [False]
    assert await opted_out(running, ["ana@bücher.example"]) == {"ana@bücher.example"}


async def test_a_token_of_one_person_opts_their_address_out(database, clock):
    alice = await builders.account("alice", clock())
    running = services(clock)
    first = (await track(running, alice, parse_draft("ana@acme.com a https://a.com"))).message
    second = (await track(running, alice, parse_draft("ana@acme.com b"))).message
    await opt_out_by_token(running, (await Link.get(message=first, kind="click")).token)
    assert await recording(first) == [False, False]
    assert await recording(second) == [False]


async def test_a_shared_token_stops_its_mail_only_and_an_unknown_one_nothing(database, clock):
    alice = await builders.account("alice", clock())
    running = services(clock)
    first = (await track(running, alice, parse_draft("ana@acme.com dan@acme.com a"))).message
    second = (await track(running, alice, parse_draft("ana@acme.com b"))).message
    for unknown in ("unknown", "x" * 22, "x" * 5000, "", "\x00", "%"):
        await opt_out_by_token(running, unknown)
    assert await recording(first) == [True]
    await opt_out_by_token(running, (await Link.get(message=first)).token)
    assert await recording(first) == [False]
    assert await recording(second) == [True]
    assert await OptOut.all().count() == 0
