"""The way to the provider: encrypted and checked, each answer taken for what it says, nothing smuggled."""

from __future__ import annotations

import pytest

from tests.servers.certificates import make_certificates
from tests.servers.provider import OK, running_provider
from tracker.sending import upstream
from tracker.sending.credentials import Credentials, Server
from tracker.sending.upstream import (
    CertificateError,
    LaterError,
    LoginError,
    NoAnswerError,
    RefusedError,
    check_login,
    connection,
    send_copy,
)
from tracker.sending.wire import dotted

ALICE = Credentials("alice@home.example", "app password")
NOBODY = Credentials("", "")
MAIL = b"From: alice@home.example\r\nSubject: Q3\r\n\r\nHello\r\n"


def plain(port: int) -> Server:
    return Server("127.0.0.1", port, "none")


@pytest.fixture
def certificates(tmp_path, monkeypatch):
    made = make_certificates(tmp_path)
    monkeypatch.setattr(upstream, "tls_context", made.for_client)
    return made


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_copy_goes_over_a_checked_certificate(certificates, security):
    async with running_provider(
        tls=certificates.for_server(), implicit=security == "tls", users={ALICE.username: ALICE.secret}
    ) as provider:
        words = await send_copy(
            Server("localhost", provider.port, security), ALICE, ALICE.username, "ana@acme.com", MAIL
        )
    (got,) = provider.mails
    assert words == OK
    assert (got.sender, got.to, got.content) == (ALICE.username, "ana@acme.com", MAIL)
    assert (got.encrypted, provider.logins) == (True, [ALICE.username])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_password(tmp_path, security):
    unknown = make_certificates(tmp_path)
    async with running_provider(
        tls=unknown.for_server(), implicit=security == "tls", users={ALICE.username: ALICE.secret}
    ) as provider:
        with pytest.raises(CertificateError):
            await check_login(Server("localhost", provider.port, security), ALICE)
    assert provider.logins == []


async def test_a_server_without_the_encryption_it_should_have_gets_no_password():
    async with running_provider(users={ALICE.username: ALICE.secret}) as provider:
        with pytest.raises(CertificateError):
            await check_login(Server("127.0.0.1", provider.port, "starttls"), ALICE)
    assert provider.logins == []


async def test_a_refused_login_says_the_providers_words_and_no_password():
    async with running_provider(
        users={ALICE.username: "another"}, login_answer="535 5.7.8 BadCredentials, see\thelp"
    ) as provider:
        with pytest.raises(LoginError) as refused:
            await check_login(plain(provider.port), ALICE)
        assert str(refused.value) == "535 5.7.8 BadCredentials, see help"
        assert ALICE.secret not in repr(refused.value)
        provider.login_answer = "454 4.7.0 Too many login attempts"
        with pytest.raises(LaterError):
            await check_login(plain(provider.port), ALICE)


async def test_a_wrong_password_is_given_once_whatever_ways_the_server_offers():
    """Many tries lock an account at some providers."""
    async with running_provider(users={ALICE.username: "another"}) as provider:
        with pytest.raises(LoginError):
            await check_login(plain(provider.port), ALICE)
    assert provider.logins == [ALICE.username]


async def test_a_token_logs_in():
    token = Credentials("alice@home.example", "ya29.token", "xoauth2")
    async with running_provider(tokens={token.username: token.secret}) as provider:
        await check_login(plain(provider.port), token)
        with pytest.raises(LoginError):
            await check_login(plain(provider.port), Credentials(token.username, "stale", "xoauth2"))


@pytest.mark.parametrize(
    ("refused", "answer", "error"),
    [
        ({"ana@acme.com": "550 5.1.1 No such user"}, OK, RefusedError),
        ({"ana@acme.com": "450 4.2.1 Busy"}, OK, LaterError),
        ({}, "552 5.3.4 Too big", RefusedError),
        ({}, "451 4.3.0 Later", LaterError),
        ({}, "550 5.4.5 Daily user sending limit exceeded", LaterError),
    ],
)
async def test_a_refusal_is_for_good_or_for_now_and_the_connection_stays(refused, answer, error):
    async with running_provider(refused=refused, answer=answer) as provider:
        async with connection(plain(provider.port), NOBODY) as opened:
            with pytest.raises(error):
                await opened.send("a@home.example", "ana@acme.com", MAIL)
            provider.answer = OK
            assert await opened.send("a@home.example", "bob@acme.com", MAIL) == OK
        assert [one.to for one in provider.mails] == ["bob@acme.com"]
        assert provider.connections == 1


@pytest.mark.parametrize("how", ["drop", "hang", "lose"])
async def test_an_answer_that_gets_lost_after_the_dot_is_told_apart(how, monkeypatch):
    monkeypatch.setattr(upstream, "END_SECONDS", 0.3)
    ended = []

    async def before_end() -> None:
        ended.append(True)

    async with (
        running_provider(after_dot=how) as provider,
        connection(plain(provider.port), NOBODY) as opened,
    ):
        with pytest.raises(NoAnswerError):
            await opened.send("a@home.example", "ana@acme.com", MAIL, before_end)
        assert not opened.is_open
    assert ended == [True]


async def test_without_its_last_dot_a_mail_is_not_taken():
    async def before_end() -> None:
        raise RuntimeError("no")

    async with running_provider() as provider, connection(plain(provider.port), NOBODY) as opened:
        with pytest.raises(RuntimeError):
            await opened.send("a@home.example", "ana@acme.com", MAIL, before_end)
    assert provider.mails == []


async def test_nobody_there_is_for_later(unused_tcp_port):
    with pytest.raises(LaterError, match="cannot be reached"):
        await check_login(plain(unused_tcp_port), ALICE)


async def test_a_server_that_hangs_up_is_for_later():
    async with running_provider(away=True) as provider:
        with pytest.raises(LaterError):
            await check_login(plain(provider.port), ALICE)


async def test_every_byte_arrives_and_other_scripts_are_announced():
    body = b"From: a\r\n\r\n.\r\n..\r\n.x\r\nGr\xc3\xb6\xc3\x9fe\r\n" + (b"x" * 900 + b"\r\n") * 900
    async with running_provider() as provider:
        await send_copy(plain(provider.port), NOBODY, "a@home.example", "jörg@bücher.example", body)
    (got,) = provider.mails
    assert got.content == body
    assert got.to == "jörg@bücher.example"
    assert {"BODY=8BITMIME", "SMTPUTF8"} <= set(got.options)


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n\r.\r\n"]
)
async def test_no_false_end_of_a_mail_goes_out(end):
    raw = b"From: a\r\n\r\nx" + end + b"MAIL FROM:<evil@x>\r\n"
    sent = dotted(raw) + b".\r\n"
    assert sent.count(b"\r\n") == sent.count(b"\n") == sent.count(b"\r")
    assert sent.count(b"\r\n.\r\n") == 1
    async with running_provider() as provider:
        await send_copy(plain(provider.port), NOBODY, "a@home.example", "ana@acme.com", raw)
    assert len(provider.mails) == 1
