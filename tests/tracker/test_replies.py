"""What an answer brings about: who replied, what it confirms, which rings it corrects, and what it is not."""

from __future__ import annotations

import datetime as dt

import pytest

from models import Alert, Captured, Hit, Mailbox, Message, OwnAddress, Recipient, Reminder
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, Court, court
from tests.tracker.returned_mails import AWAY, BOUNCES, DELAYS
from tracker.hits.own_proxy import proxy_of
from tracker.mail.capture import key_of
from tracker.mail.parsing import parse_mail
from tracker.replies import arriving
from tracker.replies.arriving import take_arrived
from tracker.replies.matching import strip_prefixes
from tracker.replies.watcher import Watcher

HOME = "alice@gmail.com"
ID = "1@gmail.com"


@pytest.fixture
async def room(database, clock: Clock):
    async with court(database, clock) as opened:
        await OwnAddress.create(account_id=opened.alice.id, address=HOME, created_at=clock())
        yield opened


async def sent_mail(room: Court, **more) -> Message:
    given = {"message_id_header": ID, "from_address": HOME, "sent_at": room.clock(), **more}
    return await room.mail(**given)


async def arrive(room: Court, raw: str, account=None) -> str | None:
    raw_bytes = raw.encode()
    parsed = parse_mail(raw_bytes, room.services.settings.public_url)
    owner = account or room.alice
    return await take_arrived(room.services, owner.id, parsed, key_of(parsed, raw_bytes), room.clock())


def reply(
    sender: str = "ana@acme.com",
    number: int = 9,
    subject: str = "Re: Q3 proposal",
    refers: str = ID,
    body: str = "ok",
) -> str:
    reference = f"In-Reply-To: <{refers}>\n" if refers else ""
    return (
        f"From: {sender}\nTo: {HOME}\nSubject: {subject}\nMessage-ID: <{number}@acme.com>\n{reference}"
        f"Content-Type: text/html\n\n{body}\n"
    )


async def test_a_reply_confirms_what_the_recipient_loaded_before_and_nothing_after(room: Court):
    mail = await sent_mail(room)
    pixel = await room.pixel(mail)
    room.clock.advance(hours=1)
    await room.request(pixel, APPLE)
    await room.judge_all()
    room.clock.advance(hours=1)
    await room.request(pixel, None)  # not judged yet when the reply comes
    room.clock.advance(hours=1)
    assert await arrive(room, reply()) == "reply"
    room.clock.advance(hours=1)
    await room.request(pixel, APPLE)
    await room.judge_all()
    captured = await Captured.get()
    hits = await Hit.all().order_by("at")
    assert [hit.verdict for hit in hits] == ["privacy", "unknown", "privacy"]
    assert [hit.confirmed_by for hit in hits] == [f"reply:{captured.id}", f"reply:{captured.id}", None]
    ana = await Recipient.get()
    assert captured.recipient_id == ana.id
    mail = await Message.get()
    assert mail.replied_at == mail.closed_at == mail.last_event_at == ana.replied_at


async def test_an_open_after_the_reply_through_ones_own_provider_is_maybe_oneself(room: Court):
    mail = await sent_mail(room)
    pixel = await room.pixel(mail)
    room.clock.advance(hours=1)
    await room.request(pixel, GMAIL)
    replied = room.clock.advance(hours=1)
    room.clock.advance(minutes=1)
    early = await room.request(pixel, GMAIL)  # before we know of the reply
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="1")
    room.clock.advance(minutes=1)
    date = replied.strftime("Date: %a, %d %b %Y %H:%M:%S +0000\n")
    assert await arrive(room, date + reply()) == "reply"
    assert (await Recipient.get()).replied_at == replied
    room.clock.advance(minutes=1)
    await room.request(pixel, GMAIL)
    await room.request(pixel, CHROME)  # somebody, with a browser of their own
    await room.judge_all()
    assert await room.verdicts(mail) == ["proxied", "unknown", "unknown", "human"]
    assert (await Hit.get(uid=early)).reason == "after-reply"
    assert "may not have been" in (await Alert.get(event_key=early)).fix_text
    assert (await Recipient.get()).opens == 2


async def test_another_provider_is_the_recipients(room: Court):
    mail = await sent_mail(room, from_address="alice@work.example")
    await OwnAddress.create(account_id=room.alice.id, address="alice@work.example", created_at=room.clock())
    room.clock.advance(hours=1)
    await arrive(room, reply())
    room.clock.advance(hours=1)
    await room.request(await room.pixel(mail), GMAIL)
    await room.judge_all()
    assert await room.verdicts(mail) == ["proxied"]
    await Mailbox.create(
        account_id=room.alice.id, address="alice@work.example", provider="gmail", smtp_host="x", smtp_port=1,
        smtp_security="tls", created_at=room.clock(),
    )  # fmt: skip
    room.clock.advance(hours=1)
    await room.request(await room.pixel(mail), GMAIL)
    await room.judge_all()
    assert await room.verdicts(mail) == ["proxied", "unknown"]


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("a@gmail.com", "Gmail"), ("a@yahoo.co.uk", "Yahoo Mail"), ("a@hey.com", "HEY"),
        ("a@acme.com", None), ("a@notyahoo.com", None),
    ],
)  # fmt: skip
def test_a_domain_says_whose_proxy_reads_its_mail(address, proxy):
    assert proxy_of(address) == proxy
    assert proxy_of("a@acme.com", "gmail") == "Gmail"


async def test_a_reply_ends_what_waited_for_one(room: Court):
    mail = await sent_mail(room)
    for kind in ("noreply", "noopen", "open", "always"):
        await Reminder.create(
            account_id=room.alice.id, message_id=mail.id, kind=kind, created_at=room.clock(),
            due_at=room.clock() + dt.timedelta(days=3),
        )  # fmt: skip
    await arrive(room, reply())
    ended = {one.kind: one.ended_because for one in await Reminder.all()}
    assert ended == {"noreply": "reply", "noopen": "reply", "open": "reply", "always": None}


async def test_a_reply_by_subject_and_sender_is_a_guess(room: Court):
    await sent_mail(room, subject="Q3  Proposal")
    assert await arrive(room, reply(refers="", subject="Q3 proposal")) is None
    assert await arrive(room, reply(refers="", sender="eve@acme.com")) is None
    assert await arrive(room, reply(refers="", subject="Re: Q4 proposal")) is None
    assert await Captured.all().count() == 0
    assert await arrive(room, reply(refers="", subject="AW: RE[2]: q3 proposal")) == "reply"
    assert (await Captured.get()).guessed
    alert = await Alert.get(event="reply")
    assert alert.facts["guessed"]
    assert alert.facts["captured"] == (await Captured.get()).id


async def test_what_quotes_our_pixel_answers_the_mail_for_sure(room: Court):
    mail = await sent_mail(room, message_id_header=None)
    pixel = await room.pixel(mail)
    body = f'<blockquote><img src="https://t.example/o/{pixel.token}.gif"></blockquote>'
    assert (
        await arrive(room, reply(refers="", subject="Re: what you wrote", body=body, sender="eve@x.example"))
        is None
    )
    assert await arrive(room, reply(refers="", subject="Re: what you wrote", body=body)) == "reply"
    assert not (await Captured.get()).guessed


async def test_old_mail_and_mail_that_came_before_is_not_guessed(room: Court):
    mail = await sent_mail(room)
    room.clock.advance(days=61)
    assert await arrive(room, reply(refers="")) is None
    await Message.filter(id=mail.id).update(created_at=room.clock(), sent_at=room.clock())
    room.clock.advance(days=-1)
    assert await arrive(room, reply(refers="")) is None


async def test_ones_own_mail_is_no_reply(room: Court):
    await sent_mail(room)
    assert await arrive(room, reply(sender=HOME)) is None


async def test_nobody_elses_mail_is_answered(room: Court):
    from tests import builders

    await sent_mail(room)
    bob = await builders.account("bob", room.clock())
    assert await arrive(room, reply(), account=bob) is None
    assert (await Message.get()).replied_at is None


async def test_the_same_reply_both_ways_is_one(room: Court):
    await sent_mail(room)
    assert [await arrive(room, reply()) for _ in range(3)] == ["reply"] * 3
    assert await Alert.filter(event="reply").count() == 1


async def test_the_first_reply_stays_the_first_and_each_rings(room: Court):
    await sent_mail(room)
    first = room.clock.advance(hours=1)
    await arrive(room, reply())
    room.clock.advance(hours=1)
    await arrive(room, reply(number=10))
    assert (await Message.get()).replied_at == first
    assert await Alert.filter(event="reply").count() == 2


async def test_somebody_else_who_answers_closes_the_mail_but_is_not_the_recipient(room: Court):
    await sent_mail(room)
    await arrive(room, reply(sender="boss@acme.com"))
    assert (await Message.get()).replied_at
    assert (await Recipient.get()).replied_at is None
    assert (await Alert.get()).facts["who"] == "boss@acme.com"


async def test_a_reply_through_a_list_counts_from_whom_one_wrote_to(room: Court):
    await sent_mail(room)
    through = "List-Id: <sales.home.example>\n"
    assert await arrive(room, through + reply(sender="eve@x.example", number=1)) == "ignored"
    assert await arrive(room, through + reply(number=2)) == "reply"


@pytest.mark.parametrize("name", BOUNCES)
async def test_a_bounce_marks_whom_it_did_not_reach_and_rings_with_the_reason(room: Court, name):
    raw, why = BOUNCES[name]
    await sent_mail(room, to=("ana@acme.com", "bob@acme.com"))
    for _ in range(2):
        assert await arrive(room, raw.replace("{id}", ID)) == "bounce"
    people = {one.address: one for one in await Recipient.all()}
    assert people["ana@acme.com"].bounced_at
    assert people["bob@acme.com"].bounced_at is None
    alert = await Alert.get()
    assert (alert.event, alert.recipient_id) == ("bounce", people["ana@acme.com"].id)
    assert why in alert.facts["why"]
    assert (await Message.get()).replied_at is None


async def test_a_second_bounce_of_the_same_recipient_does_not_ring_again(room: Court):
    await sent_mail(room, to=("ana@acme.com", "bob@acme.com"))
    for raw, _ in BOUNCES.values():
        assert await arrive(room, raw.replace("{id}", ID)) == "bounce"
        room.clock.advance(hours=1)
    assert await Captured.filter(state="bounce").count() == len(BOUNCES)
    assert await Alert.all().count() == 1


async def test_a_bounce_without_a_reference_is_guessed_where_one_mail_fits(room: Court):
    raw = BOUNCES["postfix, plain text"][0].replace("{id}", "other@x.example")
    assert await arrive(room, raw) is None
    await sent_mail(room)
    assert await arrive(room, raw) == "bounce"
    assert (await Captured.get()).guessed


@pytest.mark.parametrize("name", DELAYS)
async def test_a_delay_is_shown_and_does_not_ring(room: Court, name):
    await sent_mail(room)
    assert await arrive(room, DELAYS[name].replace("{id}", ID)) == "delay"
    ana = await Recipient.get()
    assert ana.bounced_at is None
    assert ana.details["delayed"]
    assert not await Alert.exists()


@pytest.mark.parametrize("name", AWAY)
async def test_an_answer_that_nobody_wrote_is_shown_and_does_not_ring(room: Court, name):
    await sent_mail(room)
    assert await arrive(room, AWAY[name].replace("{id}", ID)) == "auto"
    ana = await Recipient.get()
    assert ana.replied_at is None
    assert ana.details["away"]
    assert not await Alert.exists()


@pytest.mark.parametrize(
    ("subject", "bare"),
    [
        ("Re: Q3", ("Q3", True)), ("AW: SV: RE[2]: Q3", ("Q3", True)), ("Re (3) : Q3", ("Q3", True)),
        ("Re^2: Q3", ("Q3", True)), ("R: Q3", ("Q3", True)), ("Odp.: Q3", ("Odp.: Q3", False)),
        ("回复：Q3", ("Q3", True)), ("[EXTERNAL] Re: Q3", ("Q3", True)), ("[EXTERNAL] Q3", ("Q3", False)),
        ("Regarding Q3", ("Regarding Q3", False)), ("Fwd: Q3", ("Fwd: Q3", False)), ("", ("", False)),
    ],
)  # fmt: skip
def test_prefixes_of_all_countries_are_taken_off(subject, bare):
    assert strip_prefixes(subject) == bare


async def test_a_reply_that_was_noted_before_a_crash_is_judged_when_it_is_seen_again(
    room: Court, monkeypatch
):
    mail = await sent_mail(room)
    pixel = await room.pixel(mail)
    room.clock.advance(hours=1)
    replied = room.clock.now
    room.clock.advance(minutes=1)
    await room.request(pixel, GMAIL)
    await room.judge_all()
    room.clock.advance(minutes=1)
    raw = replied.strftime("Date: %a, %d %b %Y %H:%M:%S +0000\n") + reply()

    async def killed(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(arriving, "judge_answered", killed)
        with pytest.raises(ConnectionError):
            await arrive(room, raw)
    assert [hit.verdict for hit in await Hit.all()] == ["proxied"]
    assert await arrive(room, raw) == "reply"
    assert [hit.verdict for hit in await Hit.all()] == ["unknown"]
    assert await Alert.filter(event="reply").count() == 1


async def test_a_mailbox_whose_lease_is_of_a_clock_that_was_put_back_is_watched_again(room: Court):
    mailbox = await Mailbox.create(
        account=room.alice, address=HOME, provider="gmail", smtp_host="x.example", smtp_port=465,
        smtp_security="tls", created_at=room.clock(), imap_on=True, imap_host="x.example", imap_port=993,
    )  # fmt: skip
    dead, other = Watcher(room.services), Watcher(room.services)
    assert await dead._claim(mailbox.id)
    assert not await other._claim(mailbox.id)
    room.clock.advance(hours=-3)
    assert await other._claim(mailbox.id)
    assert not await dead._claim(mailbox.id)
