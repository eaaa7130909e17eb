"""Bounces, delays and answers that nobody wrote are told from replies, whoever words them."""

from __future__ import annotations

import time

import pytest

from tests.tracker.returned_mails import AWAY, BOUNCES, DELAYS
from tracker.mail.parsing import parse_mail
from tracker.replies.kinds import says_away

URL = "https://t.example"
ID = "1@home.example"


@pytest.mark.parametrize("name", BOUNCES)
def test_a_bounce_says_whom_it_did_not_reach_why_and_which_mail(name):
    raw, why = BOUNCES[name]
    parsed = parse_mail(raw.replace("{id}", ID).encode(), URL)
    assert parsed.kind == "bounce"
    assert "ana@acme.com" in parsed.failed
    assert why in parsed.why
    assert ID in parsed.refers_to
    assert "mx.home.example" not in " ".join(parsed.refers_to)


@pytest.mark.parametrize("name", DELAYS)
def test_a_delay_is_no_bounce(name):
    parsed = parse_mail(DELAYS[name].replace("{id}", ID).encode(), URL)
    assert parsed.kind == "delay"
    assert "ana@acme.com" in parsed.failed
    assert ID in parsed.refers_to


@pytest.mark.parametrize("name", AWAY)
def test_an_answer_that_nobody_wrote_is_told_by_headers_or_subject(name):
    parsed = parse_mail(AWAY[name].replace("{id}", ID).encode(), URL)
    assert parsed.kind in ("auto", "bulk") or says_away(parsed.subject)


@pytest.mark.parametrize(
    "subject",
    [
        "Re: Q3 proposal", "AW: Urlaub", "Re: Out of office next week?", "Office lease", "Autumn plans",
        "Automatic doors: our offer", "Our holiday offer", "Presence at the fair", "",
    ],
)  # fmt: skip
def test_people_may_write_about_holidays(subject):
    assert not says_away(subject)


def test_a_receipt_is_no_bounce():
    raw = BOUNCES["postfix, RFC 3464"][0].replace("Action: failed", "Action: delivered")
    assert parse_mail(raw.encode(), URL).kind == "auto"
    letter = b"From: postmaster@acme.com\nSubject: Your account\n\nHello Alice, shall we meet?\n"
    assert parse_mail(letter, URL).kind == "auto"


def test_a_failure_after_days_of_trying_is_one_whatever_its_status():
    raw = BOUNCES["postfix, RFC 3464"][0].replace("Status: 5.1.1", "Status: 4.4.7")
    assert parse_mail(raw.encode(), URL).kind == "bounce"


def test_a_report_without_an_action_is_read_by_its_status():
    raw = BOUNCES["postfix, RFC 3464"][0].replace("Action: failed\n", "")
    assert parse_mail(raw.encode(), URL).kind == "bounce"
    assert parse_mail(raw.replace("Status: 5.1.1", "Status: 4.2.2").encode(), URL).kind == "delay"


@pytest.mark.parametrize(
    "body",
    [
        "-" * 60_000,
        "a@" * 30_000,
        "a" * 60_000 + "@b.c",
        "<" * 60_000,
        "550 " * 15_000,
        ("x" * 70 + "\n") * 900,
    ],
)
@pytest.mark.parametrize("kind", ["plain", "html"])
def test_hostile_words_take_no_time(body, kind):
    raw = f"From: MAILER-DAEMON@x.example\nSubject: x\nContent-Type: text/{kind}\n\n{body}\n"
    begin = time.monotonic()
    parse_mail(raw.encode(), URL)
    assert time.monotonic() - begin < 4
