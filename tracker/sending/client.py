"""One mail program at the submission server: encryption, login, and the mail that it sends.

Made by tracker/sending/submission.py for each connection. What is here is what the library lacks: TLS from
the first byte, logins that wait for the database, brakes, bounded memory. Nothing but STARTTLS is heard
before the line is encrypted, and what was sent ahead of the handshake is dropped (STARTTLS injection).
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import AuthResult, syntax

from models import Mailbox
from tracker.mail.data import MOST, Pieces, TooLongError
from tracker.mail.starttls import TlsConnection
from tracker.sending.spool import SpoolFullError

if TYPE_CHECKING:
    from tracker.sending.submission import SubmissionServer

MOST_BAD_LOGINS = 3  # of one connection
COMMANDS = {
    "MAIL": 10_000,
    "RCPT": 100_000,
    "DATA": 10_000,
    "NOOP": 1_000,
    "RSET": 10_000,
    "EHLO": 10,
    "HELO": 10,
    "AUTH": 10,
    "*": 20,
}
TIMEOUT = 120.0  # seconds for a command, or for the next piece of a mail
LOGIN_SECONDS = 60.0  # until somebody has logged in
MAIL_SECONDS = 1800.0  # for a whole mail
NO_ROOM = "452 4.3.1 There is no room for the mail now, try again later"
_PATH = re.compile(r"<([^<>]*)>(?:[ ]+(.*))?", re.DOTALL)
_AUTH_PARAMETER = re.compile(r"\sAUTH=\S+", re.IGNORECASE)


class Client(TlsConnection):
    """A connection. `mailbox` is whose login it is, `owned` what it may write from."""

    def __init__(self, server: SubmissionServer, *, encrypted: bool) -> None:
        super().__init__(
            server, server.certificate.context, data_size_limit=MOST, timeout=TIMEOUT,
            command_call_limit=COMMANDS, require_starttls=True, auth_require_tls=True, auth_required=True,
        )  # fmt: skip
        self._server = server
        self._encrypted = encrypted
        self._opening: asyncio.Task[None] | None = None
        self._early = b""  # of the handshake, on a TLS port
        self._deadline: asyncio.TimerHandle | None = None
        self._bad_logins = 0
        self.mailbox: Mailbox | None = None
        self.owned: frozenset[str] = frozenset()
        self.owned_at = float("-inf")  # when they were asked for, by the loop's clock
        self.at_work = False  # a mail is coming in

    @property
    def is_gone(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    # --- encryption -----------------------------------------------------------------------------------

    def begin(self, transport: asyncio.Transport) -> None:
        """Starts the conversation, on a TLS port once the handshake is done."""
        self._deadline = self.loop.call_later(LOGIN_SECONDS, self.cut)
        if self._encrypted:
            self.transport = transport
            self._opening = self.loop.create_task(self._open(transport))
        else:
            super().begin(transport)

    def turn_away(self, transport: asyncio.Transport) -> None:
        if self._encrypted:
            transport.abort()  # there is no handshake to say anything after
        else:
            super().turn_away(transport)

    def data_received(self, data: bytes) -> None:
        if self._encrypted and self.session is None:
            self._early += data
        else:
            super().data_received(data)

    def _hand_early(self, plain: asyncio.Transport) -> None:
        """The beginning of the handshake, where it came before TLS took over, as it may under uvloop."""
        tls: Any = plain.get_protocol()  # a BufferedProtocol, uvloop's by name only
        while self._early and tls is not self:
            room = memoryview(tls.get_buffer(len(self._early)))
            piece, self._early = self._early[: len(room)], self._early[len(room) :]
            room[: len(piece)] = piece
            tls.buffer_updated(len(piece))

    async def _open(self, plain: asyncio.Transport) -> None:
        self.loop.call_soon(self._hand_early, plain)  # once `encrypt` waits
        secured = await self.encrypt(plain)
        if secured is None:
            self.connection_lost(None)
            return
        self.transport = None  # as it is where the library begins
        super().begin(secured)
        self.know_encryption(secured, plain)

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(error)

    def cut(self) -> None:
        if self.session is not None:
            super().cut()
        elif self.transport is not None:  # before the handshake is done nobody hears a goodbye
            cast("asyncio.Transport", self.transport).abort()

    def say_goodbye(self) -> None:
        """The server stops: the client tries again later."""
        if self.session is not None and not self.is_gone:
            self._writer.write(b"421 4.3.2 Stopping, try again later\r\n")
        self.cut()

    # --- login ----------------------------------------------------------------------------------------

    @syntax("AUTH <mechanism>")
    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802
        """As the library's, but for mechanisms in small letters."""
        name, space, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(name.upper() + space + rest)

    async def auth_PLAIN(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        """RFC 4616; who acts for somebody else is refused."""
        said = await self._hear("", args)
        parts = said.split(b"\0") if said is not None else []
        if said is not None and len(parts) != 3:
            await self.push("501 5.5.2 The login cannot be read")
        if len(parts) != 3:
            return AuthResult(success=False, handled=True)
        if parts[0] not in (b"", parts[1]):
            parts[2] = b""  # no password fits
        return await self._log_in(parts[1], parts[2])

    async def auth_LOGIN(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        user = await self._hear("Username:", args)
        password = await self._hear("Password:", []) if user is not None else None
        if user is None or password is None:
            return AuthResult(success=False, handled=True)
        return await self._log_in(user, password)

    async def _hear(self, challenge: str, args: list[str]) -> bytes | None:
        """What the client says, with the command or when asked; None where that was no use, and it knows."""
        try:
            if len(args) > 1:
                return b64decode(args[1].encode(), validate=True)
            said = await self.challenge_auth(challenge)
        except ValueError:  # not Base64, or a line without end
            await self.push("501 5.5.2 That is no Base64")
            return None
        return said if isinstance(said, bytes) else None

    async def _log_in(self, user: bytes, password: bytes) -> AuthResult:
        found = await self._server.check(
            self._place, user.decode("utf-8", "replace"), password.decode("utf-8", "replace")
        )
        if isinstance(found, Mailbox):
            self.mailbox = found
            if self._deadline is not None:
                self._deadline.cancel()
            return AuthResult(success=True, message="235 2.7.0 Welcome")
        self._bad_logins += 1
        if self._bad_logins >= MOST_BAD_LOGINS:
            self.hang_up()
            found = "421 4.7.0 Too many bad logins"
        return AuthResult(success=False, handled=False, message=found)

    # --- mail -----------------------------------------------------------------------------------------

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """The address as it stands: the library would drop a source route and unquote without a word."""
        found = _PATH.fullmatch(arg.strip())
        address, _, rest = (found[1], "", found[2] or "") if found else arg.strip().partition(" ")
        return address.strip() or "<>", rest

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """As the library's, and with AUTH= (RFC 4954, 5), which nobody is trusted for."""
        await super().smtp_MAIL(arg and _AUTH_PARAMETER.sub("", arg))

    @syntax("VRFY <address>")
    async def smtp_VRFY(self, _arg: str | None) -> None:  # noqa: N802
        await self.push("502 5.5.1 Nobody is told who is here")

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """As the library's, but for its memory: the mail goes to disk while it comes in."""
        if not await self.begin_data(arg):
            return
        with self._server.working(self):
            try:
                await self.push(await self._receive())
            except TooLongError:
                await self.push("552 5.3.4 Too much mail data")
                self.cut()
            except TimeoutError:
                await self.push("421 4.4.2 The mail took too long")
                self.cut()
        if self._server.is_closing:
            self.say_goodbye()

    async def _receive(self) -> str:
        """Reads a mail to its end; the reply, once it is on disk."""
        assert self.envelope is not None
        incoming = self._server.incoming(self, self.envelope)
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        try:
            try:
                async with asyncio.timeout(MAIL_SECONDS):
                    async for piece in Pieces(self._reader):
                        self._reset_timeout()
                        await incoming.add(piece)
            except BaseException:
                await self._server.apart(incoming.discard())
                raise
            return await self._server.apart(self._server.store(self, incoming))
        except SpoolFullError:
            return NO_ROOM


def sized(options: list[str]) -> int:
    """The size that a client announces with MAIL, 0 where it does not."""
    return next((int(one[5:]) for one in options if one.startswith("SIZE=") and one[5:].isdigit()), 0)
