"""SMTP clients that cost less than what they measure: `python -m benchmarks.mail_load SPEC`, a process.

SPEC is JSON: port, to, size, connections, seconds, and for a server that wants a login user and password
(STARTTLS, certificate unchecked). One thread serves all connections; they are opened, and logged in, before
the clock starts, and each sends one mail after another, all with a Message-ID of its own. Prints one JSON
line: mails, seconds, what was answered other than 250.
"""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import selectors
import socket
import ssl
import sys
import time
from contextlib import suppress
from typing import Any

_LINE = "These are the words of a letter, as long as a line of text may well be, <b>and so on</b>.<br>\r\n"
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def letter(size: int) -> tuple[bytes, bytes]:
    """A mail of `size` bytes before and after its Message-ID: text, HTML with a link, and no attachment."""
    page = f'<html><body><p>Hello, <a href="https://acme.com/deck">the deck</a></p>\r\n{_LINE * 20}'
    head = (
        "From: Me <me@home.example>\r\nTo: Ana <ana@acme.com>\r\nSubject: Q3 proposal\r\n"
        "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nMessage-ID: <"
    )
    after = (
        '@home.example>\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
        f"Content-Type: text/html; charset=utf-8\r\n\r\n{page}</body></html>\r\n--b\r\n"
        "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    missing = max(0, size - len(head) - len(after) - 40)
    attached = (base64.b64encode(b"\x81" * 57).decode() + "\r\n") * (missing // 78)
    return head.encode(), (after + attached + "--b--\r\n").encode()


def _last(answer: bytes) -> bytes:
    """The last line of what came of an answer."""
    return answer.rstrip(b"\r\n").rpartition(b"\r\n")[2]


def _is_whole(answer: bytes) -> bool:
    return answer.endswith(b"\r\n") and _last(answer)[3:4] != b"-"


class Client:
    """One connection: it waits while it says hello, and never after that."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", spec["port"]), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._envelope = (
            b"MAIL FROM:<me@home.example>\r\n",
            f"RCPT TO:<{spec['to']}>\r\n".encode(),
            b"DATA\r\n",
        )
        self._steps: list[bytes] = []  # of the mail that is being sent, the last one first
        self._answer = b""
        self.unsent = memoryview(b"")
        self._wait()
        self._ask(b"EHLO load")
        if spec.get("user"):
            self._log_in(str(spec["user"]), str(spec["password"]))
        self.socket.setblocking(False)

    def _log_in(self, user: str, password: str) -> None:
        self._ask(b"STARTTLS")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        self._ask(b"EHLO load")
        answer = self._ask(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()))
        assert answer.startswith(b"235"), answer

    def _ask(self, line: bytes) -> bytes:
        self.socket.sendall(line + b"\r\n")
        return self._wait()

    def _wait(self) -> bytes:
        data = b""
        while not _is_whole(data):
            data += self._received()
        return _last(data)

    def _received(self) -> bytes:
        got = self.socket.recv(65_536)
        if not got:
            raise ConnectionError
        return got

    def begin(self, mail: bytes) -> None:
        """Starts to send a mail."""
        self._steps = [mail + b".\r\n", *reversed(self._envelope)]
        self._say(self._steps.pop())

    def _say(self, data: bytes) -> None:
        self.unsent = memoryview(data)
        self.flush()

    def flush(self) -> None:
        """Sends as much as there is room for."""
        with suppress(*_WOULD_BLOCK):
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def hear(self) -> bytes | None:
        """What the server says of the mail, once it says it: the last answer, or one that refuses."""
        with suppress(*_WOULD_BLOCK):
            while True:
                self._answer += self._received()
        if not _is_whole(self._answer):
            return None
        answer, self._answer = _last(self._answer), b""
        if not self._steps or answer[:1] not in b"23":
            return answer
        self._say(self._steps.pop())
        return None


class Load:
    """All connections, for as long as SPEC says."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._seconds = float(spec["seconds"])
        self._parts = letter(spec["size"])
        self._numbers = itertools.count()
        self._mark = secrets.token_hex(4)
        self._clients = [Client(spec) for _ in range(spec["connections"])]
        self._selector = selectors.DefaultSelector()

    def run(self) -> dict[str, Any]:
        """What came of it; mails that are under way at the end are waited for."""
        taken, other = 0, []
        began = time.perf_counter()
        for one in self._clients:
            one.begin(self._mail())
            self._selector.register(one.socket, self._events(one), one)
        while self._selector.get_map():
            for key, events in self._selector.select(60):
                client: Client = key.data
                if events & selectors.EVENT_WRITE:
                    client.flush()
                answer = client.hear() if events & selectors.EVENT_READ else None
                if answer is not None:
                    taken += answer.startswith(b"250")
                    if not answer.startswith(b"250"):
                        other.append(answer.decode(errors="replace"))
                    if time.perf_counter() - began >= self._seconds or other:
                        self._selector.unregister(client.socket)
                        continue
                    client.begin(self._mail())
                if (wanted := self._events(client)) != key.events:
                    self._selector.modify(client.socket, wanted, client)
        return {"mails": taken, "seconds": time.perf_counter() - began, "other": other[:5]}

    def _mail(self) -> bytes:
        before, after = self._parts
        return before + f"{self._mark}.{next(self._numbers)}".encode() + after

    @staticmethod
    def _events(client: Client) -> int:
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)


if __name__ == "__main__":
    print(json.dumps(Load(json.loads(sys.argv[1])).run()))
