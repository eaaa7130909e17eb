"""A mail provider of one person, small enough to hold in the hand: it checks logins and keeps what it gets.

For tests of what connects to a provider; those that send much use a real MTA.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

WRONG = "5.7.8 Username and Password not accepted. For more information, go to example.com/apppasswords"


@dataclass
class MailHost:
    """A provider on loopback without TLS. `logins`: user → password, or "bearer TOKEN"."""

    logins: dict[str, str] = field(default_factory=dict)
    port: int = 0
    tried: list[str] = field(default_factory=list)  # users, in order
    taken: list[Envelope] = field(default_factory=list)

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        user = data.login.decode()
        self.tried.append(user)
        good = self.logins.get(user) == data.password.decode()
        return AuthResult(success=good, handled=good, message=None if good else f"535 {WRONG}")

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        """developers.google.com/gmail/imap/xoauth2-protocol: user=…^Aauth=Bearer …^A^A."""
        text = base64.b64decode(args[1]).decode()
        user, _, rest = text.removeprefix("user=").partition("\x01auth=Bearer ")
        self.tried.append(user)
        good = self.logins.get(user) == f"bearer {rest.removesuffix(chr(1) * 2)}"
        return AuthResult(success=good, handled=good, message=None if good else f"535 {WRONG}")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.taken.append(envelope)
        return "250 2.0.0 OK"


@asynccontextmanager
async def mail_host(**logins: str) -> AsyncIterator[MailHost]:
    """A running one; the logins are users (with `_at_` for @) and passwords."""
    host = MailHost({user.replace("_at_", "@").replace("_dot_", "."): word for user, word in logins.items()})

    def connection() -> SMTP:
        return SMTP(
            host, authenticator=host.authenticate, auth_require_tls=False,
            hostname="mx.example",
        )  # fmt: skip

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        await server.wait_closed()
