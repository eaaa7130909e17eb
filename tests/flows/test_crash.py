"""Real processes that are killed: what was to be told is told all the same, by the next one."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.fakes.telegram_faults import answer_dropped, hanging
from tests.fakes.telegram_people import Person, Shown
from tests.flows.conftest import READERS
from tests.processes.mailbell import Mailbell, free_port, mailbell

ALICE = Person(11, "alice")


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    fake = FakeTelegram()
    async with fake.serve():
        yield fake
    assert fake.complaints == []


def settings(telegram: FakeTelegram, port: int, **more: str) -> dict[str, str]:
    return {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": telegram.url,
        "ARM_AFTER_SECONDS": "0",
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "BASE_URL": f"http://127.0.0.1:{port}",
        **more,
    }


def rings(telegram: FakeTelegram) -> list[Shown]:
    return [one for one in telegram.shown(ALICE) if re.match(r'"[^\n]*was opened', one.text)]


async def claim_and_track(bell: Mailbell, telegram: FakeTelegram) -> str:
    """alice owns the instance and has tracked a mail; the pixel's address."""
    code = (await bell.wait_for_error("claim code: ")).partition(": ")[2]
    await telegram.say(ALICE, f"/start {code}")
    await telegram.wait_for(lambda: telegram.shown(ALICE), patience=60)
    await telegram.say(ALICE, "/track ana@acme.com Q3 proposal https://acme.com/deck")
    answer = await telegram.message(ALICE, "/o/")
    await telegram.message(ALICE, "no open seen")
    found = re.search(r"http://127\.0\.0\.1:\d+/o/[\w-]+\.gif", answer.text)
    assert found is not None
    return found[0]


async def read(url: str, network: str) -> int:
    headers = {"User-Agent": READERS[network], "X-Forwarded-For": network}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status


async def test_a_ring_that_was_being_sent_at_kill_9_rings_after_the_restart(tmp_path: Path, telegram):
    port = free_port()
    async with mailbell(tmp_path, port=port, **settings(telegram, port)) as bell:
        pixel = await claim_and_track(bell, telegram)
        telegram.faults["sendMessage"].append(hanging())
        before = telegram.count("sendMessage")
        assert await read(pixel, "203.0.113.7") == 200
        await telegram.wait_for(lambda: telegram.count("sendMessage") > before)
        await bell.end(signal.SIGKILL)
    assert rings(telegram) == []
    async with mailbell(tmp_path, port=port, **settings(telegram, port)) as bell:
        await telegram.message(ALICE, "was opened by ana@acme.com", patience=60)
        assert await bell.end() == 0
    assert len(rings(telegram)) == 1


async def test_killed_between_send_and_mark_it_rings_once_more_and_no_more(tmp_path: Path, telegram):
    port = free_port()
    async with mailbell(tmp_path, port=port, **settings(telegram, port)) as bell:
        pixel = await claim_and_track(bell, telegram)
        telegram.faults["sendMessage"].append(answer_dropped())
        assert await read(pixel, "203.0.113.7") == 200
        await telegram.message(ALICE, "was opened by ana@acme.com", patience=60)
        await bell.end(signal.SIGKILL)
    async with mailbell(tmp_path, port=port, **settings(telegram, port)) as bell:
        await telegram.wait_for(lambda: len(rings(telegram)) == 2, patience=60)
        assert await read(pixel, "198.51.100.23") == 200
        await telegram.message(ALICE, "(2nd time)")
        assert await bell.end() == 0
    assert [one.text.partition("\n")[0].endswith("(2nd time)") for one in rings(telegram)] == [
        False,
        False,
        True,
    ]


async def test_web_and_worker_share_the_work_over_postgresql(tmp_path: Path, telegram, postgres_url):
    port = free_port()
    shared = settings(telegram, port, DATABASE_URL=postgres_url, SECRET_KEY="k" * 40)
    async with (
        mailbell(tmp_path, "web", port=port, **shared) as web,
        mailbell(tmp_path, "worker", port=port, **shared) as worker,
    ):
        await web.wait_for_error("listening on")
        pixel = await claim_and_track(worker, telegram)
        for network, ring in zip(READERS, ("was opened by", "(2nd time)", "(3rd time)"), strict=True):
            assert await read(pixel, network) == 200
            await telegram.message(ALICE, ring)
        await telegram.message(ALICE, "opened ×3")
        assert await worker.end() == 0
        assert await web.end() == 0


@pytest.mark.long
async def test_what_happened_while_every_worker_was_dead_rings_when_one_is_back(
    tmp_path: Path, telegram, postgres_url
):
    """The dead worker's lease of the destination has to run out first."""
    port = free_port()
    shared = settings(telegram, port, DATABASE_URL=postgres_url, SECRET_KEY="k" * 40)
    async with mailbell(tmp_path, "web", port=port, **shared) as web:
        await web.wait_for_error("listening on")
        async with mailbell(tmp_path, "worker", port=port, **shared) as worker:
            pixel = await claim_and_track(worker, telegram)
            telegram.faults["sendMessage"].append(hanging())
            before = telegram.count("sendMessage")
            assert await read(pixel, "203.0.113.7") == 200
            await telegram.wait_for(lambda: telegram.count("sendMessage") > before)
            await worker.end(signal.SIGKILL)
        assert await read(pixel, "198.51.100.23") == 200
        assert await read(pixel, "192.0.2.99") == 200
        assert rings(telegram) == []
        async with mailbell(tmp_path, "worker", port=port, **shared) as worker:
            await telegram.message(ALICE, "(3rd time)", patience=60)
            assert await worker.end() == 0
        assert await web.end() == 0
    endings = [one.text.partition("\n")[0][-10:] for one in rings(telegram)]
    assert len(endings) == 3
    assert endings[1:] == ["(2nd time)", "(3rd time)"]
