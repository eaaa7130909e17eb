"""The web application: pixel, redirect, health, and the pages that other modules add.

Built by `bot/__main__` (which also mounts the chats' webhooks) and by the tests. The recorder lives as long
as the application: it stops after the last answer.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from tracker.hits.record import Recorder
from tracker.services import Services
from tracker.web import health, hits, networks_watch
from tracker.web.intake import Intake
from tracker.web.keys import CHAT_HEALTH, INTAKE, RECORDER, SERVICES, UNDER_WAY, ChatHealth, UnderWay

BODY_LIMIT = 256 * 1024
_PAGES = ("tracker.web.copy_page", "tracker.web.privacy", "tracker.web.connect", "tracker.web.probe")


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts requests under way.

    No body is read here: whoever wants one looks at the request first, and reads it within limits of size
    and time (`read_body` in tracker/web/pages.py; the framework waits for ever).
    """
    under_way = request.app[UNDER_WAY]
    under_way.count += 1
    try:
        return await handler(request)
    finally:
        under_way.count -= 1


async def _recording(app: web.Application) -> AsyncIterator[None]:
    await app[RECORDER].start()
    yield
    await app[RECORDER].stop()


def build_app(
    services: Services,
    recorder: Recorder,
    *,
    chat_health: ChatHealth = dict,
    more: Callable[[web.Application], None] | None = None,
) -> web.Application:
    """The application without a port. `more` adds routes of the chats. The writer must be started."""
    app = web.Application(middlewares=[_counted], client_max_size=BODY_LIMIT)
    app[SERVICES] = services
    app[RECORDER] = recorder
    lists = networks_watch.NetworkFiles(services.settings.data_dir)
    app[INTAKE] = Intake(services, lists.load())
    app[CHAT_HEALTH] = chat_health
    app[UNDER_WAY] = UnderWay()
    app.cleanup_ctx.append(_recording)
    app.cleanup_ctx.append(networks_watch.watching(lists))
    hits.add_routes(app)
    health.add_routes(app)
    for page in _PAGES:
        if importlib.util.find_spec(page) is not None:
            importlib.import_module(page).add_routes(app)
    if more is not None:
        more(app)
    return app
