"""Somebody wants to be forgotten: nothing on the disk names her any more, and her links still lead."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.chat import Incoming, Place
from models import Alert, Audit, Captured, Card, Hit, Link, Message, Person, Recipient
from tests.fakes.chat import FakeChat
from tests.flows.conftest import running_line
from tracker import audit
from tracker.person_file import person_file

HOME = Place("telegram", "7", title="alice")


async def say(bell, text: str):
    reply = await bell.conversation.handle(Incoming(HOME, "7", "alice", text))
    assert reply is not None
    return reply


def files_that_hold(folder: Path, *secrets: str) -> list[str]:
    return [
        f"{path.name}: {secret}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]


async def a_mail_that_was_opened_and_clicked(bell, text: str) -> tuple[Message, list[Link]]:
    reply = await say(bell, text)
    mail = await Message.get(code=reply.data["message"])
    await say(bell, f"sent {mail.code}")
    bell.pass_time(minutes=5)
    links = await Link.filter(message=mail).order_by("position")
    for link in links:
        path = f"/o/{link.token}.gif" if link.kind == "open" else f"/c/{link.token}"
        await bell.read(bell.address + path)
        bell.pass_time(minutes=2)
    async with asyncio.timeout(60):
        while await Hit.filter(message=mail, judged_at=None).exists():
            await asyncio.sleep(0.02)
        while await Alert.filter(state="waiting").exists() or await Card.exclude(dirty_at=None).exists():
            bell.pass_time(seconds=15)
            await asyncio.sleep(0.02)
    return mail, links


async def chats_are_up_to_date(bell) -> None:
    async with asyncio.timeout(60):
        while (
            await Alert.filter(fix_text__isnull=False).exists() or await Card.exclude(dirty_at=None).exists()
        ):
            bell.pass_time(seconds=15)
            await asyncio.sleep(0.02)


async def claimed(bell) -> None:
    await bell.conversation.handle(Incoming(HOME, "7", "alice", f"start {bell.claim_code}"))


async def test_after_forget_nothing_names_her_and_her_links_still_lead(tmp_path, clock, database):
    async with running_line(tmp_path, clock, database, lambda *_: FakeChat("telegram")) as bell:
        await claimed(bell)
        alone, hers = await a_mail_that_was_opened_and_clicked(
            bell, "track ana.k@acme.com Your offer https://acme.com/deck"
        )
        shared, _ = await a_mail_that_was_opened_and_clicked(
            bell, "track ana.k@acme.com dan@acme.com Q3 https://acme.com/plan"
        )
        other = (await say(bell, "track eve@acme.com Hello")).data["message"]
        await Message.filter(code=other).update(subject="About Ana.K@acme.com")
        await Captured.create(
            account_id=alone.account_id, key="k", state="held", from_address="ana.k@acme.com", at=clock(),
            facts={"mail": '{"sender": "Ana.K@acme.com"}'},
        )  # fmt: skip
        about = await say(bell, "export ana.k@acme.com")
        assert about.file is not None
        assert b"Your offer" in about.file[1]
        asked = await say(bell, "forget ana.k@acme.com")
        assert "2 mails went there" in asked.text
        assert await Message.filter(id=alone.id).exists()

        told = await say(bell, "forget ana.k@acme.com yes")
        assert told.title == (
            "ana.k@acme.com is forgotten: 1 mail gone, taken out of 1 more, 2 events erased; "
            "1 link still leads where it led."
        )
        assert not await Message.filter(id=alone.id).exists()
        assert [one.address for one in await Recipient.filter(message=shared)] == ["dan@acme.com"]
        assert await Captured.all().count() == 0
        assert not await Person.filter(address="ana.k@acme.com").exists()
        assert (await Message.get(code=other)).subject == "About …"
        listed = (await say(bell, "list")).text
        assert "Q3" in listed
        assert "Hello" not in listed
        assert "forgotten" not in listed

        led = await bell.read(bell.address + f"/c/{hers[1].token}")
        assert (led.status, led.headers["Location"]) == (302, "https://acme.com/deck")
        assert (await bell.read(bell.address + f"/o/{hers[0].token}.gif")).status == 200
        await chats_are_up_to_date(bell)
        chat = bell.chat
        assert isinstance(chat, FakeChat)
        assert chat.posted
        assert not [one for one in chat.posted if "ana.k@acme.com" in one.shown.text]
        noted = await audit.lines(bell.services, "ana.k@acme.com")
        assert [(one.action, one.counts) for one in noted] == [
            ("forget", {"mails": 2, "hits": 2, "links": 1}),
            ("export", {"mails": 2, "hits": 2}),
        ]
        if database.path is not None:
            secrets = ("ana.k@acme.com", "Ana.K@acme.com", *(link.token for link in hers))
            assert files_that_hold(tmp_path, *secrets) == []
        assert await Audit.all().count() == 2


async def test_nobody_forgets_or_exports_for_another_account(tmp_path, clock, sqlite_database):
    async with running_line(tmp_path, clock, sqlite_database, lambda *_: FakeChat("telegram")) as bell:
        await claimed(bell)
        reply = await say(bell, "track ana@acme.com Q3 https://acme.com/deck")
        from tests import builders
        from tracker.mail.forget_person import forget_person

        bob = await builders.account("bob", clock())
        assert (await forget_person(bell.services, bob, "ana@acme.com")).is_nothing
        assert await person_file(bell.services, bob, "ana@acme.com") is None
        assert await Message.filter(code=reply.data["message"]).exists()
