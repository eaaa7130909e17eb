"""Connections of the PostgreSQL writer: whoever works long holds nobody else up."""

import asyncio

import asyncpg

from models.database import open_database, parse_database_url
from models.postgres_writer import LINES, PostgresWriter
from models.wake import Wake
from models.writer import Statement

MAKE = "INSERT INTO instance_state (key, value) VALUES (?, '')"
CHANGE = Statement("UPDATE instance_state SET value = 'x' WHERE key = ?", [("busy",)])
WAITING = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def test_a_transaction_that_waits_for_a_row_holds_up_no_other(postgres_url: str):
    url = parse_database_url(postgres_url)
    writer = PostgresWriter(url.credentials, Wake())
    async with open_database(url):
        await writer.start()
        holder = await asyncpg.connect(**url.credentials)
        try:
            await writer.apply([Statement(MAKE, [("busy",), ("free",)])])
            hold = holder.transaction()
            await hold.start()
            await holder.execute("UPDATE instance_state SET value = 'y' WHERE key = 'busy'")
            blocked = [asyncio.create_task(writer.apply([CHANGE])) for _ in range(LINES - 1)]
            while (await writer.fetch(WAITING))[0][0] < LINES - 1:
                await asyncio.sleep(0.01)
            assert await writer.apply([Statement(CHANGE.sql, [("free",)])]) == [1]
            assert not any(task.done() for task in blocked)
            await hold.rollback()
            assert await asyncio.gather(*blocked) == [[1]] * (LINES - 1)
        finally:
            await holder.close()
            await writer.stop()
