"""A migration keeps every row and every index, also where the library makes a table anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from tortoise import connections
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.context import TortoiseContext
from tortoise.exceptions import IntegrityError
from tortoise.migrations.api.migrate import migrate as library_migrate

from models import Account, Identity, Message, Recipient
from models.database import DatabaseURL, open_database, parse_database_url, tortoise_config
from models.migrate import known_migrations, migrate, pending
from tests.models.every_table import MOMENT, ROWS, Index, counts, fill_as_it_is, indexes
from tests.models.made_up import migrations_with
from tests.models.migrating import REBUILDS, fill

# By a migration that says so.
TAKEN_AWAY = {("reminder", ("due_at",), False, False)}


async def test_each_migration_keeps_every_row_and_index(bare_url: DatabaseURL, tmp_path: Path):
    """After each migration every table gets rows; they and those of before go through all that follow."""
    before: dict[str, int] = {}
    indexed: set[Index] = set()
    with migrations_with(tmp_path, a=REBUILDS, b='ops.RemoveField("Message", "details")') as package:
        for number, name in enumerate(known_migrations(package)):
            assert await migrate(bare_url, package=package, up_to=name) == [name]
            after = await counts(bare_url)
            assert {table: after[table] for table in before} == before
            assert indexed - TAKEN_AWAY <= await indexes(bare_url)
            await fill_as_it_is(bare_url, first=1 + number * ROWS)
            before, indexed = await counts(bare_url), await indexes(bare_url)
            del before["tortoise_migrations"]
            assert min(before.values()) >= ROWS
    assert before["message"] == ROWS * (number + 1)


async def test_a_rebuilt_table_keeps_its_rows_its_children_and_its_indexes(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    before_rows = await fill(url)
    before, indexed = await counts(url), await indexes(url)
    with migrations_with(tmp_path, a=REBUILDS) as package:
        assert await pending(url, package=package) == ["9a"]
        assert await migrate(url, package=package) == ["9a"]
        assert await pending(url, package=package) == []
    after = await counts(url)
    assert {**after, "tortoise_migrations": 0} == {**before, "tortoise_migrations": 0}
    assert await indexes(url) == indexed
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        rows = [row async for row in Recipient.all().order_by("id").values("id", "address", "message_id")]
        assert rows == [{key: row[key] for key in rows[0]} for row in before_rows["recipient"]]
        moods = await connections.get("default").execute_query_dict("SELECT DISTINCT mood FROM recipient")
        assert [dict(one) for one in moods] == [{"mood": "calm"}]


async def test_the_library_alone_loses_them_on_sqlite(sqlite_url: str, tmp_path: Path):
    """Why models/migrate.py exists. When this fails, the library has learned it."""
    url = parse_database_url(sqlite_url)
    await fill(url)
    before, indexed = await counts(url), await indexes(url)
    with migrations_with(tmp_path, a=REBUILDS) as package:
        config = tortoise_config(url, foreign_keys=True)
        config["apps"]["models"]["migrations"] = package
        async with TortoiseContext():
            await library_migrate(config=config)
    after = await counts(url)
    assert after["recipient"] < before["recipient"]
    assert len(await indexes(url)) < len(indexed)


async def test_unique_constraints_still_bind_after_a_rebuild(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    await fill(url)
    with migrations_with(tmp_path, a=REBUILDS) as package:
        await migrate(url, package=package)
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        there = await Recipient.all().first()
        assert there is not None
        with pytest.raises(IntegrityError):
            await Recipient.create(message_id=there.message_id, address=there.address)
        with pytest.raises(IntegrityError):
            await Identity.create(account_id=10**6, platform="slack", user_id="U1", created_at=MOMENT)
        everything = await Account.all().delete()
        assert everything
        assert await Message.all().count() == await Recipient.all().count() == 0  # the cascade still works


async def test_an_id_once_given_is_not_given_again_after_a_rebuild(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        account = await Account.create(name="alice", created_at=MOMENT)
        await account.delete()
    with migrations_with(tmp_path, a=REBUILDS) as package:
        await migrate(url, package=package)
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        assert (await Account.create(name="bob", created_at=MOMENT)).id == account.id + 1


async def test_an_index_that_a_migration_removes_stays_away(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    await fill(url)
    indexed = await indexes(url)
    removes = """
        ops.RemoveIndex("Message", fields=["message_id_header"]),
        ops.RemoveIndex("Recipient", fields=["address"]),
        ops.AlterField("Message", "subject", fields.CharField(max_length=500, default="", db_default="")),
        ops.RemoveField("Hit", "judged_at"),
        ops.RemoveField("Person", "learned"),
    """
    with migrations_with(tmp_path, a=removes) as package:
        await migrate(url, package=package)
    gone = indexed - await indexes(url)
    assert gone == {
        ("message", ("message_id_header",), False, False),
        ("recipient", ("address",), False, False),
        # Their conditions named the dropped columns.
        ("hit", ("id",), False, True),
        ("person", ("account_id",), False, True),
    }
    assert await indexes(url) <= indexed


async def test_indexes_follow_a_field_that_is_renamed_or_switched(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    await fill(url)
    indexed = await indexes(url)
    changes = """
        ops.RenameField("Recipient", "address", "mailbox"),
        ops.AlterField("Recipient", "mailbox", fields.CharField(max_length=400)),
        ops.AlterField("Person", "address", fields.CharField(max_length=320, db_index=True)),
        ops.AlterField("OptOut", "digest", fields.CharField(max_length=64)),
    """
    with migrations_with(tmp_path, a=changes) as package:
        await migrate(url, package=package)
    now = await indexes(url)
    assert ("recipient", ("mailbox",), False, False) in now
    assert ("recipient", ("message_id", "mailbox"), True, False) in now
    assert ("person", ("address",), False, False) in now
    assert ("person", ("account_id", "address"), True, False) in now
    assert indexed - now == {
        ("recipient", ("address",), False, False),
        ("recipient", ("message_id", "address"), True, False),
        ("opt_out", ("digest",), True, False),
    }
