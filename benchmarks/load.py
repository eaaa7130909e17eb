"""A load generator for pixels that costs less than what it measures: raw sockets and one epoll loop.

A process of its own, on a core of its own: `measure` starts it and hands it a JSON spec with port, paths,
connections, seconds, fresh (a new connection for each request) and rate (requests a second in an open loop;
null: as fast as answers come). It prints one JSON line. Paths hold tokens: they are on no command line and in
no error.
"""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{n}.0.0.0 Safari/537.36"
    for n in range(100, 140)
] + ["Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"]
MOST_OPEN = 10_000  # with half of all ports in use the system takes milliseconds to find a free one
BURST = 100  # connections begun before answers are looked at again
_ABORT = struct.pack("ii", 1, 0)
_END = b"\x00;"  # the last bytes of every GIF


def requests(paths: list[str], fresh: bool, forwarded: bool = False) -> list[bytes]:
    """Ready requests with changing paths and user agents; `forwarded`: also from changing networks."""
    closing = "Connection: close\r\n" if fresh else ""
    ready = []
    for number, path in enumerate(random.choices(paths, k=20_000)):
        origin = f"X-Forwarded-For: 100.{number >> 8 & 255}.{number & 255}.7\r\n" if forwarded else ""
        ready.append(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {random.choice(AGENTS)}\r\n"
            f"Accept: */*\r\n{origin}{closing}\r\n".encode()
        )
    return ready


class Load:
    def __init__(self, spec: dict[str, object]) -> None:
        self.port = int(str(spec["port"]))
        self.fresh = bool(spec["fresh"])
        self.requests = requests(list(spec["paths"]), self.fresh, bool(spec.get("forwarded")))  # type: ignore[call-overload]
        self.epoll = select.epoll()
        self.open: dict[int, tuple[socket.socket, float]] = {}
        self.sent = self.done = self.failed = 0
        self.latencies: list[float] = []

    def connect(self) -> socket.socket:
        one = socket.socket()
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not waited for: one that a busy server has no room for takes a second, and all others with it.
        one.setblocking(False)
        code = one.connect_ex(("127.0.0.1", self.port))
        if code not in (0, errno.EINPROGRESS):
            one.close()
            raise OSError(code, os.strerror(code))
        return one

    def send(self, one: socket.socket, due: float) -> bool:
        """Whether the request went out; a connection that is still being made is asked again."""
        self.open[one.fileno()] = (one, due)
        try:
            one.send(self.requests[self.sent % len(self.requests)])
        except BlockingIOError:
            return False
        self.sent += 1
        return True

    def begin(self, due: float) -> None:
        try:
            one = self.connect()
        except OSError:  # more open than this process may have: a server that does not keep up
            self.failed += 1
            return
        number = one.fileno()
        self.epoll.register(number, select.EPOLLIN)
        try:
            if not self.send(one, due):
                self.epoll.modify(number, select.EPOLLOUT)
        except OSError:
            self.failed += 1
            self.end(number, one)

    def connected(self, number: int) -> None:
        """A connection that took its time is there, or was refused."""
        one, due = self.open[number]
        try:
            if self.send(one, due):
                self.epoll.modify(number, select.EPOLLIN)
        except OSError:
            self.failed += 1
            self.end(number, one)

    def end(self, number: int, one: socket.socket) -> None:
        del self.open[number]
        self.epoll.unregister(number)
        # Without this tens of thousands of dead connections keep their ports for a minute.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        one.close()

    def answered(self, number: int, now: float) -> socket.socket | None:
        """Reads an answer; the socket when it is complete, None when it is not or was refused."""
        one, due = self.open[number]
        try:
            data = one.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.failed += 1
            self.end(number, one)
            return None
        if not data.endswith(_END):
            return None  # the body follows
        self.done += 1
        self.latencies.append(now - due)
        return one

    def closed_loop(self, connections: int, seconds: float) -> float:
        start = time.perf_counter()
        for _ in range(connections):
            self.begin(start)
        until = start + seconds
        now = start
        while now < until and self.open:
            for number, event in self.epoll.poll(0.5):
                if event & select.EPOLLOUT:
                    self.connected(number)
                    continue
                one = self.answered(number, time.perf_counter())
                if one is None:
                    continue
                if self.fresh:
                    self.end(number, one)
                    self.begin(time.perf_counter())
                else:
                    self.send(one, time.perf_counter())
            now = time.perf_counter()
        return now - start

    def open_loop(self, rate: float, seconds: float) -> float:
        """New connections at a steady rate, whatever the answers do; latencies count from the due time."""
        start = time.perf_counter()
        due, until = start, start + seconds
        while due < until or (self.open and time.perf_counter() < until + 2):
            now = time.perf_counter()
            for _ in range(BURST):
                if due >= until or due > now:
                    break
                if len(self.open) < MOST_OPEN:
                    self.begin(due)
                else:
                    self.failed += 1
                due += 1 / rate
            wait = max(0.0, due - time.perf_counter()) if due < until else 0.05
            for number, event in self.epoll.poll(wait):
                if event & select.EPOLLOUT:
                    self.connected(number)
                    continue
                one = self.answered(number, time.perf_counter())
                if one is not None:
                    self.end(number, one)
        return time.perf_counter() - start


def measure(spec: Mapping[str, object]) -> dict[str, float]:
    """What a load process measured: done, failed, rate, and latencies in milliseconds (p50… max).

    Raises RuntimeError with the last line that it said when it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=Path(__file__).parents[1], input=json.dumps(spec), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise RuntimeError(f"the load process failed: {said[0]}")
    return dict(json.loads(done.stdout))


def main() -> None:
    spec = json.loads(sys.stdin.read())
    # An open loop does not wait for a server that falls behind: its connections pile up.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if spec.get("core") is not None:
        os.sched_setaffinity(0, {spec["core"]})
    load = Load(spec)
    if spec.get("rate"):
        load.fresh = True
        took = load.open_loop(spec["rate"], spec["seconds"])
    else:
        took = load.closed_loop(spec["connections"], spec["seconds"])
    ordered = sorted(load.latencies) or [float("nan")]
    marks = {
        f"p{mark}": ordered[min(len(ordered) - 1, int(len(ordered) * mark / 100))] * 1000
        for mark in (50, 95, 99, 99.9)
    }
    print(
        json.dumps(
            {
                "done": load.done,
                "failed": load.failed,
                "rate": load.done / took,
                **marks,
                "max": ordered[-1] * 1000,
            }
        )
    )


if __name__ == "__main__":
    main()
