"""What nobody can do to the submission server, nor through it to others: each hostile class for real."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import Clock
from tests.tracker.sending import ALICE, ANA, Office, mail, office
from tracker.sending import submission

MEGABYTE = 1024 * 1024


@pytest.fixture
async def post(sqlite_database, clock: Clock, tmp_path: Path) -> AsyncIterator[Office]:
    async with office(sqlite_database, clock, tmp_path) as running:
        yield running


BREAKS = ["\r\n", "\n", "\r", "\0\r\n", "\r\n\0", "\r\r\n", "\n\r", "\n\r\n", "\x0b", "\x85", "\u2028"]
FALSE_ENDS = [
    f"{one}.{other}" for one, other in itertools.product(BREAKS, BREAKS) if (one, other) != ("\r\n",) * 2
]


@pytest.mark.parametrize("place", ["body", "headers"])
async def test_no_false_end_of_data_ends_a_mail(post: Office, place: str):
    """Every mixture: refused where another server could take it for the end, content otherwise."""
    taken = 0
    async with post.talk(login=True) as talk:
        for end in FALSE_ENDS:
            smuggled = f"{end}MAIL FROM:<evil@b.example>\r\nRCPT TO:<x@b.example>\r\nDATA\r\nSubject: evil"
            raw = mail(1, X_Y="z") + f"text{smuggled}\r\n".encode()
            if place == "headers":
                raw = mail(1, X_Y="z").replace(b"X-Y: z", b"X-Y: z" + smuggled.encode())
            assert (await talk.begin()).startswith("354")
            answer = await talk.say(raw.replace(b"\r\n.", b"\r\n..") + b".")
            plain_bytes = raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r") and b"\0" not in raw
            if not plain_bytes or (place == "headers" and not set(end) <= set("\r\n.")):
                assert answer.startswith("550 5.6.0"), (end, answer)
            else:
                assert answer.startswith("250"), (end, answer)
                assert post.waiting()[-1][1] == raw
                taken += 1
            assert (await talk.say("NOOP")).startswith("250")
    assert len(post.waiting()) == taken
    assert {envelope.recipients for envelope, _ in post.waiting()} <= {(ANA,)}


@pytest.mark.parametrize(
    "control",
    [
        *(bytes([number]) for number in range(32) if number not in (9, 10, 13)),
        *("\x85\u2028\u2029".encode()[i:j] for i, j in ((0, 2), (2, 5), (5, 8))),
    ],
)
async def test_no_control_character_or_line_separator_makes_a_header(post: Office, control: bytes):
    async with post.talk(login=True) as talk:
        await talk.begin()
        raw = mail(1).replace(b"Subject: Lunch", b"Subject: Lunch" + control + b"Bcc: x@b.example")
        assert (await talk.say(raw + b".")).startswith("550 5.6.0")
    assert (post.waiting(), post.leftovers()) == ([], [])


@pytest.mark.parametrize(
    "header",
    [
        f"From: {ALICE}", f"from: {ALICE}", "FROM : bob@b.example", "Message-ID: <2@x>", "Date: x",
        "Subject: y",
        "To: x@b.example", "Cc: x@b.example\r\nCC: y@b.example", f"Sender: {ALICE}\r\nsender: x@b.example",
        "Reply-To: x@b.example\r\nReply-to: y@b.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["top", "end"])
async def test_a_header_that_may_stand_once_does_not_stand_twice(post: Office, header: str, place: str):
    raw = mail(1)
    more = header.encode() + b"\r\n"
    raw = more + raw if place == "top" else raw.replace(b"\r\n\r\n", b"\r\n" + more + b"\r\n", 1)
    assert (await post.refusal(raw))[0] == 550
    assert post.waiting() == []


@pytest.mark.parametrize(
    "recipient",
    [
        "bob%b.example@home.example", "b.example!bob@home.example", "@home.example:bob@b.example",
        "@a.example,@b.example:bob@c.example", '"bob@b.example"@home.example', '"bob"@b.example',
        '"a b"@b.example',
        "bob@[127.0.0.1]", "bob@[IPv6:::1]", "bob@127.0.0.1", "bob", "bob@", "@b.example", "postmaster", "",
        "bob@b.example@home.example", "bob(x)@b.example", "bob@b..example", "bob@-b.example",
        ".bob@b.example",
        "bob @b.example", "bob@b.example.", "bob@b.example\0", "bob@b.example,eve@b.example",
        "|sh@b.example:x",
        "bob\x0b@b.example", "x" * 65 + "@b.example", "bob@" + "b" * 400,
    ],
)  # fmt: skip
async def test_no_form_of_address_makes_an_open_relay(post: Office, recipient: str):
    async with post.talk(login=True) as talk:
        await talk.say(f"MAIL FROM:<{ALICE}>")
        assert (await talk.say(f"RCPT TO:<{recipient}>"))[:3] in ("550", "501", "500")
        assert (await talk.say("DATA")).startswith("503")
        assert (await talk.say("RCPT TO:<\xff\xfe@b.example>".encode("latin-1")))[:3] in ("550", "501")


@pytest.mark.parametrize(
    "line", ["VRFY alice", "VRFY", "EXPN staff", "ETRN b.example", "HELP", "HELP MAIL", "X", "é"]
)
async def test_nobody_learns_who_is_here_or_what_runs_here(post: Office, line: str):
    async with post.talk(login=True) as talk:
        answer = await talk.say(line)
        assert line.startswith("HELP") or answer[:3] in ("500", "501", "502")
        for word in ("iosmtpd", "Python", "python", "Error: (", "Traceback", "alice"):
            assert word not in answer


async def test_fifteen_hundred_recipients_are_not_taken(post: Office):
    async with post.talk(login=True) as talk:
        await talk.say(f"MAIL FROM:<{ALICE}>")
        answers = [await talk.say(f"RCPT TO:<r{number}@b.example>") for number in range(1_500)]
        assert all(one.startswith("250") for one in answers[:100])
        assert all(one.startswith("452 4.5.3") for one in answers[100:])
        await talk.say("DATA")
        assert (await talk.say(mail(1) + b".")).startswith("250")
    assert len(post.waiting()[0][0].recipients) == 100


@pytest.mark.parametrize(
    "line", [b"x" * 65_536, b"x" * 70 + b"\r\n", b"..\r\n"], ids=["no line end", "lines", "dots"]
)
async def test_120_megabytes_cost_no_memory_and_leave_nothing(post: Office, line: bytes):
    await post.send(mail(1))
    before = most = psutil.Process().memory_info().rss
    chunk = line * (MEGABYTE // len(line))
    async with post.talk(login=True) as talk:
        await talk.begin()
        talk.writer.write(mail(2))
        for _ in range(120):
            talk.writer.write(chunk)
            await talk.writer.drain()
            most = max(most, psutil.Process().memory_info().rss)
        assert (await talk.say("\r\n.")).startswith("552")
        assert (await talk.say("NOOP")).startswith("250")
    assert most - before < 64 * MEGABYTE
    assert (len(post.waiting()), post.leftovers()) == (1, [])


async def test_a_client_that_never_ends_is_cut_off(post: Office, monkeypatch):
    monkeypatch.setattr("tracker.sending.receiving.HOPELESS", 4 * MEGABYTE)
    async with post.talk(login=True) as talk:
        await talk.begin()
        with suppress(ConnectionError):
            for _ in range(8):
                talk.writer.write(b"x" * MEGABYTE)
                await talk.writer.drain()
        assert await talk.is_over()
    assert post.leftovers() == []


async def test_a_mail_of_many_megabytes_is_kept_to_the_byte(post: Office):
    raw = mail(1) + b"".join(b".%d.\r\n" % number for number in range(1_500_000))
    assert await post.send(raw) == {}
    assert post.waiting()[0][1] == raw


async def test_a_large_mail_is_judged_by_its_headers_and_to_its_last_byte(post: Office):
    large = b"x" * 70 + b"\r\n"
    for raw in (
        mail(1, sender="bob@home.example") + large * 20_000,
        mail(1) + large * 20_000 + b"bare\nline\r\n",
        b"Subject: twice\r\n" + mail(1) + large * 20_000,
        b"X: " + b"x" * 70_000 + b"\r\n" + mail(1) + large * 20_000,
    ):
        async with post.talk(login=True) as talk:
            await talk.begin()
            assert (await talk.say(raw + b".")).startswith("550 5.")
    assert (post.waiting(), post.leftovers()) == ([], [])


async def test_600_clients_that_vanish_after_the_dot_leave_everything_usable(post: Office):
    async def vanish(number: int) -> None:
        async with post.talk(login=True) as talk:
            await talk.begin()
            talk.writer.write(mail(number) + (b"x" * 300_000 if number % 20 == 0 else b"") + b"\r\n.\r\n")

    for begin in range(0, 600, 50):
        await asyncio.gather(*(vanish(begin + one) for one in range(50)))
    async with asyncio.timeout(60):
        while post.server.open or post.server._work:
            await asyncio.sleep(0.01)
    assert await post.send(mail(1_000)) == {}
    assert post.leftovers() == []
    assert sorted(post.taken) == post.spool.names()


async def test_too_many_connections_of_one_place_are_turned_away_and_others_are_served(
    post: Office, monkeypatch
):
    monkeypatch.setattr(submission, "MOST_FROM_ONE", 5)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(post.talk(tls=False))
        async with post.talk(tls=False) as turned_away:
            assert await turned_away.is_over()
        with pytest.raises(OSError):  # noqa: PT011, of several kinds
            await stack.enter_async_context(post.talk())
        async with post.talk(come_from="127.0.0.2", login=True) as other:
            assert (await other.begin()).startswith("354")


async def test_what_is_sent_ahead_of_the_end_is_not_worked_through(post: Office, caplog):
    async with post.talk(login=True) as talk:
        talk.writer.write(b"NONSENSE\r\n" * 5_000 + b"MAIL FROM:<x@y.example>\r\n" * 100)
        answers = [await talk.answer() for _ in range(5)]
        assert [one[:3] for one in answers] == ["500"] * 4 + ["502"]
        assert await talk.is_over()
    async with asyncio.timeout(20):
        while post.server.open:
            await asyncio.sleep(0.01)
    assert caplog.records == []


@pytest.mark.long
async def test_slow_clients_do_not_slow_down_another(post: Office):
    """The order of magnitude: 250 ms for a whole mail, with login and handshake, as the 99th percentile."""
    slow = []
    async with AsyncExitStack() as stack:
        for number in range(250):
            talk = await stack.enter_async_context(post.talk(login=number < 200))
            if number < 200:
                await talk.begin()
            slow.append(talk)

        async def drip() -> None:
            while True:
                for one in slow:
                    one.writer.write(b"x")
                await asyncio.sleep(0.2)

        dripping = asyncio.create_task(drip())
        took = []
        for number in range(200):
            began = time.perf_counter()
            assert await post.send(mail(number)) == {}
            took.append(time.perf_counter() - began)
        dripping.cancel()
    assert sorted(took)[math.ceil(0.99 * len(took)) - 1] < 2.5
    assert len(post.waiting()) == 200
