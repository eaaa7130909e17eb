"""track, link, list, show, forget: what people make, look at and erase."""

import datetime as dt
import secrets

import pytest

from bot.chat import Kind
from bot.commands.listing import read_filters
from models import Card, Hit, Link, Message, Outgoing, Recipient
from tests import builders
from tests.bot.talk import Person, actions
from tests.conftest import Clock


async def hit(message: Message, at: dt.datetime, *, kind: str = "open", **more: object) -> Hit:
    link = await Link.filter(message_id=message.id, kind=kind).first()
    assert link is not None
    return await Hit.create(
        uid=secrets.token_hex(16), at=at, kind=kind, link=link, message=message,
        recipient_id=link.recipient_id, **more,
    )  # fmt: skip


async def test_track_answers_with_pixel_links_and_copy_page(alice: Person):
    reply = await alice.types("track ana@acme.com Q3 proposal https://acme.com/deck")
    message = await Message.get()
    assert reply.title == f'"Q3 proposal" to ana@acme.com is tracked as {message.code}.'
    assert set(reply.data) == {"message", "pixel_url", "copy_url", "capture_address", "links"}
    assert reply.data["pixel_url"].startswith("https://t.example/o/")
    tracked = reply.data["links"][0]
    assert tracked["url"] == "https://acme.com/deck"
    assert dict(reply.copyable) == {
        "Pixel": reply.data["pixel_url"],
        "acme.com/deck": tracked["tracked_url"],
    }
    assert reply.links == (("Open the copy page", reply.data["copy_url"]),)
    assert actions(reply) == [f"sent {message.code}"]
    assert message.account_id == alice.account.id
    assert await Card.filter(message_id=message.id).count() == 1


async def test_tracked_addresses_stand_only_where_they_are_copied_from(alice: Person):
    reply = await alice.types("track ana@acme.com Q3 https://acme.com/deck")
    shown = " ".join((reply.title, *reply.lines))
    assert "/o/" not in shown
    assert "/c/" not in shown


async def test_track_without_opens_says_so(alice: Person):
    await alice.types("settings mode clicks")
    reply = await alice.types("track ana@acme.com Q3 https://acme.com/deck")
    assert reply.data["pixel_url"] is None
    assert "Clicks only" in reply.text
    await alice.types("settings mode off")
    assert "nothing will be recorded" in (await alice.types("track ana@acme.com Q3")).text


async def test_what_cannot_be_tracked_is_explained(alice: Person):
    reply = await alice.types("track ana@acme.com javascript:alert(1)")
    assert reply.kind is Kind.ERROR
    assert "https://" in reply.title
    assert not await Message.exists()


async def test_a_link_is_tracked_alone_or_in_a_mail(alice: Person, clock: Clock):
    alone = await alice.types("link https://acme.com/deck")
    assert alone.data["links"][0]["tracked_url"] in alone.text
    assert alone.data["pixel_url"] is None
    assert "in 60 seconds" in alone.text
    assert f"sent {alone.data['message']}" in actions(alone)
    for deed in ("list", "show", "why"):
        assert "open seen" not in (await alice.types(deed)).text
    mail = await builders.mail(alice.account, clock(), links=())
    inside = await alice.types(f"link https://acme.com/plan {mail.code.upper()}")
    assert inside.data["message"] == mail.code
    assert await Link.filter(message_id=mail.id, kind="click").count() == 1


@pytest.mark.parametrize(
    "text", ["link", "link acme", "link https://a.b https://c.d", "link https://a.b x y"]
)
async def test_link_says_what_it_needs(alice: Person, text: str):
    reply = await alice.types(text)
    assert reply.kind is Kind.ERROR
    assert "link https://acme.com/deck" in reply.title


async def test_list_shows_ten_a_page_newest_first(alice: Person, clock: Clock):
    for number in range(23):
        await builders.mail(alice.account, clock.advance(minutes=1), subject=f"Mail {number}")
    first = await alice.types("list")
    assert "23 mails" in first.title
    assert first.lines[0].startswith(f'1. "Mail 22" ({first.data["messages"][0]}) to ana@acme.com')
    assert [one.text for row in first.buttons[:2] for one in row] == [str(one) for one in range(1, 11)]
    assert len(first.data["messages"]) == 10
    second = await alice.presses(actions(first)[-1])
    third = await alice.presses(actions(second)[-1])
    assert third.lines[0].startswith('21. "Mail 2"')
    seen = [*first.data["messages"], *second.data["messages"], *third.data["messages"]]
    assert len(set(seen)) == 23
    assert not [one for one in actions(third) if one.startswith("list")]
    assert "last page" in (await alice.types("list page:9")).title


async def test_list_filters_by_what_happened_and_by_words(alice: Person, clock: Clock):
    opened = await builders.mail(alice.account, clock(), subject="Opened", to=("ana@acme.com",))
    clicked = await builders.mail(alice.account, clock(), subject="Clicked", to=("bo@b.org",))
    await builders.mail(alice.account, clock(), subject="Silent", to=("cy@c.net",))
    await Message.filter(id=opened.id).update(opens=3)
    await Message.filter(id=clicked.id).update(clicks=1)
    assert "Silent" in (await alice.types("list unopened")).text
    assert len((await alice.types("list unopened")).data["messages"]) == 1
    assert "opened ×3" in (await alice.types("list opened")).text
    assert (await alice.types("list clicked")).data["messages"] == [clicked.code]
    assert (await alice.types("list ACME.com")).data["messages"] == [opened.code]
    assert (await alice.types("list clicked acme.com")).title == "No clicked mails with “acme.com”."
    assert "no open seen" in (await alice.types("list silent")).text
    await builders.mail(alice.account, clock(), subject="Draft", armed=False)
    assert "not sent yet" in (await alice.types("list draft")).text


def test_filters_and_words_are_told_apart():
    assert read_filters("") == ("all", "", 1)
    assert read_filters("Unopened, invoice page:3") == ("unopened", "invoice", 3)
    assert read_filters("invoice opened") == ("all", "invoice opened", 1)
    assert read_filters("page:0 page:x page:²") == ("all", "page:x page:²", 1)


async def test_the_word_read_is_never_used_against_a_recipient(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    for text in ("list", f"show {mail.code}", "stats"):
        said = (await alice.types(text)).text
        assert "not read" not in said
        assert "unread" not in said


async def test_show_tells_what_counted_and_why_the_rest_did_not(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    await hit(
        mail, clock.advance(minutes=1), verdict="scanner", reason="filter-network", client="Exchange Online"
    )
    await hit(
        mail, clock.advance(minutes=5), verdict="proxied", reason="image-proxy", client="Gmail", ordinal=1
    )
    await hit(
        mail, clock.advance(minutes=5), kind="click", verdict="human", reason="browser", client="Chrome"
    )
    await hit(mail, clock.advance(minutes=1))
    await Message.filter(id=mail.id).update(opens=1, clicks=1, total_opens=2, total_clicks=1)
    await Recipient.filter(message_id=mail.id).update(opens=1, clicks=1)
    reply = await alice.types(f"show {mail.code}")
    assert "ana@acme.com: sent · opened ×1 · clicked" in reply.lines
    assert (
        "Opens: total 2, counted 1 · clicks: total 1, counted 1. "
        f"Why the others do not count: why {mail.code}" in reply.lines
    )
    events = reply.lines[reply.lines.index("Last events:") + 1 :]
    assert events[0] == "today 09:12 · being looked at"
    assert events[1] == "today 09:11 · clicked acme.com/deck · Chrome"
    assert events[2] == "today 09:06 · opened · Gmail"
    assert events[3].startswith("today 09:01 · security scan, not counted: It came from a mail filter")
    assert reply.data["opens"] == 1
    assert reply.data["total_opens"] == 2


async def test_show_is_honest_about_apple_and_shared_pixels(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock(), to=("ana@acme.com", "bo@b.org"))
    await Recipient.filter(address="ana@acme.com").update(loaded_at=clock())
    said = (await alice.types(f"show {mail.code}")).text
    assert "ana@acme.com: Apple Mail loaded the pixel by itself, so I can't tell" in said
    assert "They share one pixel" in said


async def test_show_offers_sent_until_the_mail_counts(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock(), armed=False)
    waiting = await alice.types(f"show {mail.code}")
    assert "Waits for you to send it" in waiting.text
    assert actions(waiting)[0] == f"sent {mail.code}"
    clock.advance(seconds=61)
    later = await alice.types(f"show {mail.code}")
    assert later.lines[0].startswith("Counts since today 09:01")
    assert f"sent {mail.code}" not in actions(later)


async def test_show_finds_a_mail_by_words_or_lets_choose(alice: Person, clock: Clock):
    first = await builders.mail(alice.account, clock(), subject="Invoice March")
    second = await builders.mail(alice.account, clock(), subject="Invoice April")
    assert first.code in (await alice.types("show invoice march")).title
    choice = await alice.types("show invoice")
    assert choice.kind is Kind.ERROR
    assert first.code in choice.title
    assert second.code in choice.title
    assert "I find no mail" in (await alice.types("show nothing")).title


async def test_track_says_whom_it_could_not_take_as_a_recipient(alice: Person):
    reply = await alice.plainly("Ana <ana@acme.com>, Bob")
    assert "Bob has no mail address, so it is no recipient" in reply.text


async def test_show_alone_is_the_newest_mail(alice: Person, bob: Person, clock: Clock):
    none = await alice.types("show")
    assert none.kind is Kind.ERROR
    assert "track ana@acme.com" in none.title
    await builders.mail(alice.account, clock(), subject="Older")
    newest = await builders.mail(alice.account, clock.advance(minutes=1), subject="Newer")
    await builders.mail(bob.account, clock.advance(minutes=1), subject="Somebody else's")
    shown = await alice.types("show")
    assert shown.title == f'"Newer" ({newest.code})'
    assert shown == await alice.types(f"show {newest.code}")


async def test_times_are_told_in_the_accounts_zone(alice: Person, clock: Clock):
    await alice.types("settings timezone Asia/Tokyo")
    mail = await builders.mail(alice.account, clock())
    assert "today 18:00" in (await alice.types(f"show {mail.code}")).text


async def test_forget_asks_first_and_then_erases_the_mail(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    await hit(mail, clock(), verdict="human", reason="browser")
    asked = await alice.types(f"forget {mail.code}")
    assert "1 event" in asked.text
    assert await Message.exists()
    done = await alice.presses(actions(asked)[0])
    assert done.title == f"{mail.code} is forgotten, with 1 event."
    assert "being replaced" in done.text
    assert not await Message.exists()
    assert not await Hit.exists()
    again = await alice.presses(actions(asked)[0])
    assert "I find no mail" in again.title


async def test_a_link_in_two_mails_is_forgotten_only_where_it_is_meant(alice: Person, clock: Clock):
    one = await builders.mail(alice.account, clock())
    two = await builders.mail(alice.account, clock())
    unclear = await alice.types("forget https://acme.com/deck")
    assert unclear.kind is Kind.ERROR
    assert one.code in unclear.title
    asked = await alice.types(f"forget https://acme.com/deck {two.code}")
    link = await Link.get(message_id=two.id, kind="click")
    assert actions(asked) == [f"forget link:{link.id} yes"]
    assert link.recording
    by_itself = await alice.types(f"forget https://t.example/c/{link.token}")
    assert actions(by_itself) == actions(asked)


async def test_a_forgotten_link_goes_on_working_and_records_nothing(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    await hit(mail, clock(), kind="click", verdict="human", reason="browser", method="GET")
    asked = await alice.types("forget https://acme.com/deck")
    done = await alice.presses(actions(asked)[0])
    assert "1 event of acme.com/deck" in done.title
    link = await Link.get(kind="click")
    assert (link.recording, link.target) == (False, "https://acme.com/deck")
    assert not await Hit.exists()


async def test_forgetting_a_person_asks_first_and_tells_what_goes(alice: Person, clock):
    await builders.mail(alice.account, clock())
    asked = await alice.types("forget Ana@acme.com")
    assert "1 mail went there" in asked.text
    assert "export ana@acme.com" in asked.text
    assert actions(asked) == ["forget ana@acme.com yes"]
    assert await Message.all().count() == 1


async def test_a_person_whose_mail_waits_to_be_sent_is_not_forgotten_yet(alice: Person, clock):
    mail = await builders.mail(alice.account, clock())
    await Outgoing.create(
        account=alice.account, message=mail, spool="s", sender="alice@acme.com", address="ana@acme.com",
        next_at=clock(), accepted_at=clock(),
    )  # fmt: skip
    reply = await alice.types("forget ana@acme.com yes")
    assert reply.kind is Kind.ERROR
    assert "waits to be sent" in reply.title
    assert await Message.filter(id=mail.id).exists()


async def test_forget_alone_says_what_it_needs(alice: Person):
    for text in ("forget", "forget yes"):
        assert (await alice.types(text)).kind is Kind.ERROR
