"""A mail pasted into the chat with the bot is tracked; one that is tracked already is known again."""

from __future__ import annotations

from bot.chat import Kind
from models import Dialogue, Link, Message, Recipient
from tests.bot.talk import Person, actions
from tests.conftest import Clock
from tests.tracker.test_pasted import PASTED
from tracker.mail.tracked import link_url


async def test_a_forwarded_mail_is_tracked(alice: Person):
    reply = await alice.plainly(PASTED["Gmail"])
    assert reply.title.startswith('"Q3 proposal" to ana@acme.com and bob@acme.com is tracked as')
    assert await Link.filter(kind="click").count() == 2


async def test_it_may_stand_behind_the_verb_too_and_no_other(alice: Person):
    for said in ("track\n", "/track@mailbell_bot ", "FYI "):
        await alice.types(said + "\n" + PASTED["Outlook"])
    assert await Message.all().count() == 3
    assert (await alice.types("mute\n" + PASTED["Outlook"])).kind is Kind.ERROR
    assert await Message.all().count() == 3


async def test_a_name_like_a_verb_is_a_name(alice: Person):
    await alice.plainly("From: a@b.example\nTo: Show Help <ana@acme.com>\nSubject: list\n\nHi\n")
    assert (await Recipient.get()).name == "Show Help"
    assert (await Message.get()).subject == "list"


async def test_it_ends_questions_that_were_asked_meanwhile(alice: Person):
    await alice.types("track")
    assert await Dialogue.exists()
    await alice.plainly(PASTED["Apple Mail"])
    assert (await Message.get()).subject == "Q3 proposal"
    assert not await Dialogue.exists()


async def test_a_mail_with_our_links_is_known_again(alice: Person, bob: Person, bot_services):
    await alice.types("track ana@acme.com Q3 proposal https://acme.com/deck")
    mail = await Message.get()
    url = link_url(bot_services, await Link.get(kind="click"))
    body = PASTED["Gmail"].replace("https://acme.com/deck", url)
    reply = await alice.plainly(body)
    assert reply.title == f'"Q3 proposal" is tracked already, as {mail.code}: its links are in that text.'
    assert actions(reply) == [f"show {mail.code}", f"sent {mail.code}"]
    assert (await alice.plainly(f"look at {url}")).data["message"] == mail.code
    assert await Message.all().count() == 1
    await bob.plainly(body)  # nobody else's links are tracked once more
    assert await Message.all().count() == 2
    assert [one.target for one in await Link.filter(kind="click", message__account_id=bob.account.id)] == [
        "https://acme.com/price"
    ]


async def test_sent_says_that_a_watched_mail_rings_for_a_reply_only(alice: Person, clock: Clock):
    mail = await Message.create(
        account=alice.account, code="w4tchd", subject="Lunch", origin="capture", mode="watch",
        created_at=clock(), arms_at=clock(), armed_at=clock(),
    )  # fmt: skip
    assert "I watch it for a reply only" in (await alice.types(f"sent {mail.code}")).title
