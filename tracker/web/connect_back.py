"""The way to Google's or Microsoft's sign-in page and back again.

What has to be known on the way back (which ticket, which address, the PKCE verifier, which browser) travels
in `state`, encrypted: nothing is stored for somebody who never returns.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

from aiohttp import web

from models.database import DATABASE_FAULTS
from tracker.mail.draft import clean_line
from tracker.sending.credentials import LostSecretError, decrypt, encrypt
from tracker.sending.mailboxes import MailboxDraft
from tracker.sending.oauth import SITES, exchange, is_set_up, sign_in_url
from tracker.sending.providers import Provider, find_provider
from tracker.sending.tickets import Ticket, find_ticket
from tracker.sending.upstream import UpstreamError
from tracker.services import Services
from tracker.web import connect_pages, connect_try
from tracker.web.browser_mark import form_mark, is_same_browser
from tracker.web.connect_form import FormError, Typed, read_address_of, read_servers
from tracker.web.keys import SERVICES
from tracker.web.pages import fill, not_found, try_later

log = logging.getLogger(__name__)

_LONGEST = 4096
_KIND = "sign-in"  # so that no other encrypted text is ever taken for a state


def add_routes(app: web.Application) -> None:
    """Mounts the redirect address that is registered at the sites."""
    app.router.add_get("/connect/back", come_back)


def begin(request: web.Request, ticket: Ticket, provider: Provider, typed: Typed) -> web.Response:
    """The page with the link to the site's sign-in."""
    services = request.app[SERVICES]
    if provider.oauth is None or not is_set_up(services.settings, provider.oauth):
        return not_found()
    try:
        address = read_address_of(typed)
    except FormError as error:
        return connect_pages.login(request, ticket, provider, typed, wrong=str(error))
    verifier = secrets.token_urlsafe(48)
    state = {
        "kind": _KIND, "ticket": ticket.path.rpartition("/")[2], "address": address, "provider": provider.key,
        "verifier": verifier, "watches": typed.watches, "mark": form_mark(request),
    }  # fmt: skip
    url = sign_in_url(
        services.settings, provider.oauth, address=address, verifier=verifier,
        state=encrypt(services, json.dumps(state)),
    )  # fmt: skip
    return connect_pages.leaving(ticket, SITES[provider.oauth].name, url, address)


async def come_back(request: web.Request) -> web.Response:
    """The browser returns with a code, or with the word that its owner did not agree."""
    services = request.app[SERVICES]
    state = _open(services, request.query.get("state", ""))
    if state is None or not connect_pages.is_private(request):
        return connect_pages.gone()
    try:
        ticket = await find_ticket(services, state["ticket"])
        if ticket is None:
            return connect_pages.gone()
        if not is_same_browser(request, state["mark"]):
            return connect_pages.other_browser(ticket)
        if ticket.is_spent:
            return connect_pages.spent(ticket)
        return await _finish(request, ticket, state)
    except DATABASE_FAULTS as error:
        log.warning("the connect page has no database: %s", type(error).__name__)
        return try_later()


def _open(services: Services, text: str) -> dict[str, Any] | None:
    if not text or len(text) > _LONGEST:
        return None
    try:
        state = json.loads(decrypt(services, text))
    except (LostSecretError, ValueError):
        return None
    return state if isinstance(state, dict) and state.get("kind") == _KIND else None


async def _finish(request: web.Request, ticket: Ticket, state: dict[str, Any]) -> web.Response:
    services = request.app[SERVICES]
    provider = find_provider(state["provider"])
    assert provider is not None
    assert provider.oauth is not None
    typed = Typed(address=state["address"], watches=state["watches"])
    site = SITES[provider.oauth].name
    code = request.query.get("code", "")
    if not code or len(code) > _LONGEST:
        said = clean_line(request.query.get("error", "no answer"), 60)
        words = f"{site} did not let mailbell in ({said}). Press the button again, and agree to all of it."
        return connect_pages.login(request, ticket, provider, typed, wrong=words)
    try:
        tokens = await exchange(services, provider.oauth, code, state["verifier"])
    except UpstreamError as error:
        wrong = fill(
            "connect_refused", {"title": f"{site} did not let us in", "words": str(error), "text": ""}
        )
        return connect_pages.login(request, ticket, provider, typed, wrong=wrong)
    if tokens.refresh is None:
        words = f"{site} gave access for an hour only. Remove mailbell from your account there, then sign in."
        return connect_pages.login(request, ticket, provider, typed, wrong=words)
    smtp, imap = read_servers(provider, typed)
    draft = MailboxDraft(
        address=typed.address, provider=provider.key, smtp=smtp, imap=imap, username=typed.address,
        secret=tokens.refresh, auth="xoauth2",
    )  # fmt: skip
    return await connect_try.finish(request, ticket, provider, typed, draft)
