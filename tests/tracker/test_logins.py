"""Logins at the submission server: only over TLS, only with the right password, and never for guessing."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Clock
from tests.tracker.sending import ALICE, PASSWORD, USER, Office, mail, office, plain, trusting
from tracker.sending import brakes


@pytest.fixture
async def post(sqlite_database, clock: Clock, tmp_path: Path, monkeypatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(brakes, "LONGEST", 0.05)
    async with office(sqlite_database, clock, tmp_path) as running:
        yield running


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "line",
    [
        plain(USER, PASSWORD),
        "AUTH LOGIN",
        "AUTH LOGIN " + encoded(USER),
        "auth plain",
        "AUTH",
        "AUTH XOAUTH2 x",
    ],
)
async def test_nobody_logs_in_before_the_line_is_encrypted(post: Office, line: str):
    async with post.talk(tls=False) as talk:
        assert (await talk.say(line))[:3] in ("530", "538")
        assert (await talk.say("EHLO x", line))[:3] in ("530", "538")
        assert (await talk.say(f"MAIL FROM:<{ALICE}>")).startswith("530")


async def test_what_is_sent_ahead_of_the_handshake_is_dropped(post: Office):
    async with post.talk(tls=False) as talk:
        await talk.say("EHLO x")
        ahead = f"EHLO evil\r\n{plain(USER, PASSWORD)}\r\nMAIL FROM:<{ALICE}>\r\n"
        talk.writer.write(f"STARTTLS\r\n{ahead}".encode())
        assert (await talk.answer()).startswith("220")
        await talk.writer.start_tls(trusting())
        assert (await talk.say(f"MAIL FROM:<{ALICE}>")).startswith("503")  # not even the EHLO was heard
        assert (await talk.say("EHLO x", f"MAIL FROM:<{ALICE}>")).startswith("530")
        assert (await talk.log_in()).startswith("235")
        await talk.begin()
        assert (await talk.say(mail(1) + b".")).startswith("250")


async def test_what_was_said_before_the_handshake_is_forgotten_and_there_is_one_only(post: Office):
    async with post.talk(tls=False) as talk:
        await talk.encrypt()
        assert (await talk.say("NOOP")).startswith("250")
        assert (await talk.say(plain(USER, PASSWORD))).startswith("503")
        assert (await talk.say("EHLO x", "STARTTLS")).startswith("503")
        assert (await talk.say(plain(USER, PASSWORD))).startswith("235")
        assert (await talk.say(plain(USER, PASSWORD))).startswith("503")


async def test_nothing_is_sent_without_a_login(post: Office):
    async with post.talk() as talk:
        await talk.say("EHLO x")
        for line in (f"MAIL FROM:<{ALICE}>", "RCPT TO:<ana@acme.com>", "DATA"):
            assert (await talk.say(line)).startswith("530 5.7.0")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (plain(USER, "wrong"), "535 5.7.8"),
        (plain("nobody", PASSWORD), "535 5.7.8"),
        (plain("", ""), "535 5.7.8"),
        ("AUTH PLAIN " + encoded(f"root\0{USER}\0{PASSWORD}"), "535 5.7.8"),
        ("AUTH PLAIN " + encoded(f"{USER}\0{PASSWORD}"), "501"),
        ("AUTH PLAIN " + encoded(f"\0{USER}\0{PASSWORD}\0"), "501"),
        ("AUTH PLAIN \xff\xfe", "501"),
        ("AUTH PLAIN =", "501"),
        ("AUTH PLAIN " + base64.b64encode(b"\0\xff\0\xff").decode(), "535 5.7.8"),
        ("AUTH CRAM-MD5", "504"),
        ("AUTH PLAIN a b", "501"),
        ("AUTH", "501"),
    ],
)
async def test_a_bad_login_is_answered_and_the_next_one_is_heard(post: Office, line: str, answer: str):
    async with post.talk() as talk:
        assert (await talk.say("EHLO x", line)).startswith(answer)
        assert (await talk.say(f"MAIL FROM:<{ALICE}>")).startswith("530")
        assert (await talk.say(plain(USER, PASSWORD))).startswith("235")


async def test_a_login_step_by_step(post: Office):
    async with post.talk() as talk:
        assert await talk.say("EHLO x", "AUTH LOGIN") == "334 " + encoded("Username:")
        assert (await talk.say("*")).startswith("501")
        assert (await talk.say("AUTH LOGIN", "!!!")).startswith("501")
        assert (await talk.say("AUTH LOGIN", encoded(USER), encoded("wrong"))).startswith("535")
        assert await talk.say(f"auth login {encoded(USER)}") == "334 " + encoded("Password:")
        assert (await talk.say(encoded(PASSWORD))).startswith("235")


async def test_an_endless_answer_to_a_challenge_ends(post: Office):
    async with post.talk() as talk:
        await talk.say("EHLO x", "AUTH PLAIN")
        talk.writer.write(b"x" * 300_000 + b"\r\n")
        assert (await talk.answer()).startswith("501")


async def test_guessing_ends_the_connection(post: Office):
    async with post.talk() as talk:
        await talk.say("EHLO x")
        answers = [await talk.say(plain(USER, f"guess {number}")) for number in range(3)]
        assert [one[:3] for one in answers] == ["535", "535", "421"]
        assert await talk.is_over()


async def guess(post: Office, tries: int, come_from: str = "127.0.0.1") -> list[str]:
    """Wrong passwords, one after the other; the code of each answer."""
    codes: list[str] = []
    while len(codes) < tries:
        async with post.talk(come_from=come_from) as talk:
            await talk.say("EHLO x")
            for _ in range(3):
                codes.append((await talk.say(plain(USER, f"guess {len(codes)}")))[:3])
                if codes[-1] == "421":
                    break
    return codes[:tries]


async def test_after_40_bad_logins_the_guesser_is_put_off_and_the_owner_gets_in(post: Office, clock: Clock):
    async with post.talk(come_from="127.0.0.3", login=True):
        pass  # the owner was here before
    for place in ("127.0.0.2", "127.0.0.3"):
        codes = await guess(post, 40, place)
        assert set(codes) <= {"535", "454", "421"}
        assert "235" not in codes
    async with post.talk(come_from="127.0.0.2") as evil:
        assert (await evil.log_in()).startswith("454 4.7.0")  # the right password is not even looked at
    async with post.talk(come_from="127.0.0.9") as elsewhere:
        assert (await elsewhere.log_in()).startswith("235")
    async with post.talk(come_from="127.0.0.3") as known:
        assert (await known.log_in()).startswith("235")
    clock.advance(hours=1)
    async with post.talk(come_from="127.0.0.2") as later:
        assert (await later.log_in()).startswith("235")


async def test_guessing_in_many_connections_at_once_is_counted_as_well(post: Office):
    async def one(number: int) -> str:
        async with post.talk() as talk:
            return (await talk.say("EHLO x", plain(USER, f"guess {number}")))[:3]

    codes = await asyncio.gather(*(one(number) for number in range(40)))
    assert codes.count("535") <= brakes.MOST
    assert set(codes) == {"535", "454"}


async def test_many_right_logins_at_once_are_no_attack(post: Office):
    async def one() -> str:
        async with post.talk() as talk:
            return await talk.log_in()

    answers = await asyncio.gather(*(one() for _ in range(40)))
    assert {answer[:3] for answer in answers} == {"235"}
