"""Hands the copies of one mail over to its sender's provider, one after the other on one connection.

Called by the relay when a mail's time has come. Each copy is what its recipient's rows say: the mail as it
came, without its Bcc header, with the edits of tracker/mail/rewrite.py. Whatever goes wrong with the edits,
the mail goes as it came. Nothing here decides when; tracker/sending/outcomes.py writes what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from models import Link, Mailbox, Message, Outgoing
from models.database import DATABASE_FAULTS, atomically
from models.wake import OUTBOX
from models.writer import WriterDownError
from tracker.internet import is_loopback_address
from tracker.mail.encodings import apply_edits
from tracker.mail.rewrite import without_bcc
from tracker.mail.tracked import link_url, pixel_url
from tracker.sending import notices, outcomes
from tracker.sending.credentials import of_mailbox
from tracker.sending.editing import FAULT, CopyEdits, CopyPlan
from tracker.sending.editor import Editor
from tracker.sending.hosts import HostError, public_addresses
from tracker.sending.upstream import (
    Connection,
    LaterError,
    LoginError,
    NoAnswerError,
    RefusedError,
    UpstreamError,
    connect,
)
from tracker.services import Services

MOST_STRIKES = 2  # lost connections after which a mail's other copies wait
DATABASE_SECONDS = 1.0

log = logging.getLogger(__name__)


class LostClaimError(Exception):
    """Somebody else ended the copy meanwhile: its last dot must not go out."""


@dataclass
class Line:
    """The connection to one mailbox's provider, opened when it is needed and kept for the next mail."""

    services: Services
    mailbox: Mailbox
    open: Connection | None = None

    async def connection(self) -> Connection:
        """Raises UpstreamError."""
        if self.open is not None and self.open.is_open:
            return self.open
        server, credentials = await of_mailbox(self.services, self.mailbox)
        try:
            addresses = await public_addresses(self.services.settings, server.host)
        except HostError as error:
            raise LaterError(str(error)) from None
        if server.security == "none" and not all(map(is_loopback_address, addresses)):
            raise LaterError(f"{server.host} would get the password without encryption; connect it anew")
        self.open = await connect(server, credentials, addresses)
        await outcomes.note_login(self.services, self.mailbox)
        return self.open

    async def use(self, mailbox: Mailbox) -> None:
        """The mailbox as it is now: a line to where it was before is closed."""
        if _way(mailbox) != _way(self.mailbox):
            await self.close()
        self.mailbox = mailbox

    async def close(self) -> None:
        if self.open is not None:
            await self.open.close()
        self.open = None


def _way(mailbox: Mailbox) -> tuple[object, ...]:
    server = (mailbox.smtp_host, mailbox.smtp_port, mailbox.smtp_security)
    return (*server, mailbox.auth, mailbox.username, mailbox.secret)


async def deliver(line: Line, editor: Editor, owner: str, rows: Sequence[Outgoing], raw: bytes) -> None:
    """Hands these waiting copies of one mail over, as far as that goes now, and writes what became of each.

    Raises LoginError and the connection's LaterError or CertificateError after it wrote them down, so that
    the caller leaves this mailbox alone for a while; and what the database raises.
    """
    services = line.services
    try:
        await line.connection()
    except LoginError as error:
        await outcomes.note_refused_login(services, line.mailbox, str(error))
        raise
    except UpstreamError as error:
        await outcomes.note_later(services, rows, str(error))
        raise
    contents = await _contents(services, editor, rows, raw)
    strikes = 0
    for number, (row, edits) in enumerate(zip(rows, contents, strict=True)):
        if strikes >= MOST_STRIKES:
            await outcomes.note_later(services, rows[number:], "the connection was lost again and again")
            return
        try:
            await _hand_over(line, owner, row, await asyncio.to_thread(apply_edits, raw, edits.edits))
        except LoginError as error:
            await outcomes.note_refused_login(services, line.mailbox, str(error))
            raise
        strikes += line.open is None or not line.open.is_open


async def _hand_over(line: Line, owner: str, row: Outgoing, content: bytes) -> None:
    """One copy, and what became of it. Raises LoginError and what the database raises."""
    services = line.services

    async def before_end() -> None:
        if not await outcomes.claim(services, row, owner):
            raise LostClaimError

    try:
        connection = await line.connection()
        await connection.send(row.sender, row.address, content, before_end)
    except LostClaimError:
        return
    except NoAnswerError as error:
        await outcomes.note_maybe_sent(services, [row], str(error))
    except RefusedError as error:
        await outcomes.note_refused(services, row, str(error))
    except LoginError:
        await outcomes.let_go(services, row)  # it was answered, be it after the dot: nobody has the copy
        raise
    except UpstreamError as error:
        await outcomes.note_later(services, [row], str(error))
    else:
        await _note_sent(services, row)


async def _note_sent(services: Services, row: Outgoing) -> None:
    """The provider has it: that is written down however long the database takes, lest it goes twice."""
    while True:
        try:
            await outcomes.note_sent(services, row)
            return
        except (*DATABASE_FAULTS, WriterDownError):
            log.warning("the database does not answer, a copy that was sent is not noted yet")
            await asyncio.sleep(DATABASE_SECONDS)


async def _contents(
    services: Services, editor: Editor, rows: Sequence[Outgoing], raw: bytes
) -> list[CopyEdits]:
    """The edits of each copy."""
    if all(isinstance(row.details, dict) and row.details.get("as_it_is") for row in rows):
        bare = await asyncio.to_thread(without_bcc, raw)
        return [CopyEdits(bare) for _ in rows]
    plans = await _plans(services, rows)
    copies = await editor.edit_copies(raw, plans, await _targets(rows))
    if any(copy.untracked == FAULT for copy in copies):
        await _tell_fault(services, rows, copies)
    return copies


async def _plans(services: Services, rows: Sequence[Outgoing]) -> list[CopyPlan]:
    """What each recipient's copy gets by its rows; nothing where the mail was forgotten meanwhile."""
    people = [row.recipient_id for row in rows if row.recipient_id is not None]
    links = await Link.filter(recipient_id__in=people, recording=True) if people else []
    theirs: dict[int | None, list[Link]] = {}
    for link in links:
        theirs.setdefault(link.recipient_id, []).append(link)
    return [_plan(services, theirs.get(row.recipient_id or 0, [])) for row in rows]


def _plan(services: Services, links: Sequence[Link]) -> CopyPlan:
    pixels = [link for link in links if link.kind == "open"]
    return CopyPlan(
        pixel_url(services, pixels[0]) if pixels else None,
        {link.target: link_url(services, link) for link in links if link.target is not None},
    )


async def _targets(rows: Sequence[Outgoing]) -> dict[str, str]:
    """Where our links in quoted text lead: whoever reads an answer is not tracked by an old mail."""
    quoted = (row.details.get("quoted", ()) for row in rows if isinstance(row.details, dict))
    tokens = {str(token) for several in quoted for token in several}
    if not tokens:
        return {}
    found = await Link.filter(token__in=list(tokens), kind="click").values_list("token", "target")
    return {str(token): str(target) for token, target in found if target is not None}


async def _tell_fault(services: Services, rows: Sequence[Outgoing], copies: Sequence[CopyEdits]) -> None:
    """Some copies go as they are though they were to be tracked: said once, and kept for the card."""
    plain = [row for row, copy in zip(rows, copies, strict=True) if copy.untracked == FAULT]
    row = plain[0]
    log.error("a mail goes as it is: its edits failed")

    async def write() -> None:
        message = await Message.get_or_none(id=row.message_id) if row.message_id else None
        for one in plain:
            await outcomes.mark(one.recipient_id, mode="off")
        text = notices.untracked(message.subject if message else "", FAULT)
        told = notices.Notice(row.account_id, f"fault:{row.spool}", text, row.message_id)
        await notices.post([told], services.now())

    await atomically(write)
    services.wake.ring(OUTBOX)
