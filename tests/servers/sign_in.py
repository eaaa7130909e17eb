"""A site that signs people in (OAuth 2 with PKCE), on loopback, as strict as RFC 6749 and 7636."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp import web
from aiohttp.test_utils import TestServer

from tracker.sending import oauth


@dataclass
class SignIn:
    """What the site knows and did. `access` is the token that it gives next."""

    access: str = "access-1"
    refresh: str = "refresh-1"
    rotates: bool = False
    refuses: tuple[int, dict[str, str]] | None = None  # status and answer of the token address
    lasts: int = 3600
    asked: list[dict[str, str]] = field(default_factory=list)  # forms of the token address
    agreed: list[dict[str, str]] = field(default_factory=list)  # queries of the sign-in page
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    url: str = ""

    async def page(self, request: web.Request) -> web.Response:
        """The person agrees at once."""
        query = dict(request.query)
        self.agreed.append(query)
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        raise web.HTTPFound(f"{query['redirect_uri']}?code={code}&state={query['state']}")

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(form)
        if self.refuses is not None:
            return web.json_response(self.refuses[1], status=self.refuses[0])
        if (form.get("client_id"), form.get("client_secret")) != ("bell", "bell secret"):
            return web.json_response({"error": "invalid_client"}, status=401)
        if form["grant_type"] == "authorization_code":
            wrong = self._wrong_code(form)
        else:
            wrong = form.get("refresh_token") != self.refresh
        if wrong:
            return web.json_response(
                {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
                status=400,
            )
        if self.rotates:
            self.refresh = f"refresh-{secrets.token_hex(4)}"
        return web.json_response(
            {"access_token": self.access, "expires_in": self.lasts, "refresh_token": self.refresh}
        )

    def _wrong_code(self, form: dict[str, str]) -> bool:
        query = self.codes.pop(form["code"], None)
        hashed = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).decode().rstrip("=")
        return (
            query is None
            or query["code_challenge"] != challenge
            or query["redirect_uri"] != form.get("redirect_uri")
        )


@asynccontextmanager
async def sign_in_site() -> AsyncIterator[SignIn]:
    """A running one, in the place of both Google and Microsoft."""
    site = SignIn()
    app = web.Application()
    app.router.add_get("/authorize", site.page)
    app.router.add_post("/token", site.token)
    real = dict(oauth.SITES)
    async with TestServer(app) as server:
        site.url = str(server.make_url("/")).rstrip("/")
        for key, one in real.items():
            oauth.SITES[key] = replace(one, authorize=f"{site.url}/authorize", token=f"{site.url}/token")
        try:
            yield site
        finally:
            oauth.SITES.update(real)
