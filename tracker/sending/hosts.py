"""Which servers people may name: none on this machine or in the network behind it, unless it is permitted.

Asked before a mail server of somebody's is contacted, by `connect` and by the relay. Names are resolved here
once, and a caller connects to the addresses that were looked at (`public_addresses`): a name that leads
elsewhere the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import socket

from tracker.internet import is_loopback_address, is_public
from tracker.sending.credentials import Server
from tracker.settings import Settings

_RESOLVE_SECONDS = 10.0


class HostError(Exception):
    """A server that cannot be used; the text says which, why, and what to do.

    HostError
      ├─ PrivateHostError   it is on this machine or in a private network
      ├─ UnknownHostError   its name leads nowhere: a typing error, or the name server is away
      └─ OpenServerError    it would be used without encryption
    """


class PrivateHostError(HostError):
    """The host is on this machine or in a private network, and ALLOW_PRIVATE_UPSTREAM is off."""


class UnknownHostError(HostError):
    """The host's name has no address."""


class OpenServerError(HostError):
    """Without encryption a password would be readable on its way."""


async def public_addresses(settings: Settings, host: str) -> list[str]:
    """The addresses of a host that may be contacted; PrivateHostError, UnknownHostError.

    One private address among public ones refuses the host as a whole.
    """
    name = host.strip().rstrip(".")
    if not name or len(name) > 253 or any(one.isspace() or one in "/@\x00" for one in name):
        raise UnknownHostError(f"“{host[:60]}” is no server name; it looks like smtp.example.com")
    found = await _resolve(name)
    if not settings.allow_private_upstream and not all(is_public(one) for one in found):
        raise PrivateHostError(
            f"{name} is on a private network or on this machine; whoever runs this mailbell can permit "
            "that with ALLOW_PRIVATE_UPSTREAM=true"
        )
    return found


async def _resolve(name: str) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            rows = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise UnknownHostError(f"there is no server called {name}; look for a typing error") from None
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


async def check_host(settings: Settings, host: str) -> None:
    """Nothing, if the host may be contacted; else PrivateHostError or UnknownHostError."""
    await public_addresses(settings, host)


async def check_server(settings: Settings, server: Server) -> list[str]:
    """The addresses of a server that may be contacted; `none` is for this machine alone. Raises HostError."""
    found = await public_addresses(settings, server.host)
    if server.security == "none" and not all(is_loopback_address(one) for one in found):
        raise OpenServerError(
            f"{server.host} would get your password without encryption; use starttls or tls"
        )
    return found
