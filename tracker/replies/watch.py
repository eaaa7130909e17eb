"""One connection's worth of watching one mailbox: what is new is read, noted or forgotten; then it waits.

Made by tracker/replies/watcher.py, which holds the lease. Whatever goes wrong with the connection is raised;
what was not taken then is found again by its number.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from models import Mailbox
from models.database import DATABASE_FAULTS, atomically
from models.writer import WriterDownError
from tracker.mail.capture import key_of
from tracker.mail.parser import Parser
from tracker.mail.parsing import Parsed
from tracker.replies.arriving import take_arrived
from tracker.replies.session import Arrived, Session, Standing
from tracker.replies.threads import in_thread
from tracker.sending.credentials import credentials_of, imap_server
from tracker.sending.hosts import public_addresses
from tracker.sending.upstream import LoginError
from tracker.services import Services

T = TypeVar("T")

IDLE_SECONDS = (
    540.0  # then IDLE begins anew: servers may hang up after 30 minutes, some home routers after 10
)
POLL_SECONDS = 60.0  # where there is no IDLE
BATCH = 50  # mails read at a time

log = logging.getLogger(__name__)


class GoneError(Exception):
    """The mailbox is switched off or removed, or somebody else watches it."""


class Watch:
    """`turn` says how many seconds it may take while others wait; None for as long as it goes."""

    def __init__(
        self, services: Services, parser: Parser, number: int, turn: Callable[[], float | None]
    ) -> None:
        self._services = services
        self._parser = parser
        self._number = number
        self._turn = turn
        self._session: Session

    async def run(self) -> None:
        """Connects and watches until its turn is over. Raises UpstreamError, HostError, GoneError."""
        mailbox = await Mailbox.get_or_none(id=self._number)
        if mailbox is None:
            raise GoneError
        server = imap_server(mailbox)
        if server is None:
            raise LoginError("it is not known where its replies can be read")
        credentials = await credentials_of(self._services, mailbox)
        addresses = await public_addresses(self._services.settings, server.host)
        self._session = Session(server, credentials, addresses)
        try:
            standing = await self._step(self._session.open)
            missed = await self._begin(mailbox, standing)
            await self._take(mailbox, missed, advance=False)
            await self._follow(mailbox)
        finally:
            self._session.leave()

    async def _begin(self, mailbox: Mailbox, standing: Standing) -> list[int]:
        """Notes where to begin; the numbers of what may have been missed where the numbering is new.

        A mailbox that was never watched begins with what comes from now on.
        """
        missed: list[int] = []
        if mailbox.imap_validity != standing.validity or mailbox.imap_next is None:
            if mailbox.imap_validity is not None and mailbox.imap_seen_at is not None:
                day = (mailbox.imap_seen_at - dt.timedelta(days=1)).date()
                missed = await self._step(self._session.find_since, day)
            mailbox.imap_validity, mailbox.imap_next = standing.validity, standing.next_uid
        await self._store(mailbox)
        return [uid for uid in missed if uid < standing.next_uid]

    async def _follow(self, mailbox: Mailbox) -> None:
        """Takes what is new, waits for more, and again."""
        began = time.monotonic()
        while True:
            assert mailbox.imap_next is not None
            await self._take(
                mailbox, await self._step(self._session.find_new, mailbox.imap_next), advance=True
            )
            await self._store(mailbox)
            turn = self._turn()
            left = IDLE_SECONDS if turn is None else began + turn - time.monotonic()
            if left <= 0:
                return
            await self._step(self._session.wait, min(IDLE_SECONDS, left), POLL_SECONDS)

    async def _step(self, work: Callable[..., T], *given: object) -> T:
        return await in_thread(work, *given, interrupt=self._session.interrupt)

    async def _take(self, mailbox: Mailbox, uids: Sequence[int], *, advance: bool) -> None:
        for begin in range(0, len(uids), BATCH):
            batch = uids[begin : begin + BATCH]
            for one in await self._step(self._session.read_headers, batch):
                await self._look_at(mailbox, one)
            if advance:
                mailbox.imap_next = batch[-1] + 1
                await self._store(mailbox)

    async def _look_at(self, mailbox: Mailbox, one: Arrived) -> None:
        """One mail: a reply, a bounce, or nothing of ours. A fault of ours costs that mail alone."""
        parsed = await self._parse(one.headers)
        if parsed.returned:
            raw = await self._step(self._session.read_returned, one.uid)
            parsed = await self._parse(raw or one.headers)
        if parsed.fault:
            log.warning("a mail in a watched mailbox cannot be read: %s", parsed.fault)
            return
        now = self._services.now()
        arrived = min(one.at, now) if one.at is not None else now
        try:
            await take_arrived(
                self._services, mailbox.account_id, parsed, key_of(parsed, one.headers), arrived
            )
        except (*DATABASE_FAULTS, WriterDownError):
            raise
        except Exception:
            log.exception("a mail in a watched mailbox was not understood")

    async def _parse(self, raw: bytes) -> Parsed:
        """What it says. A machine under load may cut a sound mail short, and it is looked at only once."""
        parsed = await self._parser.parse(raw)
        return await self._parser.parse(raw) if parsed.fault else parsed

    async def _store(self, mailbox: Mailbox) -> None:
        """How far it was read. What the provider could not do before is over."""
        mailbox.imap_seen_at = self._services.now()
        row = Mailbox.filter(id=mailbox.id)
        await atomically(
            lambda: row.update(
                imap_validity=mailbox.imap_validity,
                imap_next=mailbox.imap_next,
                imap_seen_at=mailbox.imap_seen_at,
                imap_failure=None,
            )
        )
