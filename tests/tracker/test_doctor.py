"""The doctor: each check against the real thing when it works, and when it is broken."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from aiosmtpd.smtp import SMTP

from models import Account, Alert, Destination, Hit, InstanceState, Mailbox, Message, Outgoing
from models.database import DatabaseURL
from models.wake import Wake
from models.writer import Writer, WriterDownError
from tests import builders
from tests.conftest import Clock
from tests.servers.certificates import make_certificates
from tests.servers.mailhost import MailHost, mail_host
from tests.tracker.page_services import services as plain_services
from tests.tracker.site import Site, open_site
from tracker.doctor import daily, examine, mail_ports, self_test, within
from tracker.doctor import web as doctor_web
from tracker.doctor.findings import About, Finding, Visit
from tracker.doctor.logins import check_mailboxes
from tracker.doctor.web import check_base_url, check_certificate, judge_certificate
from tracker.exchangers import NoExchangerError
from tracker.hits.judge import Judge
from tracker.mail.smtp import capture_mail
from tracker.sending.credentials import encrypt
from tracker.services import Services
from tracker.web.probe import probe_path


def states(found: Sequence[Finding]) -> dict[str, str]:
    return {one.key: one.state for one in found}


@pytest.fixture
async def site(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Site]:
    """A whole instance on loopback, with its capture port and its judge."""
    port, capture = unused_port(), unused_port()
    async with (
        open_site(
            sqlite_database, clock, tmp_path, port=port, base_url=f"http://127.0.0.1:{port}",
            capture_port=capture, submission_port=None, submissions_port=None, allow_private_upstream=True,
        ) as one,
        capture_mail(one.services, "127.0.0.1", capture),
    ):  # fmt: skip
        judge = asyncio.create_task(Judge(one.services).run())
        yield one
        judge.cancel()
        await asyncio.gather(judge, return_exceptions=True)


def moved(services: Services, **settings: Any) -> Services:
    """The same services with other settings."""
    changed = services.settings.model_copy(update=settings)
    return Services(changed, services.writer, services.wake, services.now)


# --- the address -----------------------------------------------------------------------------------------


async def test_base_url_leads_here(site: Site) -> None:
    found = await check_base_url(Visit(site.services))
    assert states(found) == {"base-url": "ok", "proxies": "ok"}
    assert "no proxy" in found[1].said


async def test_an_address_where_nothing_answers_is_told(clock: Clock, tmp_path: Path) -> None:
    visit = Visit(plain_services(clock, tmp_path, base_url=f"http://127.0.0.1:{unused_port()}"))
    (found,) = await check_base_url(visit)
    assert (found.state, "does not answer from here" in found.said) == ("wrong", True)


async def test_an_address_that_leads_to_something_else_is_told(clock: Clock, tmp_path: Path) -> None:
    async with TestServer(web.Application()) as other:
        visit = Visit(plain_services(clock, tmp_path, base_url=str(other.make_url("")).rstrip("/")))
        (found,) = await check_base_url(visit)
    assert "not this mailbell" in found.said


async def test_another_secret_key_there_is_told(site: Site) -> None:
    other = moved(site.services, secret_key=type(site.services.settings.secret_key)("another key of sixteen"))
    other.settings.__dict__.pop("key", None)
    (found,) = await check_base_url(Visit(other))
    assert "not this mailbell" in found.said


async def test_the_probe_answers_nobody_else(site: Site, clock: Clock) -> None:
    path = probe_path(site.services)
    assert (await site.client.get(path)).status == 200
    assert (await site.client.get(path[:-1] + "x")).status == 404
    assert (await site.client.get("/doctor/" + "x" * 500)).status == 404
    clock.advance(minutes=6)
    assert (await site.client.get(path)).status == 404


class Proxy:
    """A reverse proxy on loopback. `how`: append | pass | none, of X-Forwarded-For."""

    def __init__(self, target: str, how: str) -> None:
        self.target, self.how = target, how

    async def handle(self, request: web.Request) -> web.Response:
        from aiohttp import ClientSession

        sent = request.headers.get("X-Forwarded-For")
        headers = {
            "append": {"X-Forwarded-For": f"{sent}, 198.51.100.9" if sent else "198.51.100.9"},
            "pass": {"X-Forwarded-For": sent or "198.51.100.9"},
            "none": {},
        }[self.how]
        async with (
            ClientSession() as session,
            session.get(self.target + request.path, headers=headers) as answer,
        ):
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )


@pytest.mark.parametrize(
    ("how", "trusted", "state", "words"),
    [
        ("append", "127.0.0.0/8", "ok", "is believed"),
        ("append", "", "wrong", "TRUSTED_PROXIES=127.0.0.1"),
        ("pass", "127.0.0.0/8", "wrong", "proxy_add_x_forwarded_for"),
        ("none", "10.0.0.0/8", "note", "X-Forwarded-For"),
        ("none", "", "ok", "no proxy"),
    ],
)
async def test_a_proxy_in_front_is_looked_at(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, how: str, trusted: str, state: str, words: str
) -> None:
    app = web.Application()
    async with open_site(sqlite_database, clock, tmp_path, trusted_proxies=trusted) as site:
        target = str(site.client.make_url("")).rstrip("/")
        app.router.add_get("/{tail:.*}", Proxy(target, how).handle)
        async with TestServer(app) as server:
            visit = Visit(moved(site.services, base_url=str(server.make_url("")).rstrip("/")))
            visit.services.settings.__dict__.pop("public_url", None)
            found = await check_base_url(visit)
    assert found[0].state == "ok"
    assert found[1].state == state
    assert words in f"{found[1].said} {found[1].remedy}"


async def test_plain_http_on_the_internet_is_told(clock: Clock, tmp_path: Path) -> None:
    (found,) = await check_certificate(Visit(plain_services(clock, tmp_path, base_url="http://mail.example")))
    assert found.state == "wrong"
    assert await check_certificate(Visit(plain_services(clock, tmp_path, base_url="http://localhost"))) == []


async def test_the_certificate_of_base_url_is_looked_at(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificates(tmp_path)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=made.for_server())
    port = server.sockets[0].getsockname()[1]
    settings = plain_services(clock, tmp_path, base_url=f"https://localhost:{port}").settings
    visit = Visit(Services(settings, cast(Writer, None), Wake()))  # by the real clock
    (found,) = await check_certificate(visit)
    assert (found.state, "not valid" in found.said) == ("wrong", True)
    (found,) = await check_base_url(visit)
    assert "no valid certificate" in found.said
    trusting = made.for_client()
    monkeypatch.setattr(doctor_web.ssl, "create_default_context", lambda: trusting)
    (found,) = await check_certificate(visit)
    assert (found.state, "runs out in" in found.said) == ("wrong", True)  # they hold for two days
    server.close()
    (found,) = await check_certificate(visit)
    assert found.state == "note"


@pytest.mark.parametrize(("days", "state"), [(90, "ok"), (11, "ok"), (9, "wrong"), (-3, "wrong")])
def test_a_certificate_that_runs_out_is_told(days: int, state: str, clock: Clock) -> None:
    ends = clock() + dt.timedelta(days=days, hours=1)
    shown = {"notAfter": ends.strftime("%b %d %H:%M:%S %Y GMT")}
    assert judge_certificate(About("x", "X"), shown, clock()).state == state


# --- mail -------------------------------------------------------------------------------------------------


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


# --- a mail to itself -------------------------------------------------------------------------------------


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


# --- inside -----------------------------------------------------------------------------------------------


async def test_all_is_well_inside(site: Site, clock: Clock) -> None:
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "telegram", "1", off_at=clock(), off_reason="bot was blocked")
    visit = Visit(site.services)
    found = await examine.examine(
        visit, [within.check_database, within.check_disk, within.check_backlog, within.check_processes]
    )
    assert {one.state for one in found} == {"ok"}
    (gone,) = await within.check_destinations(visit)
    assert (gone.state, "bot was blocked" in gone.said) == ("note", True)
    assert [one.state for one in await within.check_lists(visit)] == ["ok"]
    clock.advance(days=400)
    assert [one.state for one in await within.check_lists(visit)] == ["note"]


async def test_what_waits_for_too_long_is_told(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await builders.account("alice", clock())
    await Outgoing.create(
        account=alice,
        spool="one",
        sender="a@b.c",
        address="ana@acme.com",
        next_at=clock(),
        accepted_at=clock(),
    )
    assert states(await within.check_backlog(Visit(site.services)))["outgoing"] == "ok"
    clock.advance(minutes=16)
    assert states(await within.check_backlog(Visit(site.services)))["outgoing"] == "wrong"
    monkeypatch.setattr(within, "LEAST_FREE", 1 << 60)
    assert states(await within.check_disk(Visit(site.services)))["disk"] == "wrong"


async def test_a_database_that_takes_nothing_is_told(clock: Clock, tmp_path: Path) -> None:
    class Down:
        async def apply(self, _: object) -> None:
            raise WriterDownError("disk full")

    services = plain_services(clock, tmp_path)
    visit = Visit(Services(services.settings, Down(), services.wake, clock))  # type: ignore[arg-type]
    (found,) = await within.check_database(visit)
    assert "disk full" in found.said


async def test_a_check_that_fails_or_hangs_does_not_stop_the_others(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check_fails(visit: Visit) -> Sequence[Finding]:
        raise ValueError("secret")

    async def check_hangs(visit: Visit) -> Sequence[Finding]:
        await asyncio.sleep(0.5)
        return []

    async def check_fine(visit: Visit) -> Sequence[Finding]:
        return [About("fine", "Fine").ok("yes")]

    monkeypatch.setattr(examine, "SECONDS", 0.05)
    told: list[Finding] = []
    checks = [check_fails, check_hangs, check_fine]
    found = await examine.examine(Visit(plain_services(clock, tmp_path)), checks, told.append)
    assert [one.state for one in found] == ["wrong", "wrong", "ok"]
    assert told == found
    assert "secret" not in found[0].said
    await asyncio.gather(*examine._late)


# --- each day ---------------------------------------------------------------------------------------------


async def test_the_daily_round_is_taken_once(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path
) -> None:
    bell = plain_services(clock, tmp_path)
    assert not await daily._take_turn(bell)
    clock.advance(minutes=59)
    assert not await daily._take_turn(bell)
    clock.advance(minutes=2)
    assert [await daily._take_turn(bell) for _ in range(3)] == [True, False, False]
    clock.advance(hours=23)
    assert not await daily._take_turn(bell)
    clock.advance(hours=2)
    assert await daily._take_turn(bell)
    clock.advance(days=-300)  # the clock is put back
    assert await daily._take_turn(bell)
    assert not await daily._take_turn(bell)
    assert await daily.look(plain_services(clock, tmp_path, base_url="http://localhost")) == "not due"


async def test_it_rings_when_something_broke_and_once_when_it_is_mended(
    database: DatabaseURL, clock: Clock, tmp_path: Path
) -> None:
    bell = plain_services(clock, tmp_path)
    alice = await builders.account("alice", clock(), owner=True)
    bob = await builders.account("bob", clock())
    for person, chat in ((alice, "1"), (bob, "2")):
        await builders.destination(person, "telegram", chat)
    disk = About("disk", "Disk").wrong("is full", "Make room.")
    login = About("mailbox-1", "bob@acme.com", bob.id).wrong("lets us in no more", "Type: connect new")

    async def texts(account: Account) -> list[str]:
        return [str(one.facts["text"]) for one in await Alert.filter(account_id=account.id).order_by("id")]

    assert await daily.tell(bell, {}) == 0
    assert await daily.tell(bell, {"disk": disk, "mailbox-1": login}) == 2
    assert ["Disk: is full. Make room." in one for one in await texts(alice)] == [True]
    assert ["bob@acme.com" in one for one in await texts(bob)] == [True]
    clock.advance(days=1)
    assert await daily.tell(bell, {"disk": disk, "mailbox-1": login}) == 0  # nothing new
    clock.advance(days=1)
    assert await daily.tell(bell, {"disk": disk}) == 1
    assert (await texts(bob))[-1] == "Works again: bob@acme.com."
    clock.advance(days=1)
    assert await daily.tell(bell, {}) == 1
    assert await daily.tell(bell, {}) == 0
    assert len(await texts(alice)) == 2
    clock.advance(days=1)
    assert await daily.tell(bell, {"disk": disk}) == 1  # broken anew


async def test_what_is_wrong_for_a_moment_only_is_not_told(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily, "AGAIN_SECONDS", 0)
    rounds = iter([True, False])

    async def check_shaky(visit: Visit) -> Sequence[Finding]:
        about = About("shaky", "Shaky")
        return [about.wrong("no", "") if next(rounds) else about.ok("yes")]

    assert await daily.find_broken(plain_services(clock, tmp_path), [check_shaky]) == {}


async def test_without_an_owner_whoever_came_first_hears_of_it(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path
) -> None:
    assert await daily._operators() == []
    alice = await builders.account("alice", clock())
    await builders.destination(alice, "console", "console")
    assert await daily._operators() == [alice.id]
    assert not await InstanceState.exists()
    assert await Destination.exists()
