"""Signing in with Google or Microsoft instead of a password, for mail programs' protocols (XOAUTH2).

The connect page asks for the address of the provider's sign-in page and brings back a code; the relay and
the watcher ask for an access token. Refresh tokens are kept encrypted like passwords; access tokens live in
memory until they run out.

Sources: RFC 6749, RFC 7636 (PKCE); developers.google.com/gmail/imap/xoauth2-protocol; learn.microsoft.com
"Authenticate an IMAP, POP or SMTP connection using OAuth".
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from models import Mailbox
from models.database import atomically
from tracker.mail.draft import clean_line
from tracker.sending.credentials import encrypt
from tracker.services import Services
from tracker.settings import Settings

if TYPE_CHECKING:
    from tracker.sending.mailboxes import MailboxDraft

_SECONDS = 15.0
_MOST = 64 * 1024  # bytes of an answer
_EARLY = dt.timedelta(minutes=2)  # a token is not used up to its last second
_KEPT = 10_000


@dataclass(frozen=True)
class Site:
    """Who signs people in."""

    key: str  # google | microsoft
    name: str
    authorize: str
    token: str
    scope: str
    more: tuple[tuple[str, str], ...] = ()


SITES: dict[str, Site] = {
    "google": Site(
        "google",
        "Google",
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        "https://mail.google.com/",
        # Without these a second consent brings no refresh token.
        (("access_type", "offline"), ("prompt", "consent")),
    ),
    "microsoft": Site(
        "microsoft",
        "Microsoft",
        "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "https://outlook.office.com/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All "
        "offline_access",
    ),
}
_SITE_OF_PROVIDER = {"gmail": "google", "microsoft": "microsoft"}


@dataclass(frozen=True)
class Tokens:
    """What a site gives."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)  # None: the one before stays good
    lasts: int  # seconds


@dataclass(frozen=True)
class _Kept:
    access: str = field(repr=False)
    until: dt.datetime


# By what is stored of the mailbox's refresh token, which is never the same twice.
_kept: dict[str, _Kept] = {}


def is_set_up(settings: Settings, site: str) -> bool:
    """Whether whoever runs this instance registered it at the site."""
    return _client(settings, site) is not None


def _client(settings: Settings, site: str) -> tuple[str, str] | None:
    name = getattr(settings, f"{site}_client_id")
    secret = getattr(settings, f"{site}_client_secret")
    return (name, secret.get_secret_value()) if name and secret else None


def back_url(settings: Settings) -> str:
    """The redirect address to register at the sites."""
    return f"{settings.public_url}/connect/back"


def sign_in_url(settings: Settings, site: str, *, address: str, state: str, verifier: str) -> str:
    """The page of the site where the owner of `address` agrees. `verifier`: 43 to 128 characters, kept."""
    client = _client(settings, site)
    assert client is not None, "is_set_up was not asked"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {
        "client_id": client[0],
        "response_type": "code",
        "redirect_uri": back_url(settings),
        "scope": SITES[site].scope,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "login_hint": address,
        **dict(SITES[site].more),
    }
    return f"{SITES[site].authorize}?{urlencode(query)}"


async def exchange(services: Services, site: str, code: str, verifier: str) -> Tokens:
    """The tokens for the code that the browser brought back; LoginError, LaterError."""
    wanted = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    return await _ask(services.settings, site, {**wanted, "redirect_uri": back_url(services.settings)})


async def refresh(services: Services, site: str, refresh_token: str) -> Tokens:
    """A new access token; LoginError when the site lets us in no more, LaterError when it does not answer."""
    return await _ask(
        services.settings, site, {"grant_type": "refresh_token", "refresh_token": refresh_token}
    )


async def access_token(services: Services, mailbox: Mailbox, refresh_token: str) -> str:
    """A token to log in with now: the one at hand, or a new one where that ran out or was refused."""
    kept = _kept.get(mailbox.secret or "")
    if kept and mailbox.failed_at is None and kept.until > services.now():
        return kept.access
    tokens = await refresh(services, _site_of(mailbox.provider), refresh_token)
    if tokens.refresh and tokens.refresh != refresh_token:
        await _store(services, mailbox, tokens.refresh)
    if len(_kept) >= _KEPT:
        _kept.clear()
    until = services.now() + dt.timedelta(seconds=tokens.lasts) - _EARLY
    _kept[mailbox.secret or ""] = _Kept(tokens.access, until)
    return tokens.access


async def _store(services: Services, mailbox: Mailbox, refresh_token: str) -> None:
    """Keeps the refresh token that took the place of the one before, unless the mailbox changed meanwhile."""
    before, stored = mailbox.secret, encrypt(services, refresh_token)

    async def work() -> int:
        return await Mailbox.filter(id=mailbox.id, secret=before).update(secret=stored)

    if await atomically(work):
        mailbox.secret = stored


async def open_draft(services: Services, draft: MailboxDraft) -> tuple[str, MailboxDraft]:
    """An access token to try a new mailbox with, and the draft with the refresh token to keep."""
    tokens = await refresh(services, _site_of(draft.provider), draft.secret)
    return tokens.access, replace(draft, secret=tokens.refresh or draft.secret)


def _site_of(provider: str) -> str:
    return _SITE_OF_PROVIDER[provider]


async def _ask(settings: Settings, site: str, form: dict[str, str]) -> Tokens:
    """One request to the token address."""
    from tracker.sending.upstream import LaterError, LoginError

    client = _client(settings, site)
    name = SITES[site].name
    if client is None:
        raise LoginError(
            f"signing in with {name} is not set up here any more: {site.upper()}_CLIENT_ID is empty"
        )
    form = {**form, "client_id": client[0], "client_secret": client[1]}
    try:
        status, answer = await _post(SITES[site].token, form)
    except (ClientError, OSError, TimeoutError) as error:
        raise LaterError(f"{name}'s sign-in does not answer ({type(error).__name__})") from None
    if status == 429 or status >= 500:
        raise LaterError(f"{name}'s sign-in answers {status}")
    access = answer.get("access_token")
    if status != 200 or not isinstance(access, str) or not access:
        raise LoginError(_refusal(name, site, answer))
    again = answer.get("refresh_token")
    lasts = answer.get("expires_in")
    return Tokens(
        access,
        again if isinstance(again, str) and again else None,
        min(int(lasts), 86_400) if isinstance(lasts, int | float) and lasts > 0 else 300,
    )


def _refusal(name: str, site: str, answer: dict[str, Any]) -> str:
    """The site's words, and what to do. RFC 6749, 5.2: `invalid_grant` is the person's, the rest is ours."""
    code = str(answer.get("error", ""))
    words = clean_line(str(answer.get("error_description") or code or "no token"), 160)
    if code == "invalid_grant":
        return f"{name} does not let mailbell into this mailbox any more ({words}); sign in again"
    if code in ("invalid_client", "unauthorized_client"):
        return (
            f"{name} does not know this mailbell ({words}); whoever runs it has to look at "
            f"{site.upper()}_CLIENT_ID and {site.upper()}_CLIENT_SECRET"
        )
    return f"{name} refuses the sign-in ({words}); sign in again"


async def _post(url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
    timeout = ClientTimeout(total=_SECONDS)
    async with (
        ClientSession(cookie_jar=DummyCookieJar(), timeout=timeout) as session,
        session.post(url, data=form, allow_redirects=False) as answer,
    ):
        body = b""
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > _MOST:
                break
        try:
            found = json.loads(body)
        except ValueError:
            found = {}
        return answer.status, found if isinstance(found, dict) else {}
