"""A spooled mail becomes rows and copies: for each recipient their own pixel, and nothing else changed."""

from __future__ import annotations

import email
import quopri
import re

import pytest

from models import Card, Link, Message, OptOut, Outgoing, OwnDevice, Recipient, Reminder
from tests.tracker.judging import CHROME
from tests.tracker.posting import HOME, HTML, Post, wire, written
from tracker.mail.addresses import capture_addresses
from tracker.mail.compose import parse_draft, track
from tracker.mail.opt_out import address_digest

PIXEL = re.compile(rb"https://t\.example/o/([\w-]{22})\.gif")


def html_of(content: bytes) -> bytes:
    part = email.message_from_bytes(content).get_payload()[1]
    return quopri.decodestring(part.get_payload())


def tokens(content: bytes) -> list[bytes]:
    return PIXEL.findall(quopri.decodestring(content))


async def test_each_recipient_gets_an_own_copy_and_all_else_stays(post: Post):
    message = written("Ana <Ana@Acme.com>", "bob@acme.com", Cc="Cy <cy@acme.com>", Bcc="dan@acme.com")
    await post.put(message, "dan@acme.com", "cy@acme.com", "Ana@Acme.com", "bob@acme.com")
    got = await post.provider.until(4)
    await post.spool_empty()
    original = wire(message)
    seen = set()
    for one in got:
        assert b"dan@acme.com" not in one.content
        theirs = await post.links(one.to.lower())
        (pixel,) = tokens(one.content)
        assert pixel.decode() == theirs["pixel"]
        seen.add(pixel)
        link = f'href="https://t.example/c/{theirs["https://acme.com/deck"]}"'.encode()
        assert link in html_of(one.content)
        begin, _, _ = original.partition(b"\r\nBcc: dan@acme.com")
        assert one.content.startswith(begin)
        assert html_of(one.content).replace(link, b'href="https://acme.com/deck"').count(b"<img") == 1
        assert one.sender == HOME
    assert len(seen) == 4
    mail = await post.mail()
    assert (mail.origin, mail.mode, mail.subject, mail.from_address) == ("send", "full", "Q3 proposal", HOME)
    assert mail.message_id_header == "1@home.example"
    people = await Recipient.filter(message=mail).order_by("position")
    assert [(one.address, one.name) for one in people] == [
        ("ana@acme.com", "Ana"),
        ("bob@acme.com", ""),
        ("cy@acme.com", "Cy"),
        ("dan@acme.com", ""),
    ]
    assert await Card.filter(message=mail, dirty_at__isnull=False).count() == 1
    assert await post.told() == []


async def test_hits_before_the_providers_answer_are_the_senders(post: Post):
    post.provider.answer = "451 4.3.0 Later"
    await post.put(written())
    await post.tried(1)
    mail = await post.mail()
    assert mail.armed_at is None
    pixel = await post.room.pixel(mail)
    await post.room.request(pixel, CHROME)
    await post.room.judge_all()
    assert await post.room.verdicts(mail) == ["sender"]
    post.provider.answer = "250 OK"
    post.pass_time(minutes=2)
    await post.settled("sent")
    post.clock.advance(minutes=1)
    await post.room.request(pixel, CHROME)
    await post.room.judge_all()
    mail = await post.mail()
    assert await post.room.verdicts(mail) == ["sender", "human"]
    assert (mail.armed_by, mail.armed_at, mail.handed_over_at) == (
        "provider",
        mail.handed_over_at,
        post.clock() - (post.clock() - mail.handed_over_at),
    )
    ana = await Recipient.get()
    assert (ana.opens, ana.handed_over_at) == (1, mail.handed_over_at)


@pytest.mark.parametrize(
    ("html", "header", "reason"),
    [
        (None, {}, "plain text"),
        (HTML, {"DKIM_Signature": "v=1; a=rsa-sha256; d=home.example; s=x; b=abc"}, "signed"),
    ],
)
async def test_what_must_not_be_touched_goes_as_it_is_and_is_told_once(sqlite_post, html, header, reason):
    post = sqlite_post
    message = written(html=html, **header)
    await post.put(message, "ana@acme.com", "bob@acme.com")
    got = await post.provider.until(2)
    assert {one.content for one in got} == {wire(message)}
    assert await Link.all().count() == 0
    assert (await post.mail()).mode == "watch"
    (text,) = await post.told()
    assert f"not tracked: {reason}" in text


async def test_whoever_opted_out_gets_a_mail_without_anything_of_ours(sqlite_post):
    post = sqlite_post
    await OptOut.create(digest=address_digest(post.services, "bob@acme.com"), at=post.clock())
    message = written("ana@acme.com", "bob@acme.com")
    await post.put(message, "ana@acme.com", "bob@acme.com")
    await post.provider.until(2)
    (bobs,) = post.provider.of("bob@acme.com")
    assert bobs.content == wire(message)
    assert tokens(post.provider.of("ana@acme.com")[0].content)
    bob = await Recipient.get(address="bob@acme.com")
    assert bob.opted_out_at == post.clock()
    assert not await Link.filter(recipient=bob).exists()


async def test_a_domain_that_is_switched_off_is_not_tracked_and_the_others_are(sqlite_post):
    post = sqlite_post
    post.room.alice.preferences = {"domains": {"quiet.example": "off", "links.example": "clicks"}}
    await post.room.alice.save()
    message = written("a@acme.com", "b@quiet.example", "c@links.example")
    await post.put(message, "a@acme.com", "b@quiet.example", "c@links.example")
    await post.provider.until(3)
    assert (await post.mail()).mode == "full"
    assert post.provider.of("b@quiet.example")[0].content == wire(message)
    clicks = post.provider.of("c@links.example")[0].content
    assert not tokens(clicks)
    assert b"https://t.example/c/" in html_of(clicks)
    assert set(await post.links("a@acme.com")) == {"pixel", "https://acme.com/deck"}


async def test_tracking_switched_off_makes_no_card_and_no_noise(sqlite_post):
    post = sqlite_post
    await post.room.alice.filter(id=post.room.alice.id).update(mode="off")
    message = written()
    await post.put(message)
    (got,) = await post.provider.until(1)
    assert got.content == wire(message)
    await post.spool_empty()
    assert (await post.mail()).mode == "off"
    assert await Card.all().count() == 0
    assert await post.told() == []


async def test_our_capture_address_is_not_sent_to_and_its_tag_is_kept(sqlite_post):
    post = sqlite_post
    secret, _ = await capture_addresses(post.services, post.room.alice)
    name, _, domain = secret.partition("@")
    await post.put(written(Bcc=secret), f"{name}+noopen2d.blurb@{domain}", "ana@acme.com")
    (got,) = await post.provider.until(1)
    assert got.to == "ana@acme.com"
    assert name.encode() not in got.content
    await post.spool_empty()
    reminder = await Reminder.get()
    assert reminder.kind == "noopen"
    (text,) = await post.told()
    assert "if no open is seen, in 2 days" in text
    assert "+blurb" in text
    assert await Recipient.all().count() == 1


async def test_off_in_the_tag_sends_the_mail_untracked(sqlite_post):
    post = sqlite_post
    secret, _ = await capture_addresses(post.services, post.room.alice)
    message = written()
    await post.put(message, secret.replace("@", "+off@"), "ana@acme.com")
    (got,) = await post.provider.until(1)
    assert got.content == wire(message)
    assert (await post.mail()).mode == "off"


async def test_a_mail_to_the_capture_address_alone_is_captured(sqlite_post):
    post = sqlite_post
    secret, _ = await capture_addresses(post.services, post.room.alice)
    await post.put(written(), secret)
    await post.spool_empty()
    assert (await post.mail()).origin == "capture"
    assert post.provider.mails == []
    assert await Outgoing.all().count() == 0


async def test_old_tokens_in_quoted_text_go_and_their_links_lead_where_they_led(sqlite_post):
    post = sqlite_post
    await post.put(written())
    (first,) = await post.provider.until(1)
    await post.spool_empty()
    post.clock.advance(days=2)
    quoted = html_of(first.content).decode()
    assert "https://t.example/o/" in quoted
    answer = written(
        html=f"<html><body><p>And?</p><blockquote>{quoted}</blockquote></body></html>",
        number="2",
        In_Reply_To="<1@home.example>",
        date=post.clock(),
    )
    await post.put(answer)
    _, second = await post.provider.until(2)
    await post.spool_empty()
    html = html_of(second.content)
    old = {link.token for link in await Link.filter(message__message_id_header="1@home.example")}
    assert not any(token.encode() in html for token in old)
    assert b'href="https://acme.com/deck"' in html
    assert len(tokens(second.content)) == 1


async def test_a_mail_of_the_copy_page_is_bound_and_gets_no_second_pixel(post: Post):
    tracked = await track(post.services, post.room.alice, parse_draft("Q3 proposal https://acme.com/deck"))
    post.clock.advance(minutes=5)
    link, pixel = f'<a href="{tracked.links[0][1]}">deck</a>', f'<img src="{tracked.pixel_url}">'
    html = f"<html><body>Hi {link}{pixel}</body></html>"
    message = written(html=html, date=post.clock())
    await post.put(message)
    (got,) = await post.provider.until(1)
    await post.spool_empty()
    assert got.content == wire(message)
    mail = await post.mail()
    assert (mail.origin, mail.armed_by, mail.handed_over_at) == ("compose", "provider", post.clock())
    assert mail.message_id_header == "1@home.example"
    ana = await Recipient.get()
    assert set(await Link.all().values_list("recipient_id", flat=True)) == {ana.id}
    assert await Link.all().count() == 2


async def test_the_same_mail_piece_by_piece_is_one_mail(sqlite_post):
    post = sqlite_post
    message = written("ana@acme.com", "bob@acme.com")
    await post.put(message, "ana@acme.com")
    await post.put(message, "bob@acme.com")
    await post.provider.until(2)
    await post.spool_empty()
    assert await Message.all().count() == 1
    assert await Recipient.all().count() == 2
    assert await post.told() == []


async def test_a_program_that_sends_a_mail_twice_sends_it_twice_and_it_is_marked(sqlite_post):
    post = sqlite_post
    message = written()
    for _ in range(2):
        await post.put(message)
        await post.spool_empty()
    first, second = post.provider.mails
    assert first.content == second.content
    assert [row.maybe_sent for row in await Outgoing.all().order_by("id")] == [False, True]
    (text,) = await post.told()
    assert "may arrive there twice" in text


async def test_the_program_that_submits_is_the_senders_own_device(sqlite_post):
    post = sqlite_post
    await post.put(written(), device="d" * 32)
    await post.spool_empty()
    known = await OwnDevice.get()
    assert (known.device, known.source) == ("d" * 32, "submission")


async def test_addresses_of_every_shape_are_kept_as_they_are(sqlite_post):
    post = sqlite_post
    strange = ['"quoted local"@acme.com', "jörg@bücher.example", "UPPER@acme.com", "upper@acme.com"]
    await post.put(written("ana@acme.com"), *strange)
    got = await post.provider.until(4)
    assert sorted(one.to for one in got) == sorted(strange)
    await post.settled("sent", "sent", "sent", "sent")
    assert await Recipient.all().count() == 3


async def test_a_hostile_header_is_stored_as_one_clean_line(sqlite_post):
    post = sqlite_post
    raw = (
        b"From: a@home.example\r\nTo: =?utf-8?q?=00=0d=0aEvil?= <ana@acme.com>\r\n"
        b"Subject: =?utf-8?q?a=00b=0d=0aBcc:_x?= \xff\xfe\r\nMessage-ID: <x\xff@y>\r\n\r\nHello\r\n"
    )
    await post.put(raw)
    (got,) = await post.provider.until(1)
    assert got.content == raw
    mail = await post.mail()
    assert "\n" not in mail.subject
    assert "\x00" not in mail.subject
