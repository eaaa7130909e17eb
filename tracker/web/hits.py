"""The pixel and the redirect: gather facts, hand over, answer when the hit is on a disk.

The reader of the mail never waits for us and never sees an error that can be helped: a pixel is 200 with the
same bytes whatever happens; a link leads where it was meant to, as long as its target is cached or readable.
Other methods than GET are recorded too: they come from programs that check a link, and never count. No
answer depends on a verdict, and none reflects anything of the request.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import hdrs, web

from models.wake import LINKS, Wake
from models.writer import Writer, WriterDownError
from tracker.keys import veiled_token
from tracker.services import Services
from tracker.web.intake import TOKEN, describe
from tracker.web.keys import INTAKE, RECORDER, SERVICES

# One transparent dot, 43 bytes: the smallest that every mail client takes.
GIF = base64.b64decode("R0lGODlhAQABAIABAAAAAP///yH5BAEAAAEALAAAAAABAAEAAAICTAEAOw==")
SERVER_NAME = "mailbell"
# Gmail caches errors, and everybody else caches what they may: nothing of ours may be kept.
PIXEL_HEADERS = {
    "Content-Type": "image/gif",
    "Cache-Control": "no-store, no-cache, must-revalidate, max-age=0, private",
    "Server": SERVER_NAME,
}
_ALLOW = "GET, HEAD, OPTIONS"
METHOD_LENGTH = 16  # as the table has it
_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Type": "text/html; charset=utf-8",
    "Server": SERVER_NAME,
    "X-Robots-Tag": "noindex",
}
_TARGET = re.compile(r"https?://[^\x00-\x20\x7f]+", re.IGNORECASE)

LOOKUP_SECONDS = 0.25
KNOWN_SECONDS = 60.0
UNKNOWN_SECONDS = 2.0
CACHED = 20_000
RETRY_SECONDS = 3
_NOT_CACHED = (None, 0.0, 0)


def _page(title: str, text: str, head: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{head}'
        '<meta name="viewport" content="width=device-width"></head>'
        '<body style="font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem">'
        f"<h1>{title}</h1><p>{text}</p></body></html>"
    )


_NOT_FOUND = _page("This link leads nowhere", "It may have been cut off on its way. Ask who sent it to you.")
_TRY_AGAIN = _page(
    "One moment, please",
    "This page tries again by itself and then takes you where the link leads.",
    f'<meta http-equiv="refresh" content="{RETRY_SECONDS}">',
)


class Targets:
    """Where links lead: from a cache, then from the database. A link that no longer records still leads.

    So does one of somebody who was forgotten: of its token only the veiled form is kept. After links were
    deleted, here or in another process, every target is asked for anew.
    """

    def __init__(self, writer: Writer, key: str) -> None:
        self._writer = writer
        self._key = key
        self._cache: OrderedDict[str, tuple[str | None, float, int]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[str | None]] = {}
        self._age = 0  # grows with each deletion; what was read before it is not trusted

    async def stay_true(self, wake: Wake) -> None:
        """Listens for deletions, for ever."""
        while True:
            if await wake.wait(LINKS, 3600.0):
                self._age += 1
                self._asked.clear()  # they may have read it before

    async def find(self, token: str) -> str | None:
        """The target, or None for an unknown token. Raises WriterDownError when nobody knows just now."""
        target, until, age = self._cache.get(token, _NOT_CACHED)
        if until > time.monotonic() and age == self._age:
            return target
        task = self._asked.get(token)
        if task is None:
            task = self._asked[token] = asyncio.create_task(self._ask(token, self._age))
            task.add_done_callback(lambda done: self._answered(token, done))
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await asyncio.shield(task)
        except (WriterDownError, TimeoutError):
            if target is not None:
                return target  # known a while ago: better than an error
            raise WriterDownError("the target cannot be read") from None

    def _answered(self, token: str, done: asyncio.Task[str | None]) -> None:
        if self._asked.get(token) is done:
            del self._asked[token]
        if not done.cancelled():
            done.exception()  # looked at: nobody may be waiting any more

    async def _ask(self, token: str, age: int) -> str | None:
        rows = await self._writer.fetch(
            "SELECT target FROM link WHERE token IN (?, ?) AND kind = ?",
            (token, veiled_token(self._key, token), "click"),
        )
        target = rows[0][0] if rows and _TARGET.fullmatch(rows[0][0] or "") else None
        until = time.monotonic() + (KNOWN_SECONDS if target else UNKNOWN_SECONDS)
        self._cache[token] = target, until, age
        self._cache.move_to_end(token)
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return target


TARGETS = web.AppKey("TARGETS", Targets)


async def _listening(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[TARGETS].stay_true(app[SERVICES].wake), name="targets")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def pixel(request: web.Request) -> web.StreamResponse:
    """`/o/TOKEN.gif`, and anything else below `/o/`."""
    token = request.match_info["rest"].removesuffix(".gif")
    if TOKEN.fullmatch(token):
        await _record(request, "open", token)
    return _other_method(request) or web.Response(body=GIF, headers=PIXEL_HEADERS)


async def redirect(request: web.Request) -> web.StreamResponse:
    """`/c/TOKEN`: 302 to exactly what was asked for. The query is ignored."""
    token = request.match_info["rest"]
    refusal = _other_method(request)
    if refusal is not None:
        if TOKEN.fullmatch(token):
            await _record(request, "click", token)
        return refusal
    if not TOKEN.fullmatch(token):
        return web.Response(status=404, text=_NOT_FOUND, headers=_PAGE_HEADERS)
    try:
        target = await request.app[TARGETS].find(token)
    except WriterDownError:
        headers = {**_PAGE_HEADERS, "Retry-After": str(RETRY_SECONDS)}
        return web.Response(status=503, text=_TRY_AGAIN, headers=headers)
    if target is None:
        return web.Response(status=404, text=_NOT_FOUND, headers=_PAGE_HEADERS)
    await _record(request, "click", token)
    return web.Response(status=302, headers={**_PAGE_HEADERS, "Location": target})


def _other_method(request: web.Request) -> web.Response | None:
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        return None
    status = 204 if request.method == hdrs.METH_OPTIONS else 405
    return web.Response(status=status, headers={"Allow": _ALLOW, "Server": SERVER_NAME})


async def _record(request: web.Request, kind: str, token: str) -> None:
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    described = describe(request.headers, request.headers.getall("X-Forwarded-For", ()))
    host = peer[0] if isinstance(peer, tuple) else None
    hit = request.app[INTAKE].hit(kind, token, host, described, request.method[:METHOD_LENGTH])
    await request.app[RECORDER].recorded(hit)


def add_routes(app: web.Application) -> None:
    """Mounts pixel and redirect for every method: aiohttp's own refusals would cost a hit its answer."""
    services: Services = app[SERVICES]
    app[TARGETS] = Targets(services.writer, services.settings.key)
    app.cleanup_ctx.append(_listening)
    app.router.add_route("*", "/o/{rest:.*}", pixel)
    app.router.add_route("*", "/c/{rest:.*}", redirect)
