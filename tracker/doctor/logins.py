"""Whether the connected mailboxes still let us in. One that does so again is set going again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from models import Mailbox
from tracker.doctor.findings import About, Finding, Visit
from tracker.sending.credentials import of_mailbox
from tracker.sending.hosts import HostError, check_server
from tracker.sending.mailboxes import note_working
from tracker.sending.upstream import CertificateError, LaterError, UpstreamError, connection

MOST = 500
_AT_ONCE = 5
_SECONDS = 40.0


async def check_mailboxes(visit: Visit) -> Sequence[Finding]:
    """Logs in to each, and leaves."""
    wanted = {} if visit.account_id is None else {"account_id": visit.account_id}
    mailboxes = [one async for one in Mailbox.filter(**wanted).order_by("id").limit(MOST)]
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look(one: Mailbox) -> list[Finding]:
        async with turns:
            return [await _log_in(visit, one), *_replies(one)]

    found = await asyncio.gather(*(look(one) for one in mailboxes if not one.address.startswith(SELF_TEST)))
    return [finding for part in found for finding in part]


SELF_TEST = "mailbell-self-test-"  # addresses of tracker/doctor/self_test.py


async def _log_in(visit: Visit, mailbox: Mailbox) -> Finding:
    about = About(f"mailbox-{mailbox.id}", mailbox.address, mailbox.account_id)
    try:
        server, credentials = await of_mailbox(visit.services, mailbox)
        addresses = await check_server(visit.services.settings, server)
        async with asyncio.timeout(_SECONDS), connection(server, credentials, addresses):
            pass
    except HostError as error:
        return about.wrong(str(error), f"Type: connect new {mailbox.address}")
    except CertificateError as error:
        return about.wrong(str(error), "Mail waits until your provider's server can be trusted again.")
    except (LaterError, TimeoutError) as error:
        return about.wrong(
            f"its provider cannot be reached ({error or 'no answer in time'})",
            "Mail waits and is tried again; look whether this machine may reach mail ports.",
        )
    except UpstreamError as error:
        return about.wrong(f"it lets us in no more: {error}", f"Type: connect new {mailbox.address}")
    if await note_working(visit.services, mailbox):
        return about.ok("lets us in again: what waited goes out now")
    return about.ok("lets us in, to send")


def _replies(mailbox: Mailbox) -> list[Finding]:
    """What the watcher for replies found when it looked last."""
    if not mailbox.imap_on:
        return []
    about = About(f"replies-{mailbox.id}", f"Replies to {mailbox.address}", mailbox.account_id)
    if mailbox.imap_failed_at is not None:
        return [
            about.wrong(
                f"they cannot be looked for: {mailbox.imap_failure or 'the login fails'}",
                f"Type: connect new {mailbox.address}",
            )
        ]
    if mailbox.imap_seen_at is None:
        return [about.note("the inbox was not looked at yet")]
    return [about.ok(f"the inbox was last heard from at {mailbox.imap_seen_at:%Y-%m-%d %H:%M} UTC")]
