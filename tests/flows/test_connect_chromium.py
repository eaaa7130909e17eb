"""Connecting a mailbox as a person does it: the page in a real browser, a real provider behind it."""

from __future__ import annotations

import os
import plistlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from models import Account, Mailbox
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.servers.mailhost import MailHost, mail_host
from tests.servers.sign_in import sign_in_site
from tests.tracker.site import Site, open_site
from tracker.sending import passwords, providers
from tracker.sending.credentials import Server
from tracker.sending.tickets import make_ticket

pytestmark = pytest.mark.chromium


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    async with mail_host(alice_at_acme_dot_com="correct horse") as one:
        yield one


@pytest.fixture
async def site(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Site]:
    port = unused_port()
    async with open_site(
        sqlite_database, clock, tmp_path, port=port, base_url=f"http://localhost:{port}",
        allow_private_upstream=True, google_client_id="bell", google_client_secret="bell secret",
    ) as one:  # fmt: skip
        yield one


async def open_page(browser: Any, address: str, **more: Any) -> Any:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, **more)
    page = await context.new_page()
    page.errors, page.foreign = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
    page.on("request", lambda one: page.foreign.append(one.url) if "localhost" not in one.url else None)
    await page.goto(address)
    return page


async def picture(page: Any, name: str) -> None:
    """Kept where whoever works on the look asks for it."""
    if folder := os.environ.get("MAILBELL_LOOK"):
        await page.screenshot(path=f"{folder}/{name}.png", full_page=True)


async def fill_servers(page: Any, host: MailHost) -> None:
    await page.fill("[name=smtp_host]", "127.0.0.1")
    await page.fill("[name=smtp_port]", str(host.port))
    await page.select_option("[name=smtp_security]", "none")
    await page.fill("[name=imap_host]", "127.0.0.1")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_newcomer_connects_a_mailbox_and_reads_what_to_type(
    browser: Any, site: Site, host: MailHost, clock: Clock, scripts: bool
) -> None:
    alice = await builders.account("alice", clock())
    page = await open_page(browser, await make_ticket(site.services, alice), java_script_enabled=scripts)
    await picture(page, "1-choose")
    await page.click("text=Another provider")
    await picture(page, "2-login")
    await page.fill("#address", "alice@acme.com")
    await page.fill("#secret", "battery staple")
    await fill_servers(page, host)
    await page.click("text=Try it and connect")
    await page.locator("blockquote", has_text="Username and Password not accepted").wait_for()
    await picture(page, "3-refused")
    assert await page.input_value("#secret") == ""
    assert await page.input_value("#address") == "alice@acme.com"
    assert await page.input_value("[name=smtp_port]") == str(host.port)
    await page.fill("#secret", "correct horse")
    await page.check("#watch")
    await page.click("text=Try it and connect")
    await page.locator("h1", has_text="Connected").wait_for()
    if scripts:
        for one in await page.locator("summary").all():
            await one.click()
    await picture(page, "4-result")
    shown = await page.inner_text("main")
    mailbox = await Mailbox.get(account_id=alice.id)
    assert mailbox.imap_on
    assert mailbox.submission_user is not None
    assert mailbox.submission_user in shown
    assert "localhost" in shown
    assert "2587" in shown
    password = (await page.locator("dt:text-is('Password') + dd code").inner_text()).strip()
    assert await passwords.find_mailbox(mailbox.submission_user, password) is not None
    async with page.expect_download() as waiting:
        await page.click("text=Profile for iPhone")
    profile = plistlib.loads(Path(await (await waiting.value).path()).read_bytes())
    (account,) = profile["PayloadContent"]
    assert account["OutgoingPassword"] == password
    assert account["OutgoingMailServerUsername"] == mailbox.submission_user
    assert account["IncomingMailServerHostName"] == "127.0.0.1"
    async with page.expect_download() as waiting:
        await page.click("text=Thunderbird file")
    config = Path(await (await waiting.value).path()).read_text()
    assert password not in config
    assert "<username>%EMAILADDRESS%</username>" in config
    assert [one for one in page.errors if "400" not in one] == []
    assert page.foreign == []


async def test_somebody_signs_in_with_google(
    browser: Any, site: Site, host: MailHost, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gmail = providers.find_provider("gmail")
    assert gmail is not None
    here = Server("127.0.0.1", host.port, "none")
    monkeypatch.setitem(providers._BY_KEY, "gmail", _moved(gmail, here))
    host.logins["ana@gmail.com"] = "bearer access-1"
    alice = await builders.account("alice", clock())
    async with sign_in_site() as google:
        page = await open_page(browser, await make_ticket(site.services, alice))
        await page.click("text=Gmail or Google Workspace")
        await picture(page, "5-gmail")
        await page.fill("#who", "ana@gmail.com")
        await page.click("button:has-text('Sign in with Google')")
        await picture(page, "6-leaving")
        await page.click("text=Continue to Google")
        await page.locator("h1", has_text="Connected").wait_for()
        assert google.agreed[0]["login_hint"] == "ana@gmail.com"
        assert google.agreed[0]["scope"] == "https://mail.google.com/"
        assert google.agreed[0]["access_type"] == "offline"
    mailbox = await Mailbox.get(account_id=alice.id)
    assert (mailbox.auth, mailbox.address) == ("xoauth2", "ana@gmail.com")
    assert host.tried == ["ana@gmail.com"]


def _moved(provider: providers.Provider, server: Server) -> providers.Provider:
    return replace(provider, smtp=server, imap=server)


async def test_a_password_is_renewed_on_the_page_and_copied(
    browser: Any, site: Site, host: MailHost, clock: Clock
) -> None:
    alice: Account = await builders.account("alice", clock())
    mailbox = await Mailbox.create(
        account=alice, address="alice@acme.com", provider="other", created_at=clock(), smtp_host="127.0.0.1",
        smtp_port=host.port, smtp_security="none", submission_user="bell-alice", username="alice@acme.com",
    )  # fmt: skip
    page = await open_page(browser, await make_ticket(site.services, alice, "renew", mailbox))
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await picture(page, "7-renew")
    await page.click("text=Make a new one")
    password = (await page.locator("dt:text-is('Password') + dd code").inner_text()).strip()
    await page.locator("dt:text-is('Password') + dd button").click()
    await page.locator("#status", has_text="Copied").wait_for()
    assert await page.evaluate("() => navigator.clipboard.readText()") == password
    assert await passwords.find_mailbox("bell-alice", password) is not None
    assert page.errors == []
    await page.goto(page.url)
    await page.locator("h1", has_text="has done its work").wait_for()
    assert password not in await page.content()
