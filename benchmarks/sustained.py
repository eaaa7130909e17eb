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
from pathlib import Path

from tests.processes.mailbell import ROOT, environment, free_port

MAILS = 300
RATE = 3300
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


def run(seconds: float = SECONDS, rate: float = RATE) -> None:
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
                wait_until_up(port)
                paths = tokens(folder, settings)
                _load(port, paths, cores[-1], seconds, rate)
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(30)
        alerts = sum(1 for line in (folder / "out.jsonl").open() if '"alert"' in line or '"digest"' in line)
        print(f"  messages in the chat: {alerts}; exit code {server.returncode}")


def _load(port: int, paths: list[str], core: int, seconds: float, rate: float) -> None:
    spec = {"port": port, "paths": paths, "connections": 64, "seconds": seconds, "fresh": True,
            "rate": rate, "core": core, "forwarded": True}  # fmt: skip
    backlog: list[tuple[float, int, int]] = []
    ended = threading.Event()
    began = time.monotonic()

    def watch() -> None:
        while not ended.wait(5):
            now = health(port)
            backlog.append((time.monotonic() - began, int(str(now["unjudged"])), int(str(now["journal"]))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", json.dumps(spec)],
        cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    stopped = time.monotonic()
    ended.set()
    watcher.join()
    result = json.loads(done.stdout)
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


if __name__ == "__main__":
    run()
