"""How often cards are edited: at once when it is calm, ever less often while a card does not come to rest."""

from __future__ import annotations

import datetime as dt

from bot.chat import Kind
from bot.deliver.cards import Pace


async def test_a_card_that_comes_to_rest_is_edited_at_once_again(scene):
    await scene.dirty_card()
    for opens in range(1, 51):
        await scene.opens(opens)
        await scene.courier.deliver_once()
        scene.clock.advance(seconds=0.1)
    for opens in (51, 52):
        scene.clock.advance(seconds=17)
        await scene.opens(opens)
        await scene.courier.deliver_once()
        assert f"opened ×{opens}" in scene.chat.only(Kind.CARD).shown.text


def test_a_destination_gets_a_few_edits_a_second() -> None:
    start = now = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
    pace, edits = Pace(), 0
    while now < start + dt.timedelta(seconds=20):
        for card_id in range(300):
            if pace.wait_until(card_id, 1, now) is None:
                pace.note(card_id, 1, now)
                edits += 1
        now += dt.timedelta(seconds=0.1)
    assert 20 * 4 <= edits <= 20 * 4 + 25
    assert pace.wait_until(999, 2, now) is None, "another destination has edits of its own"


def test_a_clock_that_was_put_back_holds_up_no_edits() -> None:
    pace, now = Pace(), dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    for card_id in range(30):
        pace.note(card_id, 1, now)
    assert pace.wait_until(1, 1, now) is not None
    earlier = now - dt.timedelta(hours=3)
    assert pace.wait_until(1, 1, earlier) is None
    pace.note(1, 1, earlier)
    assert pace.wait_until(1, 1, earlier + dt.timedelta(seconds=9)) is None
