"""Answers about one mail are found again when it is forgotten."""

from __future__ import annotations

import asyncio

from bot.answered import remember_answer
from bot.chat import Place, Reply, Sent
from models import Alert, Message
from tests import builders
from tests.bot.delivery import Scene
from tracker.mail import traces
from tracker.mail.forget import forget_message
from tracker.mail.traces import FORGOTTEN

HOME = Place("fake", "alice-chat")


def about(scene: Scene, **more: object) -> Reply:
    return Reply(title="Q3 proposal", data={"message": scene.mail.code}, **more)  # type: ignore[arg-type]


async def replaced() -> list[str | None]:
    return [one.remote_id for one in await Alert.filter(fix_text=FORGOTTEN).order_by("id")]


async def test_several_answers_at_once_are_all_kept(scene):
    await Message.filter(id=scene.mail.id).update(details={"untracked": ["https://a.example"]})
    answers = (remember_answer(HOME, about(scene), Sent(f"a{number}")) for number in range(5))
    await asyncio.gather(*answers)
    details = (await Message.get(id=scene.mail.id)).details
    assert details["untracked"] == ["https://a.example"]
    await forget_message(scene.services, scene.alice, scene.mail.code)
    assert sorted(await replaced()) == ["a0", "a1", "a2", "a3", "a4"]
    await scene.courier.deliver_once()
    assert await replaced() == []


async def test_what_is_about_no_mail_or_stands_elsewhere_is_not_kept(scene):
    await remember_answer(HOME, Reply(title="Help"), Sent("a1"))
    await remember_answer(HOME, about(scene, file=("export.csv", b"")), Sent("a2"))
    await remember_answer(Place("fake", "bob-chat"), about(scene), Sent("a3"))
    await remember_answer(HOME, Reply(data={"message": "gone22"}), Sent("a4"))
    assert (await Message.get(id=scene.mail.id)).details is None


async def test_answers_in_a_chat_that_is_no_destination_any_more_hinder_nothing(scene):
    there = await builders.destination(scene.alice, "fake", "old-chat")
    await remember_answer(Place("fake", "old-chat"), about(scene), Sent("a1"))
    await there.delete()
    await forget_message(scene.services, scene.alice, scene.mail.code)
    assert await replaced() == []


async def test_of_very_many_answers_the_newest_are_kept(scene, monkeypatch):
    monkeypatch.setattr(traces, "MOST_ANSWERS", 2)
    for number in range(4):
        await remember_answer(HOME, about(scene), Sent(f"a{number}"))
    await forget_message(scene.services, scene.alice, scene.mail.code)
    assert await replaced() == ["a2", "a3"]
