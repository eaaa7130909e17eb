"""From `/track` in Slack to the ring in Slack, with real parts all the way, over both of Slack's ways in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from bot.slack import SlackChat
from models import Alert, Card, Destination, Hit, Message
from models.database import DatabaseURL, open_database, parse_database_url
from tests.conftest import Clock
from tests.fakes import slack_faults as fake
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack, Post, running_slack
from tests.fakes.slack_faults import Fault
from tests.fakes.slack_people import SIGNING_SECRET, Deliverer, Person
from tests.flows.conftest import READERS, Bell, Line
from tests.flows.office import until
from tracker.mail.traces import FORGOTTEN

MAIL = "ana@acme.com Q3 proposal https://acme.com/deck"
NETWORKS = tuple(READERS)


class World:
    """A running mailbell, a Slack, and the people in it; alice has claimed the instance."""

    def __init__(self, bell: Bell, slack: FakeSlack, deliverer: Deliverer) -> None:
        self.bell = bell
        self.slack = slack
        self.alice = Person(deliverer, "U0ALICE", "alice")
        self.bob = Person(deliverer, "U0BOB", "bob")
        self.charlie = Person(deliverer, "U0CHARLIE", "charlie")

    async def track(self, text: str = MAIL) -> Post:
        """alice tracks a mail, and it is sent: the answer with pixel and links. Its card is there."""
        since = len(self.alice.sees())
        await self.alice.command(f"track {text}")
        await self.seen(2, since)
        self.bell.pass_time(seconds=120)
        return next(post for post in self.alice.sees()[since:] if post.copyable)

    async def seen(self, count: int, since: int = 0, person: Person | None = None) -> list[Post]:
        """The messages after the first `since`, once there are `count` of them."""
        person = person or self.alice
        await self.slack.until(lambda: len(person.sees()) >= since + count)
        return person.sees()[since:]

    def cards(self) -> list[Post]:
        return [
            post for post in self.alice.sees() if post.payload.get("blocks", [{}])[0].get("type") == "header"
        ]

    def rings(self) -> list[Post]:
        """What stands in a card's thread."""
        return [post for post in self.alice.sees() if post.thread]

    async def ring(self, count: int) -> Post:
        """The ring with this number, counted from one."""
        await self.slack.until(lambda: len(self.rings()) >= count)
        return self.rings()[count - 1]

    async def card_says(self, words: str) -> Post:
        """The card with these words, once there is one."""

        def found() -> Post | None:
            return next((post for post in self.cards() if words in post.text), None)

        try:
            return await self.bell.until_drawn(found)
        except TimeoutError:
            raise AssertionError(f"no card says {words!r}: {[post.text for post in self.cards()]}") from None


@asynccontextmanager
async def a_world(
    line: Line, database: DatabaseURL, slack: FakeSlack, clock: Clock, way: str
) -> AsyncIterator[World]:
    secrets = {"SLACK_APP_TOKEN": APP_TOKEN} if way == "socket" else {"SLACK_SIGNING_SECRET": SIGNING_SECRET}
    settings = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_API_URL": f"{slack.url}/api/", **secrets}
    async with line(database, lambda *parts: SlackChat(*parts, seconds=1.5), **settings) as bell:
        url = f"{bell.address}/slack/events" if way == "http" else None
        world = World(bell, slack, Deliverer(slack, clock, url))
        await world.alice.ask(f"claim {bell.claim_code}")
        yield world


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with running_slack() as one:
        yield one


@pytest.fixture(params=["socket", "http"])
async def world(
    request: pytest.FixtureRequest, line: Line, sqlite_database: DatabaseURL, slack: FakeSlack, clock: Clock
) -> AsyncIterator[World]:
    async with a_world(line, sqlite_database, slack, clock, request.param) as one:
        yield one


@pytest.fixture
async def socket_world(
    line: Line, sqlite_database: DatabaseURL, slack: FakeSlack, clock: Clock
) -> AsyncIterator[World]:
    """For what has nothing to do with the way in."""
    async with a_world(line, sqlite_database, slack, clock, "socket") as one:
        yield one


async def test_three_opens_by_three_people_ring_three_times_in_the_cards_thread(world: World) -> None:
    answer = await world.track()
    pixel, link = answer.copyable
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
    assert '"Q3 proposal" was opened by ana@acme.com (2nd time)' in second.text
    assert '"Q3 proposal" was opened by ana@acme.com (3rd time)' in third.text
    card = await world.card_says("opened ×3")
    assert len(world.cards()) == 1
    assert {ring.thread for ring in world.rings()} == {card.ts}
    assert all(ring.payload["reply_broadcast"] is True for ring in world.rings())


async def test_tracked_addresses_stand_only_in_the_answer_to_track(world: World) -> None:
    answer = await world.track()
    for network in NETWORKS:
        await world.bell.read(answer.copyable[0], network)
    await world.ring(3)
    await world.card_says("opened ×3")
    tokens = [url.rpartition("/")[2].partition(".")[0] for url in answer.copyable]
    for post in world.slack.posts:
        shown = str([post.payload, *post.edits])
        assert any(token in shown for token in tokens) is (post is answer)


async def test_a_click_is_told_after_ten_seconds(world: World) -> None:
    answer = await world.track()
    reply = await world.bell.read(answer.copyable[1])
    assert (reply.status, reply.headers["Location"]) == (302, "https://acme.com/deck")
    await world.bell.until(lambda: world.bell.services.writer.queued == 0)
    for _ in range(9):
        world.bell.pass_time(seconds=1)
        await asyncio.sleep(0.05)
    assert world.rings() == []
    world.bell.pass_time(seconds=2)
    ring = await world.ring(1)
    assert '"Q3 proposal": ana@acme.com clicked acme.com/deck' in ring.text


async def test_a_muted_mail_is_silent_and_goes_on_counting(world: World) -> None:
    answer = await world.track()
    await world.bell.read(answer.copyable[0], NETWORKS[0])
    await world.ring(1)
    since = len(world.alice.sees())
    await world.alice.press(world.cards()[0], "Mute")
    assert "I stay quiet" in (await world.alice.answer(since)).text
    for network in NETWORKS[1:]:
        world.bell.pass_time(minutes=5)
        await world.bell.read(answer.copyable[0], network)
    await world.card_says("opened ×3")
    async with asyncio.timeout(15):  # the card may have shown the third before its ring was looked at
        while await Alert.filter(state="waiting").exists():
            await asyncio.sleep(0.02)
    assert len(world.rings()) == 1
    assert await Alert.filter(state="silenced").count() == 2


async def test_a_forgotten_mail_is_replaced_wherever_it_stands_in_the_chat(world: World) -> None:
    kept = await world.track("dan@other.example Second")
    answer = await world.track("eve@secret.example Merger https://secret.example/terms")
    tracked = answer.copyable
    for number, network in enumerate(NETWORKS, 1):
        await world.bell.read(tracked[0], network)
        await world.ring(number)
        world.bell.pass_time(minutes=5)
    await world.card_says("opened ×3")
    message = await Message.get(subject="Merger")
    await world.alice.ask(f"show {message.code}")
    asked = await world.alice.ask(f"forget {message.code}")
    while f"{asked.channel}:{asked.ts}" not in str((await Message.get(id=message.id)).details):
        await asyncio.sleep(0.02)
    since = len(world.alice.sees())
    await world.alice.press(asked, "Forget it")
    done = await world.alice.answer(since)
    assert f"{message.code} is forgotten, with 3 events" in done.text
    gone = ("Merger", "secret.example", *tracked)

    def transcript() -> str:
        return str([post.payload for post in world.alice.sees()])

    await world.slack.until(lambda: not any(word in transcript() for word in gone))
    replaced = [post for post in world.alice.sees() if FORGOTTEN in post.text]
    assert len(replaced) == 7  # the answer, the card, three rings, the details, the question
    assert not any(post.buttons for post in replaced)
    assert not done.buttons
    assert kept in world.alice.sees()
    assert "dan@other.example" in transcript()


async def test_a_stranger_gets_one_polite_line_and_changes_nothing(world: World) -> None:
    answer = await world.track()
    for deed in ("list", MAIL, f"mute {(await Message.get()).code}", "claim 234567892345"):
        since = len(world.charlie.sees())
        post = await world.charlie.ask(deed)
        assert "I do not know you yet" in post.text
        assert "\n" not in post.text
        assert len(world.charlie.sees()) == since + 1
    since = len(world.charlie.sees())
    await world.charlie.press(world.cards()[0], "Mute")
    assert "I do not know you yet" in (await world.charlie.answer(since)).text
    assert await Message.all().count() == 1
    assert not (await Message.get()).muted
    await world.bell.read(answer.copyable[0])
    await world.ring(1)


async def test_a_colleague_cannot_act_on_somebody_elses_mail(world: World) -> None:
    invitation = (await world.alice.ask("invite")).copyable[0]
    code = re.findall(r"claim (\S+)", invitation)[0]
    await world.bob.ask(f"claim {code}")
    await world.track()
    since = len(world.bob.sees())
    await world.bob.press(world.cards()[0], "Mute")
    told = await world.bob.answer(since)
    assert "Q3" not in told.text
    assert not (await Message.get()).muted


@pytest.mark.parametrize(
    "subject", ["<!channel> *x* </a>", "<@U0BOB> `x` &lt;", "<https://evil.example|acme>"]
)
async def test_a_hostile_subject_is_shown_as_it_is_and_does_nothing(
    socket_world: World, subject: str
) -> None:
    world = socket_world
    answer = await world.track(f'ana@acme.com "{subject}"')
    await world.bell.read(answer.copyable[0])
    ring = await world.ring(1)
    assert subject in (await Message.get()).subject
    assert f'{subject}" was opened' in ring.text.replace('""', '"')
    for post in world.alice.sees():
        assert "<" not in post.payload["text"]
        assert "mrkdwn'" not in str(post.payload["blocks"])


async def test_the_form_asks_what_is_missing_and_tracks_the_mail(world: World) -> None:
    await world.alice.command("track")
    (view,) = await world.slack.until(lambda: world.slack.views)
    wrong = (await world.alice.submit(view, {"recipients": "nobody", "links": "x"}))[0].payload
    assert wrong is not None
    assert wrong["response_action"] == "errors"
    assert set(wrong["errors"]) == {"recipients", "links"}
    assert await Message.all().count() == 0
    since = len(world.alice.sees())
    good = {"recipients": "ana@acme.com", "subject": "Q3 proposal", "links": "https://acme.com/deck"}
    acks = await world.alice.submit(view, good, times=3)
    assert [ack.payload for ack in acks] == [None] * 3
    await world.seen(2, since)
    message = await Message.get()
    assert message.subject == "Q3 proposal"
    assert len([post for post in world.alice.sees()[since:] if post.copyable]) == 1


async def test_the_form_opens_from_plain_text_through_a_button(world: World) -> None:
    since = len(world.alice.sees())
    await world.alice.say("track")
    post = await world.alice.answer(since)
    await world.alice.press(post, "Fill in a form")
    (view,) = await world.slack.until(lambda: world.slack.views)
    assert [block["block_id"] for block in view["blocks"]] == ["recipients", "subject", "links"]


async def test_the_same_command_three_times_tracks_one_mail(world: World) -> None:
    await world.alice.command(f"track {MAIL}", times=3)
    await world.alice.say(MAIL, times=3)
    await world.slack.until(lambda: len(world.cards()) == 2)
    assert await Message.all().count() == 2
    assert len([post for post in world.alice.sees() if post.copyable]) == 2


@pytest.mark.parametrize(
    "faults",
    [
        [fake.wait(1)],
        [fake.status(500)],
        [fake.hang()],
        [fake.lose()],
        [fake.drop(), fake.wait(1), fake.status(503)],
    ],
    ids=["429", "500", "hang", "answer lost", "all at once"],
)
async def test_every_ring_arrives_whatever_slack_does(socket_world: World, faults: list[Fault]) -> None:
    """At least once: doubled only where an answer was lost."""
    world = socket_world
    answer = await world.track()
    await world.slack.until(lambda: world.cards())
    world.slack.fail("chat.postMessage", *faults)
    for network in NETWORKS:
        await world.bell.read(answer.copyable[0], network)
        world.bell.pass_time(minutes=2)

    def all_there() -> bool:
        texts = "\n".join(post.text for post in world.rings())
        return all(words in texts for words in ("ana@acme.com\n", "(2nd time)", "(3rd time)"))

    async with asyncio.timeout(60):
        while not all_there():
            world.bell.pass_time(seconds=2)
            await asyncio.sleep(0.1)
    lost = sum(one.kind in ("lose", "hang") for one in faults)
    assert 3 <= len(world.rings()) <= 3 + lost
    await world.card_says("opened ×3")
    assert await Alert.filter(state="sent").count() == 3


async def test_a_lost_card_is_posted_anew_and_rings_go_on(socket_world: World) -> None:
    world = socket_world
    answer = await world.track()
    await world.slack.until(lambda: world.cards())
    world.slack.posts.clear()
    await world.bell.read(answer.copyable[0])
    ring = await world.ring(1)
    assert ring.thread == world.cards()[0].ts
    await world.card_says("opened ×1")


async def test_a_dead_channel_is_switched_off_and_the_owner_is_told_in_private(socket_world: World) -> None:
    world = socket_world
    alice = (await Destination.get()).account_id
    await Destination.create(
        account_id=alice, platform="slack", workspace="T0ACME", chat_id="C0GONE", title="deals",
        private=False, created_at=world.bell.clock(),
    )  # fmt: skip
    await world.track()
    await world.slack.until(lambda: any("switched it off" in post.text for post in world.alice.sees()))
    assert (await Destination.get(chat_id="C0GONE")).off_at is not None
    assert (await Destination.get(chat_id="U0ALICE")).off_at is None


async def test_nothing_is_left_over_in_the_outbox(world: World) -> None:
    answer = await world.track()
    for network in NETWORKS:
        await world.bell.read(answer.copyable[0], network)
        world.bell.pass_time(minutes=2)
    await world.ring(3)
    await world.card_says("opened ×3")
    await until(lambda: Alert.filter(state="sent").count(), 3)  # marked once the chat has answered
    assert await Hit.filter(judged_at=None).count() == 0
    assert await Alert.filter(state="waiting").count() == 0
    assert (await Card.get()).remote_id is not None


async def test_the_line_holds_on_postgresql_too(
    line: Line, postgres_url: str, slack: FakeSlack, clock: Clock
) -> None:
    EXECUTOR_CACHE.clear()
    url = parse_database_url(postgres_url)
    async with open_database(url), a_world(line, url, slack, clock, "http") as world:
        answer = await world.track()
        for network in NETWORKS:
            await world.bell.read(answer.copyable[0], network)
            world.bell.pass_time(minutes=2)
        assert "(3rd time)" in (await world.ring(3)).text
        await world.card_says("opened ×3")
