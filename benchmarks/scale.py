"""How fast figures are on a large database: `make bench-scale`, or `python -m benchmarks.scale --help`.

Fills SQLite with 200,000 mails and 2 million hits, and PostgreSQL with a million and ten, sums them by the
duties that a service runs, and then asks for the data of show, stats, people and best while 200 hits a second
are recorded, judged and summed in the same process. At last hits come as fast as they are taken.
With --keep the filled databases stay in a folder, and the next run begins with the questions.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tortoise.backends.base.executor import EXECUTOR_CACHE

from benchmarks.scale_data import ACCOUNTS, DAY, DAYS, MEAN_AGE, Maker, Size, token
from benchmarks.scale_fill import Place, fill, open_place, sum_up
from bot.__main__ import collect_less, loop_factory
from bot.commands.sides import told_of_sides
from bot.commands.timeline import EVENTS
from models import Account, Hit
from models.columns import to_micros
from models.database import DatabaseURL, open_database
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
        self._uids = itertools.count(time.time_ns())  # kept data hold those of former runs

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
        since = services.now() - dt.timedelta(days=MONTH)

        def somebody() -> tuple[Account, str]:
            number = chance.randrange(self.size.people)
            return accounts[maker.account_of(number) - 1], maker.address_of(number)

        def show() -> Question:
            number = chance.randrange(self.size.mails) + 1
            return lambda: _show(accounts, number)

        def one_stats() -> Question:
            account, _ = somebody()
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
            account, _ = somebody()
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


async def _show(accounts: list[Account], number: int) -> object:
    found = await snapshot(number)
    assert found is not None
    account = accounts[found.message.account_id - 1]
    return await asyncio.gather(
        Hit.filter(message_id=number).order_by("-at", "-id").limit(EVENTS),
        told_of_sides(account, found.recipients, found.message.mode),
    )


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


async def _watch_loop(late: list[float]) -> None:
    """How much later than it should a task goes on: what each question waits for the loop."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.002)
        late.append((time.perf_counter() - began - 0.002) * 1000)


async def ask(bench: Bench, options: argparse.Namespace) -> list[str]:
    """Prints p50 and p95 of each question, and how late the loop was; the goals that were missed."""
    missed: list[str] = []
    late: list[float] = []
    async with _working(bench.services):
        beside = [
            asyncio.create_task(_write_steadily(bench, options.rate)),
            asyncio.create_task(_watch_loop(late)),
        ]
        await asyncio.sleep(3)
        late.clear()
        print(f"  load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"  {'data of':<22}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}{'cpu ms':>9}")
        for name, pick in bench.questions().items():
            if options.ask in name:
                missed += await _ask_one(name, pick, options.times)
        _print_row("(the loop was late)", late)
        for task in beside:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    return missed


async def _ask_one(name: str, pick: Callable[[], Question], times: int) -> list[str]:
    spent, cpu = [], []
    for _ in range(times):
        question = pick()
        began, began_cpu = time.perf_counter(), time.thread_time()
        await question()
        spent.append((time.perf_counter() - began) * 1000)
        cpu.append((time.thread_time() - began_cpu) * 1000)
        await asyncio.sleep(0.003)
    p95 = _print_row(name, spent, cpu)
    if p95 < GOAL_MILLISECONDS:
        return []
    return [f"{name}: {p95:.1f} ms at the 95th percentile, not {GOAL_MILLISECONDS}"]


def _print_row(name: str, spent: list[float], cpu: Sequence[float] = ()) -> float:
    """The 95th percentile. `cpu` is of this thread, with what else it did meanwhile."""
    spent.sort()
    p50, p95 = spent[len(spent) // 2], spent[int(len(spent) * 0.95)]
    work = f"{statistics.median(cpu):>9.1f}" if cpu else ""
    print(f"  {name:<22}{p50:>9.1f}{p95:>9.1f}{spent[-1]:>9.1f}{work}", flush=True)
    return p95


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
        await services.writer.settle()
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


async def _run_on(place: Place, url: DatabaseURL, size: Size, options: argparse.Namespace) -> list[str]:
    maker, filled = Maker(size), place.is_filled
    await fill(url, maker, size, filled=filled)
    wake = Wake()
    writer: Writer
    writer = SqliteWriter(url.path) if url.path is not None else PostgresWriter(url.credentials, wake)
    settings = Settings.model_validate({"secret_key": "0123456789abcdef", "base_url": "https://t.example"})
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        await writer.start()
        try:
            bench = Bench(Services(settings, writer, wake), maker, size)
            if not filled:
                await sum_up(bench.services, size)
                place.note_filled()
            missed = await ask(bench, options)
            if options.written:
                missed += await write_as_fast_as_can_be(bench, options.written, recent=True)
                missed += await write_as_fast_as_can_be(bench, options.written // 3, recent=False)
            return missed
        finally:
            await writer.stop()


def run(arguments: list[str] | None = None) -> list[str]:
    """Prints the tables; the goals that were missed, as sentences."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--engine", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--mails", type=int, help="in place of 200,000 (SQLite) and 1,000,000 (PostgreSQL)")
    parser.add_argument("--hits", type=int, help="in place of ten times as many")
    parser.add_argument("--rate", type=int, default=RATE, help="hits a second while figures are asked for")
    parser.add_argument("--times", type=int, default=200, help="how often each question is asked")
    parser.add_argument("--written", type=int, default=60_000, help="hits written as fast as can be")
    parser.add_argument(
        "--ask", metavar="WORD", default="", help="only questions with this word in their name"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keeps what is filled there and uses it again"
    )
    options = parser.parse_args(arguments)
    missed: list[str] = []
    collect_less()  # as a service does
    with tempfile.TemporaryDirectory(prefix="mbs") as name:
        for engine, usual in (("sqlite", SQLITE), ("postgres", POSTGRES)):
            if options.engine not in (engine, "both"):
                continue
            mails = options.mails or usual.mails
            size = Size(mails, options.hits or 10 * mails)
            print(f"{engine}: {size.mails:,} mails, {size.hits:,} hits, {size.people:,} people", flush=True)
            place = Place((options.keep or Path(name)).resolve(), engine, size)
            with open_place(place, engine) as url, asyncio.Runner(loop_factory=loop_factory()) as runner:
                missed += runner.run(_run_on(place, url, size, options))
    for one in missed:
        print(f"  missed: {one}")
    return missed


if __name__ == "__main__":
    raise SystemExit(1 if run() else 0)
