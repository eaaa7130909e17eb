"""Migrating: what is lacking is done once, by one process, and what is no database of ours is refused."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models import Account
from models.database import DatabaseURL, open_database, parse_database_url
from models.migrate import MigrationError, NewerDatabaseError, is_current, known_migrations, migrate, pending
from tests.models.every_table import MOMENT, counts
from tests.models.made_up import migrations_with
from tests.models.migrating import MIGRATE, REBUILDS, backups_of, files_of, fill, spawn


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
    assert files_of(fresh) == ["mailbell.db", "mailbell.db.migrate.lock"]
    with closing(sqlite3.connect(fresh.path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_backup_of_before_stays_and_only_the_newest_three(sqlite_url: str, tmp_path: Path):
    url = parse_database_url(sqlite_url)
    await fill(url)
    before = await counts(url)
    steps = {name: f'ops.RunSQL("CREATE TABLE extra_{name} (a INT)")' for name in "abcde"}
    kept = tmp_path / "kept.db"
    with migrations_with(tmp_path, **steps) as package:
        await migrate(url, package=package, up_to="9a", backup_to=kept)
        for name in "bcde":
            await migrate(url, package=package, up_to=f"9{name}")
        assert await migrate(url, package=package) == []
    assert len(backups_of(url)) == 3
    for name in (tmp_path / one for one in backups_of(url)):
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


async def test_of_processes_that_migrate_at_once_one_does_it(bare_url: DatabaseURL, database_url: str):
    text = f"sqlite:///{bare_url.path}" if bare_url.path else database_url
    running = [spawn(MIGRATE, text) for _ in range(3)]
    told = [await asyncio.to_thread(one.communicate, timeout=60) for one in running]
    assert sorted(out.strip() for out, _ in told) == sorted([str(known_migrations()), "[]", "[]"]), told
    assert await is_current(bare_url)
