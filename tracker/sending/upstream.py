"""The way into the user's own mail provider: connect, encrypt, log in, hand one copy over.

Called by the relay, by `connect` to try a login, and by the doctor. A password travels only over a checked
certificate, or to this very machine. Errors say what their catcher should do; they hold the provider's own
words, and never a credential.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

import aiosmtplib
from aiosmtplib import SMTP, SMTPResponse

from tracker.sending.answers import (
    CertificateError,
    LaterError,
    LoginError,
    NoAnswerError,
    RefusedError,
    UpstreamError,
    mapped,
    network_words,
    refusal,
    said,
)
from tracker.sending.credentials import Credentials, Server
from tracker.sending.login import log_in
from tracker.sending.wire import PIECE, dotted, in_pieces

__all__ = [
    "CertificateError",
    "Connection",
    "LaterError",
    "LoginError",
    "NoAnswerError",
    "RefusedError",
    "UpstreamError",
    "check_login",
    "connect",
    "connection",
    "send_copy",
]

CONNECT_SECONDS = 30.0
COMMAND_SECONDS = 60.0
STALL_SECONDS = 120.0  # in which a part of a mail must have left (RFC 5321, 4.5.3.2.5: three minutes)
END_SECONDS = 600.0  # for the answer after the dot (RFC 5321, 4.5.3.2.6)
QUIT_SECONDS = 5.0

BeforeEnd = Callable[[], Awaitable[None]]


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """What certificates are checked with: the system's authorities, and the host's name."""
    return ssl.create_default_context()


class Connection:
    """A connection that is logged in; hands over one copy after the other."""

    def __init__(self, client: SMTP) -> None:
        self._client = client

    @property
    def is_open(self) -> bool:
        return self._client.is_connected

    async def send(
        self, sender: str, recipient: str, content: bytes, before_end: BeforeEnd | None = None
    ) -> str:
        """Hands `content` over for one recipient; the provider's words. Raises UpstreamError.

        `before_end` is awaited when all but the last dot has left: from then on the mail may have been
        taken. What it raises ends the connection, and then the mail was not taken.
        """
        try:
            await self._envelope(sender, recipient, content)
            return await self._data(content, before_end)
        except UpstreamError as error:
            await self._settle(error)
            raise
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            self._client.close()
            raise mapped(error) from None
        except BaseException:
            self._client.close()
            raise

    async def _envelope(self, sender: str, recipient: str, content: bytes) -> None:
        client = self._client
        options = []
        if client.supports_extension("size"):
            options.append(f"SIZE={len(content)}")
        if not content.isascii() and client.supports_extension("8bitmime"):
            options.append("BODY=8BITMIME")
        encoding = "ascii"
        headers = content[: content.find(b"\r\n\r\n") + 1]
        if not (sender.isascii() and recipient.isascii() and headers.isascii()):
            if client.supports_extension("smtputf8"):
                options.append("SMTPUTF8")
                encoding = "utf-8"
            else:
                sender, recipient = _in_ascii(sender), _in_ascii(recipient)
        try:
            await client.mail(sender, options=options, encoding=encoding)
            await client.rcpt(recipient, encoding=encoding)
        except aiosmtplib.SMTPResponseException as error:
            raise refusal(error.code, error.message) from None

    async def _data(self, content: bytes, before_end: BeforeEnd | None) -> str:
        """As the library's, but that it knows whether the last dot had left when the connection broke."""
        start = await self._client.execute_command(b"DATA")
        if start.code != aiosmtplib.SMTPStatus.start_input:
            raise refusal(start.code, start.message)
        protocol = self._client.protocol
        if protocol is None:
            raise LaterError("the connection was lost")
        answer = asyncio.ensure_future(protocol.read_response())
        try:
            await asyncio.sleep(0)  # so that it listens: the server may interrupt
            wired = dotted(content) if len(content) < PIECE else await asyncio.to_thread(dotted, content)
            for piece in in_pieces(wired):
                protocol.write(piece)
                await self._flushed(answer)
            if answer.done():
                given = answer.result()
                self._client.close()
                raise refusal(given.code, given.message)
            if before_end is not None:
                await before_end()
            return await self._end(answer)
        finally:
            if not answer.done():
                answer.cancel()
            with contextlib.suppress(aiosmtplib.SMTPException, asyncio.CancelledError):
                await answer

    async def _end(self, answer: asyncio.Future[SMTPResponse]) -> str:
        assert self._client.protocol is not None
        self._client.protocol.write(b".\r\n")
        try:
            async with asyncio.timeout(END_SECONDS):
                given = await asyncio.shield(answer)
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            self._client.close()
            raise NoAnswerError("the connection was lost before the answer came") from None
        if given.code != aiosmtplib.SMTPStatus.completed:
            raise refusal(given.code, given.message)
        return said(given.code, given.message)

    async def _flushed(self, answer: asyncio.Future[SMTPResponse]) -> None:
        """Waits until what was written has left, or an answer came early."""
        transport = self._client.transport
        left, since = -1, asyncio.get_running_loop().time()
        size = getattr(transport, "get_write_buffer_size", None)  # uvloop's transports are no WriteTransport
        while size is not None and not answer.done():
            waiting = size()
            if not waiting:
                return
            now = asyncio.get_running_loop().time()
            if waiting != left:
                left, since = waiting, now
            elif now - since > STALL_SECONDS:
                raise LaterError("the provider's server stopped listening")
            await asyncio.sleep(0.005)

    async def _settle(self, error: UpstreamError) -> None:
        """After a refusal the connection is good for the next copy; after anything else it is not."""
        if not self.is_open or isinstance(error, NoAnswerError):
            self._client.close()
            return
        try:
            await self._client.rset()
        except (aiosmtplib.SMTPException, OSError):
            self._client.close()

    async def close(self) -> None:
        """Says goodbye where somebody listens."""
        if self._client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await self._client.quit(timeout=QUIT_SECONDS)
        self._client.close()


@asynccontextmanager
async def connection(
    server: Server, credentials: Credentials, addresses: Sequence[str] | None = None
) -> AsyncIterator[Connection]:
    """A connection that is logged in, for the block. Raises UpstreamError.

    `addresses` are those that the host's name was found to lead to and may be contacted; none means: ask.
    """
    opened = await connect(server, credentials, addresses)
    try:
        yield opened
    finally:
        await opened.close()


async def connect(
    server: Server, credentials: Credentials, addresses: Sequence[str] | None = None
) -> Connection:
    """The same without an end of its own: whoever calls it closes it."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connected = await _reach(server.port, addresses or [server.host])
    except (OSError, TimeoutError) as error:
        raise LaterError(f"{server.host} cannot be reached ({network_words(error)})") from None
    client = SMTP(
        sock=connected, hostname=server.host, timeout=COMMAND_SECONDS, use_tls=server.security == "tls",
        start_tls=server.security == "starttls", tls_context=tls_context(),
        local_hostname=_own_name(connected),
    )  # fmt: skip
    try:
        await client.connect()
        await log_in(client, server, credentials)
    except BaseException as error:
        client.close()
        connected.close()
        if isinstance(error, (aiosmtplib.SMTPException, OSError, ValueError)):
            raise mapped(error, server.host) from None
        raise
    return Connection(client)


async def check_login(server: Server, credentials: Credentials) -> None:
    """Logs in and leaves. Raises UpstreamError with the provider's words."""
    async with connection(server, credentials):
        pass


async def send_copy(
    server: Server, credentials: Credentials, sender: str, recipient: str, content: bytes
) -> str:
    """Hands one copy over on a connection of its own; the provider's words. Raises UpstreamError."""
    async with connection(server, credentials) as opened:
        return await opened.send(sender, recipient, content)


async def _reach(port: int, hosts: Sequence[str]) -> socket.socket:
    """A socket that is connected to the first of the hosts that answers."""
    loop = asyncio.get_running_loop()
    fault: OSError = OSError("no address")
    for host in hosts:
        for family, kind, protocol, _, place in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            made = socket.socket(family, kind, protocol)
            made.setblocking(False)
            try:
                await loop.sock_connect(made, place)
            except OSError as error:
                fault = error
                made.close()
            except BaseException:
                made.close()
                raise
            else:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return made
    raise fault


def _in_ascii(address: str) -> str:
    """The domain as DNS has it (RFC 5890); a local part with other letters stays, and is refused."""
    local, at, domain = address.rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{local}{at}{domain}"


def _own_name(connected: socket.socket) -> str:
    """How we greet: by our address (RFC 5321, 4.1.3); looking up a name could take long."""
    address = str(connected.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
