"""The servers that take mail in the benchmark: mailbell itself, and aiosmtpd as its documentation has it.

`python -m benchmarks.mail_servers PORT [CERTIFICATE KEY]` is plain aiosmtpd that discards, and counts; with a
certificate it takes mail over STARTTLS, from who has logged in, and from nobody else.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Discard:
    """What comes is counted and forgotten."""

    def __init__(self) -> None:
        self.taken = 0

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802
        self.taken += 1
        return "250 OK"


def _everybody(*_: Any) -> Any:
    from aiosmtpd.smtp import AuthResult

    return AuthResult(success=True)


def _encryption(certificate: str, key: str) -> dict[str, Any]:
    """The options that make a server insist on STARTTLS and on a login."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return {
        "tls_context": context,
        "require_starttls": True,
        "auth_require_tls": True,
        "auth_required": True,
    }


async def _serve(port: int, *certificate: str) -> None:
    from aiosmtpd.smtp import SMTP

    handler = _Discard()
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"loop": loop, "data_size_limit": 60_000_000, "command_call_limit": 1_000_000}
    options |= {"authenticator": _everybody, "auth_require_tls": False}
    if certificate:
        options |= _encryption(*certificate)
    warnings.simplefilter("ignore")  # passwords without encryption
    await loop.create_server(lambda: SMTP(handler, **options), "127.0.0.1", port)
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():  # each line asks how many came so far
        print(handler.taken, flush=True)


class Plain:
    """A running aiosmtpd that discards."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port = port
        self.pid = process.pid
        self._process = process

    @property
    def taken(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def plain(*certificate: str) -> Iterator[Plain]:
    """With a certificate and its key: encrypted, and with a login."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.mail_servers", str(port), *certificate]
    with _process(command, ROOT, None) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Plain(port, process)


class Ours:
    """A running mailbell: where it takes mail, and what it still has to do."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, environment: dict[str, str]) -> None:
        self._process, self._folder, self._environment = process, folder, environment
        self.pid = process.pid
        self.certificate = str(folder / "data" / "tls_cert.pem"), str(folder / "data" / "tls_key.pem")
        self.capture_port = int(environment["CAPTURE_PORT"])
        self.submission_port = int(environment["SUBMISSION_PORT"])
        self.capture_address = self._ask_for_address()
        # What the console prints while the load runs, nobody wants.
        threading.Thread(target=self._drain, daemon=True).start()

    def _ask_for_address(self) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("capture\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline())["capture_address"])

    def _drain(self) -> None:
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            pass

    def connect(self, upstream_port: int) -> tuple[str, str]:
        """Connects a mailbox at the plain server; user and password of the submission server."""
        (self._folder / "password").write_text("anything")
        done = subprocess.run(
            [sys.executable, "-m", "bot", "connect", "--host", "127.0.0.1", "--port", str(upstream_port),
             "--security", "none", "--user", "me@home.example", "--password-file", "password",
             "--address", "me@home.example", "--json"],
            cwd=self._folder, env=self._environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        made = json.loads(done.stdout)
        return made["submission_user"], made["submission_password"]

    def noted(self) -> int:
        """Copies that were taken and are not understood yet."""
        with closing(sqlite3.connect(self._folder / "data" / "mailbell.db", timeout=30)) as file:
            (row,) = file.execute("SELECT count(*) FROM captured WHERE state = 'noted'")
        return int(row[0])

    def spooled(self) -> int:
        """Mails that were taken and are not all with the provider yet."""
        return len(list((self._folder / "data" / "spool").glob("[!.]*")))


@contextmanager
def ours(folder: Path) -> Iterator[Ours]:
    """mailbell as `python -m bot`, on SQLite."""
    names = ("PORT", "CAPTURE_PORT", "SUBMISSION_PORT", "SUBMISSIONS_PORT")
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **{name: str(free_port()) for name in names},
        "PYTHONPATH": str(ROOT),
        "ALLOW_PRIVATE_UPSTREAM": "true",
    }
    with _process([sys.executable, "-m", "bot", "--json"], folder, environment) as process:
        yield Ours(process, folder, environment)


@contextmanager
def _process(
    command: list[str], folder: Path, environment: dict[str, str] | None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def seconds_of(pid: int) -> float:
    """The processor time that a process has taken so far, without that of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), *sys.argv[2:]))
