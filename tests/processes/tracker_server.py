"""A tracker and nothing else, as a process that tests kill: `python -m tests.processes.tracker_server`.

Arguments: DATABASE_URL DATA_DIR PORT, then `lean` or `ordinary`. Prints "ready PORT" when it answers.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from models.postgres_wake import PostgresWake
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Writer
from tracker.hits.journal import Journal
from tracker.hits.record import Recorder
from tracker.services import Services
from tracker.settings import load
from tracker.web.app import build_app
from tracker.web.server import serve


async def run(database_url: str, data_dir: str, port: int, lean: bool) -> None:
    settings = load(
        {"DATABASE_URL": database_url, "DATA_DIR": data_dir, "SECRET_KEY": "0123456789abcdef"}, Path(data_dir)
    )
    wake: Wake = Wake()
    writer: Writer
    if settings.database.is_sqlite:
        assert settings.database.path is not None
        writer = SqliteWriter(settings.database.path)
    else:
        wake = PostgresWake(settings.database.credentials)
        writer = PostgresWriter(settings.database.credentials, wake)
    await wake.start()
    await writer.start()
    services = Services(settings, writer, wake)
    recorder = Recorder(services, Journal(settings.data_dir / "journal"))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(build_app(services, recorder), "127.0.0.1", port, lean=lean) as listener:
        sys.stdout.write(f"ready {listener.port}\n")
        sys.stdout.flush()
        await stop.wait()
    await writer.stop()
    await wake.stop()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "lean"))
