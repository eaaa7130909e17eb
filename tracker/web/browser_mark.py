"""Knows a browser again between two pages of one form: a cookie of half an hour, and its mark in the form.

A form that another site sends in somebody's name carries no cookie (SameSite), and what comes back from
Google or Microsoft counts only in the browser that went there. Used by the connect pages; no other page of
mailbell sets a cookie.
"""

from __future__ import annotations

import hmac
import re

from aiohttp import web

from tracker.keys import keyed_hash, new_token
from tracker.web.keys import SERVICES

_NAME = "mailbell_connect"
_SHAPE = re.compile(r"[A-Za-z0-9_-]{22}")
_SECONDS = 1800
_FRESH = web.RequestKey("FRESH_MARK", str)


def form_mark(request: web.Request) -> str:
    """What a form of this answer carries; `mark_browser` gives the browser its other half."""
    return keyed_hash(request.app[SERVICES].settings.key, "connect form", _value(request))


def _value(request: web.Request) -> str:
    """The cookie's value: what the browser has, else a new one for this answer."""
    sent = request.cookies.get(_NAME, "")
    if _SHAPE.fullmatch(sent):
        return sent
    if _FRESH not in request:
        request[_FRESH] = new_token()
    return request[_FRESH]


def mark_browser(request: web.Request, response: web.Response) -> None:
    """Sets the cookie, also anew where the browser has it."""
    is_secure = request.app[SERVICES].settings.public_url.startswith("https://")
    response.set_cookie(
        _NAME,
        _value(request),
        max_age=_SECONDS,
        path="/connect",
        httponly=True,
        samesite="Lax",
        secure=is_secure,
    )


def is_same_browser(request: web.Request, mark: str) -> bool:
    """Whether `mark` was made for the browser that sends this request."""
    if not _SHAPE.fullmatch(request.cookies.get(_NAME, "")):
        return False
    return hmac.compare_digest(form_mark(request).encode(), mark.encode("utf-8", "replace"))
