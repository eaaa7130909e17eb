"""SMTP clients that cost less than what they measure: `python -m benchmarks.mail_load SPEC`, a process.

SPEC is JSON: port, to, size, connections, seconds, and for a server that wants a login user and password
(STARTTLS, certificate unchecked). Each connection sends one mail after another, all with a Message-ID of
its own. Prints one JSON line: mails, seconds, what was answered other than 250.
"""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import socket
import ssl
import sys
import threading
import time
from typing import Any

PER_CONNECTION = 50  # mails; then it connects anew

_LINE = "These are the words of a letter, as long as a line of text may well be, <b>and so on</b>.<br>\r\n"


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


class Client:
    """One connection."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", spec["port"]), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._to = str(spec["to"]).encode()
        self.answer()
        self.say(b"EHLO load")
        if spec.get("user"):
            self._log_in(str(spec["user"]), str(spec["password"]))

    def _log_in(self, user: str, password: str) -> None:
        self.say(b"STARTTLS")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._socket = context.wrap_socket(self._socket)
        self.say(b"EHLO load")
        login = base64.b64encode(f"\0{user}\0{password}".encode())
        answer = self.say(b"AUTH PLAIN " + login)
        assert answer.startswith(b"235"), answer

    def answer(self) -> bytes:
        """The last line of the answer."""
        data = b""
        while not data.endswith(b"\r\n") or _last(data)[3:4] == b"-":
            got = self._socket.recv(65_536)
            if not got:
                raise ConnectionError(data)
            data += got
        return _last(data)

    def close(self) -> None:
        self._socket.close()

    def say(self, line: bytes) -> bytes:
        self._socket.sendall(line + b"\r\n")
        return self.answer()

    def send(self, mail: bytes) -> bytes:
        for line in (b"MAIL FROM:<me@home.example>", b"RCPT TO:<" + self._to + b">", b"DATA"):
            answer = self.say(line)
            if answer[:1] not in b"23":
                return answer
        self._socket.sendall(mail + b".\r\n")
        return self.answer()


class Load:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.parts = letter(spec["size"])
        self.numbers = itertools.count()
        self.mark = secrets.token_hex(4)
        self.taken = 0
        self.other: list[str] = []

    def run(self) -> dict[str, Any]:
        clients = [Client(self.spec) for _ in range(self.spec["connections"])]
        began = time.perf_counter()
        end = began + self.spec["seconds"]
        threads = [threading.Thread(target=self._send, args=(client, end)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"mails": self.taken, "seconds": time.perf_counter() - began, "other": self.other[:5]}

    def _send(self, client: Client, end: float) -> None:
        before, after = self.parts
        for count in itertools.count(1):
            if time.perf_counter() >= end:
                return
            if count % PER_CONNECTION == 0:
                client = self._again(client)
            mail = before + f"{self.mark}.{next(self.numbers)}".encode() + after
            answer = client.send(mail)
            if answer.startswith(b"250"):
                self.taken += 1
            else:
                self.other.append(answer.decode(errors="replace"))

    def _again(self, client: Client) -> Client:
        client.close()
        return Client(self.spec)


if __name__ == "__main__":
    print(json.dumps(Load(json.loads(sys.argv[1])).run()))
