"""A migration keeps every row and every index, or changes nothing at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from tortoise import Tortoise, connections
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.context import TortoiseContext
from tortoise.exceptions import IntegrityError
from tortoise.migrations.api.migrate import migrate as library_migrate
from tortoise.migrations.autodetector import MigrationAutodetector

from models import Account, Identity, Message, Recipient
from models.database import DatabaseURL, open_database, parse_database_url, tortoise_config
from models.migrate import (
    MigrationError,
    NewerDatabaseError,
    is_current,
    known_migrations,
    migrate,
    pending,
)
from models.rows import copy_to_postgres, tables_of
from tests.models.every_table import (
    MOMENT,
    ROWS,
    all_models,
    contents,
    counts,
    fill_by_schema,
    fill_every_table,
    indexes,
)
from tests.models.made_up import migrations_with

# One of each change that makes the library rebuild a table on SQLite, on tables that others refer to.
REBUILDS = """
    ops.AlterField("Message", "subject", fields.CharField(max_length=500, default="", db_default="")),
    ops.AlterField("Account", "name", fields.CharField(max_length=200, null=True)),
    ops.RemoveField("Message", "closed_at"),
    ops.AddField("Recipient", "mood", fields.CharField(max_length=8, default="calm", db_default="calm")),
    ops.AlterField("Recipient", "name", fields.CharField(max_length=300, default="", db_default="")),
    ops.RemoveField("Destination", "purpose"),
    ops.AlterField("Hit", "client", fields.CharField(max_length=80, null=True)),
"""


@pytest.fixture
def fresh(tmp_path: Path) -> DatabaseURL:
    return DatabaseURL("sqlite", path=tmp_path / "deep" / "down" / "mailbell.db")


@pytest.fixture
async def bare_url(request: pytest.FixtureRequest, database_url: str, fresh: DatabaseURL) -> DatabaseURL:
    """A database of each engine without any table."""
    url = parse_database_url(database_url)
    if url.is_sqlite:
        return fresh
    await _empty(url)
    return url


async def _fill(url: DatabaseURL) -> dict:
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        await fill_every_table()
        return await contents()


def _files(url: DatabaseURL) -> list[str]:
    assert url.path is not None
    return sorted(one.name for one in url.path.parent.iterdir())


def _backups(url: DatabaseURL) -> list[str]:
    return [name for name in _files(url) if "before-migrate" in name]


def _state(path: Path) -> tuple:
    """All that a SQLite file holds."""
    with closing(sqlite3.connect(path)) as file:
        return tuple(file.iterdump())


async def test_a_database_that_is_not_there_lacks_everything_and_is_not_made_by_asking(fresh: DatabaseURL):
    assert await pending(fresh) == known_migrations()
    assert fresh.path is not None
    assert not fresh.path.parent.exists()


async def test_the_first_migration_makes_the_database_and_the_second_finds_nothing(bare_url: DatabaseURL):
    assert await pending(bare_url) == known_migrations()
    assert not await is_current(bare_url)
    assert await migrate(bare_url) == known_migrations()
    assert await migrate(bare_url) == []
    assert await is_current(bare_url)


async def test_a_new_sqlite_file_is_private_and_has_no_backup(fresh: DatabaseURL):
    await migrate(fresh)
    assert fresh.path is not None
    assert fresh.path.stat().st_mode & 0o077 == 0
    assert _files(fresh) == ["mailbell.db", "mailbell.db.migrate.lock"]
    with closing(sqlite3.connect(fresh.path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_the_models_have_no_change_that_the_migrations_lack(sqlite_database: DatabaseURL):
    config = tortoise_config(sqlite_database)
    assert Tortoise.apps is not None
    found = await MigrationAutodetector(Tortoise.apps, config["apps"]).changes()
    assert [writer.operations for writer in found] == []


async def test_every_index_and_unique_of_the_models_is_there(database: DatabaseURL):
    there = await indexes(database)
    for model in all_models():
        table, meta = model._meta.db_table, model._meta

        def columns(names: tuple[str, ...], meta=meta) -> tuple[str, ...]:
            return tuple(meta.fields_map[name].source_field or name for name in names)

        for names in meta.unique_together or ():
            assert (table, columns(tuple(names)), True, False) in there
        for index in meta.indexes or ():
            names = tuple(getattr(index, "fields", index))
            assert (table, columns(names), False, False) in there
        for name, field in meta.fields_map.items():
            if getattr(field, "unique", False) and not field.pk:
                assert (table, (name,), True, False) in there
    assert ("hit", ("id",), False, True) in there


async def test_every_foreign_key_that_the_database_checks_has_an_index(database: DatabaseURL):
    """Without one, deleting a mail reads the whole table of hits."""
    begins = {(table, columns[0]) for table, columns, _, _ in await indexes(database)}
    for model in all_models():
        for name in model._meta.fk_fields:
            if model._meta.fields_map[name].db_constraint:
                assert (model._meta.db_table, f"{name}_id") in begins, f"{model.__name__}.{name}"


async def test_each_migration_keeps_every_row_and_index(bare_url: DatabaseURL, tmp_path: Path):
    """Rows in every table as it is after each migration, and then through all that follow."""
    with migrations_with(tmp_path, a=REBUILDS, b='ops.RemoveField("Message", "details")') as package:
        names = known_migrations(package)
        for number, name in enumerate(names[:-1]):
            await _empty(bare_url)
            assert await migrate(bare_url, package=package, up_to=name) == names[: number + 1]
            await _fill_as_it_is(bare_url, tmp_path / f"{name}.db", package, name)
            before, indexed = await counts(bare_url), await indexes(bare_url)
            del before["tortoise_migrations"]
            assert set(before.values()) == {ROWS}
            assert await migrate(bare_url, package=package) == names[number + 1 :]
            after = await counts(bare_url)
            assert {table: after[table] for table in before if table in after} == {
                table: rows for table, rows in before.items() if table in after
            }
            assert indexed <= await indexes(bare_url)


async def _empty(url: DatabaseURL) -> None:
    if url.path is not None:
        shutil.rmtree(url.path.parent, ignore_errors=True)
        return
    connection = await asyncpg.connect(**url.credentials)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


async def _fill_as_it_is(url: DatabaseURL, scratch: Path, package: str, up_to: str) -> None:
    """Rows by the schema alone: the models know only the newest one."""
    if url.path is not None:
        with closing(sqlite3.connect(url.path)) as file, file:
            fill_by_schema(file)
        return
    await migrate(DatabaseURL("sqlite", path=scratch), package=package, up_to=up_to)
    connection = await asyncpg.connect(**url.credentials)
    with closing(sqlite3.connect(scratch)) as file, file:
        fill_by_schema(file)
        await copy_to_postgres(connection, file, tables_of(file), lambda *_: None)
    await connection.close()


async def test_a_rebuilt_table_keeps_its_rows_its_children_and_its_indexes(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    before_rows = await _fill(url)
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
    await _fill(url)
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
    await _fill(url)
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
    await _fill(url)
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
        ("hit", ("id",), False, True),  # its condition named the dropped column
    }
    assert await indexes(url) <= indexed


async def test_indexes_follow_a_field_that_is_renamed_or_switched(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    await _fill(url)
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


@pytest.mark.parametrize(
    "fails",
    [
        'ops.RunSQL("INSERT INTO nowhere VALUES (1)")',
        'ops.RunSQL("UPDATE message SET code = NULL")',
        "ops.RunPython(lambda *_: [][0])",
        'ops.AddField("Message", "must", fields.CharField(max_length=8))',
    ],
)
async def test_a_failing_migration_leaves_everything_as_it_was(database_url: str, tmp_path: Path, fails: str):
    url = parse_database_url(database_url)
    rows = await _fill(url)
    before, indexed, tables = await counts(url), await indexes(url), None
    if url.path is not None:
        tables = _state(url.path)
    with migrations_with(tmp_path, a=REBUILDS, b=REBUILDS_AGAIN + fails) as package:
        with pytest.raises(MigrationError, match="as it was"):
            await migrate(url, package=package)
        assert await pending(url, package=package) == ["9a", "9b"]
    assert await counts(url) == before
    assert await indexes(url) == indexed
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        assert await contents() == rows
    if url.path is not None:
        assert _state(url.path) == tables
        assert not [name for name in _files(url) if "migrating" in name]


REBUILDS_AGAIN = 'ops.RemoveField("Message", "details"),'


async def test_a_migration_that_leaves_orphans_is_undone(sqlite_url: str, tmp_path: Path):
    url = parse_database_url(sqlite_url)
    await _fill(url)
    before = await counts(url)
    with (
        migrations_with(tmp_path, a='ops.RunSQL("DELETE FROM account WHERE id = 1")') as package,
        pytest.raises(MigrationError, match="identity without account"),
    ):
        await migrate(url, package=package)
    assert await counts(url) == before


async def test_a_backup_of_before_stays_and_only_the_newest_three(sqlite_url: str, tmp_path: Path):
    url = parse_database_url(sqlite_url)
    await _fill(url)
    before = await counts(url)
    steps = {name: f'ops.RunSQL("CREATE TABLE extra_{name} (a INT)")' for name in "abcde"}
    kept = tmp_path / "kept.db"
    with migrations_with(tmp_path, **steps) as package:
        await migrate(url, package=package, up_to="9a", backup_to=kept)
        for name in "bcde":
            await migrate(url, package=package, up_to=f"9{name}")
        assert await migrate(url, package=package) == []
    assert len(_backups(url)) == 3
    for name in (tmp_path / one for one in _backups(url)):
        assert name.stat().st_mode & 0o077 == 0
    assert await counts(DatabaseURL("sqlite", path=kept)) == before


async def test_a_database_of_a_newer_mailbell_is_refused(database_url: str, tmp_path: Path):
    url = parse_database_url(database_url)
    with migrations_with(tmp_path, a='ops.RunSQL("CREATE TABLE tomorrow (a INT)")') as package:
        await migrate(url, package=package)
    for ask in (pending, migrate):
        with pytest.raises(NewerDatabaseError, match=r"newer mailbell \(it has 9a\)"):
            await ask(url)


async def test_a_database_in_use_is_not_migrated_under_its_user(sqlite_url: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("models.migrate.IN_USE_SECONDS", 0.2)
    url = parse_database_url(sqlite_url)
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        await Account.create(name="alice", created_at=MOMENT)
        with (
            migrations_with(tmp_path, a=REBUILDS) as package,
            pytest.raises(MigrationError, match="in use by another process"),
        ):
            await migrate(url, package=package)
        await Account.create(name="bob", created_at=MOMENT)
        assert await migrate(url) == []  # nothing to do needs nobody to stop
        assert await Account.all().count() == 2


async def test_an_open_database_stays_open_while_another_is_migrated(database: DatabaseURL, tmp_path: Path):
    await migrate(DatabaseURL("sqlite", path=tmp_path / "other.db"))
    account = await Account.create(name="alice", created_at=MOMENT)
    assert await Account.get(id=account.id)


async def test_what_is_no_database_is_told_in_words(tmp_path: Path):
    letter = tmp_path / "letter.db"
    letter.write_text("Dear Ana,\n" * 500)
    for ask in (pending, migrate):
        with pytest.raises(MigrationError, match="not a database"):
            await ask(DatabaseURL("sqlite", path=letter))
        with pytest.raises(MigrationError, match="cannot be used"):
            await ask(parse_database_url("postgres://u:s3cret@127.0.0.1:9/d"))
    with pytest.raises(MigrationError, match=r"letter\.db/inside cannot be made"):
        await migrate(DatabaseURL("sqlite", path=letter / "inside" / "m.db"))
    assert letter.read_text() == "Dear Ana,\n" * 500


_MIGRATE = """
import asyncio, sys
from models.database import parse_database_url
from models.migrate import migrate
print(asyncio.run(migrate(parse_database_url(sys.argv[1]))))
"""


def _spawn(script: str, *arguments: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


async def test_of_processes_that_migrate_at_once_one_does_it(bare_url: DatabaseURL, database_url: str):
    text = f"sqlite:///{bare_url.path}" if bare_url.path else database_url
    running = [_spawn(_MIGRATE, text) for _ in range(3)]
    told = [await asyncio.to_thread(one.communicate, timeout=60) for one in running]
    assert sorted(out.strip() for out, _ in told) == sorted([str(known_migrations()), "[]", "[]"]), told
    assert await is_current(bare_url)


_KILLED = """
import asyncio, os, signal, sys
sys.path.insert(0, sys.argv[2])
from models.database import parse_database_url
from models import migrate
for name in ("_keep_backup", "_orphans", "_run", "_copy_back"):
    real = getattr(migrate, name)
    def maybe(*arguments, name=name, real=real):
        if name == sys.argv[4]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    setattr(migrate, name, maybe)
asyncio.run(migrate.migrate(parse_database_url(sys.argv[1]), package=sys.argv[3]))
"""


@pytest.mark.parametrize("where", ["_keep_backup", "_run", "_copy_back"])
async def test_a_kill_leaves_everything_and_the_next_run_finishes(
    sqlite_url: str, tmp_path: Path, where: str
):
    url = parse_database_url(sqlite_url)
    await _fill(url)
    assert url.path is not None
    before, indexed = _state(url.path), await indexes(url)
    with migrations_with(tmp_path, a=REBUILDS) as package:
        killed = _spawn(_KILLED, sqlite_url, str(tmp_path), package, where)
        out, err = await asyncio.to_thread(killed.communicate, timeout=60)
        assert killed.returncode == -9, out + err
        assert _state(url.path) == before
        assert await migrate(url, package=package) == ["9a"]
    assert await indexes(url) == indexed
    assert not [name for name in _files(url) if "migrating" in name]


async def test_a_full_disk_leaves_everything(sqlite_url: str, tmp_path: Path):
    """The copy does not fit: nothing happened."""
    url = parse_database_url(sqlite_url)
    await _fill(url)
    assert url.path is not None
    before = _state(url.path)
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
{
        _MIGRATE.replace(
            "migrate(parse_database_url(sys.argv[1]))",
            "migrate(parse_database_url(sys.argv[1]), package=sys.argv[2])",
        )
    }"""
    with migrations_with(tmp_path, a=REBUILDS) as package:
        here = f"import sys; sys.path.insert(0, {os.fspath(tmp_path)!r})\n"
        full = _spawn(here + script, sqlite_url, package)
        _, err = await asyncio.to_thread(full.communicate, timeout=60)
    assert "MigrationError" in err
    assert _state(url.path) == before
