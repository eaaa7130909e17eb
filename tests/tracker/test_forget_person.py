"""A person is forgotten wherever she stands: in copies that were sent, in corrections, in every spelling."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import pytest

from models import Alert, Captured, Dialogue, Message, Outgoing, Person, Recipient, Reminder
from tests import builders
from tests.tracker.judging import Court, court
from tests.tracker.posting import Post, written
from tracker.mail.forget_person import StillSendingError, forget_person
from tracker.person_file import person_file
from tracker.sending.spool import Envelope, Spool

ANA = "ana@acme.com"


async def test_copies_that_were_sent_are_hers_however_her_address_was_written(post: Post):
    await post.put(written("Ana@Acme.com", "dan@acme.com"), "Ana@Acme.com", "dan@acme.com")
    await post.settled("sent", "sent")
    await forget_person(post.room.services, post.room.alice, ANA)
    assert [one.address for one in await Outgoing.all()] == ["dan@acme.com"]


async def test_a_copy_that_waits_is_hers_however_her_address_was_written(post: Post):
    post.provider.answer = "451 4.3.0 Later"
    await post.put(written("Ana@Acme.com"), "Ana@Acme.com")
    await post.tried(1, "Ana@Acme.com")
    with pytest.raises(StillSendingError):
        await forget_person(post.room.services, post.room.alice, ANA)
    assert await Recipient.filter(address=ANA).exists()


async def test_a_mail_that_has_just_come_in_is_hers_before_anything_was_made_of_it(database, clock, tmp_path):
    async with court(database, clock, data_dir=tmp_path) as room:
        spool = Spool(tmp_path / "spool")
        envelope = Envelope(room.alice.id, 1, "alice@home.example", ("Ana@Acme.com",), clock())
        name = await spool.put(envelope, b"Subject: Lunch\r\n\r\nHi\r\n")
        await spool.put(replace(envelope, account_id=room.alice.id + 1, recipients=("dan@acme.com",)), b"Hi")
        with pytest.raises(StillSendingError):
            await forget_person(room.services, room.alice, ANA)
        await forget_person(room.services, room.alice, "dan@acme.com")
        spool.remove(name)
        await forget_person(room.services, room.alice, ANA)
        spool.close()


async def test_a_mail_to_both_spellings_of_one_address_goes_at_once(room: Court):
    mail = await room.mail(to=("ana@bücher.example", "ana@xn--bcher-kva.example"))
    gone = await forget_person(room.services, room.alice, "ana@bücher.example")
    assert gone.mails == 1
    assert not await Message.filter(id=mail.id).exists()


async def test_a_correction_that_has_not_reached_the_chat_names_her_no_more(room: Court):
    home = await builders.destination(room.alice, "telegram", "70")
    await Alert.create(
        account=room.alice, destination=home, event_key="k", event="open", at=room.clock(),
        due_at=room.clock(), state="sent", remote_id="9", facts={}, fix_text=f"Correction: not {ANA}",
    )  # fmt: skip
    await forget_person(room.services, room.alice, ANA)
    left = await Alert.all()
    assert [one for one in left if ANA in json.dumps([one.facts, one.fix_text])] == []
    assert [one.remote_id for one in left] == ["9"], "what stands in the chat is replaced"


async def test_a_held_copy_to_an_address_with_other_letters_goes(room: Court):
    said = json.dumps({"to": [["", "ana@bücher.example"]]})
    await Captured.create(
        account=room.alice, key="k", state="held", from_address="x@y.example", at=room.clock(),
        facts={"mail": said, "tag": ""},
    )  # fmt: skip
    await forget_person(room.services, room.alice, "ana@bücher.example")
    assert not await Captured.all().exists()


async def test_two_who_forgot_at_once_keep_nobody_from_being_forgotten_later(room: Court):
    for code in ("husk1", "husk2"):
        await Message.create(
            account=room.alice, code=code, origin="forgotten", mode="off", created_at=room.clock(),
            arms_at=room.clock(),
        )  # fmt: skip
    await room.mail()
    gone = await forget_person(room.services, room.alice, ANA)
    assert (gone.mails, gone.links) == (1, 1)


async def test_what_is_known_under_two_spellings_is_handed_over_in_one_file(room: Court):
    for address in ("ana@bücher.example", "ana@xn--bcher-kva.example"):
        await room.mail(to=(address,))
        await Person.create(account=room.alice, address=address, created_at=room.clock())
    file = await person_file(room.services, room.alice, "ana@bücher.example")
    assert file is not None
    assert len(json.loads(file)["mails"]) == 2


async def test_what_was_told_of_her_without_a_mail_is_replaced_where_it_was_shown_and_gone_where_not(
    room: Court,
):
    home = await builders.destination(room.alice, "telegram", "70")
    for key, state, remote in (("shown", "sent", "9"), ("given up", "dropped", None)):
        await Alert.create(
            account=room.alice, destination=home, event_key=key, event="notice", at=room.clock(),
            due_at=room.clock(), state=state, remote_id=remote, facts={"text": f"I hold a mail to {ANA}"},
        )  # fmt: skip
    await forget_person(room.services, room.alice, ANA)
    left = await Alert.all()
    assert [one for one in left if ANA in json.dumps([one.facts, one.fix_text])] == []
    assert [(one.remote_id, bool(one.fix_text)) for one in left] == [("9", True)]


async def test_her_address_in_ones_own_words_goes_and_the_reminder_stays(room: Court):
    mail = await room.mail(to=("dan@acme.com",))
    for text in (f"ask Ana@Acme.com ({ANA})", "ask Dan"):
        await Reminder.create(
            account=room.alice, message=mail, kind="always", created_at=room.clock(), text=text,
            due_at=room.clock() + dt.timedelta(days=len(text)),
        )  # fmt: skip
    await forget_person(room.services, room.alice, ANA)
    assert {one.text for one in await Reminder.all()} == {None, "ask Dan"}


async def test_questions_half_answered_with_her_address_end_and_those_of_others_go_on(room: Court):
    bob = await builders.account("bob", room.clock())
    for account, user, answer in (
        (room.alice, "1", f"Ana <{ANA.upper()}>"), (room.alice, "2", "dan@acme.com"), (bob, "3", ANA),
    ):  # fmt: skip
        await builders.identity(account, "telegram", user)
        await Dialogue.create(
            platform="telegram", chat_id="7", user_id=user, verb="track", step="subject",
            answers={"to": answer}, updated_at=room.clock(),
        )  # fmt: skip
    await forget_person(room.services, room.alice, ANA)
    assert {one.user_id for one in await Dialogue.all()} == {"2", "3"}
