"""A migration that fails, is killed or finds no room changes nothing at all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models.database import open_database, parse_database_url
from models.migrate import MigrationError, migrate, pending
from tests.models.every_table import contents, counts, indexes
from tests.models.made_up import migrations_with
from tests.models.migrating import MIGRATE, REBUILDS, files_of, fill, spawn, state_of


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
    rows = await fill(url)
    before, indexed, tables = await counts(url), await indexes(url), None
    if url.path is not None:
        tables = state_of(url.path)
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
        assert state_of(url.path) == tables
        assert not [name for name in files_of(url) if "migrating" in name]


REBUILDS_AGAIN = 'ops.RemoveField("Message", "details"),'


async def test_a_migration_that_leaves_orphans_is_undone(sqlite_url: str, tmp_path: Path):
    url = parse_database_url(sqlite_url)
    await fill(url)
    before = await counts(url)
    with (
        migrations_with(tmp_path, a='ops.RunSQL("DELETE FROM account WHERE id = 1")') as package,
        pytest.raises(MigrationError, match="identity without account"),
    ):
        await migrate(url, package=package)
    assert await counts(url) == before


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
    await fill(url)
    assert url.path is not None
    before, indexed = state_of(url.path), await indexes(url)
    with migrations_with(tmp_path, a=REBUILDS) as package:
        killed = spawn(_KILLED, sqlite_url, str(tmp_path), package, where)
        out, err = await asyncio.to_thread(killed.communicate, timeout=60)
        assert killed.returncode == -9, out + err
        assert state_of(url.path) == before
        assert await migrate(url, package=package) == ["9a"]
    assert await indexes(url) == indexed
    assert not [name for name in files_of(url) if "migrating" in name]


async def test_a_full_disk_leaves_everything(sqlite_url: str, tmp_path: Path):
    """The copy does not fit: nothing happened."""
    url = parse_database_url(sqlite_url)
    await fill(url)
    assert url.path is not None
    before = state_of(url.path)
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
{
        MIGRATE.replace(
            "migrate(parse_database_url(sys.argv[1]))",
            "migrate(parse_database_url(sys.argv[1]), package=sys.argv[2])",
        )
    }"""
    with migrations_with(tmp_path, a=REBUILDS) as package:
        here = f"import sys; sys.path.insert(0, {os.fspath(tmp_path)!r})\n"
        full = spawn(here + script, sqlite_url, package)
        _, err = await asyncio.to_thread(full.communicate, timeout=60)
    assert "MigrationError" in err
    assert state_of(url.path) == before
