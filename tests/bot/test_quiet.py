from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Kind, RefusedError
from bot.render import Ring, away
from models import Account, Alert, Card, Recipient
from models.database import DatabaseURL
from tests import builders
from tests.bot.delivery import Scene, scene_on
from tests.bot.talk import Person
from tests.conftest import Clock
from tracker.quiet import ALL_DAYS, Quiet, Span, is_always

MADRID = ZoneInfo("Europe/Madrid")
NIGHT = Span(dt.time(20), dt.time(8))
WEEKEND = frozenset({5, 6})


def moment(day: int, hour: int, minute: int = 0, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """A day of March 2026, which begins with a Sunday."""
    return dt.datetime(2026, 3, day, hour, minute, tzinfo=zone)


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (Quiet(NIGHT), moment(2, 19, 59), None),
        (Quiet(NIGHT), moment(2, 20), moment(3, 8)),
        (Quiet(NIGHT), moment(3, 7, 59), moment(3, 8)),
        (Quiet(NIGHT), moment(3, 8), None),
        (Quiet(NIGHT, WEEKEND), moment(6, 21), moment(9, 8)),  # Friday night to Monday morning is one
        (Quiet(None, WEEKEND), moment(7, 12), moment(9, 0)),
        (Quiet(None, WEEKEND), moment(6, 23), None),
        (Quiet(Span(dt.time(20), dt.time(8), frozenset(range(5)))), moment(7, 21), None),  # Saturday
        (Quiet(Span(dt.time(20), dt.time(8), frozenset(range(5)))), moment(7, 7), moment(7, 8)),
        (Quiet(Span(dt.time(12), dt.time(13))), moment(2, 12, 30), moment(2, 13)),
        (Quiet(), moment(2, 3), None),
    ],
)
def test_quiet_hours_end_when_they_say(quiet: Quiet, now: dt.datetime, until: dt.datetime | None):
    assert quiet.until(now, dt.UTC) == until
    assert Quiet.of(quiet.stored) == quiet


def test_quiet_hours_go_by_the_wall_clock_also_when_it_changes():
    spring = moment(28, 23, zone=MADRID)
    assert Quiet(NIGHT).until(spring, MADRID) == moment(29, 8, zone=MADRID)
    assert Quiet(NIGHT).until(spring, MADRID) == dt.datetime(2026, 3, 29, 6, tzinfo=dt.UTC)


def test_morning_is_the_end_of_quiet_hours_or_eight_and_never_on_a_quiet_day():
    assert Quiet().next_morning(moment(2, 15), dt.UTC) == moment(3, 8)
    assert Quiet().next_morning(moment(2, 5), dt.UTC) == moment(2, 8)
    late = Quiet(Span(dt.time(22), dt.time(9, 30)))
    assert late.next_morning(moment(2, 23), dt.UTC) == moment(3, 9, 30)
    assert late.next_morning(moment(2, 15), dt.UTC) == moment(3, 9, 30)
    assert Quiet(NIGHT, WEEKEND).next_morning(moment(6, 15), dt.UTC) == moment(9, 8)


_quiets = st.builds(
    Quiet,
    st.none()
    | st.tuples(st.times(), st.times(), st.frozensets(st.integers(0, 6), min_size=1))
    .filter(lambda one: one[0] != one[1])
    .map(lambda one: Span(*one)),
    st.frozensets(st.integers(0, 6), max_size=6),
)


@given(quiet=_quiets, minutes=st.integers(0, 60 * 24 * 400))
def test_when_it_ends_it_is_not_quiet_any_more(quiet: Quiet, minutes: int):
    if is_always(quiet.span, quiet.days):
        return
    now = moment(1, 0) + dt.timedelta(minutes=minutes)
    until = quiet.until(now, MADRID)
    if until is not None:
        assert now < until < now + dt.timedelta(days=9)
        assert quiet.until(until, MADRID) is None
    assert quiet.until(quiet.next_morning(now, MADRID), MADRID) is None


def test_what_would_be_quiet_for_ever_is_known():
    assert is_always(None, ALL_DAYS)
    assert not is_always(NIGHT, WEEKEND)
    assert not is_always(None, frozenset(range(6)))


@pytest.fixture
async def scene(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Scene]:
    """Alice is quiet from 20:00 to 8:00; it is Monday, 23:00."""
    clock.now = moment(2, 23)
    async with scene_on(sqlite_database, clock, tmp_path) as found:
        await Account.filter(id=found.alice.id).update(quiet_hours=Quiet(NIGHT).stored)
        yield found


def sounds(scene: Scene) -> list[str]:
    return [one.shown.text for one in scene.chat.posted if one.reply.kind is not Kind.CARD]


async def test_five_hundred_opens_of_a_night_are_one_message_in_the_morning(scene: Scene):
    other = await builders.mail(scene.alice, scene.clock(), subject="Lunch", to=("bob@acme.com",))
    for number in range(1, 501):
        await scene.due(ordinal=number, mail=other if number % 5 == 0 else scene.mail)
        if number % 100 == 0:
            scene.clock.advance(hours=1)
            await scene.courier.deliver_once()
    await scene.due("click", 1)
    await scene.due("reply", None, facts={"who": "ana@acme.com"})
    await scene.courier.deliver_once()
    assert sounds(scene) == []
    assert await Alert.filter(due_at=moment(3, 8)).count() == 502
    scene.clock.now = moment(3, 8)
    await scene.courier.deliver_once()
    (said,) = sounds(scene)
    assert said.startswith("While you were away: 500 opens and 1 click of 2 mails and 1 reply.")
    assert 'ana@acme.com replied to "Q3 proposal"' in said
    assert "ana@acme.com opened ×400 and clicked" in said
    assert "bob@acme.com opened ×100" in said
    assert len(said) < 600
    assert set(await scene.states()) == {"folded"}
    await scene.courier.deliver_once()
    assert len(sounds(scene)) == 1


async def test_what_is_held_is_held_on_every_engine(database: DatabaseURL, clock: Clock, tmp_path: Path):
    clock.now = moment(2, 23)
    async with scene_on(database, clock, tmp_path) as night:
        await Account.filter(id=night.alice.id).update(quiet_hours=Quiet(NIGHT).stored)
        await night.due(facts={"who": "ana@acme.com"})
        couriers = [night.another_courier() for _ in range(4)]
        await asyncio.gather(*(one.deliver_once() for one in couriers))
        held = await Alert.get()
        assert (held.due_at, held.facts["held"], held.facts["who"]) == (moment(3, 8), True, "ana@acme.com")
        clock.now = moment(3, 8)
        await asyncio.gather(*(one.deliver_once() for one in couriers))
        assert [one.split(":")[0] for one in sounds(night)] == ["While you were away"]


async def test_cards_are_edited_in_silence_and_new_ones_wait_for_the_morning(scene: Scene):
    await Card.create(
        message=scene.mail, destination=scene.home, dirty_at=scene.clock(), created_at=scene.clock()
    )
    await scene.courier.deliver_once()  # it was just made: its owner is there
    scene.clock.advance(hours=1)
    imported = await builders.mail(scene.alice, scene.clock(), subject="Import")
    old = scene.clock() - dt.timedelta(hours=1)
    await Card.create(message=imported, destination=scene.home, dirty_at=scene.clock(), created_at=old)
    await scene.opens(3)
    scene.clock.advance(seconds=40)
    await scene.courier.deliver_once()
    assert "opened ×3" in scene.chat.only(Kind.CARD).shown.text
    scene.clock.now = moment(3, 8)
    await scene.courier.deliver_once()
    assert len([one for one in scene.chat.posted if one.reply.kind is Kind.CARD]) == 2


async def test_muted_things_stay_silent_in_the_morning(scene: Scene):
    await scene.due()
    await scene.courier.deliver_once()
    await type(scene.mail).filter(id=scene.mail.id).update(muted=True)
    scene.clock.now = moment(3, 8)
    await scene.courier.deliver_once()
    assert sounds(scene) == []
    assert await scene.states() == ["silenced"]


async def test_reminders_and_notices_wait_for_the_morning_but_not_what_is_urgent(scene: Scene):
    facts = {"kind": "noreply", "reminder": 7, "who": "ana@acme.com", "sent_ago": 86_400}
    await scene.due("reminder", None, facts=facts)
    await scene.due("notice", None, facts={"text": "Your copy was understood."}, message_id=None)
    text = "Gmail refuses the login of alice@example.com: connect it anew."
    await scene.due("notice", None, facts={"text": text, "urgent": True}, message_id=None)
    await scene.courier.deliver_once()
    assert sounds(scene) == [text]
    scene.clock.now = moment(3, 8)
    await scene.courier.deliver_once()
    assert len(sounds(scene)) == 2
    assert "1 reminder and 1 notice" in sounds(scene)[1]
    assert 'no reply to "Q3 proposal" from ana@acme.com yet' in sounds(scene)[1]
    assert scene.chat.posted[-1].reply.buttons[0][0].action == "reminders"


async def test_what_was_wrong_is_left_out_of_the_message_of_the_morning_in_place(scene: Scene):
    first, _ = await scene.due(), await scene.due(ordinal=2)
    await scene.courier.deliver_once()
    scene.clock.now = moment(3, 8)
    await scene.courier.deliver_once()
    await Alert.filter(id=first.id).update(fix_text="Correction: that was a security scan.")
    await scene.courier.deliver_once()
    (said,) = sounds(scene)
    assert "1 open of 1 mail" in said
    assert "1 event did not count after all" in said


async def test_what_is_judged_anew_at_night_is_not_told_in_the_morning(scene: Scene):
    one = await scene.due()
    await scene.courier.deliver_once()
    await Alert.filter(id=one.id, state="waiting").update(state="withdrawn")
    scene.clock.now = moment(3, 8)
    await scene.courier.deliver_once()
    assert sounds(scene) == []


async def test_a_chat_that_does_not_answer_in_the_morning_gets_the_message_later(scene: Scene):
    for number in range(1, 21):
        await scene.due(ordinal=number)
    await scene.courier.deliver_once()
    scene.clock.now = moment(3, 8)
    scene.chat.try_later(after=30)
    await scene.courier.deliver_once()
    assert sounds(scene) == []
    scene.clock.advance(seconds=40)
    await scene.courier.deliver_once()
    assert len(sounds(scene)) == 1
    assert "20 opens" in sounds(scene)[0]


async def test_a_chat_that_refuses_the_message_gets_it_in_plain_words(scene: Scene):
    await scene.due()
    await scene.courier.deliver_once()
    scene.clock.now = moment(3, 8)
    scene.chat.fail(RefusedError("no"))
    await scene.courier.deliver_once()
    assert "While you were away" in sounds(scene)[0]


async def test_each_destination_gets_its_own_and_the_day_after_rings_as_always(scene: Scene):
    await scene.due()
    await scene.courier.deliver_once()
    scene.clock.now = moment(3, 9)
    await scene.due(ordinal=2)
    await scene.courier.deliver_once()
    assert [one.split("\n")[0] for one in sounds(scene)] == [
        "While you were away: 1 open of 1 mail.",
        '"Q3 proposal" was opened by ana@acme.com (2nd time)',
    ]


def test_the_message_of_the_morning_is_short_whatever_happened():
    rings = [
        Ring("open", f"c{number}", "S" * 200, f"{'x' * 60}{number}@acme.com", 1) for number in range(400)
    ]
    rings += [Ring("reply", "c1", "S" * 200, f"ana{number}@acme.com") for number in range(50)]
    reply = away(rings)
    assert "400 opens of 400 mails and 50 replies" in reply.title
    assert len(reply.text) < 3500
    assert len(reply.lines) <= 17


def test_what_gets_hot_or_comes_back_is_an_open_like_any_other_in_the_morning():
    rings = [Ring(event, "c1", "Q3", "ana@acme.com", 1) for event in ("open", "hot", "revived", "click")]
    reply = away(rings)
    assert "3 opens and 1 click of 1 mail" in reply.title
    assert "opened ×3" in reply.text


async def test_settings_take_quiet_hours_in_many_words(alice: Person, clock: Clock):
    async def kept() -> Quiet:
        return Quiet.of((await Account.get(id=alice.account.id)).quiet_hours)

    reply = await alice.types("settings quiet 20:00-8:00")
    assert "20:00 to 08:00" in reply.title
    assert "settings timezone" in reply.text
    assert await kept() == Quiet(NIGHT)
    await alice.types("settings quiet weekends")
    assert await kept() == Quiet(NIGHT, WEEKEND)
    for days in ("mon-fri", "on weekdays"):
        await alice.types(f"settings quiet from 9pm to 7:30am {days}")
        assert await kept() == Quiet(Span(dt.time(21), dt.time(7, 30), frozenset(range(5))), WEEKEND)
    assert (
        "quiet: 21:00 to 07:30 (Monday to Friday) and all of Saturday and Sunday"
        in (await alice.types("settings")).text
    )
    await alice.types("settings quiet weekends off")
    assert (await kept()).days == frozenset()
    for wrong in ("20-20", "25:00-8:00", "20:00-8:00 someday", "night", "0:00-24:00"):
        assert (await alice.types(f"settings quiet {wrong}")).kind is Kind.ERROR
    await alice.types("settings quiet off")
    assert await kept() == Quiet()


async def test_mute_morning_lasts_until_quiet_hours_end(alice: Person, clock: Clock):
    await alice.types("settings timezone Madrid")
    await alice.types("settings quiet 22:00-9:30")
    await alice.types("settings quiet weekends")
    clock.now = dt.datetime(2026, 3, 6, 15, 0, tzinfo=dt.UTC)  # a Friday
    await alice.types("mute morning")
    muted = (await Account.get(id=alice.account.id)).muted_until
    assert muted == dt.datetime(2026, 3, 9, 8, 30, tzinfo=dt.UTC)


async def test_ending_quiet_hours_tells_at_once_what_was_held(scene: Scene):
    from bot.commands.registry import Request
    from bot.commands.settings_peace import release_held

    await scene.due()
    await scene.courier.deliver_once()
    assert (await Alert.get()).due_at == moment(3, 8)
    await Account.filter(id=scene.alice.id).update(quiet_hours=None)
    request = Request(scene.services, scene.alice, incoming=None, arguments="")  # type: ignore[arg-type]
    await release_held(scene.alice.id, request)
    await scene.courier.deliver_once()
    assert "1 open of 1 mail" in sounds(scene)[0]
    assert await Recipient.all().exists()
