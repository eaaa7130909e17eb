"""Connecting a mailbox: the login is tried at a real server, and nothing but what works is kept."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from models import Mailbox, Outgoing, OwnAddress
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.servers.mailhost import MailHost, mail_host
from tests.servers.sign_in import sign_in_site
from tests.tracker.page_services import services
from tracker.sending import mailboxes, oauth, passwords
from tracker.sending.credentials import Server, of_mailbox
from tracker.sending.hosts import PrivateHostError
from tracker.sending.mailboxes import DraftError, MailboxDraft, connect_mailbox, remove_mailbox, renew_login
from tracker.sending.upstream import LaterError, LoginError, UpstreamError
from tracker.services import Services

SIGN_IN = {"google_client_id": "bell", "google_client_secret": "bell secret",
           "microsoft_client_id": "bell", "microsoft_client_secret": "bell secret"}  # fmt: skip


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    async with mail_host(alice_at_acme_dot_com="correct horse") as one:
        yield one


@pytest.fixture
def bell(clock: Clock, tmp_path: Path) -> Services:
    return services(clock, tmp_path, allow_private_upstream=True, **SIGN_IN)


def draft(host: MailHost, **more: object) -> MailboxDraft:
    made = MailboxDraft(
        address="Alice@Acme.com", provider="other", smtp=Server("127.0.0.1", host.port, "none"),
        username="alice@acme.com", secret="correct horse",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


async def test_a_mailbox_that_works_is_kept_with_its_secret_hidden(
    database: DatabaseURL, bell: Services, host: MailHost, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alice = await builders.account("alice", clock())
    made = await connect_mailbox(bell, alice, draft(host))
    assert host.tried == ["alice@acme.com"]
    assert made.is_new
    assert made.submission_password is not None
    assert made.submission_password not in repr(made)
    kept = await Mailbox.get(account_id=alice.id)
    assert (kept.address, kept.username, kept.provider) == ("alice@acme.com", "alice@acme.com", "other")
    assert kept.checked_at == clock()
    assert "horse" not in (kept.secret or "")
    server, credentials = await of_mailbox(bell, kept)
    assert (server, credentials.secret) == (Server("127.0.0.1", host.port, "none"), "correct horse")
    found = await passwords.find_mailbox(made.submission_user, made.submission_password)
    assert found is not None
    assert found.id == kept.id
    assert await OwnAddress.filter(account_id=alice.id, address="alice@acme.com").exists()
    assert "horse" not in caplog.text
    assert made.submission_password not in caplog.text


async def test_the_database_file_holds_no_password(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    alice = await builders.account("alice", clock())
    made = await connect_mailbox(bell, alice, draft(host))
    assert sqlite_database.path is not None
    folder = sqlite_database.path.parent
    stored = b"".join(one.read_bytes() for one in folder.glob("mailbell.db*"))
    assert b"alice@acme.com" in stored
    for secret in (
        "correct horse",
        made.submission_password or "-",
        (made.submission_password or "-").replace("-", ""),
    ):
        assert secret.encode() not in stored


async def test_a_wrong_password_is_told_in_the_providers_words_and_nothing_is_kept(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    alice = await builders.account("alice", clock())
    with pytest.raises(LoginError, match="Username and Password not accepted") as caught:
        await connect_mailbox(bell, alice, draft(host, secret="battery staple"))
    assert "battery" not in str(caught.value)
    assert not await Mailbox.exists()
    assert not await OwnAddress.exists()


async def test_what_is_no_mailbox_is_not_even_tried(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock, tmp_path: Path
) -> None:
    alice = await builders.account("alice", clock())
    with pytest.raises(DraftError, match="type it like"):
        await connect_mailbox(bell, alice, draft(host, address="alice"))
    strict = services(clock, tmp_path)
    with pytest.raises(PrivateHostError):
        await connect_mailbox(strict, alice, draft(host))
    with pytest.raises(PrivateHostError):
        await connect_mailbox(strict, alice, draft(host, smtp=Server("localhost", host.port, "tls")))
    assert host.tried == []


async def test_a_server_that_hangs_is_given_up(
    sqlite_database: DatabaseURL, bell: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    monkeypatch.setattr(mailboxes, "CHECK_SECONDS", 0.2)
    alice = await builders.account("alice", clock())
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(LaterError):
        await connect_mailbox(bell, alice, draft(MailHost(port=port)))
    await ended.wait()
    server.close()


async def test_connecting_again_sets_a_failed_mailbox_going_and_keeps_the_programs_working(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    alice = await builders.account("alice", clock())
    first = await connect_mailbox(bell, alice, draft(host))
    mailbox = first.mailbox
    mailbox.failed_at, mailbox.failure, mailbox.told_at = clock(), "535 no", clock()
    await mailbox.save()
    later = clock.advance(hours=3)
    waiting = await Outgoing.create(
        account=alice, mailbox=mailbox, spool="one", sender="alice@acme.com", address="ana@acme.com",
        next_at=clock.advance(hours=9), accepted_at=later,
    )  # fmt: skip
    host.logins["alice@acme.com"] = "newer horse"
    again = await connect_mailbox(bell, alice, draft(host, secret="newer horse"), keep_login=True)
    assert not again.is_new
    assert again.submission_password is None
    assert again.submission_user == first.submission_user
    assert await passwords.find_mailbox(first.submission_user, first.submission_password or "")
    kept = await Mailbox.get(id=mailbox.id)
    assert (kept.failed_at, kept.failure, kept.told_at) == (None, None, None)
    await waiting.refresh_from_db()
    assert waiting.next_at == clock()
    # Without keep_login there is a new password, for the same name.
    third = await connect_mailbox(bell, alice, draft(host, secret="newer horse"))
    assert third.submission_user == first.submission_user
    assert await passwords.find_mailbox(first.submission_user, first.submission_password or "") is None


async def test_two_people_may_connect_the_same_mailbox_and_share_nothing(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    one, two = await connect_mailbox(bell, alice, draft(host)), await connect_mailbox(bell, bob, draft(host))
    assert one.mailbox.id != two.mailbox.id
    assert one.submission_user != two.submission_user
    assert await mailboxes.find_own(bob, "ALICE@acme.com") is not None
    await remove_mailbox(bell, two.mailbox)
    assert await mailboxes.find_own(bob, "alice@acme.com") is None
    assert await mailboxes.find_own(alice, "alice@acme.com") is not None


async def test_a_new_password_replaces_the_one_before(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    alice = await builders.account("alice", clock())
    first = await connect_mailbox(bell, alice, draft(host))
    newer = await renew_login(first.mailbox)
    assert newer.submission_user == first.submission_user
    assert await passwords.find_mailbox(first.submission_user, first.submission_password or "") is None
    assert await passwords.find_mailbox(first.submission_user, newer.submission_password or "")


async def test_a_mailbox_that_is_removed_stops_what_waits(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    alice = await builders.account("alice", clock())
    made = await connect_mailbox(bell, alice, draft(host))
    for number, state in enumerate(("waiting", "sent")):
        await Outgoing.create(
            account=alice, mailbox=made.mailbox, spool=f"one{number}", sender="a@b.c", address="ana@acme.com",
            next_at=clock(), accepted_at=clock(), state=state,
        )  # fmt: skip
    assert (await remove_mailbox(bell, made.mailbox)).mails == 1
    assert sorted(await Outgoing.all().values_list("state", flat=True)) == ["sent", "stopped"]
    assert await passwords.find_mailbox(made.submission_user, made.submission_password or "") is None


async def test_a_changed_secret_key_asks_to_connect_again(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock, tmp_path: Path
) -> None:
    alice = await builders.account("alice", clock())
    made = await connect_mailbox(bell, alice, draft(host))
    other = services(clock, tmp_path, secret_key="another key altogether, of some length")
    with pytest.raises(LoginError, match="connect it again"):
        await of_mailbox(other, made.mailbox)


async def test_google_signs_in_with_a_token_that_is_renewed_when_it_runs_out(
    database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    host.logins["alice@acme.com"] = "bearer access-1"
    alice = await builders.account("alice", clock())
    async with sign_in_site() as site:
        wanted = draft(host, provider="gmail", auth="xoauth2", secret="refresh-1")
        made = await connect_mailbox(bell, alice, wanted)
        assert "refresh-1" not in (made.mailbox.secret or "")
        mailbox = await Mailbox.get(id=made.mailbox.id)
        for _ in range(3):
            _, credentials = await of_mailbox(bell, mailbox)
            assert (credentials.auth, credentials.secret) == ("xoauth2", "access-1")
        assert len(site.asked) == 2  # to connect, and the first time
        site.access = "access-2"
        clock.advance(minutes=59)
        assert (await of_mailbox(bell, mailbox))[1].secret == "access-2"
        # A provider that refused the token gets another one.
        site.access, mailbox.failed_at = "access-3", clock()
        assert (await of_mailbox(bell, mailbox))[1].secret == "access-3"
    assert "access-3" not in repr(oauth._kept)


async def test_a_refresh_token_that_changes_is_kept(
    sqlite_database: DatabaseURL, bell: Services, host: MailHost, clock: Clock
) -> None:
    host.logins["alice@acme.com"] = "bearer access-1"
    alice = await builders.account("alice", clock())
    async with sign_in_site() as site:
        site.rotates = True
        wanted = draft(host, provider="microsoft", auth="xoauth2", secret="refresh-1")
        made = await connect_mailbox(bell, alice, wanted)
        for _ in range(3):
            mailbox = await Mailbox.get(id=made.mailbox.id)
            await of_mailbox(bell, mailbox)
            clock.advance(hours=2)
        assert len({form["refresh_token"] for form in site.asked}) == 4


@pytest.mark.parametrize(
    ("refusal", "error", "words"),
    [
        (
            (400, {"error": "invalid_grant", "error_description": "Token has been revoked."}),
            LoginError,
            "sign in again",
        ),
        ((401, {"error": "invalid_client"}), LoginError, "GOOGLE_CLIENT_ID"),
        ((403, {}), LoginError, "sign in again"),
        ((200, {"nothing": "here"}), LoginError, "no token"),
        ((500, {}), LaterError, "answers 500"),
        ((429, {}), LaterError, "answers 429"),
    ],
)
async def test_a_refused_token_says_what_to_do(
    sqlite_database: DatabaseURL, bell: Services, clock: Clock,
    refusal: tuple[int, dict[str, str]], error: type[UpstreamError], words: str,
) -> None:  # fmt: skip
    async with sign_in_site() as site:
        site.refuses = refusal
        with pytest.raises(error, match=words) as caught:
            await oauth.refresh(bell, "google", "refresh-1")
        assert "refresh-1" not in str(caught.value)


async def test_a_site_that_is_away_is_tried_later(bell: Services) -> None:
    async with sign_in_site():
        pass
    gone = replace(oauth.SITES["google"], token="http://127.0.0.1:1/token")
    oauth.SITES["google"], real = gone, oauth.SITES["google"]
    try:
        with pytest.raises(LaterError, match="does not answer"):
            await oauth.refresh(bell, "google", "refresh-1")
    finally:
        oauth.SITES["google"] = real
