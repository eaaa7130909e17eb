import asyncio
import datetime as dt
import html
import re

import asyncpg
import pytest
from tortoise.backends.base.executor import EXECUTOR_CACHE

from models import Link, OwnDevice
from models.database import open_database, parse_database_url
from tests import builders
from tests.tracker.page_services import KEY
from tests.tracker.site import Site, open_site
from tracker.hits import arming
from tracker.keys import sign
from tracker.mail.compose import parse_draft, track
from tracker.mail.opt_out import opt_out
from tracker.web.copy_page import link_text, mail_html, pixel_html

LINE = "Ana <ana@acme.com> Q3 proposal https://acme.com/q3-deck.pdf"


@pytest.fixture
async def site(sqlite_database, clock, tmp_path):
    async with open_site(sqlite_database, clock, tmp_path) as found:
        yield found


@pytest.fixture
async def alice(site, clock):
    return await builders.account("alice", clock())


async def shown(site: Site, url: str, **headers: str) -> str:
    async with site.client.get(site.path(url), headers=headers) as response:
        assert response.status == 200
        return await response.text()


def html_for_the_mail(page: str) -> str:
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


async def test_it_shows_the_mail_and_the_html_to_copy(site, alice):
    tracked = await track(
        site.services, alice, parse_draft(f"{LINE} bob@acme.com https://a.com/terms#notrack")
    )
    page = await shown(site, tracked.copy_url)
    for words in (
        "Q3 proposal",
        "To Ana, bob@acme.com",
        tracked.message.code,
        "leads to acme.com/q3-deck.pdf",
    ):
        assert words in page
    assert html_for_the_mail(page) == (
        f'<a href="{tracked.links[0][1]}">Q3 deck</a><br>\n<a href="https://a.com/terms">Terms</a>\n'
        f'<img src="{tracked.pixel_url}" width="1" height="1" alt="" border="0" '
        'style="width:1px;height:1px;border:0">'
    )
    for program in ("Gmail", "Outlook", "Apple Mail", "Thunderbird"):
        assert f"<summary>{program}</summary>" in page


async def test_it_loads_nothing_and_lets_nothing_else_run(site, alice):
    tracked = await track(site.services, alice, parse_draft(LINE))
    async with site.client.get(site.path(tracked.copy_url)) as response:
        page, headers = await response.text(), response.headers
    for policy in ("default-src 'none'", "script-src 'sha256-", "base-uri 'none'", "frame-ancestors 'none'"):
        assert policy in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "noindex" in headers["X-Robots-Tag"]
    tags = re.sub(r"<textarea.*?</textarea>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(img|link|iframe|object|embed)\b|<script src|@import|url\(", tags)


async def test_what_strangers_wrote_stays_text(site, alice):
    line = '"><script>alert(1)</script>@a.com </title> $code ${html} https://a.com/"><script>x</script>'
    tracked = await track(site.services, alice, parse_draft(f"ana@acme.com {line}"))
    page = await shown(site, tracked.copy_url)
    assert page.count("<script>") == 1
    assert page.count("</title>") == 1
    assert "$code" in page


@pytest.mark.parametrize(
    "signed",
    ["", "x", "nosuch." + "0" * 32, sign(KEY, "copy", "nosuch"), sign("another key of 16", "copy", "m00001"),
     sign(KEY, "link", "m00001"), "%00", "a/b.c", "<script>", "é" * 50, "x" * 5000],
)  # fmt: skip
async def test_a_forged_or_unknown_address_says_nothing_back(site, alice, clock, signed):
    await builders.mail(alice, clock())
    async with site.client.get(f"/m/{signed}") as response:
        text = await response.text()
        assert response.status == 404
    async with site.client.get("/m/nosuch") as other:
        assert await other.text() == text


async def test_looking_at_it_puts_the_arming_off_and_learns_the_browser(site, alice, clock):
    tracked = await track(site.services, alice, parse_draft(LINE))
    clock.advance(seconds=50)
    page = await shown(site, tracked.copy_url)
    message = tracked.message
    await message.refresh_from_db()
    assert message.arms_at == clock() + dt.timedelta(seconds=60)
    assert f'datetime="{message.arms_at:%Y-%m-%dT%H:%M:%S}Z"' in page
    assert "counts as you, composing" in page
    assert f"sent {message.code}" in page
    device = await OwnDevice.get()
    assert (device.account_id, device.source, device.seen_at) == (alice.id, "copy-page", clock())


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
        {"User-Agent": "TelegramBot (like TwitterBot)"},
        {"User-Agent": "curl/8.5.0"},
        {"User-Agent": ""},
        {"Sec-Purpose": "prefetch;prerender"},
    ],
)
async def test_a_link_preview_or_a_robot_is_not_the_sender(site, alice, clock, headers):
    tracked = await track(site.services, alice, parse_draft(LINE))
    clock.advance(seconds=50)
    await shown(site, tracked.copy_url, **headers)
    async with site.client.head(site.path(tracked.copy_url)) as response:
        assert response.status == 200
    before = tracked.message.arms_at
    await tracked.message.refresh_from_db()
    assert tracked.message.arms_at == before
    assert await OwnDevice.all().count() == 0


async def test_after_sending_it_says_since_when_the_mail_counts(site, alice, clock):
    tracked = await track(site.services, alice, parse_draft(LINE))
    await arming.arm(site.services, tracked.message, clock.advance(seconds=5), "sent")
    clock.advance(hours=1)
    page = await shown(site, tracked.copy_url)
    assert 'This mail counts since <time datetime="2026-03-02T09:00:05Z">' in page


async def test_it_says_when_nothing_is_recorded(site, alice, clock):
    tracked = await track(site.services, alice, parse_draft(LINE))
    assert "opted out" not in await shown(site, tracked.copy_url)
    await opt_out(site.services, "ana@acme.com")
    assert "ana@acme.com opted out" in await shown(site, tracked.copy_url)
    bob = await builders.account("bob", clock(), mode="off")
    tracked = await track(site.services, bob, parse_draft(LINE))
    assert "Nothing in this mail is tracked" in await shown(site, tracked.copy_url)
    dan = await builders.account("dan", clock(), mode="clicks")
    tracked = await track(site.services, dan, parse_draft(LINE))
    page = await shown(site, tracked.copy_url)
    assert "only clicks are seen" in page
    assert html_for_the_mail(page) == f'<a href="{tracked.links[0][1]}">Q3 deck</a>'


async def test_a_mail_that_is_forgotten_has_no_page(site, alice):
    tracked = await track(site.services, alice, parse_draft("ana@acme.com"))
    assert "Mail without a subject" in await shown(site, tracked.copy_url)
    await Link.all().delete()
    await tracked.message.delete()
    async with site.client.get(site.path(tracked.copy_url)) as response:
        assert response.status == 404


async def test_without_its_database_each_page_asks_to_come_back(
    postgres_url, postgres_server, clock, tmp_path
):
    url = parse_database_url(postgres_url)
    EXECUTOR_CACHE.clear()
    async with open_database(url), open_site(url, clock, tmp_path) as site:
        alice = await builders.account("alice", clock())
        tracked = await track(site.services, alice, parse_draft(LINE))
        await shown(site, tracked.copy_url)
        name = url.credentials["database"]
        server = await asyncpg.connect(postgres_server)
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        try:
            for _ in range(3):
                async with site.client.get(site.path(tracked.copy_url)) as response:
                    assert response.status == 503
                    assert "Retry-After" in response.headers
                async with site.client.post("/", data={"who": "ana@acme.com"}) as response:
                    assert response.status == 503
            async with site.client.get("/") as response:
                assert response.status == 200
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            async with asyncio.timeout(10):
                while (await site.client.get(site.path(tracked.copy_url))).status != 200:
                    await asyncio.sleep(0.05)
        finally:
            await server.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://acme.com/deck", "Deck"),
        ("https://acme.com/a/q3-deck_final.pdf?x=1", "Q3 deck final"),
        ("https://www.acme.com/", "Acme"),
        ("https://docs.acme.co.uk", "Docs"),
        ("http://127.0.0.1:8080/", "Link"),
        ("http://localhost/", "Localhost"),
        ("https://acme.com/0123456789abcdef0123456789abcdef", "Acme"),
        ("https://acme.com/%C3%BCber-uns", "Über uns"),
        ("https://acme.com/%FF%FE", "Acme"),
        ("https://acme.com/other.example", "Other"),
    ],
)
def test_the_words_of_a_link_are_never_an_address(url, words):
    assert link_text(url) == words


def test_the_html_of_a_mail_escapes_addresses_and_words():
    assert mail_html([('https://a.com/"><b>&', "<i>")], "") == (
        '<a href="https://a.com/&quot;&gt;&lt;b&gt;&amp;">&lt;i&gt;</a>'
    )
    assert mail_html([], pixel_html("https://t/o/x.gif")).startswith('<img src="https://t/o/x.gif" ')
