"""The capture server: takes the copies that people put into BCC, and nothing for anybody else.

Started by bot/process.py. Unknown addresses are refused at RCPT; a 250 after the mail means that what it
says is on disk. It never sends mail. Work on the database runs in tasks of its own: the library cancels its
task when a client hangs up.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from models.database import DATABASE_FAULTS
from models.writer import WriterDownError
from tracker.mail.addresses import CaptureBox, capture_domain, find_box
from tracker.mail.capture import RefusedMailError, key_of, take_copy
from tracker.mail.data import MOST, TooLongError, normalise, read_content
from tracker.mail.parser import Parser
from tracker.services import Services

T = TypeVar("T")

MOST_CONNECTIONS = 200
MOST_FROM_ONE = 50  # connections of one address
MOST_AT_WORK = 16  # mails that are being parsed and stored; the others wait
MOST_WAITING = 100  # mails that wait for their turn; their clients may be gone
MOST_RECIPIENTS = 100
MOST_UNKNOWN = 10  # unknown recipients of one connection: somebody is trying addresses
COMMANDS = {
    "MAIL": 100,
    "RCPT": 1_000,
    "DATA": 100,
    "NOOP": 100,
    "RSET": 200,
    "EHLO": 10,
    "HELO": 10,
    "*": 20,
}
TIMEOUT = 120.0  # seconds for a command, or for a whole mail
LEAST_FREE = 64 * 1024 * 1024  # bytes of disk
DRAIN_SECONDS = 10

# The library's own logger holds addresses and everything that clients say.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
log = logging.getLogger(__name__)


class CaptureServer:
    """What all connections share, and what is done with a mail: the handler that the library calls."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.domain = capture_domain(services.settings) or "localhost"
        self.open: Counter[str] = Counter()  # connections by address
        self.connections: set[SMTP] = set()
        self._parser = Parser(services.settings.public_url)
        self._turn = asyncio.Semaphore(MOST_AT_WORK)
        self._work: set[asyncio.Task[Any]] = set()

    def connection(self) -> SMTP:
        """The protocol of one connection."""
        return _Connection(self)

    @property
    def is_busy(self) -> bool:
        """Whether more mails wait than there is memory for."""
        return len(self._work) >= MOST_WAITING + MOST_AT_WORK

    async def apart(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` to its end, also when the caller is cancelled meanwhile."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        task.add_done_callback(_say_fault)
        return await asyncio.shield(task)

    async def handle_RCPT(  # noqa: N802, the library's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Takes an address that is somebody's, and no other."""
        assert isinstance(server, _Connection)
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        box = await self.apart(find_box(self.services.settings, address))
        if box is None:
            server.unknown += 1
            if server.unknown >= MOST_UNKNOWN:
                server.hang_up()
                return "421 4.7.0 Too many unknown addresses"
            return "550 5.1.1 No such address here"
        if box not in server.boxes:
            server.boxes.append(box)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def take(self, kept: bytes, boxes: list[CaptureBox]) -> str:
        """Stores a mail for each address that it came to; the answer to the client, once it is on disk."""
        async with self._turn:
            if shutil.disk_usage(self.services.settings.data_dir).free < LEAST_FREE:
                return "452 4.3.1 The disk is full, try again later"
            raw = normalise(kept)
            parsed = await self._parser.parse(raw)
            key, arrived = key_of(parsed, raw), self.services.now()
            refused = []
            for box in boxes:
                try:
                    await take_copy(self.services, box, parsed, key, arrived)
                except RefusedMailError as refusal:
                    refused.append(str(refusal))
            return f"550 {refused[0]}" if len(refused) == len(boxes) else "250 2.0.0 Taken"

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
            await asyncio.wait(self._work, timeout=DRAIN_SECONDS)
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.close()
        await self._parser.close()


class _Connection(SMTP):
    """One client. What is here is what the library lacks: limits, bounded memory, a mail in its own task."""

    line_length_limit = 64 * 1024

    def __init__(self, server: CaptureServer) -> None:
        super().__init__(
            server, data_size_limit=MOST, enable_SMTPUTF8=True, hostname=server.domain, ident="ESMTP",
            timeout=TIMEOUT, command_call_limit=COMMANDS, loop=asyncio.get_running_loop(),
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
        )  # fmt: skip
        self._server = server
        self._from = ""
        self.boxes: list[CaptureBox] = []
        self.unknown = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Turns away whoever is one too many, before the library begins."""
        peer = transport.get_extra_info("peername")
        self._from = str(peer[0]) if isinstance(peer, tuple) else "local"
        many = self._server.open.total() >= MOST_CONNECTIONS
        if many or self._server.open[self._from] >= MOST_FROM_ONE:
            self._from = ""
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"421 4.7.0 Too many connections, try again later\r\n")
            transport.close()
            return
        self._server.open[self._from] += 1
        self._server.connections.add(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._from:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self._from else None

    def connection_lost(self, error: Exception | None) -> None:
        if not self._from:
            return
        self._server.open[self._from] -= 1
        self._server.open += Counter()  # forgets who has none left
        self._server.connections.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Closes once the answer is out."""
        self.loop.call_later(0.1, self._close)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _set_rset_state(self) -> None:
        super()._set_rset_state()  # type: ignore[no-untyped-call]
        self.boxes = []

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self.boxes = []

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802, the library's name
        """As the library's, but for its memory: an endless line costs no more than a short one."""
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Name a recipient first")
            return
        if arg:
            await self.push("501 Syntax: DATA")
            return
        if self._server.is_busy:
            await self.push("451 4.3.2 Busy, try again later")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        try:
            content = await read_content(self._reader)
        except TooLongError:
            await self.push("552 5.3.4 Too much mail data")
            self._close()
            return
        boxes = list(self.boxes)
        self._set_post_data_state()
        if content.is_too_large:
            await self.push("552 5.3.4 Too much mail data")
            return
        await self.push(await self._server.apart(self._server.take(bytes(content.kept), boxes)))


@asynccontextmanager
async def capture_mail(services: Services, host: str, port: int) -> AsyncIterator[CaptureServer]:
    """Inside this block the capture server listens; at its end it finishes what it was given.

    Raises OSError where it cannot listen.
    """
    server = CaptureServer(services)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server.connection, host, port, backlog=256)
    try:
        yield server
    finally:
        listener.close()
        await server.close()


def _say_fault(task: asyncio.Task[Any]) -> None:
    """The exception of a task that nobody waits for any more is not lost without a word."""
    if not task.cancelled():
        task.exception()
