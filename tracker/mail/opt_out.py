"""People who do not want to be tracked: how they are remembered, and what stops at once.

Called by the privacy page and, for addresses, by tracker/mail/compose.py. An opted-out address is known only
by a keyed hash. Links go on redirecting; the insert of a hit itself checks `recording`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tortoise.expressions import Q, Subquery

from models import Card, Link, OptOut, Recipient
from models.database import atomically
from models.wake import OUTBOX
from tracker.audit import note
from tracker.keys import keyed_hash
from tracker.mail.spellings import address_forms
from tracker.services import Services

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


async def opt_out(services: Services, address: str) -> None:
    """Nothing more is recorded of `address` from now on, in mail already sent and in mail to come.

    Where several people share a pixel or link, it stops for all of them: nobody could tell them apart.
    """
    forms = address_forms(address)
    digest = address_digest(services, address)

    async def work() -> None:
        if not await OptOut.filter(digest=digest).exists():
            await OptOut.create(digest=digest, at=services.now())
            await note(services, "opt-out", None, address, {})
        mails = Subquery(Recipient.filter(address__in=forms).values("message_id"))
        theirs = Subquery(Recipient.filter(address__in=forms).values("id"))
        shared = Q(recipient_id__isnull=True, message_id__in=mails)
        await Link.filter(Q(recipient_id__in=theirs) | shared, recording=True).update(recording=False)
        await Card.filter(message_id__in=mails, dirty_at__isnull=True).update(dirty_at=services.now())
        await Recipient.filter(address__in=forms, opted_out_at__isnull=True).update(
            opted_out_at=services.now()
        )

    await atomically(work)
    services.wake.ring(OUTBOX)


async def opt_out_by_token(services: Services, token: str) -> None:
    """The same, for whoever got the mail with this pixel or link; an unknown token changes nothing.

    A token of one recipient opts their address out. A shared one stops what that mail's people share: whose
    address it was, nobody knows.
    """
    if not _TOKEN.fullmatch(token):
        return
    link = await Link.get_or_none(token=token).prefetch_related("recipient")
    if link is None:
        return
    if link.recipient is not None:
        await opt_out(services, link.recipient.address)
        return
    await Link.filter(message_id=link.message_id, recipient_id__isnull=True).update(recording=False)


async def opted_out(services: Services, addresses: Iterable[str]) -> set[str]:
    """Those of `addresses` that must not be tracked."""
    digests = {address_digest(services, address): address for address in addresses}
    if not digests:
        return set()
    found = await OptOut.filter(digest__in=list(digests)).values_list("digest", flat=True)
    return {digests[str(digest)] for digest in found}


def address_digest(services: Services, address: str) -> str:
    """How an opted-out address is stored: a keyed hash of it in lower case, its domain in ASCII."""
    return keyed_hash(services.settings.key, "opt-out", address_forms(address)[-1])
