"""Fetches a list of networks from a URL that an operator names, with limits on everything.

Called by `update-networks` alone. Only https, also after redirects; never an address of this machine or of
the private network behind it unless ALLOW_PRIVATE_UPSTREAM says so; never more than a list can have.
"""

from __future__ import annotations

import ssl
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from tracker.hits.facts import parse_address
from tracker.hits.network_lists import MAX_BYTES
from tracker.internet import is_public

SECONDS = 60.0
REDIRECTS = 5


class FetchError(Exception):
    """The list cannot be had; the text says why."""


class _PublicResolver(ThreadedResolver):
    """Resolves as the system does, and drops addresses that are not of the Internet.

    Here, and not before the request: what is checked is what is connected to.
    """

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)  # type: ignore[arg-type]
        public = [one for one in found if is_public(one["host"])]
        if not public:
            raise FetchError(f"{host} is on a private network; ALLOW_PRIVATE_UPSTREAM=true permits that")
        return public


async def fetch(url: str, *, allow_private: bool) -> bytes:
    """The body behind an https URL; FetchError when it cannot be had within the limits."""
    resolver: AbstractResolver = ThreadedResolver() if allow_private else _PublicResolver()
    connector = TCPConnector(resolver=resolver, ssl=ssl.create_default_context(), force_close=True)
    timeout = ClientTimeout(total=SECONDS, connect=15)
    try:
        async with ClientSession(
            connector=connector, cookie_jar=DummyCookieJar(), timeout=timeout
        ) as session:
            for _ in range(REDIRECTS + 1):
                _check(url, allow_private)
                body, location = await _get(session, url)
                if location is None:
                    return body
                url = urljoin(url, location)
    except TimeoutError:
        raise FetchError(f"it took longer than {SECONDS:.0f} seconds") from None
    except (ClientError, OSError, ValueError) as error:
        raise FetchError(f"it cannot be fetched ({error or type(error).__name__})") from None
    raise FetchError(f"it is redirected more than {REDIRECTS} times")


async def _get(session: ClientSession, url: str) -> tuple[bytes, str | None]:
    """The body, or where it is to be had instead."""
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status in (301, 302, 303, 307, 308):
            return b"", answer.headers.get("Location", "")
        if answer.status != 200:
            raise FetchError(f"the answer is {answer.status}, not 200")
        body = bytearray()
        async for piece in answer.content.iter_chunked(64 * 1024):
            body += piece
            if len(body) > MAX_BYTES:
                raise FetchError(f"it is larger than {MAX_BYTES >> 20} MB")
        return bytes(body), None


def _check(url: str, allow_private: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise FetchError("it does not stay on https")
    literal = parse_address(parts.hostname)  # a name is looked at by the resolver
    if literal is not None and not (is_public(parts.hostname) or allow_private):
        raise FetchError(f"{parts.hostname} is private; ALLOW_PRIVATE_UPSTREAM=true permits that")
