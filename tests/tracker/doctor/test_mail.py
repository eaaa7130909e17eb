"""The doctor looks at mail: the ports, the way in from outside, mailboxes, and a mail to itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port
from aiosmtpd.smtp import SMTP

from models import Account, Alert, Hit, Mailbox, Message
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.servers.certificates import make_certificates
from tests.servers.mailhost import MailHost, mail_host
from tests.tracker.doctor.findings import moved, states
from tests.tracker.page_services import services as plain_services
from tests.tracker.site import Site, open_site
from tracker.doctor import mail_ports, self_test
from tracker.doctor.findings import Visit
from tracker.doctor.logins import check_mailboxes
from tracker.exchangers import NoExchangerError
from tracker.mail.smtp import capture_mail
from tracker.sending.credentials import encrypt
from tracker.services import Services


async def test_the_capture_port_is_greeted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(domain: str) -> list[str]:
        raise NoExchangerError("no MX record")

    monkeypatch.setattr(mail_ports, "mail_exchangers", none)
    assert states(await mail_ports.check_capture(Visit(site.services))) == {"capture-port": "ok"}
    gone = Visit(moved(site.services, capture_port=unused_port()))
    assert states(await mail_ports.check_capture(gone)) == {"capture-port": "wrong"}
    elsewhere = moved(site.services, capture_port=unused_port(), database_url="postgres://h/d")
    elsewhere.settings.__dict__.pop("database", None)
    assert states(await mail_ports.check_capture(Visit(elsewhere))) == {"capture-port": "note"}
    off = Visit(moved(site.services, capture_port=None))
    assert states(await mail_ports.check_capture(off)) == {"capture-port": "note"}


async def test_mail_from_outside_finds_the_way(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = Visit(plain_services(clock, tmp_path, base_url="https://bell.example"))

    async def exchangers(domain: str) -> list[str]:
        assert domain == "bell.example"
        return ["127.0.0.1"]

    monkeypatch.setattr(mail_ports, "mail_exchangers", exchangers)
    async with mail_host() as host:
        monkeypatch.setattr(mail_ports, "MAIL_PORT", host.port)
        assert states(await mail_ports.check_exchangers(visit)) == {"mx": "ok"}
    (found,) = await mail_ports.check_exchangers(visit)
    assert "port 25" in found.said

    async def none(domain: str) -> list[str]:
        raise NoExchangerError("bell.example has no MX record")

    monkeypatch.setattr(mail_ports, "mail_exchangers", none)
    (found,) = await mail_ports.check_exchangers(visit)
    assert (found.state, found.said) == ("wrong", "bell.example has no MX record")


async def test_a_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    monkeypatch.setattr(mail_ports, "SECONDS", 0.2)
    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(mail_ports.SilentPortError):
        await mail_ports.greet(mail_ports.Server("127.0.0.1", port, "none"))
    await ended.wait()
    server.close()


async def test_a_certificate_that_nobody_trusts_is_told(clock: Clock, tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    context = made.for_server()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(object(), tls_context=context, loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = {
        "base_url": "https://bell.example", "public_smtp_host": "localhost", "public_submission_port": port,
        "tls_cert": str(made.certificate), "tls_key": str(made.key),
    }  # fmt: skip
    (found,) = await mail_ports.check_submission(Visit(plain_services(clock, tmp_path, **settings)))
    assert found.state == "wrong"
    assert "mail programs refuse" in found.said
    server.close()
    (found,) = await mail_ports.check_submission(
        Visit(plain_services(clock, tmp_path, **{**settings, "public_submission_port": unused_port()}))
    )
    assert "does not answer" in found.said
    (found,) = await mail_ports.check_submission(Visit(plain_services(clock, tmp_path)))
    assert found.state == "note"


async def mailbox(services: Services, account: Account, host: MailHost, **more: Any) -> Mailbox:
    return await Mailbox.create(**{
        "account": account, "address": "alice@acme.com", "provider": "other", "created_at": services.now(),
        "smtp_host": "127.0.0.1", "smtp_port": host.port, "smtp_security": "none",
        "username": "alice@acme.com", "secret": encrypt(services, "correct horse"), **more,
    })  # fmt: skip


async def test_each_mailbox_is_logged_in_to(site: Site, clock: Clock) -> None:
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    async with mail_host(alice_at_acme_dot_com="correct horse") as host:
        await mailbox(site.services, alice, host)
        await mailbox(site.services, bob, host, imap_on=True, imap_failed_at=clock(), imap_failure="NO such")
        host.logins["alice@acme.com"] = "correct horse"
        assert [one.state for one in await check_mailboxes(Visit(site.services, alice.id))] == ["ok"]
        host.logins["alice@acme.com"] = "changed"
        found = await check_mailboxes(Visit(site.services))
    assert [one.account_id for one in found] == [alice.id, bob.id, bob.id]
    assert [one.state for one in found] == ["wrong"] * 3
    assert "Username and Password not accepted" in found[0].said
    assert found[0].remedy == "Type: connect new alice@acme.com"
    assert "NO such" in found[2].said
    (found_one, *_) = await check_mailboxes(Visit(site.services, alice.id))
    assert "reached" in found_one.said
    async with mail_host(alice_at_acme_dot_com="correct horse") as host:  # the provider thinks better of it
        held = await Mailbox.get(account_id=alice.id)
        held.smtp_port, held.failed_at, held.failure = host.port, clock(), "535 no"
        await held.save()
        (found_one, *_) = await check_mailboxes(Visit(site.services, alice.id))
        assert "again" in found_one.said
        await held.refresh_from_db()
        assert (held.failed_at, held.checked_at) == (None, clock())
    strict = Visit(moved(site.services, allow_private_upstream=False), alice.id)
    assert "ALLOW_PRIVATE_UPSTREAM" in (await check_mailboxes(strict))[0].said


async def test_a_mail_to_itself_is_seen_and_rings_nowhere(site: Site, clock: Clock) -> None:
    alice = await builders.account("alice", clock(), owner=True)
    await builders.destination(alice, "telegram", "1")
    (found,) = await self_test.check_capture_way(Visit(site.services))
    assert found.state == "ok", found
    assert not await Alert.exists()
    assert not await Message.exists()
    assert not await Hit.exists()
    (again,) = await self_test.check_capture_way(Visit(site.services))
    assert again.state == "ok"
    assert await Account.all().count() == 2


async def test_what_does_not_work_of_it_is_named(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "SECONDS", 0.5)
    capture = unused_port()
    async with open_site(sqlite_database, clock, tmp_path, capture_port=capture) as site:
        address = str(site.client.make_url("")).rstrip("/")
        services = moved(site.services, base_url=address)
        services.settings.__dict__.pop("public_url", None)
        assert await self_test.check_capture_way(Visit(services)) == []  # another check says that
        async with mail_host() as other:  # takes everything, and is none of ours
            elsewhere = moved(services, capture_port=other.port)
            (found,) = await self_test.check_capture_way(Visit(elsewhere))
            assert "not understood" in found.said
        async with capture_mail(services, "127.0.0.1", capture):
            (found,) = await self_test.check_capture_way(Visit(services))
            assert "wait to be judged" in found.said  # no judge runs
            assert "worker" in found.remedy
            services = moved(
                services, base_url=f"http://127.0.0.1:{unused_port()}", capture_domain="127.0.0.1"
            )
            services.settings.__dict__.pop("public_url", None)
        async with capture_mail(services, "127.0.0.1", capture):
            (found,) = await self_test.check_capture_way(Visit(services))
            assert "cannot be fetched" in found.said
    assert not await Message.exists()
