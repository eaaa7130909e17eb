"""`doctor`: an answer at once, the findings when they are there, and each sees no more than their own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bot.chat import Kind
from bot.commands import doctor
from models import Alert
from tests.bot.talk import Person, actions
from tests.conftest import Clock
from tracker.doctor.findings import About, Finding, Visit

LOGIN = About("mailbox-1", "alice@acme.com").wrong("lets me in <b>no</b> more", "Type: connect new")


@pytest.fixture(autouse=True)
def visits(monkeypatch: pytest.MonkeyPatch) -> list[Visit]:
    """Two checks in the place of the real ones, and the visits that they got."""
    seen: list[Visit] = []

    async def check_instance(visit: Visit) -> Sequence[Finding]:
        seen.append(visit)
        return [About("disk", "Disk").ok("has room"), About("mx", "MX").note("a trial")]

    async def check_account(visit: Visit) -> Sequence[Finding]:
        seen.append(visit)
        return [LOGIN]

    monkeypatch.setattr(doctor, "INSTANCE", (check_instance,))
    monkeypatch.setattr(doctor, "ACCOUNT", (check_account,))
    return seen


async def through() -> None:
    await asyncio.gather(*doctor._running.values())


async def test_the_first_words_come_at_once_and_the_rest_as_a_notice(
    alice: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    looked = asyncio.Event()

    async def check_slowly(_: Visit) -> Sequence[Finding]:
        await looked.wait()
        return []

    monkeypatch.setattr(doctor, "INSTANCE", (*doctor.INSTANCE, check_slowly))
    reply = await alice.types("doctor")
    assert "up to a minute" in reply.text
    assert "already" in (await alice.types("doctor")).title
    assert not await Alert.exists()
    looked.set()
    await through()
    (alert,) = await Alert.all()
    assert alert.event == "notice"
    assert "1 of them need you" in alert.facts["text"]
    assert "alice@acme.com: lets me in <b>no</b> more" in alert.facts["text"]
    assert alert.facts["buttons"] == [["Show all", "doctor last"]]
    clock.advance(minutes=5)
    reply = await alice.presses("doctor last")
    assert reply.title == "1 thing needs you. (5 minutes ago)"
    assert reply.lines[0].startswith("✗ alice@acme.com")
    assert "→ Type: connect new" in reply.lines[1]
    assert "✓ Disk: has room" in reply.lines
    assert actions(reply) == ["doctor"]
    await alice.types("doctor")
    await through()
    assert await Alert.all().count() == 2


async def test_who_is_not_the_owner_has_only_their_own_looked_at(
    alice: Person, bob: Person, visits: list[Visit]
):
    assert "your mailboxes and chats" in (await bob.types("doctor")).title
    await through()
    assert [one.account_id for one in visits] == [bob.account.id]
    assert (await Alert.get()).account_id == bob.account.id
    assert (await alice.types("doctor last")).kind is Kind.ERROR
    assert "Disk" not in (await bob.types("doctor last")).text


async def test_in_the_terminal_the_answer_is_whole(alice: Person, conversation, visits: list[Visit]):
    console = Person(conversation, "console", platform="console", user_id="console")
    reply = await console.types("doctor")
    assert reply.data["wrong"] == 1
    assert [one["state"] for one in reply.data["findings"]] == ["ok", "note", "wrong"]
    assert len(visits) == 2
    assert (await console.types("doctor last")).lines == reply.lines


async def test_when_all_is_well_it_says_so(alice: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "ACCOUNT", ())
    await alice.types("doctor")
    await through()
    assert (await Alert.get()).facts["text"] == "I looked at 2 things: all is well."
    assert (await alice.types("doctor last")).title.startswith("All is well.")


async def test_anything_else_says_what_to_type(alice: Person):
    reply = await alice.types("doctor who")
    assert reply.kind is Kind.ERROR
    assert "doctor last" in reply.text
