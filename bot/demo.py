"""The player behind `demo`: a made-up recipient who opens and clicks a sample mail over real HTTP.

Every step goes the way of a real one: the mail is tracked like any other, and Ana's requests reach this very
instance's listener from three networks with three mail programs. Nothing is faked behind the tracker.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from bot.chat import Button, Reply
from models import Account
from tracker.hits import arming
from tracker.mail.compose import track
from tracker.mail.draft import parse_draft
from tracker.services import Services

SAMPLE = "ana@acme.com Q3 proposal https://acme.com/deck"

# Who Ana is at each visit: an address of the loopback network, and what her mail program says of itself.
VISITS = (
    (
        "127.0.1.1",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    ),
    (
        "127.0.2.1",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/149.0.0.0 Safari/537.36",
    ),
    ("127.0.3.1", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0"),
)
PAUSE = 0.6  # seconds between two visits: long enough to watch each ring arrive

log = logging.getLogger(__name__)


async def play(services: Services, account: Account) -> Reply:
    """Tracks the sample mail for `account`, opens it three times and clicks; ends after the last request."""
    tracked = await track(services, account, parse_draft(SAMPLE), origin="demo")
    await arming.arm(services, tracked.message, services.now(), "sent")
    code = tracked.message.code
    if tracked.pixel_url is None or not tracked.links:
        return Reply(
            title="Tracking is off or clicks only for you or for acme.com, so the demo has nothing to show.",
            lines=("Switch it on with: settings mode full",),
        )
    try:
        for address, agent in VISITS:
            await asyncio.sleep(PAUSE)
            await _visit(services, tracked.pixel_url, address, agent)
        await asyncio.sleep(PAUSE)
        await _visit(services, tracked.links[0][1], *VISITS[1])
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("the demo could not reach the tracker: %s", type(error).__name__)
        return Reply(
            title="The demo could not reach the tracker.",
            lines=(f"Nothing answers at {services.settings.public_url}. Is the web role running?",),
        )
    return Reply(
        title="That was a sample mail to Ana, who is made up: three opens and a click, over real HTTP.",
        lines=(
            "The click rings ten seconds late on purpose: a security scanner that follows every link "
            "shows itself within that time.",
            "Track your own: write me an address, a subject and a link, such as:",
            f"  {SAMPLE}",
        ),
        buttons=((Button("Details", f"show {code}"), Button("Help", "help")),),
        data={"message": code},
    )


async def _visit(services: Services, url: str, address: str | None, agent: str) -> None:
    """One GET of `url` as Ana's program sends it, to this instance's own listener where there is one."""
    path = url.removeprefix(services.settings.public_url)
    try:
        await _get(_listener(services) + path, address, agent)
    except (aiohttp.ClientConnectorError, OSError):
        # The web role runs elsewhere, or this system has no second loopback address.
        await _get(url, None, agent)


def _listener(services: Services) -> str:
    host = services.settings.listen_host
    if host in ("0.0.0.0", "::", "localhost"):  # noqa: S104, compared, not bound
        host = "127.0.0.1"
    return f"http://{host}:{services.settings.port}"


async def _get(url: str, address: str | None, agent: str) -> None:
    connector = aiohttp.TCPConnector(local_addr=(address, 0) if address else None)
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get(url, headers={"User-Agent": agent}, allow_redirects=False) as response,
    ):
        await response.read()
