"""Every real-world message through the ports of the real process: taken or refused in words, never a fault.

What comes out at the provider is the message itself, or the same but for pixel and links: same structure,
same headers, and the same picture in Chromium.
"""

from __future__ import annotations

import asyncio
import email
import io
import re
import smtplib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.async_api import Page, Route, async_playwright

from tests.clients.letters import SENDER
from tests.clients.mailbox import connect
from tests.corpora.messages import UnreachableError, fetch, messages, on_the_wire
from tests.corpora.test_rewriting import view
from tests.processes.mailbell import free_port, mailbell
from tests.servers import provider as servers
from tests.servers.certificates import make_certificates
from tests.servers.programs import need
from tests.servers.provider import Provider, running_provider
from tracker.web.hits import GIF

pytestmark = pytest.mark.long

# Bytes that no mail may hold, a header that may stand once, no From that can be read.
DOCUMENTED = re.compile(rb"5\.6\.0 ")
PICTURES = 25
_PIXEL = re.compile(r"<img [^>]*/o/[^>]*>")
_FROM = re.compile(rb"(?im)^from[ \t]*:.*\r?\n(?:[ \t].*\r?\n)*")


@pytest.fixture(scope="module")
def found() -> list[tuple[str, bytes]]:
    """Every message twice, as it came and as a client puts it on the wire; From is the account's."""
    try:
        fetch()
    except UnreachableError as error:
        pytest.skip(f"no corpora: {error}")
    made = [(name, from_us(raw)) for name, raw in messages()]
    assert len(made) >= 150
    return [one for name, raw in made for one in ((name, on_the_wire(raw)), (f"{name}, raw", raw))]


def from_us(raw: bytes) -> bytes:
    """The message as if the account had written it."""
    end = re.search(rb"\r?\n\r?\n", raw)
    at = end.start() + 2 if end else len(raw)
    line_end = b"\r\n" if b"\r\n" in raw[:at] else b"\n"
    return b"From: Me <" + SENDER.encode() + b">" + line_end + _FROM.sub(b"", raw[:at]) + raw[at:]


class Client(smtplib.SMTP):
    """Sends bytes as they are; the library's would mend their line ends."""

    def give(self, raw: bytes, to: str) -> tuple[int, bytes]:
        self.mail(SENDER)
        code, said = self.rcpt(to)
        if code != 250:
            self.rset()
            return code, said
        self.docmd("DATA")
        assert self.sock is not None
        stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
        self.sock.sendall(stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self.getreply()


async def test_capture_takes_every_message_or_says_why_not(found: list[tuple[str, bytes]], tmp_path: Path):
    port = free_port()
    async with mailbell(tmp_path, "--json", CAPTURE_PORT=str(port)) as bell:
        await bell.say("capture")
        secret = (await bell.wait_for(lambda line: line["kind"] == "reply"))["capture_address"]
        answers: Counter[tuple[int, bytes]] = Counter()

        def give_all() -> None:
            for begin in range(0, len(found), 50):
                with Client("127.0.0.1", port, timeout=30) as client:
                    client.ehlo()
                    for name, raw in found[begin : begin + 50]:
                        answer = client.give(raw, secret)
                        assert answer[0] == 250 or DOCUMENTED.match(answer[1]), (name, answer)
                        answers[answer] += 1

        await asyncio.to_thread(give_all)
        print(f"\ncapture: {dict(answers)}")  # noqa: T201
        assert answers.total() == len(found)
        assert await bell.end() == 0
    assert not any("Traceback" in line for line in bell.errors)


@asynccontextmanager
async def sending(folder: Path) -> AsyncIterator[tuple[Provider, Client]]:
    """A provider that keeps every byte, and a client that is logged in at mailbell."""
    own, port = make_certificates(folder), free_port()
    settings = {
        "SUBMISSION_PORT": str(port), "TLS_CERT": str(own.certificate), "TLS_KEY": str(own.key),
        "ALLOW_PRIVATE_UPSTREAM": "true",
    }  # fmt: skip
    async with running_provider(users={SENDER: "secret"}) as provider:
        async with mailbell(folder, "--json", **settings) as bell:
            await bell.say("help")
            await bell.wait_for(lambda line: line["kind"] == "reply")
            login = await connect(bell, folder, provider.port, SENDER, "secret", "none", settings)

            def log_in() -> Client:
                client = Client("localhost", port, timeout=30)
                client.starttls(context=ssl.create_default_context(cafile=str(own.authority)))
                client.login(*login)
                return client

            client = await asyncio.to_thread(log_in)
            yield provider, client
            await asyncio.to_thread(client.quit)
            assert await bell.end() == 0
        assert not any("Traceback" in line for line in bell.errors)


async def test_sending_takes_every_message_and_changes_nothing_else(
    found: list[tuple[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(servers._Server, "line_length_limit", 1 << 24, raising=False)
    async with sending(tmp_path) as (provider, client):
        answers: Counter[bytes] = Counter()
        taken: dict[str, tuple[str, bytes]] = {}

        def give_all() -> None:
            for number, (name, raw) in enumerate(found):
                code, said = client.give(raw, f"r{number}@acme.com")
                assert code == 250 or (code == 550 and DOCUMENTED.match(said)), (name, code, said)
                answers[said.partition(b" as ")[0]] += 1
                if code == 250:
                    taken[f"r{number}@acme.com"] = name, raw

        await asyncio.to_thread(give_all)
        got = {one.to: one.content for one in await provider.until(len(taken), 120)}
    assert got.keys() == taken.keys()
    changed, broken = [], []
    for address, (name, raw) in taken.items():
        before = without_bcc(raw if raw.endswith(b"\r\n") else raw + b"\r\n")
        copy = without_bcc(without_added(got[address], before))
        if copy != before:
            same = view(copy) == view(before) and any("/o/" in page for page in _pages(copy))
            (changed if same else broken).append((name, before, copy))
    assert not broken, [name for name, *_ in broken]
    print(f"\nsending: {dict(answers)}, {len(changed)} with a pixel of {len(taken)}")  # noqa: T201
    assert len(taken) >= 150
    assert len(changed) >= 20
    assert await same_pictures(changed) >= 20


def without_added(copy: bytes, before: bytes) -> bytes:
    """Without the Message-ID and Date that a mail gets on its way if it has none (RFC 6409, 8.2 and 8.3)."""
    head = b"\n" + before.partition(b"\r\n\r\n")[0].lower()
    for name in (b"Message-ID", b"Date"):
        if b"\n" + name.lower() + b":" not in head:
            copy = re.sub(rb"\A((?:Date: .*\r\n)?)" + name + rb": .*\r\n", rb"\1", copy)
    return copy


def without_bcc(raw: bytes) -> bytes:
    head, middle, body = raw.partition(b"\r\n\r\n")
    return re.sub(rb"(?im)^bcc[ \t]*:.*\r\n(?:[ \t].*\r\n)*", b"", head + b"\r\n") + middle + body


async def same_pictures(changed: list[tuple[str, bytes, bytes]]) -> int:
    """Shows a sample before and after in Chromium; how many looked the same to the last dot.

    An image of one dot within a line moves the words after it by one: those must look the same without it.
    """
    (chromium,) = need("chromium")
    step = max(1, len(changed) // PICTURES)
    same = compared = 0
    async with async_playwright() as player:
        browser = await player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 800, "height": 1200}, java_script_enabled=False)
        await page.route("**/*", _only_pixels)
        for name, before, after in changed[::step]:
            for one, other in zip(_pages(before), _pages(after), strict=True):
                wanted = await _picture(page, one)
                compared += 1
                if _are_same(wanted, await _picture(page, other)):
                    same += 1
                else:
                    assert _are_same(wanted, await _picture(page, _PIXEL.sub("", other))), name
        await browser.close()
    print(f"{same} of {compared} pictures are the same, the others but for the place of a dot")  # noqa: T201
    assert same > 0.9 * compared
    return compared


def _are_same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


async def _only_pixels(route: Route) -> None:
    if "/o/" in route.request.url:
        await route.fulfill(body=GIF, content_type="image/gif")
    else:
        await route.abort()


def _pages(raw: bytes) -> list[str]:
    """The parts of HTML that are shown."""
    found = []
    for part in email.message_from_bytes(raw).walk():
        if part.get_content_type() == "text/html" and part.get_content_disposition() != "attachment":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found.append(content.decode("latin-1"))
    return found


async def _picture(page: Page, html: str) -> Image.Image:
    await page.set_content(html, wait_until="load")
    return Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
