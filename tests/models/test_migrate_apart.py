"""A service has its database migrated by a process of its own, which leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from models.database import DatabaseURL, take_file_lock
from models.migrate import MigrationError, is_current, known_migrations, pending
from models.migrate_apart import migrate_apart
from tests.models.migrating import spawn

SCRIPT = """
import asyncio, sys
from pathlib import Path
from models.database import DatabaseURL
from models.migrate_apart import migrate_apart
asyncio.run(migrate_apart(DatabaseURL("sqlite", path=Path(sys.argv[1]))))
"""


async def test_what_is_lacking_is_done_and_the_second_time_there_is_nothing(fresh: DatabaseURL):
    assert await migrate_apart(fresh) == known_migrations()
    assert await is_current(fresh)
    assert await migrate_apart(fresh) == []


async def test_a_fault_of_the_other_process_is_told_in_its_words(tmp_path: Path):
    path = tmp_path / "mailbell.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE account (b INT)")
    with pytest.raises(MigrationError, match=r"a migration failed, the database is as it was: .*account"):
        await migrate_apart(DatabaseURL("sqlite", path=path))
    assert await pending(DatabaseURL("sqlite", path=path)) == known_migrations()


async def test_it_ends_with_the_process_that_waits_for_it(tmp_path: Path):
    path = tmp_path / "mailbell.db"
    lock = take_file_lock(tmp_path / "mailbell.db.migrate.lock")  # it waits for its turn
    assert lock is not None
    try:
        waiting = spawn(SCRIPT, str(path))
        parent = psutil.Process(waiting.pid)
        while not (children := parent.children()):
            await asyncio.sleep(0.01)
        waiting.kill()
        waiting.communicate()
        await asyncio.to_thread(psutil.wait_procs, children, 30)
        assert not any(one.is_running() for one in children)
    finally:
        os.close(lock)
    assert await pending(DatabaseURL("sqlite", path=path)) == known_migrations()
