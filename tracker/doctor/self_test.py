"""A mail to ourselves by each way in, opened and clicked: whether all of it works together.

It belongs to an account of its own that nobody acts for and no chat hears of, so nothing rings and nobody's
figures change. Its mails are deleted afterwards, with their hits.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

import aiosmtplib
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from tortoise.exceptions import IntegrityError

from models import Account, Hit, InstanceState, Link, Mailbox, Message, OwnAddress
from models.database import atomically
from tracker.doctor.findings import About, Finding, Visit
from tracker.doctor.logins import SELF_TEST
from tracker.doctor.mail_ports import find_capture, find_submission, inside
from tracker.keys import new_code
from tracker.mail.compose import parse_draft, track
from tracker.mail.forget import erase_message
from tracker.mail.tracked import Tracked
from tracker.sending import passwords
from tracker.services import Services

SECONDS = 20.0  # for each step
_PAUSE = 0.2
_NAME = "mailbell self-test"
_STATE = "doctor:account"
_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36"
)
_TARGET = "https://example.com/mailbell-self-test"  # nobody goes there: the redirect is not followed

Send = Callable[[EmailMessage, str], Awaitable[None]]


class FailedError(Exception):
    """A step did not work: what was seen, and what to do."""

    def __init__(self, said: str, remedy: str) -> None:
        super().__init__(said)
        self.remedy = remedy


async def check_capture_way(visit: Visit) -> Sequence[Finding]:
    """A copy to the capture address is bound to its mail, which is then opened and clicked."""
    services, about = visit.services, About("self-test-capture", "Self-test by BCC")
    place = await find_capture(services.settings)
    if place is None:
        return []  # another check says why

    async def send(mail: EmailMessage, address: str) -> None:
        await aiosmtplib.send(
            mail, hostname=place.host, port=place.port, recipients=[address], start_tls=False,
            timeout=SECONDS, local_hostname="doctor.invalid",
        )  # fmt: skip

    return [await _run(services, about, send)]


async def check_submission_way(visit: Visit) -> Sequence[Finding]:
    """The same with a mail that is handed in at the submission port, by a login made for it."""
    services, about = visit.services, About("self-test-submission", "Self-test by sending through")
    settings = services.settings
    place = await find_submission(settings)
    if settings.capture_port is None or place is None:
        return []  # other checks say why
    mailbox, password = await _make_login(services)
    context = ssl.create_default_context()
    if place.host == inside(settings):  # our own port: another check looks at its certificate
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def send(mail: EmailMessage, address: str) -> None:
        del mail["From"]
        mail["From"] = mailbox.address
        await aiosmtplib.send(
            mail, hostname=place.host, port=place.port, recipients=[address],
            use_tls=place.security == "tls", start_tls=place.security == "starttls", tls_context=context,
            username=mailbox.submission_user, password=password,
            timeout=SECONDS, local_hostname="doctor.invalid",
        )  # fmt: skip

    try:
        return [await _run(services, about, send)]
    finally:
        await OwnAddress.filter(account_id=mailbox.account_id, address=mailbox.address).delete()
        await Mailbox.filter(id=mailbox.id).delete()


async def _run(services: Services, about: About, send: Send) -> Finding:
    account = await self_test_account(services)
    tracked = await track(services, account, parse_draft(f"Self-test {_TARGET}"))
    try:
        await _send(services, tracked, send)
        await _until_bound(tracked.message)
        await _visit(services, tracked)
        await _until_judged(tracked.message)
    except FailedError as error:
        return about.wrong(str(error), error.remedy)
    finally:
        message = await Message.get_or_none(id=tracked.message.id)
        if message is not None:
            await erase_message(services, message)
    return about.ok("a mail came in, and its pixel and its link were seen")


async def self_test_account(services: Services) -> Account:
    """The account of these tests: no identity acts for it, and it has no chat."""
    state = await InstanceState.get_or_none(key=_STATE)
    found = await Account.get_or_none(id=int(state.value)) if state else None
    if found is not None:
        for old in await Message.filter(
            account_id=found.id, created_at__lt=services.now() - dt.timedelta(hours=1)
        ):
            await erase_message(services, old)
        return found

    async def work() -> Account:
        made = await Account.create(name=_NAME, created_at=services.now())
        await InstanceState.filter(key=_STATE).delete()
        await InstanceState.create(key=_STATE, value=str(made.id))
        return made

    with suppress(IntegrityError):  # another process was first
        return await atomically(work)
    state = await InstanceState.get(key=_STATE)
    return await Account.get(id=int(state.value))


async def _make_login(services: Services) -> tuple[Mailbox, str]:
    account = await self_test_account(services)
    user, password = passwords.new_login()
    digest = await asyncio.to_thread(passwords.digest, password)
    domain = services.settings.capture_domain or "mailbell.invalid"
    mailbox = await Mailbox.create(
        account=account, address=f"{SELF_TEST}{new_code(8)}@{domain}".lower(), provider="other",
        created_at=services.now(), smtp_host="127.0.0.1", smtp_port=1, smtp_security="tls",
        submission_user=user, submission_digest=digest,
    )  # fmt: skip
    await OwnAddress.create(account=account, address=mailbox.address, created_at=services.now())
    return mailbox, password


def _mail(services: Services, tracked: Tracked) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "doctor@mailbell.invalid", "nobody@example.com"
    mail["Subject"] = "mailbell self-test"
    mail["Date"], mail["Message-ID"] = format_datetime(services.now()), make_msgid(domain="mailbell.invalid")
    mail.set_content("mailbell tests itself.")
    link = tracked.links[0][1]
    html = f'<p><a href="{link}">A link</a></p><img src="{tracked.pixel_url}" alt="" width="1" height="1">'
    mail.add_alternative(html, subtype="html")
    return mail


async def _send(services: Services, tracked: Tracked, send: Send) -> None:
    assert tracked.capture_address is not None
    mail = _mail(services, tracked)
    account_id = tracked.message.account_id
    await OwnAddress.get_or_create(
        {"created_at": services.now()}, account_id=account_id, address="doctor@mailbell.invalid"
    )
    try:
        await send(mail, tracked.capture_address)
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        words = str(getattr(error, "message", "")) or type(error).__name__
        raise FailedError(
            f"the mail was not taken ({words[:120]})", "Is the smtp role running on this machine?"
        ) from None


async def _until_bound(message: Message) -> None:
    async def is_bound() -> bool:
        return await Message.filter(id=message.id, captured_at__isnull=False).exists()

    await _until(
        is_bound,
        "a mail was taken, and is not understood",
        "Look into the log of the process with the smtp role.",
    )


async def _visit(services: Services, tracked: Tracked) -> None:
    """Opens and clicks as a person's browser does; the link is not followed."""
    await asyncio.sleep(1.1)  # the Date of a mail has no fractions: not before it
    urls = [tracked.pixel_url, tracked.links[0][1]]
    try:
        async with ClientSession(
            cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=SECONDS)
        ) as session:
            for url in urls:
                headers = {"User-Agent": _AGENT}
                async with session.get(str(url), headers=headers, allow_redirects=False) as answer:
                    await answer.read()
    except (ClientError, OSError, TimeoutError) as error:
        raise FailedError(
            f"its pixel and link cannot be fetched ({type(error).__name__})",
            f"They begin with {services.settings.public_url}: that address must lead here.",
        ) from None


async def _until_judged(message: Message) -> None:
    links = await Link.filter(message_id=message.id).count()

    async def are_seen() -> bool:
        return await Hit.filter(message_id=message.id).count() >= links

    async def are_judged() -> bool:
        return await Hit.filter(message_id=message.id, judged_at__isnull=False).count() >= links

    await _until(are_seen, "it was opened and clicked, and that was not recorded", "Is the web role running?")
    await _until(
        are_judged, "its open and click wait to be judged", "Is a process with the worker role running?"
    )


async def _until(holds: Callable[[], Awaitable[bool]], said: str, remedy: str) -> None:
    """Asks again and again: another process may be what is waited for. No query is ever cut off."""
    end = time.monotonic() + SECONDS
    while not await holds():
        if time.monotonic() > end:
            raise FailedError(said, remedy)
        await asyncio.sleep(_PAUSE)
