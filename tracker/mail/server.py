"""What every mail server of ours needs and the library lacks: limits on connections, work that is finished.

The capture server (tracker/mail/smtp.py) and the submission server (tracker/sending/submission.py) build on
it. Here is nothing about mail. A fault of ours is a 451 that says nothing of it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import Counter, defaultdict
from collections.abc import Coroutine
from typing import Any, AnyStr, TypeVar, cast

from aiosmtpd.smtp import SMTP

from models.database import DATABASE_FAULTS
from models.writer import WriterDownError
from tracker.hits.facts import parse_address
from tracker.services import Services

T = TypeVar("T")

DRAIN_SECONDS = 10
_LONGEST_COMMAND = 512  # RFC 5321, 4.5.3.1.4

# The library's own logger holds addresses and everything that clients say.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
log = logging.getLogger(__name__)


class MailServer:
    """What all connections of a server share: how many there are, and the work that is under way."""

    drain_seconds: float = DRAIN_SECONDS  # at most, for what is under way when the server stops

    def __init__(self, services: Services, domain: str) -> None:
        self.services = services
        self.domain = domain
        self.open: Counter[str] = Counter()  # connections by place
        self.connections: set[Connection] = set()
        self._work: set[asyncio.Task[Any]] = set()

    def caps(self) -> tuple[int, int]:
        """How many connections there may be in all, and from one place."""
        raise NotImplementedError

    @property
    def is_busy(self) -> bool:
        """Whether there is no memory for another mail now."""
        raise NotImplementedError

    def is_full_for(self, place: str) -> bool:
        in_all, from_one = self.caps()
        return self.open.total() >= in_all or self.open[place] >= from_one

    async def apart(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` to its end, also when the caller is cancelled meanwhile."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        task.add_done_callback(_say_fault)
        return await asyncio.shield(task)

    async def handle_exception(self, error: Exception) -> str:
        """A fault of ours: the client tries again, and learns nothing of it."""
        if isinstance(error, (*DATABASE_FAULTS, WriterDownError)):
            log.warning("the database does not answer, a mail waits at its sender")
        else:
            log.error("a mail was not taken", exc_info=error)
        return "451 4.3.0 Try again later"

    async def close(self) -> None:
        """Waits for the mails that are being stored; what was not answered its sender sends again."""
        if self._work:
            await asyncio.wait(self._work, timeout=self.drain_seconds)
        for connection in list(self.connections):
            connection.cut()


class Connection(SMTP):
    """One client: counted by where it comes from, and turned away where it is one too many."""

    line_length_limit = 64 * 1024

    def __init__(self, server: MailServer, **options: Any) -> None:
        # One for each connection; the library's is one for all, and every EHLO raises it.
        self.command_size_limits = defaultdict(lambda: _LONGEST_COMMAND)
        super().__init__(
            server, hostname=server.domain, ident="ESMTP", enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(), **options,
        )  # fmt: skip
        self._home = server
        self.address = ""  # of the client, in full
        self._place = ""  # empty: turned away, or gone
        self._leaving = False
        self._heard_at = 0.0  # by the loop's clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Turns away whoever is one too many, before the library begins."""
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        place = place_of(self.address)
        stream = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        if self._home.is_full_for(place):
            self.turn_away(stream)
            return
        self._place = place
        self._home.open[place] += 1
        self._home.connections.add(self)
        self.begin(stream)

    def begin(self, transport: asyncio.Transport) -> None:
        """The conversation begins."""
        super().connection_made(transport)

    def turn_away(self, transport: asyncio.Transport) -> None:
        transport.write(b"421 4.7.0 Too many connections, try again later\r\n")
        transport.close()

    def data_received(self, data: bytes) -> None:
        if self._place:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self._place and self.session is not None else None

    def connection_lost(self, error: Exception | None) -> None:
        if not self._place:
            return
        self._home.open[self._place] -= 1
        self._home.open += Counter()  # forgets who has none left
        self._home.connections.discard(self)
        self._place = ""
        if self.session is not None:
            super().connection_lost(error)

    def _reset_timeout(self, duration: float | None = None) -> None:
        """As the library's, but that one timer does for many commands."""
        self._heard_at = self.loop.time()
        if self._timeout_handle is None:
            super()._reset_timeout(duration)

    def _timeout_cb(self) -> None:
        rest = self._heard_at + self._timeout_duration - self.loop.time()
        if rest > 0:
            self._timeout_handle = self.loop.call_later(rest, self._timeout_cb)
        else:
            super()._timeout_cb()  # type: ignore[no-untyped-call]

    async def push(self, status: AnyStr) -> None:
        """Answers. Once the line is closed the conversation ends, whatever the client had sent ahead."""
        if self.transport is None or self.transport.is_closing():
            raise asyncio.CancelledError  # what the library ends with where the client is gone
        await super().push(status)
        if self._leaving:
            self.cut()

    async def begin_data(self, arg: str | None) -> bool:
        """Answers DATA: whether the mail may come."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return False
        assert self.envelope is not None
        fault = ""
        if not self.envelope.rcpt_tos:
            fault = "503 5.5.1 Name a recipient first"
        elif arg:
            fault = "501 5.5.4 Syntax: DATA"
        elif self._home.is_busy:
            fault = "451 4.3.2 Busy, try again later"
        await self.push(fault or "354 End data with <CR><LF>.<CR><LF>")
        return not fault

    def hang_up(self) -> None:
        """Closes once the next answer is out."""
        self._leaving = True

    def cut(self) -> None:
        """Closes now."""
        if self.transport is not None:
            self.transport.close()


def place_of(address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address, which one customer has."""
    parsed = parse_address(address)
    if parsed is None:
        return "local"
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


def _say_fault(task: asyncio.Task[Any]) -> None:
    """The exception of a task that nobody waits for any more is not lost without a word."""
    if not task.cancelled():
        task.exception()
