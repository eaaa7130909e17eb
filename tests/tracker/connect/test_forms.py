"""What is typed into the connect page: tried with the provider, and named where it cannot be used."""

from __future__ import annotations

import logging
import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from models import Account, Mailbox
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.servers.mailhost import MailHost
from tests.servers.sign_in import sign_in_site
from tests.tracker.connect.person import BASE, Person, login
from tests.tracker.site import Site, open_site
from tracker.sending.tickets import make_ticket
from tracker.web import connect_try


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
