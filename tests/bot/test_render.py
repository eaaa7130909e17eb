"""How rings read, and when they ring at all: tables of cases."""

from __future__ import annotations

import datetime as dt

import pytest

from bot.chat import Kind, Reply
from bot.deliver.rules import Action, Decision, Due, Mutes, Recent, back_off, decide
from bot.render import Ring, correction, plain, ring

MAIL = {"code": "k7m2qx", "subject": "Q3 proposal"}
ANA = {**MAIL, "recipient": "ana@acme.com"}
NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


def before(**by: float) -> dt.datetime:
    return NOW - dt.timedelta(**by)


@pytest.mark.parametrize(
    ("one", "title"),
    [
        (Ring("open", **ANA, ordinal=1), '"Q3 proposal" was opened by ana@acme.com'),
        (Ring("open", **ANA, ordinal=2), '"Q3 proposal" was opened by ana@acme.com (2nd time)'),
        (Ring("open", **ANA, ordinal=13), '"Q3 proposal" was opened by ana@acme.com (13th time)'),
        (Ring("open", **ANA), '"Q3 proposal" was opened by ana@acme.com'),
        (Ring("open", **MAIL, ordinal=3), '"Q3 proposal" was opened (3rd time)'),
        (
            Ring("open", **MAIL, ordinal=1, facts={"who": "someone of 3"}),
            '"Q3 proposal" was opened by someone of 3',
        ),
        (Ring("open", code="k7m2qx", recipient="a@b.c"), "(no subject) was opened by a@b.c"),
        (
            Ring("click", **ANA, ordinal=1, label="acme.com/deck"),
            '"Q3 proposal": ana@acme.com clicked acme.com/deck',
        ),
        (
            Ring("click", **ANA, ordinal=2, facts={"label": "acme.com"}),
            '"Q3 proposal": ana@acme.com clicked acme.com (2nd time)',
        ),
        (Ring("click", **MAIL), '"Q3 proposal": someone clicked a link'),
        (Ring("hot", **ANA, ordinal=3), '"Q3 proposal" is hot: 3 opens by ana@acme.com within a day'),
        (
            Ring("revived", **ANA, facts={"silent_days": 20}),
            '"Q3 proposal" is back after 20 silent days: opened by ana@acme.com',
        ),
        (Ring("reply", **ANA), 'ana@acme.com replied to "Q3 proposal"'),
        (Ring("bounce", **ANA), '"Q3 proposal" did not reach ana@acme.com'),
        (Ring("notice", facts={"text": "Your chat\nis gone."}), "Your chat is gone."),
        (Ring("surprise", **MAIL), 'News about "Q3 proposal"'),
    ],
)
def test_a_ring_says_what_happened(one, title):
    assert ring(one).title == title
    assert ring(one).kind is Kind.ALERT


@pytest.mark.parametrize(
    ("event", "facts", "line"),
    [
        ("open", {}, ""),
        ("open", {"after": 0}, "a moment after sending"),
        ("open", {"after": 7200, "client": "Apple Mail"}, "2 hours after sending · Apple Mail"),
        ("open", {"after": 120, "client": "Gmail", "via": "Gmail"}, "2 minutes after sending · via Gmail"),
        ("click", {"client": "Chrome on Windows"}, "Chrome on Windows"),
        ("open", {"after": -5}, ""),
        ("open", {"after": float("nan"), "via": None, "client": ""}, ""),
        ("open", {"after": "soon"}, ""),
        ("bounce", {"why": "550 no such user"}, "550 no such user"),
    ],
)
def test_the_second_line_says_what_else_is_known(event, facts, line):
    assert "\n".join(ring(Ring(event, **ANA, facts=facts)).lines) == line


def test_scripts_get_event_recipient_count_and_mail():
    assert ring(Ring("open", **ANA, ordinal=2)).data == {
        "event": "open", "recipient": "ana@acme.com", "count": 2, "message": "k7m2qx",
    }  # fmt: skip


def test_a_ring_says_who_gets_hot_and_who_is_back():
    assert ring(Ring("open", **ANA, facts={"hot": True})).lines == ("hot now: 3 opens within a day",)
    assert ring(Ring("open", **ANA, facts={"silent_days": 20})).lines == ("is back after 20 days",)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"kind": "noreply"}, 'Reminder: no reply to "Q3 proposal" from ana@acme.com yet'),
        ({"kind": "noopen"}, 'Reminder: no open of "Q3 proposal" by ana@acme.com seen yet'),
        (
            {"kind": "open", "opens": 3},
            'Reminder: ana@acme.com opened "Q3 proposal" (3 opens) and did not reply',
        ),
        ({"kind": "click"}, 'Reminder: ana@acme.com clicked in "Q3 proposal" and did not reply'),
        ({"kind": "always"}, 'Reminder: "Q3 proposal" to ana@acme.com'),
        ({"kind": "always", "own": "call\nher"}, 'Reminder: call her – "Q3 proposal" to ana@acme.com'),
    ],
)
def test_a_reminder_says_what_did_not_happen(facts, expected):
    assert ring(Ring("reminder", **ANA, facts=facts)).title == expected


def test_a_reminder_says_that_it_is_late_and_why_it_is_another_one():
    facts = {"kind": "noreply", "was_kind": "noopen", "doubt": "Apple Mail", "late": 86_400, "reminder": 7}
    reply = ring(Ring("reminder", **ANA, facts=facts))
    assert "a day late" in reply.text
    assert "(Apple Mail): I watched for a reply" in reply.text
    actions = [one.action for row in reply.buttons for one in row]
    assert actions == ["snooze #7 1d", "done #7", "show k7m2qx", "replied k7m2qx"]


def test_a_ring_leads_to_details_and_to_silence():
    rows = ring(Ring("open", **ANA)).buttons
    assert [one.action for row in rows for one in row] == ["show k7m2qx", "mute k7m2qx"]


def test_a_ring_of_a_request_asks_who_it_was():
    uid = "0" * 32
    rows = ring(Ring("click", **ANA, hit=uid)).buttons
    assert [[one.text for one in row] for row in rows] == [
        ["Details", "Why?", "Mute"],
        ["Remind me ▾", "That was me", "Not a person"],
    ]
    assert [one.action for one in rows[1]] == ["remind k7m2qx", f"me {uid}", f"machine {uid}"]


def test_a_notice_without_a_mail_has_no_buttons():
    assert ring(Ring("notice", facts={"text": "Mind this."})).buttons == ()


HOSTILE = 'x\x1b[31m\r\n\u202egnp.exe <!channel> <b>"' + "y" * 5000


def test_outside_text_is_one_harmless_short_line():
    reply = ring(Ring("click", "k7m2qx", HOSTILE, HOSTILE, 2, HOSTILE, {"client": HOSTILE, "via": HOSTILE}))
    for text in (reply.title, *reply.lines):
        assert len(text) < 300
        assert not set(text) & set("\x1b\r\n\u202e")


def test_a_correction_takes_the_place_of_the_ring():
    reply = correction(Ring("open", **ANA, ordinal=1), "Correction: that was you.")
    assert reply.title == "Correction: that was you."
    assert reply.data["corrected"] is True
    assert [one.action for row in reply.buttons for one in row] == ["show k7m2qx", "why k7m2qx"]


def test_plain_words_keep_the_text_and_nothing_else():
    reply = plain(ring(Ring("open", **ANA, facts={"client": "Outlook"})))
    assert reply == Reply(
        title='"Q3 proposal" was opened by ana@acme.com Outlook', kind=Kind.ALERT, data=reply.data
    )


TEN = Recent(rings=tuple(before(minutes=n) for n in range(10)))


@pytest.mark.parametrize(
    ("alert", "mutes", "recent", "decision"),
    [
        # Nothing special: it rings.
        (Due("open", NOW), Mutes(), Recent(), Decision(Action.SEND)),
        # Held.
        (
            Due("click", NOW + dt.timedelta(seconds=10)),
            Mutes(always=True),
            Recent(),
            Decision(Action.WAIT, NOW + dt.timedelta(seconds=10)),
        ),
        # Muted, until a moment or for good; not any more; but never what mailbell says of itself.
        (Due("open", NOW), Mutes(until=(None, NOW + dt.timedelta(1))), Recent(), Decision(Action.SILENCE)),
        (Due("open", NOW), Mutes(always=True), Recent(), Decision(Action.SILENCE)),
        (Due("open", NOW), Mutes(until=(NOW,)), Recent(), Decision(Action.SEND)),
        (Due("notice", NOW), Mutes(always=True), Recent(), Decision(Action.SEND)),
        (Due("open", NOW), Mutes(always=True), TEN, Decision(Action.SILENCE)),
        # The tenth rings, the eleventh gathers company for two seconds, then goes into a digest.
        (Due("open", before(seconds=5)), Mutes(), Recent(rings=TEN.rings[1:]), Decision(Action.SEND)),
        (Due("open", NOW), Mutes(), TEN, Decision(Action.WAIT, NOW + dt.timedelta(seconds=2))),
        (Due("open", before(seconds=2)), Mutes(), TEN, Decision(Action.FOLD)),
        # Ten minutes later it is quiet again.
        (
            Due("open", NOW),
            Mutes(),
            Recent(rings=tuple(one - dt.timedelta(minutes=10) for one in TEN.rings)),
            Decision(Action.SEND),
        ),
        # Digests follow each other ever more slowly, and count as sounds themselves.
        (
            Due("open", before(seconds=2)),
            Mutes(),
            Recent(TEN.rings, (before(seconds=5),)),
            Decision(Action.WAIT, NOW + dt.timedelta(seconds=10)),
        ),
        (
            Due("open", before(seconds=2)),
            Mutes(),
            Recent(TEN.rings, (before(seconds=60), before(seconds=20))),
            Decision(Action.WAIT, NOW + dt.timedelta(seconds=10)),
        ),
        (
            Due("open", before(seconds=2)),
            Mutes(),
            Recent(TEN.rings[:5], tuple(before(seconds=80 + 30 * n) for n in range(5))),
            Decision(Action.FOLD),
        ),
    ],
)
def test_an_alert_rings_waits_falls_silent_or_is_folded(alert, mutes, recent, decision):
    assert decide(alert, mutes, recent, NOW) == decision


@pytest.mark.parametrize(("failures", "low", "high"), [(0, 1, 2), (1, 2, 4), (5, 32, 64), (50, 300, 600)])
def test_failures_make_the_wait_longer_up_to_ten_minutes(failures, low, high):
    assert (back_off(failures, 0), back_off(failures, 1)) == (low, high)
