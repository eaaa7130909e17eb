"""How long an answer takes at a steady rate, each request on a new connection, beside a bare fsync.

An open loop: requests go out when they are due, whatever the answers do, and latencies count from then.
Run by `make bench`; alone: `python -m benchmarks.latency`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.pixel import cores, free_port, load, started, tracked_mails

RATE = 1000.0
SECONDS = 10.0


def bare_fsync(folder: Path, seconds: float = 2.0) -> dict[str, float]:
    """Milliseconds for 4 kB written and synced, one after the other, on the same disk."""
    took: list[float] = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            start = time.perf_counter()
            os.pwrite(file.fileno(), os.urandom(4096), len(took) % 256 * 4096)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    took.sort()
    return {
        f"p{mark}": took[min(len(took) - 1, int(len(took) * mark / 100))] * 1000 for mark in (50, 99, 99.9)
    }


def run(rounds: int = 2) -> None:
    """Prints the table."""
    loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    print(f"\nLatency at {RATE:.0f}/s, new connections, SQLite FULL, {loop} (ms; goals p99 < 5, p99.9 < 10)")
    with tempfile.TemporaryDirectory(prefix="mb", dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        for number in range(rounds):
            url, port = f"sqlite:///{folder}/{number}.db", free_port()
            paths = asyncio.run(tracked_mails(url, 300))
            with started(
                [sys.executable, "-m", "benchmarks.servers", "ours", str(port), url, loop, str(cores()[0])]
            ):
                load(port, paths, fresh=True, seconds=1, rate=RATE)  # warm
                answer = load(port, paths, fresh=True, seconds=SECONDS, rate=RATE)
            sync = bare_fsync(folder)
            for label, marks in (("answer", answer), ("bare fsync", sync)):
                print(
                    f"  {label:<12}"
                    + "".join(f"  {mark} {marks[mark]:6.2f}" for mark in ("p50", "p99", "p99.9"))
                )
            if answer["failed"]:
                print(f"  {answer['failed']:.0f} requests failed")


def main() -> None:
    run()


if __name__ == "__main__":
    main()
