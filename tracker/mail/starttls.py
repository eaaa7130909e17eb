"""A connection that can be encrypted: STARTTLS as the library has it, but for what it lacks.

The submission server (tracker/sending/client.py) insists on it, the capture server (tracker/mail/smtp.py)
offers it, so that providers deliver encrypted. What was sent ahead of the handshake is dropped (STARTTLS
injection).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from aiosmtpd.smtp import syntax

from tracker.mail.server import Connection, MailServer

HANDSHAKE_SECONDS = 15.0

Contexts = Callable[[], ssl.SSLContext]  # for one new connection: certificates are renewed meanwhile


class TlsConnection(Connection):
    """One client, whose line may become encrypted. Without `contexts` it never does."""

    def __init__(self, server: MailServer, contexts: Contexts | None, **options: Any) -> None:
        super().__init__(server, tls_context=contexts() if contexts else None, **options)
        self._contexts = contexts

    async def encrypt(self, plain: asyncio.Transport) -> asyncio.Transport | None:
        """The transport of the encrypted line; None where the handshake failed, and the line is closed."""
        assert self._contexts is not None
        try:
            secured = await self.loop.start_tls(
                plain, self, self._contexts(), server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS, ssl_shutdown_timeout=5.0,
            )  # fmt: skip
        except (OSError, ssl.SSLError):
            secured = None
        if secured is None:
            plain.abort()
        return secured

    def know_encryption(self, secured: asyncio.Transport, plain: asyncio.Transport) -> None:
        """Tells the library, which asks these, and knows of no TLS that it did not begin itself."""
        assert self.session is not None
        self._tls_protocol = secured  # type: ignore[assignment]
        self._original_transport = plain
        self.session.ssl = {"cipher": secured.get_extra_info("cipher")}

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802, the library's name
        """As the library's, but for a second one, failed handshakes, and what was sent ahead."""
        if arg:
            await self.push("501 5.5.4 Syntax: STARTTLS")
            return
        if self._contexts is None:
            await self.push("454 4.7.0 TLS is not available here")
            return
        if self._tls_protocol is not None:
            await self.push("503 5.5.1 The line is encrypted already")
            return
        plain = cast("asyncio.Transport", self.transport)
        await self.push("220 2.0.0 Ready to start TLS")
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        secured = await self.encrypt(plain)
        if secured is None:
            self.connection_lost(None)
            return
        self._set_rset_state()  # type: ignore[no-untyped-call]
        assert self.session is not None
        peer, self.session = self.session.peer, self._create_session()
        self.session.peer = peer
        self.transport = secured
        self._reader._transport = self._writer._transport = secured  # type: ignore[attr-defined]
        self.know_encryption(secured, plain)
