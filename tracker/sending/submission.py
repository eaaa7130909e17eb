"""The submission server: takes mail that people send through mailbell, and puts it into the spool.

Started by bot/process.py, for two listeners: STARTTLS and TLS from the first byte. Only who has logged in
over TLS sends, only as themselves, and a 250 means that the mail is on disk. What is done with it then is
the relay's business (tracker/sending/relay.py). Nothing is logged that clients say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from weakref import WeakValueDictionary

from aiosmtpd.smtp import Envelope as Said
from aiosmtpd.smtp import Session

from models import Mailbox
from tracker.hits.facts import parse_address, truncate
from tracker.mail.server import MailServer
from tracker.sending.brakes import Brakes
from tracker.sending.client import NO_ROOM, Client, sized
from tracker.sending.passwords import find_mailbox
from tracker.sending.receiving import Incoming, Origin, not_yours
from tracker.sending.senders import address_fault, addresses_of, same
from tracker.sending.spool import Envelope, Spool
from tracker.sending.tls import Certificate, mail_host, open_certificate
from tracker.services import Services

MOST_CONNECTIONS = 1_000
MOST_FROM_ONE = 300  # connections of one place
MOST_AT_ONCE = 500  # mails that come in at a time; each costs up to AT_ONCE and what the reader holds
MOST_RECIPIENTS = 100
OWNED_SECONDS = 5.0  # that long a connection's addresses are taken as known

log = logging.getLogger(__name__)


class ListenError(OSError):
    """A listener cannot be opened; `setting` names its port."""

    def __init__(self, setting: str, port: int, error: OSError) -> None:
        super().__init__(error.errno, error.strerror)
        self.setting = setting
        self.port = port


class SubmissionServer(MailServer):
    """What all connections share, and the rules on who sends what to whom."""

    drain_seconds = 4.0  # twice at most: the relay needs some of the process's time, too

    def __init__(
        self, services: Services, spool: Spool, taken: Callable[[str], None], certificate: Certificate
    ) -> None:
        super().__init__(services, mail_host(services.settings))
        self.spool = spool
        self.certificate = certificate
        self.brakes = Brakes()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # of strangers, by place
        self.is_closing = False
        self.ports: list[int] = []  # as bound: asked for 0, the system chose one
        self._taken = taken
        self._under_way: set[asyncio.Future[None]] = set()

    def connection(self, *, encrypted: bool) -> Client:
        """The protocol of one connection."""
        return Client(self, encrypted=encrypted)

    def caps(self) -> tuple[int, int]:
        return MOST_CONNECTIONS, MOST_FROM_ONE

    @property
    def is_busy(self) -> bool:
        """Whether more mails come in than there is memory for."""
        return len(self._under_way) >= MOST_AT_ONCE

    async def check(self, place: str, name: str, password: str) -> Mailbox | str:
        """The mailbox whose login this is, or the reply to a bad one."""
        name = name.strip().lower()[:100]
        if self.brakes.knows(place, name, self._seconds()):
            return await self._try(place, name, password)
        turn = self._turns.setdefault(place, asyncio.Lock())
        async with turn:
            return await self._try(place, name, password)

    async def _try(self, place: str, name: str, password: str) -> Mailbox | str:
        pace = self.brakes.ask(place, name, self._seconds())
        if pace.refused:
            return f"454 4.7.0 Too many bad logins, try again in {pace.refused} seconds"
        if pace.delay:
            await asyncio.sleep(pace.delay)
        # It counts also where the client does not wait for the answer.
        mailbox = await self.apart(self._look_up(place, name, password))
        return mailbox or "535 5.7.8 User name or password is wrong"

    async def _look_up(self, place: str, name: str, password: str) -> Mailbox | None:
        mailbox = await find_mailbox(name, password)
        count = self.brakes.wrong if mailbox is None else self.brakes.right
        count(place, name, self._seconds())
        return mailbox

    def _seconds(self) -> float:
        return self.services.now().timestamp()

    async def handle_MAIL(  # noqa: N802, the library's name
        self, client: Client, _session: Session, said: Said, address: str, options: list[str]
    ) -> str:
        """Takes a sender that is the account's own, or none (a read receipt)."""
        if not await self._knows_owned(client, address):
            client.hang_up()
            return "421 4.7.0 This mailbox is not connected any more"
        if address != "<>" and same(address) not in client.owned:
            return not_yours(address)
        if not self.spool.has_room(sized(options)):
            return NO_ROOM
        said.mail_from = address
        return "250 2.1.0 OK"

    async def _knows_owned(self, client: Client, address: str) -> bool:
        """Sees to it that the client's addresses are fresh; False where its mailbox is gone.

        They are asked for anew after a few seconds, and for an address that is not among them.
        """
        assert client.mailbox is not None
        now = asyncio.get_running_loop().time()
        if now - client.owned_at < OWNED_SECONDS and same(address) in client.owned:
            return True
        owned = await self.apart(addresses_of(client.mailbox.account_id, client.mailbox.id))
        client.owned, client.owned_at = owned or frozenset(), now
        return owned is not None

    async def handle_RCPT(  # noqa: N802, the library's name
        self, _client: Client, _session: Session, said: Said, address: str, _options: list[str]
    ) -> str:
        """Takes plain addresses, so many and each once."""
        if len(said.rcpt_tos) >= MOST_RECIPIENTS:
            return f"452 4.5.3 Too many recipients: {MOST_RECIPIENTS} in one go"
        fault = address_fault(address, utf8=said.smtp_utf8)
        if fault is not None:
            return fault
        if same(address) not in map(same, said.rcpt_tos):
            said.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    def incoming(self, client: Client, said: Said) -> Incoming:
        """The mail that begins with this envelope."""
        assert client.mailbox is not None
        sender = said.mail_from or ""
        envelope = Envelope(
            account_id=client.mailbox.account_id,
            mailbox_id=client.mailbox.id,
            sender="" if sender == "<>" else sender,
            recipients=tuple(said.rcpt_tos),
            arrived=self.services.now(),
            network=truncate(client.address),
        )
        origin = Origin(client.owned, str(parse_address(client.address) or ""), self.services.settings.key)
        return Incoming(self.spool, envelope, origin)

    async def store(self, client: Client, incoming: Incoming) -> str:
        """Puts the mail on disk; the reply. Whoever is gone by now will send it again, so it is not kept."""
        if client.is_gone or not self.spool.has_room():
            await incoming.discard()
            return NO_ROOM
        with self.services.pace.taking():
            name, refused = await incoming.finish()
        if name is None:
            return refused
        self._taken(name)
        return f"250 2.0.0 Taken as {name}"

    @contextmanager
    def working(self, client: Client) -> Iterator[None]:
        """A mail comes in meanwhile: the server does not stop in the middle of it."""
        done = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        client.at_work = True
        try:
            yield
        finally:
            client.at_work = False
            self._under_way.discard(done)
            done.set_result(None)

    async def close(self) -> None:
        """Mails that are coming in come to their end; everybody else is sent away."""
        self.is_closing = True
        for client in list(self.connections):
            if isinstance(client, Client) and not client.at_work:
                client.say_goodbye()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self.drain_seconds)
        await super().close()


@asynccontextmanager
async def submit_mail(
    services: Services,
    spool: Spool,
    taken: Callable[[str], None],
    host: str,
    port: int | None,
    port_tls: int | None,
) -> AsyncIterator[SubmissionServer | None]:
    """Inside this block the submission server listens; at its end it finishes what it was given.

    `taken` hears the name of each mail in the spool before its sender hears 250. None as a port switches a
    listener off; without a certificate both are off, and the log says so. Raises ListenError,
    CertificateError.
    """
    certificate = open_certificate(services.settings) if (port, port_tls) != (None, None) else None
    if certificate is None:
        if (port, port_tls) != (None, None):
            log.warning(
                "sending through mailbell is off: set TLS_CERT and TLS_KEY (a password never goes in the "
                "clear), or empty SUBMISSION_PORT and SUBMISSIONS_PORT"
            )
        yield None
        return
    server = SubmissionServer(services, spool, taken, certificate)
    listeners: list[asyncio.Server] = []
    try:
        for setting, number, encrypted in (
            ("SUBMISSION_PORT", port, False),
            ("SUBMISSIONS_PORT", port_tls, True),
        ):
            if number is not None:
                listeners.append(await _listen(server, setting, host, number, encrypted=encrypted))
        yield server
    finally:
        for listener in listeners:
            listener.close()
        await server.close()


async def _listen(
    server: SubmissionServer, setting: str, host: str, port: int, *, encrypted: bool
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    make = partial(server.connection, encrypted=encrypted)
    try:
        listener = await loop.create_server(make, host, port, backlog=256)
    except OSError as error:
        raise ListenError(setting, port, error) from error
    server.ports.append(listener.sockets[0].getsockname()[1])
    log.info("taking mail to send on %s:%s (%s)", host, server.ports[-1], "TLS" if encrypted else "STARTTLS")
    return listener
