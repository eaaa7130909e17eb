"""A mail, sent by real mail programs through mailbell to a real provider, and opened in a real browser."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import async_playwright

from tests.clients.comparing import check_unchanged, difference, links_of, page_of, token_of
from tests.clients.conftest import Gate, gate
from tests.clients.letters import Letter, Outgoing
from tests.clients.mailbox import connect
from tests.clients.senders import SENDERS, with_smtplib
from tests.processes.mailbell import Mailbell, free_port, mailbell
from tests.servers.certificates import make_certificates
from tests.servers.postfix import PASSWORD, USER, Postfix, postfix
from tests.servers.programs import need
from tracker.sending.spool import Spool

PAGE = (
    "<html><head><title>Q3</title></head><body>\n"
    '<p>Grüße, <a href="https://acme.com/deck?a=1&amp;b=2">the deck</a></p>\n'
    '<p><a href="https://acme.com/price#notrack">price</a>, <a href="https://acme.com/unsubscribe">'
    f"leave</a></p>\n<p>{'words and words ' * 20}</p>\n</body></html>\n"
)
READER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 "
    "Safari/537.36"
)
SOONEST = 1.1  # seconds after the hand-over; what asks before is no person (PRODUCT.md, rule 15)
TO, CC, BCC = ("ana@acme.com", "bob@acme.com"), ("zoe@acme.com",), ("eve@acme.com",)


@dataclass
class Way:
    """A running mailbell with a connected mailbox, the provider behind it, and the gate between them."""

    bell: Mailbell
    folder: Path
    provider: Postfix
    gate: Gate
    servers: dict[str, Outgoing]  # by security, as its user types them into a mail program

    async def submitted(self) -> bytes:
        """The mail as it came in, while the provider cannot be reached."""
        folder = self.folder / "data" / "spool"
        spool = Spool(folder)
        try:
            while not (names := spool.names()):
                await asyncio.sleep(0.02)
            return spool.read(names[0])[1]
        finally:
            spool.close()


@asynccontextmanager
async def way_through(folder: Path) -> AsyncIterator[Way]:
    own = make_certificates(folder)
    ports = {"starttls": free_port(), "tls": free_port()}
    async with postfix() as provider, gate(provider.port) as between:
        settings = {
            "SUBMISSION_PORT": str(ports["starttls"]), "SUBMISSIONS_PORT": str(ports["tls"]),
            "TLS_CERT": str(own.certificate), "TLS_KEY": str(own.key), "ALLOW_PRIVATE_UPSTREAM": "true",
            "SSL_CERT_FILE": str(provider.certificates.authority),
        }  # fmt: skip
        async with mailbell(folder, "--json", **settings) as bell:
            await bell.say("help")
            await bell.wait_for(lambda line: line["kind"] == "reply")
            between.is_open.set()
            user, password = await connect(bell, folder, between.port, USER, PASSWORD, "starttls", settings)
            between.is_open.clear()
            servers = {
                security: Outgoing(port, security, user, password, own.authority)
                for security, port in ports.items()
            }
            yield Way(bell, folder, provider, between, servers)
            assert await bell.end() == 0


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    async with way_through(tmp_path) as made:
        yield made


@asynccontextmanager
async def chromium() -> AsyncIterator[Callable[[bytes, Path], Awaitable[None]]]:
    """Shows HTML as a mail program does, pictures and all; each call returns once they are loaded."""
    (program,) = need("chromium")
    async with async_playwright() as player:
        browser = await player.chromium.launch(executable_path=program, args=["--no-sandbox"])

        async def show(page: bytes, file: Path) -> None:
            file.write_bytes(page)
            context = await browser.new_context(user_agent=READER)
            shown = await context.new_page()
            await shown.goto(file.as_uri(), wait_until="load")
            assert await shown.evaluate("[...document.images].every(image => image.naturalWidth == 1)")
            await context.close()

        yield show
        await browser.close()


async def where(url: str) -> str:
    """Where a tracked link leads to."""
    async with (
        aiohttp.ClientSession(headers={"User-Agent": READER}) as session,
        session.get(url.replace("localhost", "127.0.0.1"), allow_redirects=False) as answer,
    ):
        assert answer.status == 302
        return str(answer.headers["Location"])


# Each program once by each way; the second of them among the long tests.
QUICK = {"smtplib": "tls", "swaks": "starttls", "msmtp": "tls", "neomutt": "starttls", "thunderbird": "tls"}
WAYS = [
    pytest.param(name, security, marks=() if security == quick else pytest.mark.long)
    for name, quick in QUICK.items()
    for security in ("starttls", "tls")
]


@pytest.mark.parametrize(("program", "security"), WAYS)
async def test_each_recipient_gets_a_copy_of_their_own_and_nothing_else_changes(
    way: Way, home: Path, program: str, security: str
):
    send = SENDERS[program]
    await send(Letter("Q3 proposal", PAGE, TO, CC, BCC), way.servers[security], home)
    submitted = await way.submitted()
    way.gate.is_open.set()
    tokens = set()
    for address in (*TO, *CC, *BCC):
        (copy,) = await way.provider.until(lambda address=address: way.provider.mails(address))
        tracked = [one for one in links_of(copy) if urlsplit(one).path.startswith("/c/")]
        assert len(tracked) == 1
        assert await where(tracked[0]) == "https://acme.com/deck?a=1&b=2"
        check_unchanged(submitted, copy, {tracked[0]: "https://acme.com/deck?a=1&amp;b=2"})
        tokens.add(token_of(copy))
        seen = email.message_from_bytes(copy, policy=email.policy.SMTP)
        assert seen["Bcc"] is None
        print(difference(submitted, copy))  # noqa: T201
    assert len(tokens) == 4
    assert all(len(way.provider.mails(one)) == 1 for one in (*TO, *CC, *BCC))


async def test_a_copy_opened_in_chromium_rings_with_its_recipients_name(way: Way, home: Path):
    way.gate.is_open.set()
    await with_smtplib(Letter("Q3 proposal", PAGE, TO), way.servers["starttls"], home)
    copies = {}
    for address in TO:
        (copies[address],) = await way.provider.until(lambda address=address: way.provider.mails(address))
    await asyncio.sleep(SOONEST)
    async with chromium() as show:
        for address in reversed(TO):
            await show(page_of(copies[address]), home / f"{address}.html")
            rung = await way.bell.wait_for(
                lambda line, address=address: line.get("event") == "open" and line["recipient"] == address
            )
            assert rung["count"] == 1
            assert f'"Q3 proposal" was opened by {address}' in rung["text"]
    (tracked,) = [one for one in links_of(copies["bob@acme.com"]) if "/c/" in one]
    assert await where(tracked) == "https://acme.com/deck?a=1&b=2"
    card = await way.bell.wait_for(lambda line: line["kind"] == "card_edit" and "clicked" in line["text"])
    (bob,) = [line for line in card["text"].splitlines() if line.startswith("bob@acme.com")]
    assert "clicked" in bob
    assert len([line for line in way.bell.lines if line.get("event") == "open"]) == 2
