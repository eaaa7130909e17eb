"""The capture server over real connections: what it takes, what it refuses, and what nobody can do to it."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from models import Captured, Message
from tests.conftest import Clock
from tests.processes.mailbell import free_port
from tests.servers.certificates import make_certificates
from tests.tracker.judging import Court, court
from tracker.mail import intake, smtp
from tracker.mail.addresses import capture_addresses
from tracker.mail.data import HOPELESS
from tracker.mail.smtp import CaptureServer, capture_mail

MAIL = b"From: alice@home.example\r\nTo: ana@acme.com\r\nSubject: Lunch\r\nMessage-ID: <%d@x>\r\n\r\nHi\r\n"


@dataclass
class Post:
    """A running capture server, alice's two addresses, and clients."""

    room: Court
    server: CaptureServer
    port: int
    secret: str
    public: str

    async def send(self, raw: bytes, *to: str, sender: str = "bounce@home.example") -> dict:
        """Sends as smtplib does: recipients that were refused."""
        return await asyncio.to_thread(self._send, raw, to or (self.secret,), sender)

    def _send(self, raw: bytes, to: tuple[str, ...], sender: str) -> dict:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
            return client.sendmail(sender, list(to), raw)

    @asynccontextmanager
    async def talk(self) -> AsyncIterator[Talk]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Talk(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@dataclass
class Talk:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> str:
        async with asyncio.timeout(20):
            while (line := (await self.reader.readline()).decode()) and line[3:4] == "-":
                pass
        return line.strip()

    async def say(self, *lines: str) -> str:
        """Says each line and hears its answer; the last one."""
        answer = ""
        for line in lines:
            self.writer.write(line.encode() + b"\r\n")
            await self.writer.drain()
            answer = await self.answer()
        return answer

    async def begin(self, to: str) -> str:
        await self.answer()
        return await self.say("EHLO x", "MAIL FROM:<a@b.example>", f"RCPT TO:<{to}>", "DATA")


@pytest.fixture
async def post(sqlite_database, clock: Clock, tmp_path: Path) -> AsyncIterator[Post]:
    async with court(sqlite_database, clock, data_dir=tmp_path) as room:
        both = await capture_addresses(room.services, room.alice)
        assert both is not None
        port = free_port()
        async with capture_mail(room.services, "127.0.0.1", port) as server:
            yield Post(room, server, port, *both)


async def test_a_copy_is_stored_before_the_250(post: Post):
    assert await post.send(MAIL % 1) == {}
    assert (await Message.get()).subject == "Lunch"


async def test_the_tag_after_the_plus_reaches_the_mail(post: Post):
    name, _, domain = post.secret.partition("@")
    await post.send(MAIL % 1, f"{name.upper()}+off@{domain}")
    assert (await Captured.get()).state == "ignored"


@pytest.mark.parametrize(
    "address", ["nobody@t.example", "postmaster@t.example", "x%{secret}", "{secret}.evil"]
)
async def test_an_unknown_address_is_refused_before_any_data(post: Post, address):
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        await post.send(MAIL % 1, address.format(secret=post.secret))
    ((code, text),) = refused.value.recipients.values()
    assert (code, text[:5]) == (550, b"5.1.1")


async def test_a_known_address_beside_unknown_ones_is_served(post: Post):
    refused = await post.send(MAIL % 1, "x@t.example", post.secret, "y@elsewhere.example")
    assert sorted(refused) == ["x@t.example", "y@elsewhere.example"]
    assert await Captured.all().count() == 1


async def test_the_public_address_refuses_what_answers_nothing(post: Post):
    with pytest.raises(smtplib.SMTPDataError) as refused:
        await post.send(MAIL % 1, post.public)
    assert refused.value.smtp_code == 550
    assert refused.value.smtp_error.startswith(b"5.7.1")
    assert await post.send(MAIL % 1, post.public, post.secret) == {}


async def test_duplicates_fold(post: Post):
    await asyncio.gather(*(post.send(MAIL % 1) for _ in range(8)))
    assert await Message.all().count() == 1
    assert await Captured.all().count() == 1


async def test_nobody_learns_what_runs_here(post: Post):
    async with post.talk() as talk:
        assert await talk.answer() == "220 t.example ESMTP"
        for line in ("EHLO x", "HELP", "NONSENSE", "AUTH PLAIN AGEAYg==", "VRFY alice", "STARTTLS"):
            assert "iosmtpd" not in await talk.say(line)
            assert "Python" not in await talk.say("NOOP")


@pytest.mark.parametrize(
    "end", ["\n.\n", "\r.\r", "\r\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\r", "\0\r\n.\0\r\n", "\r\n\0.\r\n"]
)
async def test_a_false_end_of_data_is_content(post: Post, end):
    async with post.talk() as talk:
        assert (await talk.begin(post.secret)).startswith("354")
        smuggled = (
            f"{end}MAIL FROM:<evil@b.example>\r\nRCPT TO:<{post.secret}>\r\nDATA\r\nSubject: evil\r\n\r\nx"
        )
        talk.writer.write((MAIL % 1) + smuggled.encode())
        assert (await talk.say("\r\n.")).startswith("250")
        assert (await talk.say("NOOP")).startswith("250")
    assert await Captured.all().count() == 1
    assert (await Message.get()).subject == "Lunch"


async def test_doubled_dots_are_single_again_and_a_dot_alone_is_an_empty_mail(post: Post):
    async with post.talk() as talk:
        await talk.begin(post.secret)
        assert (await talk.say("."))[:3] in ("250", "550")
    token = "a" * 22
    reader = asyncio.StreamReader()
    reader.feed_data(b"..x\r\n.\rhttps\r\n" + token.encode() + b"\r\n.\r\nNOOP\r\n")
    content = await smtp.read_content(reader)
    assert bytes(content.kept) == b".x\r\n\rhttps\r\n" + token.encode() + b"\r\n"


@pytest.mark.parametrize("line", [b"x" * 65_536, b"x" * 70 + b"\r\n"], ids=["endless line", "lines"])
async def test_120_megabytes_cost_no_memory(post: Post, line):
    await post.send(MAIL % 1)
    before = psutil.Process().memory_info().rss
    most = before
    chunk = line * (1_048_576 // len(line))
    async with post.talk() as talk:
        await talk.begin(post.secret)
        with suppress(ConnectionError):
            for _ in range(120):
                talk.writer.write(chunk)
                await talk.writer.drain()
                most = max(most, psutil.Process().memory_info().rss)
            assert (await talk.say("\r\n.")).startswith("552")
    assert most - before < 64 * 1024 * 1024
    assert HOPELESS > 120 * 1024 * 1024
    await post.send(MAIL % 2)


async def test_fifteen_hundred_recipients_are_not_taken(post: Post):
    async with post.talk() as talk:
        await talk.answer()
        await talk.say("EHLO x", "MAIL FROM:<a@b.example>")
        answers = []
        for number in range(1_500):
            name, _, domain = post.secret.partition("@")
            answers.append(await talk.say(f"RCPT TO:<{name}+{number}d@{domain}>"))
            if answers[-1][:3] in ("421", ""):
                break
    assert answers[100].startswith("452")
    assert sum(one.startswith("250") for one in answers) == 100
    assert len(answers) <= 1_001


async def test_whoever_tries_addresses_is_cut_off(post: Post):
    async with post.talk() as talk:
        await talk.answer()
        await talk.say("EHLO x", "MAIL FROM:<a@b.example>")
        answers = [await talk.say(f"RCPT TO:<try{number}@t.example>") for number in range(10)]
        assert answers[-1].startswith("421")
        assert await talk.reader.read() == b""


async def test_slow_clients_and_too_many_of_one_address_hurt_nobody_else(post: Post, monkeypatch):
    monkeypatch.setattr(smtp, "MOST_FROM_ONE", 20)
    slow = [socket.create_connection(("127.0.0.1", post.port)) for _ in range(25)]
    try:
        greetings = []
        for one in slow:
            one.settimeout(10)
            greetings.append(await asyncio.to_thread(one.recv, 100))
        assert sum(one.startswith(b"421") for one in greetings) == 5
        monkeypatch.setattr(smtp, "MOST_FROM_ONE", 50)
        async with asyncio.timeout(5):
            await post.send(MAIL % 1)
    finally:
        for one in slow:
            one.close()
    while post.server.open:
        await asyncio.sleep(0)


async def test_a_silent_client_is_cut_off(post: Post, monkeypatch):
    monkeypatch.setattr(smtp, "TIMEOUT", 0.2)
    async with post.talk() as talk:
        assert (await talk.answer()).startswith("220")
        async with asyncio.timeout(10):
            assert await talk.reader.read() == b""


async def test_400_clients_that_vanish_after_the_dot_leave_everything_usable(post: Post):
    async def vanish(number: int) -> None:
        async with post.talk() as talk:
            await talk.begin(post.secret)
            talk.writer.write((MAIL % number) + b".\r\n")
            talk.writer.transport.abort()

    for begin in range(0, 400, 40):
        with suppress(ConnectionError):
            await asyncio.gather(*(vanish(begin + one) for one in range(40)))
    async with asyncio.timeout(60):
        while post.server._work:
            await asyncio.sleep(0.05)
    assert await post.send(MAIL % 1_000) == {}
    assert await Captured.filter().count() >= 1


async def test_a_fault_of_ours_is_a_451_without_a_word_of_it(post: Post, monkeypatch):
    async def broken(*_: object) -> str:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(intake, "take_copy", broken)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        await post.send(MAIL % 1)
    assert (refused.value.smtp_code, refused.value.smtp_error) == (451, b"4.3.0 Try again later")


async def test_a_full_disk_is_a_452(post: Post, monkeypatch):
    monkeypatch.setattr(smtp, "LEAST_FREE", 1 << 62)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        await post.send(MAIL % 1)
    assert refused.value.smtp_code == 452
    assert not await Captured.exists()


async def test_at_the_end_what_is_being_stored_is_finished(post: Post):
    sending = [asyncio.create_task(post.send(MAIL % number)) for number in range(5)]
    async with asyncio.timeout(20):
        while not post.server._work:
            await asyncio.sleep(0)
    await post.server.close()
    done = await asyncio.gather(*sending, return_exceptions=True)
    taken = sum(one == {} for one in done)
    assert await Captured.all().count() >= taken


@pytest.fixture
async def encrypted_post(sqlite_database, clock: Clock, tmp_path: Path) -> AsyncIterator[Post]:
    made = make_certificates(tmp_path)
    files = {"tls_cert": str(made.certificate), "tls_key": str(made.key)}
    async with court(sqlite_database, clock, data_dir=tmp_path, **files) as room:
        both = await capture_addresses(room.services, room.alice)
        assert both is not None
        port = free_port()
        async with capture_mail(room.services, "127.0.0.1", port) as server:
            yield Post(room, server, port, *both)


async def test_providers_deliver_encrypted_where_there_is_a_certificate(encrypted_post: Post, tmp_path: Path):
    def deliver() -> tuple[bytes, dict[str, str]]:
        with smtplib.SMTP("localhost", encrypted_post.port, timeout=20) as client:
            client.ehlo()
            assert client.has_extn("starttls")
            context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
            client.starttls(context=context)
            _, said = client.ehlo()
            assert client.sendmail("a@b.example", [encrypted_post.secret], MAIL % 1) == {}
            return said, client.esmtp_features

    _, features = await asyncio.to_thread(deliver)
    assert (await Message.get()).subject == "Lunch"
    assert not {"starttls", "auth"} & {name.lower() for name in features}
    await encrypted_post.send(MAIL % 2)  # who cannot encrypt is served as well
    assert await Captured.all().count() == 2


async def test_what_is_sent_ahead_of_the_handshake_is_dropped(encrypted_post: Post, tmp_path: Path):
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    reader, writer = await asyncio.open_connection("localhost", encrypted_post.port)
    talk = Talk(reader, writer)
    await talk.answer()
    await talk.say("EHLO x")
    writer.write(b"STARTTLS\r\nMAIL FROM:<evil@b.example>\r\n")
    assert (await talk.answer()).startswith("220")
    await writer.start_tls(context, server_hostname="localhost")
    assert (await talk.say("EHLO x")).startswith("250")
    assert (await talk.say(f"RCPT TO:<{encrypted_post.secret}>")).startswith("503")
    assert (await talk.say("STARTTLS")).startswith("503")
    writer.close()


async def test_a_failed_handshake_costs_nobody_else_anything(encrypted_post: Post):
    async with encrypted_post.talk() as talk:
        await talk.answer()
        await talk.say("EHLO x")
        assert (await talk.say("STARTTLS")).startswith("220")
        talk.writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert not (await talk.reader.read()).startswith(b"HTTP")
    await encrypted_post.send(MAIL % 1)
    assert await Captured.all().count() == 1


async def test_without_a_certificate_nothing_is_offered(post: Post):
    async with post.talk() as talk:
        await talk.answer()
        talk.writer.write(b"EHLO x\r\n")
        said = await talk.reader.readuntil(b"250 HELP\r\n")
        assert b"STARTTLS" not in said
        assert (await talk.say("STARTTLS"))[:3] in ("454", "500", "502")
