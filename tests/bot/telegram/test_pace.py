"""Telegram's speed limits, kept on our side."""

from __future__ import annotations

import pytest

from bot.telegram.pace import PATIENCE, Pace

ANA, BOB, GROUP = "11", "12", "-100500"


@pytest.fixture
def time():
    return [0.0]


@pytest.fixture
def pace(time):
    return Pace(lambda: time[0])


def test_a_burst_in_a_private_chat_passes_and_then_one_a_second(pace, time):
    assert [pace.book(ANA) for _ in range(12)] == [0] * 12
    assert pace.book(ANA) == 12.0
    time[0] = 11.5
    assert pace.book(ANA) == pytest.approx(0.5)


def test_other_chats_do_not_wait(pace):
    for _ in range(13):
        pace.book(ANA)
    assert pace.book(BOB) == 0


def test_a_group_takes_twenty_a_minute_edits_included(pace, time):
    for number in range(20):
        time[0] = number * 0.1
        assert pace.book(GROUP, edit=number % 2 == 0) == 0
    time[0] = 30.0
    assert pace.book(GROUP) == pytest.approx(30.0)
    time[0] = 60.0
    assert pace.book(GROUP) == 0


def test_editing_in_a_private_chat_takes_no_turn(pace):
    assert all(pace.book(ANA, edit=True) == 0 for _ in range(20))
    assert pace.book(ANA) == 0


def test_thirty_a_second_over_all_chats(pace):
    waits = [pace.book(str(chat)) for chat in range(1, 61)]
    assert waits[:30] == [0] * 30
    assert all(wait == pytest.approx(1.0) for wait in waits[30:])
    assert pace.book("99") > PATIENCE


def test_a_refused_message_takes_no_place(pace, time):
    for _ in range(20):
        pace.book(GROUP)
    for _ in range(100):
        assert pace.book(GROUP) > PATIENCE
    time[0] = 60.0
    assert pace.book(GROUP) == 0
