"""The migration of a SQLite database in a process of its own, for a service that migrates at its start.

The library makes every model anew for each step: 150 MB that a process would keep for as long as it serves.
The other process gets an empty environment, and ends with the one that waits for it: the database is then as
it was. Called by bot/process.py; the `migrate` command needs no second process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from asyncio.subprocess import PIPE
from pathlib import Path

from models.database import DatabaseURL
from models.migrate import MigrationError, migrate, pending

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from models.migrate_apart import _main; _main(sys.argv[2])"
)
_ROOT = str(Path(__file__).resolve().parent.parent)


async def migrate_apart(url: DatabaseURL) -> list[str]:
    """As `migrate(url)`, for SQLite: names of what was applied. Raises MigrationError."""
    if not await pending(url):
        return []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _PROGRAM, _ROOT, str(url.path), env={}, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    told = await process.stdout.read()
    code = await process.wait()
    if code or not told:
        raise MigrationError(
            f"the process that migrates {url.path} ended with {code}; the database is as it was"
        )
    answer = json.loads(told)
    if answer["error"] is not None:
        raise MigrationError(answer["error"])
    return list(answer["applied"])


def _main(path: str) -> None:
    """In the other process: migrates, and writes what came of it as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a Ctrl+C the parent knows what to make
    threading.Thread(target=_end_with_parent, daemon=True).start()
    applied: list[str] = []
    error = None
    try:
        applied = asyncio.run(migrate(DatabaseURL("sqlite", path=Path(path))))
    except MigrationError as failure:
        error = str(failure)
    sys.stdout.write(json.dumps({"applied": applied, "error": error}))
    sys.stdout.flush()
    os._exit(0)  # the thread still reads


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written there: it ends when the parent does
    os._exit(1)
