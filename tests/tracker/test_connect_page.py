"""The connect pages over HTTP: for whom they work, for how long, and what they never say."""

from __future__ import annotations

import datetime as dt
import logging
import plistlib
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from models import AccessCode, Account, Mailbox
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.servers.mailhost import MailHost, mail_host
from tests.servers.sign_in import sign_in_site
from tests.tracker.site import Site, open_site
from tracker.sending import passwords
from tracker.sending.tickets import claim_ticket, find_ticket, make_ticket, settle_ticket
from tracker.web import connect_try

BASE = "http://localhost:8080"


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    async with mail_host(alice_at_acme_dot_com="correct horse") as one:
        yield one


@pytest.fixture
async def site(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(
        sqlite_database, clock, tmp_path, base_url=BASE, allow_private_upstream=True,
        google_client_id="bell", google_client_secret="bell secret",
    ) as one:  # fmt: skip
        yield one


@pytest.fixture
async def alice(site: Site, clock: Clock) -> Account:
    return await builders.account("alice <b>", clock())


class Person:
    """A browser: it keeps the page's cookie and the mark of the last form."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.cookie = ""
        self.mark = ""
        self.text = ""

    async def get(self, url: str, **headers: str) -> Any:
        return await self._note("GET", url, None, headers)

    async def post(self, url: str, headers: dict[str, str] | None = None, **form: str) -> Any:
        return await self._note("POST", url, {"mark": self.mark, **form}, headers or {})

    async def _note(self, method: str, url: str, form: dict[str, str] | None, headers: dict[str, str]) -> Any:
        path = url.removeprefix(BASE)
        sent = {"Cookie": self.cookie, **headers} if self.cookie else headers
        answer = await self.site.client.request(method, path, data=form, headers=sent, allow_redirects=False)
        self.text = await answer.text()
        self.site.client.session.cookie_jar.clear()  # each person has a browser of their own
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        found = re.search(r'name="mark" value="([^"]*)"', self.text)
        self.mark = found[1] if found else self.mark
        return answer


def login(host: MailHost, **more: str) -> dict[str, str]:
    return {
        "step": "login", "provider": "other", "address": "alice@acme.com", "secret": "correct horse",
        "smtp_host": "127.0.0.1", "smtp_port": str(host.port), "smtp_security": "none", **more,
    }  # fmt: skip


async def connect(site: Site, host: MailHost, alice: Account) -> tuple[Person, str]:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    answer = await person.post(url, **login(host, imap_host="127.0.0.1"))
    assert answer.status == 200, person.text
    return person, url


async def test_a_page_of_the_ticket_is_closed_to_everybody_else(site: Site, alice: Account) -> None:
    answer = await Person(site).get(await make_ticket(site.services, alice))
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert "alice &lt;b&gt;" in await answer.text()


async def test_looking_spends_nothing_and_connecting_does(site: Site, host: MailHost, alice: Account) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    for _ in range(3):  # an unfurler, a mail gateway, the person
        assert (await person.get(url)).status == 200
    assert (await person.post(url, **login(host))).status == 200
    assert "Connected" in person.text
    for answer in (await person.get(url), await person.post(url, **login(host))):
        assert answer.status == 410
    assert "done its work" in person.text
    assert await Mailbox.filter(account_id=alice.id).count() == 1
    assert host.tried == ["alice@acme.com"]


@pytest.mark.parametrize("change", ["end", "letter", "purpose", "empty", "long", "dots", "nul"])
async def test_a_forged_link_says_nothing(site: Site, alice: Account, change: str) -> None:
    url = await make_ticket(site.services, alice)
    name, _, signature = url.rpartition("/")[2].rpartition(".")
    forged = {
        "end": f"{name}.{signature[:-1]}0",
        "letter": f"{'a' + name[1:]}.{signature}",
        "purpose": f"{name.replace('-n', '-r1')}.{signature}",
        "empty": ".",
        "long": "x" * 2000,
        "dots": "..%2f..%2fetc",
        "nul": "%00",
    }[change]
    if forged == f"{name}.{signature}":
        pytest.skip("that change changed nothing")
    for method in ("GET", "POST"):
        answer = await site.client.request(
            method, f"/connect/{forged}", data={"step": "login"} if method == "POST" else None
        )
        assert answer.status in (404, 403)
        assert "alice" not in await answer.text()
    assert await AccessCode.filter(used_at__isnull=True).count() == 1


async def test_a_link_ends_after_half_an_hour(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    clock.advance(minutes=30)
    assert (await person.get(url)).status == 404
    assert (await person.post(url, **login(host))).status == 404
    assert "connect new" in person.text
    assert host.tried == []


async def test_a_link_works_for_its_own_account_alone(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    bob = await builders.account("bob", clock())
    _, _ = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    url = await make_ticket(site.services, bob, "renew", mailbox)  # of somebody else's mailbox
    assert (await Person(site).get(url)).status == 404
    before = mailbox.submission_digest
    person = Person(site)
    await person.get(await make_ticket(site.services, bob))
    await person.post(url, step="renew")
    await mailbox.refresh_from_db()
    assert mailbox.submission_digest == before


async def test_a_form_from_elsewhere_is_refused(site: Site, host: MailHost, alice: Account) -> None:
    url = await make_ticket(site.services, alice)
    person, other = Person(site), Person(site)
    await person.get(url)
    await other.get(url)
    stranger = Person(site)
    answers = [await stranger.post(url, **login(host))]  # no cookie, no mark
    stranger.mark = person.mark  # a mark without its cookie
    answers.append(await stranger.post(url, **login(host)))
    stranger.cookie = other.cookie  # another one's cookie
    answers.append(await stranger.post(url, **login(host)))
    stranger.cookie, stranger.mark = "mailbell_connect=" + "x" * 22, ""
    answers.append(await stranger.post(url, **login(host)))
    assert [one.status for one in answers] == [403] * 4
    assert host.tried == []
    assert (await person.post(url, **login(host))).status == 200


async def test_two_presses_at_once_connect_once(site: Site, host: MailHost, alice: Account) -> None:
    import asyncio

    url = await make_ticket(site.services, alice)
    people = [Person(site) for _ in range(3)]
    for one in people:
        await one.get(url)
    answers = await asyncio.gather(*(one.post(url, **login(host)) for one in people))
    assert sorted(one.status for one in answers)[0] == 200
    assert sum("Connected" in one.text for one in people) == 1
    assert len(host.tried) == 1


async def test_a_wrong_password_is_told_in_the_providers_words_and_can_be_tried_again(
    site: Site, host: MailHost, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    answer = await person.post(url, **login(host, secret="battery staple"))
    assert answer.status == 400
    assert "Username and Password not accepted" in person.text
    assert "battery" not in person.text
    assert "battery" not in caplog.text
    assert (await person.post(url, **login(host))).status == 200
    assert "correct horse" not in person.text
    assert "correct horse" not in caplog.text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("address", "alice", "type it like ana@acme.com"),
        ("address", "", "type it like ana@acme.com"),
        ("secret", "", "password is missing"),
        ("secret", "x" * 501, "too long"),
        ("smtp_host", "", "SMTP server"),
        ("smtp_host", "no such.example", "is no server name"),
        ("smtp_port", "99999", "is no port"),
        ("smtp_port", "587; rm", "is no port"),
        ("smtp_port", "²", "is no port"),
        ("smtp_security", "maybe", "TLS or STARTTLS"),
        ("smtp_port", "1", "could not be asked"),
        ("imap_host", "a/b", "is no server name"),
    ],
)
async def test_a_field_that_cannot_be_used_is_named(
    site: Site, host: MailHost, alice: Account, field: str, value: str, words: str
) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    answer = await person.post(url, **login(host, **{field: value}))
    assert answer.status == 400
    assert words in unescape(person.text)
    assert not await Mailbox.exists()
    assert (await person.get(url)).status == 200


async def test_a_private_server_is_refused_where_the_operator_did_not_permit_it(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, host: MailHost
) -> None:
    async with open_site(sqlite_database, clock, tmp_path, base_url=BASE) as site:
        alice = await builders.account("alice", clock())
        person, url = Person(site), await make_ticket(site.services, alice)
        await person.get(url)
        for name in ("127.0.0.1", "localhost", "169.254.169.254", "[::1]", "0x7f.1"):
            answer = await person.post(url, **login(host, smtp_host=name))
            assert answer.status == 400
    assert host.tried == []


async def test_the_provider_is_guessed_from_the_address(
    site: Site, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exchangers(domain: str) -> list[str]:
        return ["aspmx.l.google.com"]

    monkeypatch.setattr(connect_try, "mail_exchangers", exchangers)
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    await person.post(url, step="address", address="Ana@Acme.com")
    assert "Gmail or Google Workspace" in person.text
    assert 'value="ana@acme.com"' in person.text.lower()
    assert "smtp.gmail.com" in person.text
    assert "free Gmail account" in person.text
    assert (await person.post(url, step="address", address="nothing")).status == 400
    assert "no mail address" in person.text


async def test_the_result_says_what_to_type_and_shows_the_password_once(
    site: Site, host: MailHost, alice: Account
) -> None:
    person, url = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    password = re.search(r"<code>((?:[0-9a-z]{4}-){3}[0-9a-z]{4})</code>", person.text)
    assert password is not None
    for words in (
        "localhost",
        "2587",
        "STARTTLS",
        mailbox.submission_user,
        "Send mail as",
        "Thunderbird",
        "iPhone",
    ):
        assert words in person.text
    assert await passwords.find_mailbox(mailbox.submission_user or "", password[1])
    await person.get(url)
    assert password[1] not in person.text


async def test_files_are_made_for_who_just_connected_and_for_nobody_else(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    person, url = await connect(site, host, alice)
    password = re.search(r'name="password" value="([^"]+)"', person.text)
    assert password is not None
    answer = await person.post(f"{url}/profile", password=password[1])
    assert answer.content_type == "application/x-apple-aspen-config"
    (account,) = plistlib.loads(await answer.read())["PayloadContent"]
    assert account["OutgoingPassword"] == password[1]
    assert account["EmailAddress"] == "alice@acme.com"
    answer = await person.post(f"{url}/profile", password="abcd-abcd-abcd-abcd")
    assert "OutgoingPassword" not in plistlib.loads(await answer.read())["PayloadContent"][0]
    answer = await person.post(f"{url}/autoconfig")
    assert ElementTree.fromstring(await answer.text()).find(".//outgoingServer/hostname").text == "localhost"
    stranger = Person(site)
    assert (await stranger.post(f"{url}/profile", password=password[1])).status == 403
    assert (await person.post(f"{url}/nothing")).status == 404
    fresh = await make_ticket(site.services, alice)
    assert (await person.post(f"{fresh}/profile")).status == 404
    clock.advance(minutes=31)
    assert (await person.post(f"{url}/profile", password=password[1])).status == 404


async def test_the_public_file_does_not_tell_who_is_known(site: Site, host: MailHost, alice: Account) -> None:
    host.logins["known@gmail.com"] = "correct horse"
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    await person.post(url, **login(host, address="known@gmail.com", username="known@gmail.com"))
    assert await Mailbox.filter(address="known@gmail.com").exists()
    texts = []
    for name in ("known", "unknown"):
        path = f"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={name}@gmail.com"
        answer = await site.client.get(path)
        assert answer.status == 200
        texts.append(await answer.text())
    assert texts[0] == texts[1]
    tree = ElementTree.fromstring(texts[0])
    assert tree.find(".//incomingServer/hostname").text == "imap.gmail.com"
    assert tree.find(".//outgoingServer/username").text == "%EMAILADDRESS%"
    for wrong in ("", "?emailaddress=alice@acme.com", "?emailaddress=%3Cx%3E", "?emailaddress=" + "x" * 3000):
        assert (await site.client.get(f"/.well-known/autoconfig/mail/config-v1.1.xml{wrong}")).status == 404


async def test_the_file_for_a_domain_of_ones_own_names_whoever_takes_its_mail(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def exchangers(domain: str) -> list[str]:
        asked.append(domain)
        return ["aspmx.l.google.com"]

    monkeypatch.setattr(connect_try, "mail_exchangers", exchangers)
    async with open_site(
        sqlite_database,
        clock,
        tmp_path,
        base_url="https://bell.acme.com",
        tls_cert=__file__,
        tls_key=__file__,
    ) as site:
        for _ in range(3):
            answer = await site.client.get("/mail/config-v1.1.xml?emailaddress=ana@acme.com")
            text = await answer.text()
            assert "imap.gmail.com" in text
            assert "<hostname>bell.acme.com</hostname>" in text
        for stranger in ("ana@evil.example", "ana@notacme.com", "ana@com", "ana@x.bell.acme.com"):
            answer = await site.client.get(f"/mail/config-v1.1.xml?emailaddress={stranger}")
            assert answer.status == 404
    assert asked == ["acme.com"]


@pytest.mark.parametrize(
    ("base", "headers", "status"),
    [
        ("http://track.example", {}, 403),
        ("https://track.example", {}, 200),
        ("https://track.example", {"X-Forwarded-Proto": "https"}, 200),
        ("https://track.example", {"X-Forwarded-Proto": "http"}, 403),
        ("https://track.example", {"X-Forwarded-Proto": "https, http"}, 403),
        ("http://127.0.0.1:8080", {}, 200),
    ],
)
async def test_a_password_is_not_taken_over_an_open_connection(
    sqlite_database: DatabaseURL,
    clock: Clock,
    tmp_path: Path,
    base: str,
    headers: dict[str, str],
    status: int,
) -> None:
    async with open_site(sqlite_database, clock, tmp_path, base_url=base) as site:
        alice = await builders.account("alice", clock())
        path = site.path(await make_ticket(site.services, alice))
        answer = await site.client.get(path, headers=headers)
        assert answer.status == status
        text = await answer.text()
        assert ("<form" in text) == (status == 200)
        if status == 200:
            assert f'action="{base}/connect/' in text
            assert ("Secure" in answer.headers["Set-Cookie"]) == base.startswith("https")


async def test_trying_all_day_is_braked(site: Site, host: MailHost, alice: Account) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    statuses = [(await person.post(url, **login(host, secret=f"guess{n}"))).status for n in range(16)]
    assert statuses[:12] == [400] * 12
    assert statuses[-1] == 429
    assert len(host.tried) == 12


async def test_a_new_password_is_made_on_the_page_alone(site: Site, host: MailHost, alice: Account) -> None:
    _, _ = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    before = mailbox.submission_digest
    person, url = Person(site), await make_ticket(site.services, alice, "renew", mailbox)
    await person.get(url)
    assert "A new password for alice@acme.com?" in person.text
    await person.post(url, **login(host))  # this ticket renews, and does nothing else
    await mailbox.refresh_from_db()
    assert mailbox.submission_digest == before
    answer = await person.post(url, step="renew")
    assert answer.status == 200
    await mailbox.refresh_from_db()
    assert mailbox.submission_digest != before
    assert (await person.post(url, step="renew")).status == 410


async def test_signing_in_again_keeps_what_programs_log_in_with(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    _, _ = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    mailbox.failed_at, mailbox.failure = clock(), "535 no"
    await mailbox.save()
    before = mailbox.submission_digest
    person, url = Person(site), await make_ticket(site.services, alice, "again", mailbox)
    await person.get(url)
    assert 'value="alice@acme.com"' in person.text
    assert str(host.port) in person.text
    assert (await person.post(url, **login(host))).status == 200
    assert "as before" in person.text
    await mailbox.refresh_from_db()
    assert (mailbox.failed_at, mailbox.submission_digest) == (None, before)


async def test_a_crash_between_the_check_and_its_note_leaves_the_link_unusable(
    site: Site, alice: Account, clock: Clock
) -> None:
    url = await make_ticket(site.services, alice)
    ticket = await find_ticket(site.services, url.rpartition("/")[2])
    assert ticket is not None
    assert await claim_ticket(site.services, ticket)
    assert not await claim_ticket(site.services, ticket)
    assert (await Person(site).get(url)).status == 200
    await settle_ticket(ticket, None)
    assert await claim_ticket(site.services, ticket)


async def test_old_tickets_are_cleared_away(site: Site, alice: Account, clock: Clock) -> None:
    await make_ticket(site.services, alice)
    clock.advance(days=2)
    await make_ticket(site.services, alice)
    assert await AccessCode.filter(kind="connect").count() == 1


async def _begin_sign_in(site: Site, alice: Account) -> tuple[Person, str, dict[str, list[str]]]:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    await person.post(url, step="sign-in", provider="gmail", address="ana@gmail.com")
    href = re.search(r'class="button" href="([^"]+)"', person.text)
    assert href is not None, person.text
    return person, url, parse_qs(urlsplit(unescape(href[1])).query)


async def test_what_comes_back_counts_in_the_browser_that_left(site: Site, alice: Account) -> None:
    async with sign_in_site() as google:
        person, url, query = await _begin_sign_in(site, alice)
        state = query["state"][0]
        assert "ana@gmail.com" not in state
        assert query["redirect_uri"] == [f"{BASE}/connect/back"]
        back = "/connect/back"
        victim = Person(site)  # who was sent somebody else's way back
        assert (await victim.get(f"{back}?code=x&state={state}")).status == 403
        assert (await person.get(f"{back}?code=x&state={state[:-5]}AAAAA")).status == 404
        assert (await person.get(f"{back}?code=x")).status == 404
        answer = await person.get(f"{back}?error=access_denied%3Cb%3E&state={state}")
        assert answer.status == 400
        assert "access_denied&lt;b&gt;" in person.text
        answer = await person.get(f"{back}?code=wrong&state={state}")
        assert answer.status == 400
        assert "expired or revoked" in person.text
        assert len(google.asked) == 1
    assert not await Mailbox.exists()
    assert (await person.get(url)).status == 200


async def test_signing_in_is_offered_where_it_is_set_up(site: Site, alice: Account) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(f"{url}?p=gmail")
    assert "Sign in with Google</button>" in person.text
    await person.get(f"{url}?p=microsoft")
    assert "MICROSOFT_CLIENT_ID" in person.text
    assert (await person.post(url, step="sign-in", provider="microsoft", address="a@b.com")).status == 404
    assert (await person.post(url, step="sign-in", provider="gmail", address="a")).status == 400


async def test_the_database_being_away_asks_to_come_back(
    site: Site, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.web import connect as connect_page

    async def away(*_: object) -> None:
        raise OSError("no database")

    url = await make_ticket(site.services, alice)
    monkeypatch.setattr(connect_page, "find_ticket", away)
    assert (await Person(site).get(url)).status == 503


async def test_somebody_who_was_shown_out_has_no_link_any_more(
    site: Site, alice: Account, clock: Clock
) -> None:
    from bot.access import remove_account_access

    url = await make_ticket(site.services, alice)
    await remove_account_access(alice, clock() + dt.timedelta(seconds=1))
    assert (await Person(site).get(url)).status == 404
