from __future__ import annotations

import datetime as dt
from contextlib import suppress
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.mail.tags import parse_tag
from tracker.reminders.orders import Order, of_tag, parse_order
from tracker.reminders.times import FARTHEST, When, WhenError, parse_when

MADRID = ZoneInfo("Europe/Madrid")
NEW_YORK = ZoneInfo("America/New_York")
MONDAY = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


def due(text: str, start: dt.datetime = MONDAY, zone: dt.tzinfo = dt.UTC, **more: object) -> str:
    """When `text` is due, as the zone's clock shows it."""
    return parse_when(text).due(start, zone, **more).astimezone(zone).strftime("%Y-%m-%d %H:%M")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3h", "2026-03-02 12:00"),
        ("in 90 minutes", "2026-03-02 10:30"),
        ("3d", "2026-03-05 09:00"),
        ("in three days", "2026-03-05 09:00"),
        ("a week", "2026-03-09 09:00"),
        ("5 working days", "2026-03-09 09:00"),
        ("in 3 working days", "2026-03-05 09:00"),
        ("5wd", "2026-03-09 09:00"),
        ("1 month", "2026-04-02 09:00"),
        ("3 days at 17:30", "2026-03-05 17:30"),
        ("friday 9am", "2026-03-06 09:00"),
        ("on Friday at 5pm", "2026-03-06 17:00"),
        ("mon9am", "2026-03-09 09:00"),
        ("monday 10:00", "2026-03-02 10:00"),
        ("tomorrow", "2026-03-03 09:00"),
        ("tomorrow evening", "2026-03-03 18:00"),
        ("today 17:00", "2026-03-02 17:00"),
        ("8:59", "2026-03-03 08:59"),
        ("9:01", "2026-03-02 09:01"),
        ("next week", "2026-03-09 09:00"),
        ("2026-12-24 9:00", "2026-12-24 09:00"),
        ("2026-12-24T17:05", "2026-12-24 17:05"),
        ("24 Dec", "2026-12-24 09:00"),
        ("Dec 24, 2026 at 8am", "2026-12-24 08:00"),
        ("24.12. 9:00", "2026-12-24 09:00"),
        ("24.12.2026", "2026-12-24 09:00"),
        ("1 march", "2027-03-01 09:00"),
        ("29 Feb", "2028-02-29 09:00"),
    ],
)
def test_a_time_is_understood_however_it_is_written(text, expected):
    assert due(text) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "30m", "9", "12/24", "3/4/2026", "2026-02-30", "29 Feb 2027 9:61", "13am", "0d",
             "900d", "99999h", "today", "3h at 9am", "friday 25:00", "in", "d", "5 working"]
)  # fmt: skip
def test_what_is_unclear_is_never_guessed(text):
    with pytest.raises(WhenError):
        parse_when(text)


def test_days_keep_the_time_of_the_wall_clock_when_the_clocks_change():
    friday = dt.datetime(2026, 3, 27, 8, 0, tzinfo=dt.UTC)  # 9:00 in Madrid, summer time from Sunday on
    assert due("3d", friday, MADRID) == "2026-03-30 09:00"
    assert parse_when("72h").due(friday, MADRID) - friday == dt.timedelta(hours=72)
    assert due("1 working day", friday, MADRID) == "2026-03-30 09:00"


def test_a_time_that_is_skipped_comes_an_hour_later_and_one_that_comes_twice_comes_first():
    saturday = dt.datetime(2026, 3, 28, 12, 0, tzinfo=dt.UTC)
    assert due("tomorrow 2:30", saturday, MADRID) == "2026-03-29 03:30"
    autumn = dt.datetime(2026, 10, 24, 12, 0, tzinfo=dt.UTC)
    assert parse_when("tomorrow 2:30").due(autumn, MADRID) == dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)


def test_a_leap_day_is_a_day_like_any_other():
    before = dt.datetime(2028, 2, 28, 9, 0, tzinfo=dt.UTC)
    assert due("tomorrow 9am", before) == "2028-02-29 09:00"
    assert due("2d", before) == "2028-03-01 09:00"
    assert due("29 Feb 10:00", dt.datetime(2028, 2, 29, 9, 0, tzinfo=dt.UTC)) == "2028-02-29 10:00"
    assert due("29 Feb 8:00", dt.datetime(2028, 2, 29, 9, 0, tzinfo=dt.UTC)) == "2032-02-29 08:00"
    assert due("1 month", dt.datetime(2028, 1, 31, 9, 0, tzinfo=dt.UTC)) == "2028-02-29 09:00"


def test_working_days_are_those_of_the_account():
    thursday = dt.datetime(2026, 3, 5, 9, 0, tzinfo=dt.UTC)
    assert due("1 working day", thursday) == "2026-03-06 09:00"
    assert due("1 working day", thursday, workdays={6, 0, 1, 2, 3}) == "2026-03-08 09:00"
    saturday = dt.datetime(2026, 3, 7, 9, 0, tzinfo=dt.UTC)
    assert due("1 working day", saturday) == "2026-03-09 09:00"


_clock = st.times().map(lambda one: one.replace(second=0, microsecond=0, tzinfo=None))
_whens = st.one_of(
    st.builds(When, count=st.integers(1, 12), unit=st.sampled_from(["minute", "hour"])),
    st.builds(
        When, count=st.integers(1, 12), unit=st.sampled_from(["day", "week", "month", "working day"]),
        time=st.none() | _clock,
    ),
    st.builds(When, weekday=st.integers(0, 6), time=_clock),
    st.builds(When, time=_clock),
    st.builds(
        When, year=st.none() | st.integers(2026, 2030), month=st.integers(1, 12), day=st.integers(1, 28),
        time=_clock,
    ),
)  # fmt: skip
_zones = st.sampled_from(
    [dt.UTC, MADRID, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")]
)
_moments = st.integers(0, 3 * 365 * 1440).map(lambda minutes: MONDAY + dt.timedelta(minutes=minutes))


@given(when=_whens)
def test_what_was_understood_is_understood_again_from_its_own_words(when: When):
    assert parse_when(when.said) == when
    assert parse_when(when.said.upper()) == when


@given(when=_whens, start=_moments, zone=_zones)
def test_what_comes_next_comes_after_the_start_and_shows_the_time_that_was_asked_for(when, start, zone):
    assume(when.year is None)
    found = when.due(start, zone)
    assert found > start or (when.time is not None and when.count is not None)
    assert found - start < dt.timedelta(days=366 * (FARTHEST + 4))
    if when.time is not None:
        here = found.astimezone(zone)
        shown = here.time().replace(tzinfo=None, fold=0)
        exists = dt.datetime.combine(here.date(), when.time, zone)
        if exists.astimezone(dt.UTC).astimezone(zone).time().replace(fold=0) == when.time:
            assert shown == when.time


@given(text=st.text(max_size=60))
def test_nothing_that_is_typed_breaks_the_parser(text: str):
    for parse in (parse_when, parse_order):
        with suppress(WhenError):
            assert parse(text)


@pytest.mark.parametrize(
    ("text", "kind", "said", "own"),
    [
        ("3d", "always", "in 3 days", ""),
        ("noreply 5 working days", "noreply", "in 5 working days", ""),
        ("noreply5d", "noreply", "in 5 days", ""),
        ("3d if no reply", "noreply", "in 3 days", ""),
        ("if nobody replies in 2 weeks", "noreply", "in 2 weeks", ""),
        ("in 3 days unless they reply", "noreply", "in 3 days", ""),
        ("noopen 2d", "noopen", "in 2 days", ""),
        ("opened 2d", "open", "in 2 days", ""),
        ("opened but no reply 2d", "open", "in 2 days", ""),
        ("if it is opened and nobody replies, in 3 days", "open", "in 3 days", ""),
        ("clicked 1d", "click", "in 1 day", ""),
        ("friday 9am call her", "always", "on Friday at 09:00", "call her"),
        ("noreply 3d: send the contract", "noreply", "in 3 days", "send the contract"),
    ],
)
def test_an_order_is_a_condition_a_time_and_ones_own_words(text, kind, said, own):
    order = parse_order(text)
    assert (order.kind, order.when.said, order.text) == (kind, said, own)


@pytest.mark.parametrize(
    "text", ["noreplyy 3d", "3d noreplyy", "3d 4d", "call her", "friday tomorrow", "noreply"]
)
def test_what_looks_like_a_time_or_condition_is_not_taken_for_ones_own_words(text):
    with pytest.raises(WhenError):
        parse_order(text)


@given(when=_whens, kind=st.sampled_from(["always", "noopen", "noreply", "open", "click"]))
def test_an_order_is_understood_again_from_its_own_words(when, kind):
    assert parse_order(Order(kind, when).said) == Order(kind, when)


@pytest.mark.parametrize(
    "tag", ["3d", "noopen2d", "noreply5d", "click1w", "open6h", "mon9am", "tomorrow", "1mo"]
)
def test_a_tag_orders_what_a_command_would(tag):
    (order,) = parse_tag(tag).orders
    found = of_tag(order)
    assert found.kind == order.kind
    assert found.when.due(MONDAY, dt.UTC) == order.due(MONDAY, dt.UTC)
