"""Whether BASE_URL leads here, over a valid certificate, and proxies tell whom they serve."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientConnectorCertificateError, ClientError, ClientSession, ClientTimeout, DummyCookieJar

from tracker.doctor.findings import About, Finding, Visit
from tracker.services import Services
from tracker.web.probe import probe_path

SECONDS = 15.0
RENEW_DAYS = 10  # a certificate that is renewed by itself has never fewer left
FORGED = "203.0.113.77"  # RFC 5737: nobody's address


async def check_base_url(visit: Visit) -> Sequence[Finding]:
    """BASE_URL answers, and it is this instance that does."""
    about = About("base-url", "BASE_URL")
    url = visit.services.settings.public_url
    try:
        status, told = await _ask(visit.services)
    except ClientConnectorCertificateError:
        return [about.wrong(f"{url} shows no valid certificate", _CERTIFICATE)]
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        return [
            about.wrong(
                f"{url} does not answer from here ({_why(error)})",
                "Is the web role running, does the name lead to this machine, and is the port open? If other "
                "machines can open it, your router does not lead back: then this line means nothing.",
            )
        ]
    if status != 200 or "peer" not in told:
        return [
            about.wrong(
                f"{url} answers, but it is not this mailbell (status {status})",
                "BASE_URL must lead to this instance, and every process of it needs the same SECRET_KEY.",
            )
        ]
    return [about.ok(f"{url} leads here"), *await _check_proxies(visit.services, told)]


_CERTIFICATE = "Put a certificate for this very name into your proxy (Let's Encrypt gives them for nothing)."


async def _ask(services: Services, **headers: str) -> tuple[int, Mapping[str, Any]]:
    timeout = ClientTimeout(total=SECONDS)
    async with (
        ClientSession(cookie_jar=DummyCookieJar(), timeout=timeout) as session,
        session.get(
            services.settings.public_url + probe_path(services), headers=headers, allow_redirects=False
        ) as answer,
    ):
        told = await answer.json(content_type=None) if answer.content_type == "application/json" else {}
        return answer.status, told if isinstance(told, dict) else {}


async def _check_proxies(services: Services, plain: Mapping[str, Any]) -> list[Finding]:
    """From two requests, one of which claims another address."""
    about = About("proxies", "Proxy headers")
    peer = str(plain["peer"])
    if not plain["forwarded"]:
        if services.settings.proxies and not plain["trusted"]:
            return [
                about.note(
                    "requests come without X-Forwarded-For",
                    "If there is a proxy in front, let it send that header; else empty TRUSTED_PROXIES.",
                )
            ]
        return [about.ok("no proxy stands in front: clients are seen as they are")]
    if not plain["trusted"]:
        return [
            about.wrong(
                f"a proxy at {peer} says whom it serves, and is not believed: all seem to be at {peer}",
                f"Set TRUSTED_PROXIES={peer}, or its network.",
            )
        ]
    _, told = await _ask(services, **{"X-Forwarded-For": FORGED})
    if told.get("forwarded") == [FORGED]:
        return [
            about.wrong(
                "your proxy hands on whatever address a client claims",
                "Let it append the client's address to X-Forwarded-For, or set it anew "
                "(nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for).",
            )
        ]
    return [about.ok(f"the proxy at {peer} is believed, and clients cannot claim another address")]


async def check_certificate(visit: Visit) -> Sequence[Finding]:
    """The certificate of BASE_URL runs on."""
    parts = urlsplit(visit.services.settings.public_url)
    about = About("https", "Certificate of BASE_URL")
    if parts.scheme != "https":
        if visit.services.settings.is_trial:
            return []
        return [
            about.wrong(
                "BASE_URL is plain http: mail programs block such pictures, and connect takes no passwords",
                "Put a proxy with a certificate in front, and set BASE_URL to the https address.",
            )
        ]
    context = ssl.create_default_context()
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=context)
        certificate = writer.get_extra_info("peercert")
        writer.close()
    except ssl.SSLCertVerificationError as error:
        return [about.wrong(f"it is not valid: {error.verify_message}", _CERTIFICATE)]
    except (OSError, TimeoutError) as error:
        return [about.note(f"it could not be looked at from here ({_why(error)})")]
    return [judge_certificate(about, certificate, visit.services.now())]


def judge_certificate(about: About, certificate: Mapping[str, Any], now: dt.datetime) -> Finding:
    """How long a valid certificate goes on; `certificate` as ssl.getpeercert() gives it."""
    ends = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), dt.UTC)
    left = (ends - now).days
    if left < RENEW_DAYS:
        return about.wrong(
            f"it runs out in {left} days ({ends:%Y-%m-%d})"
            if left >= 0
            else f"it ran out on {ends:%Y-%m-%d}",
            "Renew it; look why that did not happen by itself.",
        )
    return about.ok(f"valid until {ends:%Y-%m-%d}")


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or type(error).__name__)
