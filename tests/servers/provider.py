"""A mail provider on loopback: a real SMTP server that keeps what it gets, and fails as it is told."""

from __future__ import annotations

import asyncio
import base64
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

OK = "250 2.0.0 Queued as 42"


@dataclass(frozen=True)
class Got:
    """A mail that arrived, byte for byte."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...]
    user: str | None
    encrypted: bool

    @property
    def to(self) -> str:
        assert len(self.recipients) == 1, self.recipients
        return self.recipients[0]


@dataclass
class Provider:
    """What it got, and how it answers. Answers may change at any time."""

    port: int = 0
    users: dict[str, str] = field(default_factory=dict)  # none: whoever comes may send
    tokens: dict[str, str] = field(default_factory=dict)  # for XOAUTH2
    mails: list[Got] = field(default_factory=list)
    connections: int = 0
    logins: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # answer to RCPT, by address
    answer: str | Callable[[Got], str] = OK  # after the dot; only 250 keeps the mail
    after_dot: str = "answer"  # or "drop": kept, and no answer; "hang": kept, and silence; "lose": neither
    drops: int = 0  # so many of the next answers get lost, as with "drop"
    login_answer: str = ""  # instead of looking at user and password
    away: bool = False  # closes every connection at once
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def handler(self) -> _Handler:
        return _Handler(self)

    async def keep(self, got: Got) -> None:
        async with self._news:
            self.mails.append(got)
            self._news.notify_all()

    async def until(self, count: int, seconds: float = 60) -> list[Got]:
        """All mails, once there are that many."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.mails) >= count)
        return list(self.mails)

    def of(self, address: str) -> list[Got]:
        return [one for one in self.mails if address in one.recipients]


class _Handler:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    async def handle_RCPT(self, server, session: Session, envelope: Envelope, address: str, options) -> str:
        refusal = self.provider.refused.get(address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        provider = self.provider
        got = Got(
            envelope.mail_from or "",
            tuple(envelope.rcpt_tos),
            envelope.content,
            tuple(envelope.mail_options),
            session.auth_data if isinstance(session.auth_data, str) else None,
            server.transport.get_extra_info("ssl_object") is not None,
        )
        how = provider.after_dot
        if provider.drops:
            provider.drops, how = provider.drops - 1, "drop"
        if how == "answer":
            answer = provider.answer(got) if callable(provider.answer) else provider.answer
            if answer.startswith("250"):
                await provider.keep(got)
            return answer
        if how != "lose":
            await provider.keep(got)
        if how != "hang":
            server.transport.abort()
        await asyncio.sleep(3600)  # the connection's end cancels this
        return OK

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        text = base64.b64decode(args[1]).decode()
        user = text.partition("user=")[2].partition("\x01")[0]
        token = text.partition("Bearer ")[2].partition("\x01")[0]
        self.provider.logins.append(user)
        if self.provider.tokens.get(user) == token:
            return AuthResult(success=True, auth_data=user)
        await server.challenge_auth(b'{"status":"401"}', encode_to_b64=True)
        return AuthResult(success=False, handled=False)


class _Server(SMTP):
    def __init__(self, provider: Provider, **more: Any) -> None:
        self._provider = provider
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # passwords without encryption, on loopback
            super().__init__(
                provider.handler(), authenticator=self._check, enable_SMTPUTF8=True,
                hostname="provider.example", **more,
            )  # fmt: skip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._provider.connections += 1
        if self._provider.away:
            transport.close()
        super().connection_made(transport)

    def _check(self, server, session, envelope, mechanism, data: LoginPassword) -> AuthResult:
        user, password = data.login.decode(), data.password.decode()
        self._provider.logins.append(user)
        if self._provider.login_answer:
            return AuthResult(success=False, handled=False, message=self._provider.login_answer)
        good = not self._provider.users or self._provider.users.get(user) == password
        return AuthResult(success=good, handled=False, auth_data=user)


@asynccontextmanager
async def running_provider(
    *, tls: ssl.SSLContext | None = None, implicit: bool = False, port: int = 0, **more: Any
) -> AsyncIterator[Provider]:
    """A provider on a port of 127.0.0.1. `tls`: for STARTTLS, or (`implicit`) from the start."""
    provider = Provider(**more)
    needs_login = bool(provider.users or provider.tokens)
    options: dict[str, Any] = {"auth_required": needs_login, "auth_require_tls": False}
    if tls is not None and not implicit:
        options |= {"tls_context": tls, "require_starttls": True, "auth_require_tls": True}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Server(provider, **options), "127.0.0.1", port, ssl=tls if implicit else None
    )
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()
