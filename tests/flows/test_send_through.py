"""From a mail program through mailbell to the provider, as processes: what arrives, rings, and is told."""

from __future__ import annotations

import asyncio
import email.utils
import json
import quopri
import re
import smtplib
import sqlite3
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.flows.test_newcomer import SAFARI, short_command
from tests.processes.mailbell import Mailbell, free_port, mailbell
from tests.servers.provider import Got, Provider, running_provider

HOME, PASSWORD = "me@home.example", "the provider's password"
PIXEL = re.compile(r"http://[\w.:]+/o/[\w-]{22}\.gif")


@dataclass
class Login:
    """What a mail program is set up with."""

    port: int
    user: str
    password: str


@dataclass
class House:
    """A directory of one mailbell, which may be started again and again."""

    folder: Path
    provider: Provider
    web_port: int
    submission_port: int
    postgres: str = ""  # URL; empty for SQLite
    login: Login | None = None

    @property
    def settings(self) -> dict[str, str]:
        given = {"SUBMISSION_PORT": str(self.submission_port), "ALLOW_PRIVATE_UPSTREAM": "true"}
        return {**given, "DATABASE_URL": self.postgres} if self.postgres else given

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, committed."""
        if self.postgres:
            connection = await asyncpg.connect(self.postgres)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()
        with closing(sqlite3.connect(self.folder / "data" / "mailbell.db")) as database, database:
            return database.execute(statement).fetchall()

    @asynccontextmanager
    async def bell(self) -> AsyncIterator[Mailbell]:
        async with mailbell(self.folder, "--json", port=self.web_port, **self.settings) as running:
            await running.say("help")
            await running.wait_for(lambda line: line["kind"] == "reply")
            if self.login is None:
                self.login = await self._connect()
            yield running

    async def _connect(self) -> Login:
        (self.folder / "password").write_text(PASSWORD)
        code, out, err = await short_command(
            self.folder, self.web_port, "connect", "--host", "127.0.0.1", "--port", str(self.provider.port),
            "--security", "none", "--user", HOME, "--password-file", "password", "--address", HOME, "--json",
            **self.settings,
        )  # fmt: skip
        assert code == 0, err
        made = json.loads(out)
        return Login(self.submission_port, made["submission_user"], made["submission_password"])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running_provider(users={HOME: PASSWORD}) as provider:
        yield House(tmp_path, provider, free_port(), free_port())


def written(number: str = "1", html: str | None = "<p>Größe, <a href='https://acme.com/deck'>deck</a></p>"):
    message = EmailMessage()
    message["From"] = f"Me <{HOME}>"
    message["To"] = "Ana <ana@acme.com>, bob@acme.com"
    message["Cc"] = "cy@acme.com"
    message["Subject"] = "Q3 proposal"
    message["Message-ID"] = f"<{number}@home.example>"
    message["Date"] = email.utils.formatdate(time.time())
    message.set_content("See the HTML part\n")
    if html is not None:
        message.add_alternative(f"<html><body>{html}</body></html>", subtype="html", cte="quoted-printable")
    return message


def submit(login: Login, raw: bytes, *to: str) -> None:
    """As a mail program does: STARTTLS, login, one transaction."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # of a trial: its own certificate
    with smtplib.SMTP("127.0.0.1", login.port, timeout=30) as client:
        client.starttls(context=context)
        client.login(login.user, login.password)
        client.sendmail(HOME, list(to), raw)


def pixel_of(got: Got) -> str:
    (url,) = PIXEL.findall(quopri.decodestring(got.content).decode(errors="replace"))
    return url.replace("localhost", "127.0.0.1")


def without_edits(content: bytes) -> bytes:
    """The mail with its pixel and tracked link as they were, and the encoding's own line ends gone."""
    plain = quopri.decodestring(content)
    plain = re.sub(rb'<img src="[^"]*/o/[^>]*>', b"", plain)
    return re.sub(rb"http://[\w.:]+/c/[\w-]{22}", b"https://acme.com/deck", plain)


async def test_each_recipient_gets_a_copy_and_rings_by_name(house: House):
    to = ("ana@acme.com", "bob@acme.com", "cy@acme.com", "dan@acme.com")
    raw = written().as_bytes(policy=email.policy.SMTP).replace(b"Cc:", b"Bcc: dan@acme.com\r\nCc:", 1)
    async with house.bell() as bell:
        await asyncio.to_thread(submit, house.login, raw, *to)
        got = await house.provider.until(4)
        assert sorted(one.to for one in got) == sorted(to)
        assert len({pixel_of(one) for one in got}) == 4
        clean = raw.replace(b"Bcc: dan@acme.com\r\n", b"")
        head = clean.partition(b"\r\n\r\n")[0]
        for one in got:
            assert one.content.partition(b"\r\n\r\n")[0] == head
            assert without_edits(one.content) == quopri.decodestring(clean)
            assert (one.sender, one.user) == (HOME, HOME)
        card = await bell.wait_for(lambda line: line["kind"].startswith("card") and "dan@" in line["text"])
        assert "Q3 proposal" in card["text"]
        await asyncio.sleep(1.1)  # a person is not faster than that after the hand-over
        for address in ("bob@acme.com", "dan@acme.com"):
            (copy,) = house.provider.of(address)
            async with (
                aiohttp.ClientSession(headers={"User-Agent": SAFARI}) as session,
                session.get(pixel_of(copy)) as answer,
            ):
                assert answer.status == 200
            rung = await bell.wait_for(
                lambda line, who=address: line.get("event") == "open" and line["recipient"] == who
            )
            assert f"opened by {address}" in rung["text"]
        assert await bell.end() == 0


UNTOUCHED = {
    "plain text": (written(html=None).as_bytes(policy=email.policy.SMTP), "plain text"),
    "DKIM": (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=home.example; s=x; bh=x; b=x\r\n"
        + written("2").as_bytes(policy=email.policy.SMTP),
        "signed",
    ),
    "S/MIME": (
        b"From: me@home.example\r\nTo: ana@acme.com\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
        b"Message-ID: <s@home.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>Hi</p>\r\n--b\r\n"
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nx\r\n--b--\r\n",
        "signed",
    ),
    "PGP": (
        b"From: me@home.example\r\nTo: ana@acme.com\r\nSubject: e\r\nMIME-Version: 1.0\r\n"
        b"Message-ID: <e@home.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
        b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n--b--\r\n",
        "encrypted",
    ),
    "calendar": (
        b"From: me@home.example\r\nTo: ana@acme.com\r\nSubject: c\r\nMIME-Version: 1.0\r\n"
        b"Message-ID: <c@home.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>Hi</p>\r\n--b\r\n"
        b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n--b--\r\n",
        "calendar invitation",
    ),
}


async def test_what_must_not_be_changed_arrives_byte_for_byte_and_is_told(house: House):
    async with house.bell() as bell:
        for number, (raw, reason) in enumerate(UNTOUCHED.values(), 1):
            before = len(bell.lines)
            await asyncio.to_thread(submit, house.login, raw, "ana@acme.com")
            got = await house.provider.until(number)
            assert got[-1].content == raw
            told = await bell.wait_for(
                lambda line, before=before: line.get("event") == "notice" and line in bell.lines[before:]
            )
            assert f"not tracked: {reason}" in told["text"]
        assert await bell.end() == 0


async def test_a_mail_written_in_the_chat_goes_out_tracked(house: House):
    async with house.bell() as bell:
        await bell.say("write Ana <ana@acme.com> Q3 proposal | Hi Ana, look: https://acme.com/deck")
        reply = await bell.wait_for(lambda line: "On its way" in line.get("text", ""))
        assert HOME in reply["text"]
        (got,) = await house.provider.until(1)
        text = quopri.decodestring(got.content).decode(errors="replace")
        assert re.search(r'<a href="http://[^"]*/c/[\w-]{22}">deck</a>', text)
        assert "look: https://acme.com/deck" in text
        pixel_of(got)
        await bell.wait_for(
            lambda line: line["kind"].startswith("card") and "ana@acme.com: sent" in line["text"]
        )
        assert await bell.end() == 0


async def kill_rounds(house: House, rounds: int, recipients: int = 2, drops: int = 0) -> None:
    """Submits, is killed, begins again; in some rounds `drops` of the provider's answers get lost."""
    to = [f"r{number}@acme.com" for number in range(recipients)]
    accepted: list[str] = []
    stopping = False

    async def programs(login: Login, round_number: int, lane: int) -> None:
        number = 0
        while not stopping:
            name = f"{round_number}-{lane}-{number}"
            number += 1
            raw = written(name).as_bytes(policy=email.policy.SMTP)
            try:
                await asyncio.to_thread(submit, login, raw, *to)
            except (OSError, smtplib.SMTPException):
                return
            accepted.append(name)

    for number in range(rounds):
        async with house.bell() as bell:
            assert house.login is not None
            stopping = False
            house.provider.drops = drops if number % 3 == 1 else 0
            running = [asyncio.create_task(programs(house.login, number, lane)) for lane in range(4)]
            await house.provider.until(len(house.provider.mails) + 4, 60)
            await asyncio.sleep(0.1 * (number % 5))
            bell.process.kill()
            await bell.process.wait()
            stopping = True
            await asyncio.gather(*running)
    house.provider.drops = 0
    await house.sql("UPDATE outgoing SET next_at = 0 WHERE state = 'waiting'")  # the pauses pass
    async with house.bell() as bell:
        spool = house.folder / "data" / "spool"
        async with asyncio.timeout(120):
            while [one for one in spool.iterdir() if not one.name.startswith(".")]:
                await asyncio.sleep(0.2)
        assert await bell.end() == 0
    await check(house, accepted, to)


async def check(house: House, accepted: list[str], to: list[str]) -> None:
    got = Counter(
        (re.search(rb"Message-ID: <([^@]+)@", one.content)[1].decode(), one.to)
        for one in house.provider.mails
    )
    missing = [(name, address) for name in accepted for address in to if not got[name, address]]
    assert not missing
    marked = set(
        await house.sql(
            "SELECT m.message_id_header, o.address FROM outgoing o JOIN message m ON m.id = o.message_id "
            "WHERE o.maybe_sent"
        )
    )
    states = {state for (state,) in await house.sql("SELECT state FROM outgoing")}
    told = "SELECT id FROM alert WHERE event = 'notice' AND CAST(facts AS TEXT) LIKE '%arrived twice%'"
    twice = {(f"{name}@home.example", address) for (name, address), count in got.items() if count > 1}
    assert twice <= marked, twice - marked
    assert states == {"sent"}
    assert len(await house.sql(told)) >= len(twice)
    print(f"{len(accepted)} mails taken, {len(twice)} copies twice, {len(marked)} marked")  # noqa: T201


async def test_a_kill_loses_nothing_and_doubles_nothing_unmarked(house: House):
    await kill_rounds(house, 2)


@pytest.mark.long
async def test_ten_kills_lose_nothing_and_double_nothing_unmarked(house: House):
    await kill_rounds(house, 10, drops=3)


@pytest.mark.long
async def test_three_kills_on_postgres_lose_nothing_and_double_nothing_unmarked(
    house: House, postgres_url: str
):
    house.postgres = postgres_url
    await kill_rounds(house, 3, drops=3)
