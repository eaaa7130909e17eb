"""Logging in at the user's own mail provider, with a password or with OAuth.

Called by tracker/sending/upstream.py on a line that is encrypted, or that leads to this very machine. A
credential stands in no error.
"""

from __future__ import annotations

import aiosmtplib
from aiosmtplib import SMTP

from tracker.sending.answers import LaterError, LoginError, one_line, said
from tracker.sending.credentials import Credentials, Server

_UNKNOWN_WAY = (500, 501, 502, 503, 504)
_NEEDS_TRANSITION = 432  # RFC 4954, 6: the account must be logged in to in another way first


async def log_in(client: SMTP, server: Server, credentials: Credentials) -> None:
    """Says hello and logs in. Raises LoginError, LaterError, and the library's for a broken connection."""
    await client.ehlo()
    if not client.supports_extension("auth") and server.security == "none":
        return  # a server on this machine that takes whatever comes from it
    if not credentials.username:
        return
    try:
        if credentials.auth == "xoauth2":
            await client.auth_xoauth2(credentials.username, credentials.secret)
        else:
            await _give_password(client, credentials)
    except aiosmtplib.SMTPAuthenticationError as error:
        if 400 <= error.code < 500 and error.code != _NEEDS_TRANSITION:
            raise LaterError(said(error.code, error.message)) from None
        raise LoginError(said(error.code, error.message)) from None
    except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError):
        raise
    except (aiosmtplib.SMTPException, UnicodeError) as error:
        raise LoginError(one_line(str(error))) from None


async def _give_password(client: SMTP, credentials: Credentials) -> None:
    """By the first of the ways that the server knows: a wrong password is given once, lest it locks."""
    offered = {one.lower() for one in client.server_auth_methods}
    ways = [one for one in ("plain", "login", "cram-md5") if one in offered]
    for way in ways:
        give = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}[way]
        try:
            await give(credentials.username, credentials.secret)
            return
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code not in _UNKNOWN_WAY or way == ways[-1]:
                raise
    raise LoginError("the server offers no way to log in with a password")
