"""`/doctor/SIGNED`: tells the doctor of this very instance how its request arrived here.

Only a text signed with SECRET_KEY within the last minutes is answered; so an answer also proves that
BASE_URL leads to this instance. Everybody else finds nothing here.
"""

from __future__ import annotations

from aiohttp import web

from tracker.hits.facts import parse_address
from tracker.keys import new_code, sign, unsign
from tracker.services import Services
from tracker.web.keys import SERVICES
from tracker.web.pages import not_found

_SECONDS = 300
_LONGEST = 100


def add_routes(app: web.Application) -> None:
    """Mounts it."""
    app.router.add_get("/doctor/{signed}", answer)


def probe_path(services: Services) -> str:
    """A path that is answered for five minutes."""
    name = f"{int(services.now().timestamp())}-{new_code(12)}"
    return f"/doctor/{sign(services.settings.key, 'doctor', name)}"


async def answer(request: web.Request) -> web.Response:
    """The peer's address, whether it is a trusted proxy, and what proxies said of whom they serve."""
    services = request.app[SERVICES]
    signed = request.match_info["signed"]
    name = unsign(services.settings.key, "doctor", signed) if len(signed) <= _LONGEST else None
    moment = (name or "").partition("-")[0]
    if not moment.isdecimal() or abs(services.now().timestamp() - int(moment)) > _SECONDS:
        return not_found()
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    host = str(peer[0]) if isinstance(peer, tuple) else ""
    address = parse_address(host)
    trusted = address is not None and any(address in network for network in services.settings.proxies)
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
    told = {
        "peer": host,
        "trusted": trusted,
        "forwarded": [one.strip() for one in forwarded.split(",") if one.strip()][:20],
        "proto": request.headers.get("X-Forwarded-Proto"),
    }
    return web.json_response(told, headers={"Cache-Control": "no-store"})
