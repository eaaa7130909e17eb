"""Replies seen in a real mailbox and through the capture address, from the mail that was sent to its card."""

from __future__ import annotations

import asyncio
import datetime as dt
import smtplib

import pytest

from models import Alert, Captured, Link, Mailbox, Message, Recipient, Reminder
from tests.flows.office import HOME, ID, Office, until, watching
from tests.processes.mailbell import free_port
from tests.tracker.returned_mails import AWAY, BOUNCES, DELAYS
from tracker.mail.addresses import capture_addresses
from tracker.mail.smtp import capture_mail
from tracker.mail.tracked import pixel_url
from tracker.reminders.firing import fire_due


async def read_thrice(office: Office) -> None:
    """Ana opens the mail three times, on three days."""
    pixel = pixel_url(office.bell.services, await Link.get(message_id=office.mail.id, kind="open"))
    for number in range(3):
        office.bell.pass_time(hours=17)
        await office.bell.read(pixel)
        await office.rung("open", number + 1)


async def order(office: Office) -> None:
    now = office.bell.clock()
    for kind, days in (("noreply", 3), ("open", 4)):
        await Reminder.create(
            account_id=office.alice.id, message_id=office.mail.id, kind=kind, created_at=now,
            due_at=now + dt.timedelta(days=days),
        )  # fmt: skip


async def check_story(office: Office) -> None:
    """The mail is answered; nothing comes back to it."""
    (alert,) = await office.rung("reply")
    assert not alert.facts.get("guessed")
    assert 'ana@acme.com replied to "Q3 proposal"' in office.chat.texts()
    card = await office.card("replied after 2 d 3 h")
    assert "ana@acme.com: sent · opened ×3 · replied after 2 d 3 h" in card
    assert [one.ended_because for one in await Reminder.all()] == ["reply", "reply"]
    office.bell.pass_time(days=10)
    assert await fire_due(office.bell.services) == 0
    assert not await Alert.filter(event="reminder").exists()


async def test_a_mail_is_sent_opened_thrice_and_answered_as_the_mailbox_shows(office: Office):
    office.imap.deliver(HOME, office.answer(99, "Bob <bob@x.example>"))  # from before it was watched
    async with watching(office):
        await order(office)
        await office.watch()
        await read_thrice(office)
        office.imap.deliver(HOME, "From: news@x.example\nSubject: Offers\nMessage-ID: <5@x>\n\nBuy\n")
        office.imap.deliver(HOME, office.answer())
        await check_story(office)
    assert (await Captured.get()).via == "imap"  # and nothing is kept of any other mail
    mailbox = await Mailbox.get()
    assert (mailbox.leased_by, mailbox.imap_next) == (None, 4)
    new = office.imap.folder / "mail" / HOME
    flags = [path.name.partition(":2,")[2] for path in (*new.glob("new/*"), *new.glob("cur/*"))]
    assert not any("S" in one for one in flags)  # nothing was marked as read


async def test_a_mail_is_sent_opened_thrice_and_answered_as_the_capture_address_hears(office: Office):
    both = await capture_addresses(office.bell.services, office.alice)
    assert both is not None
    port = free_port()

    def post(raw: str, sender: str = "ana@acme.com") -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail(sender, [both[1]], raw)

    async with capture_mail(office.bell.services, "127.0.0.1", port):
        await order(office)
        await read_thrice(office)
        for number, raw in enumerate((*AWAY.values(), *DELAYS.values())):
            own = raw.replace("{id}", ID).replace("<a1@acme.com>", f"<a{number}@acme.com>")
            await asyncio.to_thread(post, own, "")
        assert not await Alert.filter(event__in=("reply", "bounce")).exists()
        await asyncio.to_thread(post, office.answer())
        await check_story(office)
        with pytest.raises(smtplib.SMTPDataError):
            await asyncio.to_thread(post, "From: eve@x.example\nSubject: Re: Q3 proposal\n\nhi\n")
        async with watching(office):  # and the same mail in the mailbox is no other one
            await office.watch()
            office.imap.deliver(HOME, office.answer())
            await until(lambda: Mailbox.filter(imap_next=2).exists())
    assert await Alert.filter(event="reply").count() == 1


async def test_what_machines_write_is_no_reply_in_a_mailbox_either(office: Office):
    async with watching(office):
        await office.watch()
        languages = ("English, Exchange", "German, words alone", "French", "Spanish", "Italian")
        for number, name in enumerate((*languages, "a ticket system")):
            raw = AWAY[name].replace("{id}", ID).replace("<a1@acme.com>", f"<a{number}@acme.com>")
            office.imap.deliver(HOME, raw)
        await until(lambda: Captured.filter(state="auto").count(), len(languages) + 1)
        await office.card("auto-reply only")
        office.imap.deliver(HOME, DELAYS["sendmail"].replace("{id}", ID))
        await office.card("delivery delayed")
        assert not await Alert.exists()
        assert (await Message.get()).replied_at is None


@pytest.mark.parametrize("name", ["postfix, RFC 3464", "qmail", "Exchange Online", "Exim", "Gmail"])
async def test_a_bounce_in_the_mailbox_marks_the_recipient(office: Office, name: str):
    raw, why = BOUNCES[name]
    async with watching(office):
        await office.watch()
        office.imap.deliver(HOME, raw.replace("{id}", ID))
        (alert,) = await office.rung("bounce")
        assert why in alert.facts["why"]
        await office.card("did not arrive")
    assert (await Recipient.get()).bounced_at


async def test_hostile_mail_in_the_mailbox_hurts_nobody(office: Office):
    async with watching(office):
        await office.watch()
        office.imap.deliver(HOME, b"Subject: " + b"a" * 60_000 + b"\n\nx")
        office.imap.deliver(
            HOME,
            b"From: MAILER-DAEMON@x\nContent-Type: multipart/report; boundary=b\n\n" + b"--b\n\nx\n" * 9_000,
        )
        office.imap.deliver(HOME, b"From: \xff\xfe\x00@\x80\nMessage-ID: <\xff>\n\n\x00")
        office.imap.deliver(HOME, b"")
        office.imap.deliver(HOME, office.answer())
        await office.rung("reply")
    assert (await Mailbox.get()).imap_next == 6
