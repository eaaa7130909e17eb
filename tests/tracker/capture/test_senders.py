"""Whose mail it is: addresses that are learned, mail that is held, and the capture addresses themselves."""

from __future__ import annotations

from models import Captured, Message, OwnAddress, Reminder
from tests import builders
from tests.tracker.capture.copies import HOME, arrive, body_of, told, written
from tests.tracker.judging import Court
from tracker.mail.addresses import (
    CaptureBox,
    add_own_address,
    capture_addresses,
    find_box,
    own_addresses,
    renew_addresses,
)
from tracker.mail.held import release_held


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


async def test_the_first_sender_is_learned_once(room: Court):
    await arrive(room, written(room))
    await arrive(room, written(room, number="2"))
    assert [one.address for one in await OwnAddress.all()] == [HOME]
    assert " ".join(await told()).count("I take") == 1


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
