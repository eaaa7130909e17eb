"""What rang wrongly, and what was forgotten, is put right where it stands in the chat."""

from __future__ import annotations

from bot.chat import Kind, RefusedError
from bot.deliver import pending
from models import Alert
from tests import builders
from tests.fakes.chat import Failure
from tracker.mail.forget import forget_message
from tracker.mail.traces import FORGOTTEN


async def test_an_alert_that_was_withdrawn_while_it_was_being_sent_is_corrected_in_place(scene):
    alert = await scene.due()
    real = scene.chat.send

    async def judged_meanwhile(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        await Alert.filter(id=alert.id).update(state="withdrawn")
        return sent

    scene.chat.send = judged_meanwhile
    await scene.courier.deliver_once()
    assert scene.chat.texts() == [
        'Correction: "Q3 proposal" was opened by ana@acme.com does not count any more; it was judged anew.'
    ]
    assert len(scene.chat.posted) == 1
    assert await pending(scene.services) == 0


async def test_what_rang_wrongly_is_corrected_in_place(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    assert await pending(scene.services) == 1
    await scene.courier.deliver_once()
    (message,) = scene.chat.posted
    assert message.shown.title == "Correction: that was you."
    assert (await Alert.get()).fix_text is None
    assert await pending(scene.services) == 0


async def test_a_correction_of_a_deleted_message_is_left_alone(scene):
    await scene.due()
    await scene.courier.deliver_once()
    scene.chat.delete("m1")
    await Alert.all().update(fix_text="Correction: that was you.")
    await scene.courier.deliver_once()
    assert scene.chat.posted == []
    assert await pending(scene.services) == 0


async def test_a_correction_that_cannot_be_edited_in_is_said(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    scene.chat.fail(RefusedError("edit_window_closed"))
    await scene.courier.deliver_once()
    assert scene.chat.texts()[-1] == "Correction: that was you."
    assert await pending(scene.services) == 0


async def test_a_ring_whose_number_changed_is_drawn_again_in_silence(scene):
    await scene.due(ordinal=2)
    await scene.courier.deliver_once()
    assert scene.chat.posted[0].shown.title.endswith("(2nd time)")
    await Alert.all().update(ordinal=1, fix_text="")
    await scene.courier.deliver_once()
    (message,) = scene.chat.posted
    assert message.shown.title == '"Q3 proposal" was opened by ana@acme.com'
    alert = await Alert.get()
    assert (alert.fix_text, "fixed" in (alert.facts or {})) == (None, False)
    assert await pending(scene.services) == 0


async def test_a_number_that_cannot_be_edited_in_is_not_said(scene):
    await scene.due(ordinal=2)
    await scene.courier.deliver_once()
    await Alert.all().update(ordinal=1, fix_text="")
    scene.chat.fail(RefusedError("edit_window_closed"))
    await scene.courier.deliver_once()
    assert len(scene.chat.posted) == 1
    assert await pending(scene.services) == 0


async def test_a_ring_that_was_corrected_stays_corrected_when_its_number_changes(scene):
    await scene.due(ordinal=2)
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    await scene.courier.deliver_once()
    await Alert.all().update(ordinal=1, fix_text="")
    await scene.courier.deliver_once()
    assert scene.chat.texts() == ["Correction: that was you."]
    assert await pending(scene.services) == 0


async def test_a_correction_waits_for_a_chat_that_is_busy(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    scene.chat.try_later(after=5)
    await scene.courier.deliver_once()
    assert (await Alert.get()).fix_text is not None
    scene.clock.advance(seconds=6)
    await scene.courier.deliver_once()
    assert scene.chat.texts() == ["Correction: that was you."]


async def test_a_correction_that_always_fails_does_not_keep_cards_waiting_for_ever(on_sqlite):
    scene = on_sqlite
    await scene.due()
    await scene.courier.deliver_once()
    await Alert.all().update(fix_text="Correction: that was you.")
    await scene.dirty_card()
    scene.chat.always = Failure(KeyError("ts"), matches=lambda call, place, reply: call == "edit")
    for _ in range(6):
        await scene.courier.deliver_once()
        scene.clock.advance(minutes=10)
    assert await pending(scene.services) == 0
    assert len(scene.chat.texts(kind=Kind.CARD)) == 1


async def test_a_forgotten_mail_is_replaced_in_every_message_that_was_about_it(scene):
    await scene.dirty_card()
    await scene.due()
    await scene.due(ordinal=2)
    await scene.courier.deliver_once()
    await forget_message(scene.services, scene.alice, scene.mail.code)
    assert await pending(scene.services) > 0
    await scene.courier.deliver_once()
    assert [one.shown.text for one in scene.chat.posted] == [FORGOTTEN] * 3
    assert not any(one.shown.buttons for one in scene.chat.posted)
    assert await pending(scene.services) == 0
    assert await scene.courier.deliver_once() == 0


async def test_many_replacements_let_a_ring_through(scene):
    other = await builders.mail(scene.alice, scene.clock(), subject="Other")
    for number in range(1, 26):
        await Alert.create(
            account=scene.alice, destination=scene.home, message=scene.mail, event_key=f"old{number}",
            event="open", at=scene.clock(), due_at=scene.clock(), state="sent", remote_id=f"old{number}",
        )  # fmt: skip
    await forget_message(scene.services, scene.alice, scene.mail.code)
    await scene.courier.deliver_once()
    edits = len(scene.chat.calls)
    assert edits < 25
    await scene.due(mail=other)
    await scene.courier.deliver_once()
    assert scene.chat.calls[edits][0] == "send"
    assert await pending(scene.services) == 0


async def test_a_ring_that_was_on_its_way_while_its_mail_was_forgotten_is_replaced(scene):
    await scene.dirty_card()
    await scene.due()
    real = scene.chat.send

    async def forgotten_meanwhile(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        if reply.kind is Kind.ALERT:
            await forget_message(scene.services, scene.alice, scene.mail.code)
        return sent

    scene.chat.send = forgotten_meanwhile
    await scene.courier.deliver_once()
    await scene.courier.deliver_once()
    assert [one.shown.text for one in scene.chat.posted] == [FORGOTTEN] * 2
    assert await pending(scene.services) == 0


async def test_a_card_that_was_on_its_way_while_its_mail_was_forgotten_is_replaced(scene):
    await scene.dirty_card()
    await scene.due()
    real = scene.chat.send

    async def forgotten_meanwhile(place, reply, *, under=None):
        sent = await real(place, reply, under=under)
        await forget_message(scene.services, scene.alice, scene.mail.code)
        return sent

    scene.chat.send = forgotten_meanwhile
    for _ in range(3):
        await scene.courier.deliver_once()
    assert {one.shown.text for one in scene.chat.posted} == {FORGOTTEN}
    assert await pending(scene.services) == 0


async def test_a_card_that_was_being_edited_while_its_mail_was_forgotten_is_replaced(scene):
    await scene.dirty_card()
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=5)
    await scene.opens(1)
    real = scene.chat.edit

    async def forgotten_meanwhile(place, remote_id, reply):
        await forget_message(scene.services, scene.alice, scene.mail.code)
        await real(place, remote_id, reply)

    scene.chat.edit = forgotten_meanwhile
    for _ in range(3):
        await scene.courier.deliver_once()
    assert scene.chat.only(Kind.CARD).shown.text == FORGOTTEN


async def test_a_forgotten_mail_vanishes_from_a_digest_and_the_others_stay(scene):
    other = await builders.mail(scene.alice, scene.clock(), subject="Other")
    for number in range(1, 11):
        await scene.due(ordinal=number, mail=other)
    for mail in (scene.mail, other, scene.mail):
        await scene.due(mail=mail)
    await scene.courier.deliver_once()
    scene.clock.advance(seconds=5)
    await scene.courier.deliver_once()
    digest = scene.chat.only(Kind.DIGEST)
    assert "Q3 proposal" in digest.shown.text
    await forget_message(scene.services, scene.alice, scene.mail.code)
    await scene.courier.deliver_once()
    assert "Q3 proposal" not in digest.shown.text
    assert digest.shown.lines == (FORGOTTEN, '"Other" was opened by ana@acme.com')
    await forget_message(scene.services, scene.alice, other.code)
    await scene.courier.deliver_once()
    assert digest.shown.text == FORGOTTEN


async def test_what_a_chat_will_not_edit_is_not_told_anew(scene):
    await scene.due()
    await scene.courier.deliver_once()
    await forget_message(scene.services, scene.alice, scene.mail.code)
    scene.chat.fail(RefusedError("too old"))
    await scene.courier.deliver_once()
    assert len(scene.chat.posted) == 1
    assert await pending(scene.services) == 0
