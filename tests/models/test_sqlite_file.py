"""The writer's connections: what they report done survives a loss of power."""

from __future__ import annotations

from contextlib import closing

from models.database import DatabaseURL
from models.sqlite_file import connect

FULL = 2


async def test_a_commit_is_synced_before_it_returns(sqlite_database: DatabaseURL) -> None:
    """https://www.sqlite.org/pragma.html#pragma_synchronous: in WAL mode only FULL syncs each commit."""
    with closing(connect(str(sqlite_database.path))) as connection:
        asked = [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
    assert asked == ["wal", FULL]
