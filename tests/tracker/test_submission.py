"""The submission server over real connections: how mail gets in, what is added to it, and who may send."""

from __future__ import annotations

import asyncio
import email
import smtplib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models import Mailbox, OwnAddress
from tests.conftest import Clock
from tests.tracker.sending import ALICE, ANA, PASSWORD, USER, Office, mail, office, plain, trusting
from tracker.hits.facts import device_of
from tracker.sending import client, submission


@pytest.fixture
async def post(sqlite_database, clock: Clock, tmp_path: Path) -> AsyncIterator[Office]:
    async with office(sqlite_database, clock, tmp_path) as running:
        yield running


async def test_a_mail_is_in_the_spool_as_it_came_before_the_250(post: Office, clock: Clock):
    raw = mail(1)
    assert await post.send(raw, ANA, "ben@acme.com") == {}
    ((envelope, kept),) = post.waiting()
    assert kept == raw
    assert (envelope.sender, envelope.recipients) == (ALICE, (ANA, "ben@acme.com"))
    assert (envelope.account_id, envelope.mailbox_id) == (post.alice.id, post.mailbox.id)
    assert envelope.arrived == clock()
    assert post.taken == post.spool.names()


async def test_tls_from_the_first_byte_takes_mail_too_and_many_in_one_connection(post: Office):
    async with post.talk(login=True) as talk:
        for number in range(5):
            assert (await talk.begin()).startswith("354")
            assert (await talk.say(mail(number) + b".")).startswith("250")
        assert (await talk.say("QUIT")).startswith("221")
    assert len(post.waiting()) == 5


@pytest.mark.parametrize("tls", [False, True])
async def test_smtplib_logs_in_with_each_mechanism(post: Office, tls: bool):
    def log_in(mechanism: str) -> int:
        kind = smtplib.SMTP_SSL if tls else smtplib.SMTP
        port, more = (post.port_tls, {"context": trusting()}) if tls else (post.port, {})
        with kind("127.0.0.1", port, timeout=20, **more) as program:
            if not tls:
                program.starttls(context=trusting())
            program.ehlo()
            program.user, program.password = USER, PASSWORD
            return program.auth(mechanism, getattr(program, f"auth_{mechanism.lower()}"))[0]

    for mechanism in ("PLAIN", "LOGIN"):
        assert await asyncio.to_thread(log_in, mechanism) == 235


async def test_what_the_server_offers(post: Office):
    async with post.talk(tls=False) as talk:
        talk.writer.write(b"EHLO x\r\n")
        offered = await talk.answers()
        assert "250-STARTTLS" in offered
        assert not any("AUTH" in one for one in offered)
    async with post.talk() as talk:
        talk.writer.write(b"EHLO x\r\n")
        offered = await talk.answers()
        assert {"250-AUTH LOGIN PLAIN", "250-8BITMIME", "250-SMTPUTF8", "250-SIZE 52428800"} <= set(offered)
        assert not any("STARTTLS" in one for one in offered)


async def test_a_mail_teaches_where_its_sender_writes_from(post: Office):
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Thunderbird/102.0"
    await post.send(mail(1, User_Agent=agent))
    ((envelope, _),) = post.waiting()
    assert envelope.network == "127.0.0.0/24"
    assert envelope.device == device_of(post.services.settings.key, "127.0.0.1", agent)


async def test_what_a_mail_lacks_is_added_at_the_very_top_and_nothing_else(post: Office):
    raw = f"From: {ALICE}\r\nTo: {ANA}\r\n\r\nHi\r\n".encode()
    await post.send(raw)
    ((_, kept),) = post.waiting()
    assert kept.endswith(raw)
    added = email.message_from_bytes(kept.removesuffix(raw))
    assert added.keys() == ["Message-ID", "Date"]
    assert added["Message-ID"].endswith("@home.example>")
    assert added["Date"] == "Mon, 02 Mar 2026 09:00:00 +0000"


async def test_a_dot_at_the_beginning_of_a_line_stays(post: Office):
    raw = mail(1, text=".\n..\n. x\nend")
    assert b"\r\n.\r\n..\r\n. x\r\n" in raw
    await post.send(raw)
    assert post.waiting()[0][1] == raw


async def test_letters_beyond_ascii_need_smtputf8(post: Office):
    assert await post.send(mail(1), "jürgen@bücher.example", options=["SMTPUTF8"]) == {}
    assert post.waiting()[0][0].recipients == ("jürgen@bücher.example",)
    async with post.talk(login=True) as talk:
        await talk.say(f"MAIL FROM:<{ALICE}>")
        assert (await talk.say("RCPT TO:<jürgen@bücher.example>")).startswith("553 5.6.7")


async def test_a_read_receipt_has_no_sender_and_the_same_person_gets_one_copy(post: Office):
    async with post.talk(login=True) as talk:
        assert (await talk.begin(ANA, ANA.upper(), sender="")).startswith("354")
        assert (await talk.say(mail(1) + b".")).startswith("250")
    ((envelope, _),) = post.waiting()
    assert (envelope.sender, envelope.recipients) == ("", (ANA,))


async def test_what_is_said_about_trust_in_the_sender_is_not_heard(post: Office):
    async with post.talk(login=True) as talk:
        assert (await talk.say(f"MAIL FROM:<{ALICE}> BODY=8BITMIME AUTH=<> SIZE=100")).startswith("250")
        assert (await talk.say("RSET", f"MAIL FROM:<{ALICE}> SIZE=52428801")).startswith("552")
        assert (await talk.say(f"MAIL FROM:<{ALICE}> X=1")).startswith("555")


async def test_every_address_of_the_account_may_be_the_sender(post: Office, clock: Clock):
    await OwnAddress.create(account=post.alice, address="alias@home.example", created_at=clock())
    alias = "Alias@Home.example"
    assert await post.refusal(mail(1, sender=f"Alice <{alias}>"), sender=alias) == (250, "")
    assert await post.refusal(mail(2, sender=f'"Smith, Alice" <{ALICE}>'), sender=alias) == (250, "")


async def test_an_address_is_taken_as_soon_as_it_is_known_as_the_accounts(post: Office, clock: Clock):
    async with post.talk(login=True) as talk:
        assert (await talk.say(f"MAIL FROM:<{ALICE}>", "RSET")).startswith("250")
        assert (await talk.say("MAIL FROM:<alias@home.example>")).startswith("550 5.7.1")
        await OwnAddress.create(account=post.alice, address="alias@home.example", created_at=clock())
        assert (await talk.begin(sender="alias@home.example")).startswith("354")
        assert (await talk.say(mail(1, sender="alias@home.example") + b".")).startswith("250")


@pytest.mark.parametrize(
    ("envelope", "header"),
    [
        ("bob@home.example", ALICE),
        (ALICE, "bob@home.example"),
        (ALICE, f"{ALICE}, bob@home.example"),
        (ALICE, f"bob@home.example <{ALICE}>"),
        (ALICE, f"Bob <bob@home.example> ({ALICE})"),
        (ALICE, f"{ALICE}.evil.example"),
    ],
)
async def test_a_sender_of_somebody_else_is_refused_with_what_to_do(post: Office, envelope, header):
    raw = mail(1).replace(f"From: {ALICE}".encode(), f"From: {header}".encode())
    code, words = await post.refusal(raw, sender=envelope)
    assert (code, words[:5]) == (550, "5.7.1")
    assert "capture mine" in words
    assert post.waiting() == []


@pytest.mark.parametrize(
    "header",
    ["", "From: \r\n", "From: nobody\r\n", f"From: <{ALICE}> <x@y.example>\r\n", 'From: "a <b@c>\r\n'],
)
async def test_a_from_that_cannot_be_read_is_refused(post: Office, header):
    raw = mail(1).replace(f"From: {ALICE}\r\n".encode(), header.encode())
    code, words = await post.refusal(raw)
    assert (code, words[:5]) == (550, "5.6.0")


async def test_another_account_does_not_lend_its_addresses(post: Office, clock: Clock):
    from tests import builders

    bob = await builders.account("bob", clock())
    await OwnAddress.create(account=bob, address="bob@home.example", created_at=clock())
    assert (await post.refusal(mail(1), sender="bob@home.example"))[0] == 550


async def test_a_mailbox_that_is_disconnected_sends_no_more(post: Office):
    async with post.talk(login=True) as talk:
        await Mailbox.all().delete()
        assert (await talk.say(f"MAIL FROM:<{ALICE}>")).startswith("421 4.7.0")
        assert await talk.is_over()


async def test_a_mail_under_way_is_finished_when_the_server_stops(post: Office):
    async with (
        post.talk(login=True) as busy,
        post.talk(login=True) as idle,
        post.talk(tls=False) as plain_one,
    ):
        await busy.begin()
        busy.writer.write(mail(1)[:40])
        await busy.writer.drain()
        stopping = asyncio.create_task(post.server.close())
        assert (await idle.answer()).startswith("421 4.3.2")
        assert (await plain_one.answer()).startswith("421 4.3.2")
        assert (await busy.say(mail(1)[40:] + b".")).startswith("250")
        assert (await busy.answer()).startswith("421")
        await stopping
    assert [content for _, content in post.waiting()] == [mail(1)]


async def test_a_full_disk_is_a_452_and_leaves_nothing(post: Office, monkeypatch):
    async with post.talk(login=True) as talk:
        await talk.begin()
        monkeypatch.setattr("tracker.sending.spool.LEAST_FREE", 1 << 62)
        assert (await talk.say(mail(1) + b".")).startswith("452 4.3.1")
        assert (await talk.say(f"MAIL FROM:<{ALICE}>")).startswith("452 4.3.1")
    assert (post.waiting(), post.leftovers()) == ([], [])


async def test_a_fault_of_ours_is_a_451_without_a_word_of_it(post: Office, monkeypatch):
    async def broken(*_: object) -> None:
        raise RuntimeError("a secret of ours")

    async with post.talk(login=True) as talk:
        monkeypatch.setattr(submission, "addresses_of", broken)
        assert await talk.say(f"MAIL FROM:<{ALICE}>") == "451 4.3.0 Try again later"
        monkeypatch.setattr(submission, "find_mailbox", broken)
    async with post.talk() as talk:
        assert await talk.log_in() == "451 4.3.0 Try again later"


async def test_a_silent_client_is_cut_off(post: Office, monkeypatch):
    monkeypatch.setattr(client, "LOGIN_SECONDS", 0.2)
    for tls in (False, True):
        async with post.talk(tls=tls) as talk:
            assert await talk.is_over()
    monkeypatch.setattr(client, "LOGIN_SECONDS", 60)
    monkeypatch.setattr(client, "TIMEOUT", 0.2)
    async with post.talk() as talk:
        talk.writer.write(f"EHLO x\r\n{plain(USER, PASSWORD)}\r\n".encode())
        assert await talk.is_over()


async def test_a_handshake_that_fails_costs_its_connection_only(post: Office):
    reader, writer = await asyncio.open_connection("127.0.0.1", post.port_tls)
    writer.write(b"EHLO this is no handshake\r\n")
    assert await asyncio.wait_for(reader.read(), 20) is not None
    writer.close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", post.port_tls, ssl=old, server_hostname="localhost")
    assert await post.send(mail(1)) == {}
    async with asyncio.timeout(20):
        while post.server.open:
            await asyncio.sleep(0.01)
