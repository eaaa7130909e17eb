import asyncio

import pytest

from bot import dialogue as steps
from bot.chat import Kind
from bot.conversation import HINT, TROUBLE, Conversation
from models import Dialogue, Message, Recipient
from tests import builders
from tests.bot.talk import Person, actions, join
from tests.conftest import Clock
from tracker.services import Services


async def test_track_asks_step_by_step_and_makes_the_mail(alice: Person):
    asked = await alice.types("track")
    assert asked.title == "Who is it for?"
    assert asked.form is None, "the questions are asked already"
    assert (await alice.plainly("Ana <ana@acme.com>, bob@acme.com")).title == "What is the subject?"
    assert (await alice.plainly("Q3 proposal")).title == "Which links stand in it?"
    done = await alice.plainly("https://acme.com/deck\nhttps://acme.com/plan")
    assert done.data["message"] == (await Message.get()).code
    assert [link["url"] for link in done.data["links"]] == ["https://acme.com/deck", "https://acme.com/plan"]
    assert (await Message.get()).subject == "Q3 proposal"
    assert [one.address for one in await Recipient.all().order_by("position")] == [
        "ana@acme.com",
        "bob@acme.com",
    ]
    assert not await Dialogue.exists()


@pytest.mark.parametrize("skip", ["-", "/skip", "skip", "–"])
async def test_what_does_not_matter_can_be_skipped(alice: Person, skip: str):
    await alice.types("track")
    await alice.plainly("ana@acme.com")
    say = alice.types if skip == "/skip" else alice.plainly
    assert (await say(skip)).title == "Which links stand in it?"
    done = await say(skip)
    assert done.data["links"] == []
    assert (await Message.get()).subject == ""


async def test_the_skip_button_skips_and_the_cancel_button_ends_it(alice: Person):
    await alice.types("track")
    asked = await alice.plainly("ana@acme.com")
    assert actions(asked) == ["skip", "cancel"]
    assert (await alice.presses("skip")).title == "Which links stand in it?"
    await alice.presses("cancel")
    assert not await Dialogue.exists()
    assert not await Message.exists()


async def test_an_answer_that_will_not_do_is_asked_for_again(alice: Person):
    await alice.types("track")
    for wrong in ("-", "just Ana", "javascript:alert(1)", "x@y"):
        reply = await alice.plainly(wrong)
        assert reply.kind is Kind.ERROR
        assert (await Dialogue.get()).step == "recipients"
    await alice.plainly("ana@acme.com")
    await alice.plainly("Hi")
    assert "https://" in (await alice.plainly("ftp://acme.com/deck")).title
    assert (await alice.plainly("https://acme.com/deck")).data["message"]


async def test_a_subject_with_an_address_or_a_link_stays_the_subject(alice: Person):
    await alice.types("track")
    await alice.plainly("ana@acme.com")
    await alice.plainly("list bob@acme.com wants “https://x.example” now")
    await alice.plainly("-")
    assert (await Message.get()).subject == "list bob@acme.com wants “https://x.example” now"
    assert [one.address for one in await Recipient.all()] == ["ana@acme.com"]


@pytest.mark.parametrize("word", ["/cancel", "cancel"])
async def test_cancel_ends_it(alice: Person, word: str):
    await alice.types("track")
    reply = await (alice.types(word) if word[0] == "/" else alice.plainly(word))
    assert "stopped asking" in reply.title
    assert not await Dialogue.exists()
    assert (await alice.types("cancel")).title == "I am not asking anything just now."


async def test_another_command_in_between_ends_it_politely(alice: Person):
    await alice.types("track")
    reply = await alice.types("list")
    assert reply.title == "You track no mail yet."
    assert "I stopped asking about track" in reply.lines[-1]
    assert (await alice.plainly("hello")).title == HINT


async def test_track_again_begins_anew(alice: Person):
    await alice.types("track")
    await alice.plainly("ana@acme.com")
    assert (await alice.types("track")).title == "Who is it for?"
    assert (await Dialogue.get()).answers == {}


async def test_a_press_beside_it_does_not_end_it(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    await alice.types("track")
    await alice.presses(f"mute {mail.code}")
    assert (await alice.plainly("ana@acme.com")).title == "What is the subject?"


async def test_it_survives_a_restart(alice: Person, bot_services: Services):
    await alice.types("track")
    await alice.plainly("ana@acme.com")
    alice.conversation = Conversation(bot_services)
    assert (await alice.plainly("Q3 proposal")).title == "Which links stand in it?"


async def test_it_is_over_after_an_hour(alice: Person, clock: Clock):
    await alice.types("track")
    clock.advance(minutes=59)
    await alice.plainly("ana@acme.com")
    clock.advance(minutes=60)
    reply = await alice.plainly("Q3 proposal")
    assert "stopped asking after an hour" in reply.title
    assert not await Dialogue.exists()


async def test_two_people_and_two_chats_are_asked_apart(alice: Person, bob: Person):
    await alice.types("track")
    await bob.types("track")
    await alice.plainly("ana@acme.com")
    assert (await bob.plainly("carl@acme.com")).title == "What is the subject?"
    assert await Dialogue.all().count() == 2


async def test_the_last_answer_twice_at_once_makes_one_mail(
    database, conversation: Conversation, clock: Clock
):
    alice = await join(Person(conversation, "alice"), clock)
    await alice.types("track")
    await alice.plainly("ana@acme.com")
    await alice.plainly("Hi")
    replies = await asyncio.gather(*(alice.says("-", is_command=False) for _ in range(2)))
    assert await Message.all().count() == 1
    assert [reply for reply in replies if reply and reply.data.get("message")]


async def test_a_fault_of_ours_at_the_end_loses_no_answer(alice: Person, monkeypatch: pytest.MonkeyPatch):
    async def broken(*_: object) -> None:
        raise OSError

    await alice.types("track")
    await alice.plainly("ana@acme.com")
    await alice.plainly("Q3 proposal")
    with monkeypatch.context() as patched:
        patched.setattr("bot.commands.tracking.track", broken)
        assert (await alice.plainly("-")).title == TROUBLE
    assert (await alice.plainly("-")).data["message"]
    assert (await Message.get()).subject == "Q3 proposal"


async def test_in_slack_nothing_is_asked_step_by_step(
    sqlite_database, conversation: Conversation, clock: Clock
):
    alice = await join(Person(conversation, "alice", platform="slack", user_id="U1", workspace="T1"), clock)
    assert (await alice.types("track")).form == "track"
    assert not await Dialogue.exists()


async def test_a_dialogue_whose_questions_have_changed_is_over(alice: Person):
    await alice.types("track")
    await Dialogue.all().update(step="colour")
    assert (await alice.plainly("hello")).title.startswith("I stopped asking")
    await alice.types("track")
    await Dialogue.all().update(verb="gone")
    assert (await alice.plainly("hello")).title.startswith("I stopped asking")


def test_only_chats_without_forms_are_asked_step_by_step():
    assert {"telegram"} == steps.STEP_BY_STEP
