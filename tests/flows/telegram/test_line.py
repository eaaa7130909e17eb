"""From `/track` in Telegram to the ring in Telegram, with real parts all the way, polled and by webhook."""

from __future__ import annotations

import asyncio
import re

from tortoise.backends.base.executor import EXECUTOR_CACHE

from bot.deliver import pending
from models import Alert, Card, Hit, Message
from models.database import open_database, parse_database_url
from tests.fakes.telegram import FakeTelegram
from tests.flows.conftest import Line
from tests.flows.office import until
from tests.flows.telegram.world import ALICE, MAIL, NETWORKS, World, a_world, tracked
from tracker.mail.traces import FORGOTTEN


async def test_three_opens_from_three_networks_ring_three_times_in_reply_to_one_card(world: World) -> None:
    answer = await world.track()
    pixel, link = tracked(answer)
    assert re.fullmatch(r"https://bell\.example/o/[\w-]{22}\.gif", pixel)
    assert re.fullmatch(r"https://bell\.example/c/[\w-]{22}", link)
    for number, network in enumerate(NETWORKS, 1):
        reply = await world.bell.read(pixel, network)
        assert (reply.status, reply.content_type) == (200, "image/gif")
        await world.ring(number)
        world.bell.pass_time(minutes=5)
    first, second, third = world.rings()
    assert first.text.startswith('"Q3 proposal" was opened by ana@acme.com')
    assert "time)" not in first.text
    assert second.text.startswith('"Q3 proposal" was opened by ana@acme.com (2nd time)')
    assert third.text.startswith('"Q3 proposal" was opened by ana@acme.com (3rd time)')
    card = await world.card_says("opened ×3")
    assert len(world.cards()) == 1
    assert card.edits >= 1
    assert {ring.reply_to for ring in world.rings()} == {card.id}
    assert not any(ring.silent for ring in world.rings())


async def test_plain_text_in_the_private_chat_tracks_a_mail(world: World) -> None:
    answer = await world.track(MAIL)
    assert len(tracked(answer)) == 2
    assert (await Message.get()).subject == "Q3 proposal"


async def test_tracked_addresses_stand_as_code_and_only_in_the_answer_to_track(world: World) -> None:
    answer = await world.track()
    tokens = [re.split(r"[/.]", url)[-2 if url.endswith(".gif") else -1] for url in tracked(answer)]
    await world.opened(tracked(answer)[0], *NETWORKS)
    await world.card_says("opened ×3")
    for shown in world.telegram.shown(ALICE):
        everything = str((shown.text, shown.entities, shown.markup))
        assert any(token in everything for token in tokens) is (shown is answer)
    bare = answer.text
    for code in (*answer.styled("code"), *answer.styled("pre")):
        bare = bare.replace(code, "")
    assert not any(token in bare for token in tokens)
    assert [one for one in answer.buttons if "copy_text" in one]


async def test_a_click_is_told_after_ten_seconds(world: World) -> None:
    answer = await world.track()
    reply = await world.bell.read(tracked(answer)[1])
    assert (reply.status, reply.headers["Location"]) == (302, "https://acme.com/deck")
    await world.bell.until(lambda: world.bell.services.writer.queued == 0)
    for _ in range(9):
        world.bell.pass_time(seconds=1)
        await asyncio.sleep(0.05)
    assert world.rings() == []
    world.bell.pass_time(seconds=2)
    ring = await world.ring(1)
    assert ring.text.startswith('"Q3 proposal": ana@acme.com clicked acme.com/deck')
    assert ring.reply_to == world.cards()[0].id


async def test_a_muted_mail_is_silent_and_goes_on_counting(world: World) -> None:
    answer = await world.track()
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)
    query = await world.telegram.press(ALICE, world.cards()[0], "Mute")
    await world.telegram.wait_for(lambda: query in world.telegram.answered)
    assert (await Message.get()).muted
    await world.opened(tracked(answer)[0], *NETWORKS[1:])
    await world.card_says("opened ×3")
    async with asyncio.timeout(15):  # the card may have shown the third before its ring was looked at
        while await Alert.filter(state="waiting").exists():
            await asyncio.sleep(0.02)
    assert len(world.rings()) == 1
    assert await Alert.filter(state="silenced").count() == 2


async def test_details_answer_in_reply_to_the_card(world: World) -> None:
    answer = await world.track()
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)
    since = len(world.telegram.shown(ALICE))
    await world.telegram.press(ALICE, world.cards()[0], "Details")
    await world.telegram.wait_for(lambda: len(world.telegram.shown(ALICE)) > since)
    details = world.telegram.shown(ALICE)[since]
    assert details.reply_to == world.cards()[0].id
    assert "ana@acme.com" in details.text


async def test_track_alone_asks_step_by_step(world: World) -> None:
    question = await world.ask("/track")
    assert [one["text"] for one in question.buttons] == ["Cancel"]
    await world.ask("ana@acme.com")
    await world.ask("Q3 proposal")
    since = len(world.telegram.shown(ALICE))
    await world.telegram.say(ALICE, "https://acme.com/deck")
    await world.telegram.wait_for(lambda: world.answers(since))
    message = await Message.get()
    assert message.subject == "Q3 proposal"
    assert len(tracked(world.answers(since)[0])) == 2


async def test_cancel_ends_the_questions(world: World) -> None:
    await world.ask("/track")
    ended = await world.ask("/cancel")
    assert "stopped asking" in ended.text
    await world.ask("Q3 proposal")
    assert await Message.all().count() == 0


async def test_a_forgotten_mail_is_replaced_wherever_it_stands_in_the_chat(world: World) -> None:
    kept = await world.track("/track dan@other.example Second")
    answer = await world.track("/track eve@secret.example Merger https://secret.example/terms")
    await world.opened(tracked(answer)[0], *NETWORKS)
    await world.ring(3)
    await world.card_says("opened ×3")
    code = (await Message.get(subject="Merger")).code
    details = await world.ask(f"/show {code}")
    asked = await world.ask(f"/forget {code}")
    assert "Merger" in details.text
    assert "Merger" in asked.text
    await world.telegram.press(ALICE, asked, "Forget it")
    done = await world.telegram.message(ALICE, f"{code} is forgotten, with 3 events")

    def transcript() -> str:
        return str([(one.text, one.entities, one.markup) for one in world.telegram.shown(ALICE)])

    gone = ("Merger", "secret.example", *tracked(answer))
    await world.telegram.wait_for(lambda: not any(word in transcript() for word in gone))
    replaced = [one for one in world.telegram.shown(ALICE) if one.text == FORGOTTEN]
    assert len(replaced) == 7  # the answer, the card, three rings, the details, the question
    assert not any(one.buttons for one in replaced)
    assert not done.buttons
    assert kept in world.telegram.shown(ALICE)
    assert "dan@other.example" in transcript()
    while await pending(world.bell.services):
        await asyncio.sleep(0.02)


async def test_nothing_is_left_over_in_the_outbox(world: World) -> None:
    answer = await world.track()
    await world.opened(tracked(answer)[0], *NETWORKS)
    await world.ring(3)
    await world.card_says("opened ×3")
    await until(lambda: Alert.filter(state="sent").count(), 3)  # marked once the chat has answered
    assert await Hit.filter(judged_at=None).count() == 0
    assert await Alert.filter(state="waiting").count() == 0
    assert (await Card.get()).remote_id is not None


async def test_health_says_that_the_chat_works(world: World) -> None:
    assert world.bell.chat.health() == "ok"


async def test_the_line_holds_on_postgresql_too(
    line: Line, postgres_url: str, telegram: FakeTelegram
) -> None:
    EXECUTOR_CACHE.clear()
    url = parse_database_url(postgres_url)
    async with open_database(url), a_world(line, url, telegram, "webhook") as world:
        answer = await world.track()
        await world.opened(tracked(answer)[0], *NETWORKS)
        assert "(3rd time)" in (await world.ring(3)).text
        await world.card_says("opened ×3")
