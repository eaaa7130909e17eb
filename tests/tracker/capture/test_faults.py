"""Hostile mail, a writer that is away, a process that ends: nothing is doubled, nothing lost."""

from __future__ import annotations

import asyncio

import pytest

from models import Captured, Message, Recipient
from models.writer import WriterDownError
from tests.tracker.capture.copies import HOME, arrive, body_of, told, written
from tests.tracker.judging import SAFARI, Court
from tracker.mail import capture, held
from tracker.mail.addresses import (
    CaptureBox,
    add_own_address,
)
from tracker.mail.capture import RefusedMailError, key_of, take_copy
from tracker.mail.held import release_held
from tracker.mail.intake import Intake
from tracker.mail.parsing import parse_mail


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


async def composed(room: Court) -> Message:
    """A mail whose pixel was loaded, and judged, a minute before its copy arrives."""
    mail = await room.mail(armed=False)
    room.clock.advance(minutes=2)
    await room.request(await room.pixel(mail), SAFARI)
    await room.judge_all()
    room.clock.advance(minutes=1)
    return mail


async def test_a_writer_that_is_held_up_for_a_moment_is_waited_for(room: Court, monkeypatch):
    mail = await composed(room)
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


async def brought_while_the_writer_is_down(room: Court, monkeypatch, raw: bytes) -> int:
    """A copy arrives, and nothing of it can be armed; how often that was tried."""
    tries = []

    async def down(*_: object) -> None:
        tries.append(1)
        raise WriterDownError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(capture, "rescore", down)
        patched.setattr("tracker.hits.arming.rescore", down)
        patched.setattr(capture, "_PAUSES", [0] * 5)
        with pytest.raises(WriterDownError):
            await arrive(room, raw)
    return len(tries)


async def test_a_copy_that_is_brought_again_after_the_writer_was_down_is_judged_and_doubles_nothing(
    room: Court, monkeypatch
):
    mail = await composed(room)
    before = await room.verdicts(mail)
    raw = written(room, await body_of(room, mail))
    assert await brought_while_the_writer_is_down(room, monkeypatch, raw) == 6
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
    mail = await composed(room)
    await brought_while_the_writer_is_down(room, monkeypatch, written(room, await body_of(room, mail)))
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
