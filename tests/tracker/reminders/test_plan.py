"""The look for due reminders does not go through those that rang or are done, however many they are."""

from __future__ import annotations

import datetime as dt

import pytest
from tortoise import connections
from tortoise.queryset import QuerySet

from models import Message, Reminder
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tracker.reminders.firing import due_reminders

RANG = 3000
INDEX = "idx_reminder_due"


async def _plan(query: QuerySet[Reminder], database: DatabaseURL) -> str:
    connection = connections.get("default")
    words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    _, rows = await connection.execute_query(f"{words} {query.sql(params_inline=True)}")
    return "\n".join(row["detail" if database.is_sqlite else "QUERY PLAN"] for row in rows)


@pytest.mark.parametrize("measured", [False, True])
async def test_what_is_due_is_found_among_those_that_wait(
    database: DatabaseURL, clock: Clock, measured: bool
):
    """Also before the database measured its tables."""
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "console", "alice")
    mail = await Message.create(
        account_id=alice.id, code="rem1nd", origin="send", created_at=clock(), arms_at=clock()
    )
    rows = [
        Reminder(
            account_id=alice.id, message_id=mail.id, kind="always", created_at=clock(),
            due_at=clock() - dt.timedelta(seconds=number), fired_at=clock() if number > 2 else None,
        )
        for number in range(RANG)
    ]  # fmt: skip
    await Reminder.bulk_create(rows, batch_size=1000)
    if measured:
        await connections.get("default").execute_script("ANALYZE")
    first = await due_reminders(clock()).first()
    assert first is not None
    assert first.due_at == clock() - dt.timedelta(seconds=2), "the longest due comes first"
    assert await due_reminders(clock(), first).count() == 2
    for query in (due_reminders(clock()), due_reminders(clock(), first)):
        assert INDEX in await _plan(query.limit(100), database)
