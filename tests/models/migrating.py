"""What the tests of migrations share: filled databases, what is in them, and processes that migrate."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import asyncpg
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models.database import DatabaseURL, open_database
from tests.models.every_table import contents, fill_every_table

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


async def fill(url: DatabaseURL) -> dict:
    """Rows in every table; what they hold."""
    EXECUTOR_CACHE.clear()
    async with open_database(url):
        await fill_every_table()
        return await contents()


def files_of(url: DatabaseURL) -> list[str]:
    assert url.path is not None
    return sorted(one.name for one in url.path.parent.iterdir())


def backups_of(url: DatabaseURL) -> list[str]:
    return [name for name in files_of(url) if "before-migrate" in name]


def state_of(path: Path) -> tuple:
    """All that a SQLite file holds."""
    with closing(sqlite3.connect(path)) as file:
        return tuple(file.iterdump())


async def empty(url: DatabaseURL) -> None:
    """No table is left."""
    if url.path is not None:
        shutil.rmtree(url.path.parent, ignore_errors=True)
        return
    connection = await asyncpg.connect(**url.credentials)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


MIGRATE = """
import asyncio, sys
from models.database import parse_database_url
from models.migrate import migrate
print(asyncio.run(migrate(parse_database_url(sys.argv[1]))))
"""


def spawn(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs the script from the repository's root."""
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
