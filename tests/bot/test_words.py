import datetime as dt

import pytest

from bot import words

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


def test_ordinals_read_as_people_say_them():
    assert [words.nth_time(n) for n in (1, 2, 3, 11, 22)] == [
        "1st time", "2nd time", "3rd time", "11th time", "22nd time",
    ]  # fmt: skip


def test_durations_and_moments_are_short():
    assert words.duration(190) == "3 minutes"
    assert words.duration(-5) == "a moment"
    assert words.ago(NOW - dt.timedelta(seconds=3), NOW) == "just now"
    assert words.ago(NOW - dt.timedelta(hours=5), NOW) == "5 hours ago"


@pytest.mark.parametrize(
    ("back", "said"),
    [(0, "today 09:00"), (24, "yesterday 09:00"), (72, "Fri 27 Feb 09:00"), (24 * 300, "6 May 2025 09:00")],
)
def test_a_moment_names_no_more_than_is_needed(back: int, said: str):
    assert words.moment(NOW - dt.timedelta(hours=back), NOW) == said


def test_a_moment_is_told_in_the_readers_zone():
    assert words.moment(NOW, NOW, words.zone_of("Europe/Madrid")) == "today 10:00"
    assert words.zone_of("Mars/Base") is dt.UTC
    assert words.zone_of("../etc/passwd") is dt.UTC


def test_outside_text_becomes_one_line_without_tricks():
    assert words.one_line("a\r\nb\x00\u202ec\u2028d\t  e") == "a b c d e"
    assert words.one_line("x" * 500, 10) == "xxxxxxxxx…"
    assert words.quoted("") == "(no subject)"
    assert words.quoted("<!channel> *x* </a>") == '"<!channel> *x* </a>"'


def test_lists_end_where_they_get_long():
    assert words.listed([]) == ""
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
