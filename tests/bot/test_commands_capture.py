"""`capture`: two addresses, new ones, and which addresses are one's own."""

from __future__ import annotations

import pytest

from bot.chat import Kind
from bot.conversation import Conversation
from models import Captured, Message
from tests.bot import talk
from tests.bot.talk import Person
from tests.conftest import Clock
from tracker.mail.addresses import CaptureBox, add_own_address, find_box, own_addresses
from tracker.mail.capture import take_copy
from tracker.mail.parsing import Parsed


async def test_capture_shows_both_addresses_to_copy(alice: Person, bot_services):
    reply = await alice.types("capture")
    secret, public = (value for _, value in reply.copyable)
    assert reply.data == {"capture_address": secret, "public_address": public}
    assert reply.private
    assert (await alice.types("capture")).copyable == reply.copyable
    assert await find_box(bot_services.settings, secret) == CaptureBox(alice.account.id, is_public=False)
    tracked = await alice.types("track ana@acme.com Q3")
    assert tracked.data["capture_address"] == secret
    assert f"Put {secret} in BCC" in tracked.text


async def test_everybody_has_their_own(alice: Person, bob: Person):
    assert not set((await alice.types("capture")).copyable) & set((await bob.types("capture")).copyable)


async def test_capture_new_makes_the_old_ones_unknown(alice: Person, bot_services):
    old = (await alice.types("capture")).data["capture_address"]
    assert (await alice.types("capture new")).data["capture_address"] != old
    assert await find_box(bot_services.settings, old) is None


async def test_who_was_shown_out_gets_no_mail_any_more(alice: Person, bob: Person, bot_services):
    both = [value for _, value in (await bob.types("capture")).copyable]
    await alice.types(f"invite remove #{bob.account.id} yes")
    assert [await find_box(bot_services.settings, one) for one in both] == [None, None]
    assert await find_box(bot_services.settings, (await alice.types("capture")).copyable[0][1])


async def test_capture_mine_takes_what_was_held(alice: Person, bob: Person, bot_services, clock: Clock):
    await add_own_address(bot_services, alice.account.id, "alice@home.example")
    await alice.types("capture")
    parsed = Parsed(subject="Lunch", sender="alice@work.example", to=(("", "ana@acme.com"),))
    box = CaptureBox(alice.account.id, is_public=False)
    assert await take_copy(bot_services, box, parsed, "k", clock()) == "held"
    assert "no mail address" in (await alice.types("capture mine nonsense")).text
    assert "taken" not in (await bob.types("capture mine alice@work.example")).title
    assert not await Message.exists()
    reply = await alice.types("capture mine <Alice@Work.example>")
    assert reply.title == "I take alice@work.example as yours. 1 mail that I held from there is taken."
    assert (await Captured.get()).state == "watched"
    assert await own_addresses(alice.account.id) == ["alice@home.example", "alice@work.example"]


async def test_anything_else_says_what_to_type(alice: Person):
    reply = await alice.types("capture <b>now</b>")
    assert reply.kind is Kind.ERROR
    assert "capture new" in reply.text


@pytest.mark.usefixtures("sqlite_database")
async def test_where_nothing_listens_there_is_no_address(tmp_path, clock: Clock):
    services = talk.services(tmp_path, clock, capture_port="")
    dora = await talk.join(Person(Conversation(services), "dora"), clock)
    reply = await dora.types("capture")
    assert reply.kind is Kind.ERROR
    assert "o mail comes in here" in reply.text
    assert (await dora.types("track ana@acme.com Q3")).data["capture_address"] is None
