"""The shell of every page that a person reads: one look, no outside resources, a strict policy.

Used by the copy page and the privacy page (and by any page to come). Texts come in escaped, through `fill`;
script and style stand in files beside this one and are named in the policy by their hash, so that nothing a
stranger wrote could ever run.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from aiohttp import web

_HERE = Path(__file__).parent / "templates"
SERVER_NAME = "mailbell"
BODY_SECONDS = 10.0


class Markup(str):
    """HTML made by us: `fill` puts it in as it is, and escapes every other text."""

    __slots__ = ()


def fill(name: str, values: Mapping[str, object] | None = None) -> Markup:
    """The template `name`.html with `$name` replaced by the values, each escaped unless it is Markup."""
    escaped = {
        key: value if isinstance(value, Markup) else html.escape(str(value))
        for key, value in (values or {}).items()
    }
    return Markup(Template(_read(f"{name}.html")).substitute(escaped))


def page(
    title: str, body: Markup, *, script: str | None = None, attribute: str | None = None, status: int = 200
) -> web.Response:
    """A whole page. `script` names a file without its .js, run at the page's end.

    `attribute` is the one value that a style attribute may have: a browser that puts HTML on the clipboard
    applies the page's policy to it.
    """
    style = _read("page.css")
    code = _read(f"{script}.js") if script else ""
    text = fill(
        "page",
        {
            "title": title,
            "style": Markup(style),
            "body": body,
            "script": Markup(f"<script>{code}</script>" if code else ""),
        },
    )
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'"
        + (f" 'unsafe-hashes' '{_hash(attribute)}'" if attribute else "")
        + "; "
        + (f"script-src '{_hash(code)}'; " if code else "")
        + "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Server": SERVER_NAME,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex, nofollow",
    }
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=headers)


def notice(title: str, text: str, *, status: int = 200) -> web.Response:
    """A page that says one thing."""
    return page(title, fill("notice", {"title": title, "text": text}), status=status)


def not_found() -> web.Response:
    """The page for whatever is not there; nothing of the request stands in it."""
    return notice("There is nothing here", "The address may have been cut off on its way.", status=404)


def try_later() -> web.Response:
    """The page for when the database does not answer."""
    response = notice("One moment, please", "We cannot look that up just now. Try again soon.", status=503)
    response.headers["Retry-After"] = "10"
    return response


async def read_body(request: web.Request, most: int) -> bytes | None:
    """The body, or None where it is longer than `most` bytes or cannot be read. HTTPRequestTimeout: too slow.

    Nothing is read of a body that is too long by its own word.
    """
    if (request.content_length or 0) > most:
        return None
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > most:
                    return None
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The request took too long to arrive.\n") from None
    except web.RequestPayloadError:  # broken chunks, or a compression that it does not have
        return None
    return bytes(body)


async def read_form(request: web.Request, most: int = 4096, fields: int = 5) -> dict[str, str]:
    """The fields of a small form, the first value of each; nothing of anything else."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    body = await read_body(request, most) or b""
    try:
        found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=fields)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8").strip("\n")


def _hash(text: str) -> str:
    """A Content-Security-Policy source for exactly this inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
