"""The whole service under load: recording, judging, counters, cards and alerts on one core for a minute.

`python -m bot` as a newcomer starts it (SQLite, console as the only chat), with 300 tracked mails; hits come
an open loop, each over a new connection, from changing networks and user agents. What counts is that the
backlog (hits recorded and not yet judged) does not grow.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load import measure
from tests.processes.mailbell import environment, free_port

MAILS = 300
RATE = 3300
GOAL = 3000  # answers a second
LEFT = 1500  # unjudged hits that are no backlog: half a second's
SECONDS = 60


def health(port: int) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return dict(json.loads(answer.read()))


def tokens(folder: Path, settings: dict[str, str]) -> list[str]:
    """Paths of the pixels of MAILS freshly tracked mails."""
    with (folder / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["to", "subject", "urls"])
        rows.writerows([f"person{n}@example.com", f"Offer {n}", ""] for n in range(MAILS))
    done = subprocess.run(
        [sys.executable, "-m", "bot", "import-list", "list.csv", "--json"],
        cwd=folder, env=settings, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return ["/o/" + json.loads(line)["pixel_url"].rpartition("/")[2] for line in done.stdout.splitlines()]


def wait_until_up(port: int, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            health(port)
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def run(seconds: float = SECONDS, rate: float = RATE) -> list[str]:
    """Prints what happened; the goals that were missed, as sentences."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        settings = environment(
            port, ARM_AFTER_SECONDS="0", TRUSTED_PROXIES="127.0.0.0/8", LOG_LEVEL="warning"
        )
        with (folder / "out.jsonl").open("w") as out, (folder / "err.log").open("w") as err:
            server = subprocess.Popen(
                [sys.executable, "-m", "bot", "--json"], cwd=folder, env=settings,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
            os.sched_setaffinity(server.pid, {cores[0]})
            try:
                try:
                    wait_until_up(port)
                except OSError:
                    said = (folder / "err.log").read_text().strip().splitlines()[-1:]
                    return [f"the service did not start: {said[0] if said else 'it said nothing'}"]
                paths = tokens(folder, settings)
                missed = _load(port, paths, cores[-1], seconds, rate)
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(30)
        alerts = sum(1 for line in (folder / "out.jsonl").open() if '"alert"' in line or '"digest"' in line)
        print(f"  messages in the chat: {alerts}; exit code {server.returncode}")
    return missed


def _load(port: int, paths: list[str], core: int, seconds: float, rate: float) -> list[str]:
    spec = {"port": port, "paths": paths, "connections": 64, "seconds": seconds, "fresh": True,
            "rate": rate, "core": core, "forwarded": True}  # fmt: skip
    backlog: list[tuple[float, int, int]] = []
    ended = threading.Event()
    began = time.monotonic()

    def watch() -> None:
        while not ended.wait(5):
            try:
                now = health(port)
            except OSError:
                print("  /healthz did not answer within 5 s")
                continue
            backlog.append((time.monotonic() - began, int(str(now["unjudged"])), int(str(now["journal"]))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = measure(spec)
    finally:
        stopped = time.monotonic()
        ended.set()
        watcher.join()
    while int(str(health(port)["unjudged"])) and time.monotonic() < stopped + 120:
        time.sleep(0.2)
    caught_up = time.monotonic() - stopped
    print(
        f"  offered {rate:.0f} hits/s for {seconds:.0f} s; "
        f"answered {result['rate']:.0f}/s, failed {result['failed']}"
    )
    print(f"  latency p50 {result['p50']:.1f} ms, p99 {result['p99']:.1f} ms, p99.9 {result['p99.9']:.1f} ms")
    print("  unjudged every 5 s: " + " ".join(str(count) for _, count, _ in backlog))
    print(
        f"  journal at most {max((j for _, _, j in backlog), default=0)}; "
        f"backlog gone {caught_up:.1f} s after the end"
    )
    return _missed(result, [count for _, count, _ in backlog])


def _missed(result: Mapping[str, float], unjudged: Sequence[int]) -> list[str]:
    """GOAL answers a second, none failed, and no more left to judge in the last third than LEFT."""
    missed = []
    if result["rate"] < GOAL or result["failed"]:
        missed.append(f"{result['rate']:.0f} hits/s answered, {result['failed']:.0f} failed; wanted {GOAL}")
    late = unjudged[-max(1, len(unjudged) // 3) :]
    if late and min(late) > LEFT:
        missed.append(f"the backlog grows: {min(late)} hits unjudged at least; wanted {LEFT} at the most")
    return missed


if __name__ == "__main__":
    run()
