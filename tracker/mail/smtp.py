"""The capture server: takes the copies that people put into BCC, and nothing for anybody else.

Started by bot/process.py. Unknown addresses are refused at RCPT; a 250 after the mail means that what it
says is on disk. It never sends mail. Work on the database runs in tasks of its own: the library cancels its
task when a client hangs up.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from tracker.mail.addresses import CaptureBox, capture_domain, find_box, find_recent_box
from tracker.mail.capture import RefusedMailError, key_of
from tracker.mail.data import MOST, NoRoomError, Room, TooLongError, normalise, read_content
from tracker.mail.intake import Intake
from tracker.mail.parser import Parser
from tracker.mail.server import DRAIN_SECONDS, MailServer
from tracker.mail.starttls import TlsConnection
from tracker.sending.tls import Certificate, open_certificate
from tracker.services import Services

MOST_CONNECTIONS = 1_000
MOST_FROM_ONE = 300  # connections of one address
MOST_READING = 128 * 1024 * 1024  # bytes of memory for all mails that are coming in
MOST_AT_WORK = 16  # mails that are being parsed and stored; the others wait
MOST_WAITING = 100  # mails that wait for their turn; their clients may be gone
MOST_RECIPIENTS = 100
MOST_UNKNOWN = 10  # unknown recipients of one connection: somebody is trying addresses
COMMANDS = {
    "MAIL": 1_000,
    "RCPT": 1_000,
    "DATA": 1_000,
    "NOOP": 100,
    "RSET": 1_000,
    "EHLO": 10,
    "HELO": 10,
    "*": 20,
}
TIMEOUT = 120.0  # seconds for a command, or for a whole mail
LEAST_FREE = 64 * 1024 * 1024  # bytes of disk
_PLAIN = re.compile(
    r"<([A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)>(?: +(\S.*))?"
)


class CaptureServer(MailServer):
    """What all connections share, and what is done with a mail: the handler that the library calls."""

    def __init__(self, services: Services, certificate: Certificate | None = None) -> None:
        super().__init__(services, capture_domain(services.settings) or "localhost")
        self.certificate = certificate
        self.room = Room(MOST_READING)
        self.intake = Intake(services)
        self._free, self._looked = 0, float("-inf")  # bytes of disk, and when that was so
        self._parser = Parser(services.settings.public_url)
        self._turn = asyncio.Semaphore(MOST_AT_WORK)

    def caps(self) -> tuple[int, int]:
        return MOST_CONNECTIONS, MOST_FROM_ONE

    def connection(self) -> SMTP:
        """The protocol of one connection."""
        return _Connection(self)

    @property
    def is_busy(self) -> bool:
        """Whether more mails come in or wait than there is memory for. Slow ones cost none."""
        return self.room.held >= self.room.most or len(self._work) >= MOST_WAITING + MOST_AT_WORK

    async def handle_EHLO(  # noqa: N802, the library's name
        self, _server: SMTP, session: Session, _envelope: Envelope, name: str, said: list[str]
    ) -> list[str]:
        """Nobody logs in here: the library would offer it with no way to do so."""
        session.host_name = name
        return [line for line in said if not line.startswith("250-AUTH")]

    async def handle_RCPT(  # noqa: N802, the library's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Takes an address that is somebody's, and no other."""
        assert isinstance(server, _Connection)
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        settings = self.services.settings
        box = find_recent_box(settings, address) or await self.apart(find_box(settings, address))
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
        with self.services.pace.taking():
            return await self._take(kept, boxes)

    async def _take(self, kept: bytes, boxes: list[CaptureBox]) -> str:
        async with self._turn:
            if not self._has_room():
                return "452 4.3.1 The disk is full, try again later"
            raw = normalise(kept)
            parsed = await self._parser.parse(raw)
            key, arrived = key_of(parsed, raw), self.services.now()
            refused = []
            for box in boxes:
                try:
                    await self.intake.take(box, parsed, key, arrived)
                except RefusedMailError as refusal:
                    refused.append(str(refusal))
            return f"550 {refused[0]}" if len(refused) == len(boxes) else "250 2.0.0 Taken"

    def _has_room(self) -> bool:
        """Whether the disk takes more; looked at once a second."""
        now = time.monotonic()
        if now - self._looked > 1:
            self._free, self._looked = shutil.disk_usage(self.services.settings.data_dir).free, now
        return self._free >= LEAST_FREE

    async def close(self) -> None:
        await super().close()
        await self._parser.close()


class _Connection(TlsConnection):
    """One client. What is here is what the library lacks: bounded memory, a mail in its own task."""

    def __init__(self, server: CaptureServer) -> None:
        super().__init__(
            server, server.certificate.context if server.certificate else None, data_size_limit=MOST,
            timeout=TIMEOUT, command_call_limit=COMMANDS, auth_exclude_mechanism=("LOGIN", "PLAIN"),
        )  # fmt: skip
        self._server = server
        self.boxes: list[CaptureBox] = []
        self.unknown = 0

    def _set_rset_state(self) -> None:
        super()._set_rset_state()  # type: ignore[no-untyped-call]
        self.boxes = []

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self.boxes = []

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """As the library's, but for the plain form, which nearly all have: that takes no parser."""
        plain = _PLAIN.fullmatch(arg)
        return (plain[1], plain[2] or "") if plain else super()._getaddr(arg)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802, the library's name
        """As the library's, but for its memory: an endless line costs no more than a short one."""
        if not await self.begin_data(arg):
            return
        try:
            content = await read_content(self._reader, self._server.room)
        except TooLongError:
            await self.push("552 5.3.4 Too much mail data")
            self.cut()
            return
        except NoRoomError:
            await self.push("451 4.3.2 Busy, try again later")
            self.cut()
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

    It offers STARTTLS with the certificate of the submission server. Raises OSError where it cannot listen,
    and CertificateError (tracker/sending/tls.py).
    """
    server = CaptureServer(services, open_certificate(services.settings))
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server.connection, host, port, backlog=256)
    understanding = asyncio.create_task(server.intake.run())
    try:
        yield server
    finally:
        listener.close()
        await server.close()
        server.intake.stop()
        await asyncio.wait([understanding], timeout=DRAIN_SECONDS)
        understanding.cancel()
