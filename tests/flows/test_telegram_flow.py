"""From `/track` in Telegram to the ring in Telegram, with real parts all the way, polled and by webhook."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from bot.deliver import pending
from bot.telegram import TelegramChat, transport
from models import Account, Alert, Card, Destination, Hit, Message
from models.database import DatabaseURL, open_database, parse_database_url
from tests.fakes import telegram_faults as fake
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.fakes.telegram_faults import Fault
from tests.fakes.telegram_people import Chat, Person, Shown
from tests.flows.conftest import READERS, Bell, Line
from tracker.mail.traces import FORGOTTEN

MAIL = "ana@acme.com Q3 proposal https://acme.com/deck"
NETWORKS = tuple(READERS)
ALICE, BOB, CHARLIE = Person(11, "alice"), Person(12, "bob"), Person(13, "charlie")
SALES = Chat(-100500, "Sales")


class World:
    """A running mailbell, a Telegram, and the people in it; alice has claimed the instance."""

    def __init__(self, bell: Bell, telegram: FakeTelegram) -> None:
        self.bell = bell
        self.telegram = telegram

    async def ask(self, text: str, person: Person = ALICE, *, times: int = 1) -> Shown:
        """The next message that the person sees after writing."""
        since = len(self.telegram.shown(person))
        await self.telegram.say(person, text, times=times)
        await self.telegram.wait_for(lambda: len(self.telegram.shown(person)) > since)
        return self.telegram.shown(person)[since]

    async def track(self, text: str = f"/track {MAIL}") -> Shown:
        """alice tracks a mail, and it is sent: the answer with pixel and links. Its card is there."""
        since, cards = len(self.telegram.shown(ALICE)), len(self.cards())
        await self.telegram.say(ALICE, text)
        await self.telegram.wait_for(lambda: self.answers(since) and len(self.cards()) > cards)
        self.bell.pass_time(seconds=120)
        return self.answers(since)[0]

    def answers(self, since: int = 0) -> list[Shown]:
        return [one for one in self.telegram.shown(ALICE)[since:] if tracked(one)]

    def cards(self, chat: int | Person = ALICE) -> list[Shown]:
        return [one for one in self.telegram.shown(chat) if re.match(r'".*" \(\w{6}\)', one.text)]

    def rings(self, chat: int | Person = ALICE) -> list[Shown]:
        return [
            one for one in self.telegram.shown(chat) if re.match(r'"[^\n]*(was opened|clicked)', one.text)
        ]

    async def ring(self, count: int) -> Shown:
        """The ring with this number, counted from one."""
        await self.telegram.wait_for(lambda: len(self.rings()) >= count)
        return self.rings()[count - 1]

    async def card_says(self, words: str) -> Shown:
        """Waits for a card with these words; the clock moves on, as cards are edited in steps."""
        for _ in range(100):
            if found := next((one for one in self.cards() if words in one.text), None):
                return found
            self.bell.pass_time(seconds=1)
            await asyncio.sleep(0.05)
        raise AssertionError(f"no card says {words!r}: {[one.text for one in self.telegram.shown(ALICE)]}")

    async def opened(self, pixel: str, *networks: str) -> None:
        """People open the mail, two minutes apart."""
        for network in networks:
            assert (await self.bell.read(pixel, network)).status == 200
            await asyncio.sleep(0.05)
            self.bell.pass_time(minutes=2)


def tracked(shown: Shown) -> list[str]:
    """Pixel and links, as they stand there to be copied."""
    return [text for text in shown.styled("code") if re.search(r"/[oc]/[\w-]{22}", text)]


@asynccontextmanager
async def a_world(
    line: Line, database: DatabaseURL, telegram: FakeTelegram, way: str
) -> AsyncIterator[World]:
    settings = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.url}
    if way == "webhook":
        settings["TELEGRAM_WEBHOOK_SECRET"] = "s3cret"
    async with line(database, lambda *parts: TelegramChat(*parts, hold=1), **settings) as bell:
        telegram.reach = bell.address
        await telegram.wait_for(
            lambda: telegram.webhook if way == "webhook" else telegram.count("getUpdates")
        )
        world = World(bell, telegram)
        welcome = await world.ask(f"/start {bell.claim_code}")
        assert "I do not know you" not in welcome.text
        yield world


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram().serve() as one:
        yield one
        assert one.complaints == []


@pytest.fixture(params=["polling", "webhook"])
async def world(
    request: pytest.FixtureRequest, line: Line, sqlite_database: DatabaseURL, telegram: FakeTelegram
) -> AsyncIterator[World]:
    async with a_world(line, sqlite_database, telegram, request.param) as one:
        yield one


@pytest.fixture
async def polling_world(
    line: Line, sqlite_database: DatabaseURL, telegram: FakeTelegram
) -> AsyncIterator[World]:
    """For what has nothing to do with the way in."""
    async with a_world(line, sqlite_database, telegram, "polling") as one:
        yield one


async def test_the_claim_code_in_a_deep_link_makes_the_owner(world: World) -> None:
    account = await Account.get()
    assert account.is_owner
    assert (await Destination.get()).chat_id == str(ALICE.id)


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


async def test_a_stranger_gets_one_polite_line_and_changes_nothing(world: World) -> None:
    answer = await world.track()
    for deed in ("/list", MAIL, f"/mute {(await Message.get()).code}", "/start 234567892345"):
        line = await world.ask(deed, CHARLIE)
        assert "I do not know you yet" in line.text
        assert "\n" not in line.text
    await world.telegram.press_data(CHARLIE, line, world.cards()[0].button("Mute"))
    await world.telegram.wait_for(lambda: len(world.telegram.shown(CHARLIE)) == 5)
    assert "I do not know you yet" in world.telegram.shown(CHARLIE)[-1].text
    assert await Message.all().count() == 1
    assert not (await Message.get()).muted
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)


async def test_a_colleague_cannot_act_on_somebody_elses_mail(world: World) -> None:
    invitation = await world.ask("/invite")
    code = re.search(r"\?start=(\w+)", invitation.text)
    assert code is not None, invitation.text
    await world.ask(f"/start {code[1]}", BOB)
    await world.track()
    card = world.cards()[0]
    since = len(world.telegram.shown(BOB))
    await world.telegram.press_data(BOB, world.telegram.shown(BOB)[0], card.button("Mute"))
    await world.telegram.wait_for(lambda: len(world.telegram.shown(BOB)) > since)
    assert "Q3" not in world.telegram.shown(BOB)[-1].text
    assert not (await Message.get()).muted


async def test_a_strangers_press_in_a_group_is_answered_to_them_alone(polling_world: World) -> None:
    world = polling_world
    account = await Account.get()
    await Destination.create(
        account_id=account.id, platform="telegram", chat_id=str(SALES.id), title="Sales", private=False,
        created_at=world.bell.clock(),
    )  # fmt: skip
    await world.track()
    await world.telegram.wait_for(lambda: world.cards(SALES.id))
    query = await world.telegram.press(CHARLIE, world.cards(SALES.id)[0], "Mute", chat=SALES)
    await world.telegram.wait_for(lambda: query in world.telegram.answered)
    assert "I do not know you yet" in world.telegram.answered[query]
    assert len(world.telegram.shown(SALES.id)) == 1
    assert not (await Message.get()).muted


async def test_what_holds_addresses_is_answered_privately_when_asked_for_in_a_group(world: World) -> None:
    await world.track()
    asked = await world.telegram.say(ALICE, "/list", SALES)
    line = await world.telegram.message(SALES.id, "private chat")
    assert line.reply_to == asked
    assert "acme" not in str(world.telegram.shown(SALES.id))
    await world.telegram.wait_for(
        lambda: [one for one in world.telegram.shown(ALICE)[-1:] if "Q3 proposal" in one.text]
    )


@pytest.mark.parametrize(
    "subject", ["<!channel> *x* </a>", '<a href="https://evil.example">pay</a> &lt;', "@charlie `x` <b>"]
)
async def test_a_hostile_subject_is_shown_as_it_is_and_does_nothing(
    polling_world: World, subject: str
) -> None:
    world = polling_world
    answer = await world.track(f"/track ana@acme.com {subject}")
    await world.opened(tracked(answer)[0], NETWORKS[0])
    ring = await world.ring(1)
    stored = (await Message.get()).subject
    assert f'"{stored}" was opened' in ring.text.replace("\u2060", "")
    assert stored in world.cards()[0].text.replace("\u2060", "")
    for shown in world.telegram.shown(ALICE):
        assert not [one for one in shown.entities if one[0] == "a" and "evil" in one[2]]
        assert not re.search(r"(?<![\w@.])@charlie", shown.text)


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


async def test_the_same_update_three_times_acts_once(world: World) -> None:
    await world.telegram.say(ALICE, f"/track {MAIL}", times=3)
    await world.telegram.wait_for(lambda: world.answers() and world.cards())
    await world.ask("/help", times=3)
    query = await world.telegram.press(ALICE, world.cards()[0], "Mute", times=3)
    await world.telegram.wait_for(lambda: query in world.telegram.answered)
    await world.ask("/list")
    assert await Message.all().count() == 1
    assert (len(world.answers()), len(world.cards())) == (1, 1)
    assert (await Message.get()).muted


@pytest.mark.parametrize(
    "faults",
    [
        [fake.flood(1)],
        [fake.broken(500)],
        [fake.hanging()],
        [fake.answer_dropped()],
        [fake.answer_dropped(), fake.flood(1), fake.broken(503)],
    ],
    ids=["429", "500", "hang", "answer dropped", "all at once"],
)
async def test_every_ring_arrives_whatever_telegram_does(
    polling_world: World, faults: list[Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: doubled only where an answer was lost."""
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 1.0)
    world = polling_world
    answer = await world.track()
    world.telegram.faults["sendMessage"].extend(faults)
    await world.opened(tracked(answer)[0], *NETWORKS)

    def all_there() -> bool:
        texts = "\n".join(one.text for one in world.rings())
        return all(words in texts for words in ("ana@acme.com\n", "(2nd time)", "(3rd time)"))

    async with asyncio.timeout(20):
        while not all_there():
            world.bell.pass_time(seconds=2)
            await asyncio.sleep(0.1)
    assert 3 <= len(world.rings()) <= 3 + sum(one.works or one.hang for one in faults)
    await world.card_says("opened ×3")
    assert await Alert.filter(state="sent").count() == 3


async def test_a_lost_card_is_posted_anew_and_rings_go_on(polling_world: World) -> None:
    world = polling_world
    answer = await world.track()
    lost = world.cards()[0]
    world.telegram.chats[ALICE.id].remove(lost)
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)
    card = await world.card_says("opened ×1")
    assert card.id != lost.id


async def test_who_blocks_the_bot_is_switched_off_and_told_elsewhere(world: World) -> None:
    """alice rings in private and in a group; she blocks the bot, then lets it in again."""
    account = await Account.get()
    await Destination.create(
        account_id=account.id, platform="telegram", chat_id=str(SALES.id), title="Sales", private=False,
        created_at=world.bell.clock(),
    )  # fmt: skip
    answer = await world.track()
    await world.telegram.wait_for(lambda: world.cards(SALES.id))
    await world.telegram.change_member(Chat(ALICE.id), ALICE, "kicked")
    await world.telegram.message(SALES.id, "switched it off")
    assert (await Destination.get(chat_id=str(ALICE.id))).off_at is not None
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.telegram.wait_for(lambda: world.rings(SALES.id))
    assert world.rings() == []
    await world.telegram.change_member(Chat(ALICE.id), ALICE, "member")
    for _ in range(200):
        if (await Destination.get(chat_id=str(ALICE.id))).off_at is None:
            break
        await asyncio.sleep(0.02)
    await world.opened(tracked(answer)[0], NETWORKS[1])
    assert "(2nd time)" in (await world.ring(1)).text


async def test_a_403_at_a_ring_switches_off_and_others_go_on(polling_world: World) -> None:
    world = polling_world
    account = await Account.get()
    await Destination.create(
        account_id=account.id, platform="telegram", chat_id=str(SALES.id), title="Sales", private=False,
        created_at=world.bell.clock(),
    )  # fmt: skip
    answer = await world.track()
    await world.telegram.wait_for(lambda: world.cards(SALES.id))
    world.telegram.gone.add(SALES.id)
    await world.opened(tracked(answer)[0], NETWORKS[0])
    await world.ring(1)
    await world.telegram.message(ALICE, "switched it off")
    assert (await Destination.get(chat_id=str(SALES.id))).off_at is not None


async def test_a_group_that_became_a_supergroup_goes_on_ringing(polling_world: World) -> None:
    world = polling_world
    account = await Account.get()
    await Destination.create(
        account_id=account.id, platform="telegram", chat_id="-99", title="Sales", private=False,
        created_at=world.bell.clock(),
    )  # fmt: skip
    world.telegram.moved[-99] = -1007
    answer = await world.track()
    await world.opened(tracked(answer)[0], NETWORKS[0])
    async with asyncio.timeout(20):
        while not world.rings(-1007):
            world.bell.pass_time(seconds=2)
            await asyncio.sleep(0.1)
    assert (await Destination.get(title="Sales")).chat_id == "-1007"


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
