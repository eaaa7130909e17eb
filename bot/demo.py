"""The player behind `demo`: a made-up recipient who opens, clicks and answers a sample mail.

Every step goes the way of a real one: the mail is tracked like any other, Ana's requests reach this very
instance's listener from three networks with three mail programs, a reminder falls due, and her answer comes
to the public capture address by SMTP. Nothing is faked behind the tracker.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import logging
from email.message import EmailMessage

import aiohttp
import aiosmtplib

from bot.chat import Button, Reply
from models import Account, Message
from tracker.hits import arming
from tracker.mail.addresses import capture_addresses
from tracker.mail.compose import track
from tracker.mail.draft import parse_draft
from tracker.reminders.firing import fire_due
from tracker.reminders.ordering import order_reminder
from tracker.reminders.orders import parse_order
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
    """Tracks the sample mail for `account`, opens it three times, clicks, reminds and answers it."""
    tracked = await track(services, account, parse_draft(SAMPLE), origin="demo")
    await arming.arm(services, tracked.message, services.now(), "sent")
    code = tracked.message.code
    if tracked.pixel_url is None or not tracked.links:
        return Reply(
            title="Tracking is off or clicks only for you or for acme.com, so the demo has nothing to show.",
            lines=("Switch it on with: settings mode full, settings on acme.com",),
        )
    try:
        for address, agent in VISITS:
            await asyncio.sleep(PAUSE)
            await _visit(services, tracked.pixel_url, address, agent)
        await asyncio.sleep(PAUSE)
        await _visit(services, tracked.links[0][1], *VISITS[1])
        await _remind(services, account, tracked.message)
        answered = await _answer(services, account, tracked.message)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("the demo could not reach the tracker: %s", type(error).__name__)
        return Reply(
            title="The demo could not reach the tracker.",
            lines=(f"Nothing answers at {services.settings.public_url}. Is the web role running?",),
        )
    return Reply(
        title="That was a sample mail to Ana, who is made up: three opens and a click over real HTTP, "
        f"a reminder{', and her answer by SMTP' if answered else ''}.",
        lines=(
            "The click rings ten seconds late on purpose: a security scanner that follows every link "
            "shows itself within that time.",
            "Track your own: write me an address, a subject and a link, such as:",
            f"  {SAMPLE}",
        ),
        buttons=((Button("Details", f"show {code}"), Button("Help", "help")),),
        data={"message": code},
    )


async def _remind(services: Services, account: Account, message: Message) -> None:
    """A reminder that falls due this moment, as one ordered days ago would."""
    order = parse_order("in 3 days")
    long_ago = services.now() - dt.timedelta(days=3)
    await order_reminder(services, account, message, order, start=long_ago)
    await asyncio.sleep(PAUSE)
    await fire_due(services)


async def _answer(services: Services, account: Account, message: Message) -> bool:
    """Ana's answer, sent to the public capture address as a forwarding rule would; False where none can."""
    addresses = await capture_addresses(services, account)
    if addresses is None:
        return False
    message_id = f"{message.code}@demo.invalid"
    await Message.filter(id=message.id).update(message_id_header=message_id, sent_at=message.created_at)
    mail = EmailMessage()
    mail["From"] = "Ana <ana@acme.com>"
    mail["To"] = "you@demo.invalid"
    mail["Subject"] = f"Re: {message.subject}"
    mail["Date"] = email.utils.format_datetime(services.now())
    mail["Message-ID"] = f"<{message.code}.answer@demo.invalid>"
    mail["In-Reply-To"] = f"<{message_id}>"
    mail.set_content("Looks good, let us talk on Thursday.")
    await asyncio.sleep(PAUSE)
    try:
        await aiosmtplib.send(
            mail, sender="ana@acme.com", recipients=[addresses[1]], hostname=_host(services),
            port=services.settings.capture_port, start_tls=False, use_tls=False, timeout=10,
        )  # fmt: skip
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        log.warning("the demo's answer did not reach the capture server: %s", type(error).__name__)
        return False
    return True


async def _visit(services: Services, url: str, address: str | None, agent: str) -> None:
    """One GET of `url` as Ana's program sends it, to this instance's own listener where there is one."""
    path = url.removeprefix(services.settings.public_url)
    try:
        await _get(_listener(services) + path, address, agent)
    except (aiohttp.ClientConnectorError, OSError):
        # The web role runs elsewhere, or this system has no second loopback address.
        await _get(url, None, agent)


def _host(services: Services) -> str:
    host = services.settings.listen_host
    return "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host  # noqa: S104, compared, not bound


def _listener(services: Services) -> str:
    return f"http://{_host(services)}:{services.settings.port}"


async def _get(url: str, address: str | None, agent: str) -> None:
    connector = aiohttp.TCPConnector(local_addr=(address, 0) if address else None)
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get(url, headers={"User-Agent": agent}, allow_redirects=False) as response,
    ):
        await response.read()
