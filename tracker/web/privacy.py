"""The root page: what is collected here, by whom, for how long, and a way out that works at once.

The answer to an opt-out is always the same, whether address or token is known or not, so that nobody learns
who gets mail from whom. No cookies, so there is no session that another site could misuse.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import parse_qs

from aiohttp import web

from models.database import DATABASE_FAULTS
from tracker.mail.draft import read_address
from tracker.mail.opt_out import opt_out, opt_out_by_token
from tracker.services import Services
from tracker.web.intake import TOKEN, describe
from tracker.web.keys import INTAKE, SERVICES
from tracker.web.pages import Markup, fill, notice, page, read_body, try_later

log = logging.getLogger(__name__)

_TOKEN_IN_LINK = re.compile(r"/[co]/([A-Za-z0-9_-]{22})(?:\.gif)?(?:[?#].*)?$")
_BODY = 4096
_TRIES = 20  # opt-outs from one network within _WINDOW
_WINDOW = 600.0  # seconds
_NETWORKS = 10_000


class Throttle:
    """Counts tries by network, in memory: enough against a script that tries addresses all day."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allows(self, network: str) -> bool:
        """Counts one more try; whether it may go on."""
        since, count = self._tries.get(network, (self._clock(), 0))
        if self._clock() - since >= _WINDOW:
            since, count = self._clock(), 0
        self._tries[network] = since, count + 1
        self._tries.move_to_end(network)
        while len(self._tries) > _NETWORKS:
            self._tries.popitem(last=False)
        return count < _TRIES


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
    origin = _network(request)
    if not request.app[THROTTLE].allows(origin):
        return notice(
            "A little slower, please", "Too many tries from your network. Wait ten minutes.", status=429
        )
    form = await _read_form(request)
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


async def _read_form(request: web.Request) -> dict[str, str]:
    """The fields of a small form, the first value of each; nothing of anything else."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    body = await read_body(request, _BODY) or b""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=5)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _network(request: web.Request) -> str:
    described = describe(request.headers, request.headers.getall("X-Forwarded-For", ()))
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    host = peer[0] if isinstance(peer, tuple) else None
    return request.app[INTAKE].origin(host, described.forwarded, None).network or ""
