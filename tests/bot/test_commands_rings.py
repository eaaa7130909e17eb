"""mute, settings, sent: what rings, when and where."""

import asyncio
import datetime as dt

import pytest

from bot.chat import Kind
from bot.commands.arguments import next_morning, read_length
from bot.commands.settings import _CHANGES
from bot.conversation import Conversation
from models import Account, Alert, Card, Destination, Link, Message, Person
from models.columns import to_micros
from models.writer import RawHit
from tests import builders
from tests.bot import talk
from tests.bot.talk import actions
from tests.conftest import Clock
from tracker.hits.judge import Judge
from tracker.hits.rescore import rescore
from tracker.services import Services

UTC = dt.UTC


async def test_everything_is_muted_for_an_hour(alice: talk.Person, clock: Clock):
    reply = await alice.types("mute 1h")
    assert "for an hour, until today 10:00 UTC" in reply.title
    assert (await Account.get()).muted_until == clock() + dt.timedelta(hours=1)
    await alice.presses(actions(reply)[0])
    assert (await Account.get()).muted_until is None


async def test_until_morning_is_eight_o_clock_at_home(alice: talk.Person):
    await alice.types("settings timezone America/New_York")
    reply = await alice.types("mute morning")
    assert (await Account.get()).muted_until == dt.datetime(2026, 3, 2, 13, 0, tzinfo=UTC)
    assert "today 08:00" in reply.title


def test_the_next_morning_is_tomorrows_from_eight_on():
    eight = dt.datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    assert next_morning(eight, Account()) == eight + dt.timedelta(days=1)
    assert next_morning(eight - dt.timedelta(minutes=1), Account()) == eight
    # The night in which Madrid loses an hour.
    night = dt.datetime(2026, 3, 28, 20, 0, tzinfo=UTC)
    madrid = Account(timezone="Europe/Madrid")
    assert next_morning(night, madrid) == dt.datetime(2026, 3, 29, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("1h", 1), ("90 minutes", 1.5), ("2 Days", 48), ("1w", 168), ("30 m", 0.5), ("999w", 999 * 168)],
)
def test_lengths_of_time_are_understood(text: str, hours: float):
    assert read_length(text) == dt.timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "1.5h", "an hour", "22222h", "1e9d", "١h x", "1y"])
def test_what_is_no_length_of_time_is_none(text: str):
    assert read_length(text) is None


async def test_a_mail_is_muted_for_good_or_for_a_while(alice: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    home = await Destination.get(account_id=alice.account.id)
    await Card.create(message=mail, destination=home, created_at=clock())
    reply = await alice.presses(f"mute {mail.code}")
    assert '"Q3 proposal"' in reply.title
    offered = [one.action for row in reply.buttons for one in row]
    assert offered == [f"unmute {mail.code}", f"mute {mail.code} 1h", "mute ana@acme.com"]
    assert (await Message.get()).muted
    assert (await Card.get()).dirty_at == clock(), "the card may show it"
    await alice.types(f"mute {mail.code} 2h")
    found = await Message.get()
    assert (found.muted, found.muted_until) == (False, clock() + dt.timedelta(hours=2))
    await alice.types(f"mute 3h {mail.code}")
    assert (await Message.get()).muted_until == clock() + dt.timedelta(hours=3)
    await alice.types(f"mute {mail.code} off")
    found = await Message.get()
    assert (found.muted, found.muted_until) == (False, None)


async def test_a_person_is_muted_across_mails(alice: talk.Person, bob: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    reply = await alice.types("mute Ana@Acme.com")
    person = await Person.get()
    assert (person.address, person.muted, person.account_id) == ("ana@acme.com", True, alice.account.id)
    assert (await mail.recipients.all().get()).person_id == person.id, "mails already sent are hers too"
    await alice.presses(actions(reply)[0])
    assert not (await Person.get()).muted
    await alice.types("mute ana@acme.com 3d")
    assert (await Person.get()).muted_until == clock() + dt.timedelta(days=3)
    await bob.types("unmute ana@acme.com")
    assert (await Person.get()).muted_until is not None, "bob's word does not reach alice's people"


async def test_mute_alone_lists_what_is_silent(alice: talk.Person, clock: Clock):
    assert (await alice.types("mute")).title == "Nothing is muted."
    mail = await builders.mail(alice.account, clock())
    await alice.types(f"mute {mail.code}")
    await alice.types("mute ana@acme.com 1h")
    await alice.types("mute 2h")
    listed = (await alice.types("mute")).lines
    assert listed[0].startswith("everything: for 2 hours")
    assert listed[1] == f'"Q3 proposal" ({mail.code}): until you type unmute'
    assert listed[2].startswith("ana@acme.com: for an hour")
    assert "stay muted" in (await alice.types("unmute")).text
    clock.advance(hours=1)
    assert not [line for line in (await alice.types("mute")).lines if line.startswith("ana@")]


async def test_wrong_use_of_mute_says_what_to_type(alice: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    reply = await alice.types(f"mute {mail.code} tomorrow")
    assert reply.kind is Kind.ERROR
    assert f"mute {mail.code} 2h" in reply.title
    for text in ("mute nothing", "mute 1h please"):
        assert "I find no mail" in (await alice.types(text)).title


async def test_settings_shows_all_and_changes_each(alice: talk.Person):
    await alice.types("settings opens important")
    await alice.types("settings Clicks: none")
    await alice.types("settings mode clicks")
    account = await Account.get()
    assert (account.ring_opens, account.ring_clicks, account.mode) == ("important", "none", "clicks")
    shown = (await alice.types("settings")).text
    for part in ("opens: important", "clicks: none", "mode: clicks", "UTC (not set)", "rings here: telegram"):
        assert part in shown


@pytest.mark.parametrize(
    ("typed", "zone"),
    [
        ("Europe/Madrid", "Europe/Madrid"),
        ("europe/madrid", "Europe/Madrid"),
        ("madrid", "Europe/Madrid"),
        ("new york", "America/New_York"),
        ("utc", "UTC"),
    ],
)
async def test_a_time_zone_is_found_by_name_or_city(alice: talk.Person, typed: str, zone: str):
    await alice.types(f"settings timezone {typed}")
    assert (await Account.get()).timezone == zone


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("settings opens sometimes", "all, important, first, none"),
        ("settings timezone Europe/Madird", "Europe/Madrid"),
        ("settings mode loud", "full, clicks, off"),
        ("settings off acme", "settings off acme.com"),
        ("settings off", "such as: settings off acme.com"),
        ("settings on", "such as: settings on acme.com"),
        ("settings here maybe", "settings here on"),
        ("settings clics", "settings clicks"),
        ("settings ana@acme.com rings", "settings ana@acme.com opens first"),
        ("settings ana@acme.com opens loud", "all, important, first, none, default"),
        ("settings zzzzzz opens first", "list"),
        ("settings opns first", "settings opens"),
        ("settings xyz", "help settings"),
    ],
)
async def test_a_wrong_setting_says_what_to_type(alice: talk.Person, text: str, remedy: str):
    reply = await alice.types(text)
    assert reply.kind is Kind.ERROR
    assert remedy in reply.title


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("opens", "opens: all – I ring for every open."),
        ("clicks", "clicks: all."),
        ("mode", "mode: full – I record opens and clicks."),
        ("timezone", "timezone: UTC (not set), where it is 09:00."),
        ("quiet", "quiet: off."),
        ("workdays", "workdays: Monday to Friday."),
        ("remind", "remind: off."),
        ("morning", "morning: off."),
        ("Weekly:", "weekly: off."),
        ("here", "here: on – it rings in this chat for everything."),
    ],
)
async def test_a_settings_name_alone_shows_it_and_changes_nothing(alice: talk.Person, name: str, shown: str):
    before = await Account.all().values(), await Destination.all().values()
    reply = await alice.types(f"settings {name}")
    assert reply.title == shown
    assert f"To change it: settings {shown.partition(':')[0]} " in reply.text
    assert (await Account.all().values(), await Destination.all().values()) == before


async def test_every_setting_of_which_a_name_alone_shows_the_value_tells_how_to_change_it(alice: talk.Person):
    for name in _CHANGES:
        assert f"settings {name} " in (await alice.types(f"settings {name}")).text or name == "devices"


async def test_a_name_alone_shows_what_is_set_for_one_mail_or_person(alice: talk.Person):
    mail = (await alice.types("track ana@acme.com Hi")).data["message"]
    await alice.types(f"settings {mail} opens first")
    for text in (f"settings {mail} opens", f"settings {mail} mode"):
        assert (
            "opens first, clicks as for all; it records opens and clicks." in (await alice.types(text)).title
        )
    assert "opens as for all" in (await alice.types("settings ana@acme.com clicks")).title


async def test_a_mute_of_more_than_a_year_is_one_of_a_year_and_says_so(alice: talk.Person, clock: Clock):
    assert "which is the longest, until" in (await alice.types("mute 400d")).title
    assert (await Account.get()).muted_until == clock() + dt.timedelta(days=366)
    assert "longest" not in (await alice.types("mute 365d")).title


async def test_a_domain_is_left_alone_and_watched_again(alice: talk.Person):
    await alice.types("settings off @Acme.com")
    await alice.types("settings mode clicks b.org")
    assert (await Account.get()).preferences == {"domains": {"acme.com": "off", "b.org": "clicks"}}
    assert (await alice.types("track ana@acme.com Hi")).data["pixel_url"] is None
    assert "acme.com: off" in (await alice.types("settings")).text
    await alice.types("settings on acme.com")
    assert (await alice.types("track ana@acme.com Hi")).data["pixel_url"]


async def test_two_domains_changed_at_once_both_stay(database, conversation: Conversation, clock: Clock):
    alice = await talk.join(talk.Person(conversation, "alice"), clock)
    await asyncio.gather(*(alice.types(f"settings off d{number}.com") for number in range(8)))
    assert len((await Account.get()).preferences["domains"]) == 8


async def test_a_group_rings_once_it_was_made_a_destination(alice: talk.Person):
    group = alice.group()
    assert "anyway" in (await alice.types("settings here off", place=group)).title
    await alice.types("settings here on", place=group)
    await alice.types("settings here on", place=group)
    row = await Destination.get(chat_id="-100")
    assert (row.private, row.title, row.off_at) == (False, "Sales", None)
    await alice.types("settings here off", place=group)
    assert (await Destination.get(chat_id="-100")).off_at is not None
    await alice.types("settings here on", place=group)
    assert (await Destination.get(chat_id="-100")).off_at is None


async def test_switching_the_last_place_off_is_pointed_out(alice: talk.Person):
    assert "nothing rings anywhere" in (await alice.types("settings here off")).text


async def test_a_mail_and_a_person_can_have_a_policy_of_their_own(alice: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    await alice.types(f"settings {mail.code} opens first")
    await alice.types("settings ana@acme.com clicks none")
    assert (await Message.get()).ring_opens == "first"
    assert (await Person.get()).ring_clicks == "none"
    shown = await alice.types(f"settings {mail.code}")
    assert "opens first, clicks as for all; it records opens and clicks" in shown.title
    assert "opens as for all, clicks none" in (await alice.types("settings ana@acme.com")).title
    assert "opens as for all, clicks as for all" in (await alice.types("settings bo@acme.com")).title
    await alice.types(f"settings {mail.code} opens default")
    assert (await Message.get()).ring_opens is None


async def test_a_mails_mode_only_gets_stricter(alice: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    await alice.types(f"settings {mail.code} mode clicks")
    assert {one.kind: one.recording for one in await Link.all()} == {"open": False, "click": True}
    await alice.types(f"settings {mail.code} mode off")
    assert not await Link.filter(recording=True).exists()
    back = await alice.types(f"settings {mail.code} mode full")
    assert back.kind is Kind.ERROR
    assert (await Message.get()).mode == "off"


async def test_sent_arms_the_mail(alice: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock(), armed=False)
    clock.advance(seconds=20)
    reply = await alice.presses(f"sent {mail.code}")
    assert "counts from now on" in reply.title
    found = await Message.get()
    assert (found.armed_at, found.armed_by) == (clock(), "sent")
    clock.advance(seconds=20)
    assert "counts already" in (await alice.presses(f"sent {mail.code}")).title
    assert (await Message.get()).armed_at == found.armed_at


async def test_sent_pressed_late_does_not_take_back_what_counted(alice: talk.Person, clock: Clock):
    mail = await builders.mail(alice.account, clock(), armed=False)
    home = await Destination.get(account_id=alice.account.id)
    await Card.create(message=mail, destination=home, created_at=clock())
    clock.advance(minutes=10)
    assert "counts already" in (await alice.presses(f"sent {mail.code}")).title
    armed = (await Message.get()).armed_at
    assert armed is not None
    assert armed - mail.arms_at <= dt.timedelta(seconds=2)
    assert (await Card.get()).dirty_at == clock(), "the card says that it was sent"


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("full", "counts from now on. I ring when it is opened or clicked."),
        ("clicks", "counts from now on. I ring when it is clicked."),
        ("off", "is sent. Tracking is off for it, so nothing is recorded."),
    ],
)
async def test_sent_promises_what_the_mail_can_keep(alice: talk.Person, clock: Clock, mode: str, said: str):
    mail = await builders.mail(alice.account, clock(), armed=False, mode=mode)
    assert (await alice.types("sent")).title == f'"Q3 proposal" ({mail.code}) {said}'


async def test_sent_alone_takes_the_newest_mail_that_waits(
    alice: talk.Person, bob: talk.Person, clock: Clock
):
    old = await builders.mail(alice.account, clock(), armed=False)
    new = await builders.mail(alice.account, clock.advance(seconds=1), armed=False)
    await builders.mail(alice.account, clock.advance(seconds=1))
    await builders.mail(bob.account, clock.advance(seconds=1), armed=False)
    assert new.code in (await alice.types("sent")).title
    assert old.code in (await alice.types("sent")).title
    assert (await alice.types("sent")).kind is Kind.ERROR


async def test_the_same_word_twice_at_once_is_no_fault(database, conversation: Conversation, clock: Clock):
    alice = await talk.join(talk.Person(conversation, "alice"), clock)
    mail = await builders.mail(alice.account, clock())
    for text in ("mute new@acme.com", "settings here on", f"mute {mail.code}", f"forget {mail.code}"):
        replies = await asyncio.gather(*(alice.types(text, place=alice.group()) for _ in range(5)))
        assert {reply.kind for reply in replies} == {Kind.REPLY}, text
    assert await Person.filter(address="new@acme.com").count() == 1
    assert await Destination.filter(chat_id="-100").count() == 1


async def test_a_mail_that_is_watched_only_can_be_switched_off_and_nothing_else(
    alice: talk.Person, clock: Clock
):
    mail = await builders.mail(alice.account, clock(), mode="watch")
    for mode in ("full", "clicks"):
        reply = await alice.types(f"settings {mail.code} mode {mode}")
        assert reply.kind is Kind.ERROR
        assert "no pixel or link of mine" in reply.text
    reply = await alice.types(f"settings {mail.code} mode off")
    assert reply.kind is Kind.REPLY
    assert (await Message.get()).mode == "off"


async def test_what_a_mail_counted_before_it_was_switched_off_stays_counted(
    alice: talk.Person, bot_services: Services, clock: Clock
):
    await alice.types("ana@acme.com Q3 proposal")
    message = await Message.get()
    await alice.types(f"sent {message.code}")
    pixel = await Link.get(kind="open")
    clock.advance(hours=1)
    browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    at = to_micros(clock())
    hit = RawHit("a" * 32, at, pixel.token, "GET", None, browser, "203.0.113.0/24", None, None, None)
    await bot_services.writer.record_many([hit])
    await Judge(bot_services).judge_once()
    assert (await Message.get()).opens == 1
    await Alert.all().update(state="sent", remote_id="1")
    clock.advance(minutes=1)
    await alice.types(f"settings {message.code} mode off")
    await rescore(bot_services, message.id)
    assert (await Message.get()).opens == 1
    assert not await Alert.filter(fix_text__isnull=False).exists()
