"""Idle memory and start-up time of `all`: with the terminal alone, and with both chats' SDKs loaded."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.sustained import health
from tests.processes.mailbell import environment, free_port

# Nothing listens there: the chats' SDKs are loaded and keep trying, which costs as much as being connected.
CHATS = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "SLACK_API_URL": "http://127.0.0.1:9/api/",
    "TELEGRAM_BOT_TOKEN": "1:a",
    "TELEGRAM_API_URL": "http://127.0.0.1:9/bot",
}


def measure(name: str, **settings: str) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        given = environment(port, LOG_LEVEL="error", **settings)
        for start in ("first start (migrates)", "second start"):
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "bot", "all"], cwd=Path(folder), env=given,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                while True:
                    try:
                        health(port)
                        break
                    except OSError:
                        time.sleep(0.02)
                up = time.monotonic() - began
                time.sleep(3)
                resident = psutil.Process(process.pid).memory_info().rss / 2**20
            finally:
                process.terminate()
                process.wait(30)
            print(
                f"  {name:<12} {start:<24} answers after {up:4.1f} s, {resident:5.0f} MB resident when idle"
            )


def run() -> None:
    measure("alone")
    measure("both chats", **CHATS)


if __name__ == "__main__":
    run()
