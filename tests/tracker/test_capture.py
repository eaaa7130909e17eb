"""A copy in BCC says what a mail is, when it left and to whom; whoever else writes there is asked about."""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
from email.message import EmailMessage

import pytest

from models import Alert, Captured, Card, Link, Message, OptOut, OwnAddress, Recipient, Reminder
from models.writer import WriterDownError
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import SAFARI, Court, check_sums, court
from tests.tracker.returned_mails import BOUNCES
from tracker.mail import capture, held
from tracker.mail.addresses import (
    CaptureBox,
    add_own_address,
    capture_addresses,
    find_box,
    own_addresses,
    renew_addresses,
)
from tracker.mail.capture import RefusedMailError, key_of, take_copy
from tracker.mail.held import release_held
from tracker.mail.intake import Intake
from tracker.mail.opt_out import address_digest
from tracker.mail.parsing import parse_mail

HOME = "alice@home.example"


@pytest.fixture
async def room(database, clock: Clock):
    async with court(database, clock) as opened:
        yield opened


def written(
    room: Court,
    body: str = "",
    *,
    sender: str = HOME,
    to: str = "ana@acme.com",
    number: str = "1",
    **more: str,
) -> bytes:
    """A mail in HTML, as a client puts it into BCC."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = more.pop("subject", "Q3 proposal")
    message["Message-ID"] = f"<{number}@home.example>"
    message["Date"] = email.utils.format_datetime(more.pop("date", room.clock()))
    for name, value in more.items():
        message[name.replace("_", "-")] = value
    message.set_content(f"<p>Hello</p>{body}", subtype="html", cte="quoted-printable")
    return message.as_bytes()


async def body_of(room: Court, mail: Message) -> str:
    url = room.services.settings.public_url
    links = await Link.filter(message_id=mail.id)
    return " ".join(f"{url}/o/{x.token}.gif" if x.kind == "open" else f"{url}/c/{x.token}" for x in links)


async def arrive(room: Court, raw: bytes, tag: str = "", *, public: bool = False, account=None) -> str:
    parsed = parse_mail(raw, room.services.settings.public_url)
    box = CaptureBox((account or room.alice).id, public, tag)
    return await take_copy(room.services, box, parsed, key_of(parsed, raw), room.clock())


async def told() -> list[str]:
    rows = await Alert.filter(event="notice").order_by("id")
    return [row.facts["text"] for row in rows]


async def test_the_copy_binds_arms_and_corrects(room: Court):
    mail = await room.mail(armed=False, subject="", to=())
    pixel = await room.pixel(mail)
    room.clock.advance(minutes=2)
    early = await room.request(pixel, SAFARI)
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="5")
    sent = room.clock.advance(minutes=2)
    room.clock.advance(seconds=30)
    later = await room.request(pixel, SAFARI)
    await room.judge_all()
    room.clock.advance(seconds=30)
    raw = written(room, await body_of(room, mail), date=sent, to="Ana <Ana@acme.com>")
    assert await arrive(room, raw) == "bound"
    mail = await Message.get(id=mail.id)
    assert (mail.subject, mail.armed_by, mail.armed_at, mail.sent_at) == (
        "Q3 proposal",
        "capture",
        sent,
        sent,
    )
    assert (mail.message_id_header, mail.from_address) == ("1@home.example", HOME)
    assert mail.captured_at == room.clock()
    assert await room.verdicts(mail) == ["sender", "human"]
    assert (await Alert.get(event_key=early)).fix_text
    assert (await Alert.get(event_key=later)).state in ("waiting", "sent")
    ana = await Recipient.get(message_id=mail.id)
    assert (ana.address, ana.name, ana.opens) == ("ana@acme.com", "Ana", 1)
    assert await Card.filter(message_id=mail.id, dirty_at__isnull=False).exists()
    await check_sums()


async def test_a_date_in_the_future_or_none_counts_as_the_arrival(room: Court):
    for number, date in (
        ("1", room.clock() + dt.timedelta(days=3)),
        ("2", dt.datetime(1980, 1, 1, tzinfo=dt.UTC)),
    ):
        mail = await room.mail(armed=False)
        room.clock.advance(minutes=1)
        await arrive(room, written(room, await body_of(room, mail), date=date, number=number))
        assert (await Message.get(id=mail.id)).armed_at == room.clock()


async def test_the_same_mail_again_changes_nothing(room: Court):
    mail = await room.mail(armed=False)
    raw = written(room, await body_of(room, mail))
    assert [await arrive(room, raw, "3d.what") for _ in range(3)] == ["bound"] * 3
    assert await Reminder.all().count() == 1
    assert await Captured.all().count() == 1
    assert len(await told()) == 1


async def test_a_mail_to_one_typed_and_several_written_shares_its_pixel(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    raw = written(
        room,
        await body_of(room, mail),
        to="ana@acme.com, bob@acme.com",
        date=room.clock.now - dt.timedelta(minutes=4),
    )
    assert await arrive(room, raw) == "bound"
    assert [one.address for one in await Recipient.all().order_by("position")] == [
        "ana@acme.com",
        "bob@acme.com",
    ]
    assert not await Link.filter(recipient_id__isnull=False).exists()
    assert [one.opens for one in await Recipient.all()] == [0, 0]
    assert (await Message.get(id=mail.id)).opens == 1


async def test_whoever_opted_out_is_not_recorded_in_a_mail_that_turns_out_to_be_theirs(room: Court):
    mail = await room.mail(to=())
    await OptOut.create(digest=address_digest(room.services, "ana@acme.com"), at=room.clock())
    await arrive(room, written(room, await body_of(room, mail)))
    assert not await Link.filter(recording=True).exists()
    assert (await Recipient.get()).opted_out_at


async def test_a_mail_without_tokens_is_watched_for_a_reply_and_says_so(room: Court):
    assert await arrive(room, written(room, subject="Lunch")) == "watched"
    mail = await Message.get()
    assert (mail.origin, mail.mode, mail.armed_by, mail.subject) == ("capture", "watch", "capture", "Lunch")
    assert await Card.filter(message_id=mail.id).count() == 1
    text = " ".join(await told())
    assert '"Lunch" is watched for a reply only' in text
    assert f"I take {HOME} as your address" in text


async def test_a_tag_orders_reminders_from_the_date_on_and_unclear_words_are_told(room: Court):
    mail = await room.mail()
    await arrive(room, written(room, await body_of(room, mail)), "noopen2d.noreply5d.blurb")
    rows = await Reminder.all().order_by("due_at")
    days = [(row.kind, (row.due_at - room.clock()).days) for row in rows]
    assert days == [("noopen", 2), ("noreply", 5)]
    assert "if no open is seen, in 2 days" in (await told())[0]
    assert "I did not understand +blurb" in (await told())[0]


async def test_off_stops_the_tracking_of_this_one(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    await arrive(
        room, written(room, await body_of(room, mail), date=room.clock() - dt.timedelta(minutes=4)), "off"
    )
    assert (await Message.get()).mode == "off"
    assert (await Message.get()).opens == 0
    assert not await Link.filter(recording=True).exists()
    assert await arrive(room, written(room, number="2"), "off") == "ignored"
    assert await Message.all().count() == 1


async def test_mail_from_an_unknown_address_is_held_and_asked_about(room: Court):
    await add_own_address(room.services, room.alice.id, HOME)
    assert await arrive(room, written(room, sender="alice@work.example"), "3d") == "held"
    assert not await Message.exists()
    assert "type: capture mine alice@work.example" in (await told())[0]
    await add_own_address(room.services, room.alice.id, "Alice@work.example")
    assert await release_held(room.services, room.alice, "alice@work.example") == 1
    assert (await Captured.get()).state == "watched"
    assert (await Message.get()).from_address == "alice@work.example"
    assert await Reminder.all().count() == 1


async def test_a_mail_with_tokens_is_its_owners_whatever_its_sender(room: Court):
    await add_own_address(room.services, room.alice.id, HOME)
    mail = await room.mail()
    raw = written(room, await body_of(room, mail), sender="alice@work.example")
    assert await arrive(room, raw) == "bound"
    assert await own_addresses(room.alice.id) == [HOME]


async def test_another_ones_tokens_bind_nothing(room: Court):
    bob = await builders.account("bob", room.clock())
    mail = await room.mail()
    assert await arrive(room, written(room, await body_of(room, mail)), account=bob) == "watched"
    assert (await Message.get(id=mail.id)).captured_at is None


async def test_a_quoted_mail_that_left_before_is_not_bound_again(room: Court):
    mail = await room.mail(armed=False)
    await arrive(room, written(room, await body_of(room, mail)))
    room.clock.advance(days=1)
    raw = written(room, await body_of(room, mail), number="2", subject="Re: Q3 proposal")
    assert await arrive(room, raw) == "watched"
    assert (await Message.get(id=mail.id)).message_id_header == "1@home.example"


async def test_a_reply_is_noted_once_and_rings(room: Court):
    mail = await room.mail()
    await arrive(room, written(room, await body_of(room, mail)))
    room.clock.advance(hours=1)
    raw = written(room, sender="Ana <ana@acme.com>", number="9", In_Reply_To="<1@home.example>")
    for _ in range(2):
        assert await arrive(room, raw, public=True) == "reply"
    assert (await Recipient.get()).replied_at == room.clock()
    assert (await Message.get()).replied_at == room.clock()
    reply = await Alert.get(event="reply")
    assert (reply.message_id, reply.facts["who"]) == (mail.id, "ana@acme.com")


async def test_gmails_question_whether_mail_may_be_forwarded_is_passed_on(room: Court):
    subject = "(#598173423) Gmail Forwarding Confirmation - Receive Mail from alice@home.example"
    raw = written(room, sender="Gmail Team <forwarding-noreply@google.com>", subject=subject)
    assert await arrive(room, raw, public=True) == "ignored"
    assert "598173423" in (await told())[0]
    with pytest.raises(RefusedMailError):
        await arrive(room, written(room, sender="eve@x.example", subject=subject, number="2"), public=True)


async def test_a_guess_is_enough_for_a_reply_and_not_for_a_bounce_at_the_public_address(room: Court):
    await add_own_address(room.services, room.alice.id, HOME)
    await room.mail()
    room.clock.advance(hours=1)
    raw = BOUNCES["postfix, plain text"][0].replace("{id}", "other@x.example").encode()
    with pytest.raises(RefusedMailError):
        await arrive(room, raw, public=True)
    guess = written(room, sender="ana@acme.com", subject="AW: Q3 proposal", number="2")
    assert await arrive(room, guess, public=True) == "reply"
    assert (await Captured.get()).guessed


async def test_ones_own_mail_in_the_thread_is_watched_from_the_public_address_too(room: Court):
    mail = await room.mail()
    await arrive(room, written(room, await body_of(room, mail)))
    room.clock.advance(hours=1)
    raw = written(room, number="2", subject="Re: Q3 proposal", In_Reply_To="<1@home.example>")
    assert await arrive(room, raw, public=True) == "watched"


async def test_a_bounce_of_a_mail_whose_pixel_it_holds_is_known_without_a_reference(room: Court):
    mail = await room.mail(to=("ana@acme.com", "bob@acme.com"))
    raw = BOUNCES["postfix, plain text"][0].replace("Message-ID: <{id}>", "X: y") + await body_of(room, mail)
    assert await arrive(room, raw.encode(), public=True) == "bounce"
    assert not (await Captured.get()).guessed


async def test_the_public_address_takes_nothing_else(room: Court):
    with pytest.raises(RefusedMailError, match=r"^5\.7\.1"):
        await arrive(room, written(room), public=True)
    assert not await Captured.exists()


@pytest.mark.parametrize(
    ("header", "sender", "state"),
    [
        ({"Auto_Submitted": "auto-replied"}, "ana@acme.com", "auto"),
        ({"Precedence": "bulk"}, "ana@acme.com", "auto"),
        ({"subject": "Automatische Antwort: Q3 proposal"}, "ana@acme.com", "auto"),
        ({"List_Id": "<x.example>"}, "x@list.example", "ignored"),
    ],
)
async def test_what_no_person_wrote_is_neither_a_copy_nor_a_reply(room: Court, header, sender, state):
    mail = await room.mail()
    await arrive(room, written(room, await body_of(room, mail)))
    raw = written(room, sender=sender, number="9", In_Reply_To="<1@home.example>", **header)
    assert await arrive(room, raw) == state
    assert (await Message.get()).replied_at is None
    assert not await Alert.filter(event="reply").exists()


async def test_a_header_that_stands_twice_is_refused(room: Court):
    with pytest.raises(RefusedMailError, match=r"^5\.6\.0 more than one From"):
        await arrive(room, b"From: x@y.example\r\n" + written(room))


async def test_unreadable_mail_is_a_mail_that_was_seen(room: Court):
    assert await arrive(room, b"Subject: " + b"a" * 70_000) == "ignored"
    assert "cannot read (headers too long)" in (await told())[0]


async def test_hostile_headers_are_stored_as_one_clean_line(room: Court):
    raw = (
        b"From: alice@home.example\r\nTo: =?utf-8?q?A=00=0A=E2=80=AEna?= <ana@acme.com>\r\n"
        b"Subject: =?utf-8?q?a=00=0Ab=ED=A0=80?=\r\n\r\nx"
    )
    assert await arrive(room, raw) == "watched"
    assert "\n" not in (await Message.get()).subject
    assert (await Recipient.get()).name == "A na"


async def test_addresses_are_made_once_and_anew(room: Court):
    one = await capture_addresses(room.services, room.alice)
    assert one is not None
    secret, public = one
    settings = room.services.settings
    assert await capture_addresses(room.services, room.alice) == one
    local, _, domain = secret.partition("@")
    assert await find_box(settings, f"{local.upper()}+NoOpen2d@{domain}") == CaptureBox(
        room.alice.id, is_public=False, tag="noopen2d"
    )
    assert await find_box(settings, public) == CaptureBox(room.alice.id, is_public=True)
    for unknown in (f"x{secret}", f"{local}@other.example", local, "", "@", f"{local}%x@{domain}", "a\0@b"):
        assert await find_box(settings, unknown) is None
    await renew_addresses(room.alice)
    assert await find_box(settings, secret) is None


async def test_the_first_sender_is_learned_once(room: Court):
    await arrive(room, written(room))
    await arrive(room, written(room, number="2"))
    assert [one.address for one in await OwnAddress.all()] == [HOME]
    assert " ".join(await told()).count("I take") == 1


async def test_a_writer_that_is_held_up_for_a_moment_is_waited_for(room: Court, monkeypatch):
    mail = await room.mail(armed=False)
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    room.clock.advance(minutes=1)
    real, failures = capture.rescore, [WriterDownError("locked")] * 2

    async def held_up(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return await real(*arguments)

    monkeypatch.setattr(capture, "rescore", held_up)
    monkeypatch.setattr("tracker.hits.arming.rescore", held_up)
    monkeypatch.setattr(capture, "_PAUSES", [0] * 5)
    assert await arrive(room, written(room, await body_of(room, mail))) == "bound"
    assert await room.verdicts(mail) == ["sender"]


async def test_a_copy_that_is_brought_again_after_the_writer_was_down_is_judged_and_doubles_nothing(
    room: Court, monkeypatch
):
    mail = await room.mail(armed=False)
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    before = await room.verdicts(mail)
    room.clock.advance(minutes=1)
    raw, tries = written(room, await body_of(room, mail)), []

    async def down(*_: object) -> None:
        tries.append(1)
        raise WriterDownError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(capture, "rescore", down)
        patched.setattr("tracker.hits.arming.rescore", down)
        patched.setattr(capture, "_PAUSES", [0] * 5)
        with pytest.raises(WriterDownError):
            await arrive(room, raw)
    assert len(tries) == 6
    assert await room.verdicts(mail) == before != ["sender"]
    assert await arrive(room, raw) == "bound"
    assert await room.verdicts(mail) == ["sender"]
    assert await Captured.all().count() == await Message.all().count() == 1


async def swept(room: Court) -> None:
    """A process that starts a minute later understands whatever was left."""
    intake = Intake(room.services)
    room.clock.advance(minutes=1)
    running = asyncio.create_task(intake.run())
    async with asyncio.timeout(10):
        while await Captured.filter(state__in=("noted", "arming")).exists():
            await asyncio.sleep(0.01)
    intake.stop()
    await running


async def test_a_copy_that_nobody_brings_again_is_armed_by_the_next_sweep(room: Court, monkeypatch):
    mail = await room.mail(armed=False)
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    room.clock.advance(minutes=1)

    async def down(*_: object) -> None:
        raise WriterDownError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(capture, "rescore", down)
        patched.setattr("tracker.hits.arming.rescore", down)
        patched.setattr(capture, "_PAUSES", [0] * 5)
        with pytest.raises(WriterDownError):
            await arrive(room, written(room, await body_of(room, mail)))
    assert (await Captured.get()).state == "arming"
    await swept(room)
    assert await room.verdicts(mail) == ["sender"]
    row = await Captured.get()
    assert (row.state, row.facts) == ("bound", None)


async def test_held_mails_are_taken_while_the_writer_is_down_and_armed_when_it_is_back(
    room: Court, monkeypatch
):
    await add_own_address(room.services, room.alice.id, HOME)
    for number in ("1", "2"):
        assert await arrive(room, written(room, sender="alice@work.example", number=number)) == "held"
    await add_own_address(room.services, room.alice.id, "alice@work.example")

    async def down(*_: object, **__: object) -> str:
        raise WriterDownError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(held, "take_copy", down)
        assert await release_held(room.services, room.alice, "alice@work.example") == 2
    assert await Captured.filter(state="noted").count() == 2
    await swept(room)
    assert await Captured.filter(state="watched").count() == 2


async def test_a_noted_copy_that_was_forgotten_meanwhile_is_not_understood(room: Court):
    raw = written(room)
    parsed = parse_mail(raw, room.services.settings.public_url)
    box = CaptureBox(room.alice.id, is_public=False)
    key = key_of(parsed, raw)
    assert await take_copy(room.services, box, parsed, key, room.clock(), noted=True) == "ignored"
    assert not await Message.exists()
    assert not await Captured.exists()


async def test_a_held_mail_that_is_taken_is_not_lost_where_the_process_ends_in_the_middle(
    room: Court, monkeypatch
):
    await add_own_address(room.services, room.alice.id, HOME)
    assert await arrive(room, written(room, sender="alice@work.example")) == "held"
    await add_own_address(room.services, room.alice.id, "alice@work.example")
    real = held.take_copy

    async def killed(*_: object, **__: object) -> str:
        raise asyncio.CancelledError

    monkeypatch.setattr(held, "take_copy", killed)
    with pytest.raises(asyncio.CancelledError):
        await release_held(room.services, room.alice, "alice@work.example")
    monkeypatch.setattr(held, "take_copy", real)
    (left,) = await Captured.all()
    assert left.state == "noted", "whoever sweeps next understands it"
    await swept(room)
    assert (await Captured.get()).state == "watched"
    assert (await Message.get()).subject == "Q3 proposal"
