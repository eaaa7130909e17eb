"""Hostile mail at the capture port of the real process: it gets nowhere, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.flows.test_newcomer import SAFARI
from tests.processes.mailbell import Mailbell, free_port, mailbell

MEGABYTE = 1 << 20
P99 = 0.25  # seconds
BOMB = 5.0  # seconds


@dataclass
class Target:
    """A running mailbell, its capture port, the owner's secret address, and a pixel."""

    bell: Mailbell
    port: int
    secret: str
    pixel: str
    folder: Path
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def subjects(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "mailbell.db")) as file:
            return [row[0] for row in file.execute("SELECT subject FROM message WHERE origin = 'capture'")]

    async def talk(self, *lines: bytes) -> Talk:
        """A conversation as far as DATA, if no other lines are said."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        talk = Talk(reader, writer, [])
        await talk.hear()
        rcpt = b"RCPT TO:<" + self.secret.encode() + b">"
        for line in lines or (b"EHLO x", b"MAIL FROM:<a@b.example>", rcpt, b"DATA"):
            await talk.say(line)
        return talk

    async def give(self, raw: bytes) -> str:
        """Sends a mail; the answer after the dot."""
        talk = await self.talk()
        answer = await talk.say(raw + b"\r\n.")
        talk.writer.close()
        return answer


@dataclass
class Talk:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[str]

    async def hear(self) -> str:
        async with asyncio.timeout(60):
            while (line := (await self.reader.readline()).decode()) and line[3:4] == "-":
                pass
        self.heard.append(line.strip())
        return line.strip()

    async def say(self, line: bytes) -> str:
        self.writer.write(line + b"\r\n")
        await self.writer.drain()
        return await self.hear()


@asynccontextmanager
async def target(folder: Path, **settings: str) -> AsyncIterator[Target]:
    port = free_port()
    async with mailbell(folder, "--json", CAPTURE_PORT=str(port), ARM_AFTER_SECONDS="0", **settings) as bell:
        await bell.say("track ana@acme.com")
        reply = await bell.wait_for(lambda line: line["kind"] == "reply")
        pixel = reply["pixel_url"].replace("localhost", "127.0.0.1")
        made = Target(bell, port, reply["capture_address"], pixel, folder)
        try:
            yield made
        finally:
            for writer in made.writers:
                writer.transport.abort()
            await asyncio.sleep(0)
        assert await bell.end() == 0
        for word in ("Traceback", "Task exception", "never retrieved"):
            assert not any(word in line for line in bell.errors), bell.errors[-30:]


@pytest.fixture
async def hostile(tmp_path: Path) -> AsyncIterator[Target]:
    async with target(tmp_path) as made:
        yield made


def letter(subject: str, *headers: str, body: str = "Hi") -> bytes:
    lines = ["From: me@home.example", "To: ana@acme.com", f"Subject: {subject}", *headers, "", body]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


async def slowest(ask: Callable[[], object], count: int) -> float:
    """The 99th percentile of so many, in seconds."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        await ask()  # type: ignore[misc]
        took.append(time.perf_counter() - began)
    return sorted(took)[int(count * 0.99) - 1]


async def open_pixel(where: Target) -> None:
    async with (
        aiohttp.ClientSession(headers={"User-Agent": SAFARI}) as session,
        session.get(where.pixel) as answer,
    ):
        assert answer.status == 200


BREAKS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0\r\n",
    b"\r\0\n",
    b"\r\n\0",
    b"\r\r\n",
    b"\x85",
    b"\xe2\x80\xa8",
    b"\x0b",
)
FALSE_ENDS = [
    pytest.param(one + b"." + other, id=f"{one!r}.{other!r}")
    for one, other in itertools.product(BREAKS, BREAKS)
    if not (one.endswith(b"\r\n") and other.startswith(b"\r\n"))
]


async def test_no_mixture_of_line_ends_smuggles_a_second_mail(hostile: Target):
    for number, end in enumerate(one.values[0] for one in FALSE_ENDS):
        talk = await hostile.talk()
        smuggled = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: evil\r\n\r\nx"
        talk.writer.write(letter(f"mail {number}") + end + smuggled % hostile.secret.encode())
        assert (await talk.say(b"\r\n.")).startswith("250"), end
        assert (await talk.say(b"NOOP")).startswith("250"), end  # one answer for one mail
        talk.writer.close()
    subjects = await _settled(hostile, len(FALSE_ENDS))
    assert sorted(subjects) == sorted(f"mail {number}" for number in range(len(FALSE_ENDS)))


async def _settled(hostile: Target, count: int) -> list[str]:
    async with asyncio.timeout(60):
        while len(subjects := hostile.subjects()) < count:
            await asyncio.sleep(0.1)
    return subjects


async def test_controls_and_line_separators_in_a_header_make_no_other_header(hostile: Target):
    controls = [*range(9), 11, 12, *range(14, 32), 127, 0x85, 0x2028, 0x2029]
    for number, control in enumerate(controls):
        one = chr(control)
        evil = f"mail {number}.{one}To: mallory@evil.example{one}Bcc: mallory@evil.example{one}{one}mallory"
        assert (await hostile.give(letter(evil))).startswith("250"), control
    subjects = await _settled(hostile, len(controls))
    assert len({subject.partition(".")[0] for subject in subjects}) == len(controls)
    assert all(subject.isprintable() for subject in subjects)
    with contextlib.closing(sqlite3.connect(hostile.folder / "data" / "mailbell.db")) as file:
        assert {row[0] for row in file.execute("SELECT address FROM recipient")} == {"ana@acme.com"}


FOREIGN = [
    "victim@gmail.example", "victim%gmail.example@localhost", '"victim@gmail.example"@localhost',
    "gmail.example!victim@localhost", "gmail.example!victim", "@localhost:victim@gmail.example",
    "@localhost,@gmail.example:victim@x.example", "victim@[127.0.0.1]", "victim@127.0.0.1", "victim", "",
    "{}@gmail.example", "{}%gmail.example@localhost", "localhost!{}@gmail.example",
    "{}@localhost@gmail.example", "{}@localhost.gmail.example", "{}@[127.0.0.1]",
    "{}@localhost\tvictim@gmail.example", "postmaster@localhost", "{}\u3002@localhost",
    "x" * 400 + "@localhost", "{}+" + "d" * 400 + "@localhost", "../{}@localhost",
]  # fmt: skip


async def test_no_form_of_an_address_makes_it_a_relay(hostile: Target):
    name = hostile.secret.partition("@")[0]
    for address in FOREIGN:
        talk = await hostile.talk(b"EHLO x", b"MAIL FROM:<a@b.example> SMTPUTF8")
        answer = await talk.say(f"RCPT TO:<{address.format(name)}>".encode())
        assert answer[:3] in ("501", "500", "550", "553"), (address, answer)
        assert (await talk.say(b"DATA")).startswith("503"), address
        talk.writer.close()


async def test_nothing_that_is_said_shows_what_runs_here(hostile: Target):
    rude = [
        b"HELP", b"HELP MAIL", b"VRFY <x@y>", b"EXPN all", b"AUTH PLAIN AGEAYg==", b"BDAT 10 LAST",
        b"MAIL FROM:<a@b> SIZE=x", b"MAIL FROM:<a@b> SIZE=999999999999", b"MAIL FROM:<a@b> BODY=X",
        b"MAIL FROM:<\xff\xfe>", b"MAIL FROM:<\xe2\x80\xa8@x> SMTPUTF8", b"RCPT TO:<\xff>", b"\x00\x01\x02",
        b"EHLO \xff", b"MAIL FROM:<" + b"(" * 300 + b"@x>", b'MAIL FROM:<"' + b"\\" * 400 + b'"@x>',
        b"X" * 2_000, b"RCPT", b"DATA x", b"STARTTLS x", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1", b"GET / HTTP/1.1",
    ]  # fmt: skip
    for line in rude:
        talk = await hostile.talk(b"EHLO x", line, b"NOOP")
        for answer in talk.heard:
            assert answer[:1] in ("2", "3", "4", "5"), (line, answer)
            for word in ("Error: (", "Exception", "Traceback", "iosmtpd", "ython", "object at"):
                assert word not in answer, (line, answer)
        talk.writer.close()


@pytest.mark.long
@pytest.mark.parametrize("line", [b"x" * MEGABYTE, (b"x" * 70 + b"\r\n") * 14_563], ids=["endless", "lines"])
async def test_120_megabytes_cost_the_process_no_memory(hostile: Target, line: bytes):
    assert (await hostile.give(letter("before"))).startswith("250")  # the parsers run now
    processes = [psutil.Process(hostile.bell.process.pid)]
    processes += processes[0].children(recursive=True)

    def memory() -> int:
        return sum(one.memory_info().rss for one in processes)

    before = most = memory()
    talk = await hostile.talk()
    with contextlib.suppress(ConnectionError):
        for _ in range(120):
            talk.writer.write(line)
            await talk.writer.drain()
            most = max(most, memory())
        assert (await talk.say(b"\r\n.")).startswith("552")
    print(f"\ngrew by {(most - before) / MEGABYTE:.1f} MB")  # noqa: T201
    assert most - before < 64 * MEGABYTE
    assert (await hostile.give(letter("after"))).startswith("250")


@pytest.mark.long
async def test_200_slow_clients_hurt_nobody_else(hostile: Target):
    async def drip() -> None:
        talk = await hostile.talk()
        for byte in itertools.cycle(letter("slow")[:-1]):
            talk.writer.write(bytes([byte]))
            await asyncio.sleep(0.1)

    numbers = itertools.count()

    async def mail() -> None:
        assert (await hostile.give(letter(f"quick {next(numbers)}"))).startswith("250")

    async with asyncio.TaskGroup() as group:
        slow = [group.create_task(drip()) for _ in range(200)]
        await asyncio.sleep(3)
        assert not any(one.done() for one in slow)
        pixels, mails = await slowest(lambda: open_pixel(hostile), 200), await slowest(mail, 100)
        for one in slow:
            one.cancel()
    print(f"\np99 beside 200 slow clients: pixel {pixels * 1e3:.0f} ms, mail {mails * 1e3:.0f} ms")  # noqa: T201
    assert pixels < P99
    assert mails < P99


@pytest.mark.long
async def test_600_clients_that_vanish_after_the_dot_leave_everything_usable(hostile: Target):
    async def vanish(number: int) -> None:
        with contextlib.suppress(ConnectionError):
            talk = await hostile.talk()
            talk.writer.write(letter(f"vanished {number}") + b"\r\n.\r\n")
            if number % 3:
                talk.writer.transport.abort()
            elif number % 2:
                talk.writer.close()
            else:
                assert (await talk.hear())[:3] in ("250", "451")
                if talk.heard[-1].startswith("250"):
                    taken.add(f"vanished {number}")

    taken: set[str] = set()
    for begin in range(0, 600, 100):
        await asyncio.gather(*(vanish(begin + one) for one in range(100)))
    assert (await hostile.give(letter("after"))).startswith("250")
    await open_pixel(hostile)
    await hostile.bell.say("list")
    await hostile.bell.wait_for(lambda line: line.get("command") == 2)
    async with asyncio.timeout(120):
        while not {*taken, "after"} <= set(hostile.subjects()):
            await asyncio.sleep(0.2)
    assert len(taken) > 50


def bombs() -> dict[str, bytes]:
    """Mails that take a parser minutes, or its stack; each below the limit of size."""
    mixed = 'Content-Type: multipart/mixed; boundary="{0}"\r\n\r\n--{0}\r\n'
    word = "=?utf-8?q?=C3=A4?="
    return {
        "depth": letter("depth", "".join(mixed.format(f"b{number}") for number in range(5_000))),
        "parts": letter("parts", mixed.format("b"), body="--b\r\n\r\nx\r\n" * 150_000),
        "rfc822": letter("rfc822", "Content-Type: message/rfc822\r\n\r\n" * 20_000),
        "headers": letter("headers", *(f"X-{number}: x" for number in range(100_000))),
        "long header": letter("long " + "x" * 1_500_000),
        "encoded words": letter((word + " ") * 60_000),
        "encoded words, joined": letter(word * 60_000),
        "half encoded words": letter("=?" * 500_000),
        "folded": letter("x" + "\r\n x" * 200_000),
        "addresses": letter(
            "addresses", "Cc: " + ",".join(f"a{number}@b.example" for number in range(90_000))
        ),
        "nested comments": letter("comments", "Cc: " + "(" * 400_000),
        "quotes": letter("quotes", 'Cc: "' + '\\"' * 400_000),
        "references": letter("references", "References: " + " ".join(f"<{n}@x>" for n in range(90_000))),
        "parameters": letter("p", "Content-Type: text/html; " + "; ".join(f"a*{n}=x" for n in range(90_000))),
        "boundary": letter("boundary", mixed.format("b" * 60_000)),
        "quoted-printable": letter(
            "qp", "Content-Transfer-Encoding: quoted-printable", body="=\r\n" * 500_000
        ),
        "base64": letter("base64", "Content-Transfer-Encoding: base64", body="=A" * 900_000),
        "charset": letter("charset", "Content-Type: text/html; charset=" + "x" * 50_000),
    }


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(bombs()))
async def test_a_bomb_is_over_in_five_seconds_and_no_pixel_waits_for_it(hostile: Target, name: str):
    assert (await hostile.give(letter("before"))).startswith("250")  # the parsers run now
    began = time.perf_counter()
    giving = asyncio.create_task(hostile.give(bombs()[name]))
    pixels = await slowest(lambda: open_pixel(hostile), 100)
    answer = await giving
    took = time.perf_counter() - began
    print(f"\n{name}: {answer!r} after {took:.2f} s, p99 of pixels {pixels * 1e3:.0f} ms")  # noqa: T201
    assert answer[:3] in ("250", "550", "552")
    assert took < BOMB
    assert pixels < P99
    assert (await hostile.give(letter("after"))).startswith("250")
