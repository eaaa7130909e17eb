import asyncio

import pytest

from bot.access import (
    CodeError,
    attach_terminal,
    bot_name,
    console_account,
    find_destination,
    make_code,
    open_claim_code,
    redeem,
    remember_bot_name,
)
from bot.chat import Kind
from bot.conversation import STRANGER, Conversation
from models import AccessCode, Account, Alert, Destination, Identity, InstanceState, Message
from tests import builders
from tests.bot import talk
from tests.bot.talk import Person
from tests.conftest import Clock
from tracker.services import Services


@pytest.fixture
async def claim_code(database, bot_services: Services) -> str:
    code = await open_claim_code(bot_services)
    assert code is not None
    return code


async def test_the_claim_code_is_the_same_at_every_start_until_it_was_used(
    claim_code: str, bot_services: Services, conversation: Conversation
):
    assert await open_claim_code(bot_services) == claim_code
    assert len(claim_code) >= 10
    await Person(conversation, "alice").types(f"start {claim_code}")
    assert await open_claim_code(bot_services) is None


async def test_no_code_is_stored_as_it_is_typed(claim_code: str, bot_services: Services, clock: Clock):
    account = await builders.account("alice", clock())
    invitation = await make_code(bot_services, account, "invite")
    stored = [row.digest for row in await AccessCode.all()]
    stored += [row.value for row in await InstanceState.all()]
    assert not [text for text in stored if claim_code in text or invitation in text]


async def test_whoever_sends_the_claim_code_owns_the_instance(claim_code: str, conversation: Conversation):
    reply = await Person(conversation, "alice").types(f"start {claim_code}")
    assert "yours now" in reply.title
    account = await Account.get()
    assert account.is_owner
    assert account.name == "alice"
    home = await Destination.get()
    assert (home.platform, home.chat_id, home.private, home.off_at) == ("telegram", "alice-id", True, None)


@pytest.mark.parametrize("typed", ["claim {}", "Claim  {} ", "/claim {}", "start {}"])
async def test_a_code_may_be_typed_in_many_ways(claim_code: str, conversation: Conversation, typed: str):
    spoken = f"{claim_code[:4]}-{claim_code[4:8]}-{claim_code[8:]}".upper()
    reply = await Person(conversation, "alice").plainly(typed.format(spoken))
    assert "yours now" in reply.title


async def test_of_two_who_claim_at_once_one_wins(claim_code: str, conversation: Conversation):
    people = [Person(conversation, f"p{number}") for number in range(6)]
    replies = await asyncio.gather(*(one.types(f"claim {claim_code}") for one in people))
    assert [reply.title for reply in replies].count(STRANGER) == 5
    assert await Account.all().count() == 1
    assert await Identity.all().count() == 1
    assert await AccessCode.filter(used_at__isnull=False).count() == 1


async def test_the_claim_code_works_once(claim_code: str, conversation: Conversation):
    await Person(conversation, "alice").types(f"claim {claim_code}")
    reply = await Person(conversation, "charlie").types(f"claim {claim_code}")
    assert reply.title == STRANGER
    assert await Account.all().count() == 1


async def test_an_invitation_lets_one_person_in_with_an_account_of_their_own(
    database, bot_services: Services, conversation: Conversation, clock: Clock
):
    alice = await talk.join(Person(conversation, "alice"), clock, owner=True)
    invitation = await alice.types("invite")
    code = invitation.data["code"]
    assert code in invitation.copyable[0][1]
    bob, charlie = Person(conversation, "bob"), Person(conversation, "charlie")
    replies = await asyncio.gather(bob.types(f"start {code}"), charlie.types(f"start {code}"))
    assert sorted(reply.title == STRANGER for reply in replies) == [False, True]
    account = await Account.exclude(name="alice").get()
    assert not account.is_owner


async def test_an_invitation_expires_after_seven_days(alice: Person, charlie: Person, clock: Clock):
    code = (await alice.types("invite")).data["code"]
    clock.advance(days=7)
    assert (await charlie.types(f"claim {code}")).title == STRANGER
    clock.advance(seconds=-1)
    assert "you are in" in (await charlie.types(f"claim {code}")).title


async def test_only_the_owner_invites(bob: Person):
    reply = await bob.types("invite")
    assert reply.kind is Kind.ERROR
    assert "invite me" in reply.title
    assert not await AccessCode.exists()


async def test_whoever_runs_the_instance_invites_from_the_terminal(
    sqlite_database, conversation: Conversation
):
    reply = await Person(conversation, "console", platform="console", user_id="console").types("invite")
    assert reply.data["code"]
    assert "no chat to send it in" in reply.text


async def test_the_invitation_holds_telegrams_link_once_the_bots_name_is_known(
    sqlite_database, tmp_path, clock: Clock
):
    services = talk.services(
        tmp_path, clock, telegram_bot_token="1:a", slack_bot_token="xoxb-1", slack_app_token="xapp-1"
    )
    alice = await talk.join(Person(Conversation(services), "alice"), clock, owner=True)
    await remember_bot_name("telegram", "old_bot")
    await remember_bot_name("telegram", "mailbell_bot")
    assert await bot_name("telegram") == "mailbell_bot"
    reply = await alice.types("invite")
    code = reply.data["code"]
    assert f"https://t.me/mailbell_bot?start={code}" in reply.text
    assert f"/track claim {code}" in reply.text


async def test_slack_and_telegram_of_one_person_are_linked_to_one_account(
    alice: Person, conversation: Conversation
):
    code = (await alice.types("invite me")).data["code"]
    desk = Person(conversation, "alice", platform="slack", user_id="U1", workspace="T1")
    await desk.types(f"claim {code}")
    assert {one.platform for one in await Identity.filter(account_id=alice.account.id)} == {
        "slack",
        "telegram",
    }
    assert await find_destination(alice.account, desk.private)
    assert await Account.all().count() == 1
    again = await Person(conversation, "charlie").types(f"claim {code}")
    assert again.title == STRANGER


async def test_a_chat_without_mails_moves_to_the_account_that_its_owner_links_it_to(
    alice: Person, bob: Person, clock: Clock
):
    await builders.mail(bob.account, clock())
    await Message.all().update(origin="demo")
    code = (await alice.types("invite me")).data["code"]
    reply = await bob.types(f"claim {code}")
    assert reply.kind is Kind.REPLY
    assert [one.name for one in await Account.all()] == ["alice"]
    assert await Identity.filter(account_id=alice.account.id).count() == 2


async def test_a_chat_with_mails_of_its_own_is_not_merged_and_the_code_stays_good(
    alice: Person, bob: Person, charlie: Person, clock: Clock
):
    await builders.mail(bob.account, clock())
    code = (await alice.types("invite me")).data["code"]
    reply = await bob.types(f"claim {code}")
    assert reply.kind is Kind.ERROR
    assert "invite me" in reply.title
    assert await Identity.filter(account_id=bob.account.id).count() == 1
    await charlie.types(f"claim {code}")
    assert await Identity.filter(account_id=alice.account.id).count() == 2


async def test_somebody_who_is_in_does_not_use_an_invitation_up(alice: Person, bob: Person, charlie: Person):
    code = (await alice.types("invite")).data["code"]
    assert "in already" in (await bob.types(f"claim {code}")).title
    assert "you are in" in (await charlie.types(f"claim {code}")).title


async def test_guessing_is_braked_and_even_the_right_code_waits_then(
    alice: Person, charlie: Person, clock: Clock
):
    code = (await alice.types("invite")).data["code"]
    for number in range(5):
        assert (await charlie.types(f"claim wrongcode{number}")).title == STRANGER
    assert (await charlie.types(f"claim {code}")).title == STRANGER
    clock.advance(hours=1)
    assert "you are in" in (await charlie.types(f"claim {code}")).title


async def test_the_brake_is_each_persons_own(alice: Person, bob: Person, charlie: Person):
    code = (await alice.types("invite")).data["code"]
    for _ in range(6):
        reply = await bob.types("claim wrongcode")
    assert "try again in an hour" in reply.title
    assert "you are in" in (await charlie.types(f"claim {code}")).title


async def test_many_guesses_at_once_are_braked_too(database, bot_services, conversation, clock: Clock):
    alice = await talk.join(Person(conversation, "alice"), clock, owner=True)
    incoming = talk.Incoming(place=alice.private, user_id="eve", user_name="eve", text="")
    results = await asyncio.gather(
        *(redeem(bot_services, incoming, f"guess{number}") for number in range(20)), return_exceptions=True
    )
    assert all(isinstance(one, CodeError) for one in results)
    assert sum("too many" in str(one) for one in results) == 15


async def test_the_owner_sees_who_is_in_and_shows_them_out(alice: Person, bob: Person, clock: Clock):
    mail = await builders.mail(bob.account, clock())
    listed = await alice.types("invite list")
    assert "alice (owner)" in listed.text
    assert "bob" in listed.text
    asked = await alice.types("invite remove Bob")
    assert await Identity.filter(account_id=bob.account.id).exists()
    await alice.presses(talk.actions(asked)[0])
    assert (await bob.types("list")).title == STRANGER
    assert not await Destination.filter(account_id=bob.account.id, off_at__isnull=True).exists()
    assert await mail.links.all().count() == 2, "links in mailboxes go on working"


async def test_the_owner_is_not_shown_out_and_others_show_nobody_out(alice: Person, bob: Person):
    assert (await alice.types("invite remove alice")).kind is Kind.ERROR
    assert (await alice.types("invite remove nobody")).kind is Kind.ERROR
    assert (await bob.types("invite remove alice yes")).kind is Kind.ERROR
    assert await Identity.all().count() == 2


async def test_of_two_with_one_name_the_owner_chooses_by_number(
    alice: Person, bob: Person, conversation: Conversation, clock: Clock
):
    second = await talk.join(Person(conversation, "bob", user_id="bob2"), clock)
    reply = await alice.types("invite remove bob")
    assert f"#{second.account.id}" in reply.title
    await alice.types(f"invite remove #{second.account.id} yes")
    assert [one.user_id for one in await Identity.all().order_by("id")] == ["alice-id", "bob-id"]


async def test_the_console_has_an_account_of_its_own_and_needs_no_code(database, bot_services: Services):
    made = await asyncio.gather(*(console_account(bot_services) for _ in range(5)))
    assert len({one.id for one in made}) == 1
    assert await Account.all().count() == 1
    home = await Destination.get()
    assert (home.platform, home.chat_id) == ("console", "console")


async def test_a_chat_that_was_blocked_rings_again_after_start(alice: Person, clock: Clock):
    await Destination.filter(account_id=alice.account.id).update(off_at=clock(), off_reason="blocked")
    await alice.types("start")
    assert await Destination.filter(account_id=alice.account.id, off_at__isnull=True).count() == 1


async def test_slack_users_of_two_workspaces_with_one_id_are_two_people(
    sqlite_database, conversation: Conversation, clock: Clock
):
    await talk.join(Person(conversation, "alice", platform="slack", user_id="U1", workspace="T1"), clock)
    twin = Person(conversation, "eve", platform="slack", user_id="U1", workspace="T2")
    assert (await twin.types("list")).title == STRANGER


async def test_nothing_waits_for_a_terminal_that_is_gone(database, bot_services: Services, clock: Clock):
    account = await console_account(bot_services)
    destination = await Destination.get(account_id=account.id)
    await Alert.create(
        account=account, destination=destination, event_key="x", event="notice", at=clock(), due_at=clock()
    )
    await attach_terminal(bot_services, attached=False)
    assert (await Destination.get(id=destination.id)).off_at == clock()
    assert [one.state for one in await Alert.all()] == ["dropped"]
    await attach_terminal(bot_services, attached=True)
    assert (await Destination.get(id=destination.id)).off_at is None
