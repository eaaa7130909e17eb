"""Blocked, let in again, moved: what becomes of the places that ring."""

from __future__ import annotations

import asyncio

import pytest

from models import Alert, Destination, Identity
from tests import builders
from tests.bot.telegram import parts
from tests.bot.telegram.parts import ALICE
from tests.fakes.telegram_people import Chat

GROUP = Chat(-100500, "Sales")


@pytest.fixture
async def known(sqlite_database, clock):
    """Alice's private chat and a group ring for her; bob is somebody else."""
    account = await builders.account("alice", clock(), owner=True)
    await builders.identity(account, "telegram", str(ALICE.id))
    private = await builders.destination(account, "telegram", str(ALICE.id))
    group = await builders.destination(account, "telegram", str(GROUP.id), private=False)
    return account, private, group


async def test_a_block_switches_the_chat_off_tells_the_owner_elsewhere_and_is_undone(
    fake, polled, sqlite_database, known
):
    _, private, group = known
    async with parts.sqlite_writer(sqlite_database) as writer, polled(writer):
        await fake.change_member(Chat(ALICE.id), ALICE, "kicked")
        while (row := await Destination.get(id=private.id)).off_at is None:
            await asyncio.sleep(0.01)
        assert "blocked" in row.off_reason
        assert (await Destination.get(id=group.id)).off_at is None
        notice = await Alert.get(destination_id=group.id)
        assert "switched it off" in notice.facts["text"]
        await fake.change_member(Chat(ALICE.id), ALICE, "member")
        while (await Destination.get(id=private.id)).off_at is not None:
            await asyncio.sleep(0.01)


async def test_letting_the_bot_in_again_does_not_undo_what_the_owner_switched_off(
    fake, polling_chat, known, clock
):
    _, private, group = known
    await Destination.filter(id=private.id).update(off_at=clock(), off_reason="removed by the owner")
    await Destination.filter(id=group.id).update(off_at=clock(), off_reason="the bot was blocked")
    await Identity.all().delete()
    await fake.change_member(Chat(ALICE.id), ALICE, "member")
    await fake.change_member(GROUP, ALICE, "member")
    await fake.say(ALICE, "/list")
    await fake.message(ALICE, "you said")
    assert (await Destination.get(id=private.id)).off_at is not None
    assert (await Destination.get(id=group.id)).off_at is not None


async def test_a_group_that_moved_keeps_ringing(fake, polling_chat, known):
    _, _, group = known
    message = fake._message(GROUP, ALICE.json, "")
    del message["text"]
    await fake.deliver({"message": {**message, "migrate_to_chat_id": -1007}})
    while (await Destination.get(id=group.id)).chat_id != "-1007":
        await asyncio.sleep(0.01)
