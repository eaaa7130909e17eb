"""What the rules cost those who wait for a pixel: full rules beside none, in alternating rounds.

The judge works in the server's process, on its core. Opens come from changing networks and user agents over
kept connections as fast as they are answered; then, at a steady rate, what one costs the processor from its
arrival to its verdict. Answers are counted for each second that the server had the processor, so that what
else the machine does falls out. Part of `make bench`.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil

from benchmarks.load import measure
from benchmarks.pixel import CONNECTIONS, cores, free_port, started, tracked_mails

ROUNDS = 5
SECONDS = 3.0
RATE = 2000.0
MOST_FALL = 5.0  # percent
NAMES = ("judged", "trusting")


def _round(name: str, folder: Path, rate: float | None) -> tuple[float, float]:
    """Answers for each second of the processor, and microseconds of it for each hit until all are judged."""
    port, url = free_port(), f"sqlite:///{folder}/{time.monotonic_ns()}.db"
    paths = asyncio.run(tracked_mails(url, 300))
    server = [sys.executable, "-m", "benchmarks.servers", name, str(port), url, "asyncio", str(cores()[0])]
    spec = {
        "port": port, "paths": paths, "connections": CONNECTIONS, "seconds": SECONDS, "rate": rate,
        "fresh": rate is not None, "core": cores()[1], "forwarded": True,
    }  # fmt: skip
    with started(server) as process:
        watched = psutil.Process(process.pid)
        began = _spent(watched)
        done = measure(spec)["done"]
        answered = _spent(watched) - began
        if rate is not None:
            while watched.cpu_percent(0.5) > 20:  # until the judge is through
                pass
        return done / answered, (_spent(watched) - began) / done * 1e6


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run(rounds: int = ROUNDS) -> list[str]:
    """Prints the figures; the goal that was missed."""
    rates, costs = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    with tempfile.TemporaryDirectory(prefix="mbu") as name:
        for number in range(rounds):
            for one in NAMES[:: 1 if number % 2 else -1]:  # neither is always the first
                rates[one].append(_round(one, Path(name), None)[0])
                costs[one].append(_round(one, Path(name), RATE)[1])
    for one, said in zip(NAMES, ("full rules", "no rules"), strict=True):
        print(
            f"  {said:<12}{statistics.median(rates[one]):8.0f} answers a second "
            f"({min(rates[one]):.0f} to {max(rates[one]):.0f})"
            f"{statistics.median(costs[one]):8.0f} µs for a hit, judged"
        )
    falls = sorted(100 * (1 - one / other) for one, other in zip(*(rates[one] for one in NAMES), strict=True))
    fall = statistics.median(falls)
    print(
        f"  with full rules {fall:+.1f} % fewer answers "
        f"({falls[0]:+.1f} to {falls[-1]:+.1f}; goal at most {MOST_FALL:.0f})"
    )
    return [f"full rules take {fall:.1f} % of the answers"] if fall > MOST_FALL else []


if __name__ == "__main__":
    run()
