"""A running submission server for tests: alice with one mailbox, her login, and ways to talk to it."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from models import Account, Mailbox
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.page_services import services as make_services
from tracker.sending.passwords import digest
from tracker.sending.spool import Envelope, Spool
from tracker.sending.submission import SubmissionServer, submit_mail
from tracker.services import Services

USER, PASSWORD = "bell-alice", "k7m2-qx9d-abcd-efgh"
ALICE, ANA = "alice@home.example", "ana@acme.com"
_digests: dict[str, str] = {}


def mail(number: int = 1, *, sender: str = ALICE, to: str = ANA, text: str = "Hi", **headers: str) -> bytes:
    """A small mail as a mail program sends it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, "Lunch"
    message["Message-ID"], message["Date"] = f"<{number}@home.example>", "Mon, 02 Mar 2026 09:00:00 +0000"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def mailbox(account: Account, clock: Clock, address: str = ALICE, user: str = USER) -> Mailbox:
    """A connected mailbox whose login is `user` with PASSWORD."""
    if PASSWORD not in _digests:
        _digests[PASSWORD] = await asyncio.to_thread(digest, PASSWORD)
    return await Mailbox.create(
        account=account, address=address, provider="other", username=address, smtp_host="127.0.0.1",
        smtp_port=1, smtp_security="none", created_at=clock(), submission_user=user,
        submission_digest=_digests[PASSWORD],
    )  # fmt: skip


@dataclass
class Talk:
    """A conversation line by line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> str:
        """The last line of the next answer; empty once the server has hung up."""
        return (await self.answers())[-1]

    async def answers(self) -> list[str]:
        lines = []
        async with asyncio.timeout(60):
            while True:
                try:
                    line = (await self.reader.readline()).decode().rstrip()
                except ConnectionError:
                    line = ""
                lines.append(line)
                if line[3:4] != "-":
                    return lines

    async def say(self, *lines: str | bytes) -> str:
        """Says each line and hears its answer; the last one."""
        answer = ""
        for line in lines:
            self.writer.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
            with suppress(ConnectionError):
                await self.writer.drain()
            answer = await self.answer()
        return answer

    async def encrypt(self) -> None:
        """STARTTLS, and the handshake."""
        assert (await self.say("EHLO x", "STARTTLS")).startswith("220")
        await self.writer.start_tls(trusting())

    async def log_in(self, user: str = USER, password: str = PASSWORD) -> str:
        return await self.say("EHLO x", plain(user, password))

    async def begin(self, *to: str, sender: str = ALICE) -> str:
        """Logged in, and as far as DATA."""
        rcpt = [f"RCPT TO:<{one}>" for one in to or (ANA,)]
        return await self.say(f"MAIL FROM:<{sender}>", *rcpt, "DATA")

    async def is_over(self) -> bool:
        """Whether the server hangs up, sooner or later."""
        async with asyncio.timeout(60):
            with suppress(ConnectionError, ssl.SSLError):
                while await self.reader.read(65_536):
                    pass
        return True


def plain(user: str, password: str) -> str:
    """AUTH PLAIN with its initial response."""
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass
class Office:
    """The server, its spool, and ways to talk to it."""

    services: Services
    server: SubmissionServer
    spool: Spool
    alice: Account
    mailbox: Mailbox
    port: int
    port_tls: int
    taken: list[str] = field(default_factory=list)

    async def send(self, raw: bytes, *to: str, sender: str = ALICE, options: Any = ()) -> dict[str, Any]:
        """Sends as smtplib does, with STARTTLS; the recipients that were refused."""
        return await asyncio.to_thread(self._send, raw, to or (ANA,), sender, options)

    def _send(self, raw: bytes, to: tuple[str, ...], sender: str, options: Any) -> dict[str, Any]:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
            client.starttls(context=trusting())
            client.login(USER, PASSWORD)
            return client.sendmail(sender, list(to), raw, options)

    async def refusal(self, raw: bytes, *to: str, sender: str = ALICE) -> tuple[int, str]:
        """The code and the words with which the mail is not taken."""
        try:
            await self.send(raw, *to, sender=sender)
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code, bytes(refused.smtp_error).decode()
        except smtplib.SMTPRecipientsRefused as refused:
            code, words = next(iter(refused.recipients.values()))
            return code, words.decode()
        return 250, ""

    @asynccontextmanager
    async def talk(
        self, *, tls: bool = True, login: bool = False, come_from: str = "127.0.0.1"
    ) -> AsyncIterator[Talk]:
        """A conversation, encrypted from the first byte or not at all; the banner is heard."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port_tls if tls else self.port, ssl=trusting() if tls else None,
            local_addr=(come_from, 0),
        )  # fmt: skip
        talk = Talk(reader, writer)
        try:
            assert (await talk.answer())[:3] in ("220", "421")
            if login:
                assert (await talk.log_in()).startswith("235")
            yield talk
        finally:
            writer.transport.abort()

    def waiting(self) -> list[tuple[Envelope, bytes]]:
        """What is in the spool, oldest first."""
        return [self.spool.read(name) for name in self.spool.names()]

    def leftovers(self) -> list[Path]:
        """Files in the spool that are no mails."""
        return [path for path in self.spool.directory.iterdir() if path.name.startswith(".")]


@asynccontextmanager
async def office(database: DatabaseURL, clock: Clock, folder: Path, **settings: Any) -> AsyncIterator[Office]:
    """Alice's submission server on two free ports; `database` is open."""
    services = make_services(clock, folder, **{"base_url": "http://localhost:8080", **settings})
    alice = await builders.account("alice", clock(), owner=True)
    spool = Spool(folder / "spool")
    taken: list[str] = []
    box = await mailbox(alice, clock)
    try:
        async with submit_mail(services, spool, taken.append, "127.0.0.1", 0, 0) as server:
            assert server is not None
            yield Office(services, server, spool, alice, box, *server.ports, taken)
    finally:
        spool.close()
