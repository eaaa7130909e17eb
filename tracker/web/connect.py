"""The pages under /connect/TICKET: choose the provider, give the login, read what to put into mail programs.

The address comes from the command `connect` and works once (tracker/sending/tickets.py). A password typed
here goes to the provider's server at once and is kept encrypted; no page shows it again. Everything works
without scripts. Passwords are taken over https, or on this very machine in a trial.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from models.database import DATABASE_FAULTS
from tracker.mail.draft import read_address
from tracker.sending.mailboxes import renew_login
from tracker.sending.providers import Provider, find_provider, guess_provider
from tracker.sending.tickets import Ticket, claim_ticket, find_ticket, settle_ticket
from tracker.web import client_files, connect_back, connect_pages, connect_try
from tracker.web.browser_mark import is_same_browser, mark_browser
from tracker.web.connect_form import FormError, Typed, read_draft
from tracker.web.keys import SERVICES
from tracker.web.pages import not_found, notice, read_form, try_later
from tracker.web.throttle import Throttle, network_of

log = logging.getLogger(__name__)

THROTTLE = web.AppKey("CONNECT_THROTTLE", Throttle)
TICKET_THROTTLE = web.AppKey("TICKET_THROTTLE", Throttle)
_TRIES_OF_A_LINK = 12

Answer = Callable[[web.Request, Ticket], Awaitable[web.Response]]


def add_routes(app: web.Application) -> None:
    """Mounts the pages, the way back from Google and Microsoft, and the files for mail programs."""
    app[THROTTLE] = Throttle()
    app[TICKET_THROTTLE] = Throttle(tries=_TRIES_OF_A_LINK)
    connect_back.add_routes(app)
    client_files.add_routes(app)
    app.router.add_get("/connect/{ticket}", _with_ticket(_show))
    app.router.add_post("/connect/{ticket}", _with_ticket(_take))
    app.router.add_post("/connect/{ticket}/{file}", _with_ticket(client_files.download))


def _with_ticket(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Finds the ticket, and says what everybody may know where there is none."""

    async def handle(request: web.Request) -> web.Response:
        services = request.app[SERVICES]
        if not connect_pages.is_private(request):
            return connect_pages.not_private()
        try:
            ticket = await find_ticket(services, request.match_info["ticket"])
            if ticket is None:
                return connect_pages.gone()
            if request.method == hdrs.METH_POST and not _may_try(request, ticket):
                return notice(
                    "A little slower, please", "Too many tries. Wait ten minutes, then go on.", status=429
                )
            return await answer(request, ticket)
        except DATABASE_FAULTS as error:
            log.warning("the connect page has no database: %s", type(error).__name__)
            return try_later()

    return handle


def _may_try(request: web.Request, ticket: Ticket) -> bool:
    by_network = request.app[THROTTLE].allows(network_of(request))
    return request.app[TICKET_THROTTLE].allows(ticket.code.digest) and by_network


async def _show(request: web.Request, ticket: Ticket) -> web.Response:
    """The first page of a ticket, or the login form of the provider in `?p=`. Looking changes nothing."""
    if ticket.is_spent:
        return connect_pages.spent(ticket)
    if ticket.purpose == "renew":
        response = connect_pages.renewing(request, ticket)
    else:
        provider = find_provider(request.query.get("p", ""))
        if provider is None and ticket.mailbox is not None:
            provider = find_provider(ticket.mailbox.provider)
        response = (
            connect_pages.choosing(request, ticket)
            if provider is None
            else connect_pages.login(request, ticket, provider, Typed.of_mailbox(ticket.mailbox))
        )
    mark_browser(request, response)
    return response


async def _take(request: web.Request, ticket: Ticket) -> web.Response:
    """A form that was sent: an address to guess by, a login to try, a sign-in to begin, a new password."""
    form = await read_form(request, most=8192, fields=20)
    if not is_same_browser(request, form.get("mark", "")):
        return connect_pages.other_browser(ticket)
    if ticket.is_spent:
        return connect_pages.spent(ticket)
    step = form.get("step", "")
    if step == "renew" and ticket.purpose == "renew":
        return await _renew(request, ticket)
    if step == "address":
        return await _guess(request, ticket, form.get("address", ""))
    provider = find_provider(form.get("provider", ""))
    if provider is None or ticket.purpose == "renew":
        return not_found()
    typed = Typed.of_form(form)
    if step == "sign-in":
        return connect_back.begin(request, ticket, provider, typed)
    return await _try(request, ticket, provider, typed)


async def _guess(request: web.Request, ticket: Ticket, text: str) -> web.Response:
    """From the address alone to the form of its provider."""
    address = read_address(text)
    if address is None:
        return connect_pages.choosing(
            request, ticket, wrong="That is no mail address: type it like ana@acme.com"
        )
    exchangers = await connect_try.exchangers_of(address)
    provider = guess_provider(address, exchangers)
    typed = Typed(address=address, exchangers=exchangers)
    return connect_pages.login(request, ticket, provider, typed)


async def _try(request: web.Request, ticket: Ticket, provider: Provider, typed: Typed) -> web.Response:
    """The live check of a password, and what came of it."""
    try:
        draft = read_draft(provider, typed)
    except FormError as error:
        return connect_pages.login(request, ticket, provider, typed, wrong=str(error))
    return await connect_try.finish(request, ticket, provider, typed, draft)


async def _renew(request: web.Request, ticket: Ticket) -> web.Response:
    assert ticket.mailbox is not None
    if not await claim_ticket(request.app[SERVICES], ticket):
        return connect_pages.spent(ticket)
    made = await renew_login(ticket.mailbox)
    await settle_ticket(ticket, made.mailbox)
    return connect_pages.result(request, ticket, made)
