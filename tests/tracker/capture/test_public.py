"""The public address takes answers, bounces and what belongs to a thread, and nothing else."""

from __future__ import annotations

import pytest

from models import Alert, Captured, Message, Recipient
from tests.tracker.capture.copies import HOME, arrive, body_of, told, written
from tests.tracker.judging import Court
from tests.tracker.returned_mails import BOUNCES
from tracker.mail.addresses import (
    add_own_address,
)
from tracker.mail.capture import RefusedMailError


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
