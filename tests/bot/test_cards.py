"""Cards: what they show, and that many hits become few edits."""

from __future__ import annotations

import asyncio
import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from bot.chat import GoneError, Kind, RefusedError
from bot.deliver import pending
from bot.render import card, fingerprint
from models import Account, Card, Link, Message, Recipient
from tests import builders
from tests.fakes.chat import Failure
from tracker.insights.snapshot import snapshot


@pytest.fixture
async def alice(sqlite_database, clock):
    return await builders.account("alice", clock(), owner=True)


async def shown(mail: Message, now: dt.datetime, zone: dt.tzinfo | None = None) -> list[str]:
    found = await snapshot(mail.id)
    assert found is not None
    reply = card(found, now, zone)
    return [reply.title, *reply.lines]


async def test_a_new_mail_shows_its_code_and_no_open(alice, clock):
    mail = await builders.mail(alice, clock(), armed=False)
    assert await shown(mail, clock()) == [f'"Q3 proposal" ({mail.code})', "ana@acme.com: no open seen"]


async def test_a_row_tells_what_became_of_it(alice, clock):
    mail = await builders.mail(alice, clock())
    ana = Recipient.filter(message_id=mail.id)
    said = "replied within a minute"
    for change, row in (
        ({}, "sent · no open seen"),
        ({"loaded_at": clock()}, "sent · loaded by Apple"),
        ({"opens": 1, "last_open_at": clock()}, "sent · loaded by Apple · opened ×1"),
        ({"opens": 3, "clicks": 1}, "sent · loaded by Apple · opened ×3 · clicked"),
        ({"clicks": 2}, "sent · loaded by Apple · opened ×3 · clicked ×2"),
        ({"replied_at": clock()}, f"sent · loaded by Apple · opened ×3 · clicked ×2 · {said}"),
        ({"opens": 0}, f"sent · loaded by Apple · opened · clicked ×2 · {said}"),
        ({"bounced_at": clock()}, f"did not arrive · loaded by Apple · opened · clicked ×2 · {said}"),
    ):
        if change:
            await ana.update(**change)
        assert (await shown(mail, clock()))[1] == f"ana@acme.com: {row}"


async def test_somebody_who_opted_out_is_said_to_have(alice, clock):
    mail = await builders.mail(alice, clock())
    await Recipient.filter(message_id=mail.id).update(opted_out_at=clock())
    assert await shown(mail, clock()) == [f'"Q3 proposal" ({mail.code})', "ana@acme.com: sent · opted out"]


async def test_a_shared_pixel_tells_of_someone(alice, clock):
    mail = await builders.mail(alice, clock(), to=("ana@acme.com", "ben@acme.com", "cem@acme.com"))
    assert (await shown(mail, clock()))[1:] == [
        "someone of 3: no open seen", "ana@acme.com: sent", "ben@acme.com: sent", "cem@acme.com: sent",
    ]  # fmt: skip
    await Message.filter(id=mail.id).update(opens=3, clicks=1)
    assert (await shown(mail, clock()))[1] == "someone of 3: opened ×3 · clicked"


async def test_a_mail_to_nobody_known_shows_one_line(alice, clock):
    mail = await builders.mail(alice, clock(), to=())
    assert (await shown(mail, clock()))[1:] == ["no open seen"]
    await Message.filter(id=mail.id).update(opens=2)
    assert (await shown(mail, clock()))[1:] == ["opened ×2"]


async def test_own_pixels_have_a_row_each(alice, clock):
    mail = await builders.mail(alice, clock(), to=("ana@acme.com", "ben@acme.com"))
    for one in await Recipient.filter(message_id=mail.id):
        await Link.create(token=f"t{one.id}", kind="open", message=mail, recipient=one, created_at=clock())
    await Recipient.filter(address="ana@acme.com").update(opens=1)
    assert (await shown(mail, clock()))[1:] == [
        "ana@acme.com: sent · opened ×1",
        "ben@acme.com: sent · no open seen",
    ]


async def test_several_links_are_told_apart(alice, clock):
    mail = await builders.mail(alice, clock(), links=("https://acme.com/deck", "https://acme.com/price"))
    await Link.filter(message_id=mail.id, label="acme.com/price").update(counted=2)
    assert (await shown(mail, clock()))[-1] == "clicked: acme.com/price ×2"


async def test_a_list_of_hundreds_shows_who_moved_first(alice, clock):
    mail = await builders.mail(alice, clock(), to=tuple(f"p{n}@acme.com" for n in range(300)))
    await Recipient.filter(address="p250@acme.com").update(opens=1, last_open_at=clock())
    lines = await shown(mail, clock())
    assert lines[2].startswith("p250@acme.com: sent · opened")
    assert lines[-1] == f"and 280 recipients more: show {mail.code}"
    assert len(lines) == 23


async def test_modes_are_said(alice, clock):
    clicks = await builders.mail(alice, clock(), mode="clicks")
    assert (await shown(clicks, clock()))[1] == "ana@acme.com: sent · clicks only, none seen"
    off = await builders.mail(alice, clock(), mode="off")
    assert (await shown(off, clock()))[1:] == ["not tracked", "ana@acme.com: sent"]


async def test_times_stand_in_the_accounts_zone_and_do_not_grow_old(alice, clock):
    mail = await builders.mail(alice, clock())
    await Recipient.filter(message_id=mail.id).update(opens=2, last_open_at=clock())
    berlin = ZoneInfo("Europe/Berlin")
    today = await shown(mail, clock(), berlin)
    assert today[1] == "ana@acme.com: sent · opened ×2 (last Mon 2 Mar 10:00)"
    assert await shown(mail, clock() + dt.timedelta(days=100), berlin) == today


async def test_hostile_subjects_and_addresses_stay_one_line(alice, clock):
    mail = await builders.mail(alice, clock(), subject="a\nb\u202ec\x1b" + "d" * 200, to=("x\r\ny@acme.com",))
    for line in await shown(mail, clock()):
        assert not set(line) & set("\r\n\u202e\x1b")
        assert len(line) < 150


async def test_no_tracked_address_stands_on_a_card(alice, clock):
    mail = await builders.mail(alice, clock())
    found = await snapshot(mail.id)
    reply = card(found, clock())
    assert not any(link.token in repr(reply) for link in found.links)
    actions = [one.action for row in reply.buttons for one in row]
    assert actions == [f"{verb} {mail.code}" for verb in ("show", "mute", "remind", "replied")]
    assert (reply.kind, reply.data["message"]) == (Kind.CARD, mail.code)


async def test_a_muted_mails_card_says_so_and_offers_to_ring_again(alice, clock):
    mail = await builders.mail(alice, clock(), muted=True)
    reply = card(await snapshot(mail.id), clock())
    assert reply.lines[-1] == "muted: it counts and does not ring"
    assert [one.text for one in reply.buttons[0]] == ["Details", "Ring again"]


async def test_a_card_of_what_was_opened_asks_who_it_was_and_takes_a_reply_back(alice, clock):
    told = {"replied_by_hand": True}
    mail = await builders.mail(alice, clock(), total_opens=1, replied_at=clock(), details=told)
    texts = [[one.text for one in row] for row in card(await snapshot(mail.id), clock()).buttons]
    assert texts == [["Details", "Why?", "Mute"], ["Remind me ▾", "That was me", "Not replied"]]


async def test_the_same_card_has_the_same_fingerprint(alice, clock):
    mail = await builders.mail(alice, clock())
    first = fingerprint(card(await snapshot(mail.id), clock()))
    assert fingerprint(card(await snapshot(mail.id), clock.advance(days=3))) == first
    await Recipient.all().update(opens=1)
    assert fingerprint(card(await snapshot(mail.id), clock())) != first


# In the chat.


async def test_many_hits_are_few_edits(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    for opens in range(1, 51):
        await scene.opens(opens)
        await scene.courier.deliver_once()
        scene.clock.advance(seconds=0.1)
    scene.clock.advance(seconds=8)
    await scene.courier.deliver_once()
    message = scene.chat.only(Kind.CARD)
    assert "opened ×50" in message.shown.text
    assert len(message.edits) <= 4
    assert await pending(scene.services) == 0


async def test_a_card_that_shows_it_all_already_is_not_edited(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    scene.clock.advance(minutes=1)
    await Card.all().update(dirty_at=scene.clock())
    assert await scene.courier.deliver_once() == 0
    assert len(scene.chat.calls) == 1
    assert (await Card.get()).dirty_at is None


async def test_news_that_come_during_the_call_are_not_lost(scene):
    await scene.dirty_card()
    real = scene.chat.send

    async def opened_meanwhile(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        # The same moment as before: a clock that stands still must not hide it.
        await scene.opens(1)
        return sent

    scene.chat.send = opened_meanwhile
    await scene.courier.deliver_once()
    assert (await Card.get()).dirty_at is not None
    scene.clock.advance(seconds=1)
    await scene.courier.deliver_once()
    assert "opened ×1" in scene.chat.only(Kind.CARD).shown.text
    assert (await Card.get()).dirty_at is None


async def test_a_deleted_card_comes_back(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    scene.chat.delete("m1")
    scene.clock.advance(seconds=1)
    await scene.opens(1)
    await scene.courier.deliver_once()
    message = scene.chat.only(Kind.CARD)
    assert "opened ×1" in message.shown.text
    assert (await Card.get()).remote_id == message.remote_id


async def test_a_refused_card_is_left_until_it_changes_and_rings_go_out_without_it(scene):
    await scene.dirty_card()
    scene.chat.fail(RefusedError("invalid_blocks"))
    await scene.due()
    await scene.courier.deliver_once()
    (ring,) = scene.chat.posted
    assert (ring.reply.kind, ring.under) == (Kind.ALERT, None)
    assert await pending(scene.services) == 0
    scene.clock.advance(seconds=1)
    await scene.opens(1)
    await scene.courier.deliver_once()
    assert "opened ×1" in scene.chat.only(Kind.CARD).shown.text


async def test_a_card_whose_answer_got_lost_is_edited_again_without_harm(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=1)
    await scene.opens(1)
    scene.chat.lose_answer()
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=3)
    await scene.courier.deliver_once()
    assert len(scene.chat.posted) == 1
    assert await pending(scene.services) == 0


async def test_a_card_waits_for_a_chat_that_is_busy(scene):
    await scene.dirty_card()
    scene.chat.try_later(after=10)
    await scene.courier.deliver_once()
    assert scene.chat.posted == []
    scene.clock.advance(seconds=12)
    await scene.courier.deliver_once()
    assert len(scene.chat.posted) == 1


async def test_a_card_can_be_what_finds_a_chat_gone(scene):
    await scene.dirty_card()
    scene.chat.fail(GoneError("blocked"))
    await scene.courier.deliver_once()
    assert (await scene.home_now()).off_reason == "blocked"
    assert await pending(scene.services) == 0


async def test_a_ring_is_not_delayed_by_a_card_that_was_just_edited(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    for number in (1, 2, 3):
        await scene.opens(number)
        await scene.due(ordinal=number)
        await scene.courier.deliver_once()
    assert len(scene.chat.texts()) == 3
    assert "opened ×3" not in scene.chat.only(Kind.CARD).shown.text


async def test_run_edits_the_card_once_the_second_is_over(scene):
    await scene.dirty_card()
    working = asyncio.ensure_future(scene.courier.run())
    try:
        async with asyncio.timeout(10):
            while not scene.chat.posted:
                await asyncio.sleep(0.01)
            await scene.opens(7)
            while "opened ×7" not in scene.chat.only(Kind.CARD).shown.text:
                scene.clock.advance(seconds=0.2)
                scene.services.wake.ring("outbox")
                await asyncio.sleep(0.02)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_a_card_shows_the_zone_of_its_account(scene):
    await Account.all().update(timezone="Europe/Berlin")
    await scene.dirty_card()
    await scene.opens(1)
    await scene.courier.deliver_once()
    assert "(last Mon 2 Mar 10:00)" in scene.chat.only(Kind.CARD).shown.text


async def test_a_forgotten_mails_card_is_left_alone(scene):
    await scene.dirty_card()
    await Message.all().delete()
    assert await scene.courier.deliver_once() == 0
    assert await pending(scene.services) == 0


async def test_a_card_that_breaks_the_chats_code_does_not_hold_up_rings_for_ever(scene):
    await scene.dirty_card()
    await scene.due()
    scene.chat.always = Failure(KeyError("ts"), matches=lambda call, place, reply: reply.kind is Kind.CARD)
    for _ in range(6):
        await scene.courier.deliver_once()
        scene.clock.advance(minutes=10)
    assert scene.chat.texts() == ['"Q3 proposal" was opened by ana@acme.com']
    assert await pending(scene.services) == 0
    scene.chat.always = None
    await scene.opens(1)
    await scene.courier.deliver_once()
    assert "opened ×1" in scene.chat.only(Kind.CARD).shown.text


async def test_a_hundred_missing_cards_are_all_posted(scene):
    for number in range(100):
        mail = await builders.mail(scene.alice, scene.clock(), subject=f"Mail {number}")
        await scene.dirty_card(mail)
    while await scene.courier.deliver_once():
        pass
    assert len(scene.chat.texts(kind=Kind.CARD)) == 100
    assert await pending(scene.services) == 0
