import itertools

import pytest

from models import Alert, Card, Hit, Link, Message, Person, Recipient
from models.columns import to_micros
from models.database import DatabaseURL
from models.writer import RawHit
from tests import builders
from tests.tracker.page_services import writing_services
from tracker.hits.judge import Judge
from tracker.mail import forget
from tracker.mail.compose import parse_draft, track
from tracker.mail.forget import Forgotten, forget_link, forget_message
from tracker.mail.traces import FORGOTTEN

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_uids = (f"{number:032x}" for number in itertools.count(1))


@pytest.fixture
async def running(database: DatabaseURL, clock, tmp_path):
    async with writing_services(database, clock, tmp_path, arm_after_seconds=0) as found:
        yield found


async def arrive(running, clock, *links: Link) -> None:
    """Hits of people in different places, judged."""
    for number, link in enumerate(links):
        at = to_micros(clock.advance(minutes=2))
        hit = RawHit(
            next(_uids), at, link.token, "GET", None, BROWSER, f"203.0.{number}.0/24", None, None, None
        )
        await running.writer.record_many([hit])
    await Judge(running).judge_once()


async def a_mail(running, account, line: str):
    message = (await track(running, account, parse_draft(line))).message
    return message, await Link.filter(message=message).order_by("position")


async def test_forgetting_a_mail_leaves_nothing_of_it_and_all_of_the_others(running, clock, monkeypatch):
    monkeypatch.setattr(forget, "BATCH", 2)
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "telegram", "7")
    mail, links = await a_mail(running, alice, "ana@acme.com dan@acme.com Q3 https://acme.com/deck")
    kept, others = await a_mail(running, alice, "ana@acme.com other https://acme.com/deck")
    await arrive(running, clock, *links, *others, *links, *links)
    assert await Alert.filter(message=mail).count() > 0
    assert await forget_message(running, alice, mail.code) == Forgotten(mail.code, "Q3", 6)
    for table in (Message, Recipient, Link, Hit, Card, Alert):
        column = "id" if table is Message else "message_id"
        assert await table.filter(**{column: mail.id}).count() == 0, table
        assert await table.filter(**{column: kept.id}).count() > 0, table
    assert [person.address for person in await Person.all()] == ["ana@acme.com"]


async def test_what_stands_in_chats_is_to_be_replaced_and_nothing_else_of_it_is_kept(running, clock):
    alice = await builders.account("alice", clock())
    home = await builders.destination(alice, "telegram", "7")
    mail, links = await a_mail(running, alice, "ana@acme.com Q3 https://acme.com/deck")
    kept, others = await a_mail(running, alice, "ana@acme.com other")
    await arrive(running, clock, *[links[0]] * 6, *others)
    await Card.filter(message=mail).update(remote_id="c1", posted_at=clock())
    sent, silenced, dropped, *folded, waiting = await Alert.filter(message=mail).order_by("id")
    await Alert.filter(id=sent.id).update(state="sent", remote_id="r1", sent_at=clock())
    await Alert.filter(id=silenced.id).update(state="silenced")
    await Alert.filter(id=dropped.id).update(state="dropped")
    await Alert.filter(id__in=[one.id for one in folded]).update(state="folded", remote_id="d1")
    await forget_message(running, alice, mail.code)
    traces = await Alert.filter(message_id=None).order_by("id")
    assert [(one.state, one.remote_id) for one in traces] == [
        ("sent", "r1"),
        ("folded", "d1"),
        ("withdrawn", None),  # it may be on its way
        ("sent", "c1"),
    ]
    assert {one.fix_text for one in traces} == {FORGOTTEN}
    assert {(one.event, one.facts, one.recipient_id, one.link_id) for one in traces} == {
        ("notice", None, None, None)
    }
    assert {one.destination_id for one in traces} == {home.id}
    assert not {one.event_key for one in traces} & {one.event_key for one in (sent, *folded, waiting)}
    assert await Alert.all().count() == 5
    assert (await Alert.get(message=kept)).state == "waiting"


async def test_a_hit_that_rang_twice_leaves_two_traces(running, clock):
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "telegram", "7")
    mail, links = await a_mail(running, alice, "ana@acme.com Q3")
    await arrive(running, clock, links[0])
    opened = await Alert.get()
    await Alert.filter(id=opened.id).update(state="sent", remote_id="r1")
    opened.id, opened._saved_in_db = None, False
    opened.event, opened.state, opened.remote_id = "hot", "sent", "r2"
    await opened.save()
    await forget_message(running, alice, mail.code)
    assert await Alert.filter(event="notice", fix_text=FORGOTTEN).count() == 2


async def test_forgetting_the_pixel_takes_back_opens_and_no_clicks(running, clock):
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "telegram", "7")
    _, (pixel, deck) = await a_mail(running, alice, "ana@acme.com Q3 https://acme.com/deck")
    await arrive(running, clock, pixel, deck, pixel)
    await Alert.filter(event="open").update(state="sent", remote_id="r1")
    await forget_link(running, alice, pixel)
    assert [(one.event, one.state, one.fix_text) for one in await Alert.all().order_by("id")] == [
        ("notice", "sent", FORGOTTEN),
        ("click", "waiting", None),
    ]


async def test_nobody_forgets_what_is_not_theirs(running, clock):
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    mail, links = await a_mail(running, alice, "ana@acme.com Q3 https://acme.com/deck")
    assert await forget_message(running, bob, mail.code) is None
    assert await forget_link(running, bob, links[1]) is None
    assert await forget_message(running, alice, "nosuch") is None
    assert await Message.filter(id=mail.id).exists()
    assert await Link.filter(message=mail, recording=True).count() == 2


async def test_a_person_with_settings_of_their_own_stays(running, clock):
    alice = await builders.account("alice", clock())
    mail, _ = await a_mail(running, alice, "ana@acme.com dan@acme.com Q3")
    await Person.filter(address="dan@acme.com").update(muted=True)
    await forget_message(running, alice, mail.code)
    assert [person.address for person in await Person.all()] == ["dan@acme.com"]


async def test_a_forgotten_link_leads_on_and_counts_no_more(running, clock):
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "telegram", "7")
    mail, (pixel, deck, price) = await a_mail(
        running, alice, "ana@acme.com Q3 https://acme.com/deck https://acme.com/price"
    )
    await arrive(running, clock, pixel, deck, price, deck)
    await mail.refresh_from_db()
    assert (mail.opens, mail.clicks) == (1, 3)
    await Card.all().update(dirty_at=None)
    forgotten = await forget_link(running, alice, deck)
    assert forgotten == Forgotten(mail.code, "acme.com/deck", 2)
    deck = await Link.get(id=deck.id)
    assert (deck.recording, deck.target, deck.hits, deck.counted) == (False, "https://acme.com/deck", 0, 0)
    await mail.refresh_from_db()
    assert (mail.opens, mail.clicks, mail.total_clicks) == (1, 1, 1)
    ana = await Recipient.get(message=mail)
    assert (ana.opens, ana.clicks, ana.last_click_at) == (1, 1, ana.first_click_at)
    assert await Hit.filter(link_id=deck.id).count() == 0
    assert await Alert.filter(link_id=deck.id).count() == 0
    assert (await Card.get()).dirty_at == clock()
    await arrive(running, clock, deck)
    assert await Hit.filter(link_id=deck.id).count() == 0


async def test_a_mail_whose_only_hits_are_forgotten_counts_nothing(running, clock):
    alice = await builders.account("alice", clock())
    mail, (pixel,) = await a_mail(running, alice, "ana@acme.com Q3")
    await arrive(running, clock, pixel)
    await forget_link(running, alice, pixel)
    await mail.refresh_from_db()
    assert (mail.opens, mail.total_opens, mail.first_open_at, mail.last_event_at) == (0, 0, None, None)
    ana = await Recipient.get(message=mail)
    assert (ana.opens, ana.total_opens, ana.last_open_at) == (0, 0, None)
