"""Connecting a mailbox: the login is tried, kept encrypted, and mail programs get a login of their own here.

Called by the connect page, the command `connect` and the command line. Nothing is stored before the provider
took the login. A secret comes in, and none but the new application password goes out, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tortoise.exceptions import IntegrityError

from models import Account, Mailbox, Message, Outgoing, OwnAddress
from models.database import atomically
from models.wake import OUTBOX
from tracker.mail.draft import read_address
from tracker.sending import passwords
from tracker.sending.credentials import Credentials, Server, encrypt
from tracker.sending.hosts import check_server
from tracker.services import Services

CHECK_SECONDS = 40.0
RELAY_BELL = "outgoing"  # wakes the relay where it waits for the time of the next try


class DraftError(ValueError):
    """What was typed cannot be a mailbox; the text says what and what to type instead."""


@dataclass(frozen=True)
class MailboxDraft:
    """A mailbox as somebody gives it. For `xoauth2` the secret is a refresh token."""

    address: str
    provider: str  # key of tracker/sending/providers.py
    smtp: Server
    username: str
    secret: str = field(repr=False)
    auth: str = "password"  # password | xoauth2
    imap: Server | None = None


@dataclass(frozen=True)
class Connected:
    """A mailbox that works, and the login that mail programs use here."""

    mailbox: Mailbox
    submission_user: str
    submission_password: str | None = field(repr=False)  # shown once; None: it stays as it was
    is_new: bool = True


async def connect_mailbox(
    services: Services, account: Account, draft: MailboxDraft, *, keep_login: bool = False
) -> Connected:
    """Tries the login, then stores the mailbox, or stores it anew and sets it going again.

    With `keep_login` an application password that exists stays as it is. Raises DraftError, a HostError
    (tracker/sending/hosts.py), or an UpstreamError (tracker/sending/upstream.py) with the provider's words.
    """
    address = read_address(draft.address)
    if address is None:
        raise DraftError("that is no mail address; type it like ana@acme.com")
    smtp_addresses = await check_server(services.settings, draft.smtp)
    if draft.imap is not None:
        await check_server(services.settings, draft.imap)
    secret = draft.secret
    if draft.auth == "xoauth2":
        from tracker.sending.oauth import open_draft

        secret, draft = await open_draft(services, draft)
    await _try_login(draft.smtp, Credentials(draft.username, secret, draft.auth), smtp_addresses)
    user, password = passwords.new_login()
    digest = await asyncio.to_thread(passwords.digest, password)

    async def work() -> tuple[Mailbox, bool]:
        return await _store(services, account, address, draft, (user, digest), keep_login)

    try:
        mailbox, is_new = await atomically(work)
    except IntegrityError:  # the same was sent twice at once
        mailbox, is_new = await atomically(work)
    services.wake.ring(RELAY_BELL)
    assert mailbox.submission_user is not None
    made = mailbox.submission_digest == digest
    return Connected(mailbox, mailbox.submission_user, password if made else None, is_new)


async def _try_login(server: Server, credentials: Credentials, addresses: Sequence[str]) -> None:
    """Logs in at the addresses that were looked at, and nowhere else."""
    from tracker.sending.upstream import LaterError, connection

    try:
        async with asyncio.timeout(CHECK_SECONDS), connection(server, credentials, addresses):
            pass
    except TimeoutError:
        raise LaterError(f"{server.host} did not answer within {CHECK_SECONDS:.0f} seconds") from None


async def _store(
    services: Services,
    account: Account,
    address: str,
    draft: MailboxDraft,
    login: tuple[str, str],
    keep_login: bool,
) -> tuple[Mailbox, bool]:
    now = services.now()
    mailbox = await Mailbox.get_or_none(account_id=account.id, address=address)
    is_new = mailbox is None
    mailbox = mailbox or Mailbox(account_id=account.id, address=address, created_at=now)
    mailbox.provider, mailbox.auth, mailbox.username = draft.provider, draft.auth, draft.username
    mailbox.secret = encrypt(services, draft.secret)
    mailbox.smtp_host, mailbox.smtp_port = draft.smtp.host, draft.smtp.port
    mailbox.smtp_security = draft.smtp.security
    if draft.imap is not None:
        mailbox.imap_host, mailbox.imap_port = draft.imap.host, draft.imap.port
        mailbox.imap_security = draft.imap.security
    mailbox.checked_at, mailbox.failed_at, mailbox.failure, mailbox.told_at = now, None, None, None
    mailbox.imap_failed_at, mailbox.imap_failure, mailbox.imap_told_at = None, None, None
    if not (keep_login and mailbox.submission_user and mailbox.submission_digest):
        # The name stays, so that only the password has to be typed anew where it is used.
        mailbox.submission_user = mailbox.submission_user or login[0]
        mailbox.submission_digest = login[1]
    await mailbox.save()
    await OwnAddress.get_or_create({"created_at": now}, account_id=account.id, address=address)
    if not is_new:
        await Outgoing.filter(mailbox_id=mailbox.id, state="waiting").update(next_at=now)
    return mailbox, is_new


async def renew_login(mailbox: Mailbox) -> Connected:
    """A new application password; the one before is refused from then on."""
    user, password = passwords.new_login()
    digest = await asyncio.to_thread(passwords.digest, password)
    kept = mailbox.submission_user or user

    async def work() -> None:
        await Mailbox.filter(id=mailbox.id).update(submission_user=kept, submission_digest=digest)

    await atomically(work)
    await mailbox.refresh_from_db(fields=["submission_user", "submission_digest"])
    return Connected(mailbox, kept, password, is_new=False)


async def note_working(services: Services, mailbox: Mailbox) -> bool:
    """The provider lets us in: what waited because it did not goes out. Whether it was held before."""
    now = services.now()

    async def work() -> bool:
        await Mailbox.filter(id=mailbox.id).update(checked_at=now)
        held = await Mailbox.filter(id=mailbox.id, failed_at__isnull=False).update(
            failed_at=None, failure=None, told_at=None
        )
        if held:
            await Outgoing.filter(mailbox_id=mailbox.id, state="waiting").update(next_at=now)
        return bool(held)

    held = await atomically(work)
    if held:
        services.wake.ring(RELAY_BELL)
    return held


async def find_own(account: Account, address: str) -> Mailbox | None:
    """The account's mailbox with this address."""
    return await Mailbox.get_or_none(account_id=account.id, address=(read_address(address) or "\x00"))


@dataclass(frozen=True)
class Stopped:
    """What was still waiting in a mailbox that is removed: so many mails, and the codes of those it knows."""

    mails: int
    codes: tuple[str, ...] = ()


async def remove_mailbox(services: Services, mailbox: Mailbox) -> Stopped:
    """Forgets a mailbox, its secret and its login; what still waited for it stops, and its cards say so."""
    from tracker.sending.outcomes import note_stopped  # the site shows pages, and judges no hits

    async def work() -> Stopped:
        waiting = await Outgoing.filter(mailbox_id=mailbox.id, state="waiting").order_by("id")
        await note_stopped(waiting, services.now())
        await Mailbox.filter(id=mailbox.id).delete()
        return await _stopped(waiting)

    stopped = await atomically(work)
    services.wake.ring(OUTBOX)
    return stopped


async def what_waits(mailbox: Mailbox) -> Stopped:
    """What would stop if the mailbox were removed now."""
    return await _stopped(await Outgoing.filter(mailbox_id=mailbox.id, state="waiting").order_by("id"))


async def _stopped(rows: Sequence[Outgoing]) -> Stopped:
    known = {row.message_id for row in rows if row.message_id is not None}
    codes = await Message.filter(id__in=list(known)).order_by("id").values_list("code", flat=True)
    return Stopped(len({row.spool for row in rows}), tuple(map(str, codes)))
