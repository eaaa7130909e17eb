"""Files that mail programs configure themselves from: on the result page, and for whoever asks by address.

The public one follows from the domain alone, so that nobody learns whether an address is known here.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from models import Mailbox
from tracker.mail.draft import read_address
from tracker.sending import passwords
from tracker.sending.clients import (
    Login,
    apple_profile,
    autoconfig,
    is_own_domain,
    public_autoconfig,
    submission_server,
)
from tracker.sending.credentials import imap_server
from tracker.sending.tickets import Ticket
from tracker.web import connect_pages
from tracker.web.browser_mark import is_same_browser
from tracker.web.connect_try import exchangers_of
from tracker.web.keys import SERVICES
from tracker.web.pages import SERVER_NAME, not_found, read_form

# Of the few domains that this instance is at home in: when they were asked for, and who takes their mail.
EXCHANGERS: web.AppKey[dict[str, tuple[float, tuple[str, ...]]]] = web.AppKey("EXCHANGERS")
_REMEMBERED = 600.0  # seconds
_HEADERS = {"Cache-Control": "no-store", "Server": SERVER_NAME, "X-Content-Type-Options": "nosniff"}


def add_routes(app: web.Application) -> None:
    """Mounts the addresses that Thunderbird asks (wiki.mozilla.org/Thunderbird:Autoconfiguration)."""
    app[EXCHANGERS] = {}
    app.router.add_get("/.well-known/autoconfig/mail/config-v1.1.xml", public)
    app.router.add_get("/mail/config-v1.1.xml", public)


async def public(request: web.Request) -> web.Response:
    """The configuration for any address, known or not."""
    address = read_address(request.query.get("emailaddress", "")[:400])
    found = await _public_file(request, address) if address else None
    if found is None:
        return not_found()
    return web.Response(body=found, content_type="text/xml", charset="utf-8", headers=_HEADERS)


async def _public_file(request: web.Request, address: str) -> bytes | None:
    """For a domain that this instance is at home in, whoever takes its mail is asked of DNS."""
    settings = request.app[SERVICES].settings
    domain = address.rpartition("@")[2]
    exchangers: tuple[str, ...] = ()
    if is_own_domain(settings, domain):
        kept = request.app[EXCHANGERS]
        if domain not in kept or time.monotonic() - kept[domain][0] > _REMEMBERED:
            kept[domain] = time.monotonic(), await exchangers_of(address)
        exchangers = kept[domain][1]
    return public_autoconfig(settings, address, exchangers)


async def download(request: web.Request, ticket: Ticket) -> web.Response:
    """`profile` for Apple's devices, `autoconfig` for a domain's web server, of a ticket just used."""
    form = await read_form(request)
    if not is_same_browser(request, form.get("mark", "")):
        return connect_pages.other_browser(ticket)
    server = submission_server(request.app[SERVICES].settings)
    mailbox = ticket.mailbox if ticket.is_spent else None
    imap = imap_server(mailbox) if mailbox is not None else None
    if server is None or mailbox is None or imap is None or mailbox.submission_user is None:
        return not_found()
    if request.match_info["file"] == "profile":
        login = Login(server, mailbox.submission_user, await _password(mailbox, form.get("password", "")))
        made = apple_profile(mailbox.address, imap, mailbox.username or mailbox.address, login)
        return _file(made, "application/x-apple-aspen-config", "mailbell.mobileconfig")
    if request.match_info["file"] == "autoconfig":
        domain = mailbox.address.rpartition("@")[2]
        made = autoconfig(domain, imap, Login(server, "%EMAILADDRESS%"))
        return _file(made, "text/xml", "config-v1.1.xml")
    return not_found()


async def _password(mailbox: Mailbox, typed: str) -> str | None:
    """The application password for the profile, if it is the right one: a wrong one would only be tried."""
    stored = mailbox.submission_digest or ""
    is_right = bool(typed) and await asyncio.to_thread(passwords.matches, typed, stored)
    return typed if is_right else None


def _file(content: bytes, kind: str, name: str) -> web.Response:
    headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=content, content_type=kind, headers=headers)
