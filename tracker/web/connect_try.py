"""The live check behind the connect form: one try of a ticket, and the page that says what came of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from aiohttp import web

from models import Mailbox
from models.database import DATABASE_FAULTS
from tracker.exchangers import NoExchangerError, mail_exchangers
from tracker.replies.watched import check_imap, set_watching, watch_refused
from tracker.sending.credentials import Server, credentials_of, imap_server
from tracker.sending.hosts import HostError, check_server
from tracker.sending.mailboxes import Connected, DraftError, MailboxDraft, connect_mailbox
from tracker.sending.providers import Provider
from tracker.sending.tickets import Ticket, claim_ticket, settle_ticket
from tracker.sending.upstream import CertificateError, LaterError, LoginError, UpstreamError
from tracker.services import Services
from tracker.web import connect_pages
from tracker.web.connect_form import Typed
from tracker.web.keys import SERVICES
from tracker.web.pages import Markup, fill

READING_SECONDS = 20.0

log = logging.getLogger(__name__)


async def exchangers_of(address: str) -> tuple[str, ...]:
    """The MX names of the address's domain; none where they cannot be had."""
    try:
        return tuple(await mail_exchangers(address.rpartition("@")[2]))
    except NoExchangerError:
        return ()


async def finish(
    request: web.Request, ticket: Ticket, provider: Provider, typed: Typed, draft: MailboxDraft
) -> web.Response:
    """Tries the login. What fails leaves the ticket as it was, so that it can be tried again."""
    services = request.app[SERVICES]
    if not await claim_ticket(services, ticket):
        return connect_pages.spent(ticket)
    made: Connected | None = None
    told = ""
    try:
        made = await connect_mailbox(services, ticket.account, draft, keep_login=ticket.mailbox is not None)
        told = await _set_watching(request, ticket, typed, made.mailbox)
    except (HostError, DraftError) as error:
        return connect_pages.login(request, ticket, provider, typed, wrong=_sentence(str(error)))
    except UpstreamError as error:
        log.info("a mailbox at %s was not connected: %s", provider.key, type(error).__name__)
        return connect_pages.login(request, ticket, provider, typed, wrong=_told(provider, draft, error))
    finally:
        await _settle(ticket, made)
    return connect_pages.result(request, replace(ticket, mailbox=made.mailbox), made, told)


async def _set_watching(request: web.Request, ticket: Ticket, typed: Typed, mailbox: Mailbox) -> str:
    """Looks for replies or not, as it was wanted; what is to be told where they cannot be read.

    Sending is connected in any case. A login that is refused waits for its owner, who hears of it here.
    """
    services = request.app[SERVICES]
    server = imap_server(mailbox)
    if typed.watches and server is None:
        return ""
    told = ""
    try:
        if typed.watches and server is not None:
            await _try_reading(services, mailbox, server)
    except LoginError as error:
        await watch_refused(services, mailbox, str(error))
        return _unread(server, str(error)) + (
            f"Until it does I see no replies. To try again, write “connect watch {mailbox.address}” to "
            f"mailbell; with another password, “connect new {mailbox.address}”."
        )
    except (HostError, UpstreamError) as error:
        told = _unread(server, str(error)) + "I go on trying; write “connect” to mailbell to see how it goes."
    if typed.watches != mailbox.imap_on:
        await set_watching(services, ticket.account, mailbox.address, typed.watches)
        await mailbox.refresh_from_db()
    return told


async def _try_reading(services: Services, mailbox: Mailbox, server: Server) -> None:
    addresses = await check_server(services.settings, server)
    try:
        async with asyncio.timeout(READING_SECONDS):
            await check_imap(server, await credentials_of(services, mailbox), addresses)
    except TimeoutError:
        raise LaterError(f"no answer within {READING_SECONDS:.0f} seconds") from None


def _unread(server: Server | None, words: str) -> str:
    host = server.host if server else "the server for reading"
    return f"Sending works, but {host} does not let me look for replies: “{words}”. "


async def _settle(ticket: Ticket, made: Connected | None) -> None:
    try:
        await settle_ticket(ticket, made.mailbox if made else None)
    except DATABASE_FAULTS as error:  # the ticket stays taken, and runs out
        log.warning("a used link could not be noted: %s", type(error).__name__)


def _told(provider: Provider, draft: MailboxDraft, error: UpstreamError) -> Markup:
    """What the provider said, in its words, and what to do about it."""
    return fill("connect_refused", {"words": str(error), **_remedy(provider, draft, error)})


def _remedy(provider: Provider, draft: MailboxDraft, error: UpstreamError) -> dict[str, str]:
    host = draft.smtp.host
    if isinstance(error, LoginError):
        title = f"{host} does not let you in"
        if draft.auth == "xoauth2":
            text = "Sign in once more, with this very address, and allow the access to mail."
        elif provider.called != "password":
            text = f"It wants an {provider.called}, not your usual password: {provider.steps}"
        elif provider.oauth is not None:
            text = provider.steps
        else:
            text = "Look at user name and password. Many providers want a password made for programs."
    elif isinstance(error, CertificateError):
        title = f"{host} cannot show that it is who it says"
        text = "Nothing was sent to it. Look at the server's name, and at how the connection is secured."
    elif isinstance(error, LaterError):
        title = f"{host} could not be asked"
        text = (
            f"Look at server and port ({draft.smtp.port}), or try again in a few minutes. Some hosting "
            "companies block mail ports: whoever runs this mailbell can ask them."
        )
    else:
        title, text = f"{host} refuses", "Its words say why; its help pages say more."
    return {"title": title, "text": text}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
