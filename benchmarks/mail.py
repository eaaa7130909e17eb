"""Mails per second that the capture and the submission port take, each on disk before its 250.

Beside them stands plain aiosmtpd that keeps nothing and looks at nothing. All run in one run and are asked in
turn, by 8 connections each that stay open; between the rounds mailbell finishes what it noted and sends on
what it took, and how fast stands below. The ratio is that of the medians; behind it the lowest and the
highest of the rounds, each beside the plain server's round before it.
Submission speaks TLS with login, and passes everything on to a server that discards; plain aiosmtpd does not,
so it stands there a second time, with TLS and login. "ms" is the processor time that the server's own process
took for a mail, with what else it did meanwhile: where the machine is busy, it says more than the rate.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.mail_servers import ROOT, Ours, Plain, ours, plain, seconds_of, wait_until

ROUNDS = 4
SECONDS = 2.0
CONNECTIONS = 8
SIZES = (10_000, 1_000_000)
SETTLING = 180.0  # seconds at the most


class Rate(NamedTuple):
    """What one round came to."""

    a_second: float
    milliseconds: float  # of the processor, for a mail


def _load(server: Plain | Ours, port: int, to: str, size: int, **login: str) -> Rate:
    """One round; any answer but 250 ends the measurement."""
    spec = {"port": port, "to": to, "size": size, "connections": CONNECTIONS, "seconds": SECONDS, **login}
    before = seconds_of(server.pid)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mail_load", json.dumps(spec)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    took = seconds_of(server.pid) - before
    result: dict[str, Any] = json.loads(done.stdout)
    if result["other"]:
        sys.exit(f"not every mail was taken: {result['other']}")
    return Rate(result["mails"] / result["seconds"], 1000 * took / max(result["mails"], 1))


def _row(name: str, rates: list[Rate], beside: list[Rate]) -> None:
    rate = statistics.median(one.a_second for one in rates)
    took = statistics.median(one.milliseconds for one in rates)
    ratio = rate / statistics.median(one.a_second for one in beside)
    each = sorted(one.a_second / other.a_second for one, other in zip(rates, beside, strict=True))
    print(f"  {name:<32}{rate:>8.0f}/s{took:>8.2f} ms{ratio:>8.2f}  ({each[0]:.2f} to {each[-1]:.2f})")


def _measure(
    size: int, discards: Plain, secured: Plain, bell: Ours, upstream: Plain, login: dict[str, str]
) -> None:
    beside: list[Rate] = []
    encrypted: list[Rate] = []
    capture: list[Rate] = []
    through: list[Rate] = []
    understood: list[float] = []
    sent_on: list[float] = []
    for _ in range(ROUNDS):
        beside.append(_load(discards, discards.port, "ana@acme.com", size))
        capture.append(_load(bell, bell.capture_port, bell.capture_address, size))
        understood.append(_settle(bell.noted))
        encrypted.append(_load(secured, secured.port, "ana@acme.com", size, **login))
        before = upstream.taken
        through.append(_load(bell, bell.submission_port, "ana@acme.com", size, **login))
        sent_on.append(_settle(bell.spooled))
        assert upstream.taken > before
    print(f"{size // 1000} kB{'':<34}{'':>15}ratio")
    _row("plain aiosmtpd", beside, beside)
    _row("capture", capture, beside)
    _row("send through", through, beside)
    _row("plain aiosmtpd, TLS and login", encrypted, encrypted)
    _row("send through, beside that", through, encrypted)
    print(
        f"  (afterwards {statistics.median(understood):.0f} copies/s were understood, "
        f"{statistics.median(sent_on):.0f} mails/s sent on)"
    )


def _settle(left: Callable[[], int]) -> float:
    """Waits until nothing is left of what was taken; how many a second were finished."""
    began, count = time.monotonic(), left()
    wait_until(lambda: left() == 0, SETTLING)
    return count / max(time.monotonic() - began, 0.001)


def run() -> None:
    """Prints the table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        plain() as discards,
        plain() as upstream,
        ours(Path(folder)) as bell,
        plain(*bell.certificate) as secured,
    ):
        user, password = bell.connect(upstream.port)
        for size in SIZES:
            _measure(size, discards, secured, bell, upstream, {"user": user, "password": password})


if __name__ == "__main__":
    run()
