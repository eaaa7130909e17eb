"""How answers look in chat: the card's row, the rings, and the buttons that put a guess right."""

from __future__ import annotations

import datetime as dt

import pytest

from bot.chat import Kind
from bot.render import Ring, card, ring
from bot.words import span
from models import Alert, Captured, Message, Recipient, Reminder
from tests import builders
from tests.bot.talk import Person, actions
from tests.conftest import Clock
from tracker.insights.snapshot import snapshot
from tracker.mail.addresses import CaptureBox, add_own_address
from tracker.mail.capture import take_copy
from tracker.mail.parsing import Parsed
from tracker.replies.arriving import take_arrived

MAIL = {"code": "k7m2qx", "subject": "Q3 proposal"}


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (dt.timedelta(days=2, hours=3, minutes=50), "2 d 3 h"), (dt.timedelta(hours=3), "3 h"),
        (dt.timedelta(days=1, minutes=5), "1 d"), (125 * 60, "2 h 5 min"), (59, "0 min"), (-5, "0 min"),
        (dt.timedelta(days=40), "40 d"),
    ],
)  # fmt: skip
def test_a_length_has_its_two_largest_units(length, said):
    assert span(length) == said


@pytest.mark.parametrize(
    ("facts", "title", "lines"),
    [
        (
            {"who": "eve@x.example", "after": 183_600},
            'eve@x.example replied to "Q3 proposal"',
            "2 d 3 h after sending",
        ),
        (
            {"who": "eve@x.example", "after": 0},
            'eve@x.example replied to "Q3 proposal"',
            "a moment after sending",
        ),
        (
            {"who": "ana@acme.com", "after": 7_200, "guessed": True, "captured": 7},
            'ana@acme.com probably replied to "Q3 proposal"',
            "2 h after sending · known by subject and address alone",
        ),
    ],
)
def test_the_ring_of_a_reply_says_how_long_it_took_and_how_sure_it_is(facts, title, lines):
    reply = ring(Ring("reply", **MAIL, facts=facts))
    assert (reply.title, *reply.lines) == (title, lines)
    assert ("notreply 7" in actions(reply)) is ("guessed" in facts)


def test_a_bounce_rings_with_the_servers_words():
    why = {"why": "550 5.1.1 <ana@acme.com>: User unknown"}
    reply = ring(Ring("bounce", **MAIL, recipient="ana@acme.com", facts=why))
    assert reply.text == '"Q3 proposal" did not reach ana@acme.com\n550 5.1.1 <ana@acme.com>: User unknown'


async def rows(mail: Message, now: dt.datetime) -> list[str]:
    found = await snapshot(mail.id)
    assert found is not None
    return list(card(found, now).lines)


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"replied_at": dt.timedelta(days=2, hours=3)}, "sent · replied after 2 d 3 h"),
        (
            {"replied_at": dt.timedelta(hours=1), "details": {"reply_guessed": True}},
            "sent · probably replied after 1 h",
        ),
        ({"details": {"away": 1}}, "sent · auto-reply only · no open seen"),
        ({"details": {"delayed": 1}}, "sent · delivery delayed · no open seen"),
        ({"details": {"delayed": 1}, "opens": 1}, "sent · opened ×1"),
        (
            {"bounced_at": dt.timedelta(0), "details": {"bounce": "550 User unknown", "delayed": 1}},
            "did not arrive (550 User unknown)",
        ),
    ],
)
@pytest.mark.usefixtures("sqlite_database")
async def test_the_row_of_a_recipient_tells_how_it_ended(clock: Clock, change, row):
    account = await builders.account("alice", clock())
    mail = await builders.mail(account, clock(), sent_at=clock())
    changed = {key: clock() + one if isinstance(one, dt.timedelta) else one for key, one in change.items()}
    await Recipient.filter(message_id=mail.id).update(**changed)
    assert await rows(mail, clock.advance(days=3)) == [f"ana@acme.com: {row}"]


@pytest.mark.usefixtures("sqlite_database")
async def test_somebody_elses_reply_has_a_line_of_its_own(clock: Clock):
    account = await builders.account("alice", clock())
    mail = await builders.mail(account, clock(), sent_at=clock(), replied_at=clock() + dt.timedelta(hours=5))
    assert (await rows(mail, clock()))[-1] == "somebody else replied after 5 h"
    await Message.all().update(details={"replied_by_hand": True})
    assert (await rows(mail, clock()))[-1] == "replied"


async def test_a_wrong_guess_is_undone_by_its_button(alice: Person, bob: Person, bot_services, clock: Clock):
    mail = await builders.mail(alice.account, clock(), sent_at=clock())
    await Reminder.create(
        account=alice.account, message=mail, kind="noreply", due_at=clock() + dt.timedelta(days=5),
        created_at=clock(),
    )  # fmt: skip
    clock.advance(hours=2)
    parsed = Parsed(subject="Re: Q3 proposal", sender="ana@acme.com")
    assert await take_arrived(bot_services, alice.account.id, parsed, "k" * 48, clock()) == "reply"
    assert (await rows(mail, clock()))[0].endswith("probably replied after 2 h")
    assert (await Reminder.get()).ended_because == "reply"
    await Alert.all().update(state="sent", remote_id="1")
    number = (await Captured.get()).id
    assert (await bob.presses(f"notreply {number}")).kind is Kind.ERROR
    reply = await alice.presses(f"notreply {number}")
    assert reply.title == 'All right, that was no reply to "Q3 proposal". I go on watching for a reply.'
    mail = await Message.get()
    assert (mail.replied_at, mail.closed_at) == (None, None)
    assert (await rows(mail, clock()))[0] == "ana@acme.com: sent · no open seen"
    assert (await Reminder.get()).done_at is None
    assert (await Alert.get()).fix_text.startswith("Correction: that mail from ana@acme.com was no reply")
    assert (await alice.presses(f"notreply {number}")).kind is Kind.ERROR
    for nonsense in ("", "x", "9" * 40, "-1"):
        assert (await alice.types(f"notreply {nonsense}")).kind is Kind.ERROR


async def test_another_reply_stays_when_a_guess_is_undone(alice: Person, bot_services, clock: Clock):
    mail = await builders.mail(alice.account, clock(), sent_at=clock(), message_id_header="1@x.example")
    clock.advance(hours=1)
    parsed = Parsed(subject="Re: Q3 proposal", sender="ana@acme.com")
    await take_arrived(bot_services, alice.account.id, parsed, "a" * 48, clock())
    clock.advance(hours=1)
    sure = Parsed(subject="Hm", sender="ana@acme.com", refers_to=("1@x.example",))
    await take_arrived(bot_services, alice.account.id, sure, "b" * 48, clock())
    guess = await Captured.get(guessed=True)
    reply = await alice.presses(f"notreply {guess.id}")
    assert "answered by another mail" in reply.title
    assert (await rows(mail, clock()))[0] == "ana@acme.com: sent · replied after 2 h"


async def hold(alice: Person, bot_services, clock: Clock) -> str:
    await add_own_address(bot_services, alice.account.id, "alice@home.example")
    await alice.types("capture")
    parsed = Parsed(subject="Lunch", sender=f"alice{'x' * 60}@work.example", to=(("", "ana@acme.com"),))
    box = CaptureBox(alice.account.id, is_public=False)
    assert await take_copy(bot_services, box, parsed, "k", clock()) == "held"
    alert = await Alert.get(event="notice")
    buttons = actions(ring(Ring("notice", facts=alert.facts)))
    assert [one.partition(" ")[2].split()[0] for one in buttons] == ["take", "ignore"]
    assert all(len(one.encode()) <= 64 for one in buttons)
    return buttons[0].rpartition(" ")[2]


async def test_a_held_mail_is_taken_by_its_button(alice: Person, bob: Person, bot_services, clock: Clock):
    number = await hold(alice, bot_services, clock)
    assert (await bob.presses(f"capture take {number}")).kind is Kind.ERROR
    assert "1 mail that I held from there is taken" in (await alice.presses(f"capture take {number}")).title
    assert (await Captured.get()).state == "watched"
    assert (await alice.presses(f"capture take {number}")).kind is Kind.ERROR


async def test_a_held_mail_is_let_go_with_what_was_kept_of_it(
    alice: Person, bob: Person, bot_services, clock: Clock
):
    number = await hold(alice, bot_services, clock)
    assert (await bob.presses(f"capture ignore {number}")).kind is Kind.ERROR
    assert "let the mail from" in (await alice.presses(f"capture ignore {number}")).title
    row = await Captured.get()
    assert (row.state, row.facts) == ("ignored", None)
    assert not await Message.exists()
