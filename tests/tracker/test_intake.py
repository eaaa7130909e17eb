"""Copies that come faster than they are understood: on disk at once, understood in their turn, each once."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from models import Captured, Message
from models.writer import WriterDownError
from tests.conftest import Clock
from tests.processes.mailbell import free_port
from tests.tracker.judging import court
from tests.tracker.test_smtp import MAIL, Post
from tracker.mail import intake
from tracker.mail.addresses import capture_addresses
from tracker.mail.smtp import capture_mail


@pytest.fixture
async def room(database, clock: Clock, tmp_path: Path) -> AsyncIterator:
    async with court(database, clock, data_dir=tmp_path) as made:
        yield made


@asynccontextmanager
async def posting(room) -> AsyncIterator[Post]:
    both = await capture_addresses(room.services, room.alice)
    assert both is not None
    port = free_port()
    async with capture_mail(room.services, "127.0.0.1", port) as server:
        yield Post(room, server, port, *both)


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second copy on, each is only noted."""
    monkeypatch.setattr(intake, "MOST_AT_ONCE", 1)


async def understood(count: int) -> list[str]:
    async with asyncio.timeout(30):
        while await Message.all().count() < count or await Captured.filter(state="noted").exists():
            await asyncio.sleep(0.02)
    return sorted([str(one) for one in await Message.all().values_list("message_id_header", flat=True)])


@pytest.mark.usefixtures("crowded")
async def test_a_crowd_is_taken_and_understood_each_once(room):
    async with posting(room) as post:
        await asyncio.gather(*(post.send(MAIL % (number % 10)) for number in range(30)))
        assert await understood(10) == [f"{number}@x" for number in range(10)]
    assert await Captured.all().count() == 10


@pytest.mark.usefixtures("crowded")
async def test_what_one_process_left_the_next_one_understands(room, monkeypatch):
    async with posting(room) as post:
        await post.send(MAIL % 0)
        post.server.intake.stop()  # as if it died here
        for number in range(1, 6):
            await post.send(MAIL % number)
    assert await Captured.filter(state="noted").count() == 5
    assert await Message.all().count() == 1
    async with posting(room):
        assert len(await understood(6)) == 6


@pytest.mark.usefixtures("crowded")
async def test_more_than_memory_holds_waits_on_the_disk(room, monkeypatch):
    monkeypatch.setattr(intake, "MOST_REMEMBERED", 2)
    async with posting(room) as post:
        await asyncio.gather(*(post.send(MAIL % number) for number in range(12)))
        assert len(await understood(12)) == 12


@pytest.mark.usefixtures("crowded")
async def test_a_tag_and_the_time_of_arrival_survive_the_waiting(room, clock):
    async with posting(room) as post:
        await post.send(MAIL % 0)
        post.server.intake.stop()
        name, _, domain = post.secret.partition("@")
        await post.send(MAIL % 1, f"{name}+off@{domain}")
        arrived = clock.now
    clock.advance(hours=3)
    async with posting(room):
        await understood(1)
    row = await Captured.get(state="ignored")
    assert row.at == arrived


@pytest.mark.usefixtures("crowded")
async def test_a_copy_that_breaks_us_stops_no_other(room, monkeypatch, caplog):
    real = intake.take_copy

    async def breaks(services, box, parsed, *rest, **more):
        if parsed.message_id == "1@x":
            raise RuntimeError("a fault of ours")
        return await real(services, box, parsed, *rest, **more)

    monkeypatch.setattr(intake, "take_copy", breaks)
    async with posting(room) as post:
        for number in range(4):
            await post.send(MAIL % number)
        async with asyncio.timeout(20):
            while await Message.all().count() < 3:
                await asyncio.sleep(0.02)
    assert await Captured.filter(state="noted").count() == 1
    assert "was not understood" in caplog.text


@pytest.mark.usefixtures("crowded")
async def test_a_writer_that_is_down_is_a_451_and_nothing_is_lost_of_what_got_250(room, monkeypatch):
    monkeypatch.setattr(intake, "PAUSE", 0)

    async def down(_statements):
        raise WriterDownError("down")

    async with posting(room) as post:
        await post.send(MAIL % 0)
        with monkeypatch.context() as patch:
            patch.setattr(room.services.writer, "apply", down)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                await post.send(MAIL % 1)
        assert refused.value.smtp_code == 451
        await post.send(MAIL % 1)
        assert len(await understood(2)) == 2
