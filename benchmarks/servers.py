"""The servers that are compared, each a process: `python -m benchmarks.servers NAME PORT URL LOOP CORE`.

`ours` answers after the commit; `bare` is an aiohttp handler that stores nothing; `insert` awaits one INSERT
for each request through an asyncpg pool, as a well-known mailer does. `judged` is ours with the judge at work
in the same process, `trusting` the same without rules: no network lists, every hit a person's, no history.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import secrets
import sys
import tempfile
from pathlib import Path

from aiohttp import web

from tracker.web.hits import GIF, PIXEL_HEADERS


async def _serve_for_ever(app: web.Application, port: int) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def bare(port: int, _url: str) -> None:
    async def pixel(_: web.Request) -> web.Response:
        return web.Response(body=GIF, headers=PIXEL_HEADERS)

    app = web.Application()
    app.router.add_get("/o/{token}.gif", pixel)
    await _serve_for_ever(app, port)


async def insert(port: int, url: str) -> None:
    import asyncpg

    pool = await asyncpg.create_pool(url, min_size=10, max_size=10)

    async def pixel(request: web.Request) -> web.Response:
        await pool.execute(
            "INSERT INTO bench_hit (uid, at, token, agent, address) VALUES ($1, $2, $3, $4, $5)",
            secrets.token_hex(16), dt.datetime.now(dt.UTC), request.match_info["token"],
            request.headers.get("User-Agent", ""), request.remote,
        )  # fmt: skip
        return web.Response(body=GIF, headers=PIXEL_HEADERS)

    app = web.Application()
    app.router.add_get("/o/{token}.gif", pixel)
    await _serve_for_ever(app, port)


async def ours(port: int, url: str, *, lean: bool = True, judged: bool = False) -> None:
    from models.database import open_database
    from models.postgres_writer import PostgresWriter
    from models.sqlite_writer import SqliteWriter
    from models.wake import Wake
    from tracker.hits.journal import Journal
    from tracker.hits.judge import Judge
    from tracker.hits.record import Recorder
    from tracker.services import Services
    from tracker.settings import load
    from tracker.web.app import build_app
    from tracker.web.server import serve

    with tempfile.TemporaryDirectory() as folder:
        settings = load(
            {
                "DATABASE_URL": url, "DATA_DIR": folder, "SECRET_KEY": secrets.token_hex(16),
                "TRUSTED_PROXIES": "127.0.0.0/8",
            },
            Path(folder),
        )  # fmt: skip
        wake = Wake()
        database = settings.database
        writer = (
            SqliteWriter(database.path or "")
            if database.is_sqlite
            else PostgresWriter(database.credentials, wake)
        )
        await writer.start()
        services = Services(settings, writer, wake)
        recorder = Recorder(services, Journal(Path(folder) / "journal"))
        async with serve(build_app(services, recorder), "127.0.0.1", port, lean=lean):
            if judged:
                async with open_database(database):
                    print("ready", flush=True)
                    await Judge(services).run()
            print("ready", flush=True)
            await asyncio.Event().wait()


async def judged(port: int, url: str) -> None:
    await ours(port, url, judged=True)


async def trusting(port: int, url: str) -> None:
    from tracker.hits import history, reading
    from tracker.hits.evidence import Judgement
    from tracker.hits.networks import Networks
    from tracker.hits.verdicts import Verdict
    from tracker.web.networks_watch import NetworkFiles

    a_person = Judgement(Verdict.HUMAN, "browser", "Chrome")
    reading.classify = lambda _hit, _mail, _own: a_person
    history.Timeline.add = lambda _self, _entry: []  # type: ignore[method-assign]
    NetworkFiles.load = lambda _self: Networks(())  # type: ignore[method-assign]
    await ours(port, url, judged=True)


async def ordinary(port: int, url: str) -> None:
    """Ours without the lean protocol."""
    await ours(port, url, lean=False)


SERVERS = {
    "ours": ours, "ordinary": ordinary, "bare": bare, "insert": insert,
    "judged": judged, "trusting": trusting,
}  # fmt: skip


def main() -> None:
    name, port, url, loop, core = sys.argv[1:6]
    os.sched_setaffinity(0, {int(core)})
    work = SERVERS[name](int(port), url)
    if loop == "uvloop":
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)


if __name__ == "__main__":
    main()
