"""kill -9 of the whole mailbell under load: whoever was answered is in the export after a restart, once."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.flows.test_kill import Crowd
from tests.flows.test_newcomer import short_command
from tests.processes.mailbell import Mailbell, mailbell


async def paths_of_a_mail(bell: Mailbell) -> list[str]:
    """Pixel and links of a mail that is tracked now."""
    await bell.say("track ana@acme.com Q3 proposal https://acme.com/deck https://acme.com/price")
    reply = await bell.wait_for(lambda line: line["kind"] == "reply")
    urls = [reply["pixel_url"], *(link["tracked_url"] for link in reply["links"])]
    return [urlsplit(url).path for url in urls]


async def listening(bell: Mailbell) -> None:
    await bell.say("help")
    await bell.wait_for(lambda line: line["kind"] == "reply")


async def judged(bell: Mailbell) -> None:
    """Waits until nothing is in the journal and nothing unjudged: then an export names every client."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{bell.url}/healthz") as answer:
                health = await answer.json()
            if (health["journal"], health["unjudged"]) == (0, 0):
                return
            await asyncio.sleep(0.1)


async def exported(folder: Path, port: int, settings: dict[str, str]) -> list[str]:
    code, out, err = await short_command(folder, port, "export", "--format", "json", **settings)
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)
    return [row["client"] for row in rows]


async def rounds(folder: Path, count: int, **settings: str) -> None:
    settings["ARM_AFTER_SECONDS"] = "0"
    crowd = Crowd([])
    for _ in range(count):
        async with mailbell(folder, "--json", **settings) as bell:
            if crowd.paths:
                await listening(bell)
            else:
                crowd.paths = await paths_of_a_mail(bell)
            readers = [asyncio.create_task(crowd.ask(bell.port, keep=one % 2 == 0)) for one in range(16)]
            await asyncio.sleep(random.uniform(0.3, 0.8))
            await bell.end(signal.SIGKILL)
            await asyncio.gather(*readers)
    async with mailbell(folder, "--json", **settings) as bell:
        await listening(bell)
        await judged(bell)
        found = Counter(await exported(folder, bell.port, settings))
        assert await bell.end() == 0
    assert len(crowd.answered) > 50 * count
    assert not set(crowd.answered) - set(found)
    assert max(found.values()) == 1


async def test_whoever_was_answered_before_a_kill_is_in_the_export_once(tmp_path: Path) -> None:
    await rounds(tmp_path, 1)


@pytest.mark.long
async def test_ten_kills_on_sqlite_and_everybody_is_in_the_export(tmp_path: Path) -> None:
    await rounds(tmp_path, 10)


@pytest.mark.long
async def test_three_kills_on_postgres_and_everybody_is_in_the_export(
    tmp_path: Path, postgres_url: str
) -> None:
    await rounds(tmp_path, 3, DATABASE_URL=postgres_url, SECRET_KEY="k" * 40)
