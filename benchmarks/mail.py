"""Mails per second that the capture and the submission port take, each on disk before its 250.

Beside them stands plain aiosmtpd that keeps nothing and looks at nothing. All run in one run and are asked in
turn, by 8 connections each; between the rounds mailbell finishes what it noted. The ratio is that of the
medians; behind it the lowest and the highest of the rounds, each beside the plain server's round before it.
Submission speaks TLS with login, and passes everything on to a server that discards; plain aiosmtpd does not.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.mail_servers import ROOT, Ours, Plain, ours, plain, wait_until

ROUNDS = 4
SECONDS = 2.0
CONNECTIONS = 8
SIZES = (10_000, 1_000_000)
SETTLING = 180.0  # seconds at the most


def _load(port: int, to: str, size: int, **login: str) -> float:
    """Mails a second; any answer but 250 ends the measurement."""
    spec = {"port": port, "to": to, "size": size, "connections": CONNECTIONS, "seconds": SECONDS, **login}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mail_load", json.dumps(spec)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    if result["other"]:
        sys.exit(f"not every mail was taken: {result['other']}")
    return float(result["mails"] / result["seconds"])


def _row(name: str, rates: list[float], beside: list[float]) -> None:
    ratio = statistics.median(rates) / statistics.median(beside)
    each = sorted(one / other for one, other in zip(rates, beside, strict=True))
    print(f"  {name:<24}{statistics.median(rates):>8.0f}/s{ratio:>8.2f}  ({each[0]:.2f} to {each[-1]:.2f})")


def _measure(size: int, discards: Plain, bell: Ours, upstream: Plain, login: dict[str, str]) -> None:
    secret = bell.capture_address
    beside: list[float] = []
    capture: list[float] = []
    through: list[float] = []
    settling: list[float] = []
    for _ in range(ROUNDS):
        beside.append(_load(discards.port, "ana@acme.com", size))
        capture.append(_load(bell.capture_port, secret, size))
        began = time.monotonic()
        noted = bell.noted()
        wait_until(lambda: bell.noted() == 0, SETTLING)
        settling.append(noted / max(time.monotonic() - began, 0.001))
        before = upstream.taken
        through.append(_load(bell.submission_port, "ana@acme.com", size, **login))
        wait_until(lambda: bell.spooled() == 0, SETTLING)
        assert upstream.taken > before
    print(f"{size // 1000} kB{'':<26}{'':>4}ratio")
    _row("plain aiosmtpd", beside, beside)
    _row("capture", capture, beside)
    _row("send through", through, beside)
    if any(settling):
        print(f"  (noted copies understood afterwards: {statistics.median(settling):.0f}/s)")


def run() -> None:
    """Prints the table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        plain() as discards,
        plain() as upstream,
        ours(Path(folder)) as bell,
    ):
        user, password = bell.connect(upstream.port)
        for size in SIZES:
            _measure(size, discards, bell, upstream, {"user": user, "password": password})


if __name__ == "__main__":
    run()
