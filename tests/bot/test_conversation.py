import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import conversation as door
from bot.chat import Incoming, Kind, Place, Reply
from bot.commands import COMMANDS
from bot.commands.help import GROUPS
from bot.conversation import STRANGER, TROUBLE, Conversation, parse
from models import Destination, Message, Recipient
from tests import builders
from tests.bot.talk import Person, actions
from tests.conftest import Clock

ONCE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def test_a_stranger_gets_one_polite_line_whatever_they_do(alice: Person, charlie: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    for text in ("help", "list", f"show {mail.code}", "track ana@acme.com Hi", "claim", "claim nonsense", ""):
        assert await charlie.types(text) == Reply(title=STRANGER, private=False)
    for action in (f"show {mail.code}", f"mute {mail.code}", "claim abc", "invite list"):
        assert await charlie.presses(action) == Reply(title=STRANGER, private=False)
    assert await charlie.plainly("hello") == Reply(title=STRANGER, private=False)
    assert not (await Message.get()).muted


async def test_talk_in_a_group_is_not_for_the_bot(alice: Person, charlie: Person):
    for one in (alice, charlie):
        assert await one.says("ana@acme.com is nice", is_command=False, place=one.group()) is None


async def test_nobody_reaches_another_ones_mail(alice: Person, bob: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock(), subject="Secret plan")
    for action in (
        "show {}",
        "mute {}",
        "unmute {}",
        "sent {}",
        "forget {}",
        "forget {} yes",
        "settings {} opens none",
    ):
        own = await bob.presses(action.format(mail.code))
        none = await bob.presses(action.format("zzzzzz"))
        assert own.kind is Kind.ERROR
        assert own.text.replace(mail.code, "zzzzzz") == none.text, "not even that the mail exists"
    link = await mail.links.all().get(kind="click")
    for action in (
        f"forget link:{link.id} yes",
        f"forget {link.target} yes",
        f"link https://x.y {mail.code}",
    ):
        assert (await bob.presses(action)).kind is Kind.ERROR
    assert "Secret" not in (await bob.types("list")).text
    assert (await Message.get()).subject == "Secret plan"


@pytest.mark.parametrize(
    ("text", "verb", "arguments"),
    [
        ("list unopened", "list", "unopened"),
        ("/List", "list", ""),
        ("list@mailbell_bot clicked", "list", "clicked"),
        ("help!", "help", ""),
        ("ana@acme.com Q3 https://acme.com/deck", "track", "ana@acme.com Q3 https://acme.com/deck"),
        ("Q3 proposal for ana@acme.com", "track", "Q3 proposal for ana@acme.com"),
        ("https://acme.com/deck", "track", "https://acme.com/deck"),
        ("Ana <ana@acme.com> Hi", "track", "Ana <ana@acme.com> Hi"),
        ("show@acme.com Hi", "track", "show@acme.com Hi"),
        ("show ana@acme.com", "show", "ana@acme.com"),
    ],
)
def test_a_text_is_understood_as_people_mean_it(text: str, verb: str, arguments: str):
    command, rest = parse(Incoming(Place("slack", "D1"), "U1", "alice", text))
    assert command is not None
    assert (command.verb, rest) == (verb, arguments)


async def test_plain_text_with_an_address_is_tracked_in_the_private_chat(alice: Person):
    reply = await alice.plainly("ana@acme.com Q3 proposal\nhttps://acme.com/deck")
    assert reply.data["message"]
    assert (await Recipient.get()).address == "ana@acme.com"
    assert (await Message.get()).subject == "Q3 proposal"


async def test_an_unknown_verb_answers_with_the_nearest_one(alice: Person):
    reply = await alice.types("lst unopened")
    assert reply.kind is Kind.ERROR
    assert "Did you mean list?" in reply.title
    assert "Type: list unopened" in reply.text
    assert actions(reply)[0] == "list unopened"


async def test_a_mistyped_verb_before_an_address_is_tracked_and_doubted(alice: Person):
    reply = await alice.types("mtue ana@acme.com")
    code = reply.data["message"]
    assert (await Message.get()).subject == "mtue"
    assert "“mtue” is part of the subject. Did you mean mute? Then type: mute ana@acme.com" in reply.text
    assert f"forget {code}" in actions(reply)


@pytest.mark.parametrize("text", ["track ana@acme.com Hi", "Quarterly ana@acme.com", "ana@acme.com trakc"])
async def test_what_nobody_mistyped_is_not_doubted(alice: Person, text: str):
    assert "Did you mean" not in (await alice.types(text)).text


async def test_a_button_never_holds_more_than_telegram_takes(alice: Person):
    reply = await alice.types("shwo " + "ж" * 80)
    assert all(len(action.encode()) <= 64 for action in actions(reply))


async def test_what_is_nothing_like_a_verb_points_to_help(alice: Person):
    reply = await alice.types("qwxyz")
    assert "Type help" in reply.text
    assert "help" in actions(reply)


async def test_small_talk_gets_a_friendly_hint(alice: Person):
    reply = await alice.plainly("thank you so much")
    assert reply.kind is Kind.REPLY
    assert "ana@acme.com Q3 proposal" in reply.title


async def test_what_went_wrong_on_our_side_is_told_politely_and_logged_without_addresses(
    alice: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def broken(*_: object) -> None:
        raise RuntimeError("duplicate key (address)=(ana@acme.com)")

    monkeypatch.setattr("bot.commands.tracking.track", broken)
    with caplog.at_level(logging.DEBUG, logger="bot"):
        reply = await alice.types("track ana@acme.com Secret")
    assert reply.title == TROUBLE
    assert reply.kind is Kind.ERROR
    assert "RuntimeError" in caplog.text
    assert "answer_track" in caplog.text
    assert "ana@" not in caplog.text
    assert "Secret" not in caplog.text


async def test_answers_with_addresses_stay_private_in_a_group_that_is_no_destination(
    alice: Person, clock: Clock
):
    mail = await builders.mail(alice.account, clock())
    for text in ("list", f"show {mail.code}", "settings", "track ana@acme.com Hi", "invite"):
        assert (await alice.types(text, place=alice.group())).private, text
    assert not (await alice.types("help", place=alice.group())).private


async def test_in_a_group_made_a_destination_answers_are_shown_but_for_personal_ones(
    alice: Person, bob: Person, clock: Clock
):
    mail = await builders.mail(alice.account, clock())
    await alice.types("settings here on", place=alice.group())
    assert not (await alice.types(f"show {mail.code}", place=alice.group())).private
    for text in ("invite", "invite me", "track ana@acme.com Hi", "link https://x.example", "export"):
        assert (await alice.types(text, place=alice.group())).private, text
    assert (await bob.types("list", place=bob.group())).private, "it is alice's destination, not bob's"
    await alice.types("settings here off", place=alice.group())
    assert (await alice.types(f"show {mail.code}", place=alice.group())).private


async def test_the_console_talks_at_once_with_an_account_of_its_own(
    sqlite_database, conversation: Conversation
):
    console = Person(conversation, "console", platform="console", user_id="console")
    assert (await console.types("list")).kind is Kind.REPLY
    assert (await Destination.get()).platform == "console"


async def test_a_verb_with_nothing_asks_by_a_form_or_says_what_to_type(
    alice: Person, conversation: Conversation
):
    slack = Person(conversation, "console", platform="console", user_id="console")
    reply = await slack.types("track")
    assert reply.form == "track"
    assert "track ana@acme.com" in reply.text
    group = await alice.types("track", place=alice.group())
    assert group.form == "track"


async def test_hostile_subjects_pass_as_plain_text(alice: Person):
    subject = "<!channel> *x* </a> <@U1>"
    reply = await alice.types(f"track ana@acme.com {subject}")
    assert subject in reply.title, "chats escape, commands do not"
    code = reply.data["message"]
    assert subject in (await alice.types(f"show {code}")).title
    assert subject in (await alice.types("list")).text


def test_every_visible_command_is_in_the_overview_once():
    grouped = [verb for _, verbs in GROUPS for verb in verbs]
    assert sorted(grouped) == sorted(one.verb for one in COMMANDS if not one.hidden)


def test_every_command_is_explained_within_the_chats_limits():
    for command in COMMANDS:
        assert 0 < len(command.summary) <= 100, command.verb
        assert not command.summary.endswith(".")
        assert command.verb.isascii()
        assert command.verb.islower()
        assert command.hidden or command.examples
        for example in command.examples:
            found, _ = parse(Incoming(Place("slack", "D1"), "U1", "alice", example))
            assert found is command


async def test_help_tells_all_about_one_verb_and_the_nearest_for_a_typo(alice: Person):
    for command in COMMANDS:
        assert command.summary in (await alice.types(f"help {command.verb}")).text
    assert "help settings" in (await alice.types("help setings")).text
    overview = await alice.types("help")
    assert len(overview.lines) < 45


_texts = st.one_of(
    st.text(max_size=200),
    st.builds(
        lambda verb, rest: f"{verb} {rest}",
        st.sampled_from([one.verb for one in COMMANDS if one.verb != "demo"]),
        st.one_of(
            st.text(max_size=80),
            st.lists(
                st.sampled_from(
                    ["1h", "off", "yes", "opens", "first", "here", "on", "mode", "full", "m00001", "page:2",
                     "ana@acme.com", "https://a.b/c", "javascript:1", "morning", "remove", "#1", "link:1",
                     "timezone", "Europe/Madrid", "\x00", "\ud800", "99999999999999999999d", "🦊"]
                ),
                max_size=5,
            ).map(" ".join),
        ),
    ),
)  # fmt: skip


@ONCE
@given(text=_texts, is_button=st.booleans(), is_command=st.booleans(), private=st.booleans())
async def test_nothing_that_somebody_types_breaks_the_conversation(
    alice: Person,
    caplog: pytest.LogCaptureFixture,
    text: str,
    is_button: bool,
    is_command: bool,
    private: bool,
):
    caplog.clear()
    place = alice.private if private else alice.group()
    reply = await alice.says(text, is_button=is_button, is_command=is_command, place=place)
    assert reply is not None or not (private and is_command)
    assert not caplog.records, "no command failed"
    if reply is not None:
        assert reply.title
        assert all(len(action.encode()) <= 64 for action in actions(reply))


@ONCE
@given(text=_texts, is_button=st.booleans(), is_command=st.booleans())
async def test_nothing_that_a_stranger_types_gets_more_than_the_line(
    charlie: Person, text: str, is_button: bool, is_command: bool
):
    reply = await charlie.says(text, is_button=is_button, is_command=is_command)
    assert reply == Reply(title=STRANGER, private=False)


def test_the_line_for_strangers_tells_nothing_of_anybody():
    assert "@" not in STRANGER
    assert door.STRANGER.count("\n") == 0
