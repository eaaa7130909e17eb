"""The tag of a capture address orders reminders, and is never guessed."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.mail.tags import LONGEST, Order, parse_tag

DAY = dt.timedelta(days=1)
MONDAY = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("3d", [Order("always", 3 * DAY)]),
        ("2days", [Order("always", 2 * DAY)]),
        ("in-2-weeks", [Order("always", 14 * DAY)]),
        ("noopen2d", [Order("noopen", 2 * DAY)]),
        ("no-open-2d", [Order("noopen", 2 * DAY)]),
        ("NoReply3D", [Order("noreply", 3 * DAY)]),
        ("click1d", [Order("click", DAY)]),
        ("noopen2d.noreply5d", [Order("noopen", 2 * DAY), Order("noreply", 5 * DAY)]),
        ("4h+30min", [Order("always", DAY / 6), Order("always", DAY / 48)]),
        ("mon9am", [Order("always", weekday=0, hour=9)]),
        ("friday", [Order("always", weekday=4, hour=9)]),
        ("thu17h30", [Order("always", weekday=3, hour=17, minute=30)]),
        ("sun12am", [Order("always", weekday=6, hour=0)]),
        ("tomorrow2pm", [Order("always", hour=14)]),
        ("3d.3d", [Order("always", 3 * DAY)]),
    ],
)
def test_a_tag_orders_reminders(text, orders):
    tag = parse_tag(text)
    assert list(tag.orders) == orders
    assert not tag.unclear
    assert not tag.off


@pytest.mark.parametrize("text", ["off", "OFF", "notrack", "3d.off"])
def test_off_switches_tracking_off(text):
    assert parse_tag(text).off


@pytest.mark.parametrize("text", ["3m", "0d", "99999d", "noreply", "someday", "mon25", "mon13pm", "5x", "+"])
def test_what_is_unclear_comes_back_as_typed_and_orders_nothing(text):
    tag = parse_tag(text)
    assert not tag.orders
    assert tag.unclear == (() if text == "+" else (text,))


def test_what_is_clear_beside_it_is_kept():
    tag = parse_tag("noopen2d.blurb")
    assert (tag.orders, tag.unclear) == ((Order("noopen", 2 * DAY),), ("blurb",))


def test_a_day_of_the_week_is_the_next_one_in_the_account_s_zone():
    berlin = ZoneInfo("Europe/Berlin")  # 10:00 there
    assert Order("always", weekday=0, hour=9).due(MONDAY, berlin) == dt.datetime(
        2026, 3, 9, 8, 0, tzinfo=dt.UTC
    )
    assert Order("always", weekday=0, hour=11).due(MONDAY, berlin) == MONDAY + dt.timedelta(hours=1)
    # The clocks change on 29 March: nine in the morning stays nine in the morning.
    late = MONDAY + 26 * DAY
    assert Order("always", hour=9).due(late, berlin) == dt.datetime(2026, 3, 29, 7, 0, tzinfo=dt.UTC)


def test_orders_are_told_in_words():
    said = [one.said for one in parse_tag("noopen2d.1w.mon9am.tomorrow").orders]
    assert said == [
        "if no open is seen, in 2 days",
        "in 1 week",
        "on Monday at 09:00",
        "tomorrow at 09:00",
    ]


@given(st.text(max_size=300))
def test_no_text_breaks_it_and_every_word_is_accounted_for(text):
    tag = parse_tag(text)
    for order in tag.orders:
        assert order.said
        assert MONDAY < order.due(MONDAY, dt.UTC) <= MONDAY + LONGEST
    assert all(word in text for word in tag.unclear)


@given(st.sampled_from(["", "noopen", "noreply", "click"]), st.integers(1, 366))
def test_every_number_of_days_is_understood(kind, days):
    assert parse_tag(f"{kind}{days}d").orders == (Order(kind or "always", days * DAY),)


@given(st.lists(st.sampled_from(["3d", "off", "noopen2d", "what", "mon9am"]), max_size=8))
def test_words_do_not_change_each_other(words):
    tag = parse_tag(".".join(words))
    assert tag.off == ("off" in words)
    assert len(tag.orders) == len({"3d", "noopen2d", "mon9am"} & set(words))
    assert len(tag.unclear) == words.count("what")
