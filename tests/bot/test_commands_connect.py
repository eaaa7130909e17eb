"""`connect`: a page for everything that is secret, and plain words for the rest."""

from __future__ import annotations

import pytest

from bot.chat import Kind
from bot.conversation import Conversation
from models import Destination, Mailbox, Message, Outgoing, Recipient
from tests import builders
from tests.bot import talk
from tests.bot.talk import Person, actions
from tests.conftest import Clock
from tracker.sending.tickets import find_ticket


async def mailbox_of(
    person: Person, clock: Clock, address: str = "alice@acme.com", **more: object
) -> Mailbox:
    fields: dict[str, object] = {
        "provider": "gmail", "smtp_host": "smtp.gmail.com", "smtp_port": 465, "smtp_security": "tls",
        "submission_user": f"bell-{address[:8]}-{person.name}", "checked_at": clock(),
        "imap_host": "imap.gmail.com", "imap_port": 993, **more,
    }  # fmt: skip
    return await Mailbox.create(account=person.account, address=address, created_at=clock(), **fields)


async def ticket_of(reply, services):
    ((_, url),) = reply.links
    assert reply.data["connect_url"] == url
    ticket = await find_ticket(services, url.rpartition("/")[2])
    assert ticket is not None
    return ticket


async def test_the_first_connect_gives_a_page_for_its_sender_alone(alice: Person, bot_services):
    reply = await alice.types("connect")
    assert reply.private
    ticket = await ticket_of(reply, bot_services)
    assert (ticket.account.id, ticket.purpose, ticket.mailbox) == (alice.account.id, "new", None)
    assert "https://t.example/connect/" in reply.text
    assert (await alice.types("connect new")).links != reply.links


async def test_in_a_group_the_link_goes_to_the_private_chat(alice: Person, clock: Clock):
    place = alice.group()
    await Destination.create(
        account=alice.account,
        platform=place.platform,
        chat_id=place.chat_id,
        created_at=clock(),
        private=False,
    )
    reply = await alice.types("connect", place=place)
    assert reply.private


async def test_a_stranger_gets_no_page(alice: Person, conversation: Conversation):
    reply = await Person(conversation, "charlie").says("connect")
    assert reply is None or "connect/" not in reply.text


async def test_mailboxes_are_listed_with_their_state(alice: Person, bob: Person, clock: Clock):
    await mailbox_of(alice, clock)
    await mailbox_of(
        alice, clock, "shop@acme.com", failed_at=clock(), failure="535 <b>no</b>", imap_on=True,
        imap_failed_at=clock(), imap_failure="NO login",
    )  # fmt: skip
    await mailbox_of(bob, clock, "bob@acme.com")
    clock.advance(hours=2)
    reply = await alice.types("connect")
    for words in (
        "2 mailboxes",
        "alice@acme.com",
        "works",
        "lets me in no more since 2 hours ago",
        "NO login",
        "535",
    ):
        assert words in reply.text
    assert "bob@" not in reply.text
    assert "connect new shop@acme.com" in actions(reply)
    assert "connect watch alice@acme.com" in actions(reply)
    assert "connect watch shop@acme.com off" in actions(reply)


async def test_signing_in_again_and_a_new_password_are_pages(alice: Person, clock: Clock, bot_services):
    mailbox = await mailbox_of(alice, clock)
    for command, purpose in (("connect new Alice@acme.com", "again"), ("connect renew", "renew")):
        ticket = await ticket_of(await alice.types(command), bot_services)
        assert (ticket.purpose, ticket.mailbox) == (purpose, mailbox)
    ticket = await ticket_of(await alice.types("connect new new@acme.com"), bot_services)
    assert ticket.purpose == "new"


async def test_removing_asks_first(alice: Person, clock: Clock):
    mailbox = await mailbox_of(alice, clock)
    await Outgoing.create(
        account=alice.account, mailbox=mailbox, spool="one", sender="a@b.c", address="ana@acme.com",
        next_at=clock(), accepted_at=clock(),
    )  # fmt: skip
    reply = await alice.types("connect remove alice@acme.com")
    assert "1 mail still waiting" in reply.text
    assert await Mailbox.exists()
    (action,) = actions(reply)
    reply = await alice.presses(action)
    assert "alice@acme.com is removed. 1 mail that waited will not be sent." in reply.title
    assert not await Mailbox.exists()
    assert (await Outgoing.get()).state == "stopped"


async def test_what_a_removed_mailbox_did_not_send_is_named_and_said_on_the_card(alice: Person, clock: Clock):
    mailbox, codes = await mailbox_of(alice, clock), []
    for number in range(7):
        mail = await builders.mail(alice.account, clock(), to=("ana@acme.com", "bob@acme.com"), armed=False)
        await Message.filter(id=mail.id).update(origin="send")
        ana, bob = await Recipient.filter(message_id=mail.id).order_by("position")
        if number == 0:  # one of its copies has left
            await Recipient.filter(id=ana.id).update(handed_over_at=clock())
            await Message.filter(id=mail.id).update(handed_over_at=clock(), armed_at=clock())
        for one in (ana, bob):
            await Outgoing.create(
                account=alice.account, mailbox=mailbox, message=mail, recipient=one, spool=f"mail-{number}",
                sender="alice@acme.com", address=one.address, next_at=clock(), accepted_at=clock(),
                state="sent" if (number, one) == (0, ana) else "waiting",
            )  # fmt: skip
        codes.append(mail.code)
    assert "7 mails still waiting" in (await alice.types("connect remove alice@acme.com")).text
    reply = await alice.types("connect remove alice@acme.com yes")
    named = ", ".join(codes[:5])
    assert reply.title.endswith(f"7 mails that waited will not be sent: {named} and 2 more.")
    shown = (await alice.types(f"show {codes[1]}")).text
    assert "Not sent: the mailbox was disconnected." in shown
    assert "ana@acme.com: not sent: the mailbox was disconnected" in shown
    assert "waiting to be sent" not in shown
    partly = (await alice.types(f"show {codes[0]}")).text
    assert "ana@acme.com: sent" in partly
    assert "bob@acme.com: not sent: the mailbox was disconnected" in partly


async def test_nobody_touches_another_ones_mailbox(alice: Person, bob: Person, clock: Clock):
    mailbox = await mailbox_of(alice, clock)
    for command in ("remove alice@acme.com yes", "renew alice@acme.com", "watch alice@acme.com"):
        reply = await bob.types(f"connect {command}")
        assert reply.kind is Kind.ERROR
        assert "is connected" in reply.text
    await mailbox.refresh_from_db()
    assert not mailbox.imap_on


async def test_looking_for_replies_is_switched_on_and_off(alice: Person, clock: Clock):
    mailbox = await mailbox_of(alice, clock, imap_failed_at=clock(), imap_failure="NO", imap_told_at=clock())
    assert "now" in (await alice.types("connect watch alice@acme.com")).title
    await mailbox.refresh_from_db()
    assert (mailbox.imap_on, mailbox.imap_failed_at, mailbox.imap_told_at) == (True, None, None)
    assert "no more" in (await alice.types("connect watch off")).title
    await mailbox.refresh_from_db()
    assert not mailbox.imap_on


async def test_without_a_server_for_reading_it_says_where_to_give_it(alice: Person, clock: Clock):
    await mailbox_of(alice, clock, imap_host=None)
    reply = await alice.types("connect watch")
    assert reply.kind is Kind.ERROR
    assert "connect new alice@acme.com" in reply.text


@pytest.mark.parametrize(
    "text", ["renew", "remove", "watch", "nonsense", "renew nobody@acme.com", "remove <b>"]
)
async def test_what_is_unclear_says_what_to_type(alice: Person, clock: Clock, text: str):
    for address in ("alice@acme.com", "shop@acme.com"):
        await mailbox_of(alice, clock, address)
    reply = await alice.types(f"connect {text}")
    assert reply.kind is Kind.ERROR
    assert "connect" in reply.text


async def test_a_long_address_has_no_button_that_does_not_fit(alice: Person, clock: Clock):
    address = f"{'x' * 60}@acme.com"
    await mailbox_of(alice, clock, address)
    assert all(len(one.encode()) <= 64 for one in actions(await alice.types("connect")))
    assert f"connect remove {address} yes" in (await alice.types(f"connect remove {address}")).text


@pytest.mark.usefixtures("sqlite_database")
async def test_over_plain_http_there_is_no_page(tmp_path, clock: Clock):
    services = talk.services(tmp_path, clock, base_url="http://mail.example")
    dora = await talk.join(Person(Conversation(services), "dora"), clock)
    reply = await dora.types("connect")
    assert reply.kind is Kind.ERROR
    assert "https" in reply.text
