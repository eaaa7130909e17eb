"""From the committed alert to the chat's call, in one process: `python -m benchmarks.deliver [rounds]`.

The judge's part is played by the same statements it writes (alert and dirty card, one transaction, one wake);
the chat answers at once. Prints one JSON line with percentiles in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bot.chat import Kind, Place, Reply, Sent
from bot.deliver import Courier, pending
from models import Account, Card, Destination, Message, Recipient
from models.columns import to_micros
from models.database import DatabaseURL, open_database
from models.migrate import migrate
from models.sqlite_writer import SqliteWriter
from models.wake import OUTBOX, Wake
from models.writer import Statement
from tracker.keys import new_code
from tracker.services import Services, utc_now
from tracker.settings import Settings

_ALERT = (
    "INSERT INTO alert (account_id, destination_id, message_id, recipient_id, event_key, event, ordinal, at, "
    "facts, due_at, state, attempts) VALUES (1, ?, ?, ?, ?, 'open', 1, ?, '{}', ?, 'waiting', 0)"
)
_CARD = "UPDATE card SET dirty_at = ? WHERE message_id = ?"
_OPENED = "UPDATE recipient SET opens = opens + 1 WHERE id = ?"


class Stopwatch:
    """A chat that notes when a ring arrives."""

    platform = "bench"

    def __init__(self) -> None:
        self.rang: asyncio.Queue[float] = asyncio.Queue()
        self._ids = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def health(self) -> str:
        return "ok"

    async def send(self, place: Place, reply: Reply, *, under: str | None = None) -> Sent:  # noqa: ARG002
        if reply.kind is Kind.ALERT:
            self.rang.put_nowait(time.perf_counter())
        self._ids += 1
        return Sent(str(self._ids))

    async def edit(self, place: Place, remote_id: str, reply: Reply) -> None: ...


async def measure(rounds: int) -> dict[str, float]:
    """Milliseconds from the commit of an alert until the chat is called."""
    with tempfile.TemporaryDirectory() as folder:
        url = DatabaseURL("sqlite", path=Path(folder) / "bench.db")
        await migrate(url)
        assert url.path is not None
        async with open_database(url):
            writer = SqliteWriter(url.path)
            await writer.start()
            services = Services(Settings(data_dir=Path(folder)), writer, Wake())
            chat = Stopwatch()
            working = asyncio.ensure_future(Courier(services, {"bench": chat}).run())
            try:
                waits = [await _one(services, chat) for _ in range(rounds)]
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                await writer.stop()
    cuts = statistics.quantiles(waits, n=100)
    return {"rounds": rounds, "p50_ms": cuts[49], "p95_ms": cuts[94], "max_ms": max(waits)}


async def _one(services: Services, chat: Stopwatch) -> float:
    """A mail of its own destination, its card already posted, rung once."""
    now = utc_now()
    account, _ = await Account.get_or_create(id=1, defaults={"created_at": now})
    code = new_code()
    home = await Destination.create(account=account, platform="bench", chat_id=code, created_at=now)
    mail = await Message.create(
        account=account, code=code, subject="Q3 proposal", origin="compose", created_at=now, arms_at=now,
        armed_at=now,
    )  # fmt: skip
    ana = await Recipient.create(message=mail, address="ana@acme.com")
    await Card.create(message=mail, destination=home, dirty_at=now, created_at=now)
    services.wake.ring(OUTBOX)
    while await pending(services):
        await asyncio.sleep(0.002)
    at = to_micros(utc_now())
    await services.writer.apply(
        [
            Statement(_OPENED, [(ana.id,)]),
            Statement(_ALERT, [(home.id, mail.id, ana.id, code, at, at)]),
            Statement(_CARD, [(at, mail.id)]),
        ]
    )
    began = time.perf_counter()
    services.wake.ring(OUTBOX)
    rang = await chat.rang.get()
    while await pending(services):
        await asyncio.sleep(0.002)
    return (rang - began) * 1000


if __name__ == "__main__":
    figures = asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
