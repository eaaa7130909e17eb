"""The root page: what is collected here, by whom, for how long, and a way out that works at once.

The answer to an opt-out is always the same, whether address or token is known or not, so that nobody learns
who gets mail from whom. No cookies, so there is no session that another site could misuse.
"""

from __future__ import annotations

import logging
import re

from aiohttp import web

from models.database import DATABASE_FAULTS
from tracker.mail.draft import read_address
from tracker.mail.opt_out import opt_out, opt_out_by_token
from tracker.services import Services
from tracker.web.intake import TOKEN
from tracker.web.keys import SERVICES
from tracker.web.pages import Markup, fill, notice, page, read_form, try_later
from tracker.web.throttle import Throttle, network_of

log = logging.getLogger(__name__)

_TOKEN_IN_LINK = re.compile(r"/[co]/([A-Za-z0-9_-]{22})(?:\.gif)?(?:[?#].*)?$")
THROTTLE = web.AppKey("THROTTLE", Throttle)


def add_routes(app: web.Application) -> None:
    """Mounts the root page."""
    app[THROTTLE] = Throttle()
    app.router.add_get("/", show)
    app.router.add_post("/", refuse)


async def show(request: web.Request) -> web.Response:
    """The page; with `?t=TOKEN` also a button for that mail. Looking at it changes nothing."""
    token = request.query.get("t", "")
    ask = fill("privacy_ask", {"token": token}) if TOKEN.fullmatch(token) else Markup("")
    settings = request.app[SERVICES].settings
    place = (
        "Place and country are worked out from the network."
        if settings.geoip_db
        else "Where you are is not worked out from it."
    )
    body = fill("privacy", {"ask": ask, "days": settings.retention_days, "place": place})
    return page("About the mail that brought you here · mailbell", body)


async def refuse(request: web.Request) -> web.Response:
    """Opts an address out, or whoever has the mail with a token. Only what is neither is told apart."""
    origin = network_of(request)
    if not request.app[THROTTLE].allows(origin):
        return notice(
            "A little slower, please", "Too many tries from your network. Wait ten minutes.", status=429
        )
    form = await read_form(request)
    said = form.get("who", "").strip()
    link = _TOKEN_IN_LINK.search(said)
    token = link.group(1) if link else form.get("t", "")
    address = None if link else read_address(said)
    if address is None and not TOKEN.fullmatch(token):
        return notice(
            "That is no mail address",
            "Go back and type it like you@example.com, or paste a whole link from the mail.",
            status=400,
        )
    try:
        await _opt_out(request.app[SERVICES], address, token)
    except DATABASE_FAULTS as error:
        log.warning("an opt-out could not be stored: %s", type(error).__name__)
        return try_later()
    return page("Done · mailbell", fill("privacy_done"))


async def _opt_out(services: Services, address: str | None, token: str) -> None:
    if address is not None:
        await opt_out(services, address)
    else:
        await opt_out_by_token(services, token)
