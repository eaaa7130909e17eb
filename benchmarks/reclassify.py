"""What replaying the rules over history costs: a million judged hits on SQLite, twice.

The first replay finds every hit judged otherwise (they are put in as "unknown" by rules of old) and has to
write them all, with counters and ordinals: the worst case. The second finds nothing to change, as after an
update that touched no rule. Memory is read when a tenth is done and at the end. Fewer hits:
`python -m benchmarks.reclassify 200000`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from tortoise.backends.base.executor import EXECUTOR_CACHE

from benchmarks.judge import AGENTS, _mails, _schema
from models.columns import to_micros
from models.database import DatabaseURL, open_database
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Statement, agent_id
from tracker.hits.reclassify import Report, reclassify
from tracker.services import Services, utc_now
from tracker.settings import Settings

HITS = 1_000_000
PER_MAIL = 50
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


async def _fill(writer: SqliteWriter, hits: int) -> None:
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
    sums = "(SELECT COUNT(*) FROM hit h WHERE h.message_id = message.id AND h.kind = '{}')"
    for kind in ("open", "click"):
        await writer.apply([Statement(f"UPDATE message SET total_{kind}s = {sums.format(kind)}", [()])])


async def _replay(services: Services) -> tuple[Report, float, list[int]]:
    """The report, seconds, and resident megabytes after a tenth and at the end."""
    process, memory = psutil.Process(), []

    def note(done: int, total: int) -> None:
        if (not memory and done * 10 >= total) or done == total:
            memory.append(process.memory_info().rss >> 20)

    began = time.perf_counter()
    report = await reclassify(services, anew=True, progress=note)
    return report, time.perf_counter() - began, [memory[0], memory[-1]]


async def _measure(folder: Path, hits: int) -> None:
    url = DatabaseURL("sqlite", path=folder / "history.db")
    settings = Settings.model_validate(
        {"secret_key": "0123456789abcdef", "base_url": "https://t.example", "data_dir": folder}
    )
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        writer = SqliteWriter(url.path or "")
        await writer.start()
        try:
            await _fill(writer, hits)
            services = Services(settings, writer, Wake())
            for name in ("every verdict changes", "nothing changes"):
                report, seconds, memory = await _replay(services)
                print(
                    f"{name:<24}{report.hits:>11,}{report.rewritten:>11,}{seconds:>9.1f}"
                    f"{seconds / max(1, report.hits) * 1e6:>9.0f}{memory[0]:>9} MB{memory[1]:>9} MB"
                )
        finally:
            await writer.stop()


def run(hits: int = HITS) -> None:
    """Prints the table."""
    print(f"replaying {hits:,} hits, about {PER_MAIL} a mail, SQLite")
    print(f"{'':<24}{'hits':>11}{'written':>11}{'seconds':>9}{'µs/hit':>9}{'at 10 %':>12}{'at end':>12}")
    with tempfile.TemporaryDirectory(prefix="mbr") as folder:
        path = Path(folder)
        asyncio.run(_schema(DatabaseURL("sqlite", path=path / "history.db")))
        asyncio.run(_measure(path, hits))


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else HITS)
